# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(kube_proxy_pod). Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import (
    PodPlan,
    PodWork,
    ProxyPod,
    Restart,
    render,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


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
    if api.find(kube.node(node)) is None:
        names = ", ".join(sorted(name_of(one) for one in api.list_all(kube.NODES)))
        raise InvalidInput(
            f"There is no node {node}", f"the cluster's nodes are {names}", "Use a Node's name in the API."
        )
    return PodWork(
        api, module.params["namespace"], module.params["daemon_set"], Restart(node, old_uid), module.params["timeout"]
    )


def _result(task: PodWork, pod: ProxyPod | None) -> dict[str, t.Any]:
    return {
        "uid": pod.uid if pod else "",
        "started_at": pod.started_at if pod else "",
        "log_tail": task.log(pod) if pod else [],
    }
