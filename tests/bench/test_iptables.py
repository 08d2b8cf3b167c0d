# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""iptables_kube_chain on a table as large as 6,200 Services make it, beside the field's own tools on the same table.

Measured inside the module, on the node: what Ansible takes to start any module and to carry its result is left out.
The tools write to files and read from files.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
import typing as t
from pathlib import Path

from ansible import module_utils

from tests import labkit
from tests.labkit import ROOT, Node
from tests.labkit.kube_rules import nat_table
from tests.labkit.tables import Table, seconds

SERVICES = 6200
CODE = "/run/bench-iptables"
PROGRAM = Path(labkit.__file__).with_name("iptables_timer.py")
PACKAGE = Path("ansible_collections/netops/kube_proxy/plugins/module_utils")


def send(node: Node) -> None:
    """The collection's code, what it needs of Ansible, and the stopwatch, to the node."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in (ROOT / "plugins" / "module_utils").glob("*.py"):
            archive.add(path, PACKAGE / path.name)
        archive.add(Path(module_utils.__file__).parent, "ansible/module_utils")
        archive.add(PROGRAM, PROGRAM.name)
    node.run(
        f"rm -rf {CODE}; mkdir {CODE}; base64 -d | tar xzf - -C {CODE}; touch {CODE}/ansible/__init__.py",
        base64.b64encode(buffer.getvalue()).decode(),
    )
    node.run(f"cat > {CODE}/nat.txt", nat_table(SERVICES))


def test_large_tables(node: Node, table: t.Callable[..., Table]) -> None:
    send(node)
    try:
        seen: dict[str, t.Any] = json.loads(node.run(f"cd {CODE} && python3 {PROGRAM.name} nat.txt"))
    finally:
        node.run("nft delete table ip nat 2>/dev/null; true")
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
    assert seen["left by iptables"] == 0
    assert seen["listed"] <= 1.5 * saved
    assert seen["removed"] <= restored / 5


def ratio(one: float, other: float) -> str:
    return f"{one / other:.2f}"
