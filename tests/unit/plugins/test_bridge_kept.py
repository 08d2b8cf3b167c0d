# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that IPVS carries: which they are, what keeps them, when they are handed over. What the kernel makes of it:
tests/node/test_service_bridge_kept.py."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _bridge_kept as kept
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_kept import Carried
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_plan import (
    HAND_OVER,
    KEEP,
    LOAD,
    LOOSEN,
    PUT_BACK,
    UNLOAD,
    BridgeState,
    plan_absent,
    plan_present,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_render import render_kept
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_codec import End, Flow
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import NftSet, NftTable
from tests.unit.plugins.kube_dataplanes import golden
from tests.unit.plugins.test_bridge import LIMITS, bridge, up

CLIENT, VIP, SERVER, NODE = (
    End("10.244.0.7", 40001),
    End("10.96.0.10", 80),
    End("10.244.1.5", 8080),
    End("10.34.0.10", 51000),
)
CLIENT6, VIP6, SERVER6 = End("fd00:10:244::7", 40001), End("fd00:10:96::a", 80), End("fd00:10:244::5", 8080)
PLAIN = Carried("tcp", CLIENT, VIP, SERVER, CLIENT)
MASQUERADED = Carried("tcp", CLIENT, VIP, SERVER, NODE)
SIX = Carried("udp", CLIENT6, VIP6, SERVER6, CLIENT6)
SERVED = frozenset({("tcp", VIP)})


def flow(**more: t.Any) -> Flow:
    plain = Flow(4, CLIENT, VIP, SERVER, False, (b"", b""), "tcp", CLIENT)
    return plain._replace(**more)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (flow(), {PLAIN}),
        (flow(returns=NODE), {MASQUERADED}),
        (flow(rewritten=True), set()),
        (flow(answers=VIP), set()),
        (flow(is_over=True), set()),
    ],
)
def test_what_ipvs_carries(found: Flow, expected: set[Carried]) -> None:
    assert kept.carried([found]) == expected


def test_where_packets_of_either_side_go() -> None:
    assert render_kept([4], frozenset({PLAIN})).splitlines()[4:6] == [
        "add element ip netops-kube-proxy-bridge kept-destinations { 10.244.0.7 . 40001 . 10.96.0.10 . tcp . 80 : 10.244.1.5 . 8080 }",
        "add element ip netops-kube-proxy-bridge kept-sources { 10.244.1.5 . 8080 . 10.244.0.7 . tcp . 40001 : 10.96.0.10 . 80 }",
    ]


def test_a_masqueraded_client_keeps_its_source() -> None:
    _destinations, clients, sources, _before = render_kept([4], frozenset({MASQUERADED})).splitlines()[4:]
    assert "10.244.1.5 . 8080 . 10.34.0.10 . tcp . 51000 : 10.244.0.7 . 40001" in clients
    assert "10.244.0.7 . 40001 . 10.244.1.5 . tcp . 8080 : 10.34.0.10 . 51000" in sources


def test_what_nobody_has_rewritten_is_known() -> None:
    """A packet to the address that was asked, and an answer that still has the server's."""
    assert render_kept([4], frozenset({MASQUERADED})).splitlines()[-1] == (
        "add element ip netops-kube-proxy-bridge kept-unrewritten "
        "{ 10.244.0.7 . 40001 . 10.96.0.10 . tcp . 80, 10.244.1.5 . 8080 . 10.244.0.7 . tcp . 40001 }"
    )


def test_each_family_has_its_own() -> None:
    lines = render_kept([4, 6], frozenset({PLAIN, SIX})).splitlines()
    assert [one for one in lines if one.startswith("flush map")] == [
        f"flush map {ip} netops-kube-proxy-bridge kept-{what}"
        for ip in ("ip", "ip6")
        for what in ("destinations", "clients", "sources")
    ]
    added = [one for one in lines if one.startswith("add")]
    assert [("fd00" in one, one.split()[2]) for one in added] == [(False, "ip")] * 3 + [(True, "ip6")] * 3


