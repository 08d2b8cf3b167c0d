# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Services of kube-proxy's own golden tests, and dataplanes as lines that a person can check against them."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import expected
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    Dataplane,
    Destination,
    Entry,
    Part,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node, node_of
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

# testNodeIP and its likes in proxier_test.go of iptables and nftables.
NODE_IP, NODE_IP_ALT, EXTERNAL_IP = "192.168.0.2", "192.168.1.2", "192.168.99.11"
NODE_IP6, NODE_IP6_ALT = "2001:db8::1", "2001:db8:1::2"
LINKS = links(lo=["127.0.0.1", "::1"], eth0=[NODE_IP, NODE_IP_ALT, EXTERNAL_IP, NODE_IP6, NODE_IP6_ALT])
THE_NODE = node(addresses=[NODE_IP, NODE_IP6])
# Of NewFakeProxier there.
DETECTOR: Object = {"clusterCIDR": "10.0.0.0/8,fd00:10::/64"}


def plane(
    mode: str,
    services: t.Sequence[Object],
    slices: t.Sequence[Object] = (),
    config: Object | None = None,
    release: str = "1.37",
    addresses: t.Any = None,
) -> Dataplane:
    """What is expected on the node of kube-proxy's tests, with their local detector unless C(config) says else."""
    state = cluster(services, slices, DETECTOR if config is None else config, release, [THE_NODE])
    return expected(state, the_node(state, addresses), mode)


def the_node(state: t.Mapping[str, t.Any], addresses: t.Any = None) -> Node:
    return node_of(state, NODE, LINKS if addresses is None else addresses)


def lines(dataplane: Dataplane) -> dict[str, str]:
    """Entries as C(address:port/protocol -> what happens); a NodePort without an address is C(*:port/protocol)."""
    return {_key(entry): words(entry) for entry in dataplane.entries.values()}


def _key(entry: Entry) -> str:
    family, address, protocol, port = entry.key
    return f"{address or '*' * (1 if family == 4 else 2)}:{port}/{protocol}"


def words(entry: Entry) -> str:
    """What happens, in one line; C(-) is what the kernel does not tell."""
    found = [f"{entry.verdict} {_shown(entry.destinations)}".strip()]
    if entry.short_circuit is not None:
        found.append(f"pods and node {_shown(entry.short_circuit)}")
    found += [entry.policy or "-", f"masquerade {entry.masquerade or '-'}"]
    if entry.affinity:
        found.append(f"sticky {entry.affinity}")
    if entry.source_ranges:
        found.append("from " + " ".join(entry.source_ranges))
    if entry.scheduler:
        found.append(entry.scheduler)
    return ", ".join(found)


def _shown(destinations: t.Iterable[Destination]) -> str:
    return " ".join(f"{address}:{port}" for address, port in destinations)


def members(dataplane: Dataplane, kind: str, family: int = 4, name: str = "") -> list[str]:
    return sorted(dataplane.parts[Part(kind, family, name)])


def golden() -> tuple[list[Object], list[Object]]:
    """TestOverallIPTablesRules and TestOverallNFTablesRules, which have the same."""
    services = [
        service("ns1/svc1", clusterIP="172.30.0.41"),
        service(
            "ns2/svc2",
            clusterIP="172.30.0.42",
            type="LoadBalancer",
            externalTrafficPolicy="Local",
            ports=[node_port(number=3001)],
            ingress=[{"ip": "1.2.3.4"}],
            externalIPs=["192.168.99.22"],
            healthCheckNodePort=30000,
        ),
        service("ns3/svc3", clusterIP="172.30.0.43", type="NodePort", ports=[node_port(number=3003)]),
        service("ns4/svc4", clusterIP="172.30.0.44", type="NodePort", externalIPs=["192.168.99.33"]),
        service(
            "ns5/svc5",
            clusterIP="172.30.0.45",
            type="LoadBalancer",
            externalTrafficPolicy="Cluster",
            ports=[node_port(number=3002)],
            ingress=[{"ip": "5.6.7.8"}],
            healthCheckNodePort=30000,
            loadBalancerSourceRanges=[" 203.0.113.0/25"],
            sessionAffinity="ClientIP",
            sessionAffinityConfig={"clientIP": {"timeoutSeconds": 10800}},
        ),
        service("ns6/svc6", clusterIP="172.30.0.46"),
    ]
    slices = [
        endpoint_slice(endpoint("10.180.0.1", NODE), name="ns1/svc1"),
        endpoint_slice(endpoint("10.180.0.2", "other-node"), name="ns2/svc2"),
        endpoint_slice(endpoint("10.180.0.3", NODE), name="ns3/svc3"),
        endpoint_slice(endpoint("10.180.0.4", "other-node"), endpoint("10.180.0.5", NODE), name="ns4/svc4"),
        endpoint_slice(endpoint("10.180.0.3", NODE), name="ns5/svc5"),
    ]
    return services, slices


# What the golden rules of both modes say of them, read by hand: the chain or element that each address leads to, and what is
# in that chain.
GOLDEN = {
    "172.30.0.41:80/tcp": "forward 10.180.0.1:80, cluster, masquerade outside_pods",
    "172.30.0.42:80/tcp": "forward 10.180.0.2:80, cluster, masquerade outside_pods",
    "192.168.99.22:80/tcp": "drop, pods and node 10.180.0.2:80, local, masquerade node",
    "1.2.3.4:80/tcp": "drop, pods and node 10.180.0.2:80, local, masquerade node",
    "*:3001/tcp": "drop, pods and node 10.180.0.2:80, local, masquerade node",
    "172.30.0.43:80/tcp": "forward 10.180.0.3:80, cluster, masquerade outside_pods",
    "*:3003/tcp": "forward 10.180.0.3:80, cluster, masquerade all",
    "172.30.0.44:80/tcp": "forward 10.180.0.4:80 10.180.0.5:80, cluster, masquerade outside_pods",
    "192.168.99.33:80/tcp": "forward 10.180.0.4:80 10.180.0.5:80, cluster, masquerade all",
    "172.30.0.45:80/tcp": "forward 10.180.0.3:80, cluster, masquerade outside_pods, sticky 10800",
    "5.6.7.8:80/tcp": "forward 10.180.0.3:80, cluster, masquerade all, sticky 10800, from 203.0.113.0/25",
    "*:3002/tcp": "forward 10.180.0.3:80, cluster, masquerade all, sticky 10800",
    "172.30.0.46:80/tcp": "reject, -, masquerade -",
}
