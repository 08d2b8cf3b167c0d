# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a probe of Services asks, and what it saw. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination

NODE, POD, HAIRPIN = "node", "pod", "hairpin"
"""Where connections come from: the node's own network namespace, that of some pod on it, that of the only endpoint of the
Service."""
OK, FAILED, UNKNOWN = "ok", "failed", "unknown"

ATTEMPTS = 4
"""Connections to a Service's address, at most."""
ENDPOINTS = 8
"""Endpoints of a Service that are connected to directly, at most."""


class Target(t.NamedTuple):
    """An address and port of a Service.

    :param source: one of C(_dataplane_model.SOURCES)
    :param destinations: the endpoints that the node itself and its pods are sent to; empty: nothing is to answer
    :param for_pods: whether pods are sent to the same
    :param is_masqueraded: whether the packets of pods may get the node's address as their source
    :param is_sticky: whether one client comes to the same endpoint every time
    """

    service: str
    source: str
    family: int
    address: str
    port: int
    destinations: tuple[Destination, ...]
    for_pods: bool = True
    is_masqueraded: bool = False
    is_sticky: bool = False

    @property
    def end(self) -> Destination:
        return self.address, self.port

    @property
    def asked(self) -> tuple[Destination, ...]:
        """The endpoints that are connected to directly."""
        return self.destinations[:ENDPOINTS]


class Ask(t.NamedTuple):
    """A Service's address to connect to, and the endpoints behind it that are connected to directly."""

    end: Destination
    through: tuple[Destination, ...]


class Outcome(t.NamedTuple):
    """What became of the connections to one address and port.

    :param reason: why the last one was not answered, as a clause
    :param is_routed: whether there was a way to send anything
    """

    answered: bool
    reason: str = ""
    attempts: int = 1
    is_routed: bool = True


Outcomes = t.Mapping[Destination, Outcome]


class Pod(t.NamedTuple):
    """A network namespace of a pod.

    :param process: the number of a process in it
    """

    process: str
    addresses: frozenset[str]

    @property
    def families(self) -> frozenset[int]:
        return frozenset(6 if ":" in one else 4 for one in self.addresses)


class Vantage(t.NamedTuple):
    """Where connections come from, and what they are to.

    :param pod: None: the node itself
    :param own: of a hairpin the address of the endpoint
    """

    name: str
    pod: Pod | None
    targets: tuple[Target, ...]
    own: str = ""

    @property
    def asks(self) -> list[Ask]:
        return [Ask(one.end, one.asked) for one in self.targets]


class Probe(t.NamedTuple):
    """A Service's address, as seen from one place.

    :param direct: whether one of its endpoints answered directly; None without endpoints
    :param reason: why the verdict is not C(ok), as a sentence; empty where it is
    """

    vantage: Vantage
    target: Target
    answered: bool
    direct: bool | None
    verdict: str
    reason: str = ""
