# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way through ipvs mode. Expected values: the rules and sets of the fixtures (kube-proxy 1.37.2 on a node of the lab), followed
by hand; weights and schedulers as ip_vs(4) and the kernel's C(ip_vs_rr.c) have them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.plugins.kube_paths import ends, hops, ipvs_readings, path_of, real, trace, virtual
from tests.unit.plugins.test_path_iptables import HOOKS, NEW_SOURCE

WEB = virtual(
    "10.96.10.10",
    80,
    real("192.168.178.7", 8080, connections=4),
    real("192.168.178.8", 8080),
    real("192.168.178.9", 8080),
)
LOOPBACK = "1 nat KUBE-SERVICES | returns | from 127.0.0.0/8"
INPUT = "0 filter INPUT | leads | filter"
HAIRPIN = "1 nat KUBE-POSTROUTING | masquerades | from an endpoint to itself"


def test_a_cluster_ip() -> None:
    path = path_of(trace("default/httpservice", "ipvs", ipvs_readings(WEB)), "10.96.10.10")
    server = "virtual server TCP 10.96.10.10:80"
    assert hops(path) == [
        *HOOKS,
        LOOPBACK,
        "1 nat KUBE-SERVICES | marks | not from 10.244.0.0/16",
        "1 nat KUBE-SERVICES | accepts",
        "0 device kube-ipvs0 | holds",
        f"{INPUT} KUBE-IPVS-FILTER",
        "1 filter KUBE-IPVS-FILTER | returns",
        f"0 IPVS | leads | {server}",
        *(f"1 {server} | schedules | 192.168.178.{number}:8080 | 0.333" for number in (7, 8, 9)),
        NEW_SOURCE[0],
        HAIRPIN,
        *NEW_SOURCE[1:],
    ]
    assert [(one["weight"], one["connections"]) for one in path["destinations"]] == [(1, 4), (1, 0), (1, 0)]
    assert path["masquerade"] == "packets not from 10.244.0.0/16, packets of an endpoint to itself"


def test_a_node_port_is_marked_by_its_port() -> None:
    server = virtual("10.34.0.10", 30080, real("192.168.178.7", 8080))
    path = path_of(trace("default/httpservice", "ipvs", ipvs_readings(server)), "10.34.0.10")
    assert hops(path)[2:6] == [
        LOOPBACK,
        "1 nat KUBE-SERVICES | leads | nat KUBE-NODE-PORT",
        "2 nat KUBE-NODE-PORT | marks",
        "0 address of the node | holds",
    ]
    assert path["masquerade"] == "all packets"


def test_a_load_balancer_with_source_ranges() -> None:
    server = virtual("203.0.113.200", 443, real("192.168.178.7", 8443), sticky=10800)
    path = path_of(trace("default/lb", "ipvs", ipvs_readings(server)), "203.0.113.200")
    found = hops(path)
    assert found[2:6] == [
        LOOPBACK,
        "1 nat KUBE-SERVICES | leads | nat KUBE-LOAD-BALANCER",
        # Policy Local: the source stays.
        "2 nat KUBE-LOAD-BALANCER | returns",
        "1 nat KUBE-SERVICES | accepts",
    ]
    at = found.index("1 filter KUBE-PROXY-FIREWALL | leads | filter KUBE-SOURCE-RANGES-FIREWALL")
    assert found[at + 1 : at + 3] == [
        "2 filter KUBE-SOURCE-RANGES-FIREWALL | returns | from 203.0.113.0/25",
        "2 filter KUBE-SOURCE-RANGES-FIREWALL | drops",
    ]
    # The node itself is not in the ranges.
    assert "1 filter KUBE-IPVS-OUT-FILTER | drops | from 203.0.113.200/32" in found
    assert path["affinity"] == 10800
    assert "Only 203.0.113.0/25 may connect." in path["sentence"]


def test_source_ranges_without_a_network_let_nobody_in() -> None:
    """The set of the networks has lost its member: KUBE-SOURCE-RANGES-FIREWALL ends in DROP."""
    server = virtual("203.0.113.200", 443, real("192.168.178.7", 8443), sticky=10800)
    readings = ipvs_readings(server)
    emptied = tuple(
        replace(one, members=()) if one.name == "KUBE-LOAD-BALANCER-SOURCE-CIDR" else one for one in readings.ipsets
    )
    path = path_of(trace("default/lb", "ipvs", replace(readings, ipsets=emptied)), "203.0.113.200")
    assert "Nobody may connect: the rules for source ranges let no network in." in path["sentence"]


@pytest.mark.parametrize(
    ("scheduler", "shares"),
    [("rr", ["0.50", "0.50", "0.00"]), ("wrr", ["0.75", "0.25", "0.00"]), ("lc", ["-", "-", "0.00"])],
)
def test_shares_of_schedulers(scheduler: str, shares: list[str]) -> None:
    """Weight 0 gets no new connection whatever the scheduler; lc looks at the connections."""
    reals = (real("192.168.178.7", 8080, 3), real("192.168.178.8", 8080), real("192.168.178.9", 8080, 0, 2))
    server = virtual("10.96.10.10", 80, *reals, scheduler=scheduler)
    path = path_of(trace("default/httpservice", "ipvs", ipvs_readings(server)), "10.96.10.10")
    states = ("cp1", "used"), ("w1", "used"), ("-", "draining")
    # The API still has the third one.
    assert ends(path)[:3] == [
        f"all 192.168.178.{number}:8080 {node} {share} {state}"
        for number, share, (node, state) in zip((7, 8, 9), shares, states, strict=True)
    ]


def test_what_is_missing() -> None:
    path = path_of(trace("default/httpservice", "ipvs", ipvs_readings(bound=())), "10.96.10.10")
    assert path["verdict"] == "none"
    found = hops(path)
    assert "0 IPVS | nothing | no virtual server for TCP 10.96.10.10:80" in found
    unbound = path_of(trace("default/httpservice", "ipvs", ipvs_readings(WEB, bound=())), "10.96.10.10")
    assert (
        "But device kube-ipvs0: it does not hold 10.96.10.10, so that packets do not come to IPVS."
        in unbound["sentence"]
    )
    empty = path_of(trace("default/empty", "ipvs", ipvs_readings(virtual("10.96.136.53", 80))), "10.96.136.53")
    assert "finds no endpoint" in empty["sentence"]
