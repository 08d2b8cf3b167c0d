# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API asks for in ipvs mode: virtual servers, ipsets, the addresses of kube-ipvs0.

Expected values are those of kube-proxy's own tests (C(pkg/proxy/ipvs/proxier_test.go) of Kubernetes 1.37.2), or were worked
out by hand from C(syncProxyRules) there. What destinations a virtual server has is in C(test_service_model_ipvs).
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Dataplane, Part
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IP_SETS
from tests.unit.plugins.kube_dataplanes import golden, lines, members, plane
from tests.unit.plugins.kube_services import NODE, Object, endpoint, endpoint_slice, links, node_port, service

LINKS = links(lo=["127.0.0.1", "::1"], eth0=["100.101.102.103", "fe80::1"])
MANY = links(lo=["127.0.0.1", "::1"], eth0=["100.101.102.103", "100.101.102.104", "100.101.102.105", "2001:db8::1:1"])
SCTP = [{"name": "p80", "port": 80, "protocol": "SCTP"}]


def ipvs(
    services: t.Sequence[Object],
    slices: t.Sequence[Object] = (),
    config: Object | None = None,
    addresses: t.Any = LINKS,
) -> Dataplane:
    return plane("ipvs", services, slices, config, addresses=addresses)


def sets(found: Dataplane, family: int = 4) -> dict[str, list[str]]:
    """The members of the sets that have any."""
    return {
        part.name: sorted(one)
        for part, one in found.parts.items()
        if part.kind == "ipset" and part.family == family and one
    }


def test_every_set_is_there_in_both_families() -> None:
    found = ipvs([])
    # ipsetInfo in proxier.go; IPv6 names by NewIPSet in ipset.go.
    four = [part.name for part in found.parts if part.kind == "ipset" and part.family == 4]
    six = [part.name for part in found.parts if part.kind == "ipset" and part.family == 6]
    assert len(four) == len(six) == 17
    assert "KUBE-NODE-PORT-SCTP" not in four
    assert {"KUBE-6-LOAD-BALANCER-SOURCE-CID", "KUBE-6-NODE-PORT-LOCAL-SCTP-HAS", "KUBE-6-IPVS-IPS"} < set(six)
    assert four == [one.name for one in IP_SETS if not one.until]
    assert found.parts[Part("device_addresses", 4)] == found.parts[Part("device_addresses", 6)] == {}


def test_the_services_of_the_golden_rules() -> None:
    """By hand: svc2 is external Local without local endpoints, which falls back in this mode."""
    found = ipvs(*golden())
    assert lines(found) == {
        "172.30.0.41:80/tcp": "forward 10.180.0.1:80, -, masquerade -, rr",
        "172.30.0.42:80/tcp": "forward 10.180.0.2:80, -, masquerade -, rr",
        "192.168.99.22:80/tcp": "forward 10.180.0.2:80, -, masquerade -, rr",
        "1.2.3.4:80/tcp": "forward 10.180.0.2:80, -, masquerade -, rr",
        "100.101.102.103:3001/tcp": "forward 10.180.0.2:80, -, masquerade -, rr",
        "172.30.0.43:80/tcp": "forward 10.180.0.3:80, -, masquerade -, rr",
        "100.101.102.103:3003/tcp": "forward 10.180.0.3:80, -, masquerade -, rr",
        "172.30.0.44:80/tcp": "forward 10.180.0.4:80 10.180.0.5:80, -, masquerade -, rr",
        "192.168.99.33:80/tcp": "forward 10.180.0.4:80 10.180.0.5:80, -, masquerade -, rr",
        "172.30.0.45:80/tcp": "forward 10.180.0.3:80, -, masquerade -, sticky 10800, rr",
        "5.6.7.8:80/tcp": "forward 10.180.0.3:80, -, masquerade -, sticky 10800, rr",
        "100.101.102.103:3002/tcp": "forward 10.180.0.3:80, -, masquerade -, sticky 10800, rr",
        "172.30.0.46:80/tcp": "forward, -, masquerade -, rr",
    }
    vips = ["1.2.3.4", *(f"172.30.0.4{n}" for n in range(1, 7)), "192.168.99.22", "192.168.99.33", "5.6.7.8"]
    assert sets(found) == {
        "KUBE-LOOP-BACK": [f"10.180.0.{n},tcp:80,10.180.0.{n}" for n in (1, 3, 5)],
        "KUBE-CLUSTER-IP": [f"172.30.0.4{n},tcp:80" for n in range(1, 7)],
        "KUBE-EXTERNAL-IP": ["192.168.99.33,tcp:80"],
        "KUBE-EXTERNAL-IP-LOCAL": ["192.168.99.22,tcp:80"],
        "KUBE-LOAD-BALANCER": ["1.2.3.4,tcp:80", "5.6.7.8,tcp:80"],
        "KUBE-LOAD-BALANCER-LOCAL": ["1.2.3.4,tcp:80"],
        "KUBE-LOAD-BALANCER-FW": ["5.6.7.8,tcp:80"],
        "KUBE-LOAD-BALANCER-SOURCE-CIDR": ["5.6.7.8,tcp:80,203.0.113.0/25"],
        "KUBE-NODE-PORT-TCP": ["3001", "3002", "3003"],
        "KUBE-NODE-PORT-LOCAL-TCP": ["3001"],
        "KUBE-HEALTH-CHECK-NODE-PORT": ["30000"],
        "KUBE-IPVS-IPS": vips,
    }
    assert members(found, "device_addresses") == vips
    assert sets(found, 6) == {}
    assert found.parts[Part("ipset", 4, "KUBE-EXTERNAL-IP")] == {"192.168.99.33,tcp:80": "ns4/svc4:p80"}
    assert found.parts[Part("device_addresses", 4)]["5.6.7.8"] == "ns5/svc5:p80"
    entry = found.entries[4, "5.6.7.8", "tcp", 80]
    assert (entry.source, entry.service) == ("load_balancer_ip", "ns5/svc5:p80")
    assert entry[3:10] == (None, 10800, None, None, None, None, "rr")


