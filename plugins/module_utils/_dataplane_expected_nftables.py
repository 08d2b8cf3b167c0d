# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy should have programmed in nftables mode. Pure. Private to this collection.

Source: C(syncProxyRules) and C(setupNFTables) in C(pkg/proxy/nftables/proxier.go), 1.31 to 1.37.

Members of the set C(cluster-ips) and of the part C(node_port_addresses) are plain addresses; the latter has C(local except
loopback) instead where NodePorts answer on all. C(source_ranges) are networks with their length (C(10.0.0.1/32)), joined
where they touch or overlap: nft joins them too.

C(no_hairpin) are the endpoints on other nodes: from 1.36 on kube-proxy only has those of its own node in the set
C(hairpin-connections), and whoever is elsewhere does not come back to itself through this node.

Not here: the rule that drops what is for no ClusterIP (C(cluster-ips-check)). A kube-proxy knows the ServiceCIDRs only
some time after its start, and writes that rule in its full syncs alone, the next of them an hour later
(C(OnServiceCIDRsChanged)).
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected_policy import (
    LOCAL_EXCEPT_LOOPBACK,
    allowed_networks,
    cluster_ip,
    cluster_ip_masquerade,
    external,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import REJECT, Destination, Part
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import where
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node, chosen_addresses

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Entry
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import ServicePort


def claims(ports: t.Iterable[ServicePort], node: Node) -> t.Iterator[Entry]:
    """What the Service ports ask for. Of an address that one asks for twice kube-proxy keeps what it writes last, and that
    comes first here."""
    masquerade = {family: cluster_ip_masquerade(node, family, "nftables") for family in (4, 6)}
    for port in ports:
        elsewhere = _elsewhere(port)
        for one in _claims_of(port, masquerade[port.family], _source_ranges(port, node)):
            yield one._replace(no_hairpin=elsewhere) if elsewhere and one.verdict != REJECT else one


def _claims_of(port: ServicePort, masquerade: str, ranges: tuple[str, ...]) -> t.Iterator[Entry]:
    for address in port.load_balancer_ips:
        yield external(port, address, port.port, "load_balancer_ip", ranges)
    for address in port.external_ips:
        yield external(port, address, port.port, "external_ip")
    yield cluster_ip(port, masquerade)
    if port.node_port:
        yield external(port, "", port.node_port, "node_port")


def _elsewhere(port: ServicePort) -> tuple[Destination, ...]:
    used = (*port.endpoints.cluster, *port.endpoints.local)
    return tuple(sorted({where(one) for one in used if not one.is_local}))


def parts(ports: t.Iterable[ServicePort], node: Node) -> dict[Part, dict[str, str]]:
    """The sets beside the entries."""
    found: dict[Part, dict[str, str]] = {}
    for family in node.families:
        found[Part("nft_set", family, "cluster-ips")] = {}
        found[Part("node_port_addresses", family)] = dict.fromkeys(_node_port_addresses(node, family), "")
    for port in ports:
        found[Part("nft_set", port.family, "cluster-ips")].setdefault(port.cluster_ip, port.name)
    return found


def _source_ranges(port: ServicePort, node: Node) -> tuple[str, ...]:
    """The firewall is there even without any endpoint."""
    if not port.source_ranges:
        return ()
    networks = allowed_networks(port, node.node_ip(port.family))
    joined: t.Iterable[t.Any] = ipaddress.collapse_addresses(networks)
    return tuple(sorted(map(str, joined)))


def _node_port_addresses(node: Node, family: int) -> list[str]:
    """Without a setting the primary addresses (C(_kube_proxy_config_effective)). Never loopback."""
    chosen = chosen_addresses(node.addresses, family, node.config, node.node_ips)
    if chosen is None:
        return [LOCAL_EXCEPT_LOOPBACK]
    return [str(one) for one in chosen if not one.is_loopback]
