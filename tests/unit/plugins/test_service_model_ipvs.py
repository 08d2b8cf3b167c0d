# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual servers and addresses that kube-proxy would have programmed.

Expected values are those of kube-proxy's own tests (C(pkg/proxy/ipvs/proxier_test.go),
C(pkg/proxy/util/nodeport_addresses_test.go), C(cmd/kube-proxy/app/server_test.go) of Kubernetes 1.37.2), or were
worked out by hand from C(syncProxyRules) and C(syncEndpoint) there.
"""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.netops.kube_proxy.plugins.filter.foreign_virtual_servers import foreign_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.filter.node_virtual_servers import node_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import State, build, encode
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_options import virtual_server_from_options
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import NodeView, service_ports
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import bound_by
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import parse_addresses
from tests.unit.plugins.kube_services import NODE, cluster, endpoint, endpoint_slice, links, node, node_port, service

LINKS = links(lo=["127.0.0.1", "::1"], eth0=["100.101.102.103", "fe80::1"])
TWO_NODES = [endpoint("10.180.0.1", NODE), endpoint("10.180.1.1", "other-node")]


def servers(state: State, addresses: t.Any = None) -> dict[str, list[str]]:
    """Destinations by C(address:port/protocol), through the filter."""
    found = node_virtual_servers(encode(state), NODE, LINKS if addresses is None else addresses)
    return {
        f"{one['address']}:{one['port']}/{one['protocol']}": [
            f"{real['address']}:{real['port']}" for real in one["real_servers"]
        ]
        for one in found
    }


def test_the_shape_is_the_one_that_ipvs_virtual_server_takes() -> None:
    state = cluster(
        [service(sessionAffinity="ClientIP", clusterIPs=["10.20.30.41", "fd00::41"])],
        [endpoint_slice(endpoint("10.180.0.1"))],
    )
    found = node_virtual_servers(encode(state), NODE, LINKS)
    assert found == [
        {
            "address": "10.20.30.41",
            "port": 80,
            "protocol": "tcp",
            "scheduler": "rr",
            "flags": [],
            "persistence_timeout": 10800,
            "persistence_netmask": "255.255.255.255",
            "real_servers": [{"address": "10.180.0.1", "port": 80, "weight": 1, "forward_method": "masquerade"}],
        },
        {
            "address": "fd00::41",
            "port": 80,
            "protocol": "tcp",
            "scheduler": "rr",
            "flags": [],
            "persistence_timeout": 10800,
            "persistence_netmask": "128",
            "real_servers": [],
        },
    ]
    assert len({virtual_server_from_options(one) for one in found}) == 2


def test_in_other_modes_there_are_none() -> None:
    state = encode(cluster([service()]))
    assert node_virtual_servers(state, NODE, LINKS, mode="nftables") == []
    assert node_virtual_servers(state, NODE, LINKS, mode="iptables") == []


LOCAL_SLICE = endpoint_slice(
    endpoint("10.0.1.1", NODE, "RSt"),
    endpoint("10.0.1.2", NODE, "RSt"),
    endpoint("10.0.1.3", NODE, "rST"),
    endpoint("10.0.1.4", NODE, "rsT"),
    endpoint("10.0.1.5", "another-node", "RSt"),
)
LEAVING_SLICE = endpoint_slice(
    endpoint("10.0.1.1", NODE, "rST"),
    endpoint("10.0.1.2", NODE, "rST"),
    endpoint("10.0.1.3", NODE, "rsT"),
    endpoint("10.0.1.4", "another-node", "rST"),
    endpoint("10.0.1.5", "another-node", "RSt"),
)
ALL_LEAVING = endpoint_slice(
    endpoint("10.0.1.1", NODE, "rST"), endpoint("10.0.1.4", "another-node", "rST"), endpoint("10.0.1.5", "x", "r")
)
EXTERNAL: dict[str, t.Any] = {
    "clusterIP": "172.20.1.1",
    "externalIPs": ["1.2.3.4"],
    "externalTrafficPolicy": "Local",
    "type": "NodePort",
}

Case = tuple[list[dict[str, t.Any]], list[dict[str, t.Any]], dict[str, list[str]]]
CASES: dict[str, Case] = {
    "TestNodePortIPv4: one service with node port": (
        [service(type="NodePort", ports=[node_port()])],
        [endpoint_slice(endpoint("10.180.0.1")), endpoint_slice(endpoint("1002:ab8::2:10"))],
        {"10.20.30.41:80/tcp": ["10.180.0.1:80"], "100.101.102.103:3001/tcp": ["10.180.0.1:80"]},
    ),
    "TestNodePortIPv4: no endpoints": (
        [service(type="NodePort", ports=[node_port()])],
        [],
        {"10.20.30.41:80/tcp": [], "100.101.102.103:3001/tcp": []},
    ),
    "TestNodePortIPv4: SCTP and external Local": (
        [service(type="NodePort", ports=[node_port(protocol="SCTP")], externalTrafficPolicy="Local")],
        [endpoint_slice(*TWO_NODES, ports=[{"name": "p80", "port": 80, "protocol": "SCTP"}])],
        {"10.20.30.41:80/sctp": ["10.180.0.1:80", "10.180.1.1:80"], "100.101.102.103:3001/sctp": ["10.180.0.1:80"]},
    ),
    "TestExternalIPs: the other family is for the other proxier, a loopback address is taken": (
        [service(externalIPs=["50.60.70.81", "2012::51", "127.0.0.1"])],
        [endpoint_slice(endpoint("10.180.0.1"), ports=[{"name": "p80", "port": 80, "protocol": "UDP"}])],
        {"10.20.30.41:80/tcp": [], "127.0.0.1:80/tcp": [], "50.60.70.81:80/tcp": []},
    ),
    "TestOnlyLocalExternalIPs": (
        [service(type="NodePort", externalIPs=["50.60.70.81"], externalTrafficPolicy="Local")],
        [endpoint_slice(*TWO_NODES)],
        {"10.20.30.41:80/tcp": ["10.180.0.1:80", "10.180.1.1:80"], "50.60.70.81:80/tcp": ["10.180.0.1:80"]},
    ),
    "TestLoadBalancerIngressRouteTypeProxy": (
        [
            service(type="LoadBalancer", ingress=[{"ip": "1.2.3.4", "ipMode": "Proxy"}]),
            service(
                "ns1/svc2", type="LoadBalancer", clusterIP="10.20.30.42", ingress=[{"ip": "1.2.3.5", "ipMode": "VIP"}]
            ),
            service("ns1/svc3", type="LoadBalancer", clusterIP="10.20.30.43", ingress=[{"ip": "1.2.3.6"}]),
        ],
        [],
        {
            "1.2.3.5:80/tcp": [],
            "1.2.3.6:80/tcp": [],
            "10.20.30.41:80/tcp": [],
            "10.20.30.42:80/tcp": [],
            "10.20.30.43:80/tcp": [],
        },
    ),
    "TestTestInternalTrafficPolicyE2E: Local with local endpoints": (
        [service(internalTrafficPolicy="Local")],
        [endpoint_slice(*TWO_NODES)],
        {"10.20.30.41:80/tcp": ["10.180.0.1:80"]},
    ),
    "TestTestInternalTrafficPolicyE2E: Local without local endpoints": (
        [service(internalTrafficPolicy="Local")],
        [endpoint_slice(TWO_NODES[1])],
        {"10.20.30.41:80/tcp": []},
    ),
    "by hand: internal Local without local endpoints, and something external": (
        [service(internalTrafficPolicy="Local", externalIPs=["1.2.3.4"])],
        [endpoint_slice(TWO_NODES[1])],
        {"1.2.3.4:80/tcp": ["10.180.1.1:80"], "10.20.30.41:80/tcp": ["10.180.1.1:80"]},
    ),
    "Test_EndpointSliceReadyAndTerminatingLocal": (
        [service(**EXTERNAL)],
        [LOCAL_SLICE],
        {
            "1.2.3.4:80/tcp": ["10.0.1.1:80", "10.0.1.2:80"],
            "172.20.1.1:80/tcp": ["10.0.1.1:80", "10.0.1.2:80", "10.0.1.5:80"],
        },
    ),
    "Test_EndpointSliceOnlyReadyAndTerminatingLocal": (
        [service(**EXTERNAL)],
        [LEAVING_SLICE],
        {"1.2.3.4:80/tcp": ["10.0.1.1:80", "10.0.1.2:80"], "172.20.1.1:80/tcp": ["10.0.1.5:80"]},
    ),
    "Test_EndpointSliceOnlyReadyAndTerminatingCluster": (
        [service(clusterIP="172.20.1.1", externalIPs=["1.2.3.4"])],
        [ALL_LEAVING],
        {"1.2.3.4:80/tcp": ["10.0.1.1:80", "10.0.1.4:80"], "172.20.1.1:80/tcp": ["10.0.1.1:80", "10.0.1.4:80"]},
    ),
    "by hand: external Local without local endpoints falls back (PR 97081)": (
        [service(**EXTERNAL)],
        [endpoint_slice(TWO_NODES[1])],
        {"1.2.3.4:80/tcp": ["10.180.1.1:80"], "172.20.1.1:80/tcp": ["10.180.1.1:80"]},
    ),
    "by hand: several ports, one of them without a slice": (
        [
            service(
                ports=[
                    {"name": "a", "port": 1, "protocol": "TCP"},
                    {"name": "b", "port": 1, "protocol": "UDP"},
                    {"name": "c", "port": 2},
                ]
            )
        ],
        [
            endpoint_slice(
                endpoint("10.0.0.9"), ports=[{"name": "b", "port": 5353, "protocol": "UDP"}, {"name": "c", "port": 22}]
            )
        ],
        {"10.20.30.41:1/tcp": [], "10.20.30.41:1/udp": ["10.0.0.9:5353"], "10.20.30.41:2/tcp": ["10.0.0.9:22"]},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_virtual_servers(name: str) -> None:
    services, slices, expected = CASES[name]
    assert servers(cluster(services, slices)) == expected


def test_two_services_with_one_external_address_make_one_virtual_server() -> None:
    one = service("ns1/a", externalIPs=["1.2.3.4"])
    two = service("ns1/b", clusterIP="10.20.30.42", externalIPs=["1.2.3.4"])
    assert list(servers(cluster([one, two]))) == ["1.2.3.4:80/tcp", "10.20.30.41:80/tcp", "10.20.30.42:80/tcp"]


@pytest.mark.parametrize(("written", "used"), [("", "rr"), (None, "rr"), ("wrr", "wrr"), ("lc", "lc")])
def test_the_scheduler_is_the_configured_one(written: str | None, used: str) -> None:
    state = cluster([service()], config={"ipvs": {"scheduler": written}})
    assert [one["scheduler"] for one in node_virtual_servers(encode(state), NODE, LINKS)] == [used]


def test_maglev_has_its_flag() -> None:
    spec: dict[str, t.Any] = {
        "type": "LoadBalancer",
        "externalIPs": ["1.1.1.1"],
        "ports": [node_port()],
        "ingress": [{"ip": "2.2.2.2"}],
    }
    state = cluster([service(**spec)], config={"ipvs": {"scheduler": "mh"}})
    flags = {one["address"]: one["flags"] for one in node_virtual_servers(encode(state), NODE, LINKS)}
    assert flags == {
        "1.1.1.1": ["mh-port"],
        "2.2.2.2": ["mh-port"],
        "10.20.30.41": ["mh-port"],
        "100.101.102.103": ["mh-port"],
    }


# TestGetNodeIPs in proxier_test.go (node addresses), TestGetNodeIPs in nodeport_addresses_test.go (networks),
# TestExpandNodePortAddressKeywords in server_test.go (keywords). Case 11 by GetAllLocalAddressesExcept: an address on
# kube-ipvs0 and elsewhere counts (kubernetes issue 114815).
ADDRESSES: list[tuple[dict[str, list[str]], list[str] | None, int, list[str]]] = [
    ({"eth0": ["1.2.3.4"], "lo": ["127.0.0.1"]}, None, 4, ["1.2.3.4"]),
    ({"lo": ["127.0.0.1"]}, None, 4, []),
    ({}, None, 4, []),
    (
        {"encap0": ["10.20.30.40", "fe80::200:ff:fe01:1"], "lo": ["127.0.0.1", "::1"], "docker0": ["172.17.0.1"]},
        None,
        4,
        ["10.20.30.40", "172.17.0.1"],
    ),
    (
        {"encaps9": ["10.20.30.40"], "lo": ["127.0.0.1"], "encap7": ["1000::", "10.20.30.31"]},
        None,
        4,
        ["10.20.30.31", "10.20.30.40"],
    ),
    ({"kube_ipvs0": ["2000::", "1.2.3.4"], "encap7": ["1000::", "10.20.30.31"]}, None, 4, ["10.20.30.31"]),
    ({"kube_ipvs0": ["1.2.3.4", "2.3.4.5"], "lo": ["127.0.0.1"]}, None, 4, []),
    ({"ipvs0": ["1.2.3.4"], "lo": ["127.0.0.1"], "encap7": ["10.20.30.31"]}, None, 4, ["1.2.3.4", "10.20.30.31"]),
    (
        {"ipvs0": ["1.2.3.4", "1000::"], "lo": ["::1"], "encap7": ["2000::", "fe80::200:ff:fe01:1"]},
        None,
        6,
        ["1000::", "2000::"],
    ),
    ({"ipvs0": ["1000::"], "encap7": ["2000::"], "kube_ipvs0": ["2000::"]}, None, 6, ["1000::", "2000::"]),
    ({"eth0": ["169.254.20.10"]}, None, 4, ["169.254.20.10"]),
    ({"eth0": ["10.20.30.51"], "eth1": ["100.200.201.1"]}, ["10.20.30.0/24"], 4, ["10.20.30.51"]),
    (
        {"eth0": ["10.20.30.51"], "eth1": ["100.200.201.1"]},
        ["10.20.30.0/24", "100.200.201.0/24"],
        4,
        ["10.20.30.51", "100.200.201.1"],
    ),
    ({"eth0": ["192.168.1.2"]}, ["10.20.30.0/24"], 4, []),
    ({"lo": ["127.0.0.1"], "eth0": ["10.0.0.1"]}, ["127.0.0.0/8"], 4, []),
    ({"eth0": ["1.2.3.4", "2001:db8::1"]}, ["1.2.3.0/24"], 6, ["2001:db8::1"]),
    (
        {"eth0": ["1.2.3.4", "2001:db8::1"], "lo": ["127.0.0.1"]},
        ["0.0.0.0/0", "1.2.3.0/24", "2001:db8::1/128"],
        4,
        ["1.2.3.4"],
    ),
    (
        {"eth0": ["1.2.3.4", "2001:db8::1"], "lo": ["127.0.0.1"]},
        ["0.0.0.0/0", "1.2.3.0/24", "2001:db8::1/128"],
        6,
        ["2001:db8::1"],
    ),
    # Inside networks kube-ipvs0 and link-local addresses count: GetNodeIPs does not leave them out.
    ({"eth0": ["10.0.0.1"], "kube_ipvs0": ["10.96.0.1"]}, ["10.0.0.0/8"], 4, ["10.0.0.1", "10.96.0.1"]),
    ({"eth0": ["fe80::1"]}, ["fe80::/10"], 6, ["fe80::1"]),
    # The Node's InternalIPs are 192.168.66.10 and fd00::10.
    ({"eth0": ["192.168.66.10", "192.168.66.99"]}, ["primary"], 4, ["192.168.66.10"]),
    ({"eth0": ["fd00::10", "fd00::99"]}, ["primary"], 6, ["fd00::10"]),
    ({"eth0": ["192.168.66.10", "10.1.1.1"]}, ["primary", "10.1.0.0/16"], 4, ["10.1.1.1", "192.168.66.10"]),
    ({"eth0": ["192.168.66.10", "10.1.1.1"], "lo": ["127.0.0.1"]}, ["localhost"], 4, []),
    ({"eth0": ["192.168.66.10", "10.1.1.1"], "lo": ["127.0.0.1"]}, ["all"], 4, ["10.1.1.1", "192.168.66.10"]),
]


@pytest.mark.parametrize(("devices", "restricted", "family", "expected"), ADDRESSES)
def test_addresses_of_node_ports(
    devices: dict[str, list[str]], restricted: list[str] | None, family: int, expected: list[str]
) -> None:
    address = "fd00:20::41" if family == 6 else "10.20.30.41"
    state = cluster(
        [service(type="NodePort", clusterIP=address, ports=[node_port()])],
        config={"nodePortAddresses": restricted},
        nodes=[node(addresses=["192.168.66.10", "fd00::10"])],
    )
    found = [
        one["address"] for one in node_virtual_servers(encode(state), NODE, links(**devices)) if one["port"] == 3001
    ]
    assert sorted(found) == sorted(expected)


def test_a_primary_address_that_is_bound_by_configuration() -> None:
    state = cluster(
        [service(type="NodePort", ports=[node_port()])],
        config={"nodePortAddresses": ["primary"], "bindAddress": "10.0.0.9"},
        nodes=[node(addresses=["192.168.66.10"])],
    )
    addresses = links(eth0=["10.0.0.9", "192.168.66.10"])
    assert sorted(servers(state, addresses)) == ["10.0.0.9:3001/tcp", "10.20.30.41:80/tcp"]


def test_what_kube_ipvs0_holds() -> None:
    state = cluster(
        [
            service(
                type="LoadBalancer",
                externalIPs=["50.60.70.81", "100.101.102.103"],
                ingress=[{"ip": "1.2.3.4"}],
                ports=[node_port()],
            ),
            service("ns1/six", clusterIP="fd00::41", clusterIPs=["fd00::41", "10.20.30.5"]),
            service("ns1/none", clusterIP="None"),
        ]
    )
    addresses = [*LINKS, *links(kube_ipvs0=["1.2.3.4", "9.9.9.9"])]
    assert bound_by(service_ports(state, NodeView("")), parse_addresses(addresses)) == {
        "1.2.3.4": "ns1/svc1:p80",
        "10.20.30.5": "ns1/six:p80",
        "10.20.30.41": "ns1/svc1:p80",
        "50.60.70.81": "ns1/svc1:p80",
        "fd00::41": "ns1/six:p80",
    }


def virtual(address: str, port: int = 57, protocol: str = "udp") -> dict[str, t.Any]:
    return {"address": address, "port": port, "protocol": protocol, "scheduler": "rr", "real_servers": []}


# TestCleanLegacyService: 5.5.5.5 goes; those inside excludeCIDRs stay.
ACTUAL = [
    virtual("10.20.30.41", 80, "tcp"),
    virtual("10.20.30.41", 80, "udp"),
    virtual("100.101.102.103", 3001, "tcp"),
    virtual("3.3.3.3", 55),
    virtual("4.4.4.4", 56),
    virtual("5.5.5.5", 57),
    virtual("6.6.6.6", 58),
    virtual("198.51.100.0", 20000, "tcp"),
    {"fwmark": 7, "family": "ipv4", "scheduler": "rr", "real_servers": []},
]


@pytest.mark.parametrize(
    ("mode", "excluded", "lost"),
    [
        ("ipvs", ["3.3.3.0/24", "4.4.4.0/24"], ["10.20.30.41", "5.5.5.5"]),
        ("ipvs", [], ["10.20.30.41", "3.3.3.3", "4.4.4.4", "5.5.5.5"]),
        ("ipvs", ["0.0.0.0/0"], []),
        ("nftables", ["0.0.0.0/0"], ["10.20.30.41", "3.3.3.3", "4.4.4.4", "5.5.5.5", "fwmark 7"]),
        ("iptables", [], []),
    ],
)
def test_virtual_servers_that_a_mode_would_destroy(mode: str, excluded: list[str], lost: list[str]) -> None:
    state = cluster([service(type="NodePort", ports=[node_port()])])
    # 6.6.6.6 is on kube-ipvs0: kube-proxy's own, of a Service that is gone.
    addresses = [*LINKS, *links(kube_ipvs0=["6.6.6.6"])]
    expected = node_virtual_servers(encode(state), NODE, addresses)
    found = foreign_virtual_servers(ACTUAL, expected, excluded, addresses, mode)
    assert [one.get("address", f"fwmark {one.get('fwmark')}") for one in found] == lost


NO_CONFIG = encode(build([], [], [node()], None, ""))
BAD_INPUT: list[tuple[tuple[t.Any, ...], dict[str, t.Any], str]] = [
    (("nonsense", NODE, LINKS), {}, "This is not the state of a cluster"),
    ((encode(cluster([])), "w7", LINKS), {}, "no node 'w7'"),
    ((encode(cluster([])), NODE, "eth0"), {}, "These are not the addresses of a node"),
    ((encode(cluster([])), NODE, ["eth0"]), {}, "These are not the addresses of a node"),
    ((encode(cluster([])), NODE, LINKS), {"mode": "ipv"}, "mode must be one of iptables, ipvs, nftables"),
    ((NO_CONFIG, NODE, LINKS), {}, "holds no kube-proxy configuration for node"),
]


@pytest.mark.parametrize(("args", "kwargs", "words"), BAD_INPUT)
def test_bad_input_of_the_filters(args: tuple[t.Any, ...], kwargs: dict[str, t.Any], words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        node_virtual_servers(*args, **kwargs)


def test_bad_input_of_the_other_filters() -> None:
    with pytest.raises(AnsibleFilterError, match="mode must be one of iptables, ipvs, nftables: it is 'x'"):
        foreign_virtual_servers([], [], mode="x")
    with pytest.raises(AnsibleFilterError, match=r"networks such as 10.0.0.0/8: 'nowhere' is none"):
        foreign_virtual_servers(ACTUAL, [], ["nowhere"])
    with pytest.raises(AnsibleFilterError, match="not the addresses of a node"):
        foreign_virtual_servers(ACTUAL, [], links="eth0")


def test_without_links_old_ones_of_kube_proxy_count_too() -> None:
    assert [one["address"] for one in foreign_virtual_servers([virtual("6.6.6.6", 58)], [])] == ["6.6.6.6"]
