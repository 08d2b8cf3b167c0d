# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a packet through kube-proxy's ipvs mode: chains and ipsets, the device, the virtual server, its destinations. Pure.
Private to this collection.

Sources: C(writeIptablesRules) in C(pkg/proxy/ipvs/proxier.go), 1.31 to 1.37; C(ip_vs_ops4) in the kernel's
C(net/netfilter/ipvs/ip_vs_core.c): IPVS comes after the chain INPUT of table filter, before POSTROUTING; C(ip_vs_rr.c) and
C(ip_vs_wrr.c) for the shares.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs import key_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import key_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    RealServer,
    VirtualServer,
    address_text,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import server_lines
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPVS_DEVICE
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_model import (
    ACCEPTS,
    DROPS,
    HOLDS,
    LEADS,
    REJECTS,
    RETURNS,
    SCHEDULES,
    Hop,
    missing,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_rules import Chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import parse_ip

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_rules import Rule
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Key
    from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings

_ENDS = (ACCEPTS, DROPS, REJECTS, RETURNS)
_SET = re.compile(r"(! )?--match-set (\S+) (\S+)")
_DECIDED = re.compile(r"-m set --match-set \S+ \S+|-m ipvs .*")
_WORDS = {"-m physdev ! --physdev-is-in": "not from a port of a bridge"}
# Chains do not lead deeper; who made a loop of them should see an end.
_DEEPEST = 5


Members = t.Mapping[str, t.AbstractSet[str]]


def members_of(readings: Readings) -> Members:
    """The members of all ipsets, as C(ipset save) prints them."""
    return {one.name: frozenset(map(str, one.members or ())) for one in readings.ipsets}


def ipvs_path(chains: Chains, readings: Readings, members: Members, key: Key, source: str) -> list[Hop]:
    """All hops for packets to one key.

    :param members: what L(members_of) said
    :param source: a NodePort's address is the node's own, all others are those of kube-ipvs0, or of another device
    """
    server = next((one for one in readings.virtual_servers if key_of(one) == key), None)
    walk = _Walk(chains, members, key, server)
    return [
        *chains.hooks("nat", "KUBE-SERVICES", ("PREROUTING", "OUTPUT")),
        *walk.chain("nat", "KUBE-SERVICES", 1),
        *walk.hooked("filter", "KUBE-IPVS-OUT-FILTER"),
        _device(readings, key, source),
        *walk.hooked("filter", "KUBE-PROXY-FIREWALL"),
        *walk.hooked("filter", "KUBE-IPVS-FILTER"),
        *(_server(key, server) if server else [missing(0, "IPVS", f"no virtual server for {key_text(key)}")]),
        *chains.hooks("nat", "KUBE-POSTROUTING", ("POSTROUTING",)),
        *walk.chain("nat", "KUBE-POSTROUTING", 1),
    ]


class _Walk:
    """The rules that a packet to one key meets."""

    def __init__(self, chains: Chains, members: Members, key: Key, server: VirtualServer | None) -> None:
        self._chains = chains
        self._members = members
        _family, address, protocol, port = key
        self._address, self._port = address, port
        self._socket = f"{address},{protocol}:{port}"
        self._protocol = protocol
        reals = server.real_servers if server else ()
        self._loops = [
            f"{address_text(one.address)},{protocol}:{one.port},{address_text(one.address)}" for one in reals
        ]

    def hooked(self, table: str, chain: str) -> list[Hop]:
        """The rules of a chain that are met, behind those that lead to it; nothing where none is."""
        found = self.chain(table, chain, 1)
        return [*self._chains.hooks(table, chain), *found] if found else []

    def chain(self, table: str, chain: str, depth: int) -> list[Hop]:
        """Down to the rule that no packet passes."""
        found: list[Hop] = []
        for rule in self._chains.rules(table, chain):
            who = self._who(rule)
            if who is None or (rule.protocol and rule.protocol != self._protocol):
                continue
            hop = self._chains.hop(depth, table, chain, rule)
            hop = hop._replace(condition=" and ".join(filter(None, (_plain(hop.condition), who))))
            below = self.chain(table, rule.target, depth + 1) if hop.does == LEADS and depth < _DEEPEST else []
            if hop.does != LEADS or below:
                found += [hop, *below]
            if hop.does in _ENDS and not hop.condition:
                break
        return found

    def _who(self, rule: Rule) -> str | None:
        """For whose packets a rule is by its ipset, in words; None where it is not for this key."""
        found = _SET.search(rule.other)
        if found is None:
            vaddr = re.search(r"--vaddr (\S+) --vport (\d+)", rule.other)
            return "" if vaddr is None or vaddr.groups() == (self._address, str(self._port)) else None
        negated, name, match = found.groups()
        members = self._members.get(name, frozenset())
        if negated:
            return None
        if match == "dst,dst,src":
            return self._sources(members)
        if match == "src,dst":
            return "from the address itself" if self._socket in members else None
        return "" if members & {self._socket, str(self._port), self._address} else None

    def _sources(self, members: t.Collection[str]) -> str | None:
        if any(one in members for one in self._loops):
            return "from an endpoint to itself"
        head = f"{self._socket},"
        sources = sorted(one[len(head) :] for one in members if one.startswith(head))
        return f"from {', '.join(sources)}" if sources else None


def _plain(condition: str) -> str:
    """Without what the key has decided already."""
    left = [_DECIDED.sub("", one).strip() for one in condition.split(" and ")]
    return " and ".join(_WORDS.get(one, one) for one in left if one and one != "to an address of the node")


def _device(readings: Readings, key: Key, source: str) -> Hop:
    """IPVS only sees packets that are for the node itself."""
    address = key[1]
    bound = {str(parse_ip(one)) for one in readings.device.addresses} if readings.device else set()
    if address in bound:
        return Hop(0, f"device {IPVS_DEVICE}", f"{address} dev {IPVS_DEVICE}", HOLDS)
    if address in readings.node_addresses or source == "node_port":
        return Hop(0, "address of the node", address, HOLDS)
    return missing(0, f"device {IPVS_DEVICE}", f"it does not hold {address}, so that packets do not come to IPVS")


def _server(key: Key, server: VirtualServer) -> list[Hop]:
    place = f"virtual server {key_text(key)}"
    whole = sum(one.weight for one in server.real_servers)
    ready = sum(1 for one in server.real_servers if one.weight)
    first, *lines = server_lines(server)
    head = Hop(0, "IPVS", first, LEADS, place)
    reals = [
        Hop(
            1,
            place,
            line,
            SCHEDULES,
            share=_share(server.scheduler, one, ready, whole),
            weight=one.weight,
            connections=one.connections,
            destination=(address_text(one.address), one.port),
        )
        for one, line in zip(sorted(server.real_servers), lines)
    ]
    return [head, *(reals or [missing(1, place, "no real server")])]


def _share(scheduler: str, real: RealServer, ready: int, whole: int) -> float | None:
    """Of round robin; others look at connections or at the client."""
    if not real.weight:
        return 0.0
    if scheduler == "rr":
        return 1 / ready
    return real.weight / whole if scheduler == "wrr" else None
