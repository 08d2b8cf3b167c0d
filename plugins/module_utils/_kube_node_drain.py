# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node cordoned, drained and uncordoned. Private to this collection.

Source: C(evictPods) in C(k8s.io/kubectl/pkg/drain/drain.go) (an eviction that a budget refuses with 429 is asked again every 5 seconds).
"""

from __future__ import annotations

import copy
import time
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_node_drain_pods as drain
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import (
    Object,
    annotations_of,
)

# On a node that we have cordoned. One without it was found so, and stays so.
CORDONED = "kube-proxy.netops/cordoned"

CORDON = "cordon"
EVICT = "evict"
UNCORDON = "uncordon"

ATTEMPTS = 5
POLL_SECONDS = 1.0
RETRY_SECONDS = 5.0

_FORBIDDEN = 403


@dataclass(frozen=True)
class DrainState:
    """A node and the pods on it (empty where they do not matter)."""

    node: Object
    pods: tuple[Object, ...]

    @property
    def is_cordoned(self) -> bool:
        return bool((self.node.get("spec") or {}).get("unschedulable"))

    @property
    def is_ours(self) -> bool:
        """Whether this collection has cordoned it."""
        return CORDONED in annotations_of(self.node)


DrainPlan = Plan[DrainState, str]


@dataclass(frozen=True)
class Drain:
    """What a node shall be: C(cordoned), C(drained) or C(uncordoned)."""

    state: str
    consent: drain.Consent

    def plan(self, before: DrainState) -> DrainPlan:
        if self.state == "uncordoned":
            return self._uncordon(before)
        node, name = before.node, name_of(before.node)
        operations, actions, pods = [], [], before.pods
        if not before.is_cordoned:
            node = cordoned(node)
            operations.append(CORDON)
            actions.append(f"cordon node {name}")
        going = drain.evictable(before.pods) if self.state == "drained" else []
        if going:
            drain.refuse(name, going, self.consent)
            operations.append(EVICT)
            actions += [
                f"wait until pod {name_of(pod)} has ended" if drain.is_leaving(pod) else f"evict pod {name_of(pod)}"
                for pod in going
            ]
            pods = tuple(drain.staying(before.pods))
        return Plan(before, DrainState(node, pods), tuple(operations), tuple(actions))

    def _uncordon(self, before: DrainState) -> DrainPlan:
        if not before.is_ours:
            return Plan(before, before)
        after = replace(before, node=uncordoned(before.node))
        return Plan(before, after, (UNCORDON,), (f"uncordon node {name_of(before.node)}",))


def cordoned(node: Object) -> dict[str, t.Any]:
    body = copy.deepcopy(dict(node))
    body["metadata"]["annotations"] = {**annotations_of(node), CORDONED: "netops.kube_proxy"}
    body["spec"] = {**(body.get("spec") or {}), "unschedulable": True}
    return body


def uncordoned(node: Object) -> dict[str, t.Any]:
    body = copy.deepcopy(dict(node))
    body["metadata"]["annotations"] = {key: value for key, value in annotations_of(node).items() if key != CORDONED}
    body["spec"] = {key: value for key, value in (body.get("spec") or {}).items() if key != "unschedulable"}
    return body


def render(state: DrainState) -> str:
    """For the diff: the node, and what a drain evicts."""
    by = " by this collection" if state.is_ours else ""
    lines = [f"cordoned{by}\n" if state.is_cordoned else "takes pods\n"]
    lines += sorted(f"pod {name_of(pod)}\n" for pod in drain.evictable(state.pods))
    return "".join(lines)


@dataclass(frozen=True)
class DrainWork:
    """Draining in one cluster. C(now) and C(sleep) are injected by tests.

    :param timeout: how long the pods may take to go, in seconds
    """

    api: kube.KubeApi
    name: str
    drain: Drain
    timeout: float
    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep

    def read(self) -> DrainState:
        node = self.api.get(kube.node(self.name))
        return DrainState(node, tuple(self._pods()) if self.drain.state == "drained" else ())

    def _pods(self) -> list[kube.Object]:
        return self.api.list_all(kube.PODS, {"fieldSelector": f"spec.nodeName={self.name}"})

    def apply(self, plan: DrainPlan) -> None:
        if CORDON in plan.operations:
            self._write(lambda state: None if state.is_cordoned else cordoned(state.node))
        if UNCORDON in plan.operations:
            self._write(lambda state: uncordoned(state.node) if state.is_ours else None)
        if EVICT in plan.operations:
            self._evict()

    def _write(self, change: t.Callable[[DrainState], Object | None]) -> None:
        """The kubelet writes the node's status all the time: on a conflict it is read again."""
        ref = kube.node(self.name)
        for _attempt in range(ATTEMPTS):
            body = change(DrainState(self.api.get(ref), ()))
            if body is None:
                return
            try:
                self.api.replace(ref, dict(body))
            except kube.Conflict:
                continue
            return
        raise KubeProxyError(
            f"Could not change node {self.name}", f"it changed {ATTEMPTS} times at the same moment", "Run again."
        )

    def _evict(self) -> None:
        """Until no pod is left that has to go. What a budget refuses is asked again; the API server may be away."""
        end = self.now() + self.timeout
        asked: dict[str, float] = {}
        refusals: dict[str, str] = {}
        while True:
            going: list[Object] | None = None
            problem = ""
            try:
                going = drain.evictable(self._pods())
                drain.refuse(self.name, going, self.drain.consent)
                for pod in going:
                    self._ask(pod, asked, refusals)
            except kube.ApiError as error:
                if error.status == _FORBIDDEN:
                    raise
                problem = str(error)
            if going == []:
                return
            if self.now() >= end:
                raise self._late(going or [], refusals, problem)
            self.sleep(POLL_SECONDS)

    def _ask(self, pod: Object, asked: dict[str, float], refusals: dict[str, str]) -> None:
        metadata, now = pod["metadata"], self.now()
        uid = str(metadata["uid"])
        if drain.is_leaving(pod) or now < asked.get(uid, now):
            return
        asked[uid] = now + RETRY_SECONDS
        try:
            self.api.evict(str(metadata["namespace"]), str(metadata["name"]), uid)
            refusals.pop(uid, None)
        except (kube.NotFound, kube.Conflict):
            pass  # the pod of that uid is gone already, which is what the eviction was for
        except kube.ApiError as error:
            # The namespace of a pod may be on its way out, too: then nothing can be made in it, evictions included.
            no_right = error.status == _FORBIDDEN and "being terminated" not in error.seen
            if no_right or error.status == kube.NO_ANSWER:
                raise
            refusals[uid] = error.seen

    def _late(self, left: t.Sequence[Object], refusals: t.Mapping[str, str], problem: str) -> KubeProxyError:
        try:
            budgets = self.api.list_all(kube.DISRUPTION_BUDGETS)
        except kube.ApiError as error:
            budgets, problem = [], problem or str(error)
        seen = [drain.in_the_way(pod, refusals.get(str(pod["metadata"]["uid"]), ""), budgets) for pod in left]
        held = {name for pod in left for name in drain.budgets_of(pod, budgets)}
        return KubeProxyError(
            f"Node {self.name} is not drained after {self.timeout:g} s",
            "; ".join([*seen, *([problem] if problem else [])]) or "its pods were not seen to go",
            "The node stays cordoned. Have more replicas Ready, change the budget or allow more time, then run again; "
            "or give it back with state=uncordoned.",
            {"left": sorted(name_of(pod) for pod in left), "budgets": sorted(held)},
        )
