# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of iptables as hops: what they are for and what they do, in words. Pure. Private to this collection.

Sources: iptables-extensions(8); C(writeIptablesRules) in C(pkg/proxy/ipvs/proxier.go), C(syncProxyRules) in
C(pkg/proxy/iptables/proxier.go), 1.31 to 1.37.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_rules import (
    Rule,
    endpoint,
    parse_rule,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import BUILTIN_CHAINS
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_model import (
    ACCEPTS,
    DROPS,
    LEADS,
    MARKS,
    MASQUERADES,
    NOTHING,
    REJECTS,
    RETURNS,
    REWRITES,
    UNMARKS,
    Hop,
    missing,
)

FAMILIES = {4: "ipv4", 6: "ipv6"}
_DOES = {
    "KUBE-MARK-MASQ": MARKS,
    "DNAT": REWRITES,
    "MASQUERADE": MASQUERADES,
    "REJECT": REJECTS,
    "DROP": DROPS,
    "RETURN": RETURNS,
    "ACCEPT": ACCEPTS,
    "MARK": UNMARKS,
    "": NOTHING,
}


class Chains:
    """The chains of one family in one backend, each taken apart once."""

    def __init__(self, tables: t.Mapping[Location, Table], backend: str, family: int) -> None:
        self._tables = tables
        self._backend = backend
        self._rules: dict[tuple[str, str], list[Rule]] = {}
        self.family = family

    def _chains(self, table: str) -> t.Mapping[str, t.Sequence[str]]:
        found = self._tables.get(Location(self._backend, FAMILIES[self.family], table))
        return found.chains if found else {}

    def rules(self, table: str, chain: str) -> t.Sequence[Rule]:
        """The rules of a chain, taken apart; none where there is no such chain."""
        if (table, chain) not in self._rules:
            self._rules[table, chain] = list(map(parse_rule, self._chains(table).get(chain, ())))
        return self._rules[table, chain]

    def hop(self, depth: int, table: str, chain: str, rule: Rule) -> Hop:
        """A rule as a hop."""
        does = _DOES.get(rule.target, LEADS)
        return Hop(
            depth,
            f"{table} {chain}",
            rule.text,
            does,
            f"{table} {rule.target}" if does == LEADS else "",
            condition_of(rule),
            probability=rule.probability,
            destination=endpoint(rule.to) if rule.to else None,
        )

    def every_rule(self, table: str, chain: str, depth: int) -> list[Hop]:
        """All rules of a chain."""
        return [self.hop(depth, table, chain, rule) for rule in self.rules(table, chain)]

    def hooks(self, table: str, chain: str, needed: t.Sequence[str] = ()) -> list[Hop]:
        """The rules of built-in chains that lead to a chain.

        :param needed: built-in chains that must have one
        """
        found: list[Hop] = []
        for builtin in BUILTIN_CHAINS:
            to_it = [one for one in self.rules(table, builtin) if one.target == chain]
            found += [self.hop(0, table, builtin, one) for one in to_it[:1]]
            if builtin in needed and not to_it:
                found.append(missing(0, f"{table} {builtin}", f"no jump to {chain}"))
        return found or [missing(0, f"table {table}", f"no jump to {chain}")]


def condition_of(rule: Rule) -> str:
    """Which packets a rule is for, as far as that is not the address and port which are traced."""
    found = []
    if rule.source:
        found.append(_not("from", rule.source))
    if rule.interface:
        found.append(_not("from device", rule.interface))
    if rule.source_type:
        found.append({"LOCAL": "from the node itself", "! LOCAL": "not from the node itself"}.get(rule.source_type, ""))
    if rule.destination_type == "LOCAL":
        found.append("to an address of the node")
    if rule.recent == "--rcheck":
        found.append(f"client seen there in the last {rule.seconds} s")
    if rule.other:
        found.append(_other(rule.other))
    return " and ".join(filter(None, found))


def _other(words: str) -> str:
    """What kube-proxy's iptables mode has no match for."""
    if words.startswith("-m mark ! --mark"):
        return "not marked"
    if words.startswith("-m mark --mark"):
        return "marked"
    if words.startswith("-m conntrack --ctstate NEW"):
        return "new connections"
    left = " ".join(word for word in words.split() if word not in ("--random-fully", "--set-xmark", "--xor-mark"))
    # What a target takes is nobody's condition.
    return left if left.startswith(("-m ", "!")) else ""


def _not(word: str, value: str) -> str:
    return f"not {word} {value[2:]}" if value.startswith("! ") else f"{word} {value}"
