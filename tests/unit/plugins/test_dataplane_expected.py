# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the three modes have in common: contested keys, families, gates, other configurations, and speed."""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_compare import differences
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import as_held, expected
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Entry
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import (
    node_of,
    node_with,
    parse_addresses,
)
from tests.unit.plugins.kube_dataplanes import DETECTOR, LINKS, golden, lines, plane, the_node
from tests.unit.plugins.kube_services import (
    NODE,
    Object,
    cluster,
    endpoint,
    endpoint_slice,
    links,
    node,
    node_port,
    service,
)

MODES = ["iptables", "ipvs", "nftables"]
ALL_MODES = pytest.mark.parametrize("mode", MODES)
KEY = (4, "1.2.3.4", "tcp", 80)


def claimants(**second: t.Any) -> tuple[list[Object], list[Object]]:
    services = [
        service("ns1/a", clusterIP="10.20.30.41", externalIPs=["1.2.3.4"]),
        service("ns1/b", clusterIP="10.20.30.42", externalIPs=["1.2.3.4"], **second),
    ]
    return services, [
        endpoint_slice(endpoint("10.180.0.1", NODE), name="ns1/a"),
        endpoint_slice(endpoint("10.180.0.2", NODE), name="ns1/b"),
    ]


@ALL_MODES
def test_either_of_two_services_may_have_the_address(mode: str) -> None:
    found = plane(mode, *claimants())
    assert list(found.contested) == [KEY]
    assert [one.service for one in found.contested[KEY]] == ["ns1/a:p80", "ns1/b:p80"]
    assert found.entries[KEY] == found.contested[KEY][0]
    for claim in found.contested[KEY]:
        actual = replace(found, entries={**found.entries, KEY: claim._replace(service="")}, contested={})
        assert differences(as_held(found, actual), actual) == []


@ALL_MODES
def test_somebody_elses_destination_is_a_difference_still(mode: str) -> None:
    found = plane(mode, *claimants())
    strange = found.entries[KEY]._replace(destinations=(("10.180.0.2", 80), ("9.9.9.9", 9)))
    actual = replace(found, entries={**found.entries, KEY: strange}, contested={})
    assert [(one.kind, one.detail, one.service) for one in differences(as_held(found, actual), actual)] == [
        ("destination_stale", "9.9.9.9:9", "ns1/b:p80")
    ]
    entries = {key: one for key, one in found.entries.items() if key != KEY}
    missing = replace(found, entries=entries, contested={})
    assert [one.kind for one in differences(as_held(found, missing), missing)] == ["vip_missing"]


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_who_has_no_endpoint_loses(mode: str) -> None:
    """The packet is rewritten in table nat, before table filter could refuse it."""
    services, slices = claimants()
    for kept, winner in ((slices[:1], "ns1/a:p80"), (slices[1:], "ns1/b:p80")):
        found = plane(mode, services, kept)
        assert found.contested == {}
        assert (found.entries[KEY].service, found.entries[KEY].verdict) == (winner, "forward")
    assert plane(mode, services).contested == {}
    assert plane(mode, services).entries[KEY].verdict == "reject"


def test_ipvs_mode_has_the_last_one_even_without_endpoints() -> None:
    services, slices = claimants()
    assert {one.destinations for one in plane("ipvs", services, slices[:1]).contested[KEY]} == {
        (),
        (("10.180.0.1", 80),),
    }


@pytest.mark.parametrize(
    ("mode", "source", "ranges"),
    [
        ("iptables", "external_ip", ()),
        ("nftables", "load_balancer_ip", ("203.0.113.0/25",)),
        ("ipvs", "load_balancer_ip", None),
    ],
)
def test_one_service_that_names_an_address_twice(mode: str, source: str, ranges: tuple[str, ...] | None) -> None:
    """iptables mode: the rule for external IPs is the first. nftables mode: firewall-ips guards the address, whoever leads to
    it."""
    spec: Object = {
        "externalIPs": ["1.2.3.4"],
        "ingress": [{"ip": "1.2.3.4"}],
        "loadBalancerSourceRanges": ["203.0.113.0/25"],
    }
    found = plane(mode, [service(type="LoadBalancer", **spec)], [endpoint_slice(endpoint("10.180.0.1"))])
    assert (found.entries[KEY].source, found.entries[KEY].source_ranges) == (source, ranges)
    assert found.contested == {}


