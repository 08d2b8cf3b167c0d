# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A switch to another mode, before it begins: what is known of the cluster and its nodes, and what a check says. Private to this
collection.

Of anything that could not be read a check says C(warn) and "unknown because", never C(ok).
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from functools import cached_property

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import Release, parse_release
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import (
    Node,
    node_with,
    parse_addresses,
)

Object = t.Mapping[str, t.Any]

OK, WARN, FAIL = "ok", "warn", "fail"
STATUSES = (FAIL, WARN, OK)
"""Worst first."""

UNKNOWN = "unknown because"
"""How the reason of what is not known begins."""

# With which the sentences of errors begin, and which are no names.
_PLAIN_WORDS = ("A", "An", "Cannot", "Could", "It", "Needs", "No", "Nobody", "The", "There", "These", "This")


class Verdict(t.NamedTuple):
    """What a check says about one thing."""

    status: str
    reason: str
    remedy: str = ""


class Check(t.NamedTuple):
    """What a check says of a node, or of the cluster.

    :param id: its name, which does not change
    :param overridden: whether it failed, and the caller goes on all the same
    """

    id: str
    status: str
    reason: str
    remedy: str = ""
    overridden: bool = False


def ok(reason: str) -> Verdict:
    return Verdict(OK, reason)


def warn(reason: str, remedy: str = "") -> Verdict:
    return Verdict(WARN, reason, remedy)


def fail(reason: str, remedy: str = "") -> Verdict:
    return Verdict(FAIL, reason, remedy)


def unknown(why: str, remedy: str = "") -> Verdict:
    """Something that is not known: no reason to stop, and none to be calm."""
    first, blank, rest = why.partition(" ")
    words = f"{first.lower() if first in _PLAIN_WORDS else first}{blank}{rest}"
    return Verdict(WARN, f"{UNKNOWN} {words}", remedy)


def why_unread(result: Object, nobody: str, name: str = "") -> str:
    """Why a module's result does not say something.

    :param nobody: the words for when there is no result at all
    :param name: the name under which C(unread) of the result would tell
    """
    told = (result.get("unread") or {}).get(name) or result.get("msg") or nobody
    return str(told).strip().rstrip(".")


def join(verdicts: t.Iterable[Verdict]) -> Verdict:
    """What several verdicts say together: the worst ones, all of them."""
    found = list(verdicts)
    status = next((status for status in STATUSES if any(one.status == status for one in found)), OK)
    worst = [one for one in found if one.status == status]
    reasons = dict.fromkeys(one.reason for one in worst if one.reason)
    remedies = dict.fromkeys(one.remedy for one in worst if one.remedy)
    return Verdict(status, "; ".join(reasons), " ".join(remedies))


@dataclass(frozen=True)
class NodeCase:
    """One node.

    :param host: its name in the inventory; empty when no host of the play is this node
    :param name: its name in the API; empty when nobody could tell
    :param api: what C(cluster_services_info) says of it; None when the API does not have it, or was not read
    :param info: what C(kube_proxy_info) returned
    :param looks: what C(service_dataplane_info) returned, step by step
    :param modules: what C(ipvs_module_loaded) returned in check mode for the target
    :param facts: what C(node_switch_info) returned
    :param bridge: what C(service_bridge) returned in check mode, for the mode that leaves
    """

    host: str
    name: str = ""
    api: Object | None = None
    info: Object = field(default_factory=dict)
    looks: tuple[Object, ...] = ()
    modules: Object = field(default_factory=dict)
    facts: Object = field(default_factory=dict)
    bridge: Object = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The name that people know it by."""
        return self.name or self.host

    @property
    def is_down(self) -> bool:
        """Whether kube-proxy was asked, and does not answer."""
        return self.info.get("reachable") is False

    @property
    def kernel(self) -> tuple[int, int] | None:
        """The first two numbers of the kernel's release."""
        numbers = str(self.facts.get("kernel_release") or "").split("-", 1)[0].split(".")[:2]
        return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 and all(map(str.isdecimal, numbers)) else None


