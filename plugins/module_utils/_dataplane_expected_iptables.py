# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy should have programmed in iptables mode. Pure. Private to this collection.

Source: C(syncProxyRules) and C(NewProxier) in C(pkg/proxy/iptables/proxier.go), 1.34 to 1.37.

Members of the part C(node_port_addresses): C(local) for C(--dst-type LOCAL), C(local except loopback) where loopback is
excluded, otherwise each address. Members of C(health_check_ports): the ports. C(source_ranges) are networks with their
length (C(10.0.0.1/32)), as iptables-save prints them.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected_policy import (
    ALL_LOCAL,
    LOCAL_EXCEPT_LOOPBACK,
    allowed_networks,
    cluster_ip,
    cluster_ip_masquerade,
    external,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Part
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node, chosen_addresses

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Entry
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import ServicePort


def claims(ports: t.Iterable[ServicePort], node: Node) -> t.Iterator[Entry]:
    """What the Service ports ask for. Of an address that one asks for twice the first counts: it is the first rule."""
    masquerade = {family: cluster_ip_masquerade(node, family, "iptables") for family in (4, 6)}
    for port in ports:
        yield cluster_ip(port, masquerade[port.family])
        for address in port.external_ips:
            yield external(port, address, port.port, "external_ip")
        ranges = _source_ranges(port, node)
        for address in port.load_balancer_ips:
            yield external(port, address, port.port, "load_balancer_ip", ranges)
        if port.node_port:
            yield external(port, "", port.node_port, "node_port")


def parts(ports: t.Iterable[ServicePort], node: Node) -> dict[Part, dict[str, str]]:
    """The sets beside the entries."""
    found: dict[Part, dict[str, str]] = {}
    for family in node.families:
        found[Part("health_check_ports", family)] = {}
        found[Part("node_port_addresses", family)] = dict.fromkeys(_node_port_addresses(node, family), "")
    for port in ports:
        if port.health_check_node_port:
            open_ports = found[Part("health_check_ports", port.family)]
            open_ports.setdefault(str(port.health_check_node_port), port.name)
    return found


def _source_ranges(port: ServicePort, node: Node) -> tuple[str, ...]:
    """Without any endpoint there are no firewall chains: everybody is refused."""
    if not port.source_ranges or not port.endpoints.has_any:
        return ()
    return tuple(sorted(set(map(str, allowed_networks(port, node.node_ip(port.family))))))


def _node_port_addresses(node: Node, family: int) -> list[str]:
    """IPv6 NodePorts never answer on loopback, IPv4 ones where C(iptables.localhostNodePorts) lets them."""
    loopback = family == 4 and node.config["iptables"].get("localhostNodePorts") is not False
    chosen = chosen_addresses(node.addresses, family, node.config, node.node_ips)
    if chosen is None:
        return [ALL_LOCAL if loopback else LOCAL_EXCEPT_LOOPBACK]
    return [str(one) for one in chosen if loopback or not one.is_loopback]