def test_nothing_is_contested_without_a_contest() -> None:
    found = plane("iptables", *golden())
    assert as_held(found, found) is found


@ALL_MODES
def test_another_mode_than_the_configured_one(mode: str) -> None:
    state = cluster([service()], config={"mode": "nftables"})
    assert expected(state, the_node(state), mode).mode == mode


def test_no_such_mode() -> None:
    state = cluster([])
    with pytest.raises(InvalidInput, match="iptables, ipvs, nftables: it is 'kernelspace'"):
        expected(state, the_node(state), "kernelspace")


@ALL_MODES
def test_a_configuration_that_kube_proxy_refuses(mode: str) -> None:
    with pytest.raises(InvalidInput, match=r"nodePortAddresses .* 'eth0' is none"):
        plane(mode, [service(type="NodePort", ports=[node_port()])], config={"nodePortAddresses": ["eth0"]})


NO_IPV6 = links(lo=["127.0.0.1"], eth0=["192.168.0.2"])


@ALL_MODES
@pytest.mark.parametrize(
    ("release", "addresses", "families"),
    [
        ("1.37", LINKS, {4, 6}),
        ("1.37", NO_IPV6, {4}),
        ("1.36", NO_IPV6, {4}),
        ("", NO_IPV6, {4}),
        ("1.35", NO_IPV6, {4, 6}),
    ],
)
def test_families(mode: str, release: str, addresses: t.Any, families: set[int]) -> None:
    """C(platformCheckSupported): from 1.36 on C(disable_ipv6) ends IPv6."""
    services = [service(clusterIPs=["10.20.30.41", "fd00::41"], type="NodePort", ports=[node_port()])]
    found = plane(mode, services, release=release, addresses=addresses)
    assert {part.family for part in found.parts} == families
    assert {key[0] for key in found.entries} == families


def test_the_node_may_be_told_which_families_it_serves() -> None:
    state = cluster([service(clusterIPs=["10.20.30.41", "fd00::41"])], release="1.35")
    found = expected(state, replace(the_node(state), families=(4,)), "iptables")
    assert {key[0] for key in found.entries} == {4}


# C(getLocalDetectors), and TestGetLocalDetectors in server_linux_test.go.
DETECTORS: list[tuple[Object, list[str], bool, bool]] = [
    ({}, [], False, False),
    ({"clusterCIDR": "10.0.0.0/14"}, [], True, False),
    ({"clusterCIDR": "10.0.0.0/14,2002:0:0:1234::/64"}, [], True, True),
    ({"clusterCIDR": "2002:0:0:1234::/64"}, [], False, True),
    ({"clusterCIDR": "10.0.0.0/14, 10.4.0.0/14"}, [], True, False),
    ({"detectLocalMode": "NodeCIDR", "clusterCIDR": "10.0.0.0/14"}, [], False, False),
    ({"detectLocalMode": "NodeCIDR"}, ["10.0.0.0/24"], True, False),
    ({"detectLocalMode": "NodeCIDR"}, ["10.0.0.0/24", "2002::1234:abcd:ffff:0:0/96"], True, True),
    ({"detectLocalMode": "BridgeInterface", "detectLocal": {"bridgeInterface": "eth"}}, [], True, True),
    ({"detectLocalMode": "InterfaceNamePrefix", "detectLocal": {"interfaceNamePrefix": "eth"}}, [], True, True),
    ({"detectLocalMode": "Other", "clusterCIDR": "10.0.0.0/14"}, [], False, False),
]


