# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any table becomes any other on a real kernel; ipvsadm makes the first and judges the second. Thousands: tests/proof."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tests import labkit
from tests.labkit import Node
from tests.labkit.ipvs import CLEAN, LIBRARY, Item, cases, driver, judge, ship

CASES = 300


def test_any_table_becomes_any_other(node: Node) -> None:
    with driver(node) as on:

        @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(cases())
        def check(case: tuple[list[Item], Item, Item]) -> None:
            judge(on, case)

        check()
        assert on.cases >= CASES


def test_a_table_that_grows_is_read_whole(node: Node) -> None:
    """Right after thousands were added to a fresh ip_vs the kernel moves them into a larger table. Of six tries five failed."""
    ship(node)
    program = Path(labkit.__file__).with_name("ipvs_bench.py").read_text("utf-8")
    node.run(f"cat >{LIBRARY}/bench.py", stdin=program)
    try:
        for _ in range(5):
            node.run(f"{CLEAN}; modprobe ip_vs && modprobe ip_vs_rr")
            # It ends with an error when what is read afterwards is not what was added.
            node.run(f"PYTHONPATH={LIBRARY} python3 {LIBRARY}/bench.py own 5000 1 0")
            assert node.run("grep -c '^TCP' /proc/net/ip_vs").strip() == "5000"
    finally:
        node.run(CLEAN)
