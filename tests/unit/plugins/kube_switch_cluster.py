# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster in memory, for tests: an API server with a DaemonSet controller, kubelets and a clock.

The controller does what C(pkg/controller/daemon) of release 1.37 does: it makes and deletes pods by node selector and required node
affinity, keeps ControllerRevisions, replaces pods of another revision under RollingUpdate, and counts the updated ones. As the real
one it reads pods and DaemonSets apart: what it knows of the pods is some rounds old.
"""

from __future__ import annotations

import copy
import hashlib
import json
import typing as t
from collections import deque
from datetime import UTC, datetime, timedelta

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import KubeApi, Query, TransportError
from tests.unit.plugins.kube_api_server import DAEMON_SET, kubeadm_objects, node

Object = dict[str, t.Any]

NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/kube-system/pods"
SETS = "/apis/apps/v1/namespaces/kube-system/daemonsets"
REVISIONS = "/apis/apps/v1/namespaces/kube-system/controllerrevisions"
CONFIG_MAPS = "/api/v1/namespaces/kube-system/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
BUDGETS = "/apis/policy/v1/poddisruptionbudgets"
ALL_PODS = "/api/v1/pods"
HASH = "controller-revision-hash"
LISTS = (NODES, PODS, SETS, REVISIONS, CONFIG_MAPS, LEASES)
# How many rounds late the controller knows of a change of a pod.
LAG = 3
START = datetime(2026, 11, 22, 19, 0, 0, tzinfo=UTC)


SHORT = """apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
oomScoreAdj: null
ipvs:
  scheduler: ""
