# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of C(service_path_info): its options, one look at the node, and the way to each address of the Service. Private to
this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from functools import cached_property, partial

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import expected
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_judge import Judge
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import (
    kube_proxy_at,
    look,
    own_name,
    read_node_addresses,
    read_objects,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    SOURCES,
    Dataplane,
    Entry,
    Key,
    Part,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import Counts, parse_counts
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import save_tables
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPTABLES, IPVS, NFTABLES, TABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_report import Wanted
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_answer import Path, ends_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_iptables import iptables_path
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_ipvs import ipvs_path, members_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_mermaid import mermaid
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_model import with_counters
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_nftables import nftables_path
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_rules import FAMILIES, Chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_service import (
    Service,
    Wish,
    alone,
    endpoints_of,
    find,
    parse_wish,
    why_not_served,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_words import lines, sentence
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node, node_with

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import Sight
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
    from ansible_collections.netops.kube_proxy.plugins.module_utils._path_model import Hop

Object = t.Mapping[str, t.Any]
_COUNTERS = {
    IPTABLES: "packets and bytes that each rule has seen since it was written",
    IPVS: "connections that each destination has now, and packets and bytes that each rule of iptables has seen",
    NFTABLES: "none: kube-proxy writes its rules of nftables without counters",
}


class Question(t.NamedTuple):
    """The module's options, checked."""

    state: Object
    wish: Wish
    service: Service
    node: str | None
    mode: str | None
    addresses: tuple[str | None, str | None]


def question(params: t.Mapping[str, t.Any]) -> Question:
    """The module's options as values.

    :raises InvalidInput: naming the option, or what there is instead of the Service
    """
    wish = parse_wish(params["service"], params["protocol"])
    state = state_of.decode(params["state"])
    addresses = (params["metrics_address"], params["healthz_address"])
    return Question(state, wish, find(state, wish), params["node"], params["mode"], addresses)


def answer(asked: Question, runner: Runner, files: Files) -> dict[str, t.Any]:
    """Look at the node and follow the Service's packets.

    :raises KubeProxyError: when the node cannot be told or read
    """
    node = node_with(asked.state, asked.node or own_name(files), read_node_addresses(files))
    wanted = Wanted(node.config["mode"], {"ipvs": node.config["ipvs"]})
    readings = read_objects(runner, files)
    sight = look(kube_proxy_at(*asked.addresses, node.config), wanted, files, readings)
    judge = Judge(asked.state, node, sight, asked.mode)
    count = partial(_counts, runner, judge.backend) if judge.mode != NFTABLES else _no_counts
    trace = Trace(asked.service, judge.state, judge.node, judge.mode, judge.backend, judge.actual, judge.wanted, sight)
    return trace.answer(count)


def _no_counts(_family: int, _chains: t.Collection[str]) -> Counts:
    return {}


def _counts(runner: Runner, backend: str, family: int, chains: t.Collection[str]) -> Counts:
    """What the rules of some chains have counted. Read only where there are such chains: then looking makes nothing."""
    if not chains:
        return {}
    return save_tables(runner, backend, FAMILIES[family], partial(parse_counts, chains=chains), ("-c",))


Count = t.Callable[[int, t.Collection[str]], Counts]


@dataclass(frozen=True)
class Trace:
    """A Service, what one look at a node brought, and what of it concerns the Service."""

    service: Service
    state: Object
    node: Node
    mode: str
    backend: str
    actual: Dataplane
    wanted: Dataplane
    sight: Sight

    def answer(self, count: Count) -> dict[str, t.Any]:
        """What the module returns.

        :param count: reads counters, by IP version and names of chains
        """
        paths = self.paths(count)
        reason = "" if paths else why_not_served(self.service) or f"Service {self.service.name} has no port to serve."
        problems = self.problems()
        told = lines(paths) if paths else ["", reason]
        title = f"{self.service.name} on {self.node.view.name} in {self.mode} mode"
        return {
            "node": self.node.view.name,
            "mode": self.mode,
            "service": self.service.name,
            "reason": reason,
            "paths": [_told(path) for path in paths],
            "problems": problems,
            "counters": _COUNTERS[self.mode],
            "mermaid": mermaid(paths, self.node.view.name, title),
            "lines": [
                f"{title} (counters: {_COUNTERS[self.mode]})",
                *told,
                *(["", *(f"Also wrong: {one}" for one in problems)] if problems else []),
            ],
        }

    def paths(self, count: Count) -> list[Path]:
        """The way to each address, ClusterIPs first."""
        claims = self._claims()
        held = {key: one for key, one in self.actual.entries.items() if one.service in self.service.ports}
        found = []
        for family in sorted({key[0] for key in (*claims, *held)}):
            keys = [key for key in dict.fromkeys((*claims, *held)) if key[0] == family]
            hops = self._hops(family, keys, claims)
            counters = count(family, _chains_of(hop for way in hops.values() for hop in way))
            found += [self._path(key, claims.get(key), with_counters(hops[key], counters)) for key in keys]
        return sorted(found, key=_order)

    def _claims(self) -> dict[Key, Entry]:
        """What this Service asks for, whoever else asks for it, too."""
        own = expected(self._alone, self.node, self.mode).entries
        return {key: one for key, one in own.items() if one.service in self.service.ports}

    @cached_property
    def _alone(self) -> dict[str, t.Any]:
        return alone(self.state, self.service)

    def _hops(self, family: int, keys: t.Iterable[Key], claims: t.Mapping[Key, Entry]) -> dict[Key, list[Hop]]:
        readings = self.sight.readings
        if self.mode == NFTABLES:
            name = "ip6" if family == 6 else "ip"
            table = next((one for one in readings.nft if one.family == name), None)
            return {key: nftables_path(table, key) for key in keys}
        chains = Chains(readings.tables, self.backend, family)
        if self.mode == IPTABLES:
            return {key: iptables_path(chains, key) for key in keys}
        members = members_of(readings)
        sources = {key: one.source for key, one in claims.items()}
        return {key: ipvs_path(chains, readings, members, key, sources.get(key, "")) for key in keys}

    def _path(self, key: Key, claim: Entry | None, hops: t.Sequence[Hop]) -> Path:
        held = self.actual.entries.get(key)
        entry = claim or held
        service = entry.service if entry else ""
        winner = self.wanted.entries.get(key)
        rival = (
            next((one.service for one in (held, winner) if one and self._is_others(one.service)), "") if claim else ""
        )
        answers_on = () if key[1] else tuple(self.actual.parts.get(Part("node_port_addresses", key[0]), ()))
        known = endpoints_of(self.state if rival else self._alone).get(rival or service, {})
        ends = ends_of(hops, winner if rival else claim, known, key[0])
        return Path(held, claim, service, entry.source if entry else "", tuple(hops), ends, answers_on, rival)

    def _is_others(self, service: str) -> bool:
        return bool(service) and service.partition(":")[0] != self.service.name

    def problems(self) -> list[str]:
        """What is wrong with the Service's objects in the kernel, or with all that packets go through; and what nobody read."""
        mine = (one for one in self.actual.defects if one.service in ("", *self.service.ports))
        told = (f"{one.object}: expected {one.expected}, found {one.actual}. See {one.evidence}" for one in mine)
        return [*told, *self.sight.readings.unread]


def _chains_of(hops: t.Iterable[Hop]) -> set[str]:
    """The names of the iptables chains that rules were seen in."""
    places = (one.place.partition(" ") for one in hops if one.rule)
    return {chain for table, _space, chain in places if table in TABLES}


def _order(path: Path) -> tuple[t.Any, ...]:
    source = SOURCES.index(path.source) if path.source in SOURCES else len(SOURCES)
    return path.service, source, path.entry.key


def _told(path: Path) -> dict[str, t.Any]:
    family, address, protocol, port = path.entry.key
    return {
        "address": address,
        "port": port,
        "protocol": protocol,
        "family": family,
        "service": path.service,
        "source": path.source,
        "answers_on": list(path.answers_on),
        "verdict": path.held.verdict if path.held else "none",
        "hops": [one.as_dict for one in path.hops],
        "destinations": [one._asdict() for one in path.ends],
        "masquerade": path.masquerade,
        "affinity": (path.held.affinity or 0) if path.held else 0,
        "sentence": sentence(path),
    }
