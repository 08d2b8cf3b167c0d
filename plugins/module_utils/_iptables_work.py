# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(iptables_kube_chain). Private to this collection."""

from __future__ import annotations

import gc
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import (
    command_runner,
    require_root,
    run_converging,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_report import (
    chain_report,
    save_text,
    survey_report,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_resync import KubeProxy, Resync
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains, wanted_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_write import apply_plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import (
    METRICS_PORT,
    get,
    parse_endpoint,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Tables


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Turn the options into wanted chains, and the node's tables into them."""
    wanted = wanted_chains(module.params)
    endpoint = parse_endpoint("metrics_address", module.params["metrics_address"], METRICS_PORT)
    if module.params["resync_timeout"] <= 0:
        raise InvalidInput("resync_timeout must be at least 1 second", str(module.params["resync_timeout"]))
    require_root()
    # A large table is some hundred thousand values and no cycle: looking for one takes a fifth of the run.
    gc.disable()
    runner = command_runner(module)
    node = NodeTables(runner, Files())
    families = tuple(dict.fromkeys(module.params["families"]))

    def read() -> Tables:
        return node.read(families, module.params["backend"])

    if module.params["resync"]:
        return _resync(module, wanted, Resync(wanted, node, runner, KubeProxy(endpoint, get)), read, node)
    return _converge(module, wanted, runner, read, node)


def _converge(  # the module's own way: what is missing is made, what is too much removed
    module: AnsibleModule, wanted: WantedChains, runner: Runner, read: t.Callable[[], Tables], node: NodeTables
) -> dict[str, t.Any]:
    steps = Steps(
        read=read,
        plan=lambda tables: plan_chains(wanted, tables),
        apply=lambda plan: apply_plan(runner, plan, lambda: steps.plan(steps.read())),
    )
    return run_converging(
        module,
        steps,
        lambda tables: save_text(wanted, tables),
        lambda plan: {**chain_report(wanted, plan), **survey_report(node.last)},
    )


def _resync(  # kube-proxy's way
    module: AnsibleModule, wanted: WantedChains, resync: Resync, read: t.Callable[[], Tables], node: NodeTables
) -> dict[str, t.Any]:
    steps = Steps(
        read=read,
        plan=resync.plan,
        apply=lambda plan: resync.apply(plan, read, module.params["resync_timeout"]),
    )
    return run_converging(
        module,
        steps,
        lambda tables: save_text(wanted, tables),
        lambda plan: {**chain_report(wanted, plan), **survey_report(node.last), "changed": resync.changes(plan)},
    )
