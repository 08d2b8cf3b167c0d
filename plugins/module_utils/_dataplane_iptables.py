# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Service dataplane of kube-proxy's iptables mode, from what lies in the kernel. Pure. Private to this collection.

Source: C(syncProxyRules) in C(pkg/proxy/iptables/proxier.go), 1.34 to 1.37. Packets are followed: from nat KUBE-SERVICES through
the chains of a Service port to DNAT, and where that leads nowhere to what table filter does with them. A missing jump from a
built-in chain is one defect, and what hangs on it is read as if it were there. Chains to which nothing leads are not looked at:
kube-proxy leaves some for a while in clusters of more than 1,000 endpoints, where it also writes fewer comments.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected_policy import (
    ALL_LOCAL,
    LOCAL_EXCEPT_LOOPBACK,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_balance import Asked, Lead, Nat
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_filter import (
    Filtered,
    key_of,
    read_filter,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_rules import (
    DESTINATION,
    DESTINATION_TYPE,
    PORT,
    PROTOCOL,
    SOCKET,
    Rule,
    host,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_structure import (
    guard_defects,
    structure,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_walk import Walk
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_structure import Scene
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    FORWARD,
    MASQUERADE_ALL,
    MASQUERADE_NONE,
    Dataplane,
    Defect,
    Entry,
    Key,
    Part,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPTABLES

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_rules import RuleSettings
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Told
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table

_SERVICES, _NODE_PORTS = "KUBE-SERVICES", "KUBE-NODEPORTS"
_LOOPBACK = {4: "! 127.0.0.0/8", 6: "! ::1/128"}
_SOURCES = {"cluster IP": "cluster_ip", "external IP": "external_ip", "loadbalancer IP": "load_balancer_ip"}


def read_iptables(
    tables: t.Mapping[Location, Table],
    backend: str,
    families: t.Sequence[int],
    settings: RuleSettings | None = None,
    expected: Dataplane | None = None,
) -> Dataplane:
    """The dataplane that lies in one backend.

    :param families: those that kube-proxy serves
    :param settings: of the configuration (C(_dataplane_ipvs_rules.rule_settings)); None: the mark and the match for pods that
        are there are taken as meant
    :param expected: what the API asks for, where it is known: of what is wrong in a chain only because a destination is
        missing, nothing is told then
    """
    entries: dict[Key, Entry] = {}
    parts: dict[Part, dict[str, str]] = {}
    defects: list[Defect] = []
    told: set[Told] = set()
    for family in families:
        one = _Family(Scene(tables, backend, family, settings=settings), expected)
        one.read()
        entries.update(one.entries)
        parts.update(one.parts)
        defects += one.defects
        told |= one.told
    return Dataplane(IPTABLES, entries, parts, tuple(dict.fromkeys(defects)), told=frozenset(told))


class _Family:
    """The reading of one family."""

    def __init__(self, scene: Scene, expected: Dataplane | None) -> None:
        self._scene = scene
        self._expected = expected
        table = scene.table("nat")
        self._nat = Nat(scene, table.chains if table else {})
        self._walk = Walk(self._nat)
        self._filtered: Filtered | None = None
        self._flaws: list[tuple[Lead, Key]] = []
        self.entries: dict[Key, Entry] = {}
        self.parts: dict[Part, dict[str, str]] = {}
        self.defects: list[Defect] = []
        self.told: set[Told] = set()

    def read(self) -> None:
        serves = None if self._expected is None else any(map(self._needs_nat, self._expected.entries.values()))
        found = structure(self._scene, serves)
        self.defects = self._nat.defects
        self.defects += found.defects
        if "filter" in found.nothing_in:
            self._tell_refused()
        else:
            self._filtered = read_filter(self._nat)
            self.parts[Part("health_check_ports", self._scene.family)] = self._filtered.open_ports
        if "nat" in found.nothing_in:
            self.told.add(self._scene.family)
            return
        self._read_services()
        self._read_node_ports()
        self._read_refused()
        self._check_detectors()
        self._check_shares()

    def _needs_nat(self, entry: Entry) -> bool:
        return entry.key[0] == self._scene.family and bool(entry.destinations or entry.short_circuit)

    def _tell_refused(self) -> None:
        """Table filter has nothing: so are refused and dropped packets explained, and closed ports."""
        family = self._scene.family
        if self._expected is None:
            self.told.add(family)
            return
        self.told.add(Part("health_check_ports", family))
        entries = self._expected.entries.items()
        self.told.update(
            key for key, one in entries if key[0] == family and (one.verdict != FORWARD or one.source_ranges)
        )

    def _read_services(self) -> None:
        members: dict[str, str] = {}
        late: list[Rule] = []
        for rule in self._nat.rules(_SERVICES):
            member = _node_port_address(rule, self._scene.family) if rule.target == _NODE_PORTS else ""
            key = key_of(rule, self._scene.family) if rule.has == SOCKET else None
            if member:
                members[member] = ""
            elif key is None or not self._take(key, rule):
                self._nat.foreign(_SERVICES, rule, rule.named)
            elif members:
                late.append(rule)
        if late:
            actual = f"{len(late)} stand behind it, such as '{late[0].text}'"
            self._nat.tell("rule_wrong", _SERVICES, (f"the jump to {_NODE_PORTS} is the last rule", actual))
        self.parts[Part("node_port_addresses", self._scene.family)] = members
        loopback = ALL_LOCAL in members or any(one.startswith("127.") for one in members)
        if self._scene.family == 4 and loopback and self._filtered:
            self.defects += guard_defects(self._scene)

    def _read_node_ports(self) -> None:
        for rule in self._nat.rules(_NODE_PORTS):
            if rule.has == SOCKET and rule.destination == "127.0.0.0/8":
                continue  # Only counts (--nfacct-name) what the rule behind it would take as well.
            key = key_of(rule, self._scene.family) if rule.has == PROTOCOL | PORT else None
            if key is None or not self._take(key, rule):
                self._nat.foreign(_NODE_PORTS, rule, rule.named)

    def _take(self, key: Key, rule: Rule) -> bool:
        """Make the entry of a rule; of several for one key the first counts. False for a rule that leads elsewhere."""
        service = rule.named
        lead = self._walk.follow(rule.target, Asked(service, key[2]))
        if lead is None:
            return False
        if key in self.entries:
            return True
        self.entries[key] = self._entry(key, rule, service, lead)
        if lead.broken:
            self.told.add(key)
        elif lead.flaws:
            self._flaws.append((lead, key))
        if lead.source_ranges and self._filtered and key not in self._filtered.firewalled:
            expected = f"a rule that drops what {rule.target} does not let through"
            self._nat.tell("rule_missing", "KUBE-PROXY-FIREWALL", (expected, "no such rule"), service, "filter")
        return True

    def _entry(self, key: Key, rule: Rule, service: str, lead: Lead) -> Entry:
        masquerade = lead.masquerade.get(key[1:]) or lead.masquerade.get(None, MASQUERADE_NONE)
        refused = self._filtered.refused.get(key) if self._filtered and not (lead.destinations or lead.broken) else None
        grep = " ".join(f"-e {chain}" for chain in lead.chains)
        return Entry(
            key,
            refused.verdict if refused else FORWARD,
            lead.destinations,
            lead.short_circuit,
            lead.affinity,
            lead.policy,
            masquerade,
            () if masquerade == MASQUERADE_ALL else lead.no_hairpin,
            lead.source_ranges,
            source=_source(rule) if key[1] else "node_port",
            service=service,
            evidence=f"{self._scene.evidence('nat')} | grep {grep}",
        )

    def _read_refused(self) -> None:
        for key, entry in self._filtered.refused.items() if self._filtered else ():
            self.entries.setdefault(key, entry)

    def _check_detectors(self) -> None:
        """Pods must be told from others alike everywhere."""
        settings, seen = self._scene.settings, self._nat.detectors
        if settings is not None:
            wanted = settings.outside.get(self._scene.family, "").replace("! ", "")
        else:
            wanted = max(seen, key=lambda match: seen[match][1], default="")
        for match, (chain, count) in seen.items():
            if match != wanted:
                expected = f"pods are told by {wanted}" if wanted else "pods are not told from others"
                more = f", and in {count - 1} more chains" if count > 1 else ""
                self._nat.tell("rule_wrong", chain, (expected, f"by {match}{more}"))
        for chain, service in self._walk.undetecting if wanted else ():
            expected = f"{wanted} -j KUBE-SVC-... (packets of pods)"
            self._nat.tell("rule_missing", chain, (expected, "no such rule"), service)

    def _check_shares(self) -> None:
        for lead, key in self._flaws:
            wanted = self._expected.entries.get(key) if self._expected else None
            apart = wanted.short_circuit if wanted and lead.short_circuit is not None else lead.short_circuit
            if wanted is None or (wanted.destinations, apart) == (lead.destinations, lead.short_circuit):
                self.defects += lead.flaws


def _node_port_address(rule: Rule, family: int) -> str:
    """Which addresses of the node a jump to KUBE-NODEPORTS is for; empty when kube-proxy makes no such jump."""
    if rule.has == DESTINATION:
        return host(rule.destination)
    if rule.destination_type != "LOCAL":
        return ""
    if rule.has == DESTINATION_TYPE:
        return ALL_LOCAL
    excepted = rule.has == DESTINATION_TYPE | DESTINATION and rule.destination == _LOOPBACK[family]
    return LOCAL_EXCEPT_LOOPBACK if excepted else ""


def _source(rule: Rule) -> str:
    return _SOURCES.get(rule.comment.partition(" ")[2], "")
