# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Service dataplane that a node should have, by the API and kube-proxy's configuration. Pure. Private to this collection.

Source: C(syncProxyRules) of the three proxiers; see C(_dataplane_expected_iptables), C(_dataplane_expected_nftables) and
C(_dataplane_expected_ipvs).

Several Services may ask for one key: an external address, or one of a load balancer, is not theirs alone. In all three modes
kube-proxy goes through a Go map (C(svcPortMap)), so that the winner is chance, and another one after each sync. Whoever
has no endpoint loses to whoever has some, since the kernel rewrites a destination before it refuses it.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils import _dataplane_expected_iptables as iptables
from ansible_collections.netops.kube_proxy.plugins.module_utils import _dataplane_expected_ipvs as ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils import _dataplane_expected_nftables as nftables
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    REJECT,
    Dataplane,
    Entry,
    Key,
    Part,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import ServicePort, service_ports

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node


class _Mode(t.Protocol):
    """What each mode says: the entries that its Service ports ask for, and the sets beside them."""

    def claims(self, ports: t.Sequence[ServicePort], node: Node) -> t.Iterator[Entry]: ...

    def parts(self, ports: t.Sequence[ServicePort], node: Node) -> dict[Part, dict[str, str]]: ...


_MODES: dict[str, _Mode] = {"iptables": iptables, "ipvs": ipvs, "nftables": nftables}


def expected(state: t.Mapping[str, t.Any], node: Node, mode: str) -> Dataplane:
    """What the node should have in this mode, whichever the configuration names.

    :param state: what C(_cluster_state.decode) gave
    :raises InvalidInput: for a mode that kube-proxy does not have on Linux
    """
    if mode not in _MODES:
        raise InvalidInput(f"mode must be one of {', '.join(_MODES)}", f"it is {mode!r}")
    there = node.in_mode(mode)
    return expected_of(served_ports(state, there), there, mode)


def expected_of(ports: t.Sequence[ServicePort], there: Node, mode: str) -> Dataplane:
    """The same for L(served_ports), and the node in this mode."""
    entries, contested = _settled(_MODES[mode].claims(ports, there))
    return Dataplane(mode, entries, _MODES[mode].parts(ports, there), contested=contested)


def served_ports(state: t.Mapping[str, t.Any], node: Node) -> list[ServicePort]:
    """The Service ports that the node serves, each family counted."""
    gates = node.config.get("featureGates") or {}
    return [port for port in service_ports(state, node.view, gates) if port.family in node.families]


def as_held(wanted: Dataplane, actual: Dataplane) -> Dataplane:
    """What is wanted, with the claim that the kernel holds (or comes nearest to) for each contested key."""
    if not wanted.contested:
        return wanted
    entries = dict(wanted.entries)
    for key, alternatives in wanted.contested.items():
        seen = actual.entries.get(key)
        if seen is not None:
            entries[key] = min(alternatives, key=partial(_distance, seen))
    return replace(wanted, entries=entries)


def _distance(seen: Entry, one: Entry) -> int:
    pairs = zip(one.compared, seen.compared)
    fields = sum(1 for mine, other in pairs if mine is not None and other is not None and mine != other)
    return fields + len(set(one.destinations) ^ set(seen.destinations))


Contested = t.Dict[Key, t.Tuple[Entry, ...]]


def _settled(claims: t.Iterable[Entry]) -> tuple[dict[Key, Entry], Contested]:
    """One entry for each key, and all of them where chance decides. Of what one Service port asks for twice the first
    counts."""
    entries: dict[Key, Entry] = {}
    rivals: dict[Key, dict[str, Entry]] = {}
    for one in claims:
        first = entries.setdefault(one.key, one)
        if first.service != one.service:
            rivals.setdefault(one.key, {first.service: first}).setdefault(one.service, one)
    contested: Contested = {}
    for key, found in rivals.items():
        able = [one for one in found.values() if one.verdict != REJECT] or list(found.values())
        entries[key] = able[0]
        if any(one.compared != able[0].compared for one in able):
            # In nftables mode the firewall of one may guard the other's destinations.
            contested[key] = tuple(one._replace(source_ranges=None) for one in able)
            entries[key] = contested[key][0]
    return entries, contested
