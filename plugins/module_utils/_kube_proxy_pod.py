# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy's pods: which they are, and their states. Pure. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError

Object = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class ProxyPod:
    """A pod that is kube-proxy on one node. C(daemon_set) is whose it is, C(leaving) whether it is on its way out."""

    namespace: str
    name: str
    uid: str
    node: str
    ready: bool = False
    phase: str = ""
    container: str = ""
    trouble: str = ""
    restarts: int = 0
    started_at: str = ""
    daemon_set: str = ""
    leaving: bool = False

    def __str__(self) -> str:
        trouble = f", {self.trouble}" if self.trouble else ""
        leaving = ", on its way out" if self.leaving else ""
        return f"{self.namespace}/{self.name} is {self.phase}{trouble}, {self.restarts} restarts{leaving}"


def parse_pod(obj: Object) -> ProxyPod:
    """A Pod object. Its kube-proxy container is the one of that name, else the only one."""
    metadata, spec, status = obj.get("metadata") or {}, obj.get("spec") or {}, obj.get("status") or {}
    names = [str(container.get("name")) for container in spec.get("containers") or []]
    container = "kube-proxy" if "kube-proxy" in names or not names else names[0]
    statuses = status.get("containerStatuses") or []
    of_container: Object = next((one for one in statuses if one.get("name") == container), {})
    state = of_container.get("state") or {}
    conditions = {one.get("type"): one.get("status") for one in status.get("conditions") or []}
    return ProxyPod(
        namespace=str(metadata.get("namespace")),
        name=str(metadata.get("name")),
        uid=str(metadata.get("uid")),
        node=str(spec.get("nodeName") or ""),
        ready=conditions.get("Ready") == "True",
        phase=str(status.get("phase") or "Unknown"),
        container=container,
        trouble=_trouble(state, of_container.get("lastState") or {}),
        restarts=int(of_container.get("restartCount") or 0),
        started_at=str((state.get("running") or {}).get("startedAt") or ""),
        daemon_set=daemon_set_of(obj),
        leaving=bool(metadata.get("deletionTimestamp")),
    )


def _trouble(state: Object, last: Object) -> str:
    for what, now in (("waiting", state.get("waiting")), ("terminated", state.get("terminated"))):
        if now:
            words = " ".join(str(now[key]) for key in ("reason", "message") if now.get(key))
            return f"container {what}: {words or 'no reason given'}"
    before = last.get("terminated")
    return f"container ended before with exit code {before.get('exitCode')}" if before else ""


def daemon_set_of(obj: Object) -> str:
    """The DaemonSet that made a pod; empty when none did."""
    owners = (obj.get("metadata") or {}).get("ownerReferences") or []
    return next((str(owner.get("name")) for owner in owners if owner.get("kind") == "DaemonSet"), "")


def is_owned_by(obj: Object, daemon_sets: t.Collection[str]) -> bool:
    return daemon_set_of(obj) in daemon_sets


def is_kube_proxy(obj: Object) -> bool:
    metadata = obj.get("metadata") or {}
    names = [container.get("name") for container in (obj.get("spec") or {}).get("containers") or []]
    return "kube-proxy" in names or (metadata.get("labels") or {}).get("k8s-app") == "kube-proxy"


def is_there(obj: Object) -> bool:
    """Not over: its containers may run, also those of a pod on its way out."""
    return (obj.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def is_alive(obj: Object) -> bool:
    """Neither on its way out nor over."""
    return is_there(obj) and not (obj.get("metadata") or {}).get("deletionTimestamp")


def the_one(objects: t.Iterable[Object], daemon_sets: t.Sequence[str], node: str) -> ProxyPod | None:
    """The pod on a node that one of the DaemonSets made. Two kube-proxies on a node fight for the kernel: that is an error."""
    alive = [obj for obj in objects if is_alive(obj) and (is_owned_by(obj, daemon_sets) or is_kube_proxy(obj))]
    if len(alive) > 1:
        names = ", ".join(sorted(str(obj["metadata"]["name"]) for obj in alive))
        raise KubeProxyError(
            f"There is more than one kube-proxy on node {node}",
            names,
            "They undo each other's work. Find out which DaemonSets or manifests run them, and leave one.",
        )
    if alive and not is_owned_by(alive[0], daemon_sets):
        raise KubeProxyError(
            f"kube-proxy on node {node} is not of DaemonSet {daemon_sets[0]}",
            f"it is pod {alive[0]['metadata']['name']}",
            "Name its DaemonSet with the option daemon_set.",
        )
    return parse_pod(alive[0]) if alive else None
