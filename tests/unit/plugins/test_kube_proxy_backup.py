# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy's objects kept and put back: what is written, what is not, and what people are told to do."""

from __future__ import annotations

import copy
import json
import typing as t
from types import SimpleNamespace

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import KubeApi
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_backup import (
    READ_AT_START,
    ROLLS_AGAIN,
    objects_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_backup_work import BackupWork, restored
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names
from tests.unit.plugins.kube_api_server import CONFIG_MAP, DAEMON_SET, FakeServer

NAMES = Names("kube-system", "kube-proxy", "kube-proxy")
SECOND = f"{DAEMON_SET}-switch"
SYSTEM = "/api/v1/namespaces/kube-system"
Value = dict[str, t.Any]


class Server(FakeServer):
    """With a namespace, a clock, and objects that can be created."""

    def __init__(self) -> None:
        super().__init__()
        self.objects[SYSTEM] = {"metadata": {"uid": "u1"}}
        self.objects[DAEMON_SET]["metadata"]["resourceVersion"] = "9"
        self.objects[DAEMON_SET]["status"]["updatedNumberScheduled"] = 3

    @property
    def api(self) -> KubeApi:
        return KubeApi(self, date=lambda: "Wed, 25 Nov 2026 18:04:05 GMT")

    def __call__(self, method: str, path: str, query: t.Any, body: Value | None) -> bytes:
        if method == "POST" and body:
            self.asked.append((method, path))
            body["metadata"]["resourceVersion"] = "1"
            self.objects[f"{path}/{body['metadata']['name']}"] = copy.deepcopy(body)
            return json.dumps(body).encode()
        before = self.objects.get(path, {}).get("spec")
        answer = super().__call__(method, path, query, body)
        if method == "PUT" and before != self.objects[path].get("spec"):
            self.objects[path]["metadata"]["generation"] += 1
        return answer

    def controller(self, updated: int) -> None:
        """The DaemonSet controller has looked, and that many pods are of the newest template."""
        generation = self.objects[DAEMON_SET]["metadata"]["generation"]
        self.objects[DAEMON_SET]["status"].update(observedGeneration=generation, updatedNumberScheduled=updated)

    @property
    def spec(self) -> Value:
        found: Value = self.objects[DAEMON_SET]["spec"]
        return found

    def take(self) -> Value:
        return t.cast(Value, json.loads(json.dumps(BackupWork(self.api, NAMES).take())))

    def restore(self, value: Value, check: bool = False) -> Value:
        module = t.cast(t.Any, SimpleNamespace(check_mode=check))
        then = objects_of(value, "kube-system", "kube-proxy", "kube-proxy")
        return restored(module, BackupWork(self.api, NAMES), then)


@pytest.fixture
def server() -> Server:
    return Server()


def test_what_is_kept(server: Server) -> None:
    assert server.take() == {
        "format": 1,
        "taken_at": "2026-11-25T18:04:05Z",
        "cluster": "u1",
        "config_map": server.objects[CONFIG_MAP],
        "daemon_set": server.objects[DAEMON_SET],
    }
    assert server.writes == []
    del server.objects[DAEMON_SET]
    with pytest.raises(KubeProxyError, match="There is no DaemonSet kube-system/kube-proxy"):
        server.take()


def test_nothing_is_written_where_nothing_differs(server: Server) -> None:
    value = server.take()
    # Somebody's annotation, a status, and a later restart by kubectl are none of a restore's business.
    server.objects[CONFIG_MAP]["metadata"]["annotations"] = {"mine": "1"}
    server.objects[DAEMON_SET]["status"]["numberReady"] = 2
    server.spec["template"]["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/restartedAt": "2026-11-25T19:00:00Z", "netops.kube-proxy/config-version": "8",
    }  # fmt: skip  # one mapping a line
    done = server.restore(value)
    assert (done["changed"], done["next_steps"], server.writes) == (False, [], [])


def test_the_config_map_comes_back_and_nothing_restarts(server: Server) -> None:
    value, text = server.take(), server.config
    server.edit_config(text.replace("mode: iptables", "mode: ipvs"))
    server.objects[CONFIG_MAP]["data"]["more"] = "x"
    server.objects[CONFIG_MAP]["metadata"]["labels"]["mine"] = "1"
    predicted = server.restore(value, check=True)
    assert server.writes == []
    done = server.restore(value)
    assert done == predicted
    assert done["actions"] == ["Put back the data of ConfigMap kube-system/kube-proxy"]
    assert done["next_steps"] == [READ_AT_START]
    assert server.objects[CONFIG_MAP]["data"] == value["config_map"]["data"]
    assert server.objects[CONFIG_MAP]["metadata"]["labels"]["mine"] == "1"
    assert server.writes == [("PUT", CONFIG_MAP)]
    assert "mode: ipvs" in done["diff"]["before"]
    assert "mode: ipvs" not in done["diff"]["after"]
    assert not server.restore(value)["changed"]


def test_a_template_comes_back_without_a_rollout(server: Server) -> None:
    value = server.take()
    image = server.spec["template"]["spec"]["containers"][0]["image"]
    server.spec["template"]["spec"]["containers"][0]["image"] = "registry.k8s.io/kube-proxy:v1.36.3"
    server.spec["template"]["metadata"]["annotations"] = {"netops.kube-proxy/config-version": "8"}
    done = server.restore(value)
    assert done["next_steps"] == [ROLLS_AGAIN]
    assert server.spec["template"]["spec"]["containers"][0]["image"] == image
    assert server.spec["updateStrategy"] == {"type": "OnDelete"}
    assert server.spec["template"]["metadata"]["annotations"] == {"netops.kube-proxy/config-version": "8"}
    # The controller has not looked yet, though its numbers are those of a rollout that is done.
    assert not server.restore(value)["changed"]
    server.controller(1)
    waiting = server.restore(value)
    assert (waiting["changed"], waiting["next_steps"]) == (False, [ROLLS_AGAIN])
    server.controller(3)
    assert server.restore(value)["changed"]
    assert server.spec["updateStrategy"] == value["daemon_set"]["spec"]["updateStrategy"]
    assert not server.restore(value)["changed"]


def test_a_template_under_on_delete_is_written_as_it_was(server: Server) -> None:
    server.spec["updateStrategy"] = {"type": "OnDelete"}
    value = server.take()
    server.spec["template"]["spec"]["priorityClassName"] = "other"
    done = server.restore(value)
    assert (done["changed"], done["next_steps"]) == (True, [])
    assert server.spec == value["daemon_set"]["spec"]


def test_what_is_gone_is_created(server: Server) -> None:
    value = server.take()
    del server.objects[CONFIG_MAP], server.objects[DAEMON_SET]
    done = server.restore(value)
    assert [action.split(" ")[0] for action in done["actions"]] == ["Create", "Create"]
    assert server.objects[CONFIG_MAP]["data"] == value["config_map"]["data"]
    assert server.objects[DAEMON_SET]["spec"] == value["daemon_set"]["spec"]
    assert "status" not in server.objects[DAEMON_SET]
    assert not server.restore(value)["changed"]


def test_whoever_was_faster_is_heeded(server: Server) -> None:
    value = server.take()
    server.edit_config("mode: ipvs\n")
    times = [0]

    def meanwhile(_server: FakeServer, method: str, _path: str) -> None:
        if method == "PUT" and not times[0]:
            times[0] = 1
            server.edit_config("mode: nftables\n")

    server.before = meanwhile
    server.restore(value)
    assert [method for method, _path in server.writes] == ["PUT", "PUT"]
    assert server.objects[CONFIG_MAP]["data"] == value["config_map"]["data"]
    server.edit_config("mode: ipvs\n")
    server.before = lambda _server, method, _path: server.edit_config("mode: nftables\n") if method == "PUT" else None
    with pytest.raises(KubeProxyError, match="something else changed it 5 times"):
        server.restore(value)


def _noted(server: Server) -> None:
    server.objects[DAEMON_SET]["metadata"]["annotations"] = {"kube-proxy.netops/switch": "{}"}


REFUSALS: dict[str, tuple[t.Callable[[Server], t.Any], str]] = {
    "another cluster": (
        lambda s: s.objects[SYSTEM].update(metadata={"uid": "u2"}),
        "The snapshot is of another cluster",
    ),
    "a second pair": (lambda s: s.objects.update({SECOND: s.objects[DAEMON_SET]}), "A switch of mode is in progress"),
    "a note": (_noted, "A switch of mode is in progress"),
    "another selector": (
        lambda s: s.spec.update(selector={"matchLabels": {"a": "b"}}),
        "The DaemonSet's selector is another one",
    ),
    "immutable": (
        lambda s: s.objects[CONFIG_MAP].update(immutable=True, data={}),
        "ConfigMap kube-system/kube-proxy is immutable",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusals(server: Server, what: str) -> None:
    value = server.take()
    change, words = REFUSALS[what]
    change(server)
    with pytest.raises(KubeProxyError, match=words):
        server.restore(value)
    assert server.writes == []


CHANGES: dict[str, t.Callable[[Value], t.Any]] = {
    "another format": lambda v: v.update(format=2),
    "a node's": lambda v: v.pop("config_map"),
    "another ConfigMap": lambda v: v["config_map"]["metadata"].update(name="coredns"),
    "another namespace": lambda v: v["daemon_set"]["metadata"].update(namespace="default"),
    "data that is no text": lambda v: v["config_map"].update(data={"config.conf": 1}),
    "data that is a list": lambda v: v["config_map"].update(data=["x"]),
    "no template": lambda v: v["daemon_set"]["spec"].pop("template"),
    "the middle of a switch": lambda v: v["daemon_set"]["metadata"].update(
        annotations={"kube-proxy.netops/switch": "{}"}
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_snapshot_that_is_none_is_refused(server: Server, what: str) -> None:
    value = server.take()
    CHANGES[what](value)
    with pytest.raises(InvalidInput):
        server.restore(value)
    assert server.writes == []
