# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a difference that was seen once to a finding: what is seen again, on objects that nobody changed meanwhile. Pure.
Private to this collection.

API and kernel cannot be read at one moment, and kube-proxy follows with a delay. So the order of the readings is
API, kernel; kernel again once kube-proxy has caught up; API again, and the kernel a last time once kube-proxy has caught up with
that. A difference between the first API reading and both of the kernel behind it, about a Service that is the same in both API
readings, was there while nothing changed. What is surplus belongs to no Service that could be the same: it came
after the first API reading, and went before the second, if the third reading of the kernel does not have it any more.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import Finding
from ansible_collections.netops.kube_proxy.plugins.module_utils._packed import pack, unpack

VERSION = 1

ABOUT_NODE = "node"
"""Not about the API's Services: nothing there can explain it away."""
ABOUT_SERVICES = "services"

LASTING = frozenset({"ipvs_timeout_below_keepalive", "release_calendar"})
"""Kinds that kube-proxy has no part in: a later look finds the same."""


class Suspect(t.NamedTuple):
    """A finding that may still be a moment's delay.

    :param identity: what makes it the same when it is seen again: kind, object, detail
    :param concern: L(ABOUT_NODE) or L(ABOUT_SERVICES)
    """

    identity: tuple[str, str, str]
    concern: str
    finding: Finding

    @property
    def may_pass(self) -> bool:
        """Whether it is worth another look."""
        return self.finding.kind not in LASTING

    @property
    def service(self) -> str:
        """The Service that it is about, without its port: C(namespace/name)."""
        return self.finding.service.partition(":")[0]


@dataclass(frozen=True)
class Suspicion:
    """What one look brought, for the next one.

    :param versions: of the Services concerned, as C(_cluster_state.object_versions) says them
    :param node: the same for what else is expected by: the Node and kube-proxy's configuration
    """

    suspects: tuple[Suspect, ...]
    versions: t.Mapping[str, str]
    node: str

    def encode(self) -> str:
        """As one line of text."""
        suspects = [[list(one.identity), one.concern, list(one.finding)] for one in self.suspects]
        return pack({"version": VERSION, "node": self.node, "suspects": suspects, "versions": dict(self.versions)})


def decode(text: str) -> Suspicion:
    """The reverse of C(Suspicion.encode).

    :raises InvalidInput: for anything else
    """
    remedy = "Hand over the value 'suspects' that an earlier call of service_dataplane_info returned for this node."
    value = unpack(text, "what an earlier look at a node brought", VERSION, remedy)
    suspects = tuple(Suspect((one[0][0], one[0][1], one[0][2]), one[1], Finding(*one[2])) for one in value["suspects"])
    return Suspicion(suspects, value["versions"], value["node"])


def suspicion(suspects: t.Iterable[Suspect], versions: t.Mapping[str, str], node: str) -> Suspicion:
    """What the next look needs of this one: of C(versions) only those that a suspect is about."""
    kept = tuple(suspects)
    concerned = {one.service for one in kept if one.service}
    return Suspicion(kept, {name: versions.get(name, "") for name in sorted(concerned)}, node)


def seen_again(before: Suspicion, now: t.Iterable[Suspect]) -> list[Suspect]:
    """Those of now that were suspect before."""
    known = {one.identity for one in before.suspects}
    return [one for one in now if one.identity in known]


def unchanged(
    before: Suspicion, suspects: t.Iterable[Suspect], versions: t.Mapping[str, str], node: str
) -> list[Suspect]:
    """Those that no change in the API explains: their Service is what it was, and so is the node."""
    if before.node != node:
        return [one for one in suspects if one.concern == ABOUT_NODE]
    return [
        one
        for one in suspects
        if not one.service or before.versions.get(one.service, "") == versions.get(one.service, "")
    ]
