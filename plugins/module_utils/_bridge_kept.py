# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that IPVS carries, kept when it goes. Pure. Private to this collection.

When IPVS loses a connection it takes the flow out of connection tracking, too (C(ip_vs_conn_drop_conntrack) in
C(net/netfilter/ipvs/ip_vs_nfct.c)). Connection tracking takes up a flow in its middle (C(tcp_new) in
C(net/netfilter/nf_conntrack_proto_tcp.c), with C(nf_conntrack_tcp_loose), as it is meanwhile), and asks the rules of nat as for a new one. Maps
answer for flows that were there: where a packet goes, from the client or to one that is masqueraded, and what source it has then.
Whichever side speaks first is right. For those where nobody speaks connection tracking is told what it would have found.

IPVS goes in two steps: it takes no packets any more once it has no virtual server, and its connections end a moment later (C(ip_vs_unregister_hooks)
in C(net/netfilter/ipvs/ip_vs_core.c), C(ip_vs_enqueue_expire_nodest_conns) in C(include/net/ip_vs.h)). In between, a packet would come
to the other side as nobody has rewritten it, and be answered by a reset. It is dropped where everybody who rewrites packets has had it: TCP sends it again.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_codec import End, Flow

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import NftSet, NftTable

DESTINATIONS, CLIENTS, SOURCES = "kept-destinations", "kept-clients", "kept-sources"
MAPS = (DESTINATIONS, CLIENTS, SOURCES)
UNREWRITTEN = "kept-unrewritten"
"""The set of packets that have to be rewritten, as they are before."""
AHEAD = 1
"""How much smaller than the bridge's the priorities of their chains are."""

OWN_ADDRESS = "the client is this node, by an address that goes with kube-ipvs0"
NO_MIDDLE = "connection tracking does not take up an SCTP association in its middle"
_HOOKS = (("prerouting", -110), ("output", -110), ("postrouting", 90))
_LAST = 110
"""A priority behind all NAT, that of IPVS and of kube-proxy too."""


class Carried(t.NamedTuple):
    """A connection that IPVS carries.

    :param address: what the client asked
    :param seen: the client as the server sees it: another than C(client) where it is masqueraded
    """

    protocol: str
    client: End
    address: End
    server: End
    seen: End


Kept = t.FrozenSet[Carried]
Place = t.Tuple[str, End]
"""Protocol and address of a virtual server."""
_Packet = t.Tuple[End, End, str]
"""Source, destination and protocol. In L(SOURCES) the destination is the one that it has been given."""


def carried(flows: t.Iterable[Flow]) -> Kept:
    """What IPVS carries among flows: who answers is another than who is asked, and NAT of netfilter has no part in it."""
    return frozenset(
        Carried(one.protocol, one.source, one.destination, one.answers, one.returns)
        for one in flows
        if not one.rewritten and not one.is_over and one.answers != one.destination
    )


def lost(kept: Kept, now: Kept, served: t.Container[Place]) -> Kept:
    """Those kept that IPVS carries no more because it has gone, and not because they have ended.

    :param now: what it carries now
    :param served: what it serves now
    """
    return frozenset(one for one in kept - now if (one.protocol, one.address) not in served)


def why_ending(one: Carried, bound: t.Container[str]) -> str:
    """Why a connection ends with IPVS; empty where it can be kept.

    :param bound: the addresses of kube-ipvs0
    """
    if one.client.address in bound or one.seen.address in bound:
        return OWN_ADDRESS
    return NO_MIDDLE if one.protocol == "sctp" else ""


def places(ip: str, addr: str) -> tuple[list[str], list[str]]:
    """The chains and maps of one family, and their rules with the chain in front."""
    key = f"{ip} saddr . th sport . {ip} daddr . meta l4proto . th dport"
    kind = f"{addr} . inet_service . {addr} . inet_proto . inet_service : {addr} . inet_service"
    made = [f"chain kept-{hook} {{ type nat hook {hook} priority {priority - AHEAD} ; }}" for hook, priority in _HOOKS]
    made += [
        f"chain kept-last-{hook} {{ type filter hook {hook} priority {_LAST} ; }}" for hook in ("input", "postrouting")
    ]
    made += [f"map {name} {{ type {kind} ; }}" for name in MAPS]
    made.append(f"set {UNREWRITTEN} {{ type {kind.partition(' : ')[0]} ; }}")
    looked_up = {"prerouting": ("dnat", MAPS[:2]), "output": ("dnat", MAPS[:2]), "postrouting": ("snat", MAPS[2:])}
    rules = [
        f"kept-{hook} meta l4proto {{ tcp, udp }} {what} {ip} addr . port to {key} map @{name}"
        for hook, (what, names) in looked_up.items()
        for name in names
    ]
    return made, [*rules, *(f"kept-last-{hook} {key} @{UNREWRITTEN} drop" for hook in ("input", "postrouting"))]


def elements(kept: Kept, family: int) -> t.Iterator[str]:
    """What one family's maps and set hold as C(nft -f) takes it, behind the table's name."""
    of_family = frozenset(one for one in kept if (":" in one.client.address) == (family == 6))
    for name, found in zip(MAPS, _maps(of_family)):
        yield from _element(name, [f"{_key(*key)} : {to.address} . {to.port}" for key, to in sorted(found.items())])
    before = {(one.client, one.address, one.protocol) for one in of_family}
    before |= {(one.server, one.client, one.protocol) for one in of_family}
    yield from _element(UNREWRITTEN, [_key(*key) for key in sorted(before)])


def _key(source: End, destination: End, protocol: str) -> str:
    return f"{source.address} . {source.port} . {destination.address} . {protocol} . {destination.port}"


def _element(name: str, texts: t.Sequence[str]) -> t.Iterator[str]:
    if texts:
        yield f"{name} {{ {', '.join(texts)} }}"


def read_kept(tables: t.Iterable[NftTable]) -> Kept:
    """What the maps of these tables keep."""
    found: set[Carried] = set()
    for table in tables:
        destinations, _clients, sources = (_read_map(table.maps.get(name)) for name in MAPS)
        for (client, address, protocol), server in destinations.items():
            found.add(Carried(protocol, client, address, server, sources.get((client, server, protocol), client)))
    return frozenset(found)


def without_kept(table: NftTable) -> NftTable:
    """The table as it would be if it kept nothing, which is what kube-proxy would have written."""
    chains = {name: one for name, one in table.chains.items() if not name.startswith("kept-")}
    maps = {name: one for name, one in table.maps.items() if name not in MAPS}
    sets = {name: one for name, one in table.sets.items() if name != UNREWRITTEN}
    return replace(table, chains=chains, maps=maps, sets=sets)


def _maps(kept: Kept) -> tuple[dict[_Packet, End], ...]:
    """What is in each of L(MAPS)."""
    destinations, clients, sources = {}, {}, {}
    for protocol, client, address, server, seen in kept:
        destinations[client, address, protocol] = server
        sources[server, client, protocol] = address
        if seen != client:
            sources[client, server, protocol] = seen
            clients[server, seen, protocol] = client
    return destinations, clients, sources


def _read_map(found: NftSet | None) -> dict[_Packet, End]:
    pairs = ((key["concat"], value["concat"]) for key, value in (found.elements if found else ()))
    return {(End(*key[:2]), End(key[2], key[4]), key[3]): End(*value) for key, value in pairs}
