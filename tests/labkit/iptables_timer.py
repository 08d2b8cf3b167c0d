# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node, beside the collection's code: how long iptables-nft and the module take for the same table."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from ansible.module_utils import basic

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import command_runner
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_work import work
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_write import apply_plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

WANTED = WantedChains(False, modes=("iptables",), running_mode="none")
OPTIONS = {"mode": "iptables", "running_mode": "none", "state": "absent", "families": ["ipv4"], "backend": "nft"}
# What the module's own documentation says of the options that are not given.
REST = {"name": None, "table": None, "service": None, "on_foreign": "keep", "resync": False, "resync_timeout": 180}
TIMES = 2
TOOLS = ("iptables", "nft")
OUTPUT = "/run/bench-output"


def module(check: bool) -> basic.AnsibleModule:
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_check_mode": check}}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    made = basic.AnsibleModule({}, supports_check_mode=True)
    made.params = {**REST, **OPTIONS, "metrics_address": "127.0.0.1:10249"}
    return made


def timed(work: t.Callable[[], t.Any]) -> tuple[float, t.Any]:
    begin = time.monotonic()
    result = work()
    return time.monotonic() - begin, result


def tool(name: str, source: str = "/dev/null", *arguments: str) -> float:
    with Path(source).open("rb") as given, Path(OUTPUT).open("wb") as taken:
        return timed(lambda: subprocess.run([name, *arguments], stdin=given, stdout=taken, check=True))[0]


def left() -> int:
    """Chains of kube-proxy that iptables-save still shows."""
    out = subprocess.run(["iptables-nft-save"], capture_output=True, text=True, check=True).stdout
    return sum(line.startswith(":KUBE-") for line in out.splitlines())


def transaction_of_ours(removal: Path) -> float:
    """How long the module's own way takes for what it would give to iptables-restore, which it leaves in a file."""
    runner = command_runner(module(check=False))
    node = NodeTables(runner, Files())

    def planned() -> t.Any:
        return plan_chains(WANTED, node.read(("ipv4",), "nft"))

    plan = planned()
    removal.write_text("".join(one.text for one in plan.operations), encoding="utf-8")
    return timed(lambda: apply_plan(runner, plan, planned))[0]


def listed() -> float:
    """How long a run in check mode takes, once Ansible has made the module."""
    made = module(check=True)
    return timed(lambda: work(made))[0]


def main(table: str) -> None:
    """Each way on the same table and in turn; the best of each, as other work on the machine only ever adds."""
    saves, lists, removed, restored = [], [], [], []
    removal = Path("removal.txt")
    still_there = 0
    for _ in range(TIMES):
        tool("iptables-nft-restore", table)
        saves.append(tool("iptables-nft-save"))
        lists.append(listed())
        removed.append(transaction_of_ours(removal))
        still_there += left()
        tool("iptables-nft-restore", table)
        saves.append(tool("iptables-nft-save"))
        lists.append(listed())
        restored.append(tool("iptables-nft-restore", str(removal), "--noflush"))
        still_there += left()
    tool("iptables-nft-restore", table)
    shown = Path(OUTPUT)
    tool("iptables-nft-save")
    lines = shown.read_text(encoding="utf-8").splitlines()
    made = module(check=False)
    run, result = timed(lambda: work(made))
    print(
        json.dumps(
            {
                "rules": sum(line.startswith("-A ") for line in lines),
                "chains": sum(line.startswith(":KUBE-") for line in lines),
                "versions": ", ".join(
                    subprocess.check_output([name, "--version"], text=True).split(" (")[0].strip() for name in TOOLS
                ),
                "iptables-nft-save": min(saves),
                "listed": min(lists),
                "removed": min(removed),
                "run": run,
                "reported": len(result["chains"]),
                "iptables-nft-restore": min(restored),
                "left": still_there + left(),
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
