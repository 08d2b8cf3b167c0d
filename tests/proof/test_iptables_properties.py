# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same as tests/node/test_iptables_properties.py, with more cases than CI has time for."""

from __future__ import annotations

import random

import pytest

from tests.labkit import Node
from tests.labkit.iptables_cases import run_cases

ROUNDS = 10
CASES = 100


@pytest.mark.parametrize(("backend", "by_nft"), [("nft", False), ("nft", True), ("legacy", False)])
def test_any_table(node: Node, backend: str, by_nft: bool) -> None:
    for _ in range(ROUNDS):
        # A failure names its seed.
        run_cases(node, random.randrange(1 << 32), CASES, backend, by_nft)
