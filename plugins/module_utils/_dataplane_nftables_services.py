# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chains of Services in nftables mode that spread packets over endpoints. Pure. Private to this collection.

Source: C(syncProxyRules), C(writeServiceToEndpointRules) (until 1.35), C(writeServiceToEndpointDNATs) and
C(writeServiceToEndpointJumps) (from 1.36 on) in C(pkg/proxy/nftables/proxier.go), 1.31 to 1.37.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    MASQUERADE_ALL,
    MASQUERADE_OUTSIDE,
    Destination,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_endpoints import (
    Endpoint,
    Problem,
    goto_of,
    late_rules,
    pair_of,
    plain_dnat,
    protocol_of,
    read_endpoint,
    rules_of,
    shares_of,
    strange_rule,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import Layout
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_rules import Rule


class Mark(t.NamedTuple):
    """A rule that has packets to a ClusterIP masqueraded.

    :param port: its match for the port (C(tcp dport 80)), until 1.33; empty without one
    :param whose: L(MASQUERADE_ALL) or L(MASQUERADE_OUTSIDE), and C(told_by) the match that tells pods
    """

    address: str
    port: str
    whose: str
    told_by: str


class Policy(t.NamedTuple):
    """A chain C(service-...) or C(local-...).

    :param marked: until 1.35
    :param looped: until 1.35: destinations that are masqueraded to themselves
    :param protocols: those that its rules are for
    :param strange: whether some rule is of no known shape
    """

    destinations: tuple[Destination, ...] = ()
    affinity: int = 0
    marked: tuple[Mark, ...] = ()
    looped: frozenset[Destination] = frozenset()
    protocols: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    strange: bool = False


_NOBODY: frozenset[Destination] = frozenset()


class PolicyChains:
    """All of them, each read once."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.policies: dict[str, Policy] = {}
        self.endpoints: dict[str, Endpoint] = {}

    def policy(self, name: str) -> Policy:
        """A chain C(service-...) or C(local-...)."""
        if name not in self.policies:
            self.policies[name] = _PolicyWalk(self, name).result()
        return self.policies[name]

    def endpoint(self, name: str) -> Endpoint:
        """A chain C(endpoint-...)."""
        if name not in self.endpoints:
            self.endpoints[name] = read_endpoint(self.layout, name)
        return self.endpoints[name]


class _PolicyWalk:
    """One chain, rule by rule."""

    def __init__(self, chains: PolicyChains, name: str) -> None:
        self.chains, self.layout, self.name = chains, chains.layout, name
        self.rules, self.problems = rules_of(self.layout, name)
        self.found: list[Destination] = []
        self.targets: list[str] = []
        self.sticky: dict[str, str] = {}
        self.marked: list[Mark] = []
        self.protocols: set[str] = set()
        self.ended = self.strange = False

    def result(self) -> Policy:
        late: list[Rule] = []
        for rule in self.rules:
            if self.ended:
                late.append(rule)
                self._sticks(rule)
            elif not (self._rewrites(rule) or self._sticks(rule) or self._marks(rule)):
                self.problems.append(strange_rule(self.name, rule))
                self.strange = True
        self.problems += late_rules(self.name, late)
        if self.rules and not self.ended and not self.strange:
            self.problems.append(Problem(self.name, "a rule that leads to endpoints", "no such rule", True))
        looped = self._take_endpoints()
        return Policy(
            tuple(sorted(set(self.found))),
            self._affinity(),
            tuple(self.marked),
            looped,
            frozenset(self.protocols),
            tuple(self.problems),
            self.strange,
        )

    def _rewrites(self, rule: Rule) -> bool:
        """A rule that every packet ends in."""
        plain, protocol, action = plain_dnat(rule), protocol_of(rule), rule.only
        if action.kind == "vmap" and not rule.matches:
            shares = shares_of(action.body)
            self.targets += [goto_of(one) for one in shares.values] if shares else [""]
            understood = "" not in self.targets
        elif plain is not None:
            shares, understood = None, bool(protocol)
            self.found.append(plain)
        elif action.kind == "dnat" and isinstance(action.body, dict) and isinstance(action.body.get("addr"), dict):
            shares = shares_of(action.body["addr"].get("map"))
            pairs = [pair_of(one) for one in shares.values] if shares else [None]
            self.found += [one for one in pairs if one is not None]
            understood = bool(protocol) and None not in pairs
        else:
            return False
        if shares and shares.wrong:
            self.problems.append(Problem(self.name, *shares.wrong))
        self.protocols |= {protocol} - {""}
        self.ended = True
        return understood

    def _sticks(self, rule: Rule) -> bool:
        prefix = f"{self.layout.ip} saddr @"
        if rule.only.kind != "goto" or len(rule.matches) != 1 or not rule.matches[0].startswith(prefix):
            return False
        self.sticky[rule.only.target] = rule.matches[0][len(prefix) :]
        return True

    def _marks(self, rule: Rule) -> bool:
        prefix = f"{self.layout.ip} daddr "
        if not (self.layout.marks_by_jump and self.layout.marks(rule) and rule.matches):
            return False
        ports = [one for one in rule.matches[1:] if " dport " in one]
        pods = [one for one in rule.matches[1:] if " dport " not in one]
        odd = len(ports) > 1 or len(pods) > 1 or any(" != " not in one for one in pods)
        if odd or not rule.matches[0].startswith(prefix):
            return False
        whose = MASQUERADE_OUTSIDE if pods else MASQUERADE_ALL
        told_by = "".join(pods).replace(" != ", " ")
        self.marked.append(Mark(rule.matches[0][len(prefix) :], "".join(ports), whose, told_by))
        return True

    def _take_endpoints(self) -> frozenset[Destination]:
        looped: set[Destination] = set()
        for target in dict.fromkeys((*self.targets, *self.sticky)):
            one = self.chains.endpoint(target)
            self.problems += one.problems
            self.strange |= one.strange
            if one.destination is not None:
                self.found.append(one.destination)
                self.protocols.add(one.protocol)
                if one.marks:
                    looped.add(one.destination)
        return frozenset(looped) if looped else _NOBODY

    def _affinity(self) -> int:
        """Its seconds. A client is kept where three things agree: a set, the rule that looks into it, the one that notes."""
        noted = {target: self.chains.endpoint(target).affinity for target in self.targets}
        if not self.sticky and not any(noted.values()):
            return 0
        timeouts: set[int] = set()
        for target in dict.fromkeys((*self.targets, *self.sticky)):
            name = f"affinity-{target.partition('-')[2]}"
            seen = self.layout.table.sets.get(name)
            broken = self.chains.endpoint(target).problems
            if not broken and (seen is None or not self.sticky.get(target) == noted.get(target) == name):
                expected = f"clients of {target} kept by the set {name}: looked up here, noted there"
                self.problems.append(Problem(self.name, expected, "not so"))
            if seen is not None:
                timeouts.add(seen.timeout)
        if len(timeouts) > 1:
            shown = ", ".join(f"{one} s" for one in sorted(timeouts))
            self.problems.append(Problem(self.name, "affinity sets of one timeout", shown))
        return min(timeouts, default=0)
