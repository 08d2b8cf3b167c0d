# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The members of kube-proxy's ipsets in ipvs mode. Pure. Private to this collection.

Source: C(syncProxyRules) in C(pkg/proxy/ipvs/proxier.go) and C(Entry.String) in C(pkg/proxy/ipvs/ipset/ipset.go), 1.34 to
1.37. Members are written as C(ipset save) prints them: kube-proxy adds C(10.0.0.1,tcp:80,10.1.2.3/32), the kernel says
C(10.0.0.1,tcp:80,10.1.2.3).
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected_policy import allowed_networks
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Part
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import Member
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IP_SETS
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import bound_by, node_addresses

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import ServicePort
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node

Named = t.Tuple[str, Member]
"""The IPv4 name of a set, and a member of it."""

_NODE_PORT_SETS = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP-HASH"}


def ipset_parts(ports: t.Sequence[ServicePort], node: Node) -> dict[Part, dict[str, str]]:
    """All sets of the families that the node serves, with the Service port that each member is for."""
    names = {(family, one.name): one.name if family == 4 else one.name6 for family in (4, 6) for one in IP_SETS}
    found: dict[Part, dict[str, str]] = {
        Part("ipset", family, names[family, one.name]): {}
        for family in node.families
        for one in IP_SETS
        if not one.until
    }
    for port in ports:
        for name, member in _members(port, node):
            found[Part("ipset", port.family, names[port.family, name])].setdefault(str(member), port.name)
    for address, service in bound_by(ports, node.addresses).items():
        family = 6 if ":" in address else 4
        found[Part("ipset", family, names[family, "KUBE-IPVS-IPS"])][address] = service
    return found


def _members(port: ServicePort, node: Node) -> t.Iterator[Named]:
    for one in port.known:
        if one.is_local:
            # Whether it is ready or not: a connection that it has of old is masqueraded still.
            yield "KUBE-LOOP-BACK", Member(one.address, None, port.protocol, one.port, one.address)
    yield "KUBE-CLUSTER-IP", _address(port, port.cluster_ip)
    local = "-LOCAL" if port.policy.external_local else ""
    for address in port.external_ips:
        yield f"KUBE-EXTERNAL-IP{local}", _address(port, address)
    for address in port.load_balancer_ips:
        yield "KUBE-LOAD-BALANCER", _address(port, address)
        if local:
            yield "KUBE-LOAD-BALANCER-LOCAL", _address(port, address)
    yield from _source_ranges(port, node)
    if port.node_port:
        addresses = node_addresses(port, node)
        yield from _node_port(port, addresses, local)
        if not addresses:
            # kube-proxy leaves the Service there and then, and its health-check port with it.
            return
    if port.health_check_node_port:
        yield "KUBE-HEALTH-CHECK-NODE-PORT", Member(port=port.health_check_node_port)


def _source_ranges(port: ServicePort, node: Node) -> t.Iterator[Named]:
    ranges = allowed_networks(port, node.node_ip(port.family))
    from_node = len(ranges) > len(port.source_ranges)
    for address in port.load_balancer_ips if ranges else ():
        yield "KUBE-LOAD-BALANCER-FW", _address(port, address)
        for network in ranges[: len(port.source_ranges)]:
            member = Member(address, None, port.protocol, port.port, str(network.network_address), network.prefixlen)
            yield "KUBE-LOAD-BALANCER-SOURCE-CIDR", member
        if from_node:
            yield "KUBE-LOAD-BALANCER-SOURCE-IP", Member(address, None, port.protocol, port.port, address)


def _node_port(port: ServicePort, addresses: t.Sequence[str], local: str) -> t.Iterator[Named]:
    """TCP and UDP by their port alone, SCTP for each address."""
    kind = _NODE_PORT_SETS.get(port.protocol)
    if kind is None or not addresses:
        return
    by_port = [Member(port=port.node_port)]
    by_address = [Member(address, None, port.protocol, port.node_port) for address in addresses]
    for member in by_address if port.protocol == "sctp" else by_port:
        yield f"KUBE-NODE-PORT-{kind}", member
        if local:
            yield f"KUBE-NODE-PORT-LOCAL-{kind}", member


def _address(port: ServicePort, address: str) -> Member:
    return Member(address, None, port.protocol, port.port)
