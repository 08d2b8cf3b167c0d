# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a packet through the chains of kube-proxy's iptables mode. Pure. Private to this collection.

Source: C(syncProxyRules) in C(pkg/proxy/iptables/proxier.go), 1.31 to 1.37. Every rule on the way is shown, whoever wrote it;
those for other addresses are not.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_balance import MARK_MASQ
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_filter import (
    EXTERNAL,
    FIREWALL,
    INTERNAL,
    key_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_rules import (
    RECENT,
    SOCKET,
    Rule,
    endpoint,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import key_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_model import (
    ALL,
    LEADS,
    NODE,
    OUTSIDE,
    PODS,
    Hop,
    missing,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_rules import Chains

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination, Key

_SERVICES, _NODE_PORTS, _POSTROUTING = "KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING"
_PER_SERVICE = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-", "KUBE-XLB-")


def iptables_path(chains: Chains, key: Key) -> list[Hop]:
    """All hops for packets to one key: table nat, what table filter refuses, and the new source."""
    walk = _Walk(chains, key)
    walk.services()
    for chain in (FIREWALL, INTERNAL, EXTERNAL):
        walk.filtered(chain)
    if not any(one.destination for one in walk.hops):
        return walk.hops
    return [
        *walk.hops,
        *chains.hooks("nat", _POSTROUTING, ("POSTROUTING",)),
        *chains.every_rule("nat", _POSTROUTING, 1),
    ]


class _Walk:
    """One packet's way, while it is followed."""

    def __init__(self, chains: Chains, key: Key) -> None:
        self._chains = chains
        self._key = key
        self._seen: set[str] = set()
        self.hops: list[Hop] = []

    def services(self) -> None:
        """From the built-in chains of table nat to the endpoints."""
        self.hops += self._chains.hooks("nat", _SERVICES, ("PREROUTING", "OUTPUT"))
        address = self._key[1]
        rules = [one for one in self._chains.rules("nat", _SERVICES) if self._is_on_the_way(one)]
        # Of several rules for one address the first one takes every packet.
        for rule in rules[:1] if address else rules:
            self.hops.append(self._chains.hop(1, "nat", _SERVICES, rule))
            self._follow(rule.target, 2, ALL)
        if not rules:
            self.hops.append(missing(1, f"nat {_SERVICES}", f"no rule for {key_text(self._key)}"))

    def _is_on_the_way(self, rule: Rule) -> bool:
        if not self._key[1]:
            return rule.target == _NODE_PORTS
        return rule.has == SOCKET and key_of(rule, self._key[0]) == self._key and bool(rule.target)

    def filtered(self, chain: str) -> None:
        """What table filter refuses. Packets that were rewritten do not match there any more."""
        rules = (one for one in self._chains.rules("filter", chain) if key_of(one, self._key[0]) == self._key)
        found = [self._chains.hop(1, "filter", chain, one) for one in rules if one.target]
        if found:
            self.hops += [*self._chains.hooks("filter", chain), *found]

    def _follow(self, chain: str, depth: int, clients: str) -> None:
        if chain in self._seen:
            return
        self._seen.add(chain)
        rules = list(self._chains.rules("nat", chain))
        if chain == _NODE_PORTS:
            rules = [one for one in rules if key_of(one, self._key[0]) == self._key]
        if not rules:
            what = f"no rule for port {self._key[3]}" if chain == _NODE_PORTS else "no rule"
            self.hops.append(missing(depth, f"nat {chain}", what))
        left, apart = 1.0, False
        for rule in rules:
            if rule.target == MARK_MASQ and rule.has & SOCKET == SOCKET and key_of(rule, self._key[0]) != self._key:
                continue
            whose = _whose(chain, rule, clients, apart)
            apart = apart or whose in (PODS, NODE)
            hop = self._chains.hop(depth, "nat", chain, rule)._replace(clients=whose)
            if rule.target.startswith("KUBE-SEP-") and not rule.has & RECENT:
                share = left * _probability(rule)
                left -= share
                hop = hop._replace(share=share)
            if rule.target.startswith("KUBE-SEP-"):
                hop = hop._replace(destination=self._end_of(rule.target))
            self.hops.append(hop)
            if hop.does == LEADS and not rule.has & RECENT and rule.target.startswith(_PER_SERVICE):
                self._follow(rule.target, depth + 1, whose)

    def _end_of(self, chain: str) -> Destination | None:
        found = (endpoint(one.to) for one in self._chains.rules("nat", chain) if one.target == "DNAT")
        return next(found, None)


def _probability(rule: Rule) -> float:
    try:
        return min(1.0, max(0.0, float(rule.probability))) if rule.probability else 1.0
    except ValueError:
        return 1.0


def _whose(chain: str, rule: Rule, clients: str, apart: bool) -> str:
    """KUBE-EXT tells pods and the node itself from all others."""
    if not chain.startswith("KUBE-EXT-") or rule.target == MARK_MASQ:
        return clients
    if rule.source_type == "LOCAL":
        return NODE
    if rule.source or rule.interface:
        return PODS
    return OUTSIDE if apart else clients
