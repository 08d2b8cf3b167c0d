# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(kube_proxy_node). Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_nodes import require_node
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_node import Move, MoveWork, NodePlan, render
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod_watch import last_words

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Have one DaemonSet run the node, or none."""
    params = module.params
    if params["timeout"] <= 0:
        raise InvalidInput("timeout must be at least 1 second", str(params["timeout"]))
    api = connect(params)
    require_node(api, params["node"])
    move = Move(params["node"], params["daemon_set"], params["run_by"] == "switch", params["stage"] == "stopped")
    task = MoveWork(api, params["namespace"], move, params["timeout"])

    def extra(plan: NodePlan) -> dict[str, t.Any]:
        seen = task.read() if plan.operations and not module.check_mode else plan.before
        pod = seen.pod
        return {
            "label": {"before": plan.before.label, "after": plan.after.label},
            "daemon_set": pod.daemon_set if pod else "",
            "uid": pod.uid if pod else "",
            "started_at": pod.started_at if pod else "",
            "log_tail": last_words(api, pod) if pod else [],
        }

    return run_converging(module, Steps(task.read, task.move.plan, task.apply), render, extra)
