# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API asks for in iptables and nftables mode.

Expected values are those of kube-proxy's own tests (C(pkg/proxy/iptables/proxier_test.go) and
C(pkg/proxy/nftables/proxier_test.go) of Kubernetes 1.37.2), read by hand, or were worked out from C(syncProxyRules) there.
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Part
from tests.unit.plugins.kube_dataplanes import (
    DETECTOR,
    GOLDEN,
    NODE_IP,
    NODE_IP6,
    NODE_IP6_ALT,
    NODE_IP_ALT,
    golden,
    lines,
    members,
    plane,
)
from tests.unit.plugins.kube_services import NODE, Object, endpoint, endpoint_slice, node_port, service

BOTH = pytest.mark.parametrize("mode", ["iptables", "nftables"])
HERE, THERE = endpoint("10.180.0.1", NODE), endpoint("10.180.1.1", "remote")


@BOTH
def test_overall_rules(mode: str) -> None:
    found = plane(mode, *golden())
    assert lines(found) == GOLDEN
    assert found.contested == {}
    by_key = {entry.key: (entry.source, entry.service) for entry in found.entries.values()}
    assert by_key[4, "172.30.0.42", "tcp", 80] == ("cluster_ip", "ns2/svc2:p80")
    assert by_key[4, "192.168.99.22", "tcp", 80] == ("external_ip", "ns2/svc2:p80")
    assert by_key[4, "1.2.3.4", "tcp", 80] == ("load_balancer_ip", "ns2/svc2:p80")
    assert by_key[4, "", "tcp", 3001] == ("node_port", "ns2/svc2:p80")


def test_overall_sets_of_iptables_mode() -> None:
    found = plane("iptables", *golden())
    # svc5 has the number, too, but external policy Cluster.
    assert found.parts == {
        Part("health_check_ports", 4): {"30000": "ns2/svc2:p80"},
        Part("health_check_ports", 6): {},
        Part("node_port_addresses", 4): {"local": ""},
        Part("node_port_addresses", 6): {"local except loopback": ""},
    }


def test_overall_sets_of_nftables_mode() -> None:
    found = plane("nftables", *golden())
    assert found.parts == {
        Part("nft_set", 4, "cluster-ips"): {f"172.30.0.4{n}": f"ns{n}/svc{n}:p80" for n in range(1, 7)},
        Part("nft_set", 6, "cluster-ips"): {},
        Part("node_port_addresses", 4): {NODE_IP: ""},
        Part("node_port_addresses", 6): {NODE_IP6: ""},
    }


def test_hairpin_connections_of_the_golden_rules_are_those_of_the_own_node() -> None:
    # Elements of hairpin-connections: 10.180.0.1, .3 and .5; not .2 and .4.
    found = plane("nftables", *golden())
    excused = {one for entry in found.entries.values() for one in entry.no_hairpin or ()}
    assert excused == {("10.180.0.2", 80), ("10.180.0.4", 80)}
    # There is a rule for each endpoint in iptables mode.
    assert {entry.no_hairpin for entry in plane("iptables", *golden()).entries.values()} == {()}


@BOTH
@pytest.mark.parametrize(
    ("policy", "nodes", "expected"),
    [
        (
            "Cluster",
            [NODE, "node1", "node2"],
            "forward 10.0.1.1:80 10.0.1.2:80 10.0.1.3:80, cluster, masquerade outside_pods",
        ),
        ("Local", [NODE, "node1", "node2"], "forward 10.0.1.1:80, local, masquerade outside_pods"),
        ("Local", [NODE, NODE, "node2"], "forward 10.0.1.1:80 10.0.1.2:80, local, masquerade outside_pods"),
        ("Local", ["node0", "node1", "node2"], "drop, local, masquerade -"),
        ("Local", [], "reject, -, masquerade -"),
    ],
)
def test_internal_traffic_policy(mode: str, policy: str, nodes: list[str], expected: str) -> None:
    """TestInternalTrafficPolicy; its port has no name."""
    ports = [{"port": 80, "protocol": "TCP"}]
    slices = [
        endpoint_slice(
            *(endpoint(f"10.0.1.{number}", where, "R") for number, where in enumerate(nodes, 1)),
            ports=[{"name": "", "port": 80, "protocol": "TCP"}],
        )
    ]
    found = plane(mode, [service(clusterIP="172.30.1.1", internalTrafficPolicy=policy, ports=ports)], slices)
    assert lines(found) == {"172.30.1.1:80/tcp": expected}
    assert [entry.service for entry in found.entries.values()] == ["ns1/svc1"]


