# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a packet through kube-proxy's nftables table. Pure. Private to this collection.

Source: C(syncProxyRules) and C(setupNFTables) in C(pkg/proxy/nftables/proxier.go), 1.31 to 1.37. The chains are followed as
they are: a rule of no known shape is shown with its text.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import key_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_elements import (
    Element,
    elements_of,
    hairpins_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_endpoints import (
    goto_of,
    pair_of,
    plain_dnat,
    shares_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import MARK_CHAIN
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_rules import (
    Rule,
    expression,
    parse_rules,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_model import (
    ALL,
    DROPS,
    LEADS,
    NODE,
    PODS,
    REWRITES,
    Hop,
    missing,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_nft_rules import (
    condition_of,
    does_of,
    listed,
    whose_of,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination, Key
    from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import NftTable

_MAPS = (
    # Base chains lead to a chain, and its rule to a map.
    ("firewall-check", ("firewall-ips",)),
    ("services", ("service-ips", "service-nodeports")),
    ("service-endpoints-check", ("no-endpoint-services",)),
    ("nodeport-endpoints-check", ("no-endpoint-nodeports",)),
)


def nftables_path(table: NftTable | None, key: Key) -> list[Hop]:
    """All hops for packets to one key. Without a table there is one hop: that there is none."""
    if table is None:
        return [missing(0, f"table {'ip6' if key[0] == 6 else 'ip'} kube-proxy", "there is no such table")]
    walk = _Walk(table, key)
    for chain, maps in _MAPS:
        walk.through(chain, maps)
    return [*walk.hops, *walk.masquerading()]


class _Walk:
    """One packet's way, while it is followed."""

    def __init__(self, table: NftTable, key: Key) -> None:
        self._table = table
        self._key = key
        self._ip = table.family
        self._seen: set[str] = set()
        self._ends: set[Destination] = set()
        self.hops: list[Hop] = []

    def rules(self, chain: str) -> list[Rule]:
        """The rules of a chain that do something; none where there is no such chain."""
        found = self._table.chains.get(chain)
        return parse_rules(found.rules) if found else []

    def hooks(self, chain: str, needed: t.Sequence[str] = ()) -> list[Hop]:
        """The rules of base chains that lead to a chain.

        :param needed: base chains that must have one
        """
        found = [
            self._hop(0, name, rule)
            for name, one in self._table.chains.items()
            for rule in (self.rules(name) if one.hook else ())
            if rule.only.target == chain
        ]
        there = {one.place for one in found}
        lacking = [f"chain {one}" for one in needed if f"chain {one}" not in there]
        return [*found, *(missing(0, one, f"no jump to {chain}") for one in lacking)]

    def through(self, chain: str, maps: t.Sequence[str]) -> None:
        """From the base chains through a map, and on to where it leads."""
        elements = {name: self._element(name) for name in maps}
        served = chain == "services"
        if not served and not any(elements.values()):
            return
        self.hops += self.hooks(chain, ("nat-prerouting", "nat-output") if served else ())
        for rule in self.rules(chain):
            name = next((one for one in maps if rule.text.endswith(f"vmap @{one}")), "")
            element = elements.get(name)
            if element:
                self.hops.append(self._hop(1, chain, rule)._replace(does=LEADS, target=f"map {name}"))
                self._take(element, 2)
            elif not name and self._is_met(rule):
                self.hops.append(self._hop(1, chain, rule))
        if served and not any(elements.values()):
            self.hops.append(missing(1, f"map {maps[0 if self._key[1] else 1]}", f"no element {key_text(self._key)}"))

    def _element(self, name: str) -> Element | None:
        if name not in self._table.maps:
            return None
        return next((one for one in elements_of(self._table, name) if one.key == self._key), None)

    def _is_met(self, rule: Rule) -> bool:
        """Whether a rule by address is for this key."""
        address = self._key[1]
        for match in rule.matches:
            to_set = re.fullmatch(rf"{self._ip} daddr @(\S+)", match)
            members = self._table.sets.get(to_set.group(1)) if to_set else None
            if members is not None and address not in map(expression, members.elements):
                return False
            to_one = re.fullmatch(rf"{self._ip} daddr ([0-9a-f.:]+)", match)
            if to_one and to_one.group(1) != address:
                return False
            port = re.fullmatch(r"(tcp|udp|sctp) dport (\d+)", match)
            if port and port.groups() != (self._key[2], str(self._key[3])):
                return False
        return True

    def _take(self, element: Element, depth: int) -> None:
        action = f"{element.verdict} {element.target}".rstrip()
        does = DROPS if element.verdict == "drop" else LEADS
        target = f"chain {element.target}" if does == LEADS else ""
        self.hops.append(Hop(depth, f"map {element.map_name}", f"{element.text} : {action}", does, target))
        if does == LEADS:
            self._follow(element.target, depth + 1, ALL)

    def _follow(self, chain: str, depth: int, clients: str) -> None:
        if chain in self._seen:
            return
        self._seen.add(chain)
        rules = self.rules(chain)
        if not rules:
            self.hops.append(missing(depth, f"chain {chain}", "no rule"))
        apart = False
        for rule in filter(self._is_met, rules):
            whose = whose_of(chain, rule, clients, apart)
            apart = apart or whose in (PODS, NODE)
            shared = self._shared(depth, chain, rule)
            self.hops += [one._replace(clients=whose) for one in shared or [self._hop(depth, chain, rule, whose)]]
            ends = [one.target[6:] for one in shared] if shared else [rule.only.target]
            for target in ends:
                # Where a client seen before is sent, is shown with the shares.
                if target and target != MARK_CHAIN and "saddr @affinity-" not in rule.text:
                    self._follow(target, depth + 1, whose)

    def _shared(self, depth: int, chain: str, rule: Rule) -> list[Hop]:
        """One hop for each element of a map of random numbers."""
        body = rule.only.body if isinstance(rule.only.body, dict) else {}
        mapped = body.get("addr") if rule.only.kind == "dnat" else None
        shares = shares_of(mapped.get("map") if isinstance(mapped, dict) else body)
        if shares is None or rule.only.kind not in ("dnat", "vmap"):
            return []
        found = []
        for number, value in enumerate(shares.values):
            target = goto_of(value)
            end = self._end_of(target) if target else pair_of(value)
            hop = self._hop(depth, chain, rule, share=1 / len(shares.values))
            text = f"{number} : {'goto ' + target if target else expression(value)}"
            rule_text = f"{rule.text.partition(' { ')[0]} {{ {text} }}"
            does = LEADS if target else REWRITES
            to = f"chain {target}" if target else ""
            found.append(hop._replace(rule=rule_text, does=does, target=to, destination=end))
            self._ends |= {end} if end else set()
        return found

    def _end_of(self, chain: str) -> Destination | None:
        return next(filter(None, map(plain_dnat, self.rules(chain))), None)

    def _hop(self, depth: int, chain: str, rule: Rule, clients: str = ALL, share: float | None = None) -> Hop:
        end = plain_dnat(rule)
        if end:
            self._ends.add(end)
            share = 1.0 if share is None and not chain.startswith("endpoint-") else share
        does = does_of(rule)
        target = rule.only.target if does == LEADS else ""
        return Hop(
            depth,
            f"chain {chain}",
            listed(rule.text),
            does,
            f"chain {target}" if target else "",
            condition_of(rule, self._ip),
            share,
            destination=end,
            clients=clients,
        )

    def masquerading(self) -> list[Hop]:
        """The rules that give a new source, where something was rewritten; the one for hairpin traffic where the set has one of
        the destinations."""
        if not self._ends:
            return []
        looped = {(address, port) for address, protocol, port in hairpins_of(self._table) if protocol == self._key[2]}
        rules = [one for one in self.rules("masquerading") if "@hairpin" not in one.text or looped & self._ends]
        return [
            *self.hooks("masquerading", ("nat-postrouting",)),
            *(self._hop(1, "masquerading", one) for one in rules),
        ]
