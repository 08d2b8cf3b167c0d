# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jumps, chains and rules of ipvs mode: what is there against what must be. Pure. Private to this collection.

Sources, in 1.34 to 1.37: C(createAndLinkKubeChain), C(iptablesJumpChain) and C(writeIptablesRules) in
C(pkg/proxy/ipvs/proxier.go). kube-proxy writes its chains anew at each sync, so that whatever else stands in them is drift.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_rules import (
    MASQUERADE_BIT,
    OUT_FILTER,
    Rule,
    RuleSettings,
    expected_rules,
    set_name,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Defect
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import (
    Location,
    Table,
    rule_parts,
    same_rule,
    target_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPVS, JUMPS, Jump

_FAMILIES = {4: "ipv4", 6: "ipv6"}
_TABLES = ("nat", "filter")
# After a rule without any match and one of these targets, nothing behind it is ever looked at.
_ENDS = ("ACCEPT", "DROP", "REJECT", "RETURN", "QUEUE", "NFQUEUE")
_MARK = re.compile(r"-j MARK --set-xmark (0x[0-9a-f]+)/\1")


@dataclass(frozen=True)
class Scene:
    """One family in one backend.

    :param members: of the sets, by their name in the kernel: those that kube-proxy means to be there
    :param missing_sets: names of sets that the kernel does not have; no rule can match them
    :param settings: None where the configuration is not known: what is there is then taken as meant
    """

    tables: t.Mapping[Location, Table]
    backend: str
    family: int
    members: t.Mapping[str, t.Collection[str]] = field(default_factory=dict)
    missing_sets: frozenset[str] = frozenset()
    settings: RuleSettings | None = None

    def table(self, name: str) -> Table | None:
        """A table; None when nobody read it."""
        return self.tables.get(Location(self.backend, _FAMILIES[self.family], name))

    def label(self, table: str, what: str) -> str:
        """An object for people."""
        return f"{table} {what} ({_FAMILIES[self.family]})"

    def evidence(self, table: str, chain: str = "") -> str:
        """The command that shows a table, or a chain and what leads to it."""
        six = "6" if self.family == 6 else ""
        save = f"ip{six}tables-{self.backend}-save -t {table}"
        return f"{save} | grep -w {chain}" if chain else save


def structure_defects(scene: Scene) -> list[Defect]:
    """All that is wrong, nat first. What only follows from something else that is told is not told again."""
    settings = scene.settings or _settings_seen(scene)
    chains = expected_rules(scene.family, scene.members, settings)
    found: list[Defect] = []
    for name in _TABLES:
        rules = {chain: rules for (table, chain), rules in chains.items() if table == name}
        found += _table_defects(scene, name, rules)
    return found


def _settings_seen(scene: Scene) -> RuleSettings:
    """The settings by which the rules that are there were written."""
    table = scene.table("nat") or Table()
    cluster_ip = f"--match-set {set_name('KUBE-CLUSTER-IP', scene.family)} "
    mark = mark_seen(table)
    for spec in table.chains.get("KUBE-SERVICES", ()):
        if target_of(spec) == "KUBE-MARK-MASQ" and cluster_ip in spec:
            outside = re.match(r"! -[si] \S+", spec)
            if outside:
                return RuleSettings(mark, outside={scene.family: outside.group(0)})
            return RuleSettings(mark, masquerade_all="dst,dst" in spec)
    return RuleSettings(mark)


def mark_seen(table: Table) -> int:
    """The mark that table nat gives to packets which get a new source; kube-proxy's usual one where it gives none."""
    marks = filter(None, map(_MARK.fullmatch, table.chains.get("KUBE-MARK-MASQ", ())))
    return next((int(one.group(1), 16) for one in marks), 1 << MASQUERADE_BIT)


def _table_defects(scene: Scene, name: str, chains: t.Mapping[str, t.Sequence[Rule]]) -> list[Defect]:
    table = scene.table(name)
    if table is None:
        what = scene.label(name, "table")
        return [Defect("table_unread", what, "its chains and rules", "nobody could read them", scene.evidence(name))]
    missing = frozenset(chain for chain in chains if chain not in table.chains)
    jumps = [jump for jump in JUMPS if jump.table == name and IPVS in jump.modes and not jump.until]
    if is_flushed(table, chains, jumps):
        what = scene.label(name, "table")
        return [
            Defect(
                "flushed", what, "kube-proxy's jumps and rules", "no jump, and no rule in a chain", scene.evidence(name)
            )
        ]
    found = [chain_missing(scene, name, chain) for chain in chains if chain in missing]
    for jump in jumps:
        if jump.chain not in missing:
            found += jump_defects(scene, jump, table.chains.get(jump.source, ()))
    for chain, rules in chains.items():
        if chain not in missing:
            told = missing | scene.missing_sets
            wanted = [rule for rule in rules if not told.intersection((target_of(rule.text), *rule.uses))]
            found += rule_defects(scene, (name, chain), wanted, table.chains[chain])
    return found


def is_flushed(table: Table, chains: t.Iterable[str], jumps: t.Iterable[Jump]) -> bool:
    """Whether of all these chains none has a rule, and there is no jump to any."""
    if any(table.chains.get(chain) for chain in chains):
        return False
    return not any(target_of(spec) == jump.chain for jump in jumps for spec in table.chains.get(jump.source, ()))


def chain_missing(scene: Scene, table: str, chain: str) -> Defect:
    """The defect that a chain is not there."""
    return Defect(
        "chain_missing",
        scene.label(table, chain),
        "the chain, and what leads to it",
        "there is no such chain",
        scene.evidence(table, chain),
    )


def jump_defects(scene: Scene, jump: Jump, rules: t.Sequence[str]) -> t.Iterator[Defect]:
    """What is wrong with a jump, by the rules of the chain that it should stand in."""
    what = scene.label(jump.table, f"{jump.source} -> {jump.chain}")
    evidence = scene.evidence(jump.table, jump.chain)
    exact = [spec for spec in rules if target_of(spec) == jump.chain and same_rule(spec, jump.spec)]
    if not exact:
        yield Defect("jump_missing", what, jump.spec, "no such rule", evidence)
        return
    # Another mode's jump to the same chain differs in being for new connections only: a leftover, and told as one.
    matches = _matches(jump.spec)
    more = [spec for spec in rules if target_of(spec) == jump.chain and _matches(spec) == matches]
    if len(more) > 1:
        yield Defect("jump_twice", what, "one jump", f"{len(more)} of them", evidence)
    before = next((spec for spec in rules[: rules.index(exact[0])] if _ends_all(spec)), None)
    if before is not None:
        yield Defect("jump_missing", what, jump.spec, f"it stands behind '{before}', which no packet passes", evidence)


def _matches(spec: str) -> list[list[str]]:
    """By what a rule matches, whatever its comment says and wherever it leads."""
    return [part for part in rule_parts(spec) if part and part[0] not in ("-j", "-g") and part[:2] != ["-m", "comment"]]


def _ends_all(spec: str) -> bool:
    return target_of(spec) in _ENDS and not _matches(spec)


def _canonical(spec: str) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, rule_parts(spec)))


