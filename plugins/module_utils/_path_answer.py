# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to each address of a Service, and where it ends: kernel beside API. Pure. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination, Entry
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_model import (
    ALL,
    DROPS,
    MARKS,
    MASQUERADES,
    OUTSIDE,
    RETURNS,
    Hop,
)

Object = t.Mapping[str, t.Any]

USED, DEAD, STALE, MISSING, UNUSED, DRAINING = "used", "dead", "stale", "missing", "unused", "draining"
"""How kernel and API agree about an endpoint: both use it; only the kernel does, and the API has no such endpoint (L(DEAD)) or
does not mean it to be used now (L(STALE)); only the API does; neither does. L(DRAINING): of IPVS, with weight 0."""

INSIDE = "inside"
"""Pods and the node itself."""

ALL_PACKETS = "all packets"
_RANGES, _FROM = "filter KUBE-SOURCE-RANGES-FIREWALL", "from "


class End(t.NamedTuple):
    """A destination.

    :param clients: whose packets go there: C(all), C(outside) or L(INSIDE)
    :param share: of their new connections; None where the kernel does not decide by chance
    :param state: one of the words above
    """

    address: str
    port: int
    node: str
    ready: bool | None
    serving: bool | None
    terminating: bool | None
    clients: str
    share: float | None
    weight: int | None
    connections: int | None
    state: str


class Path(t.NamedTuple):
    """The way to one address and port.

    :param held: what the kernel has for it; None: nothing
    :param source: what the address is of the Service
    :param answers_on: of a NodePort without an address of its own: where it answers
    :param rival: another Service's port that the kernel has the address for
    """

    held: Entry | None
    claim: Entry | None
    service: str
    source: str
    hops: tuple[Hop, ...]
    ends: tuple[End, ...]
    answers_on: tuple[str, ...] = ()
    rival: str = ""

    @property
    def entry(self) -> Entry:
        """What names the address: the kernel's entry, or else the API's."""
        found = self.claim or self.held
        if found is None:
            raise ValueError("a path is for something")
        return found

    @property
    def source_ranges(self) -> tuple[str, ...] | None:
        """The only networks that may connect; None: everybody may. In ipvs mode no entry has them, but rules and ipsets."""
        if self.held and self.held.source_ranges:
            return self.held.source_ranges
        mine = [one for one in self.hops if one.place == _RANGES]
        if not any(one.does == DROPS and not one.condition for one in mine):
            return None
        let_in = (
            one.condition[len(_FROM) :] for one in mine if one.does == RETURNS and one.condition.startswith(_FROM)
        )
        return tuple(sorted(network for some in let_in for network in some.split(", ")))

    @property
    def masquerade(self) -> str:
        """Whose packets get a new source, in words."""
        who = [one for one in self.hops if one.does == MARKS and not _is_hairpin(one)]
        hairpin = any(map(_is_hairpin, self.hops))
        words = list(dict.fromkeys(f"packets {one.condition}" if one.condition else ALL_PACKETS for one in who))
        if ALL_PACKETS in words:
            return ALL_PACKETS
        if hairpin:
            words.append("packets of an endpoint to itself")
        return ", ".join(words) or "none"


def _is_hairpin(hop: Hop) -> bool:
    """Whether a hop is only for what an endpoint sends to itself."""
    own_chain = hop.place.startswith(("nat KUBE-SEP-", "chain endpoint-"))
    return (own_chain and hop.does == MARKS) or (
        hop.does == MASQUERADES and hop.condition.endswith("endpoint to itself")
    )


def ends_of(
    hops: t.Sequence[Hop], claim: Entry | None, known: t.Mapping[Destination, Object], family: int
) -> tuple[End, ...]:
    """All destinations: those of the kernel, those that only the API has, those that neither uses."""
    wanted = _wanted(claim)
    there: dict[tuple[str, Destination], Hop] = {}
    for hop in hops:
        if hop.destination and (hop.share is not None or hop.weight is not None):
            there.setdefault((_group(hop.clients), hop.destination), hop)
    groups = dict.fromkeys([*(group for group, _where in there), *wanted]) if there else dict.fromkeys(wanted)
    if there and ALL in groups and any(group == ALL for group, _where in there):
        groups = {ALL: None}
    found = []
    for group in groups:
        meant = wanted.get(group, wanted.get(ALL, wanted.get(OUTSIDE, ())))
        mine = {where: hop for (whose, where), hop in there.items() if whose == group}
        found += [_end(where, group, hop, _state(where, hop, meant, known), known) for where, hop in mine.items()]
        found += [_end(where, group, None, MISSING, known) for where in meant if where not in mine]
    seen = {(one.address, one.port) for one in found}
    rest = (where for where in known if where not in seen and (":" in where[0]) == (family == 6))
    return (*found, *(_end(where, ALL, None, UNUSED, known) for where in sorted(rest)))


def _wanted(claim: Entry | None) -> dict[str, tuple[Destination, ...]]:
    if claim is None:
        return {}
    if claim.short_circuit is None:
        return {ALL: claim.destinations}
    return {OUTSIDE: claim.destinations, INSIDE: claim.short_circuit}


def _group(clients: str) -> str:
    return clients if clients in (ALL, OUTSIDE) else INSIDE


def _state(where: Destination, hop: Hop, meant: t.Collection[Destination], known: t.Collection[Destination]) -> str:
    if hop.weight == 0:
        return DRAINING
    if where in meant:
        return USED
    return STALE if where in known else DEAD


def _end(where: Destination, group: str, hop: Hop | None, state: str, known: t.Mapping[Destination, Object]) -> End:
    raw = known.get(where)
    return End(
        *where,
        str(raw.get("node") or "") if raw else "",
        # Without a word of the API an endpoint is ready, serves and does not terminate.
        raw.get("ready", True) if raw else None,
        raw.get("serving", True) if raw else None,
        raw.get("terminating", False) if raw else None,
        group,
        hop.share if hop else None,
        hop.weight if hop else None,
        hop.connections if hop else None,
        state,
    )