"""


class Died(BaseException):
    """The process that ran the module was killed."""


def stamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


class SwitchCluster:
    """Objects by path. Each request is one round of the controllers; C(sleep) lets time pass, with a round as well.

    :param die_at: the number of the request at which the process dies, before (or C(after)) the server has carried it out
    :param conflicts: how many PUTs find that somebody was faster
    """

    def __init__(self, *names: str, controller: bool = True) -> None:
        self.objects: dict[str, Object] = {"/version": {"gitVersion": "v1.37.2"}}
        self.version = 100
        self.time = 0.0
        self.asked: list[tuple[str, str]] = []
        self.controller = controller
        self.die_at = -1
        self.die_after = False
        self.conflicts = 0
        self.away: tuple[float, float] = (-1.0, -1.0)
        self.deleted: list[str] = []
        self.stuck: set[str] = set()
        self.logs: dict[str, str] = {}
        self.crashing: set[str] = set()
        self.refused: dict[str, int] = {}
        self._pods_seen: deque[dict[str, Object]] = deque(maxlen=LAG)
        self._number = 0
        for path, obj in kubeadm_objects().items():
            self._add(path, obj)
        # kubeadm's whole text takes long to parse.
        self.config()["data"]["config.conf"] = SHORT
        self.objects[DAEMON_SET]["spec"]["updateStrategy"] = {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
        }
        for name in names or ("cp1", "w1"):
            self._add(f"{NODES}/{name}", node(name))
        self.rounds(10)
        self.asked.clear()
        self.deleted.clear()

    # The API server.

    @property
    def api(self) -> KubeApi:
        return KubeApi(self, "https://192.168.66.10:6443", "/etc/kubernetes/admin.conf", self.date)

    @property
    def clock(self) -> datetime:
        return START + timedelta(seconds=self.time)

    def date(self) -> str:
        return self.clock.strftime("%a, %d %b %Y %H:%M:%S GMT")

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.rounds(1)

    def __call__(self, method: str, path: str, query: Query, body: Object | None) -> bytes:
        self.rounds(1)
        number = len(self.asked)
        self.asked.append((method, path))
        if number == self.die_at and not self.die_after:
            raise Died
        if self.away[0] <= self.time < self.away[1]:
            raise TransportError(0, "Connection refused")
        try:
            if path.endswith("/log"):
                return self.logs.get(path.split("/")[-2], "starting\n").encode()
            return json.dumps(self._answer(method, path, query, body)).encode()
        finally:
            if number == self.die_at:
                raise Died

    def _answer(self, method: str, path: str, query: Query, body: Object | None) -> t.Any:
        if method == "GET" and (path in LISTS or path in (ALL_PODS, BUDGETS)):
            return {"items": self._list(path, query), "metadata": {}}
        if method == "POST" and body and path.endswith("/eviction"):
            return self._evict(path.rpartition("/")[0], body)
        if method == "POST" and body:
            return self._post(f"{path}/{body['metadata']['name']}", body)
        if path not in self.objects:
            raise TransportError(404, f"{path} not found")
        if method == "PUT" and body:
            return self._put(path, body)
        if method == "DELETE" and body:
            return self._delete(path, body)
        return self.objects[path]

    def _list(self, path: str, query: Query) -> list[Object]:
        found = [one for name, one in self.objects.items() if name.rpartition("/")[0] == path]
        if path == ALL_PODS:
            found = [one for name, one in self.objects.items() if name.split("/")[-2] == "pods"]
        if path == BUDGETS:
            found = [one for name, one in self.objects.items() if name.split("/")[-2] == "poddisruptionbudgets"]
        name = query.get("fieldSelector", "").partition("spec.nodeName=")[2]
        return [one for one in found if not name or one["spec"].get("nodeName") == name]

    def _add(self, path: str, obj: Object) -> Object:
        self.version += 1
        self._number += 1
        obj.setdefault("metadata", {}).update(
            resourceVersion=str(self.version), uid=f"uid-{self._number}", creationTimestamp=stamp(self.clock)
        )
        self.objects[path] = obj
        return obj

    def _post(self, path: str, body: Object) -> Object:
        if path in self.objects:
            raise TransportError(409, f"{path} already exists")
        obj = self._add(path, copy.deepcopy(body))
        obj["metadata"]["managedFields"] = [{"manager": "netops.kube_proxy", "time": stamp(self.clock)}]
        if path.startswith(SETS):
            obj["metadata"]["generation"] = 1
            obj["status"] = {}
            obj["spec"].setdefault("revisionHistoryLimit", 10)
        return obj

    def _put(self, path: str, body: Object) -> Object:
        old = self.objects[path]
        if self.conflicts and path != f"{NODES}/none":
            self.conflicts -= 1
            self._touch(old)
        if body["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
            raise TransportError(409, "the object has been modified; please apply your changes to the latest version")
        if path.startswith(PODS) and body["spec"] != old["spec"]:
            raise TransportError(422, "pod updates may not change fields")
        new = copy.deepcopy(body)
        for kept in ("uid", "generation", "creationTimestamp"):
            if kept in old["metadata"]:
                new["metadata"][kept] = old["metadata"][kept]
        if path.startswith(SETS):
            if new["spec"]["selector"] != old["spec"]["selector"]:
                raise TransportError(422, "spec.selector: field is immutable")
            if new["spec"] != old["spec"]:
                new["metadata"]["generation"] += 1
            new["status"] = copy.deepcopy(old["status"])
        new["metadata"]["managedFields"] = [{"manager": "netops.kube_proxy", "time": stamp(self.clock)}]
        self.objects[path] = new
        return self._touch(new)

    def _touch(self, obj: Object) -> Object:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        return obj

    def _delete(self, path: str, body: Object) -> Object:
        if self.objects[path]["metadata"]["uid"] != body["preconditions"]["uid"]:
            raise TransportError(409, "the UID in the precondition does not match")
        if path.split("/")[-2] == "pods":
            self.end(path)
        else:
            del self.objects[path]
        return {}

    def _evict(self, path: str, body: Object) -> Object:
        name = path.rpartition("/")[2]
        if path not in self.objects:
            raise TransportError(404, f"pods {name} not found")
        if self.refused.get(name):
            self.refused[name] -= 1
            raise TransportError(429, "Cannot evict pod as it would violate the pod's disruption budget.")
        return self._delete(path, body["deleteOptions"])

    # Controllers and kubelets.

    def rounds(self, count: int) -> None:
        for _round in range(count):
            self._kubelets()
            self._collect_garbage()
            if self.controller:
                for path in [path for path in self.objects if path.rpartition("/")[0] == SETS]:
                    self._control(self.objects[path])
            self._pods_seen.append(copy.deepcopy(self._of("pods")))

    def _of(self, kind: str) -> dict[str, Object]:
        return {path: one for path, one in self.objects.items() if path.split("/")[-2] == kind}

    def end(self, path: str) -> None:
        """A pod is asked to go; its kubelet needs two rounds for that."""
        metadata = self.objects[path]["metadata"]
        if "deletionTimestamp" not in metadata:
            self.deleted.append(str(self.objects[path]["spec"].get("nodeName")))
            metadata["deletionTimestamp"] = stamp(self.clock)
            metadata["left"] = 2
            self._touch(self.objects[path])

    def _collect_garbage(self) -> None:
        uids = {one["metadata"]["uid"] for one in self._of("daemonsets").values()}
        for path, one in [*self._of("controllerrevisions").items(), *self._of("pods").items()]:
            owners = one["metadata"].get("ownerReferences") or []
            own = path.startswith((PODS, REVISIONS))
            if own and any(owner["kind"] == "DaemonSet" and owner["uid"] not in uids for owner in owners):
                del self.objects[path]

    def _kubelets(self) -> None:
        for path, pod in self._of("pods").items():
            metadata, name = pod["metadata"], pod["metadata"]["name"]
            if "deletionTimestamp" in metadata:
                metadata["left"] -= 1
                if metadata["left"] < 0 and name not in self.stuck:
                    del self.objects[path]
            elif pod["spec"]["nodeName"] in self.crashing and pod["status"].get("restarts", 0) < 3:
                pod["status"] = status(
                    {"waiting": {"reason": "CrashLoopBackOff"}}, pod["status"].get("restarts", 0) + 1
                )
            elif pod["status"].get("phase") == "Pending" and pod["spec"]["nodeName"] not in self.crashing:
                pod["status"] = status({"running": {"startedAt": stamp(self.clock)}})
                self._touch(pod)

    def _control(self, daemon_set: Object) -> None:
        template = daemon_set["spec"]["template"]
        revision = self._revision(daemon_set)
        mark = revision["metadata"]["labels"][HASH]
        seen = self._pods_seen[0] if self._pods_seen else {}
        own = {path: pod for path, pod in seen.items() if _owner(pod) == daemon_set["metadata"]["uid"]}
        desired = updated = 0
        for one in self._of("nodes").values():
            name = one["metadata"]["name"]
            there = {path: pod for path, pod in own.items() if pod["spec"]["nodeName"] == name and path in self.objects}
            alive = {path: pod for path, pod in there.items() if "deletionTimestamp" not in pod["metadata"]}
            should_run = matches(template["spec"], one["metadata"].get("labels") or {})
            desired += should_run
            updated += should_run and any(pod["metadata"]["labels"].get(HASH) == mark for pod in there.values())
            if should_run and not there and not self._is_there(daemon_set, name):
                self._start(daemon_set, name, mark)
            for path, pod in alive.items():
                old = pod["metadata"]["labels"].get(HASH) != mark
                rolling = daemon_set["spec"]["updateStrategy"]["type"] == "RollingUpdate"
                if not should_run or (old and rolling):
                    self.end(path)
        new = {
            "observedGeneration": daemon_set["metadata"]["generation"],
            "desiredNumberScheduled": desired,
            "updatedNumberScheduled": updated,
        }
        if daemon_set["status"] != new:
            daemon_set["status"] = new
            self._touch(daemon_set)

    def _is_there(self, daemon_set: Object, node_name: str) -> bool:
        return any(
            _owner(pod) == daemon_set["metadata"]["uid"] and pod["spec"]["nodeName"] == node_name
            for pod in self._of("pods").values()
        )

    def _revision(self, daemon_set: Object) -> Object:
        template = daemon_set["spec"]["template"]
        uid = daemon_set["metadata"]["uid"]
        own = [one for one in self._of("controllerrevisions").values() if _owner(one) == uid]
        newest = max((one["revision"] for one in own), default=0)
        found = next((one for one in own if one["data"]["spec"]["template"] == {**template, "$patch": "replace"}), None)
        if found is not None:
            others = max((one["revision"] for one in own if one is not found), default=0)
            found["revision"] = max(found["revision"], others + 1)
            return found
        mark = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        name = f"{daemon_set['metadata']['name']}-{mark}"
        return self._add(
            f"{REVISIONS}/{name}",
            {
                "metadata": {
                    "name": name,
                    "labels": {**template["metadata"]["labels"], HASH: mark},
                    "ownerReferences": [{"uid": uid, "kind": "DaemonSet", "controller": True}],
                },
                "revision": newest + 1,
                "data": {"spec": {"template": {**copy.deepcopy(template), "$patch": "replace"}}},
            },
        )

    def _start(self, daemon_set: Object, node_name: str, mark: str) -> None:
        template = copy.deepcopy(daemon_set["spec"]["template"])
        name = f"{daemon_set['metadata']['name']}-{self._number}"
        owner = {"kind": "DaemonSet", "name": daemon_set["metadata"]["name"], "uid": daemon_set["metadata"]["uid"]}
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node_name]}]}
        affinity = template["spec"].setdefault("affinity", {})
        affinity.setdefault("nodeAffinity", {})["requiredDuringSchedulingIgnoredDuringExecution"] = {
            "nodeSelectorTerms": [term]
        }
        self._add(
            f"{PODS}/{name}",
            {
                "metadata": {
                    "name": name,
                    "namespace": "kube-system",
                    "labels": {**template["metadata"]["labels"], HASH: mark},
                    "ownerReferences": [{**owner, "controller": True}],
                },
                "spec": {**template["spec"], "nodeName": node_name},
                "status": {"phase": "Pending"},
            },
        )

    # What tests look at and do.

    def daemon_set(self, name: str = "kube-proxy") -> Object:
        return self.objects[f"{SETS}/{name}"]

    def config(self, name: str = "kube-proxy") -> Object:
        return self.objects[f"{CONFIG_MAPS}/{name}"]

    def edit_config(self, old: str, new: str, name: str = "kube-proxy") -> None:
        """What a colleague with kubectl does."""
        data = self.config(name)["data"]
        if old not in data["config.conf"]:
            raise AssertionError(f"{old} is not in {data['config.conf']}")
        data["config.conf"] = data["config.conf"].replace(old, new)
        self._touch(self.config(name))

    def label(self, name: str, value: str) -> None:
        labels = self.objects[f"{NODES}/{name}"]["metadata"]["labels"]
        labels.pop("kube-proxy.netops/mode", None)
        if value:
            labels["kube-proxy.netops/mode"] = value
        self._touch(self.objects[f"{NODES}/{name}"])

    def label_of(self, name: str) -> str:
        return str(self.objects[f"{NODES}/{name}"]["metadata"]["labels"].get("kube-proxy.netops/mode", ""))

    def running(self) -> dict[str, str]:
        """The DaemonSet whose pod each node has; two are shown as two."""
        found: dict[str, list[str]] = {}
        for path, pod in self._of("pods").items():
            if not path.startswith(PODS):
                continue
            owner = pod["metadata"]["ownerReferences"][0]["name"]
            found.setdefault(pod["spec"]["nodeName"], []).append(owner)
        return {name: "+".join(sorted(owners)) for name, owners in sorted(found.items())}

    def uids(self) -> dict[str, str]:
        own = [pod for path, pod in self._of("pods").items() if path.startswith(PODS)]
        return {pod["spec"]["nodeName"]: pod["metadata"]["uid"] for pod in own}

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [(method, path.rpartition("/")[2]) for method, path in self.asked if method != "GET"]


def status(state: Object, restarts: int = 0) -> Object:
    ready = "running" in state
    return {
        "phase": "Running",
        "restarts": restarts,
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [{"name": "kube-proxy", "state": state, "restartCount": restarts}],
    }


def _owner(obj: Object) -> str:
    return next((str(owner["uid"]) for owner in obj["metadata"].get("ownerReferences") or []), "")


def matches(spec: Object, labels: dict[str, str]) -> bool:
    """C(nodeSelector) and required node affinity; nodes of this cluster have the labels that kubelets set."""
    labels = {"kubernetes.io/os": "linux", **labels}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not affinity:
        return True
    return any(_term(term, labels) for term in affinity["nodeSelectorTerms"])


def _term(term: Object, labels: dict[str, str]) -> bool:
    expressions = term.get("matchExpressions") or []
    answers = {
        "In": lambda one: labels.get(one["key"]) in one["values"],
        "NotIn": lambda one: labels.get(one["key"]) not in one["values"],
        "Exists": lambda one: one["key"] in labels,
        "DoesNotExist": lambda one: one["key"] not in labels,
    }
    return bool(expressions) and all(answers[one["operator"]](one) for one in expressions)
