# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An API server in memory, for tests: objects by path, optimistic locking, and a record of what was asked."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import yaml

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import KubeApi, Query, TransportError

FIXTURES = Path(__file__).parent.parent / "fixtures" / "api"

CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"
DAEMON_SET = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"


def kubeadm_objects() -> dict[str, dict[str, t.Any]]:
    """The ConfigMap and the DaemonSet that kubeadm 1.37.2 makes, as an API server would hand them out."""
    config_map, daemon_set = yaml.safe_load_all((FIXTURES / "kubeadm-1.37.2.yaml").read_text(encoding="utf-8"))
    config_map["metadata"]["resourceVersion"] = "7"
    daemon_set["metadata"]["generation"] = 1
    daemon_set["status"] = {"observedGeneration": 1, "desiredNumberScheduled": 3}
    return {CONFIG_MAP: config_map, DAEMON_SET: daemon_set}


def node(name: str, version: str = "v1.37.2", **labels: str) -> dict[str, t.Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "nodeInfo": {"kubeletVersion": version},
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "192.168.66.10"}],
        },
    }


class FakeServer:
    """C(objects) are single objects by path, C(lists) items by path. C(before) runs ahead of each request."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, t.Any]] = {**kubeadm_objects(), "/version": {"gitVersion": "v1.37.2"}}
        self.lists: dict[str, list[dict[str, t.Any]]] = {"/api/v1/nodes": [node("cp1")]}
        self.logs: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.queries: list[dict[str, str]] = []
        self.before: t.Callable[[FakeServer, str, str], None] = lambda _server, _method, _path: None

    @property
    def api(self) -> KubeApi:
        return KubeApi(self, "https://192.168.66.10:6443", "/etc/kubernetes/admin.conf")

    def __call__(self, method: str, path: str, query: Query, body: dict[str, t.Any] | None) -> bytes:
        self.asked.append((method, path))
        self.queries.append(dict(query))
        self.before(self, method, path)
        if method == "GET" and path.endswith("/log"):
            return self._log(path).encode()
        if method == "GET" and path in self.lists:
            return json.dumps({"items": self.lists[path], "metadata": {}}).encode()
        if method == "DELETE" and body:
            return self._delete(path, body)
        if path not in self.objects:
            raise TransportError(404, f"{path} not found")
        if method == "PUT" and body:
            return self._put(path, body)
        return json.dumps(self.objects[path]).encode()

    def _log(self, path: str) -> str:
        if path not in self.logs:
            raise TransportError(400, "container is waiting to start")
        return self.logs[path]

    def _put(self, path: str, body: dict[str, t.Any]) -> bytes:
        now = self.objects[path]["metadata"]["resourceVersion"]
        if body["metadata"].get("resourceVersion") != now:
            raise TransportError(409, "the object has been modified; please apply your changes to the latest version")
        self.objects[path] = copy.deepcopy(body)
        self.objects[path]["metadata"]["resourceVersion"] = str(int(now) + 1)
        return json.dumps(self.objects[path]).encode()

    def _delete(self, path: str, body: dict[str, t.Any]) -> bytes:
        parent, _slash, name = path.rpartition("/")
        found = [one for one in self.lists.get(parent, []) if one["metadata"]["name"] == name]
        if not found:
            raise TransportError(404, f"pods {name} not found")
        if found[0]["metadata"]["uid"] != body["preconditions"]["uid"]:
            raise TransportError(409, "the UID in the precondition does not match")
        self.lists[parent].remove(found[0])
        return b"{}"

    def edit_config(self, text: str) -> None:
        """What a colleague with kubectl does."""
        resource = self.objects[CONFIG_MAP]
        resource["data"]["config.conf"] = text
        resource["metadata"]["resourceVersion"] = str(int(resource["metadata"]["resourceVersion"]) + 1)

    @property
    def config(self) -> str:
        text: str = self.objects[CONFIG_MAP]["data"]["config.conf"]
        return text

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [one for one in self.asked if one[0] != "GET"]
