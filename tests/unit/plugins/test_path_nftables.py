# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way through nftables mode. Expected values: the table of the fixture (kube-proxy 1.37.2 on a node of the lab), followed by hand,
and kube-proxy's golden tables of older releases."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings
from tests.unit.plugins.kube_paths import cluster_of_nft, ends, hops, nft_readings, path_of, trace

HOOKS = ["0 chain nat-prerouting | leads | chain services", "0 chain nat-output | leads | chain services"]
WEB, EXTERNAL = (f"chain {one}-QJRNBJ7V-default/httpservice/tcp/http" for one in ("service", "external"))
LB, LB_LOCAL, LB_EXTERNAL, LB_FIREWALL = (
    f"chain {one}-ER6WVQCK-default/lb/udp/dns" for one in ("service", "local", "external", "firewall")
)
FIRST, SECOND = (
    f"{one}-default/lb/udp/dns__192.0.2.{number}/53" for one, number in (("NB2IRNIR", 21), ("Z4O7XYQ7", 22))
)
NEW_SOURCE = [
    "0 chain nat-postrouting | leads | chain masquerading",
    "1 chain masquerading | masquerades | marked",
    "1 chain masquerading | masquerades | from an endpoint to itself",
]
SHARES = [f"rewrites | 192.0.2.{number}:8080 | 0.333" for number in (11, 12, 13)]


def test_a_cluster_ip() -> None:
    answer = trace("default/httpservice", "nftables", nft_readings(), cluster_of_nft())
    path = path_of(answer, "10.96.14.237")
    assert hops(path) == [
        *HOOKS,
        "1 chain services | marks | not from 10.244.0.0/16",
        "1 chain services | leads | map service-ips",
        f"2 map service-ips | leads | {WEB}",
        *(f"3 {WEB} | {one}" for one in SHARES),
        *NEW_SOURCE,
    ]
    assert ends(path) == [
        f"all 192.0.2.{number}:8080 {node} 0.33 used" for number, node in ((11, "cp1"), (12, "-"), (13, "-"))
    ]
    assert answer["counters"].startswith("none")


def test_rules_are_shown_as_nft_prints_them() -> None:
    """C(nft list table ip kube-proxy) of nft 1.1.3 on the same node, without the comments."""
    path = path_of(trace("default/httpservice", "nftables", nft_readings(), cluster_of_nft()), "10.96.14.237")
    marked = [hop["rule"] for hop in path["hops"] if hop["place"] in ("chain services", "chain masquerading")]
    assert marked == [
        "ip daddr @cluster-ips ip saddr != 10.244.0.0/16 meta mark set meta mark | 0x00004000",
        "ip daddr . meta l4proto . th dport vmap @service-ips",
        "meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random",
        "ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random",
    ]


def test_a_node_port() -> None:
    path = path_of(trace("default/httpservice", "nftables", nft_readings(), cluster_of_nft()), "")
    assert hops(path) == [
        *HOOKS,
        "1 chain services | leads | map service-nodeports",
        f"2 map service-nodeports | leads | {EXTERNAL}",
        f"3 {EXTERNAL} | marks",
        f"3 {EXTERNAL} | leads | {WEB}",
        *(f"4 {WEB} | {one}" for one in SHARES),
        *NEW_SOURCE,
    ]
    assert (path["answers_on"], path["masquerade"]) == (["10.34.0.10"], "all packets")


def _balanced(chain: str, clients: str, names: t.Sequence[str], share: str) -> list[str]:
    found = []
    where = {FIRST: "192.0.2.21:53", SECOND: "192.0.2.22:53"}
    found += [f"4 {chain} | leads | chain endpoint-{one} | client noted in affinity-{one} | {clients}" for one in names]
    return found + [f"4 {chain} | leads | chain endpoint-{one} | {where[one]} | {share} | {clients}" for one in names]


def test_a_load_balancer_with_policy_local_and_affinity() -> None:
    path = path_of(trace("default/lb", "nftables", nft_readings(), cluster_of_nft()), "203.0.113.20")
    assert hops(path) == [
        "0 chain filter-prerouting-pre-dnat | leads | chain firewall-check | new connections",
        "0 chain filter-output-pre-dnat | leads | chain firewall-check | new connections",
        "1 chain firewall-check | leads | map firewall-ips",
        f"2 map firewall-ips | leads | {LB_FIREWALL}",
        f"3 {LB_FIREWALL} | drops | not from 198.51.100.0/24",
        *HOOKS,
        "1 chain services | leads | map service-ips",
        f"2 map service-ips | leads | {LB_EXTERNAL}",
        f"3 {LB_EXTERNAL} | leads | {LB} | from 10.244.0.0/16 | pods",
        *_balanced(LB, "pods", (FIRST, SECOND), "0.500"),
        f"5 chain endpoint-{FIRST} | notes | pods",
        f"5 chain endpoint-{FIRST} | rewrites | 192.0.2.21:53 | pods",
        f"5 chain endpoint-{SECOND} | notes | pods",
        f"5 chain endpoint-{SECOND} | rewrites | 192.0.2.22:53 | pods",
        f"3 {LB_EXTERNAL} | marks | from the node itself",
        f"3 {LB_EXTERNAL} | leads | {LB} | from the node itself | node",
        f"3 {LB_EXTERNAL} | leads | {LB_LOCAL} | outside",
        *_balanced(LB_LOCAL, "outside", (FIRST,), "1.000"),
        *NEW_SOURCE,
    ]
    assert ends(path) == [
        "inside 192.0.2.21:53 cp1 0.50 used",
        "inside 192.0.2.22:53 - 0.50 used",
        "outside 192.0.2.21:53 cp1 1.00 used",
    ]
    assert (path["affinity"], path["masquerade"]) == (
        10800,
        "packets from the node itself, packets of an endpoint to itself",
    )


def test_a_service_without_endpoints_is_refused() -> None:
    path = path_of(trace("default/empty", "nftables", nft_readings(), cluster_of_nft()), "10.96.105.97")
    found = hops(path)
    assert found[3:5] == [
        "1 map service-ips | nothing | no element TCP 10.96.105.97:81",
        "0 chain filter-input | leads | chain service-endpoints-check | new connections",
    ]
    assert found[-2:] == [
        "2 map no-endpoint-services | leads | chain reject-chain",
        "3 chain reject-chain | rejects",
    ]
    assert "is refused" in path["sentence"]


def test_no_table_and_no_jump() -> None:
    gone = path_of(trace("default/httpservice", "nftables", Readings(), cluster_of_nft()), "10.96.14.237")
    assert hops(gone) == ["0 table ip kube-proxy | nothing | there is no such table"]
    assert gone["verdict"] == "none"
    cut = nft_readings(lambda text: text.replace('"chain": "nat-output"', '"chain": "somewhere"'))
    path = path_of(trace("default/httpservice", "nftables", cut, cluster_of_nft()), "10.96.14.237")
    assert "But chain nat-output: no jump to services." in path["sentence"]
