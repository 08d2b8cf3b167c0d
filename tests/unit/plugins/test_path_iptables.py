# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way through iptables mode. Expected values: the rules of the fixtures (kube-proxy 1.37.2 on a node of the lab), followed by
hand as the kernel does."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_counts
from tests.unit.plugins.kube_paths import edited, ends, hops, path_of, state, tables, trace
from tests.unit.plugins.kube_services import endpoint

REAL = tables("iptables")
SVC, SVL, EXT, FW = (f"nat KUBE-{one}-7TVXROIT6UXCX2AG" for one in ("SVC", "SVL", "EXT", "FW"))
HTTP, HTTP_EXT = "nat KUBE-SVC-PZZOH4GMXQXQLAH7", "nat KUBE-EXT-PZZOH4GMXQXQLAH7"
HOOKS = ["0 nat PREROUTING | leads | nat KUBE-SERVICES", "0 nat OUTPUT | leads | nat KUBE-SERVICES"]
NEW_SOURCE = [
    "0 nat POSTROUTING | leads | nat KUBE-POSTROUTING",
    "1 nat KUBE-POSTROUTING | returns | not marked",
    "1 nat KUBE-POSTROUTING | unmarks",
    "1 nat KUBE-POSTROUTING | masquerades",
]


def shares(depth: int) -> list[str]:
    found = []
    names = ("SHRHPIF6JJVVZWAJ", "RWO7TIJ7ZXLAS5CA", "DCGS2R5SJGMP23PH")
    for number, name in zip((7, 8, 9), names, strict=True):
        where, sep = f"192.168.178.{number}:8080", f"nat KUBE-SEP-{name}"
        found.append(f"{depth} {HTTP} | leads | {sep} | {where} | 0.333")
        found.append(f"{depth + 1} {sep} | marks | from 192.168.178.{number}/32")
        found.append(f"{depth + 1} {sep} | rewrites | {where}")
    return found


def test_a_cluster_ip() -> None:
    path = path_of(trace("default/httpservice", "iptables", Readings(tables=REAL)), "10.96.10.10")
    marks = f"2 {HTTP} | marks | not from 10.244.0.0/16"
    assert hops(path) == [*HOOKS, f"1 nat KUBE-SERVICES | leads | {HTTP}", marks, *shares(2), *NEW_SOURCE]
    assert ends(path) == [
        "all 192.168.178.7:8080 cp1 0.33 used",
        "all 192.168.178.8:8080 w1 0.33 used",
        "all 192.168.178.9:8080 - 0.33 used",
    ]
    assert [one["probability"] for one in path["hops"] if one["probability"]] == ["0.33333333349", "0.50000000000"]
    assert path["sentence"] == (
        "A new connection to TCP 10.96.10.10:80 goes to one of 3 endpoints, 1/3 each: 192.168.178.7:8080 on cp1, "
        "192.168.178.8:8080 on w1, 192.168.178.9:8080. The node's address becomes the source of packets not from "
        "10.244.0.0/16, packets of an endpoint to itself."
    )


def test_a_node_port() -> None:
    path = path_of(trace("default/httpservice", "iptables", Readings(tables=REAL)), "")
    assert hops(path) == [
        *HOOKS,
        "1 nat KUBE-SERVICES | leads | nat KUBE-NODEPORTS | to an address of the node",
        f"2 nat KUBE-NODEPORTS | leads | {HTTP_EXT}",
        f"3 {HTTP_EXT} | marks",
        f"3 {HTTP_EXT} | leads | {HTTP}",
        *shares(4),
        *NEW_SOURCE,
    ]
    assert (path["answers_on"], path["masquerade"]) == (["local"], "all packets")


def test_a_load_balancer_with_policy_local_and_affinity() -> None:
    path = path_of(trace("default/lb", "iptables", Readings(tables=REAL)), "203.0.113.200")
    sep, where = "nat KUBE-SEP-FULDAPSGTTK4VIQJ", "192.168.178.7:8443"
    seen = f"leads | {sep} | client seen there in the last 10800 s | {where}"
    new = [
        f"0 filter {chain} | leads | filter KUBE-PROXY-FIREWALL | new connections"
        for chain in ("INPUT", "FORWARD", "OUTPUT")
    ]
    assert hops(path) == [
        *HOOKS,
        f"1 nat KUBE-SERVICES | leads | {FW}",
        f"2 {FW} | leads | {EXT} | from 203.0.113.0/25",
        f"3 {EXT} | leads | {SVC} | from 10.244.0.0/16 | pods",
        f"4 {SVC} | {seen} | pods",
        f"4 {SVC} | leads | {sep} | {where} | 1.000 | pods",
        f"5 {sep} | marks | from 192.168.178.7/32 | pods",
        f"5 {sep} | rewrites | {where} | pods",
        f"3 {EXT} | marks | from the node itself",
        f"3 {EXT} | leads | {SVC} | from the node itself | node",
        f"3 {EXT} | leads | {SVL} | outside",
        f"4 {SVL} | {seen} | outside",
        f"4 {SVL} | leads | {sep} | {where} | 1.000 | outside",
        f"2 {FW} | nothing",
        *new,
        "1 filter KUBE-PROXY-FIREWALL | drops",
        *NEW_SOURCE,
    ]
    assert sorted(ends(path)) == [f"{one} {where} cp1 1.00 used" for one in ("inside", "outside")]
    assert path["affinity"] == 10800
    assert "Only 203.0.113.0/25 may connect." in path["sentence"]
    assert "A client stays with its endpoint for 10800 s." in path["sentence"]


