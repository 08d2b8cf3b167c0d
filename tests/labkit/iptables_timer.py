# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node, beside the collection's code: how long iptables-nft and the module take for the same table."""

from __future__ import annotations

import json
import resource
import statistics
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

WANTED = WantedChains(False, mode="iptables", running_mode="none")
OPTIONS = {"mode": "iptables", "running_mode": "none", "state": "absent", "families": ["ipv4"], "backend": "nft"}
# What the module's own documentation says of the options that are not given.
REST = {"name": None, "table": None, "service": None, "on_foreign": "keep", "resync": False, "resync_timeout": 180}
TIMES = 5


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
    with Path(source).open("rb") as given, Path("/run/bench-output").open("wb") as taken:
        return timed(lambda: subprocess.run([name, *arguments], stdin=given, stdout=taken, check=True))[0]


def left() -> int:
    """Chains of kube-proxy that iptables-save still shows."""
    out = subprocess.run(["iptables-nft-save"], capture_output=True, text=True, check=True).stdout
    return sum(line.startswith(":KUBE-") for line in out.splitlines())


def main(table: str) -> None:
    """Each way on the same table, the reading ones in turn."""
    tool("iptables-nft-restore", table)
    saves, lists = [], []
    for _ in range(TIMES):
        saves.append(tool("iptables-nft-save"))
        lists.append(timed(lambda: work(module(check=True)))[0])
    run, _ = timed(lambda: work(module(check=False)))
    left_by_us = left()

    tool("iptables-nft-restore", table)
    runner = command_runner(module(check=False))
    node = NodeTables(runner, Files())
    plan = plan_chains(WANTED, node.read(("ipv4",), "nft"))
    (transaction,) = plan.operations
    removed, _ = timed(lambda: apply_plan(runner, plan, lambda: plan_chains(WANTED, node.read(("ipv4",), "nft"))))
    left_by_us += left()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    tool("iptables-nft-restore", table)
    Path("removal.txt").write_text(transaction.text, encoding="utf-8")
    restored = tool("iptables-nft-restore", "removal.txt", "--noflush")
    nat = plan.before[transaction.location]
    result = {
        "rules": sum(len(rules) for rules in nat.chains.values()),
        "chains": len(nat.chains),
        "versions": ", ".join(runner([name, "--version"]).out.split(" (")[0].strip() for name in ("iptables", "nft")),
        "iptables-nft-save": statistics.median(saves),
        "listed": statistics.median(lists),
        "removed": removed,
        "run": run,
        "iptables-nft-restore": restored,
        "left": left_by_us,
        "left by iptables": left(),
        "memory": memory,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