def balanced(name: str, last: int, ingress: str, **spec: t.Any) -> Object:
    ports = [node_port(number=3000 + last - 40)]
    return service(
        name, clusterIP=f"172.30.0.{last}", type="LoadBalancer", ports=ports, ingress=[{"ip": ingress}], **spec
    )


MASQUERADE_SERVICES = [
    balanced("ns1/svc1", 41, "1.2.3.4", healthCheckNodePort=30001),
    balanced("ns2/svc2", 42, "5.6.7.8", healthCheckNodePort=30002, externalTrafficPolicy="Local"),
    balanced("ns3/svc3", 43, "9.10.11.12", healthCheckNodePort=30003, internalTrafficPolicy="Local"),
]
MASQUERADE_SLICES = [
    endpoint_slice(endpoint(f"10.180.0.{n}", NODE), endpoint(f"10.180.1.{n}", "remote"), name=f"ns{n}/svc{n}")
    for n in (1, 2, 3)
]


@BOTH
@pytest.mark.parametrize(
    ("masquerade_all", "detector", "who"),
    [(False, True, "outside_pods"), (False, False, "none"), (True, True, "all"), (True, False, "all")],
)
def test_internal_and_external_masquerade(mode: str, masquerade_all: bool, detector: bool, who: str) -> None:
    """TestInternalExternalMasquerade: its four cases differ in traffic to ClusterIPs, and in what a pod gets of an
    external address with policy Local."""
    config = {**(DETECTOR if detector else {}), mode: {"masqueradeAll": masquerade_all}}
    all_of_two = "10.180.0.2:80 10.180.1.2:80"
    assert lines(plane(mode, MASQUERADE_SERVICES, MASQUERADE_SLICES, config)) == {
        "172.30.0.41:80/tcp": f"forward 10.180.0.1:80 10.180.1.1:80, cluster, masquerade {who}",
        "1.2.3.4:80/tcp": "forward 10.180.0.1:80 10.180.1.1:80, cluster, masquerade all",
        "*:3001/tcp": "forward 10.180.0.1:80 10.180.1.1:80, cluster, masquerade all",
        "172.30.0.42:80/tcp": f"forward {all_of_two}, cluster, masquerade {who}",
        "5.6.7.8:80/tcp": f"forward 10.180.0.2:80, pods and node {all_of_two}, local, masquerade node",
        "*:3002/tcp": f"forward 10.180.0.2:80, pods and node {all_of_two}, local, masquerade node",
        "172.30.0.43:80/tcp": f"forward 10.180.0.3:80, local, masquerade {who}",
        "9.10.11.12:80/tcp": "forward 10.180.0.3:80 10.180.1.3:80, cluster, masquerade all",
        "*:3003/tcp": "forward 10.180.0.3:80 10.180.1.3:80, cluster, masquerade all",
    }


def test_each_mode_reads_masquerade_all_of_its_own_section() -> None:
    config = {"iptables": {"masqueradeAll": True}}
    found = {mode: lines(plane(mode, [service()], [endpoint_slice(HERE)], config)) for mode in ("iptables", "nftables")}
    assert found["iptables"] == {"10.20.30.41:80/tcp": "forward 10.180.0.1:80, cluster, masquerade all"}
    assert found["nftables"] == {"10.20.30.41:80/tcp": "forward 10.180.0.1:80, cluster, masquerade none"}


@BOTH
@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([NODE, ""], "forward 10.180.0.1:80, pods and node 10.180.0.1:80 10.180.0.2:80, local, masquerade node"),
        (["", ""], "drop, pods and node 10.180.0.1:80 10.180.0.2:80, local, masquerade node"),
        ([], "reject, -, masquerade -"),
    ],
)
def test_external_traffic_policy_local(mode: str, nodes: list[str], expected: str) -> None:
    """TestExternalTrafficPolicyLocal, and the cases of TestNoEndpointsMetric and TestNoEndpointsReject."""
    spec: Object = {
        "clusterIP": "172.30.0.41",
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "externalIPs": ["192.168.99.11"],
        "ports": [node_port()],
        "healthCheckNodePort": 30000,
        "ingress": [{"ip": "1.2.3.4"}],
    }
    slices = [endpoint_slice(*(endpoint(f"10.180.0.{n}", where) for n, where in enumerate(nodes, 1)))]
    found = lines(plane(mode, [service(**spec)], slices))
    del found["172.30.0.41:80/tcp"]
    assert found == dict.fromkeys(["192.168.99.11:80/tcp", "1.2.3.4:80/tcp", "*:3001/tcp"], expected)


