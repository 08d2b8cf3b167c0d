# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node: one measurement a process. The first argument says which, the second the table; prints figures as JSON."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import typing as t
from pathlib import Path

Figures = dict[str, float]


def table(size: int, reals: int, changed: int = 0) -> list[dict[str, t.Any]]:
    """Virtual servers as a large cluster has them; of C(changed) of them one destination has another weight."""
    return [
        {
            "address": f"10.96.{number // 250}.{number % 250 + 1}",
            "port": 80,
            "real_servers": [
                {
                    "address": f"10.244.{number % 200}.{real + 1}",
                    "port": 8080,
                    "weight": 5 if real == 0 and changed and number % (size // changed) == 0 else 1,
                }
                for real in range(reals)
            ],
        }
        for number in range(size)
    ]


def command(argv: list[str], stdin: str = os.devnull, stdout: str = os.devnull) -> Figures:
    """A process as its parent sees it."""
    started = time.perf_counter()
    with (
        open(stdin, "rb") as source,
        open(stdout, "wb") as sink,
        subprocess.Popen(argv, stdin=source, stdout=sink) as process,
    ):
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv} ended with {process.returncode}")
    return {"process": time.perf_counter() - started, "megabytes": usage.ru_maxrss / 1024}


def own(items: list[dict[str, t.Any]]) -> Figures:
    """What happens inside of the module, step by step: the run is the one of C(_converge)."""
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_session import (
        Session,  # a node has it only where it was shipped
    )
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import (  # the same
        wanted_from_options,
    )

    clock = [time.perf_counter()]

    def lap() -> float:
        clock.append(time.perf_counter())
        return clock[-1] - clock[-2]

    wanted = wanted_from_options({"virtual_servers": items})
    figures = {"options": lap()}
    steps = Session(wanted).steps()
    actual = steps.read()
    figures["read"] = lap()
    plan = steps.plan(actual)
    figures["plan"] = lap()
    if plan.operations:
        steps.apply(plan)
        figures["apply"] = lap()
        if steps.plan(steps.read()).operations:
            raise SystemExit("not what was planned")
        figures["confirm"] = lap()
    return {**figures, "inside": clock[-1] - clock[0]}


def pyroute2(items: list[dict[str, t.Any]], add: bool) -> Figures:
    """The same by the library, as its documentation does it."""
    from pyroute2 import IPVS, IPVSDest, IPVSService  # imported where it is measured

    started = time.perf_counter()
    with IPVS() as ipvs:
        for item in items:
            service = IPVSService(addr=item["address"], port=item["port"], sched_name="rr", protocol=6)
            if add:
                ipvs.service("add", service=service)
                for real in item["real_servers"]:
                    dest = IPVSDest(addr=real["address"], port=real["port"], weight=real["weight"], fwd_method=0)
                    ipvs.dest("add", service=service, dest=dest)
            else:
                list(ipvs.dest("dump", service=service))
    return {
        "process": time.perf_counter() - started,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


MODULE = """
import sys
import ansible.module_utils.basic as basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = open(sys.argv[1], 'rb').read(), 'legacy'
from ansible_collections.netops.kube_proxy.plugins.modules.ipvs_virtual_server import main
main()
"""


def module(items: list[dict[str, t.Any]]) -> Figures:
    """The whole module as a process: Python's start, Ansible's part, options, work, result."""
    arguments = {"virtual_servers": items, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp"}
    Path("/tmp/arguments").write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), encoding="utf-8")
    return command([sys.executable, "-c", MODULE, "/tmp/arguments"], stdout="/tmp/result")


def measure(what: str, items: list[dict[str, t.Any]]) -> Figures:
    if what == "restore":
        return command(["ipvsadm", "-R"], stdin="/tmp/table")
    if what == "save":
        return command(["ipvsadm", "-Sn"], stdout="/tmp/saved")
    if what.startswith("pyroute2"):
        return pyroute2(items, what.endswith("add"))
    return own(items) if what == "own" else module(items)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], table(*map(int, sys.argv[2:])))))
