# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(kube_node_drain). Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_node_drain_pods as drain
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_nodes import require_node
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_node_drain import (
    Drain,
    DrainPlan,
    DrainWork,
    render,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Cordon, drain or uncordon the node."""
    params = module.params
    if params["timeout"] <= 0:
        raise InvalidInput("timeout must be at least 1 second", str(params["timeout"]))
    api = connect(params)
    require_node(api, params["node"])
    wanted = Drain(params["state"], drain.Consent(params["delete_empty_dir_data"], params["force"]))
    task = DrainWork(api, params["node"], wanted, params["timeout"])
    return run_converging(module, Steps(task.read, task.drain.plan, task.apply), render, result)


def result(plan: DrainPlan) -> dict[str, t.Any]:
    """Whose cordon it is, and what went and what stayed."""
    return {
        "cordoned": plan.after.is_cordoned,
        "cordoned_by_us": plan.after.is_ours,
        "evicted": sorted(name_of(pod) for pod in drain.evictable(plan.before.pods)),
        "staying": sorted(name_of(pod) for pod in drain.staying(plan.before.pods)),
    }