SOURCES: list[tuple[list[str], bool, str, str]] = [
    # TestLoadBalancer: the first of them has the node's address, so that both addresses of the load balancer are sources.
    (
        ["192.168.0.0/24", " 203.0.113.0/25"],
        True,
        "1.2.3.4/32 192.168.0.0/24 203.0.113.0/25 5.6.7.8/32",
        "1.2.3.4/32 192.168.0.0/24 203.0.113.0/25 5.6.7.8/32",
    ),
    # TestBadIPs.
    (["203.0.113.000/025"], True, "203.0.113.0/25", "203.0.113.0/25"),
    # By hand: without endpoints iptables mode has no firewall chains (usesFWChain); nftables mode has.
    (["203.0.113.0/25"], False, "", "203.0.113.0/25"),
    # By hand: newBaseServiceInfo.
    (["203.0.113.0/25", "0.0.0.0/0"], True, "", ""),
    (["2001:db8::/32"], True, "", ""),
    (["203.0.113.1", "nowhere", "", "203.0.113.5/32"], True, "203.0.113.5/32", "203.0.113.5/32"),
    # By hand: nft joins intervals, iptables has rule after rule.
    (
        ["10.1.0.0/16", "10.0.0.0/8", "11.0.0.0/8"],
        True,
        "10.0.0.0/8 10.1.0.0/16 11.0.0.0/8",
        "10.0.0.0/7",
    ),
]


@pytest.mark.parametrize(("ranges", "endpoints", "iptables", "nftables"), SOURCES)
def test_source_ranges(ranges: list[str], endpoints: bool, iptables: str, nftables: str) -> None:
    services = [
        service(
            type="LoadBalancer",
            externalIPs=["7.7.7.7"],
            ports=[node_port()],
            ingress=[{"ip": "1.2.3.4"}, {"ip": "5.6.7.8"}],
            loadBalancerSourceRanges=ranges,
        )
    ]
    slices = [endpoint_slice(endpoint("10.180.0.1"))] if endpoints else []
    for mode, texts in (("iptables", iptables), ("nftables", nftables)):
        entries = plane(mode, services, slices).entries
        found = {key[1]: set(entry.source_ranges or ()) for key, entry in entries.items()}
        mine = set(texts.split())
        # Never for ClusterIPs, external addresses and NodePorts.
        assert found == {"10.20.30.41": set(), "7.7.7.7": set(), "": set(), "1.2.3.4": mine, "5.6.7.8": mine}
        assert all(entry.source_ranges == tuple(sorted(entry.source_ranges or ())) for entry in entries.values())


def test_everything_was_a_source_range_before_1_34() -> None:
    services = [service(type="LoadBalancer", ingress=[{"ip": "1.2.3.4"}], loadBalancerSourceRanges=["0.0.0.0/0"])]
    found = plane("nftables", services, release="1.33").entries[4, "1.2.3.4", "tcp", 80]
    assert found.source_ranges == ("0.0.0.0/0",)


# TestNodePorts of each mode, and nodeport_addresses_test.go.
NODE_PORTS: list[tuple[str, Object, list[str], list[str]]] = [
    ("iptables", {}, ["local"], ["local except loopback"]),
    ("iptables", {"iptables": {"localhostNodePorts": False}}, ["local except loopback"], ["local except loopback"]),
    (
        "iptables",
        {"iptables": {"localhostNodePorts": False}, "nodePortAddresses": ["192.168.0.0/24", "127.0.0.1/32"]},
        [NODE_IP],
        ["local except loopback"],
    ),
    (
        "iptables",
        {"nodePortAddresses": ["192.168.0.0/24", "127.0.0.0/8"]},
        ["127.0.0.1", NODE_IP],
        ["local except loopback"],
    ),
    (
        "iptables",
        {"nodePortAddresses": ["192.168.0.0/24", "192.168.1.0/24", "2001:db8::/64"]},
        [NODE_IP, NODE_IP_ALT],
        [NODE_IP6],
    ),
    ("iptables", {"nodePortAddresses": ["10.0.0.0/8", "::1/128"]}, [], []),
    ("nftables", {}, [NODE_IP], [NODE_IP6]),
    ("nftables", {"nodePortAddresses": ["0.0.0.0/0"]}, ["local except loopback"], ["local except loopback"]),
    (
        "nftables",
        {"nodePortAddresses": ["192.168.0.0/24", "192.168.1.0/24", "2001:db8::/64", "2001:db8:1::2/128"]},
        [NODE_IP, NODE_IP_ALT],
        [NODE_IP6_ALT, NODE_IP6],
    ),
    ("nftables", {"nodePortAddresses": ["127.0.0.0/8", "192.168.0.0/24", "::1/128"]}, [NODE_IP], []),
    ("nftables", {"bindAddress": "192.168.1.2"}, [NODE_IP_ALT], [NODE_IP6]),
    # A written mode that is not the one looked at has no say in the default.
    ("nftables", {"mode": "iptables"}, [NODE_IP], [NODE_IP6]),
    ("iptables", {"mode": "nftables"}, ["local"], ["local except loopback"]),
]


