# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chains that are matched as a whole say what they say when they are taken apart, and what is wrong is never matched."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _dataplane_iptables_balance as balance
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables import read_iptables
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_usual import Usual, usual
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save

SAVED = (Path(__file__).parents[1] / "fixtures" / "iptables" / "kube-proxy-1.37.2-iptables-ipv4.txt").read_text("utf-8")
CHAIN = "KUBE-SVC-PZZOH4GMXQXQLAH7"
# As kube-proxy 1.37.2 wrote it for three endpoints, without comments as in large clusters for one of them.
RULES: dict[str, tuple[str, ...]] = {
    CHAIN: (
        '! -s 10.244.0.0/16 -d 10.96.0.80/32 -p tcp -m comment --comment "default/h:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ',
        '-m comment --comment "default/h:http -> 10.244.1.3:8080" -m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-AAAAAAAAAAAAAAAA',
        "-m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-BBBBBBBBBBBBBBBB",
        '-m comment --comment "default/h:http -> 10.244.1.2:8080" -j KUBE-SEP-CCCCCCCCCCCCCCCC',
    ),
    "KUBE-SEP-AAAAAAAAAAAAAAAA": (
        '-s 10.244.1.3/32 -m comment --comment "default/h:http" -j KUBE-MARK-MASQ',
        '-p tcp -m comment --comment "default/h:http" -m tcp -j DNAT --to-destination 10.244.1.3:8080',
    ),
    "KUBE-SEP-BBBBBBBBBBBBBBBB": (
        "-s 10.244.2.9/32 -j KUBE-MARK-MASQ",
        "-p tcp -m tcp -j DNAT --to-destination 10.244.2.9:8080",
    ),
    "KUBE-SEP-CCCCCCCCCCCCCCCC": (
        '-s 10.244.1.2/32 -m comment --comment "default/h:http" -j KUBE-MARK-MASQ',
        '-p tcp -m comment --comment "default/h:http" -m tcp -j DNAT --to-destination 10.244.1.2:8080',
    ),
}


def test_what_kube_proxy_writes() -> None:
    destinations = (("10.244.1.2", 8080), ("10.244.1.3", 8080), ("10.244.2.9", 8080))
    assert usual(RULES, CHAIN, "tcp") == Usual(("10.96.0.80", "tcp", 80), "-s 10.244.0.0/16", destinations)


def test_everybody_masqueraded() -> None:
    first, *rest = RULES[CHAIN]
    found = usual({**RULES, CHAIN: (first.replace("! -s 10.244.0.0/16 ", ""), *rest)}, CHAIN, "tcp")
    assert found is not None
    assert found.pods == ""


@pytest.mark.parametrize(
    ("chain", "number", "old", "new"),
    [
        (CHAIN, 0, "KUBE-MARK-MASQ", "KUBE-MARK-DROP"),
        (CHAIN, 0, "! -s", "-s"),
        (CHAIN, 1, "0.33333333349", "0.50000000000"),
        (CHAIN, 2, "-m statistic --mode random --probability 0.50000000000 ", ""),
        (CHAIN, 2, "KUBE-SEP-BBBBBBBBBBBBBBBB", "KUBE-SEP-AAAAAAAAAAAAAAAA"),
        (CHAIN, 3, "KUBE-SEP-CCCCCCCCCCCCCCCC", "KUBE-SEP-DDDDDDDDDDDDDDDD"),
        (CHAIN, 3, "-j ", "-m statistic --mode random --probability 0.50000000000 -j "),
        ("KUBE-SEP-AAAAAAAAAAAAAAAA", 0, "10.244.1.3", "10.244.1.4"),
        ("KUBE-SEP-AAAAAAAAAAAAAAAA", 1, "-p tcp", "-p udp"),
        ("KUBE-SEP-AAAAAAAAAAAAAAAA", 1, "-j DNAT", "--dport 80 -j DNAT"),
        ("KUBE-SEP-AAAAAAAAAAAAAAAA", 1, "8080", "8080-8090"),
    ],
)
def test_what_is_wrong_is_left_to_be_taken_apart(chain: str, number: int, old: str, new: str) -> None:
    rules = list(RULES[chain])
    assert old in rules[number]
    rules[number] = rules[number].replace(old, new)
    assert usual({**RULES, chain: tuple(rules)}, CHAIN, "tcp") is None


def test_rules_count_in_their_own_chain_only() -> None:
    """The same rules in the same order, with one of them in the neighbour's chain."""
    a, b = RULES["KUBE-SEP-AAAAAAAAAAAAAAAA"], RULES["KUBE-SEP-BBBBBBBBBBBBBBBB"]
    moved = {**RULES, "KUBE-SEP-AAAAAAAAAAAAAAAA": (*a, b[0]), "KUBE-SEP-BBBBBBBBBBBBBBBB": b[1:]}
    assert usual(moved, CHAIN, "tcp") is None


def test_another_protocol_is_not_its() -> None:
    assert usual(RULES, CHAIN, "udp") is None


def read(text: str) -> t.Any:
    tables = {Location("nft", "ipv4", name): table for name, table in parse_save(text).items()}
    return read_iptables(tables, "nft", (4,))


def test_a_node_is_read_the_same_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = read(SAVED)
    assert quick.entries
    monkeypatch.setattr(balance, "usual", lambda *_: None)
    assert read(SAVED) == quick


LINES = SAVED.splitlines()
AT_SERVICES = [number for number, line in enumerate(LINES) if line.startswith(("-A KUBE-SVC", "-A KUBE-SEP"))]


@given(st.data())
def test_a_node_with_a_broken_rule_is_read_the_same_without_it(data: st.DataObject) -> None:
    """A rule lost, twice, moved by one, or with a word of another: the defects are the same."""
    lines, at = list(LINES), data.draw(st.sampled_from(AT_SERVICES))
    kind = data.draw(st.sampled_from(["lost", "twice", "moved", "word"]))
    if kind == "lost":
        del lines[at]
    elif kind == "twice":
        lines.insert(at, lines[at])
    elif kind == "moved":
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    else:
        words, others = lines[at].split(" "), LINES[data.draw(st.sampled_from(AT_SERVICES))].split(" ")
        words[data.draw(st.integers(2, len(words) - 1))] = data.draw(st.sampled_from(others[2:]))
        lines[at] = " ".join(words)
    text = "\n".join(lines) + "\n"
    quick = read(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(balance, "usual", lambda *_: None)
        assert read(text) == quick
