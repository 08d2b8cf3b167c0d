# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The endpoints and ports that kube-proxy would choose. Expected values are those of kube-proxy's own tests.

C(TestCategorizeEndpoints) in C(pkg/proxy/topology_test.go) and C(TestServiceToServiceMap) in
C(pkg/proxy/servicechangetracker_test.go) of Kubernetes 1.37.2, transcribed by hand.
"""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import HEADLESS, PROXY_NAME
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import (
    NodeView,
    ServicePort,
    node_view,
    service_ports,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import (
    Endpoint,
    Policy,
    address_of,
    categorize,
    merge_slices,
    parse_ip,
)
from tests.unit.plugins.kube_services import NODE, cluster, endpoint, endpoint_slice, node_port, service


def ready(address: str, zones: str = "", nodes: str = "", local: bool = False) -> Endpoint:
    return Endpoint(address, 80, local, zones=frozenset(zones.split()), nodes=frozenset(nodes.split()))


def unready(address: str, zones: str = "", local: bool = False) -> Endpoint:
    return ready(address, zones, local=local)._replace(is_ready=False, is_serving=False)


def leaving(address: str, local: bool = False) -> Endpoint:
    return Endpoint(address, 80, local, is_ready=False, is_serving=True, is_terminating=True)


CLUSTER = Policy()
INTERNAL_LOCAL = Policy(internal_local=True)
EXTERNAL_LOCAL = Policy(external_local=True, externally_accessible=True)
INTERNAL_LOCAL_NODE_PORT = Policy(internal_local=True, externally_accessible=True)
BOTH_LOCAL = Policy(internal_local=True, external_local=True, externally_accessible=True)

ZONES = [ready("3", "a"), ready("4", "b"), ready("5", "c"), ready("6", "a")]
LOCAL_ZONES = [ready("3", "a", local=True), ready("4", "b", local=True), ready("5", "c"), ready("6", "a")]
NODES = [ready("3", "a", "node-1"), ready("4", "b", "node-2"), ready("5", "c", "node-3"), ready("6", "a", "node-4")]
TWO = [ready("0"), ready("1")]
ONE_LOCAL = [ready("0", local=True), ready("1")]

# Name, endpoints, policy, node, zone, cluster, local, has any.
CATEGORIES: list[tuple[str, list[Endpoint], Policy, str, str, str, str, bool]] = [
    ("all endpoints have hints for zones", ZONES, CLUSTER, "", "a", "3 6", "", True),
    ("topology is ignored for external Local", LOCAL_ZONES, EXTERNAL_LOCAL, "", "a", "3 6", "3 4", True),
    ("topology is ignored for internal Local", LOCAL_ZONES, INTERNAL_LOCAL_NODE_PORT, "", "a", "3 6", "3 4", True),
    ("the node has no zone", [ready("3", "a")], CLUSTER, "", "", "3", "", True),
    ("the node is in another zone", [ready("3", "a")], CLUSTER, "", "b", "3", "", True),
    ("an unready endpoint", [*ZONES[:3], unready("6", "a")], CLUSTER, "", "a", "3", "", True),
    (
        "only unready ones in the zone",
        [unready("3", "a"), ready("4", "b"), ready("5", "b"), unready("6", "a")],
        CLUSTER,
        "",
        "a",
        "4 5",
        "",
        True,
    ),
    ("a missing hint", [*ZONES[:2], ready("5"), ZONES[3]], CLUSTER, "", "a", "3 4 5 6", "", True),
    (
        "several hints each",
        [ready("3", "a b c"), ready("4", "b c"), ready("5", "b d"), ready("6", "c")],
        CLUSTER,
        "",
        "c",
        "3 4 6",
        "",
        True,
    ),
    ("same node", NODES, CLUSTER, "node-1", "a", "3", "", True),
    ("same node, a hint is missing", [NODES[0], ready("4"), *NODES[2:]], CLUSTER, "node-1", "a", "3 4 5 6", "", True),
    ("same node, none there: same zone", NODES, CLUSTER, "node-0", "a", "3 6", "", True),
    (
        "topology and Local disagree",
        [ready("0", "a", local=True), ready("1", "b", local=True), ready("2", "a"), ready("3", "b")],
        EXTERNAL_LOCAL,
        "",
        "a",
        "0 2",
        "0 1",
        True,
    ),
    ("internal Local, nothing", [], INTERNAL_LOCAL, "", "", "", "", False),
    ("internal Local, all remote", TWO, INTERNAL_LOCAL, "", "", "", "", True),
    (
        "internal Local, all local",
        [ready("0", local=True), ready("1", local=True)],
        INTERNAL_LOCAL,
        "",
        "",
        "",
        "0 1",
        True,
    ),
    ("internal Local, some local", ONE_LOCAL, INTERNAL_LOCAL, "", "", "", "0", True),
    ("none ready", [unready("0"), unready("1")], CLUSTER, "", "", "", "", False),
    ("some ready", [unready("0"), ready("1")], CLUSTER, "", "", "1", "", True),
    ("all terminating", [leaving("0", True), leaving("1")], CLUSTER, "", "", "0 1", "", True),
    ("internal Local, external Cluster", ONE_LOCAL, INTERNAL_LOCAL_NODE_PORT, "", "", "0 1", "0", True),
    ("internal Cluster, external Local", ONE_LOCAL, EXTERNAL_LOCAL, "", "", "0 1", "0", True),
    ("both Local", ONE_LOCAL, BOTH_LOCAL, "", "", "0 1", "0", True),
    ("both Local, all remote", TWO, BOTH_LOCAL, "", "", "0 1", "", True),
    ("both Local, all remote and terminating", [leaving("0"), leaving("1")], BOTH_LOCAL, "", "", "0 1", "", True),
    (
        "external Local with terminating ones",
        [ready("0"), unready("1", local=True), leaving("2", True), leaving("3")],
        EXTERNAL_LOCAL,
        "",
        "",
        "0",
        "2",
        True,
    ),
    ("external Local without anything external", ONE_LOCAL, Policy(external_local=True), "", "", "0 1", "", True),
    ("no endpoints", [], CLUSTER, "", "", "", "", False),
    ("neither ready nor serving nor terminating", [unready("0")], CLUSTER, "", "a", "", "", False),
]


@pytest.mark.parametrize("case", CATEGORIES, ids=[case[0] for case in CATEGORIES])
def test_categories(case: tuple[str, list[Endpoint], Policy, str, str, str, str, bool]) -> None:
    _name, endpoints, policy, node, zone, in_cluster, local, has_any = case
    found = categorize(endpoints, policy, node, zone)
    assert " ".join(one.address for one in found.cluster) == in_cluster
    assert " ".join(one.address for one in found.local) == local
    assert found.has_any == has_any


def addresses(found: t.Mapping[t.Any, t.Sequence[Endpoint]], key: t.Any) -> list[str]:
    return [f"{one.address}:{one.port}" for one in found.get(key, ())]


def test_slices_are_merged_by_name_protocol_and_family() -> None:
    # Test_updateEndpointsMap and TestEndpointInfoByServicePort: the number comes from the slice.
    state = cluster(
        [],
        [
            endpoint_slice(endpoint("10.0.0.2"), endpoint("10.0.0.1")),
            endpoint_slice(endpoint("10.0.0.2"), endpoint("10.0.0.3")),
            endpoint_slice(endpoint("10.0.0.4"), ports=[{"name": "p80", "port": 8080, "protocol": "TCP"}]),
            endpoint_slice(endpoint("10.0.0.5"), ports=[{"name": "p80", "port": 80, "protocol": "UDP"}]),
            endpoint_slice(endpoint("10.0.0.6"), ports=[{"port": 80}, {"name": "p81"}, {"name": "", "port": 9}]),
            endpoint_slice(endpoint("fd00::1")),
            endpoint_slice(endpoint("10.0.0.7"), name="ns2/svc1"),
        ],
    )
    found = merge_slices(state["slices"], NODE)
    assert addresses(found, (4, "ns1/svc1", "p80", "TCP")) == [
        "10.0.0.1:80",
        "10.0.0.2:80",
        "10.0.0.3:80",
        "10.0.0.4:8080",
    ]
    assert addresses(found, (4, "ns1/svc1", "p80", "UDP")) == ["10.0.0.5:80"]
    assert addresses(found, (4, "ns1/svc1", "", "TCP")) == ["10.0.0.6:9"]
    assert addresses(found, (6, "ns1/svc1", "p80", "TCP")) == ["fd00::1:80"]
    assert addresses(found, (4, "ns2/svc1", "p80", "TCP")) == ["10.0.0.7:80"]
    assert len(found) == 5


@pytest.mark.parametrize("reverse", [False, True])
def test_a_terminating_pod_does_not_hide_the_running_one(reverse: bool) -> None:
    slices = [endpoint_slice(endpoint("10.0.0.1", "w1", "rST")), endpoint_slice(endpoint("10.0.0.1", NODE, "RSt"))]
    state = cluster([], slices[::-1] if reverse else slices)
    (found,) = merge_slices(state["slices"], NODE)[4, "ns1/svc1", "p80", "TCP"]
    assert (found.is_ready, found.is_local) == (True, True)


def test_conditions_that_are_missing_mean_ready() -> None:
    state = cluster(
        [], [endpoint_slice(endpoint("10.0.0.1"), endpoint("10.0.0.2", None, "r"), endpoint("10.0.0.3", None, "rT"))]
    )
    found = merge_slices(state["slices"], NODE)[4, "ns1/svc1", "p80", "TCP"]
    assert [(one.is_ready, one.is_serving, one.is_terminating) for one in found] == [
        (True, True, False),
        (False, True, False),
        (False, True, True),
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("010.0.0.01", "10.0.0.1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("x", None),
        ("", None),
        ("1.2.3", None),
        ("1.2.3.0x4", None),
        ("255.249.199.0", "255.249.199.0"),
        ("256.1.1.1", None),
        ("1.2.3.4\n", None),
        ("\u0661.2.3.4", None),
    ],
)
def test_addresses_are_read_as_kube_proxy_does(text: str, address: str | None) -> None:
    # ParseIPSloppy in k8s.io/utils/net.
    found = parse_ip(text)
    assert (str(found) if found else None) == address
    assert address_of(text) == (address or "")


def ports(
    *services: dict[str, t.Any], release: str = "1.37", slices: t.Sequence[dict[str, t.Any]] = ()
) -> list[ServicePort]:
    return service_ports(cluster(services, slices, release=release), NodeView(NODE))


@pytest.mark.parametrize(
    ("hidden", "release", "count"),
    [
        (service(clusterIP="None"), "1.37", 0),
        (service(clusterIP=""), "1.37", 0),
        (service(type="ExternalName", clusterIP="", externalName="x.example"), "1.37", 0),
        (service(type="ExternalName"), "1.37", 0),
        (service(labels={PROXY_NAME: ""}), "1.37", 0),
        (service(labels={PROXY_NAME: "other"}), "1.34", 0),
        # server.go: until 1.35 one selector with both labels for both informers, from 1.36 on one label for each.
        (service(labels={HEADLESS: ""}), "1.35", 0),
        (service(labels={HEADLESS: ""}), "1.36", 1),
        (service(labels={HEADLESS: ""}), "", 1),
        (service(ports=[]), "1.37", 0),
        (service(clusterIP="::1", clusterIPs=["::1"], ipFamilies=[]), "1.37", 1),
        (service(clusterIPs=["10.0.0.1", "fd00::1"]), "1.37", 2),
        (service(clusterIPs=["10.0.0.1"], ipFamilies=["IPv4", "IPv6"]), "1.37", 1),
    ],
)
def test_which_services_are_seen(hidden: dict[str, t.Any], release: str, count: int) -> None:
    assert len(ports(hidden, release=release)) == count


@pytest.mark.parametrize(
    ("labels", "release", "seen"),
    [
        ({HEADLESS: ""}, "1.37", False),
        ({HEADLESS: ""}, "1.34", False),
        ({PROXY_NAME: "x"}, "1.35", False),
        ({PROXY_NAME: "x"}, "1.36", True),
    ],
)
def test_which_slices_are_seen(labels: dict[str, str], release: str, seen: bool) -> None:
    (found,) = ports(service(), release=release, slices=[endpoint_slice(endpoint("10.0.0.1"), labels=labels)])
    assert bool(found.endpoints.cluster) is seen


def test_hints_for_nodes_are_known_from_1_34_on() -> None:
    slices = [endpoint_slice(endpoint("10.0.0.1", nodes=[NODE]), endpoint("10.0.0.2", nodes=["other"]))]
    assert [
        len(ports(service(), release=release, slices=slices)[0].endpoints.cluster) for release in ("1.33", "1.34")
    ] == [2, 1]


def test_the_fields_of_a_port() -> None:
    (found,) = ports(
        service(
            type="LoadBalancer",
            externalTrafficPolicy="Local",
            internalTrafficPolicy="Local",
            healthCheckNodePort=32000,
            sessionAffinity="ClientIP",
            sessionAffinityConfig={"clientIP": {"timeoutSeconds": 100}},
            externalIPs=["1.1.1.1", "2001:db8::1", "", "nonsense"],
            loadBalancerSourceRanges=[" 10.1.0.0/16 ", "2001:db8::/64", "bad"],
            ingress=[
                {"ip": "2.2.2.2"},
                {"ip": "3.3.3.3", "ipMode": "Proxy"},
                {"ip": "4.4.4.4", "ipMode": "VIP"},
                {"hostname": "x"},
                {"ip": "2001:db8::2"},
            ],
            ports=[node_port("", 53, "UDP", 30053)],
        )
    )
    assert found.name == "ns1/svc1"
    assert (found.protocol, found.port, found.node_port) == ("udp", 53, 30053)
    assert found.external_ips == ("1.1.1.1",)
    assert found.load_balancer_ips == ("2.2.2.2", "4.4.4.4")
    assert found.source_ranges == ("10.1.0.0/16",)
    assert found.health_check_node_port == 32000
    assert found.affinity == 100
    assert found.policy == BOTH_LOCAL


def test_a_range_that_is_everything_is_no_range() -> None:
    (found,) = ports(service(loadBalancerSourceRanges=["10.0.0.0/8", "0.0.0.0/0"]))
    assert found.source_ranges == ()


@pytest.mark.parametrize(
    ("spec", "local"),
    [
        ({"type": "ClusterIP"}, False),
        ({"type": "ClusterIP", "externalIPs": ["1.1.1.1"]}, True),
        ({"type": "NodePort"}, True),
        ({"type": "LoadBalancer"}, True),
    ],
)
def test_external_local_needs_something_external(spec: dict[str, t.Any], local: bool) -> None:
    (found,) = ports(service(externalTrafficPolicy="Local", **spec))
    assert found.policy.external_local is local


def test_a_node_that_is_not_there() -> None:
    with pytest.raises(InvalidInput, match="no node 'w7': its nodes are testnode"):
        node_view(cluster([]), "w7")
