# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node moved between the two DaemonSets of a switch. Private to this collection.

Three steps: a label that neither DaemonSet matches, until the old pod is gone; the other one's label (or none); its pod Ready.
Source: C(podsShouldBeOnNode) in C(pkg/controller/daemon/daemon_controller.go) of release 1.37 (the controller deletes the pod of a
node that does not match any more, and makes none while one of its own is on its way out).
"""

from __future__ import annotations

import copy
import time
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_switch_model as model
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import Object, labels_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import (
    ProxyPod,
    is_owned_by,
    is_there,
    parse_pod,
    the_one,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod_watch import POLL_SECONDS, Watch

ATTEMPTS = 5

STOP = "stop"
WAIT_GONE = "wait until it is gone"
START = "start"
WAIT_READY = "wait until it is Ready"


@dataclass(frozen=True)
class NodeState:
    """A node in a switch.

    :param label: empty: the original DaemonSet runs it
    :param mode: of the second pair; empty when there is none
    :param is_guarded: whether the original DaemonSet keeps off nodes with the label
    :param pod: the kube-proxy that is there and not on its way out
    :param pods: also those on their way out
    """

    label: str
    mode: str
    is_guarded: bool
    pod: ProxyPod | None
    pods: tuple[ProxyPod, ...]


NodePlan = Plan[NodeState, str]


@dataclass(frozen=True)
class Move:
    """A node that one of the DaemonSets shall run. C(stopped): that none shall run for now."""

    node: str
    daemon_set: str
    to_second: bool
    stopped: bool = False

    @property
    def target(self) -> str:
        """The name of the DaemonSet that shall run the node."""
        return model.pair(self.daemon_set)[self.to_second]

    def label(self, state: NodeState) -> str:
        if self.stopped:
            return model.SWITCHING
        return state.mode if self.to_second else ""

    def in_the_way(self, state: NodeState) -> list[ProxyPod]:
        """The pods that have to be gone before the next one may start."""
        return [pod for pod in state.pods if self.stopped or pod.daemon_set != self.target]

    def is_done(self, state: NodeState) -> bool:
        if state.label != self.label(state) or self.in_the_way(state):
            return False
        return self.stopped or bool(state.pod and state.pod.ready)

    def plan(self, before: NodeState) -> NodePlan:
        self.refuse(before)
        if self.is_done(before):
            return Plan(before, before)
        operations = [name for name, is_due in self._due(before) if is_due]
        pods = () if self.stopped else (ProxyPod("", "", "", self.node, True, "Running", daemon_set=self.target),)
        after = replace(before, label=self.label(before), pods=pods, pod=pods[0] if pods else None)
        return Plan(before, after, tuple(operations), tuple(self._words(name, before) for name in operations))

    def _due(self, state: NodeState) -> tuple[tuple[str, bool], ...]:
        others, label = self.in_the_way(state), self.label(state)
        through = bool(others) or state.label not in (label, model.SWITCHING)
        return (
            (STOP, through and state.label != model.SWITCHING),
            (WAIT_GONE, through),
            (START, not self.stopped and (through or state.label != label)),
            (WAIT_READY, not self.stopped),
        )

    def _words(self, operation: str, state: NodeState) -> str:
        old = ", ".join(pod.name for pod in state.pods) or "the old pod"
        label = self.label(state)
        return {
            STOP: f"label node {self.node} {model.LABEL}={model.SWITCHING}: no kube-proxy starts there",
            WAIT_GONE: f"wait until {old} is gone",
            START: f"label node {self.node} {model.LABEL}={label}: DaemonSet {self.target} starts its pod there"
            if label
            else f"remove the label {model.LABEL} of node {self.node}: DaemonSet {self.target} starts its pod there",
            WAIT_READY: f"wait until the pod of DaemonSet {self.target} on node {self.node} is Ready",
        }[operation]

    def refuse(self, state: NodeState) -> None:
        """Raise where the label would not do what it is for."""
        if (self.to_second and not state.mode) or ((self.to_second or self.stopped) and not state.is_guarded):
            raise KubeProxyError(
                f"Node {self.node} cannot be moved; nothing was changed",
                f"no switch is in progress (DaemonSet {self.daemon_set} does not keep off nodes with the label {model.LABEL}, "
                "or there is no second one)",
                "Begin it with kube_proxy_switch, state=present.",
            )


def render(state: NodeState) -> str:
    """For the diff: the next pod's name cannot be known before it is there."""
    lines = [f"label {model.LABEL}: {state.label or 'none'}\n"]
    for pod in state.pods:
        how = "on its way out" if pod.leaving else "Ready" if pod.ready else "not Ready"
        lines.append(f"pod {pod.name or '(a new one)'} of DaemonSet {pod.daemon_set}: {how}\n")
    return "".join(lines if state.pods else [*lines, "no pod\n"])


