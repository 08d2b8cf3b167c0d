# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""5,000 virtual servers with 4 destinations each: ours, ipvsadm's and pyroute2's time, on one node in one run.

"Told to the kernel" is what C(ipvsadm -R) does and nothing more: the messages, made and answered. "Inside the module" is from
the options to the confirmed state, so with checking them and with the readings before and after. "Process" is all: the start
of Python, and what Ansible does with 25,000 items of arguments and as many of results, which is the most of it.
Each addition starts with ip_vs freshly loaded: after a flush the kernel scans its trash list of destinations at every one.

Reading takes three system calls a virtual server (the kernel runs one dump at a time on a socket and ends it in an answer
of its own), so it bounds every run that has to know 5,000 of them: it is compared with C(ipvsadm -Sn), which reads as well.
"""

from __future__ import annotations

import json
import statistics
import typing as t
from dataclasses import dataclass
from pathlib import Path

import ansible.module_utils
import pyroute2

from tests.labkit import ROOT, Node
from tests.labkit.ipvs import CLEAN, LIBRARY, ship
from tests.labkit.tables import Table, seconds

SIZE, REALS, CHANGED = 5000, 4, 100
ROUNDS = 5
_CLIENT = Path(__file__).parents[1] / "labkit" / "ipvs_bench.py"

Figures = dict[str, float]


class Bench:
    """Measurements on one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        ship(
            node,
            (Path(ansible.module_utils.__file__).parent, "ansible/module_utils"),
            (ROOT / "plugins" / "modules", "ansible_collections/netops/kube_proxy/plugins/modules"),
            # That of Debian 13 has no IPVS yet.
            (Path(pyroute2.__file__).parent, "pyroute2"),
        )
        node.run(f"touch {LIBRARY}/ansible/__init__.py; cat >{LIBRARY}/bench.py", stdin=_CLIENT.read_text("utf-8"))

    def clean(self) -> None:
        self.node.run(f"{CLEAN}; modprobe ip_vs && modprobe ip_vs_rr")

    def once(self, what: str, changed: int = 0) -> Figures:
        command = f"PYTHONPATH={LIBRARY} python3 {LIBRARY}/bench.py {what} {SIZE} {REALS} {changed}"
        return t.cast("Figures", json.loads(self.node.run(command)))

    def from_nothing(self, what: str) -> Figures:
        return self._median([self.fresh(what) for _round in range(ROUNDS)])

    def again(self, what: str, changed: int = 0) -> Figures:
        return self._median([self.once(what, changed) for _round in range(ROUNDS)])

    def changing(self, what: str) -> Figures:
        """From the plain table to the changed one, and back in between."""
        rounds = []
        for _round in range(ROUNDS):
            rounds.append(self.once(what, CHANGED))
            self.once("own")
        return self._median(rounds)

    def table(self) -> list[str]:
        return sorted(line.strip() for line in self.node.run("ipvsadm -Sn").splitlines())

    def fresh(self, what: str) -> Figures:
        self.clean()
        return self.once(what)

    @staticmethod
    def _median(rounds: t.Sequence[Figures]) -> Figures:
        return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


@dataclass(frozen=True)
class Measured:
    """All figures of a run: of ours the steps inside (own) and the whole process (module)."""

    restore: Figures
    save: Figures
    added: Figures
    added_module: Figures
    changed: Figures
    changed_module: Figures
    unchanged: Figures
    unchanged_module: Figures
    library_added: Figures
    library_read: Figures


def measure(bench: Bench) -> Measured:
    """Each thing beside what it is compared with; after every addition ipvsadm says whether the table is the same."""
    bench.clean()
    bench.once("own")
    expected = bench.table()
    assert len(expected) == SIZE * (1 + REALS)
    bench.node.run("ipvsadm -Sn >/tmp/table")
    restore = bench.from_nothing("restore")
    assert bench.table() == expected
    save = bench.again("save")
    unchanged, unchanged_module = bench.again("own"), bench.again("module")
    changed, changed_module = bench.changing("own"), bench.changing("module")
    library_read = bench.once("pyroute2-read")
    added, added_module = bench.from_nothing("own"), bench.from_nothing("module")
    assert bench.table() == expected
    library_added = bench.fresh("pyroute2-add")
    assert bench.table() == expected
    bench.node.run(CLEAN)
    return Measured(
        restore,
        save,
        added,
        added_module,
        changed,
        changed_module,
        unchanged,
        unchanged_module,
        library_added,
        library_read,
    )


def fill(table: t.Callable[..., Table], found: Measured) -> None:
    rows = table(
        f"IPVS: {SIZE:,} virtual servers with {REALS} real servers each",
        *("what", "told to the kernel", "inside the module", "process", "memory"),
    )
    steps = table("IPVS: inside the module", "what", *("options", "read", "plan", "apply", "confirm"))
    for name, own, process in (
        ("from nothing", found.added, found.added_module),
        (f"{CHANGED} weights changed", found.changed, found.changed_module),
        ("nothing changed", found.unchanged, found.unchanged_module),
    ):
        told = seconds(own["apply"]) if "apply" in own else ""
        rows.add(f"ours, {name}", told, seconds(own["inside"]), seconds(process["process"]), memory(process))
        steps.add(name, *(seconds(own[key]) if key in own else "" for key in steps.columns[1:]))
    for name, other in (
        ("ipvsadm -R, from nothing", found.restore),
        ("ipvsadm -Sn", found.save),
        ("pyroute2, from nothing", found.library_added),
        ("pyroute2, reading", found.library_read),
    ):
        rows.add(name, "", "", seconds(other["process"]), memory(other))


def test_large_tables(node: Node, table: t.Callable[..., Table]) -> None:
    found = measure(Bench(node))
    fill(table, found)
    assert found.restore["process"] / found.added["apply"] >= 40
    assert found.unchanged["inside"] <= found.save["process"]
    assert found.changed["apply"] < found.added["apply"] / 10
    processes = (found.added_module, found.changed_module, found.unchanged_module)
    assert max(process["megabytes"] for process in processes) < 100


def memory(figures: Figures) -> str:
    return f"{figures['megabytes']:.0f} MB"
