# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node's kube-proxy pod, restarted: its states, and what a restart takes. Private to this collection."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError

Object = t.Mapping[str, t.Any]

DELETE = "delete"
WAIT = "wait"

LOG_LINES = 20
POLL_SECONDS = 1.0
# kube-proxy has no readiness probe: Ready means started. One that refuses its configuration says so and is gone within
# seconds, so it counts as started when it has said something and was still there a little later.
SETTLE_SECONDS = 3.0
SILENT_SECONDS = 15.0
# Two restarts are a crash loop: the third start comes only after 20 seconds of back-off.
CRASHES = 2


@dataclass(frozen=True)
class ProxyPod:
    """A pod that is kube-proxy on one node."""

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

    def __str__(self) -> str:
        trouble = f", {self.trouble}" if self.trouble else ""
        return f"{self.namespace}/{self.name} is {self.phase}{trouble}, {self.restarts} restarts"


PodPlan = Plan[t.Optional[ProxyPod], str]


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
    )


def _trouble(state: Object, last: Object) -> str:
    for what, now in (("waiting", state.get("waiting")), ("terminated", state.get("terminated"))):
        if now:
            words = " ".join(str(now[key]) for key in ("reason", "message") if now.get(key))
            return f"container {what}: {words or 'no reason given'}"
    before = last.get("terminated")
    return f"container ended before with exit code {before.get('exitCode')}" if before else ""


def is_owned_by(obj: Object, daemon_set: str) -> bool:
    owners = (obj.get("metadata") or {}).get("ownerReferences") or []
    return any(owner.get("kind") == "DaemonSet" and owner.get("name") == daemon_set for owner in owners)


def is_kube_proxy(obj: Object) -> bool:
    metadata = obj.get("metadata") or {}
    names = [container.get("name") for container in (obj.get("spec") or {}).get("containers") or []]
    return "kube-proxy" in names or (metadata.get("labels") or {}).get("k8s-app") == "kube-proxy"