@dataclass(frozen=True)
class MoveWork:
    """Moving in one cluster. C(now) and C(sleep) are injected by tests.

    :param timeout: how long the old pod may take to go, and the new one to come, in seconds
    """

    api: kube.KubeApi
    namespace: str
    move: Move
    timeout: float
    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep

    def read(self) -> NodeState:
        names = model.pair(self.move.daemon_set)
        node = self.api.get(kube.node(self.move.node))
        original, second = (self.api.find(kube.daemon_set(self.namespace, name)) for name in names)
        found = self._pods()
        template = ((original or {}).get("spec") or {}).get("template") or {}
        return NodeState(
            label=str(labels_of(node).get(model.LABEL) or ""),
            mode=model.mark_of(second),
            is_guarded=model.has_guard(model.affinity_of(template)),
            pod=the_one(found, names, self.move.node),
            pods=tuple(parse_pod(pod) for pod in found if is_owned_by(pod, names)),
        )

    def _pods(self) -> list[kube.Object]:
        on_node = {"fieldSelector": f"spec.nodeName={self.move.node}"}
        return [pod for pod in self.api.list_all(kube.pods(self.namespace), on_node) if is_there(pod)]

    def _the_pod(self) -> ProxyPod | None:
        return the_one(self._pods(), model.pair(self.move.daemon_set), self.move.node)

    def apply(self, plan: NodePlan) -> None:
        if STOP in plan.operations:
            self._label(plan.before.label, model.SWITCHING)
        if WAIT_GONE in plan.operations:
            self._wait_gone()
        if START in plan.operations:
            through = STOP in plan.operations
            self._label(model.SWITCHING if through else plan.before.label, plan.after.label)
        if WAIT_READY in plan.operations:
            watch = Watch(self.api, self.move.node, self.timeout, self.now, self.sleep)
            watch.until_settled(self._the_pod, lambda pod: pod.daemon_set == self.move.target)

    def _label(self, before: str, after: str) -> None:
        """The kubelet writes the node's status all the time: on a conflict it is read again."""
        ref = kube.node(self.move.node)
        for _attempt in range(ATTEMPTS):
            node = self.api.get(ref)
            now = str(labels_of(node).get(model.LABEL) or "")
            if now == after:
                return
            if now != before:
                raise KubeProxyError(
                    f"Somebody else labels node {self.move.node}",
                    f"{model.LABEL} is {now or 'gone'}, it was {before or 'not there'} a moment ago",
                    "Let only one switch run at a time (kube_lease), then run again.",
                )
            try:
                self.api.replace(ref, _labelled(node, after))
            except kube.Conflict:
                continue
            return
        raise KubeProxyError(
            f"Could not label node {self.move.node}", f"it changed {ATTEMPTS} times at the same moment", "Run again."
        )

    def _wait_gone(self) -> None:
        """The API server may be away in between: it is asked again."""
        end = self.now() + self.timeout
        while True:
            problem, details = "", {}
            try:
                left = self.move.in_the_way(self.read())
                if not left:
                    return
                problem = ", ".join(str(pod) for pod in left)
                details = {"uid": left[0].uid}
            except kube.NotFound:
                raise
            except kube.ApiError as error:
                problem = str(error)
            if self.now() >= end:
                raise KubeProxyError(
                    f"The old kube-proxy on node {self.move.node} is not gone after {self.timeout:g} s",
                    problem,
                    "Look at the node's kubelet and at kube-controller-manager, then run again: this goes on where it ended.",
                    details,
                )
            self.sleep(POLL_SECONDS)


def _labelled(node: Object, label: str) -> dict[str, t.Any]:
    body = copy.deepcopy(dict(node))
    labels = {key: value for key, value in labels_of(node).items() if key != model.LABEL}
    body["metadata"]["labels"] = {**labels, **({model.LABEL: label} if label else {})}
    return body
