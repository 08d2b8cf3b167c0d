# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node: one case a line in, one answer a line out, all of them in one process.

A case is what ipvsadm is told to make first (C(before), lines for C(ipvsadm -R)) and the options of two runs of the module
(C(first), C(second)). The answer has each run's plan, and what ipvsadm says after the first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_session import Session
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import wanted_from_options


def ipvsadm(*arguments: str, lines: str = "") -> str:
    return subprocess.run(["ipvsadm", *arguments], input=lines, capture_output=True, text=True, check=True).stdout


def actions(params: dict[str, t.Any], check: bool) -> list[str]:
    return list(converge(Session(wanted_from_options(params)).steps(), check).actions)


def run(case: dict[str, t.Any]) -> dict[str, t.Any]:
    ipvsadm("-R", lines="-C\n" + case["before"])
    try:
        foreseen = actions(case["first"], True)
        done = actions(case["first"], False)
    except KubeProxyError as error:
        return {"error": str(error)}
    return {
        "foreseen": foreseen,
        "done": done,
        "table": ipvsadm("-Sn"),
        "thresholds": ipvsadm("-Ln", "--thresholds"),
        "again": actions(case["second"], False),
    }


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