def test_a_service_without_endpoints_is_refused() -> None:
    path = path_of(trace("default/empty", "iptables", Readings(tables=REAL)), "10.96.136.53")
    assert hops(path) == [
        *HOOKS,
        "1 nat KUBE-SERVICES | nothing | no rule for TCP 10.96.136.53:80",
        "0 filter FORWARD | leads | filter KUBE-SERVICES | new connections",
        "0 filter OUTPUT | leads | filter KUBE-SERVICES | new connections",
        "1 filter KUBE-SERVICES | rejects",
    ]
    assert path["sentence"].startswith("A new connection to TCP 10.96.136.53:80 is refused")


def test_kernel_and_api_differ() -> None:
    of = state(
        endpoint("192.168.178.7", "cp1", "R"), endpoint("192.168.178.8", "w1", "r"), endpoint("192.168.178.10", "w1")
    )
    path = path_of(trace("default/httpservice:http", "iptables", Readings(tables=REAL), of), "10.96.10.10")
    assert ends(path) == [
        "all 192.168.178.7:8080 cp1 0.33 used",
        "all 192.168.178.8:8080 w1 0.33 stale",
        "all 192.168.178.9:8080 - 0.33 dead",
        "all 192.168.178.10:8080 w1 - missing",
    ]
    assert "192.168.178.9:8080: the API has no such endpoint (dead)." in path["sentence"]
    assert "192.168.178.10:8080 on w1: the API has it, the kernel does not send there (missing)." in path["sentence"]


DAMAGE: dict[str, tuple[str, str, t.Callable[[list[str]], object], str]] = {
    "no jump": ("nat", "PREROUTING", list.clear, "But nat PREROUTING: no jump to KUBE-SERVICES."),
    "no rule": ("nat", "KUBE-SERVICES", list.clear, "The kernel has nothing for TCP 10.96.10.10:80"),
    "no endpoints": ("nat", HTTP[4:], list.clear, "finds no endpoint"),
    "one share": ("nat", HTTP[4:], lambda rules: rules.pop(1), "1/2 each"),
    "unlike shares": ("nat", HTTP[4:], lambda rules: rules.pop(2), "unlike shares"),
    "no new source": ("nat", "POSTROUTING", list.clear, "But nat POSTROUTING: no jump to KUBE-POSTROUTING."),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_said(name: str) -> None:
    table, chain, change, said = DAMAGE[name]
    path = path_of(trace("default/httpservice", "iptables", edited(REAL, table, chain, change)), "10.96.10.10")
    assert said in path["sentence"]


def test_a_loop_of_chains_ends() -> None:
    damaged = edited(REAL, "nat", HTTP[4:], lambda rules: rules.insert(0, f"-j {HTTP[4:]}"))
    assert path_of(trace("default/httpservice", "iptables", damaged), "10.96.10.10")["hops"]


COUNTED = """# Generated by iptables-save
*filter
:INPUT ACCEPT [9:540]
[7:420] -A INPUT -j KUBE-X
COMMIT
*nat
:KUBE-SERVICES - [0:0]
[3:180] -A KUBE-SERVICES -d 10.0.0.1/32 -j KUBE-X
[0:0] -A KUBE-SERVICES -d 10.0.0.1/32 -j KUBE-X
[5:300] -A OTHER -j KUBE-X
[1:2
COMMIT
"""


def test_counters() -> None:
    found = parse_counts(COUNTED.splitlines(keepends=True), {"KUBE-SERVICES", "INPUT"})
    assert found == {
        ("filter", "INPUT"): {"-j KUBE-X": (7, 420)},
        ("nat", "KUBE-SERVICES"): {"-d 10.0.0.1/32 -j KUBE-X": (3, 180)},
    }


def test_hops_have_the_counters_of_their_rules() -> None:
    rule = REAL[Location("nft", "ipv4", "nat")].chains["PREROUTING"][0]
    counters = {("nat", "PREROUTING"): {rule: (3, 180)}}
    answer = trace("default/httpservice", "iptables", Readings(tables=REAL), counters=counters)
    first, second = path_of(answer, "10.96.10.10")["hops"][:2]
    assert (first["packets"], first["bytes"], second["packets"]) == (3, 180, None)
    assert any("3 packets, 180 bytes" in line for line in answer["lines"])