def rule_defects(
    scene: Scene, place: tuple[str, str], wanted: t.Sequence[Rule], rules: t.Sequence[str]
) -> list[Defect]:
    """What is wrong in a chain of which every rule is known."""
    what, evidence = scene.label(*place), scene.evidence(*place)
    required = [number for number, rule in enumerate(wanted) if rule.required]
    if not rules and len(required) > 1:
        return [Defect("rule_missing", what, f"its {len(required)} rules", "the chain is empty", evidence)]
    numbers = {_canonical(text): number for number, rule in enumerate(wanted) for text in (rule.text, *rule.also)}
    order: list[int] = []
    surplus: list[str] = []
    seen: set[int] = set()
    for spec in rules:
        number = numbers.get(_canonical(spec))
        if number is None or number in seen:
            surplus.append(spec)
        else:
            seen.add(number)
            order.append(number)
    found = [
        Defect("rule_missing" if actual is None else "rule_wrong", what, expected, actual or "no such rule", evidence)
        for expected, actual in _paired([wanted[number].text for number in required if number not in seen], surplus)
    ]
    if place != OUT_FILTER and order != sorted(order):
        late = next(number for number, after in zip(order, order[1:]) if number > after)
        found.append(
            Defect("rule_wrong", what, "kube-proxy's order", f"'{wanted[late].text}' stands too early", evidence)
        )
    return found


def _paired(missing: t.Sequence[str], surplus: t.Sequence[str]) -> t.Iterator[tuple[str, str | None]]:
    """A missing rule beside the one that stands in its place, if there is one of the same target."""
    by_target: dict[str, list[str]] = {}
    for spec in surplus:
        by_target.setdefault(target_of(spec), []).append(spec)
    for text in missing:
        candidates = by_target.get(target_of(text))
        yield text, candidates.pop(0) if candidates else None
    for specs in by_target.values():
        for spec in specs:
            yield "no such rule", spec
