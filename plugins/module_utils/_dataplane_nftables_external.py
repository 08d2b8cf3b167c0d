# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chains of nftables mode for packets from outside: where they go, and who may connect. Pure. Private to this collection.

Source: C(externalTrafficChain) and C(fwChain) in C(syncProxyRules) of C(pkg/proxy/nftables/proxier.go), 1.31 to 1.37.
"""

from __future__ import annotations

import ipaddress
import typing as t
from collections import Counter

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    MASQUERADE_ALL,
    MASQUERADE_NODE,
    MASQUERADE_NONE,
    MASQUERADE_OUTSIDE,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_endpoints import (
    Problem,
    late_rules,
    rules_of,
    strange_rule,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import Layout
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_rules import Rule
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_services import Policy

_FROM_NODE = "fib saddr type local"


class External(t.NamedTuple):
    """A chain C(external-...): the chains that it leads to, each empty where it leads to none.

    :param final: for everybody who is not told apart
    :param node: for the node itself
    :param pods: for pods, and C(told_by) the match that tells them
    """

    final: str = ""
    node: str = ""
    pods: str = ""
    told_by: str = ""
    masquerade: str = MASQUERADE_NONE
    problems: tuple[Problem, ...] = ()

    @property
    def is_local(self) -> bool:
        """External traffic policy Local."""
        return bool(self.node or self.pods or self.final.startswith("local-"))


def read_external(layout: Layout, name: str) -> External:
    """The chain of that name."""
    rules, problems = rules_of(layout, name)
    late: list[Rule] = []
    found = External()
    for rule in rules:
        step = _step(layout, rule, found)
        if found.final:
            late.append(rule)
        elif step is None:
            problems.append(strange_rule(name, rule))
        else:
            found = step
    if rules and found.is_local and not found.node:
        problems.append(Problem(name, "the node's own packets sent to all endpoints", "no such rule"))
    elif found.pods and found.pods != found.node:
        problems.append(Problem(name, f"pods and node sent to {found.node}", f"pods to {found.pods}"))
    elif rules and not found.final and not found.is_local and not problems:
        problems.append(Problem(name, "a rule that leads to endpoints", "no such rule", True))
    return found._replace(problems=(*problems, *late_rules(name, late)))


def _step(layout: Layout, rule: Rule, found: External) -> External | None:
    """With what a rule adds; None for one of no known shape."""
    match = rule.matches[0] if len(rule.matches) == 1 else ""
    if layout.marks(rule):
        return _marking(rule, match, found)
    target = rule.only.target if rule.only.kind == "goto" else ""
    if not target.startswith(("service-", "local-")):
        return None
    if not rule.matches:
        return found._replace(final=target)
    if match == _FROM_NODE:
        return found._replace(node=target)
    if match.startswith((f"{layout.ip} saddr ", "meta iifname ")) and " != " not in match:
        return found._replace(pods=target, told_by=match)
    return None


def _marking(rule: Rule, match: str, found: External) -> External | None:
    """A packet that went elsewhere before is marked no more."""
    if not rule.matches and not found.node:
        return found._replace(masquerade=MASQUERADE_ALL)
    return found._replace(masquerade=MASQUERADE_NODE) if match == _FROM_NODE and not found.node else None


def read_firewall(layout: Layout, name: str) -> tuple[tuple[str, ...], list[Problem]]:
    """Who may connect by a chain C(firewall-...), as networks with their length; nobody named: everybody may."""
    rules, problems = rules_of(layout, name)
    prefix = f"{layout.ip} saddr != "
    found: tuple[str, ...] = ()
    for rule in rules:
        match = rule.matches[0] if len(rule.matches) == 1 else ""
        networks = _networks(match[len(prefix) :]) if match.startswith(prefix) and rule.only.kind == "drop" else None
        if networks is None or found:
            problems.append(strange_rule(name, rule))
        else:
            found = networks
    return found, problems


def _networks(text: str) -> tuple[str, ...] | None:
    networks: list[t.Any] = []
    try:
        for one in text.strip("{} ").split(", "):
            first, dash, last = one.partition("-")
            if dash:
                ends: list[t.Any] = [ipaddress.ip_address(first), ipaddress.ip_address(last)]
                networks += ipaddress.summarize_address_range(*ends)
            else:
                networks.append(ipaddress.ip_network(one))
        joined: t.Iterable[t.Any] = ipaddress.collapse_addresses(networks)
        return tuple(sorted(map(str, joined)))
    except (ValueError, TypeError):
        return None


def told_by(layout: Layout, externals: t.Iterable[External], policies: t.Iterable[Policy]) -> str | None:
    """How pods are told from others: as the configuration says where some rule does, else as most rules do. Empty: they are
    not told, None: nothing says it."""
    told = [layout.cluster_pods] if layout.cluster_pods else []
    told += [one.told_by for one in externals if one.is_local]
    told += [mark.told_by for one in policies for mark in one.marked if mark.whose == MASQUERADE_OUTSIDE]
    if not told or layout.pods in told:
        return layout.pods
    return Counter(told).most_common(1)[0][0]
