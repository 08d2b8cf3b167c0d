# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which UDP flows to Services lead nowhere. Pure. Private to this collection.

Source: C(CleanStaleEntries) in C(pkg/proxy/conntrack/cleanup.go) of kube-proxy 1.37: a flow to a Service's address stays while
who is to answer is one of its serving endpoints, whatever policies and hints say, so that changes of a Service end no flow.

Two things are decided otherwise. A NodePort is one on the node's own addresses: then flows to NodePorts without an endpoint can go
too, and those through the node to somebody else's port of that number stay. And in iptables and nftables mode NAT must have the
flow: IPVS writes the endpoint into the flow without it (C(ip_vs_update_conntrack) in C(net/netfilter/ipvs/ip_vs_nfct.c)), so
that no rule is asked any more and nothing rewrites the packets once IPVS has gone. From 5.9 on the kernel ends such flows with
the virtual server, as kube-proxy has C(expire_nodest_conn) on (C(ip_vs_enqueue_expire_nodest_conns)).
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_codec import End, Flow, packed
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_addresses import answers_on
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import expected_of, served_ports
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPVS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node

Object = t.Mapping[str, t.Any]
Flows = t.Tuple[Flow, ...]


class Service(t.NamedTuple):
    """What is behind an address: the Service ports that ask for it (more than one only where chance decides), and their
    serving endpoints."""

    names: tuple[str, ...]
    endpoints: frozenset[End]


Services = t.Dict[End, Service]


def udp_services(state: Object, node: Node, mode: str) -> Services:
    """The UDP addresses of all Services on a node, in this mode.

    :param state: what C(_cluster_state.decode) gave
    """
    there = node.in_mode(mode)
    ports = [port for port in served_ports(state, there) if port.protocol == "udp"]
    serving = {
        (port.name, port.family): {End(one.address, one.port) for one in port.known if one.is_serving} for port in ports
    }
    dataplane = expected_of(ports, there, mode)
    found: Services = {}
    for key, entry in dataplane.entries.items():
        names = tuple(dict.fromkeys(one.service for one in dataplane.contested.get(key, (entry,))))
        endpoints = frozenset(end for name in names for end in serving[name, key[0]])
        for address in answers_on(entry, dataplane, there):
            found.setdefault(End(address, key[3]), Service(names, endpoints))
    return found


def destinations(services: Services, family: int) -> frozenset[tuple[str, bytes, int]]:
    """Of one family what flows to them begin with."""
    return frozenset(
        ("udp", packed(one.address), one.port) for one in services if (":" in one.address) == (family == 6)
    )


def why_stale(flow: Flow, services: Services, mode: str) -> str:
    """Why a flow to one of these Services leads nowhere, as a clause; empty where it does not."""
    answers = join_host_port(*flow.answers)
    if flow.answers not in services[flow.destination].endpoints:
        return "nothing rewrites it" if flow.answers == flow.destination else f"{answers} is no endpoint"
    if mode != IPVS and not flow.rewritten and flow.answers != flow.destination:
        return f"it was to reach {answers} through IPVS"
    return ""


def plan_removal(flows: Flows, services: Services, mode: str) -> Plan[Flows, Flow]:
    """Take away what leads nowhere. C(flows) are UDP flows to these Services; those that are right come and go by themselves
    and are no part of the plan."""
    stale = tuple(flow for flow in flows if why_stale(flow, services, mode))
    return Plan(stale, (), stale, tuple(sentence(flow, services, mode) for flow in stale))


def sentence(flow: Flow, services: Services, mode: str) -> str:
    """What is done to a stale flow."""
    names = " or ".join(services[flow.destination].names)
    return f"Remove the UDP flow {words(flow)} ({names}): {why_stale(flow, services, mode)}"


def words(flow: Flow) -> str:
    """A flow by its ends."""
    return f"{join_host_port(*flow.source)} -> {join_host_port(*flow.destination)}"


def row(flow: Flow, services: Services, mode: str) -> dict[str, t.Any]:
    """A stale flow, as the module returns it."""
    return {
        "family": flow.family,
        "service": " or ".join(services[flow.destination].names),
        "source": flow.source.address,
        "source_port": flow.source.port,
        "address": flow.destination.address,
        "port": flow.destination.port,
        "answers": flow.answers.address,
        "answers_port": flow.answers.port,
        "reason": why_stale(flow, services, mode),
    }