@pytest.mark.parametrize(("mode", "config", "four", "six"), NODE_PORTS)
def test_where_node_ports_answer(mode: str, config: Object, four: list[str], six: list[str]) -> None:
    found = plane(mode, [], config=config)
    assert members(found, "node_port_addresses", 4) == four
    assert members(found, "node_port_addresses", 6) == six


def test_the_same_in_the_other_family() -> None:
    """TestOverallNFTablesRulesIPv6: svc2 and svc3."""
    services = [
        service(
            "ns2/svc2",
            clusterIP="fd00:172:30::42",
            type="LoadBalancer",
            externalTrafficPolicy="Local",
            ports=[node_port(number=3001)],
            ingress=[{"ip": "5555::1"}, {"ip": "1.2.3.4"}],
            externalIPs=["2001:db8:99::22"],
            healthCheckNodePort=30000,
        ),
        service("ns3/svc3", clusterIP="fd00:172:30::43", type="NodePort", ports=[node_port(number=3003)]),
    ]
    slices = [
        endpoint_slice(endpoint("fd00:10:180::2", "other-node"), name="ns2/svc2"),
        endpoint_slice(endpoint("fd00:10:180::3", NODE), name="ns3/svc3"),
    ]
    local = "drop, pods and node fd00:10:180::2:80, local, masquerade node"
    for mode in ("iptables", "nftables"):
        found = plane(mode, services, slices)
        assert lines(found) == {
            "fd00:172:30::42:80/tcp": "forward fd00:10:180::2:80, cluster, masquerade outside_pods",
            "2001:db8:99::22:80/tcp": local,
            "5555::1:80/tcp": local,
            "**:3001/tcp": local,
            "fd00:172:30::43:80/tcp": "forward fd00:10:180::3:80, cluster, masquerade outside_pods",
            "**:3003/tcp": "forward fd00:10:180::3:80, cluster, masquerade all",
        }
    assert members(plane("iptables", services), "health_check_ports", 6) == ["30000"]
    assert members(plane("iptables", services), "health_check_ports", 4) == []


@BOTH
def test_health_check_port_without_endpoints(mode: str) -> None:
    """TestHealthCheckNodePort: the hole is there whatever endpoints there are. nftables mode makes none."""
    services = [
        service(type="LoadBalancer", externalTrafficPolicy="Local", ports=[node_port()], healthCheckNodePort=30000)
    ]
    found = {part: list(one) for part, one in plane(mode, services).parts.items() if part.kind == "health_check_ports"}
    assert found == (
        {Part("health_check_ports", 4): ["30000"], Part("health_check_ports", 6): []} if mode == "iptables" else {}
    )


@BOTH
def test_terminating_endpoints(mode: str) -> None:
    """TestTerminatingEndpointsTrafficPolicyLocal: "0 local ready endpoint, non-zero non-local ready endpoints" and, last,
    only terminating ones that do not serve any more."""
    spec: Object = {
        "clusterIP": "172.30.1.1",
        "externalIPs": ["172.30.1.2"],
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
    }
    leaving = [
        endpoint("10.0.1.1", NODE, "rST"),
        endpoint("10.0.1.2", NODE, "rST"),
        endpoint("10.0.1.4", "host-1", "RSt"),
    ]
    found = lines(plane(mode, [service(**spec)], [endpoint_slice(*leaving)]))
    assert found == {
        "172.30.1.1:80/tcp": "forward 10.0.1.4:80, cluster, masquerade outside_pods",
        "172.30.1.2:80/tcp": "forward 10.0.1.1:80 10.0.1.2:80, pods and node 10.0.1.4:80, local, masquerade node",
    }
    gone = [endpoint_slice(endpoint("10.0.1.1", NODE, "rsT"), endpoint("10.0.1.5", "host-1", "rsT"))]
    assert set(lines(plane(mode, [service(**spec)], gone)).values()) == {"reject, -, masquerade -"}
