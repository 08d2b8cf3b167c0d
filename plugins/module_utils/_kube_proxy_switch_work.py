# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module C(kube_proxy_switch) does with its options. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import asdict

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import KubeApi
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import KEY, read_document
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_schema import check_release, leaves
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_mode import ModeWork, Wanted
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names, look_around
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch import SwitchPlan, SwitchWork
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import SUFFIX
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_report import (
    differences,
    facts,
    render,
    warning,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def switch_work(api: KubeApi, names: Names, wanted: Wanted | None, timeout: float) -> SwitchWork:
    """The work for a wanted pair (None: none), its deployment looked at and not refused."""
    if wanted is None:
        return SwitchWork(api, names, None, timeout)
    leaves(wanted.settings)
    surroundings = look_around(api, names)
    surroundings.deployment.refuse()
    check_release(wanted.settings, surroundings.releases)
    return SwitchWork(api, names, ModeWork(api, names, wanted, surroundings), timeout)


def result(task: SwitchWork, plan: SwitchPlan) -> dict[str, t.Any]:
    """Where the switch stands afterwards, and what its second pair runs."""
    after = plan.after
    found: dict[str, t.Any] = {**facts(after), "should_run": None, "releases": []}
    if task.planner is not None and after.second_config is not None:
        text = str(after.second_config["data"][KEY])
        config = effective(read_document(text).values, min(task.planner.surroundings.releases, default=None))
        found["should_run"] = {"mode": config["mode"], "settings": {"ipvs": config["ipvs"]}}
        found["releases"] = [asdict(finding) for finding in task.planner.findings(text)]
    return found


def warnings(task: SwitchWork, plan: SwitchPlan) -> list[str]:
    """What a user has to know although nothing failed."""
    if task.planner is None:
        return []
    found = list(task.edit(plan.before).warnings)
    if plan.before.second_config is not None:
        expected = task.edit_of(plan.before, str(plan.before.config["data"][KEY])).after
        differing = differences(task.edit(plan.before).after, expected)
        names = (task.names.config_map, task.names.config_map + SUFFIX)
        found += [warning(plan.before, names, differing)] if differing else []
    return found


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Make the second pair, or take it away."""
    params = module.params
    if params["timeout"] <= 0:
        raise InvalidInput("timeout must be at least 1 second", str(params["timeout"]))
    present = params["state"] == "present"
    wanted = Wanted(params["mode"], params["settings"] or {}) if present else None
    task = switch_work(connect(params), Names.of(params), wanted, params["timeout"])

    def extra(plan: SwitchPlan) -> dict[str, t.Any]:
        found = result(task, plan)
        for text in [*warnings(task, plan), *(one["message"] for one in found["releases"])]:
            module.warn(text)
        restarted = task.restarted(plan.before) if plan.operations and not present and not module.check_mode else []
        if restarted:
            module.warn(
                f"kube-proxy was restarted on {', '.join(restarted)}: the pod template was changed while the switch lasted."
            )
        return {**found, "restarted": restarted}

    return run_converging(module, Steps(task.read, task.plan, task.apply), render, extra)
