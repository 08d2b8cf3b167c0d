# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a difference that was seen once to a finding: what is seen again, on objects that nobody changed meanwhile. Pure.
Private to this collection.

API and kernel cannot be read at one moment, and kube-proxy follows with a delay. So the order of the readings is
API, kernel; kernel again once kube-proxy has caught up; API again. A difference between the first API reading and both of the
kernel, about a Service that is the same in both API readings, was there all the time between the kernel's two.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Dataplane, key_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import Finding
from ansible_collections.netops.kube_proxy.plugins.module_utils._packed import pack, unpack

VERSION = 1

ABOUT_NODE = "node"
"""Not about the API's Services: nothing there can explain it away."""
SURPLUS_ENTRY, SURPLUS_MEMBER, ABOUT_SERVICE = "surplus entry", "surplus member", "service"


class Suspect(t.NamedTuple):
    """A finding that may still be a moment's delay.

    :param identity: what makes it the same when it is seen again: kind, object, detail
    :param concern: L(ABOUT_NODE), L(ABOUT_SERVICE), L(SURPLUS_ENTRY) or L(SURPLUS_MEMBER)
    """

    identity: tuple[str, str, str]
    concern: str
    finding: Finding

    @property
    def service(self) -> str:
        """The Service that it is about, without its port: C(namespace/name)."""
        return self.finding.service.partition(":")[0]


@dataclass(frozen=True)
class Suspicion:
    """What one look brought, for the next one.

    :param versions: of the Services concerned, as C(_cluster_state.object_versions) says them
    :param node: the same for what else is expected by: the Node and kube-proxy's configuration
    :param mode: the mode that was compared
    :param syncs: how often kube-proxy had finished, by family
    """

    suspects: tuple[Suspect, ...]
    versions: t.Mapping[str, str]
    node: str
    mode: str
    syncs: t.Mapping[str, int]

    def encode(self) -> str:
        """As one line of text."""
        suspects = [[list(one.identity), one.concern, list(one.finding)] for one in self.suspects]
        values = {"suspects": suspects, "versions": dict(self.versions), "syncs": dict(self.syncs)}
        return pack({"version": VERSION, "node": self.node, "mode": self.mode, **values})


def decode(text: str) -> Suspicion:
    """The reverse of C(Suspicion.encode).

    :raises InvalidInput: for anything else
    """
    remedy = "Hand over the value 'suspects' that an earlier call of service_dataplane_info returned for this node."
    value = unpack(text, "what an earlier look at a node brought", VERSION, remedy)
    suspects = tuple(Suspect((one[0][0], one[0][1], one[0][2]), one[1], Finding(*one[2])) for one in value["suspects"])
    return Suspicion(suspects, value["versions"], value["node"], value["mode"], value["syncs"])


def suspicion(
    suspects: t.Iterable[Suspect], versions: t.Mapping[str, str], node: str, mode: str, syncs: t.Mapping[str, int]
) -> Suspicion:
    """What the next look needs of this one: of C(versions) only those that a suspect is about."""
    kept = tuple(suspects)
    concerned = {one.service for one in kept if one.service}
    return Suspicion(kept, {name: versions.get(name, "") for name in sorted(concerned)}, node, mode, syncs)


def seen_again(before: Suspicion, now: t.Iterable[Suspect]) -> list[Suspect]:
    """Those of now that were suspect before."""
    known = {one.identity for one in before.suspects}
    return [one for one in now if one.identity in known]


def confirmed(
    before: Suspicion, versions: t.Mapping[str, str], node: str, expected: t.Callable[[], Dataplane]
) -> list[Suspect]:
    """Those that the API, read once more, does not explain: their Service is unchanged, or there is still none.

    :param expected: what the API asks for by now; called only where something is surplus
    """
    if before.node != node:
        return [one for one in before.suspects if one.concern == ABOUT_NODE]
    wanted = _Wanted(expected)
    return [one for one in before.suspects if _stands(one, before.versions, versions, wanted)]


class _Wanted:
    """What is asked for by now, made once and only when somebody wants to know."""

    def __init__(self, expected: t.Callable[[], Dataplane]) -> None:
        self._expected = expected
        self._known: frozenset[tuple[str, str]] | None = None

    def has(self, suspect: Suspect) -> bool:
        if self._known is None:
            self._known = self._make()
        _kind, name, detail = suspect.identity
        return (name, detail) in self._known

    def _make(self) -> frozenset[tuple[str, str]]:
        dataplane = self._expected()
        entries = {(key_text(key), "") for key in dataplane.entries}
        members = {(part.words, member) for part, found in dataplane.parts.items() for member in found}
        return frozenset(entries | members)


def _stands(suspect: Suspect, before: t.Mapping[str, str], now: t.Mapping[str, str], wanted: _Wanted) -> bool:
    if suspect.concern in (SURPLUS_ENTRY, SURPLUS_MEMBER):
        return not wanted.has(suspect)
    if suspect.service:
        return before.get(suspect.service, "") == now.get(suspect.service, "")
    return True
