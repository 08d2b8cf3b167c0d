# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node, beside the collection's code: one run of the module's own path for each case, on the real kernel.

Reads a list of cases (C(table): an input of iptables-restore; C(wanted): arguments of WantedChains) and writes what
iptables-save said before and after each, what the run said, and what a second run would do. Judging is for others.
"""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t

from ansible.module_utils import basic

from ansible_collections.netops.kube_proxy.plugins.module_utils import _iptables_nft
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import command_runner
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_services import ServicePort
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_write import apply_plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files


def runner() -> t.Any:
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": {}}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    return command_runner(basic.AnsibleModule({}))


def save(backend: str) -> list[str]:
    out = subprocess.check_output([f"iptables-{backend}-save", "-t", "nat"], text=True)
    return [line.partition(" [")[0] for line in out.splitlines() if line.startswith((":", "-A"))]


def one(case: dict[str, t.Any], run: t.Any) -> dict[str, t.Any]:
    backend = case["backend"]
    wanted = WantedChains(
        **{
            **{name: value for name, value in case["wanted"].items() if name != "mode"},
            "modes": tuple(case["wanted"][name] for name in ("mode",) if name in case["wanted"]),
            "names": tuple(case["wanted"].get("names", ())),
            "services": tuple(ServicePort(*port) for port in case["wanted"].get("services", ())),
        }
    )
    node = NodeTables(run, Files())
    steps: Steps[t.Any, t.Any] = Steps(
        read=lambda: node.read(("ipv4",), backend),
        plan=lambda tables: plan_chains(wanted, tables),
        apply=lambda plan: apply_plan(run, plan, lambda: steps.plan(steps.read())),
    )
    subprocess.run([f"iptables-{backend}-restore"], input=case["table"], text=True, check=True)
    seen: dict[str, t.Any] = {"before": save(backend), "error": "", "actions": []}
    try:
        seen["actions"] = list(converge(steps, check_mode=False).actions)
        seen["again"] = list(converge(steps, check_mode=True).actions)
    except KubeProxyError as error:
        seen["error"] = str(error)
    seen["after"] = save(backend)
    return seen


def main() -> None:
    given = json.load(sys.stdin)
    if given["by_nft"]:
        _iptables_nft.WORTHWHILE = 1
    run = runner()
    print(json.dumps([one(case, run) for case in given["cases"]]))


if __name__ == "__main__":
    main()