def is_alive(obj: Object) -> bool:
    """Neither on its way out nor over."""
    over = (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not over and not (obj.get("metadata") or {}).get("deletionTimestamp")


def the_one(objects: t.Iterable[Object], daemon_set: str, node: str) -> ProxyPod | None:
    """The DaemonSet's pod on a node. Two kube-proxies on a node fight for the kernel: that is an error."""
    alive = [obj for obj in objects if is_alive(obj) and (is_owned_by(obj, daemon_set) or is_kube_proxy(obj))]
    if len(alive) > 1:
        names = ", ".join(sorted(str(obj["metadata"]["name"]) for obj in alive))
        raise KubeProxyError(
            f"There is more than one kube-proxy on node {node}",
            names,
            "They undo each other's work. Find out which DaemonSets or manifests run them, and leave one.",
        )
    if alive and not is_owned_by(alive[0], daemon_set):
        raise KubeProxyError(
            f"kube-proxy on node {node} is not of DaemonSet {daemon_set}",
            f"it is pod {alive[0]['metadata']['name']}",
            "Name its DaemonSet with the option daemon_set.",
        )
    return parse_pod(alive[0]) if alive else None


@dataclass(frozen=True)
class Restart:
    """A restart that is wanted: on that node, a Ready pod of another uid than C(old_uid)."""

    node: str
    old_uid: str

    def is_done(self, pod: ProxyPod | None) -> bool:
        return pod is not None and pod.ready and pod.uid != self.old_uid

    def plan(self, pod: ProxyPod | None) -> PodPlan:
        after = ProxyPod("", "", "", self.node, ready=True, phase="Running")
        if self.is_done(pod):
            return Plan(pod, pod)
        if pod is not None and pod.uid == self.old_uid:
            actions = (f"delete pod {pod.namespace}/{pod.name} on node {self.node}", "wait until the next one is Ready")
            return Plan(pod, after, (DELETE, WAIT), actions)
        return Plan(pod, after, (WAIT,), (f"wait until kube-proxy on node {self.node} is Ready",))


def render(pod: ProxyPod | None) -> str:
    """For the diff: the next pod's name cannot be known before it is there."""
    if pod is None:
        return "no pod\n"
    return f"pod {pod.name or '(a new one)'}: {'Ready' if pod.ready else 'not Ready'}\n"


@dataclass(frozen=True)
class Life:
    """Since when a pod has been Ready, and since when its log has lines."""

    ready_since: float | None = None
    spoken_since: float | None = None

    def seen(self, now: float, ready: ProxyPod | None, speaks: t.Callable[[ProxyPod], bool]) -> Life:
        if ready is None:
            return Life()
        spoken = self.spoken_since if self.spoken_since is not None else (now if speaks(ready) else None)
        return Life(now if self.ready_since is None else self.ready_since, spoken)

    def has_settled(self, now: float) -> bool:
        spoken = self.spoken_since is not None and now - self.spoken_since >= SETTLE_SECONDS
        return spoken or (self.ready_since is not None and now - self.ready_since >= SILENT_SECONDS)


@dataclass(frozen=True)
class PodWork:
    """Restarting in one cluster. C(now) and C(sleep) are injected by tests."""

    api: kube.KubeApi
    namespace: str
    daemon_set: str
    restart: Restart
    timeout: float
    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep

    def read(self) -> ProxyPod | None:
        on_node = {"fieldSelector": f"spec.nodeName={self.restart.node}"}
        return the_one(self.api.list_all(kube.pods(self.namespace), on_node), self.daemon_set, self.restart.node)

    def apply(self, plan: PodPlan) -> None:
        if DELETE in plan.operations and plan.before:
            try:
                self.api.delete(kube.pod(plan.before.namespace, plan.before.name), plan.before.uid)
            except (kube.NotFound, kube.Conflict):
                pass  # the pod of that uid is gone already, which is what deleting it was for
        self._wait()

    def _wait(self) -> None:
        """Until a new pod has been Ready for a while. The API server may be away in between: it is asked again."""
        end = self.now() + self.timeout
        life = Life()
        problem: object = "no pod has been made yet"
        while True:
            pod, unreachable = self._look()
            life = life.seen(self.now(), pod if self.restart.is_done(pod) else None, self._speaks)
            if life.has_settled(self.now()):
                return
            problem = unreachable or pod or problem
            if pod and pod.uid != self.restart.old_uid and pod.restarts >= CRASHES:
                raise self._late(pod, "keeps crashing")
            if self.now() >= end:
                raise self._late(problem, f"is not Ready after {self.timeout:g} s")
            self.sleep(POLL_SECONDS)

    def _speaks(self, pod: ProxyPod) -> bool:
        return bool(self.log(pod))

    def _look(self) -> tuple[ProxyPod | None, kube.ApiError | None]:
        try:
            return self.read(), None
        except kube.ApiError as error:
            return None, error

    def _late(self, problem: object, how: str) -> KubeProxyError:
        pod = problem if isinstance(problem, ProxyPod) else None
        log = self.log(pod) if pod else []
        last = f" Its last log lines: {' | '.join(log[-5:])}" if log else ""
        return KubeProxyError(
            f"kube-proxy on node {self.restart.node} {how}",
            f"{problem}.{last}",
            "Correct what it complains about (kubectl describe pod tells more), then run again.",
            {"uid": pod.uid if pod else "", "started_at": pod.started_at if pod else "", "log_tail": log},
        )

    def log(self, pod: ProxyPod) -> list[str]:
        return last_words(self.api, pod)


def last_words(api: kube.KubeApi, pod: ProxyPod) -> list[str]:
    """The last lines of a pod's log, of the container's last life when this one has said nothing yet."""
    ref = kube.pod(pod.namespace, pod.name)
    lives = (False, True) if pod.restarts else (False,)
    for previous in lives:
        try:
            lines = api.log(ref, pod.container, LOG_LINES, previous)
        except kube.ApiError:
            continue  # no log is no reason to hide what is known
        if lines:
            return lines
    return []
