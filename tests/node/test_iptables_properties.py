# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random tables on a real kernel, each backend and both ways to write; iptables-save is the witness."""

from __future__ import annotations

import pytest

from tests.labkit import Node
from tests.labkit.iptables_cases import run_cases

CASES = 20
EMPTY = "for b in nft legacy; do for t in nat filter mangle; do iptables-$b -t $t -F; iptables-$b -t $t -X; done; done"


@pytest.mark.parametrize(("backend", "by_nft"), [("nft", False), ("nft", True), ("legacy", False)])
def test_any_table(node: Node, backend: str, by_nft: bool) -> None:
    node.run(EMPTY)
    try:
        assert run_cases(node, 20261124, CASES, backend, by_nft) >= CASES // 3
    finally:
        node.run(EMPTY)
