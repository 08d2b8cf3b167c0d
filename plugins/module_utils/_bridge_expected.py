# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the bridge has to hold while a mode leaves: the Services as that mode treats them. Pure. Private to this collection.

In iptables and nftables mode that is the expected dataplane. The virtual servers of ipvs mode tell only half of it; the other half,
who is masqueraded and who may connect at all, is in ipsets and rules, and here in the entries.

Source: C(writeIptablesRules) and C(syncProxyRules) in C(pkg/proxy/ipvs/proxier.go), 1.34 to 1.37.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import expected_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected_policy import (
    ALL_LOCAL,
    LOCAL_EXCEPT_LOOPBACK,
    allowed_networks,
    cluster_ip_masquerade,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_rules import rule_settings
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    CLUSTER,
    LOCAL,
    MASQUERADE_ALL,
    MASQUERADE_NONE,
    REJECT,
    Dataplane,
    Entry,
    Part,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import Settings, settings_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import BRIDGE_TABLE, IPVS, NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import where

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import ServicePort
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node

TABLES = (("ip", BRIDGE_TABLE), ("ip6", BRIDGE_TABLE))
AHEAD = 10
"""How much smaller than kube-proxy's the priorities of the bridge are."""


@dataclass(frozen=True)
class Bridge:
    """All that makes a bridge, or tells whether one is right.

    :param plane: what it holds, as a reader of nftables mode would find it
    :param settings: by which its rules are made, and read
    """

    plane: Dataplane
    settings: Settings
    families: tuple[int, ...]


def bridge_of(ports: t.Sequence[ServicePort], node: Node, leaving: str) -> Bridge:
    """The bridge that a node needs while a mode leaves.

    :param node: in the mode that leaves
    """
    plane = expected_of(ports, node, leaving)
    entries = _whole(plane.entries.values(), ports, node) if leaving == IPVS else plane.entries
    answering = {family: plane.parts.get(Part("node_port_addresses", family), {}) for family in node.families}
    parts = {Part("nft_set", family, "cluster-ips"): _cluster_ips(entries.values(), family) for family in node.families}
    for family, members in answering.items():
        everywhere = ALL_LOCAL in members or LOCAL_EXCEPT_LOOPBACK in members
        parts[Part("node_port_addresses", family)] = {LOCAL_EXCEPT_LOOPBACK: ""} if everywhere else dict(members)
    rules = rule_settings(node.config, node.pod_cidrs)
    settings = settings_of(node.config, node.pod_cidrs)._replace(
        mark=settings_of(node.config).mark if leaving == NFTABLES else rules.mark,
        masquerade_all=None,
        ahead=AHEAD,
        loopback=any(ALL_LOCAL in members for members in answering.values()),
    )
    return Bridge(Dataplane(NFTABLES, entries, parts), settings, tuple(node.families))


def _cluster_ips(entries: t.Iterable[Entry], family: int) -> dict[str, str]:
    return {one.key[1]: one.service for one in entries if one.source == "cluster_ip" and one.key[0] == family}


def _whole(entries: t.Iterable[Entry], ports: t.Iterable[ServicePort], node: Node) -> dict[t.Any, Entry]:
    by_name = {(port.name, port.family, port.protocol): port for port in ports}
    return {one.key: _whole_entry(one, by_name[one.service, one.key[0], one.key[2]], node) for one in entries}


def _whole_entry(entry: Entry, port: ServicePort, node: Node) -> Entry:
    """With what ipvs mode has in ipsets and rules."""
    ranges = _source_ranges(port, node) if entry.source == "load_balancer_ip" else ()
    if not entry.destinations:
        # A virtual server without real servers answers as a closed port does.
        refused = entry._replace(verdict=REJECT, affinity=None, no_hairpin=(), scheduler=None)
        return refused._replace(source_ranges=ranges)
    inside = entry.source == "cluster_ip"
    local_only = port.policy.internal_local if inside else port.policy.external_local
    outside = MASQUERADE_NONE if local_only else MASQUERADE_ALL
    here = {where(one) for one in port.known if one.is_local}
    return entry._replace(
        policy=LOCAL if local_only else CLUSTER,
        masquerade=cluster_ip_masquerade(node, port.family, "iptables") if inside else outside,
        # Pods and the node itself are no exception.
        short_circuit=entry.destinations if local_only and not inside else None,
        no_hairpin=tuple(one for one in entry.destinations if one not in here),
        source_ranges=ranges,
        scheduler=None,
    )


def _source_ranges(port: ServicePort, node: Node) -> tuple[str, ...]:
    if not port.source_ranges:
        return ()
    networks: t.Iterable[t.Any] = ipaddress.collapse_addresses(allowed_networks(port, node.node_ip(port.family)))
    return tuple(sorted(map(str, networks)))
