# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy programs in ipvs mode: the projection of C(_service_model). Pure. Private to this collection.

Source: C(syncProxyRules), C(syncEndpoint) and C(cleanLegacyService) in C(pkg/proxy/ipvs/proxier.go), 1.34 to 1.37.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import FORWARD, Entry, Key
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import (
    ServicePort,
    service_ports,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import parse_ip, where
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import (
    Network,
    Node,
    NodeAddresses,
    local_addresses,
)

Object = t.Mapping[str, t.Any]

# CanUseIPVSProxier tries the scheduler with this one; a crash leaves it behind until the next sync.
PROBE: Key = (4, "198.51.100.0", "tcp", 20000)
_SINGLE_HOST = {4: "255.255.255.255", 6: "128"}


def claims_of(port: ServicePort, node: Node) -> t.Iterator[Entry]:
    """What a Service port asks for. Of an address and port that it asks for twice kube-proxy writes what comes last in
    its code, and that comes first here."""
    scheduler = _scheduler(node)
    for address in node_addresses(port, node):
        yield _entry(port, address, port.node_port, port.policy.external_local, "node_port", scheduler)
    for address in port.load_balancer_ips:
        yield _entry(port, address, port.port, port.policy.external_local, "load_balancer_ip", scheduler)
    for address in port.external_ips:
        yield _entry(port, address, port.port, port.policy.external_local, "external_ip", scheduler)
    yield _entry(port, port.cluster_ip, port.port, port.policy.internal_local, "cluster_ip", scheduler)


def node_addresses(port: ServicePort, node: Node) -> tuple[str, ...]:
    """The addresses of its NodePort's virtual servers."""
    return node.virtual_server_addresses[port.family] if port.node_port else ()


def entries(state: Object, node: Node) -> list[Entry]:
    """Every entry of this node, each key once: a key that two Services claim goes to the first."""
    found: dict[Key, Entry] = {}
    for port in service_ports(state, node.view, node.config.get("featureGates") or {}):
        for entry in claims_of(port, node):
            found.setdefault(entry.key, entry)
    return [found[key] for key in sorted(found)]


def virtual_servers(state: Object, node: Node) -> list[dict[str, t.Any]]:
    """The virtual servers of this node, as C(ipvs_virtual_server) takes them."""
    return [_virtual_server(entry) for entry in entries(state, node)]


def bound_by(ports: t.Iterable[ServicePort], addresses: NodeAddresses) -> dict[str, str]:
    """What kube-ipvs0 holds: every ClusterIP, and the other VIPs that are on no device of the node. With the Service port
    that each is for."""
    own = {family: set(map(str, local_addresses(addresses, family))) for family in (4, 6)}
    wanted: dict[str, str] = {}
    for port in ports:
        others = (*port.external_ips, *port.load_balancer_ips)
        for address in (port.cluster_ip, *(one for one in others if one not in own[port.family])):
            wanted.setdefault(address, port.name)
    return wanted


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


def _scheduler(node: Node) -> str:
    section = node.config["ipvs"]
    scheduler = str(section.get("scheduler") or "rr") if isinstance(section, dict) else "rr"
    return f"{scheduler} mh-port" if scheduler == "mh" else scheduler


def _entry(port: ServicePort, address: str, number: int, local_only: bool, source: str, scheduler: str) -> Entry:
    """Local policy without local endpoints falls back to the cluster's (kubernetes PR 97081)."""
    chosen = (local_only and port.endpoints.local) or port.endpoints.cluster
    return Entry(
        key=(port.family, address, port.protocol, number),
        verdict=FORWARD,
        destinations=tuple(sorted(map(where, chosen))),
        affinity=port.affinity or 0,
        policy=None,
        masquerade=None,
        no_hairpin=None,
        source_ranges=None,
        scheduler=scheduler,
        source=source,
        service=port.name,
    )


def _virtual_server(entry: Entry) -> dict[str, t.Any]:
    family, address, protocol, number = entry.key
    scheduler, *flags = (entry.scheduler or "rr").split()
    server: dict[str, t.Any] = {
        "address": address,
        "port": number,
        "protocol": protocol,
        "scheduler": scheduler,
        "flags": flags,
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
