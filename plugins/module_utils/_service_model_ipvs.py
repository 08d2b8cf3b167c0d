# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy programs in ipvs mode: the projection of C(_service_model). Pure. Private to this collection.

Source: C(syncProxyRules), C(syncEndpoint) and C(cleanLegacyService) in C(pkg/proxy/ipvs/proxier.go), 1.34 to 1.37.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import (
    NodeView,
    ServicePort,
    node_view,
    service_ports,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import Endpoint, parse_ip
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import (
    Network,
    NodeAddresses,
    local_addresses,
    node_ips,
    node_port_addresses,
    parse_addresses,
)

Object = t.Mapping[str, t.Any]
Key = t.Tuple[int, str, str, int]

# CanUseIPVSProxier tries the scheduler with this one; a crash leaves it behind until the next sync.
PROBE: Key = (4, "198.51.100.0", "tcp", 20000)
_SINGLE_HOST = {4: "255.255.255.255", 6: "128"}


@dataclass(frozen=True)
class Entry:
    """One address and port that a node serves, in the normal form.

    :param destinations: address and port of the endpoints, sorted
    :param affinity: seconds of ClientIP affinity, None without it
    :param policy: C(cluster) or C(local), whichever the endpoints were chosen by
    :param evidence: the Service port it is for
    :param source: C(cluster_ip), C(external_ip), C(load_balancer_ip) or C(node_port)
    """

    key: Key
    destinations: tuple[tuple[str, int], ...]
    affinity: int | None
    policy: str
    evidence: str
    source: str


@dataclass(frozen=True)
class Node:
    """The node whose kernel is looked at, and the configuration its kube-proxy reads."""

    view: NodeView
    addresses: NodeAddresses
    node_ips: dict[int, t.Any]
    config: dict[str, t.Any]


def node_of(state: Object, name: str, links: t.Any) -> Node:
    """The node by its name in the API, with its addresses from C(ip -j address show)."""
    written = state.get("config")
    if written is None:
        raise InvalidInput(
            "The state of the cluster holds no kube-proxy configuration",
            remedy="See config_problem in what cluster_services_info returned.",
        )
    config = effective(written)
    raw: Object = next((one for one in state["nodes"] if one["name"] == name), {})
    return Node(node_view(state, name), parse_addresses(links), node_ips(raw, config["bindAddress"]), config)


def entries(state: Object, node: Node) -> list[Entry]:
    """Every entry of this node, each key once: a key that two Services claim goes to the first."""
    found: dict[Key, Entry] = {}
    ports = service_ports(state, node.view)
    for project in (_cluster_ip, _external_ips, _load_balancer_ips, _node_ports):
        for port in ports:
            for entry in project(port, node):
                found.setdefault(entry.key, entry)
    return [found[key] for key in sorted(found)]


def virtual_servers(state: Object, node: Node) -> list[dict[str, t.Any]]:
    """The virtual servers of this node, as C(ipvs_virtual_server) takes them."""
    scheduler = (node.config["ipvs"].get("scheduler") or "rr") if isinstance(node.config["ipvs"], dict) else "rr"
    return [_virtual_server(entry, scheduler) for entry in entries(state, node)]


def bound_addresses(state: Object, links: t.Any) -> list[str]:
    """What kube-ipvs0 holds: every ClusterIP, and the other VIPs that are on no device of the node. C(links) as in
    C(node_of)."""
    addresses = parse_addresses(links)
    own = {family: set(map(str, local_addresses(addresses, family))) for family in (4, 6)}
    wanted = []
    for port in service_ports(state, NodeView("")):
        others = (*port.external_ips, *port.load_balancer_ips)
        wanted += [port.cluster_ip, *(address for address in others if address not in own[port.family])]
    return sorted(set(wanted), key=lambda text: (":" in text, int(ipaddress.ip_address(text))))


def foreign(
    actual: t.Iterable[Object],
    expected: t.Iterable[Object],
    target: str,
    excluded: t.Iterable[str] = (),
    bound: t.Iterable[str] = (),
) -> list[dict[str, t.Any]]:
    """Virtual servers of the kernel that are no Service's and that kube-proxy would remove in C(target) mode.

    In ipvs mode every sync removes what no C(excludeCIDRs) covers. In nftables mode every start flushes all of IPVS.
    In iptables mode kube-proxy leaves IPVS alone.

    :param expected: what C(virtual_servers) gave
    :param excluded: the networks in C(excludeCIDRs)
    :param bound: addresses whose virtual servers are kube-proxy's own old ones, and nobody's loss
    """
    if target not in ("ipvs", "nftables"):
        return []
    known = {_key(server) for server in expected} | {PROBE}
    networks = [_network(text) for text in excluded] if target == "ipvs" else []
    own = set(bound)

    def is_at_risk(key: Key | None) -> bool:
        if key is None:
            # A mark is no address: the ipvs proxier cannot name it when it deletes, only a flush takes it.
            return target == "nftables"
        return key not in known and key[1] not in own and not _is_covered(key[1], networks)

    return [dict(server) for server in actual if is_at_risk(_key(server))]


def _cluster_ip(port: ServicePort, _node: Node) -> t.Iterator[Entry]:
    yield _entry(port, port.cluster_ip, port.port, port.policy.internal_local, "cluster_ip")


def _external_ips(port: ServicePort, _node: Node) -> t.Iterator[Entry]:
    for address in port.external_ips:
        yield _entry(port, address, port.port, port.policy.external_local, "external_ip")


def _load_balancer_ips(port: ServicePort, _node: Node) -> t.Iterator[Entry]:
    for address in port.load_balancer_ips:
        yield _entry(port, address, port.port, port.policy.external_local, "load_balancer_ip")


def _node_ports(port: ServicePort, node: Node) -> t.Iterator[Entry]:
    if port.node_port:
        for address in node_port_addresses(node.addresses, port.family, node.config, node.node_ips):
            yield _entry(port, str(address), port.node_port, port.policy.external_local, "node_port")


def _entry(port: ServicePort, address: str, number: int, local_only: bool, source: str) -> Entry:
    """Local policy without local endpoints falls back to the cluster's (kubernetes PR 97081)."""
    local = local_only and bool(port.endpoints.local)
    chosen: t.Sequence[Endpoint] = port.endpoints.local if local else port.endpoints.cluster
    return Entry(
        key=(port.family, address, port.protocol, number),
        destinations=tuple(sorted((one.address, one.port) for one in chosen)),
        affinity=port.affinity,
        policy="local" if local else "cluster",
        evidence=port.name,
        source=source,
    )


def _virtual_server(entry: Entry, scheduler: str) -> dict[str, t.Any]:
    family, address, protocol, number = entry.key
    server: dict[str, t.Any] = {
        "address": address,
        "port": number,
        "protocol": protocol,
        "scheduler": scheduler,
        "flags": ["mh-port"] if scheduler == "mh" else [],
        "persistence_timeout": entry.affinity or 0,
        "real_servers": [
            {"address": where, "port": port, "weight": 1, "forward_method": "masquerade"}
            for where, port in entry.destinations
        ],
    }
    if entry.affinity:
        server["persistence_netmask"] = _SINGLE_HOST[family]
    return server


def _key(server: Object) -> Key | None:
    address = parse_ip(str(server.get("address") or ""))
    if address is None:
        return None
    return address.version, str(address), str(server.get("protocol") or "tcp").lower(), int(server.get("port") or 0)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidInput("excluded_cidrs must be networks such as 10.0.0.0/8", f"{text!r} is none") from error


def _is_covered(address: str, networks: t.Iterable[Network]) -> bool:
    one = ipaddress.ip_address(address)
    return any(network.version == one.version and one in network for network in networks)