Case = tuple[list[Object], list[Object], t.Any, dict[str, list[str]]]
CASES: dict[str, Case] = {
    "TestNodePortIPv4: UDP": (
        [service(type="NodePort", ports=[node_port(protocol="UDP")])],
        [endpoint_slice(endpoint("10.180.0.1"), ports=[{"name": "p80", "port": 80, "protocol": "UDP"}])],
        LINKS,
        {"KUBE-CLUSTER-IP": ["10.20.30.41,udp:80"], "KUBE-NODE-PORT-UDP": ["3001"]},
    ),
    "TestNodePortIPv4: SCTP on several addresses": (
        [service(type="NodePort", ports=[node_port(protocol="SCTP")])],
        [endpoint_slice(endpoint("10.180.0.1"), ports=SCTP)],
        MANY,
        {
            "KUBE-CLUSTER-IP": ["10.20.30.41,sctp:80"],
            "KUBE-NODE-PORT-SCTP-HASH": [f"100.101.102.10{n},sctp:3001" for n in (3, 4, 5)],
        },
    ),
    "TestNodePortIPv4: SCTP and external Local": (
        [service(type="NodePort", ports=[node_port(protocol="SCTP")], externalTrafficPolicy="Local")],
        [endpoint_slice(endpoint("10.180.0.1", NODE), endpoint("10.180.1.1", "other-node"), ports=SCTP)],
        LINKS,
        {
            "KUBE-LOOP-BACK": ["10.180.0.1,sctp:80,10.180.0.1"],
            "KUBE-CLUSTER-IP": ["10.20.30.41,sctp:80"],
            "KUBE-NODE-PORT-SCTP-HASH": ["100.101.102.103,sctp:3001"],
            "KUBE-NODE-PORT-LOCAL-SCTP-HASH": ["100.101.102.103,sctp:3001"],
        },
    ),
    "TestLoadBalancer": (
        [service(type="LoadBalancer", ports=[node_port()], ingress=[{"ip": "1.2.3.4"}])],
        [],
        links(lo=["127.0.0.1", "::1"]),
        {"KUBE-CLUSTER-IP": ["10.20.30.41,tcp:80"], "KUBE-LOAD-BALANCER": ["1.2.3.4,tcp:80"]},
    ),
    "TestOnlyLocalNodePorts": (
        [service(type="NodePort", ports=[node_port()], externalTrafficPolicy="Local")],
        [],
        LINKS,
        {
            "KUBE-CLUSTER-IP": ["10.20.30.41,tcp:80"],
            "KUBE-NODE-PORT-TCP": ["3001"],
            "KUBE-NODE-PORT-LOCAL-TCP": ["3001"],
        },
    ),
    "TestLoadBalancerSourceRanges": (
        [service(type="LoadBalancer", ingress=[{"ip": "1.2.3.4"}], loadBalancerSourceRanges=["10.0.0.0/8"])],
        [endpoint_slice(endpoint("10.180.0.1"))],
        LINKS,
        {
            "KUBE-CLUSTER-IP": ["10.20.30.41,tcp:80"],
            "KUBE-LOAD-BALANCER": ["1.2.3.4,tcp:80"],
            "KUBE-LOAD-BALANCER-FW": ["1.2.3.4,tcp:80"],
            "KUBE-LOAD-BALANCER-SOURCE-CIDR": ["1.2.3.4,tcp:80,10.0.0.0/8"],
        },
    ),
    "by hand: the node itself is among the sources; a whole address is printed without its length": (
        [
            service(
                type="LoadBalancer",
                ingress=[{"ip": "1.2.3.4"}, {"ip": "1.2.3.5"}],
                loadBalancerSourceRanges=["192.168.0.0/24", "7.7.7.7/32"],
            )
        ],
        [],
        LINKS,
        {
            "KUBE-CLUSTER-IP": ["10.20.30.41,tcp:80"],
            "KUBE-LOAD-BALANCER": ["1.2.3.4,tcp:80", "1.2.3.5,tcp:80"],
            "KUBE-LOAD-BALANCER-FW": ["1.2.3.4,tcp:80", "1.2.3.5,tcp:80"],
            "KUBE-LOAD-BALANCER-SOURCE-CIDR": [
                "1.2.3.4,tcp:80,192.168.0.0/24",
                "1.2.3.4,tcp:80,7.7.7.7",
                "1.2.3.5,tcp:80,192.168.0.0/24",
                "1.2.3.5,tcp:80,7.7.7.7",
            ],
            "KUBE-LOAD-BALANCER-SOURCE-IP": ["1.2.3.4,tcp:80,1.2.3.4", "1.2.3.5,tcp:80,1.2.3.5"],
        },
    ),
    "TestHealthCheckNodePort: only with external Local": (
        [
            service(
                f"ns1/{name}",
                type="LoadBalancer",
                ports=[node_port(number=3000)],
                externalTrafficPolicy=policy,
                healthCheckNodePort=number,
            )
            for name, policy, number in (("a", "Local", 30000), ("b", "Local", 30001), ("c", "Cluster", 30002))
        ],
        [],
        LINKS,
        {
            "KUBE-CLUSTER-IP": ["10.20.30.41,tcp:80"],
            "KUBE-NODE-PORT-TCP": ["3000"],
            "KUBE-NODE-PORT-LOCAL-TCP": ["3000"],
            "KUBE-HEALTH-CHECK-NODE-PORT": ["30000", "30001"],
        },
    ),
    "by hand: without an address for NodePorts the health-check port is left out too": (
        [service(type="LoadBalancer", ports=[node_port()], externalTrafficPolicy="Local", healthCheckNodePort=30000)],
        [],
        links(lo=["127.0.0.1", "::1"]),
        {"KUBE-CLUSTER-IP": ["10.20.30.41,tcp:80"]},
    ),
    "TestEndpointSliceE2E, and by hand: local endpoints loop back whatever their state": (
        [service()],
        [
            endpoint_slice(
                endpoint("10.0.1.1", NODE, "R"),
                endpoint("10.0.1.2", "node2", "R"),
                endpoint("10.0.1.5", NODE, "r"),
                endpoint("10.0.1.6", NODE, "rsT"),
            )
        ],
        LINKS,
        {
            "KUBE-LOOP-BACK": [f"10.0.1.{n},tcp:80,10.0.1.{n}" for n in (1, 5, 6)],
            "KUBE-CLUSTER-IP": ["10.20.30.41,tcp:80"],
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_members_of_the_sets(name: str) -> None:
    services, slices, addresses, wanted = CASES[name]
    found = sets(ipvs(services, slices, addresses=addresses))
    found.pop("KUBE-IPVS-IPS", None)
    assert found == wanted


def test_the_other_family_has_its_own_sets() -> None:
    """By hand: KUBE-LOAD-BALANCER-SOURCE-CIDR is cut, its member has the length of the network; a whole address has none."""
    services = [
        service(
            clusterIPs=["10.20.30.41", "fd00::41"],
            type="LoadBalancer",
            ports=[node_port()],
            ingress=[{"ip": "5555::1"}],
            loadBalancerSourceRanges=["2001:db8:5::/48", "2001:db8::7/128"],
        )
    ]
    found = ipvs(services, [endpoint_slice(endpoint("fd00:10::1", NODE))], addresses=MANY)
    assert sets(found, 6) == {
        "KUBE-6-LOOP-BACK": ["fd00:10::1,tcp:80,fd00:10::1"],
        "KUBE-6-CLUSTER-IP": ["fd00::41,tcp:80"],
        "KUBE-6-LOAD-BALANCER": ["5555::1,tcp:80"],
        "KUBE-6-LOAD-BALANCER-FW": ["5555::1,tcp:80"],
        "KUBE-6-LOAD-BALANCER-SOURCE-CID": ["5555::1,tcp:80,2001:db8:5::/48", "5555::1,tcp:80,2001:db8::7"],
        "KUBE-6-NODE-PORT-TCP": ["3001"],
        "KUBE-6-IPVS-IPS": ["5555::1", "fd00::41"],
    }
    assert members(found, "device_addresses", 6) == ["5555::1", "fd00::41"]
    assert members(found, "device_addresses", 4) == ["10.20.30.41"]


def test_an_address_that_the_node_has_itself_is_not_bound() -> None:
    """By hand: shouldBind in syncProxyRules. It has its virtual server all the same."""
    found = ipvs([service(externalIPs=["100.101.102.103", "50.60.70.81"])])
    assert members(found, "device_addresses") == sets(found)["KUBE-IPVS-IPS"] == ["10.20.30.41", "50.60.70.81"]
    assert (4, "100.101.102.103", "tcp", 80) in found.entries


@pytest.mark.parametrize(("written", "text"), [("", "rr"), (None, "rr"), ("lc", "lc"), ("mh", "mh mh-port")])
def test_the_scheduler_and_its_flags(written: str | None, text: str) -> None:
    (entry,) = ipvs([service()], config={"ipvs": {"scheduler": written}}).entries.values()
    assert entry.scheduler == text
