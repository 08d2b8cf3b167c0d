# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node, beside the collection's code: how long the first look of service_dataplane_info takes, and how long the field's
tools take for the dumps of the same mode.

C(compare MODE STATE ROUNDS) measures both in turn, C(look STATE) the module alone. C(module STATE) is the process that is measured.
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import time
import typing as t
from pathlib import Path

OUTPUT = "/run/bench-output"
_SAVES = (("iptables-save",), ("ip6tables-save",))
DUMPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "iptables": _SAVES,
    "ipvs": (("ipvsadm", "-Sn"), ("ipset", "save"), ("ip", "-j", "addr"), *_SAVES),
    "nftables": tuple(("nft", "-j", "list", "table", family, "kube-proxy") for family in ("ip", "ip6")),
}


def dump(argv: t.Sequence[str]) -> float:
    """Seconds that a tool takes to write to a file in memory."""
    with Path(OUTPUT).open("wb") as taken:
        begun = time.perf_counter()
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=taken, check=True)
        return time.perf_counter() - begun


def module(state: str) -> None:
    """All that happens inside of the module's main(): the options read, the work, the result printed. Prints the figures in a line behind it."""
    from ansible.module_utils import basic  # a process that only runs tools does without them

    from ansible_collections.netops.kube_proxy.plugins.modules import service_dataplane_info  # the same

    arguments = {
        "ANSIBLE_MODULE_ARGS": {"state": Path(state).read_text(encoding="utf-8"), "_ansible_remote_tmp": "/run"}
    }
    basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = json.dumps(arguments).encode(), "legacy"
    del arguments
    with contextlib.suppress(SystemExit):
        begun = time.perf_counter()
        try:
            service_dataplane_info.main()
        finally:
            taken = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": taken, "megabytes": memory}))


def look(state: str) -> dict[str, t.Any]:
    """The figures of one look in a process of its own, and what the module returned."""
    with Path(OUTPUT).open("w+", encoding="utf-8") as printed:
        subprocess.run([sys.executable, __file__, "module", state], stdout=printed, check=True)
        printed.seek(0)
        result, figures = map(json.loads, printed.read().strip().splitlines())
    return {**figures, "result": result}


def compare(mode: str, state: str, rounds: int) -> dict[str, t.Any]:
    """The best of each, as other work on the machine only ever adds."""
    dumps: dict[str, list[float]] = {" ".join(argv): [] for argv in DUMPS[mode]}
    looks = []
    for _ in range(rounds):
        for argv in DUMPS[mode]:
            dumps[" ".join(argv)].append(dump(argv))
        looks.append(look(state))
    Path(OUTPUT).unlink()
    return {
        "dumps": {name: min(taken) for name, taken in dumps.items()},
        "seconds": min(one["seconds"] for one in looks),
        "megabytes": max(one["megabytes"] for one in looks),
        "results": [one["result"] for one in looks],
    }


def main() -> None:
    action, *rest = sys.argv[1:]
    if action == "module":
        module(*rest)
    else:
        print(json.dumps(look(*rest) if action == "look" else compare(rest[0], rest[1], int(rest[2]))))


if __name__ == "__main__":
    main()
