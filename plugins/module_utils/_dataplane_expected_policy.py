# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens to packets for a Service port in iptables and nftables mode, which decide alike. Pure. Private to this
collection.

Source: C(syncProxyRules) in C(pkg/proxy/iptables/proxier.go) of 1.34 to 1.37 and in C(pkg/proxy/nftables/proxier.go) of
1.31 to 1.37. Its C(hasEndpoints) is C(endpoints.has_any) here; C(hasInternalEndpoints) and C(hasExternalEndpoints) are
whether destinations are left.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    CLUSTER,
    DROP,
    FORWARD,
    LOCAL,
    MASQUERADE_ALL,
    MASQUERADE_NODE,
    MASQUERADE_NONE,
    MASQUERADE_OUTSIDE,
    REJECT,
    Destination,
    Entry,
    Key,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import where

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import ServicePort
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import Address, Endpoint
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Network, Node

ALL_LOCAL = "local"
LOCAL_EXCEPT_LOOPBACK = "local except loopback"
"""Members of the part C(node_port_addresses) where NodePorts answer on every address of the node (C(addrtype --dst-type
LOCAL), C(fib daddr type local)), with or without those of loopback. Otherwise the members are the addresses."""


def cluster_ip(port: ServicePort, masquerade: str) -> Entry:
    """The entry for the ClusterIP.

    :param masquerade: what C(cluster_ip_masquerade) said
    """
    key: Key = (port.family, port.cluster_ip, port.protocol, port.port)
    if not port.endpoints.has_any:
        return _refused(port, key, REJECT, None, "cluster_ip")
    local_only = port.policy.internal_local
    destinations = _destinations(port.endpoints.local if local_only else port.endpoints.cluster)
    if not destinations:
        return _refused(port, key, DROP, LOCAL, "cluster_ip")
    return Entry(
        key,
        FORWARD,
        destinations,
        affinity=port.affinity or 0,
        policy=LOCAL if local_only else CLUSTER,
        masquerade=masquerade,
        source="cluster_ip",
        service=port.name,
    )


def external(port: ServicePort, address: str, number: int, source: str, source_ranges: tuple[str, ...] = ()) -> Entry:
    """The entry for an address from outside. It may be there without any destination for those outside: then only pods
    (where kube-proxy can tell them) and the node itself get through."""
    key: Key = (port.family, address, port.protocol, number)
    if not port.endpoints.has_any:
        return _refused(port, key, REJECT, None, source)._replace(source_ranges=source_ranges)
    cluster = _destinations(port.endpoints.cluster)
    entry = Entry(
        key,
        FORWARD,
        cluster,
        affinity=port.affinity or 0,
        masquerade=MASQUERADE_ALL,
        source_ranges=source_ranges,
        source=source,
        service=port.name,
    )
    if not port.policy.external_local:
        return entry
    local = _destinations(port.endpoints.local)
    return entry._replace(
        verdict=FORWARD if local else DROP,
        destinations=local,
        short_circuit=cluster,
        policy=LOCAL,
        masquerade=MASQUERADE_NODE,
    )


def _refused(port: ServicePort, key: Key, verdict: str, policy: str | None, source: str) -> Entry:
    """Nothing in the kernel says how it would be if there were endpoints."""
    return Entry(key, verdict, affinity=None, policy=policy, masquerade=None, source=source, service=port.name)


def _destinations(endpoints: t.Iterable[Endpoint]) -> tuple[Destination, ...]:
    return tuple(sorted(map(where, endpoints)))


def cluster_ip_masquerade(node: Node, family: int, section: str) -> str:
    """Whose packets to ClusterIPs get a new source.

    :param section: of the configuration, whose C(masqueradeAll) counts in the mode
    """
    values = node.config.get(section)
    if isinstance(values, dict) and values.get("masqueradeAll") is True:
        return MASQUERADE_ALL
    return MASQUERADE_OUTSIDE if node.tells_pods(family) else MASQUERADE_NONE


def allowed_networks(port: ServicePort, node_ip: Address) -> list[Network]:
    """The sources that may use the load balancer's addresses; empty when everybody may. Where the node itself may, those
    addresses are sources too: a packet from the node to them has the same address at both ends."""
    if not port.load_balancer_ips or not port.source_ranges:
        return []
    networks = [ipaddress.ip_network(text) for text in port.source_ranges]
    if any(node_ip.version == one.version and node_ip in one for one in networks):
        networks += [ipaddress.ip_network(text) for text in port.load_balancer_ips]
    return networks
