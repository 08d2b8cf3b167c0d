# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests hold kube-proxy still; a child that it has just forked goes by the same name, and must not be the one that is held."""

from __future__ import annotations

from tests.labkit import Node

NAME = "held-process"
START = f"setsid /run/{NAME} infinity </dev/null >/dev/null 2>&1 & echo $!"


def state(node: Node, process: str) -> str:
    return node.run(f"cut -d' ' -f3 /proc/{process}/stat").strip()


def test_the_oldest_of_a_name_is_held_still(node: Node) -> None:
    node.run(f"cp $(command -v sleep) /run/{NAME}")
    older, younger = (node.run(START).strip() for _ in range(2))
    try:
        node.wait("both to have their name", f"test $(pgrep -cx {NAME}) = 2")
        with node.held_still(NAME) as held:
            assert (held, state(node, older), state(node, younger)) == (older, "T", "S")
        assert (state(node, older), state(node, younger)) == ("S", "S")
    finally:
        node.run(f"kill {older} {younger}; rm /run/{NAME}")