@dataclass(frozen=True)
class ClusterCase:
    """The cluster, and what is wanted of it.

    :param settings: those of the run, to be set along with the mode
    :param absent: nodes that may be missing from the play
    :param bridge: C(auto), C(require) or C(off)
    :param plan: what C(kube_proxy_mode) returned in check mode
    :param services: what C(cluster_services_info) returned, C(state) unpacked in L(state)
    :param switch: what C(cluster_switch_info) returned
    """

    target: str
    settings: Object = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    drain: bool = False
    bridge: str = "auto"
    plan: Object = field(default_factory=dict)
    services: Object = field(default_factory=dict)
    switch: Object = field(default_factory=dict)
    state: Object | None = None
    nodes: tuple[NodeCase, ...] = ()

    @property
    def written(self) -> Object | None:
        """kube-proxy's configuration as it is written now."""
        return self.state.get("config") if self.state is not None else None

    @cached_property
    def releases(self) -> list[Release]:
        """Those of kube-proxy; empty when nothing tells."""
        named = [
            *((self.switch.get("kube_proxy") or {}).get("releases") or ()),
            (self.state or {}).get("release") or "",
        ]
        return sorted({release for release in map(parse_release, map(str, named)) if release})

    @property
    def present(self) -> str:
        """What the mode in the configuration means to this release; empty when it is not known."""
        written = self.written
        return str(effective(written, min(self.releases, default=None))["mode"]) if written is not None else ""

    @cached_property
    def wanted(self) -> dict[str, t.Any] | None:
        """The configuration that kube-proxy will run with, its defaults filled in."""
        written = self.written
        return None if written is None else effective({**merged(written, self.settings), "mode": self.target})

    def mode_of(self, node: NodeCase) -> str:
        """The mode that a node runs now, as it says or else as it is configured."""
        return str(node.info.get("running_mode") or self.present)

    def row_of(self, node: NodeCase) -> Object:
        """What C(cluster_switch_info) says of a node."""
        return next((one for one in self.switch.get("nodes") or () if one.get("name") == node.name), {})

    def is_on_the_way(self, node: NodeCase) -> bool:
        """Whether a run before this one has begun with the node: it runs the target, or is marked by a switch."""
        return self.mode_of(node) == self.target or bool(self.row_of(node).get("mode_label"))

    def crosses(self, node: NodeCase) -> bool:
        """Whether the node goes to or from nftables: the two others share most of their rules."""
        return (self.mode_of(node) == NFTABLES) != (self.target == NFTABLES)

    def node_now(self, node: NodeCase) -> Node | None:
        """The node as kube-proxy sees it; None when its addresses, or the configuration, are not known."""
        links = node.facts.get("addresses")
        if self.state is None or links is None:
            return None
        try:
            return node_with(self.state, node.name, parse_addresses(links))
        except KubeProxyError:
            return None

    @cached_property
    def at_risk(self) -> dict[str, tuple[list[dict[str, t.Any]], str]]:
        """Filled by L(_preflight_foreign.foreign_at_risk), by the names of hosts: with 10,000 Services it takes a second a node."""
        return {}

    @cached_property
    def has_node_ports(self) -> bool | None:
        """Whether a Service has a NodePort; None when Services were not read."""
        if self.state is None:
            return None
        return any(port.get("nodePort") for one in self.state["services"] for port in one.get("ports") or ())


def merged(below: Object, above: Object) -> dict[str, t.Any]:
    """Settings over a configuration, as C(kube_proxy_mode) merges them: mappings key by key, lists as a whole."""
    found = dict(below)
    for key, value in above.items():
        under = found.get(key)
        found[key] = merged(under, value) if isinstance(under, t.Mapping) and isinstance(value, t.Mapping) else value
    return found
