# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules that are seen at one glance: it must see the same as taking the rule apart does. Rules are those of captured nodes and of
kube-proxy's own golden test (README of the fixtures), as they are and damaged."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _dataplane_iptables_rules as rules
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save

FIXTURES = Path(__file__).parents[1] / "fixtures"
CAPTURES = ("iptables/iptables-mode-nft.txt", "iptables/kube-proxy-1.37.2-iptables-ipv4.txt")
CHAINS = {
    (name, chain): texts
    for capture in CAPTURES
    for name, table in parse_save((FIXTURES / capture).read_text(encoding="utf-8")).items()
    for chain, texts in table.chains.items()
}
RULES = sorted({text for texts in CHAINS.values() for text in texts})
ENDS = [texts for (_table, chain), texts in CHAINS.items() if chain.startswith("KUBE-SEP-") and len(texts) == 2]
WORDS = ("!", "-m", "-s", "--dport", "10.0.0.1/32", "10.0.0.0/8", '"a b"', "tcp", "udp", "-j", "DROP", "--comment", "x")

TO_SERVICE = '-d 10.96.0.10/32 -p tcp -m comment --comment "ns/svc:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-A'
OUTSIDE = f"! -s 10.244.0.0/16 {TO_SERVICE.replace('KUBE-SVC-A', 'KUBE-MARK-MASQ')}"
# By hand, from what iptables-save prints.
SEEN = [
    (
        TO_SERVICE,
        {
            "has": rules.SOCKET,
            "target": "KUBE-SVC-A",
            "destination": "10.96.0.10/32",
            "protocol": "tcp",
            "port": "80",
            "comment": "ns/svc:http cluster IP",
        },
    ),
    (
        OUTSIDE,
        {
            "has": rules.SOCKET | rules.SOURCE,
            "target": "KUBE-MARK-MASQ",
            "source": "! 10.244.0.0/16",
            "destination": "10.96.0.10/32",
            "protocol": "tcp",
            "port": "80",
            "comment": "ns/svc:http cluster IP",
        },
    ),
    # A negated port, a source that is not negated, another module: the long way.
    (TO_SERVICE.replace("--dport", "! --dport"), {"port": "! 80"}),
    (OUTSIDE[2:], {"source": "10.244.0.0/16"}),
    (TO_SERVICE.replace("-m tcp", "-m mark"), {"has": rules.SOCKET | rules.OTHER}),
]


@pytest.mark.parametrize(("text", "fields"), SEEN)
def test_rules_for_one_socket(text: str, fields: dict[str, t.Any]) -> None:
    found = rules.parse_rule(text)._asdict()
    assert {name: found[name] for name in fields} == fields
    assert found["text"] == text


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("-j KUBE-SEP-A", ("KUBE-SEP-A", "")),
        ('-m comment --comment "ns/svc -> 10.1.2.3:80" -j KUBE-SEP-A', ("KUBE-SEP-A", "")),
        ("-m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A", ("KUBE-SEP-A", "0.50000000000")),
        ("-m statistic --mode nth --every 2 --packet 0 -j KUBE-SEP-A", None),
        ("-m statistic --mode random ! --probability 0.50000000000 -j KUBE-SEP-A", None),
        ("-p tcp -j KUBE-SEP-A", None),
        ("-j KUBE-SVC-A", None),
    ],
)
def test_shares(text: str, share: tuple[str, str] | None) -> None:
    assert rules.share_of(text) == share


MARK, DNAT = "-s 10.1.2.3/32 -j KUBE-MARK-MASQ", "-p udp -m udp -j DNAT --to-destination 10.1.2.3:53"


@pytest.mark.parametrize(
    ("chain", "end"),
    [
        ((MARK, DNAT), (("10.1.2.3", 53), "udp")),
        ((MARK, DNAT.replace("10.1.2.3", "10.1.2.4")), None),
        ((MARK, DNAT.replace("-m udp", "-m tcp")), None),
        ((f"! {MARK}", DNAT), None),
        ((MARK, f"{DNAT} --random"), None),
        ((MARK, MARK, DNAT), None),
        ((DNAT, MARK), None),
        ((DNAT,), None),
        ((), None),
    ],
)
def test_ends(chain: tuple[str, ...], end: t.Any) -> None:
    assert rules.end_of(chain) == end


def test_most_of_a_captured_table_is_seen_at_one_glance() -> None:
    """Otherwise the rest of this file tests nothing, and a large table takes several times as long."""
    shares = [text for text in RULES if "-j KUBE-SEP-" in text and "--rcheck" not in text]
    assert all(map(rules.share_of, shares))
    assert sum(rules.end_of(chain) is not None for chain in ENDS) > len(ENDS) / 2
    assert len(shares) > 10
    assert len(ENDS) > 10


@st.composite
def damaged(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    words = draw(texts).split(" ")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(words)))
        new = draw(st.lists(st.sampled_from(WORDS), max_size=1))
        words[at : at + draw(st.integers(0, 1))] = new
    return " ".join(words)


@settings(max_examples=300, deadline=None)
@given(damaged(st.sampled_from(RULES)))
def test_one_glance_sees_what_taking_apart_does(text: str) -> None:
    apart = rules._taken_apart(text)
    assert rules.parse_rule(text) == apart
    share = rules.share_of(text)
    if share is not None:
        assert (apart.target, apart.probability) == share
        assert apart.has in (0, rules.PROBABILITY)


@settings(max_examples=300, deadline=None)
@given(st.tuples(*(damaged(st.sampled_from([chain[at] for chain in ENDS])) for at in (0, 1))) | st.sampled_from(ENDS))
def test_an_end_is_what_its_rules_say(chain: tuple[str, str]) -> None:
    found = rules.end_of(chain)
    if found is not None:
        mark, dnat = map(rules._taken_apart, chain)
        assert (mark.target, mark.has, rules.host(mark.source)) == ("KUBE-MARK-MASQ", rules.SOURCE, found[0][0])
        assert (dnat.target, dnat.has, rules.endpoint(dnat.to), dnat.protocol) == ("DNAT", rules.PROTOCOL, *found)