@pytest.mark.parametrize(("config", "pod_cidrs", "four", "six"), DETECTORS)
def test_whether_kube_proxy_can_tell_pods(config: Object, pod_cidrs: list[str], four: bool, six: bool) -> None:
    the = {**node(), "spec": {"podCIDRs": pod_cidrs}}
    state = cluster([], config=config, nodes=[the])
    found = node_of(state, NODE, LINKS)
    assert (found.tells_pods(4), found.tells_pods(6)) == (four, six)


def test_a_node_by_its_addresses() -> None:
    state = cluster([], config=DETECTOR)
    assert node_with(state, NODE, parse_addresses(LINKS)) == node_of(state, NODE, LINKS)


@ALL_MODES
def test_external_ips_that_are_switched_off(mode: str) -> None:
    """C(ExternalIPs) in serviceport.go of 1.36. C(ExternallyAccessible) looks at the field, so that policy Local counts as
    before."""
    spec: Object = {"externalIPs": ["1.2.3.4"], "internalTrafficPolicy": "Local"}
    gates = {"featureGates": {"AllowServiceExternalIPs": False}}
    assert KEY in plane(mode, [service(**spec)], config={}).entries
    assert list(plane(mode, [service(**spec)], config=gates).entries) == [(4, "10.20.30.41", "tcp", 80)]


@pytest.mark.parametrize(
    ("release", "gates", "near"),
    [
        ("1.37", {}, True),
        ("1.33", {}, False),
        ("1.34", {"PreferSameTrafficDistribution": False}, False),
        ("1.33", {"PreferSameTrafficDistribution": True}, True),
    ],
)
def test_hints_for_nodes_have_a_gate(release: str, gates: dict[str, bool], near: bool) -> None:
    slices = [endpoint_slice(endpoint("10.0.0.1", NODE, nodes=[NODE]), endpoint("10.0.0.2", "other", nodes=["other"]))]
    (entry,) = plane("iptables", [service()], slices, {"featureGates": gates}, release).entries.values()
    assert entry.destinations == ((("10.0.0.1", 80),) if near else (("10.0.0.1", 80), ("10.0.0.2", 80)))


@ALL_MODES
def test_the_configuration_of_a_running_kube_proxy_may_be_an_older_one(mode: str) -> None:
    state = cluster([service()], [endpoint_slice(endpoint("10.180.0.1"))], config={})
    running = {"iptables": {"masqueradeAll": True}, "nftables": {"masqueradeAll": True}, "ipvs": {"scheduler": "lc"}}
    (entry,) = expected(state, replace(the_node(state), written=running), mode).entries.values()
    assert (entry.masquerade or entry.scheduler) == ("lc" if mode == "ipvs" else "all")


def big(count: int) -> dict[str, t.Any]:
    services, slices = [], []
    for number in range(count):
        address = f"10.{96 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
        ports = [node_port(number=20000 + number)]
        services.append(service(f"ns/svc-{number}", clusterIP=address, type="NodePort", ports=ports))
        pods = (endpoint(f"10.{200 + last}.{number // 250 % 250}.{number % 250 + 1}", "w1", "RSt") for last in range(5))
        slices.append(endpoint_slice(*pods, name=f"ns/svc-{number}"))
    return cluster(services, slices, DETECTOR)


def test_it_grows_with_the_services_and_no_faster() -> None:
    """10,000 Services with 50,000 endpoints are to take about a second; here fewer, and much is allowed to a busy machine."""
    took = {}
    for count in (500, 2000):
        state = big(count)
        the = the_node(state)
        start = time.process_time()
        found: list[dict[t.Any, Entry]] = [dict(expected(state, the, mode).entries) for mode in MODES]
        took[count] = time.process_time() - start
        assert [len(one) for one in found] == [2 * count, 4 * count, 2 * count]
    assert took[2000] < 12 * took[500] + 0.5
    assert lines(plane("iptables", [])) == {}
