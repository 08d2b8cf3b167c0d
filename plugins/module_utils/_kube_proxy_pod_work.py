# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(kube_proxy_pod). Private to this collection."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan, Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_nodes import require_node
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import ProxyPod, the_one
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod_watch import Watch, last_words
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import pair

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


DELETE = "delete"
WAIT = "wait"

PodPlan = Plan[t.Optional[ProxyPod], str]


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
class PodWork:
    """Restarting in one cluster, on a node that either DaemonSet of a switch runs. C(now) and C(sleep) are injected by tests."""

    api: kube.KubeApi
    namespace: str
    daemon_set: str
    restart: Restart
    timeout: float
    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep

    def read(self) -> ProxyPod | None:
        on_node = {"fieldSelector": f"spec.nodeName={self.restart.node}"}
        pods = self.api.list_all(kube.pods(self.namespace), on_node)
        return the_one(pods, pair(self.daemon_set), self.restart.node)

    def apply(self, plan: PodPlan) -> None:
        if DELETE in plan.operations and plan.before:
            try:
                self.api.delete(kube.pod(plan.before.namespace, plan.before.name), plan.before.uid)
            except (kube.NotFound, kube.Conflict):
                pass  # the pod of that uid is gone already, which is what deleting it was for
        watch = Watch(self.api, self.restart.node, self.timeout, self.now, self.sleep)
        watch.until_settled(self.read, lambda pod: pod.uid != self.restart.old_uid)

    def log(self, pod: ProxyPod) -> list[str]:
        return last_words(self.api, pod)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Find the pod, then converge: a restart is done when a pod of another uid is Ready."""
    if module.params["timeout"] <= 0:
        raise InvalidInput("timeout must be at least 1 second", str(module.params["timeout"]))
    task = _task(module, connect(module.params), module.params["unless_uid"] or "")
    if not module.params["unless_uid"]:
        pod = task.read()
        task = replace(task, restart=Restart(task.restart.node, pod.uid if pod else ""))
    steps = Steps(read=task.read, plan=task.restart.plan, apply=task.apply)

    def extra(plan: PodPlan) -> dict[str, t.Any]:
        return _result(task, task.read() if plan.operations and not module.check_mode else plan.before)

    return run_converging(module, steps, render, extra)


def _task(module: AnsibleModule, api: kube.KubeApi, old_uid: str) -> PodWork:
    node = module.params["node"]
    require_node(api, node)
    return PodWork(
        api, module.params["namespace"], module.params["daemon_set"], Restart(node, old_uid), module.params["timeout"]
    )


def _result(task: PodWork, pod: ProxyPod | None) -> dict[str, t.Any]:
    return {
        "uid": pod.uid if pod else "",
        "started_at": pod.started_at if pod else "",
        "log_tail": task.log(pod) if pod else [],
    }
