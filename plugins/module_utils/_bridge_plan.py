# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether there is a bridge, whether it is the right one, and what has to be done to it. Pure. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_kept import Carried, Kept, Place, lost
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_compare import Difference, differences
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    FORWARD,
    Dataplane,
    Entry,
    key_text,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_expected import Bridge

LOAD, KEEP, HAND_OVER, UNLOAD = "load", "keep", "hand over", "unload"
WATCH, UNWATCH = "watch", "unwatch"
LOOSEN, PUT_BACK = "loosen", "put back"
_NAMED = 3


class Limits(t.NamedTuple):
    """When the node itself takes the bridge away.

    :param entering: the mode whose kube-proxy the bridge waits for
    :param metrics: where kube-proxy says its mode and its syncs; empty: it does not, and only the hard limit counts
    :param soft: seconds from which on the bridge goes once that mode is there, its first sync over
    :param hard: seconds after which it goes in any case
    """

    entering: str
    metrics: str
    soft: int
    hard: int


@dataclass(frozen=True)
class BridgeState:
    """What there is.

    :param families: that have our table
    :param plane: what the tables hold, in the normal form
    :param limits: of the unit that takes the bridge away; None where it does not run
    :param kept: the connections that the bridge keeps
    :param carried: those that IPVS carries, of our Services, and that can be kept
    :param ending: those that cannot, and why
    :param served: what IPVS serves
    :param loose: whether connection tracking takes up TCP connections in their middle
    :param loosened: whether it does for the bridge's sake, and has to be told otherwise when that goes
    """

    families: frozenset[int] = frozenset()
    plane: Dataplane = field(default_factory=lambda: Dataplane(NFTABLES))
    limits: Limits | None = None
    kept: Kept = frozenset()
    carried: Kept = frozenset()
    ending: t.Mapping[Carried, str] = field(default_factory=dict)
    served: frozenset[Place] = frozenset()
    loose: bool = True
    loosened: bool = False

    @property
    def lost(self) -> Kept:
        """The connections that IPVS had to let go, and the bridge has kept."""
        return lost(self.kept, self.carried, self.served)


BridgePlan = Plan[BridgeState, str]


def plan_present(bridge: Bridge, limits: Limits, state: BridgeState) -> BridgePlan:
    """Have this bridge. What watches over it comes first, so that there is never a bridge that nobody takes away."""
    todo = _Todo(state)
    if state.limits != limits:
        todo.add(
            WATCH,
            f"Have the node take the bridge away after {limits.hard} s, or from {limits.soft} s on once it is not needed",
        )
    todo.hand_over()
    loosen = not state.loose and any(one.protocol == "tcp" for one in state.carried)
    if loosen:
        todo.add(LOOSEN, "Have net.netfilter.nf_conntrack_tcp_loose=1 meanwhile, instead of 0")
    found = differences(bridge.plane, state.plane)
    if not state.families:
        todo.add(LOAD, f"Put up the bridge: {_size(bridge.plane)}")
    elif found:
        todo.add(LOAD, f"Renew the bridge ({_size(bridge.plane)}): {_words(found)}")
    if state.kept != state.carried:
        todo.add(KEEP, f"Keep {len(state.carried)} connections that IPVS carries, instead of {len(state.kept)}")
    after = replace(state, families=frozenset(bridge.families), plane=bridge.plane, limits=limits, kept=state.carried)
    return todo.plan(replace(after, loose=True, loosened=True) if loosen else after)


def plan_absent(state: BridgeState) -> BridgePlan:
    """Have none, and nothing that watches over it."""
    todo = _Todo(state)
    todo.hand_over()
    if state.families:
        todo.add(UNLOAD, f"Take the bridge away: {_size(state.plane)}")
    if state.loosened:
        todo.add(PUT_BACK, "Have net.netfilter.nf_conntrack_tcp_loose=0 again")
    if state.limits is not None:
        todo.add(UNWATCH, "End what watches over the bridge")
    return todo.plan(BridgeState())


class _Todo:
    """A plan in the making."""

    def __init__(self, state: BridgeState) -> None:
        self._state = state
        self._operations: list[str] = []
        self._actions: list[str] = []

    def add(self, operation: str, action: str) -> None:
        self._operations.append(operation)
        self._actions.append(action)

    def hand_over(self) -> None:
        if self._state.lost:
            self.add(
                HAND_OVER, f"Have connection tracking know the {len(self._state.lost)} connections that IPVS carried"
            )

    def plan(self, after: BridgeState) -> BridgePlan:
        state = self._state
        return Plan(state, after if self._operations else state, tuple(self._operations), tuple(self._actions))


def render_state(state: BridgeState) -> str:
    """Its entries as lines for C(diff)."""
    return "".join(f"{_line(state.plane.entries[key])}\n" for key in sorted(state.plane.entries))


def services(plane: Dataplane) -> int:
    """How many Service ports it serves or refuses, each family counted."""
    return len({(one.service, one.key[0], one.key[2]) for one in plane.entries.values()})


def _size(plane: Dataplane) -> str:
    return f"{len(plane.entries)} addresses of {services(plane)} Service ports"


def _words(found: t.Sequence[Difference]) -> str:
    shown = [f"{one.object} {one.detail}".strip() for one in found[:_NAMED]]
    return ", ".join(shown) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")


def _line(entry: Entry) -> str:
    parts = [key_text(entry.key)]
    if entry.destinations:
        parts.append(f"-> {_ends(entry.destinations)}")
    if entry.verdict != FORWARD:
        parts.append(entry.verdict)
    if entry.short_circuit is not None:
        parts.append(f"from here -> {_ends(entry.short_circuit)}")
    if entry.affinity:
        parts.append(f"affinity {entry.affinity} s")
    if entry.masquerade:
        parts.append(f"masqueraded: {entry.masquerade}")
    if entry.source_ranges:
        parts.append(f"only from {', '.join(entry.source_ranges)}")
    return ", ".join(parts)


def _ends(destinations: t.Sequence[tuple[str, int]]) -> str:
    return " ".join(join_host_port(*one) for one in destinations) or "nowhere"
