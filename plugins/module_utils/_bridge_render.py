# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bridge as text for C(nft -f): a node's Services in tables of our own, in the layout of kube-proxy 1.37's nftables mode. Pure.
Private to this collection.

Source of the layout: C(setupNFTables) and C(syncProxyRules) in C(pkg/proxy/nftables/proxier.go) of 1.37. What reads kube-proxy's
tables therefore reads these. Two things are different: the name of the tables, and priorities, which come before kube-proxy's.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import typing as t
from functools import lru_cache

from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_kept import (
    MAPS,
    UNREWRITTEN,
    Kept,
    elements,
    places,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_stock import stock, words
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    DROP,
    FORWARD,
    LOCAL,
    MASQUERADE_ALL,
    MASQUERADE_NODE,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import BRIDGE_TABLE
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_expected import Bridge
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination, Entry

_LONGEST_NAME, _LONGEST_COMMENT = 240, 128


def render(bridge: Bridge, kept: Kept = frozenset()) -> str:
    """The whole bridge, in place of the one that is there: one transaction.

    :param kept: the connections that it keeps
    """
    return "".join(f"{line}\n" for family in bridge.families for line in _Table(bridge, family, kept).lines())


def render_kept(families: t.Sequence[int], kept: Kept) -> str:
    """The bridge that is there, with these connections kept instead of the ones that it keeps."""
    names = [(family, f"{words(family)[0]} {BRIDGE_TABLE}") for family in families]
    flushed = [f"flush map {where} {name}" for _family, where in names for name in MAPS]
    flushed += [f"flush set {where} {UNREWRITTEN}" for _family, where in names]
    added = [f"add element {where} {one}" for family, where in names for one in elements(kept, family)]
    return "".join(f"{line}\n" for line in (*flushed, *added))


def render_removal(families: t.Sequence[int]) -> str:
    """The bridge gone, whether it is there or not."""
    return "".join(
        f"add table {ip} {BRIDGE_TABLE}\ndelete table {ip} {BRIDGE_TABLE}\n" for ip, _addr in map(words, families)
    )


class _Table:
    """The table of one family."""

    def __init__(self, bridge: Bridge, family: int, kept: Kept) -> None:
        self.bridge, self.family, self.kept = bridge, family, kept
        self.ip, self.addr = words(family)
        self.mark = f"mark set mark or {bridge.settings.mark:#x}"
        self.pods = (bridge.settings.pods or {}).get(family, "")
        self.elements: dict[str, list[str]] = {}
        self.made: set[str] = set()
        self.places, self.rules, node_port_addresses = stock(bridge, family, self.mark)
        if node_port_addresses:
            self.elements["nodeport-ips"] = list(node_port_addresses)
        made, rules = places(self.ip, self.addr)
        self.places += made
        self.rules += rules

    def lines(self) -> t.Iterator[str]:
        """Everything of the table, each thing before what needs it."""
        for key, entry in self.bridge.plane.entries.items():
            if key[0] == self.family:
                self._add_entry(entry)
        where = f"{self.ip} {BRIDGE_TABLE}"
        yield f"add table {where}"
        yield f"delete table {where}"
        yield f'add table {where} {{ comment "Services while kube-proxy changes its mode" ; }}'
        for place in self.places:
            kind, _space, what = place.partition(" ")
            yield f"add {kind} {where} {what}"
        yield from (f"add rule {where} {rule}" for rule in self.rules)
        for name, found in self.elements.items():
            yield f"add element {where} {name} {{ {', '.join(dict.fromkeys(found))} }}"
        yield from (f"add element {where} {one}" for one in elements(self.kept, self.family))

    def _add_entry(self, entry: Entry) -> None:
        _family, address, protocol, port = entry.key
        base = _base(entry.service, protocol)
        place = f"{address} . {protocol} . {port}" if address else f"{protocol} . {port}"
        if entry.source == "cluster_ip":
            self.elements.setdefault("cluster-ips", []).append(address)
        if entry.source_ranges:
            self._add_firewall(f"firewall-{_named(base)}", entry)
            self.elements.setdefault("firewall-ips", []).append(f"{place} : goto firewall-{_named(base)}")
        served = bool(entry.destinations or entry.short_circuit)
        if served:
            target = self._inside(entry, base) if entry.source == "cluster_ip" else self._outside(entry, base)
            name = "service-ips" if address else "service-nodeports"
            self.elements.setdefault(name, []).append(f"{place} : goto {target}")
        if not entry.destinations:
            refusal = "drop" if entry.verdict == DROP or (served and entry.verdict == FORWARD) else "goto reject-chain"
            name = "no-endpoint-services" if address else "no-endpoint-nodeports"
            self.elements.setdefault(name, []).append(
                f'{place} comment "{entry.service[:_LONGEST_COMMENT]}" : {refusal}'
            )

    def _inside(self, entry: Entry, base: str) -> str:
        kind = "local" if entry.policy == LOCAL else "service"
        self._add_policy(f"{kind}-{_named(base)}", base, entry, entry.destinations)
        return f"{kind}-{_named(base)}"

    def _outside(self, entry: Entry, base: str) -> str:
        name = f"external-{_named(base)}"
        if name in self.made:
            return name
        self.made.add(name)
        self.places.append(f"chain {name}")
        if entry.short_circuit is not None:
            self._add_short_circuit(name, base, entry)
        elif entry.masquerade == MASQUERADE_ALL:
            self.rules.append(f"{name} {self.mark}")
        if entry.destinations:
            self.rules.append(f"{name} goto {self._inside(entry, base)}")
        return name

    def _add_short_circuit(self, name: str, base: str, entry: Entry) -> None:
        near = f"local-{_named(base)}" if entry.short_circuit == entry.destinations else f"service-{_named(base)}"
        self._add_policy(near, base, entry, entry.short_circuit or ())
        if self.pods:
            self.rules.append(f"{name} {self.pods} goto {near}")
        if entry.masquerade == MASQUERADE_NODE:
            self.rules.append(f"{name} fib saddr type local {self.mark}")
        self.rules.append(f"{name} fib saddr type local goto {near}")

    def _add_policy(self, name: str, base: str, entry: Entry, destinations: t.Sequence[Destination]) -> None:
        if name in self.made:
            return
        self.made.add(name)
        self.places.append(f"chain {name}")
        protocol = entry.key[2]
        unlike = set(entry.no_hairpin or ())
        hairpins = [f"{one} . {one} . {protocol} . {port}" for one, port in destinations if (one, port) not in unlike]
        if hairpins:
            self.elements.setdefault("hairpin-connections", []).extend(hairpins)
        if entry.affinity:
            targets = [self._add_endpoint(base, entry, one) for one in destinations]
            self.rules += [f"{name} {self.ip} saddr @affinity-{one} goto endpoint-{one}" for one in targets]
            shares = ", ".join(f"{number} : goto endpoint-{one}" for number, one in enumerate(targets))
            self.rules.append(f"{name} numgen random mod {len(targets)} vmap {{ {shares} }}")
        elif len(destinations) == 1:
            address, port = destinations[0]
            self.rules.append(f"{name} meta l4proto {protocol} dnat to {join_host_port(address, port)}")
        else:
            shares = ", ".join(f"{number} : {one} . {port}" for number, (one, port) in enumerate(destinations))
            self.rules.append(
                f"{name} meta l4proto {protocol} dnat {self.ip} addr . port to numgen random mod {len(destinations)} map {{ {shares} }}"
            )

    def _add_endpoint(self, base: str, entry: Entry, destination: Destination) -> str:
        address, port = destination
        name = _named(f"{base}__{address.replace(':', '.')}/{port}")
        if f"endpoint-{name}" not in self.made:
            self.made.add(f"endpoint-{name}")
            self.places.append(f"chain endpoint-{name}")
            kept = f"type {self.addr} ; flags dynamic,timeout ; timeout {entry.affinity}s ;"
            self.places.append(f"set affinity-{name} {{ {kept} }}")
            self.rules.append(f"endpoint-{name} update @affinity-{name} {{ {self.ip} saddr }}")
            self.rules.append(f"endpoint-{name} meta l4proto {entry.key[2]} dnat to {join_host_port(address, port)}")
        return name

    def _add_firewall(self, name: str, entry: Entry) -> None:
        if name not in self.made:
            self.made.add(name)
            self.places.append(f"chain {name}")
            ranges: t.Iterable[t.Any] = ipaddress.collapse_addresses(
                map(ipaddress.ip_network, entry.source_ranges or ())
            )
            self.rules.append(f"{name} {self.ip} saddr != {{ {', '.join(map(str, ranges))} }} drop")


@lru_cache(maxsize=1024)
def _named(text: str) -> str:
    """kube-proxy's C(hashAndTruncate): the hash tells apart what the names, cut to their length, do not."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()[:5]
    name = f"{base64.b32encode(digest).decode('ascii')}-{text}"
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _base(service: str, protocol: str) -> str:
    """kube-proxy's C(servicePortChainNameBase), the hash left out."""
    name, _colon, port = service.partition(":")
    return f"{name}/{protocol}/{port}"