def pair(key: tuple[End, End, str], value: End) -> list[t.Any]:
    """An element of a map in the words of libnftables-json(5)."""
    source, asked, protocol = key
    return [{"concat": [*source, asked.address, protocol, asked.port]}, {"concat": [*value]}]


def test_what_is_kept_is_read_again() -> None:
    maps = {
        "kept-destinations": NftSet(elements=(pair((CLIENT, VIP, "tcp"), SERVER),)),
        "kept-clients": NftSet(elements=(pair((SERVER, NODE, "tcp"), CLIENT),)),
        "kept-sources": NftSet(
            elements=(pair((SERVER, CLIENT, "tcp"), VIP), pair((CLIENT, SERVER, "tcp"), NODE)),
        ),
    }
    assert kept.read_kept([NftTable("ip", "bridge", maps=maps)]) == {MASQUERADED}
    assert kept.read_kept([NftTable("ip", "bridge")]) == frozenset()


@pytest.mark.parametrize(
    ("one", "bound", "words"),
    [
        (PLAIN, set(), ""),
        (PLAIN._replace(client=End("10.96.0.10", 1)), {"10.96.0.10"}, "the client is this node"),
        (PLAIN._replace(seen=End("10.96.0.10", 1)), {"10.96.0.10"}, "the client is this node"),
        (PLAIN._replace(protocol="sctp"), set(), "SCTP"),
    ],
)
def test_what_cannot_be_kept(one: Carried, bound: set[str], words: str) -> None:
    assert words in kept.why_ending(one, bound)
    assert bool(words) == bool(kept.why_ending(one, bound))


def test_a_setting_is_changed_for_those_that_need_it_and_put_back() -> None:
    strict = replace(up(WANTED), loose=False, served=SERVED)
    assert plan_present(WANTED, LIMITS, strict).operations == ()
    assert plan_present(WANTED, LIMITS, replace(strict, carried=frozenset({SIX}))).operations == (KEEP,)
    plan = plan_present(WANTED, LIMITS, replace(strict, carried=frozenset({PLAIN})))
    assert plan.operations == (LOOSEN, KEEP)
    assert plan_present(WANTED, LIMITS, plan.after).operations == ()
    assert PUT_BACK in plan_absent(plan.after).operations
    assert PUT_BACK not in plan_absent(strict).operations


def test_connections_come_and_go_while_ipvs_serves() -> None:
    state = replace(up(WANTED), kept=frozenset({PLAIN}), carried=frozenset({MASQUERADED}), served=SERVED)
    plan = plan_present(WANTED, LIMITS, state)
    assert plan.operations == (KEEP,)
    assert plan.after.kept == {MASQUERADED}
    assert plan_present(WANTED, LIMITS, plan.after).operations == ()


def test_a_bridge_is_put_up_with_what_it_keeps() -> None:
    plan = plan_present(WANTED, LIMITS, replace(BridgeState(limits=LIMITS), carried=frozenset({PLAIN}), served=SERVED))
    assert plan.operations == (LOAD, KEEP)
    assert plan.after.kept == {PLAIN}


def test_when_ipvs_has_gone_connection_tracking_takes_over() -> None:
    state = replace(up(WANTED), kept=frozenset({PLAIN}))
    assert state.lost == {PLAIN}
    plan = plan_present(WANTED, LIMITS, state)
    assert plan.operations == (HAND_OVER, KEEP)
    assert plan.after.lost == frozenset()
    assert plan_absent(state).operations[:2] == (HAND_OVER, UNLOAD)


def test_what_ipvs_still_has_is_not_handed_over() -> None:
    """Its connection ends a moment later, and would take with it what connection tracking was told."""
    state = replace(up(WANTED), kept=frozenset({PLAIN}), carried=frozenset({PLAIN}))
    assert plan_present(WANTED, LIMITS, state).operations == ()


WANTED = bridge("ipvs", *golden())
