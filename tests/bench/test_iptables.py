# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""iptables_kube_chain on a table as large as 6,200 Services make it, beside the field's own tools on the same table.

Measured inside the module, on the node: what Ansible takes to start any module and to carry its result is left out.
The tools write to files and read from files.
"""

from __future__ import annotations

import json
import typing as t

from tests.labkit import Node
from tests.labkit.kube_rules import nat_table
from tests.labkit.on_node import send_code
from tests.labkit.tables import Table, seconds

SERVICES = 6200
PROGRAM = "iptables_timer.py"


def test_large_tables(node: Node, table: t.Callable[..., Table]) -> None:
    folder = send_code(node, PROGRAM)
    node.run(f"cat > {folder}/nat.txt", nat_table(SERVICES))
    try:
        seen: dict[str, t.Any] = json.loads(node.run(f"cd {folder} && python3 {PROGRAM} nat.txt"))
    finally:
        node.run(f"nft delete table ip nat 2>/dev/null; rm -rf {folder}")
    rows = table(
        f"iptables_kube_chain, {seen['rules']:,} rules in {seen['chains']:,} chains ({seen['versions']})",
        "What",
        "iptables",
        "The module",
        "Ratio",
    )
    saved, restored = seen["iptables-nft-save"], seen["iptables-nft-restore"]
    rows.add(
        "listed (read, parsed, judged, reported)", seconds(saved), seconds(seen["listed"]), ratio(seen["listed"], saved)
    )
    rows.add("removed (the transaction)", seconds(restored), seconds(seen["removed"]), ratio(seen["removed"], restored))
    rows.add("removed, with reading before and after", "", seconds(seen["run"]), "")
    rows.add("memory of the module", "", f"{seen['memory'] / 1024:.0f} MB", "")

    assert seen["rules"] > 49_000
    assert seen["chains"] > 18_600
    assert seen["left"] == 0
    assert seen["reported"] == seen["chains"]
    assert seen["listed"] <= 1.5 * saved
    assert seen["removed"] <= restored / 5


def ratio(one: float, other: float) -> str:
    return f"{one / other:.2f}"
