# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entries of one nftables table of kube-proxy, from the elements of its maps. Pure. Private to this collection.

Source: C(syncProxyRules) in C(pkg/proxy/nftables/proxier.go), 1.31 to 1.37. Only a traffic policy Local drops, and it
drops only where no endpoint is on the node; whoever has no endpoint anywhere is refused.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    CLUSTER,
    DROP,
    FORWARD,
    LOCAL,
    MASQUERADE_ALL,
    MASQUERADE_NONE,
    MASQUERADE_OUTSIDE,
    Defect,
    Destination,
    Entry,
    Key,
    key_text,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_elements import (
    Element,
    elements_of,
    hairpins_of,
    service_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_endpoints import Problem
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_external import (
    External,
    read_external,
    read_firewall,
    told_by,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_services import (
    Policy,
    PolicyChains,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import Layout

_NO_POLICY = Policy()


class Entries:
    """All entries of a table, and what is wrong with the chains and elements that they come from."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.entries: dict[Key, Entry] = {}
        self.told: set[Key] = set()
        """Keys of entries of which a defect says all."""
        self._chains = PolicyChains(layout)
        self._externals: dict[str, External] = {}
        self._firewalls: dict[str, tuple[tuple[str, ...], list[Problem]]] = {}
        self._problems: dict[Problem, None] = {}
        self._broken: list[Defect] = []
        self._looped = hairpins_of(layout.table)
        self._refused = self._by_key("no-endpoint-services", "no-endpoint-nodeports")
        self._guarded = self._by_key("firewall-ips")
        served = self._by_key("service-ips", "service-nodeports")
        for element in served.values():
            self._resolve(element.target)
        self.pods = told_by(layout, self._externals.values(), self._chains.policies.values())
        """How pods are told from others; empty: they are not, None: nothing says it."""
        for key, element in served.items():
            self.entries[key] = self._served(key, element)
        for key, element in self._refused.items():
            self._take_refused(key, element)
        for key, element in self._guarded.items():
            if key not in self.entries:
                self._break(element, "an element of another map, too", "only this one")

    def _by_key(self, *names: str) -> dict[Key, Element]:
        found: dict[Key, Element] = {}
        for name in names:
            for one in elements_of(self.layout.table, name):
                if one.key is None:
                    self._break(one, "address, protocol and port", "something else")
                else:
                    found[one.key] = one
        return found

    def _break(self, element: Element, expected: str, actual: str, explains: bool = False) -> None:
        if explains and element.key:
            self.told.add(element.key)
        what = key_text(element.key) if element.key else element.text
        name = f"{self.layout.ip} {self.layout.table.name} {element.map_name}: {what}"
        service = element.comment or service_of(element.target)
        self._broken.append(Defect("element_broken", name, expected, actual, element.evidence(self.layout.ip), service))

    def _resolve(self, target: str) -> None:
        if target.startswith("external-") and target not in self._externals:
            found = self._externals[target] = read_external(self.layout, target)
            for one in {found.final, found.node, found.pods} - {""}:
                self._chains.policy(one)
        elif target.startswith(("service-", "local-")):
            self._chains.policy(target)

    def _served(self, key: Key, element: Element) -> Entry:
        if element.target in self._externals:
            entry = self._from_outside(key, element.target)
        elif element.target in self._chains.policies:
            entry = self._inside(key, element.target)
        else:
            self._break(element, "goto a chain of a Service", element.action, explains=True)
            entry = Entry(key, DROP if element.verdict == "drop" else FORWARD, masquerade=None)
        service, evidence = service_of(element.target), element.evidence(self.layout.ip)
        return entry._replace(source_ranges=self._ranges(key), service=service, evidence=evidence)

    def _inside(self, key: Key, target: str) -> Entry:
        """Straight to a chain that leads to endpoints: a ClusterIP."""
        policy = self._checked(key, target)
        masquerade = self.cluster_masquerade
        if self.layout.marks_by_jump:
            masquerade = MASQUERADE_NONE
            for mark in policy.marked:
                if mark.address == key[1] and mark.port in ("", f"{key[2]} dport {key[3]}"):
                    masquerade = mark.whose
                if mark.whose == MASQUERADE_OUTSIDE and mark.told_by != self.pods:
                    self._tell(target, f"pods told by '{self.pods}'", f"by '{mark.told_by}'")
        return Entry(
            key,
            FORWARD,
            policy.destinations,
            affinity=policy.affinity,
            policy=_policy_name(target),
            masquerade=masquerade,
            no_hairpin=self._no_hairpin(key, masquerade, policy),
            source="cluster_ip",
        )

    def _from_outside(self, key: Key, target: str) -> Entry:
        found = self._externals[target]
        self._take(key, found.problems)
        if found.is_local and found.node and found.told_by != (self.pods or ""):
            self._tell(target, f"pods told by '{self.pods}'" if self.pods else "no rule for pods", found.told_by)
        everyone = self._checked(key, found.final) if found.final else _NO_POLICY
        short = found.node or found.pods
        near = self._checked(key, short) if short else _NO_POLICY
        refused = self._refused.get(key)
        return Entry(
            key,
            FORWARD if found.final or refused is None else refused.refusal or FORWARD,
            everyone.destinations,
            short_circuit=near.destinations if short else None,
            affinity=everyone.affinity or near.affinity,
            policy=LOCAL if found.is_local else CLUSTER,
            masquerade=found.masquerade,
            no_hairpin=self._no_hairpin(key, found.masquerade, everyone, near),
            source="" if key[1] else "node_port",
        )

    @property
    def cluster_masquerade(self) -> str | None:
        """Whose packets to ClusterIPs get a new source, from 1.36 on; None where the rule for it is a defect of its own."""
        seen = self.layout.cluster_masquerade
        return seen if seen == self.layout.wanted_masquerade(self.pods) else None

    def _checked(self, key: Key, target: str) -> Policy:
        found = self._chains.policy(target)
        self._take(key, found.problems)
        for protocol in found.protocols - {key[2]}:
            self._tell(target, f"rules for {key[2]}", f"for {protocol}")
        return found

    def _take(self, key: Key, problems: t.Iterable[Problem]) -> None:
        for problem in problems:
            self._problems[problem] = None
            if problem.explains:
                self.told.add(key)

    def _tell(self, chain: str, expected: str, actual: str) -> None:
        self._problems[Problem(chain, expected, actual or "no such rule")] = None

    def _no_hairpin(self, key: Key, masquerade: str | None, *policies: Policy) -> tuple[Destination, ...]:
        if masquerade == MASQUERADE_ALL:
            return ()
        found: set[Destination] = set()
        for one in policies:
            if self.layout.marks_by_jump:
                found.update(set(one.destinations) - one.looped)
            else:
                found.update(it for it in one.destinations if (it[0], key[2], it[1]) not in self._looped)
        return tuple(sorted(found))

    def _ranges(self, key: Key) -> tuple[str, ...]:
        element = self._guarded.get(key)
        if element is None:
            return ()
        if not element.target.startswith("firewall-"):
            self._break(element, "goto a firewall chain", element.action, explains=True)
            return ()
        if element.target not in self._firewalls:
            self._firewalls[element.target] = read_firewall(self.layout, element.target)
        networks, problems = self._firewalls[element.target]
        self._take(key, problems)
        return networks

    def _take_refused(self, key: Key, element: Element) -> None:
        verdict = element.refusal
        served = self.entries.get(key)
        if verdict is None:
            self._break(element, "goto reject-chain, or drop", element.action, explains=True)
        elif served is not None and served.verdict == FORWARD:
            self._break(element, "only addresses without endpoints", "it has endpoints")
        elif served is None:
            self.entries[key] = Entry(
                key,
                verdict,
                affinity=None,
                policy=LOCAL if verdict == DROP else None,
                masquerade=None,
                source_ranges=self._ranges(key),
                source="" if key[1] else "node_port",
                service=element.comment,
                evidence=element.evidence(self.layout.ip),
            )

    def strange(self) -> list[str]:
        """Why the chains of Services are of no known layout: most of them have rules of no known shape."""
        strange = [problem for one in self._chains.policies.values() if one.strange for problem in one.problems]
        chains = {name for name, one in self._chains.policies.items() if one.strange}
        if not chains or len(chains) * 2 <= len(self._chains.policies):
            return []
        return [f"chain {one.chain} has {one.actual}" for one in dict.fromkeys(strange)]

    def defects(self) -> list[Defect]:
        """What is wrong with chains, then with elements."""
        return [*(self._defect(one) for one in self._problems), *self._broken]

    def _defect(self, one: Problem) -> Defect:
        what, evidence = self.layout.text(one.chain), self.layout.evidence(one.chain)
        return Defect("element_broken", what, one.expected, one.actual, evidence, service_of(one.chain))


def _policy_name(chain: str) -> str:
    return LOCAL if chain.startswith("local-") else CLUSTER
