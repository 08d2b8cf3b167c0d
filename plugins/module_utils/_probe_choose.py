# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which addresses of Services are probed on a node, and from where. Pure. Private to this collection.

What the node should have is C(_dataplane_expected)'s business: nothing is decided here but what a connection can show of it.
"""

from __future__ import annotations

import ipaddress
import typing as t
from itertools import zip_longest

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import read_endpoint
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_addresses import answers_on
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import expected_of, served_ports
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    MASQUERADE_NODE,
    MASQUERADE_NONE,
    MASQUERADE_OUTSIDE,
    SOURCES,
    Entry,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_model import (
    HAIRPIN,
    NODE,
    POD,
    Pod,
    Target,
    Vantage,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import address_of

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import ServicePort
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node

Object = t.Mapping[str, t.Any]

NOT_TCP = "Whether UDP or SCTP is answered only a client of the Service can tell."
NOT_LOCAL = "Its traffic policy is Local, and the node has no endpoint of it."
RESTRICTED = "Only its source ranges may connect."
CONTESTED = "Several Services ask for the address, and chance decides between them."
_STICKY_SCHEDULERS = ("sh", "mh", "dh", "lblc", "lblcr")


class Choice(t.NamedTuple):
    """What is probed.

    :param skipped: the addresses that no connection can say anything about, by reason
    :param left_out: how many others there are beyond the limit
    """

    targets: tuple[Target, ...]
    skipped: t.Mapping[str, t.Sequence[str]]
    left_out: int


class Wish(t.NamedTuple):
    """What is asked for.

    :param services: only these (C(namespace/name)); empty: all
    :param limit: how many addresses at most; 0: all
    """

    services: frozenset[str] = frozenset()
    limit: int = 0


def choose(state: Object, node: Node, mode: str, wish: Wish, pods: t.Container[str] = ()) -> Choice:
    """What is wished for, so that each kind is there as long as there is room for it.

    :param state: what C(_cluster_state.decode) gave
    :param pods: the addresses of pods that connections can be made from
    """
    there = node.in_mode(mode)
    ports = served_ports(state, there)
    by_name = {(port.name, port.family): port for port in ports}
    dataplane = expected_of(ports, there, mode)
    skipped: dict[str, list[str]] = {}
    targets: list[Target] = []
    wished = (one for one in sorted(dataplane.entries.items()) if _is_wished(wish, one[1]))
    for key, entry in wished:
        port = by_name[entry.service, key[0]]
        reason = CONTESTED if key in dataplane.contested else _why_not(port, entry)
        if reason:
            skipped.setdefault(reason, []).append(f"{entry.service} {key[2].upper()} {key[1] or '*'} {key[3]}")
            continue
        targets += [
            _target(entry, there, address)
            for address in answers_on(entry, dataplane, there)
            if not _is_counted(address)
        ]
    chosen = _of_each_kind(targets, there, pods)[: wish.limit or None]
    return Choice(tuple(chosen), skipped, len(targets) - len(chosen))


def _is_wished(wish: Wish, entry: Entry) -> bool:
    return not wish.services or entry.service.partition(":")[0] in wish.services


def _why_not(port: ServicePort, entry: Entry) -> str:
    if port.protocol != "tcp":
        return NOT_TCP
    is_local = port.policy.internal_local if entry.source == "cluster_ip" else port.policy.external_local
    if is_local and port.endpoints.has_any and not port.endpoints.local:
        return NOT_LOCAL
    return RESTRICTED if entry.source == "load_balancer_ip" and port.source_ranges else ""


def _is_counted(address: str) -> bool:
    """kube-proxy counts connections to NodePorts on loopback, and who reads its counter takes ours for somebody's: none is made."""
    return ipaddress.ip_address(address).is_loopback


def _target(entry: Entry, node: Node, address: str) -> Target:
    family, _address, _protocol, number = entry.key
    apart = entry.short_circuit is not None
    as_they_are = (MASQUERADE_OUTSIDE, MASQUERADE_NODE, MASQUERADE_NONE)
    return Target(
        entry.service,
        entry.source,
        family,
        address,
        number,
        (entry.short_circuit if entry.short_circuit is not None else entry.destinations),
        for_pods=not apart or node.tells_pods(family),
        is_masqueraded=entry.source != "cluster_ip" or entry.masquerade not in as_they_are,
        is_sticky=bool(entry.affinity) or (entry.scheduler or "").partition(" ")[0] in _STICKY_SCHEDULERS,
    )


def local_pods(state: Object, node: Node) -> frozenset[str]:
    """The addresses of pods on this node that are ready endpoints of some Service, without those on the node's own network."""
    own = {str(one) for one in (*node.addresses.own, *node.addresses.bound)}
    found = {
        address_of(one["address"])
        for endpoint_slice in state["slices"]
        for one in map(read_endpoint, endpoint_slice.get("endpoints") or ())
        if one.get("node") == node.view.name and one.get("ready", True)
    }
    return frozenset(found - own - {""})


def _of_each_kind(targets: t.Sequence[Target], node: Node, pods: t.Container[str]) -> list[Target]:
    """One of each kind, then a second one of each, and so on."""
    kinds: dict[tuple[int, ...], list[Target]] = {}
    for target in targets:
        kinds.setdefault(_kind(target, node, pods), []).append(target)
    turns = zip_longest(*(kinds[kind] for kind in sorted(kinds)))
    return [target for turn in turns for target in turn if target]


def _kind(target: Target, node: Node, pods: t.Container[str]) -> tuple[int, ...]:
    """The more telling ones sort first: several endpoints, one, one that is a pod here, none; the node's main address for a
    NodePort before any other."""
    place = int(target.source == "node_port" and target.address != str(node.node_ip(target.family)))
    count = len(target.destinations)
    amount = 0 if count > 1 else 3 if not count else 2 if target.destinations[0][0] in pods else 1
    return amount, place, SOURCES.index(target.source), target.family


def vantages(targets: t.Sequence[Target], pods: t.Mapping[str, Pod]) -> list[Vantage]:
    """The node, the pod with the most families, and each pod that is the only endpoint of a target.

    :param pods: those that were found, by address
    """
    found = [Vantage(NODE, None, tuple(targets))] if targets else []
    if not pods or not targets:
        return found
    anyone = max((pods[address] for address in sorted(pods)), key=lambda pod: len(pod.families))
    found.append(Vantage(POD, anyone, _reachable(targets, anyone)))
    own: dict[str, list[Target]] = {}
    for target in targets:
        if len(target.destinations) == 1 and target.destinations[0][0] in pods:
            own.setdefault(target.destinations[0][0], []).append(target)
    for address, mine in own.items():
        found.append(Vantage(HAIRPIN, pods[address], _reachable(mine, pods[address]), address))
    return [one for one in found if one.targets]


def _reachable(targets: t.Iterable[Target], pod: Pod) -> tuple[Target, ...]:
    return tuple(one for one in targets if one.for_pods and one.family in pod.families)


def skipped_rows(skipped: t.Mapping[str, t.Sequence[str]]) -> list[dict[str, t.Any]]:
    """What is skipped, as the module returns it."""
    return [{"reason": reason, "count": len(found), "example": found[0]} for reason, found in skipped.items()]
