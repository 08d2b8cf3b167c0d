# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a packet for a Service through one node's kernel, hop by hop. Pure. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination

LEADS, MARKS, REWRITES, SCHEDULES, MASQUERADES = "leads", "marks", "rewrites", "schedules", "masquerades"
REJECTS, DROPS, RETURNS, ACCEPTS, NOTES, HOLDS = "rejects", "drops", "returns", "accepts", "notes", "holds"
UNMARKS, NOTHING = "unmarks", "nothing"
"""What a hop does with a packet. L(LEADS): to another place; L(MARKS): for a new source, which it gets where a hop
L(MASQUERADES); L(REWRITES), L(SCHEDULES): to a destination; L(NOTES): the client, for session affinity; L(HOLDS): an address is
the node's own; L(NOTHING): something that should be there is not."""

ALL, PODS, NODE, OUTSIDE = "all", "pods", "node", "outside"
"""Whose packets a hop is for; L(OUTSIDE): those that are neither a pod's nor the node's own."""

Count = t.Tuple[int, int]
"""Packets and bytes."""

Counters = t.Mapping[t.Tuple[str, str], t.Mapping[str, Count]]
"""By table and chain what each rule, named by its text, has seen."""


class Hop(t.NamedTuple):
    """One rule, element, virtual server or destination on the way.

    :param depth: how many hops lead to it
    :param place: where it stands: table and chain, the map, the virtual server
    :param rule: as the tool of the mode writes it; empty where something is missing
    :param does: one of the words above
    :param target: the place it leads to
    :param condition: which of the packets that come here it is for, in words; empty: all of them
    :param share: the part of the new connections that come to its place which it takes; None: it depends
    :param probability: as the rule has it, of what the rules before it left
    :param weight: of a destination of IPVS, and C(connections) those that it has now
    :param counted: packets and bytes that it has seen; None where nobody counts
    """

    depth: int
    place: str
    rule: str
    does: str
    target: str = ""
    condition: str = ""
    share: float | None = None
    probability: str = ""
    weight: int | None = None
    connections: int | None = None
    destination: Destination | None = None
    clients: str = ALL
    counted: Count | None = None

    @property
    def as_dict(self) -> dict[str, t.Any]:
        """As the module returns it."""
        found = self._asdict()
        where = found.pop("destination")
        packets, size = found.pop("counted") or (None, None)
        return {
            **found,
            "address": where[0] if where else "",
            "port": where[1] if where else None,
            "packets": packets,
            "bytes": size,
        }


def with_counters(hops: t.Iterable[Hop], counters: Counters) -> list[Hop]:
    """The same with what their rules have counted."""
    return [_counted(one, counters) for one in hops]


def _counted(hop: Hop, counters: Counters) -> Hop:
    table, _space, chain = hop.place.partition(" ")
    found = counters.get((table, chain), {}).get(hop.rule)
    return hop if found is None else hop._replace(counted=found)


def missing(depth: int, place: str, condition: str) -> Hop:
    """That something is not there.

    :param condition: what, in words
    """
    return Hop(depth, place, "", NOTHING, condition=condition)
