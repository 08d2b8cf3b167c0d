# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which chains and rules of iptables are put back, and where. Pure. Private to this collection.

Only what is missing entirely: a chain of that name, a rule of that meaning in its built-in chain. One transaction for each table,
which adds and does nothing else.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_sets import sets_in_rule
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import FOREIGN
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import chain_owner
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import (
    Location,
    Table,
    Tables,
    rule_parts,
    target_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_foreign import rule_owner
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import Foreign

_BUILTIN = frozenset(("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"))
_TABLES = frozenset(("filter", "nat", "mangle", "raw", "security"))


@dataclass
class TablePlan:
    """What is done to one table.

    :param chains: those that are made, each with all its rules
    :param placed: the rules that are added to built-in chains, in their order
    :param refused: what stays missing, and why
    """

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    placed: list[Foreign] = field(default_factory=list)
    refused: dict[Foreign, str] = field(default_factory=dict)


def missing_in(foreign: t.Iterable[Foreign], now: Tables) -> dict[Location, list[Foreign]]:
    """By table the foreign chains and rules that are not there now; a rule as often as it was there."""
    found: dict[Location, list[Foreign]] = {}
    there: dict[tuple[Location, str], frozenset[t.Any]] = {}
    for one in foreign:
        at = Location(one.backend, one.family, one.table)
        chains = now.get(at, Table()).chains
        key = (at, one.name)
        if one.kind == "iptables_rule" and key not in there:
            there[key] = frozenset(map(meaning, chains.get(one.name, ())))
        if one.name not in chains if one.kind == "iptables_chain" else meaning(one.rule) not in there[key]:
            found.setdefault(at, []).append(one)
    return found


def is_in_table(one: Foreign, table: Table | None) -> bool:
    """Whether a table has this chain or rule, and whether it is really nobody's that is known."""
    if table is None or one.table not in _TABLES or one.name not in table.chains:
        return False
    builtin = one.name in table.builtin and one.name in _BUILTIN
    if one.kind == "iptables_chain":
        return one.name not in table.builtin | _BUILTIN and chain_owner(one.table, one.name).owner == FOREIGN
    owner = rule_owner(one.table, table.chains, one.name, one.rule).owner
    return one.kind == "iptables_rule" and builtin and one.rule in table.chains[one.name] and owner == FOREIGN


def meaning(spec: str) -> tuple[tuple[str, ...], ...]:
    """Equal for texts of the same rule."""
    return tuple(tuple(part) for part in rule_parts(spec))


def plan_table(missing: t.Sequence[Foreign], then: Table, now: Table, sets: t.Container[str]) -> TablePlan:
    """Which of the missing ones of a table can be put back.

    :param sets: the ipsets that there are, or will be
    """
    plan = TablePlan({one.name: then.chains[one.name] for one in missing if one.kind == "iptables_chain"})
    chains = {one.name: one for one in missing if one.kind == "iptables_chain"}
    while True:
        bad = {
            name: why for name, rules in plan.chains.items() for why in [_hinders(rules, then, now, plan, sets)] if why
        }
        if not bad:
            break
        for name, why in bad.items():
            del plan.chains[name]
            plan.refused[chains[name]] = why
    for one in missing:
        if one.kind == "iptables_rule":
            why = _hinders((one.rule,), then, now, plan, sets)
            if why:
                plan.refused[one] = why
            else:
                plan.placed.append(one)
    return plan


def _hinders(  # what the rules need is looked for in all of these
    rules: t.Iterable[str], then: Table, now: Table, plan: TablePlan, sets: t.Container[str]
) -> str:
    """Why rules cannot be there: what they lead to or look into is not. Empty: they can."""
    for spec in rules:
        target = target_of(spec)
        if target in then.chains and target not in now.chains and target not in plan.chains:
            return f"its rule '{spec}' leads to chain {target}, which is not there"
        for name in sets_in_rule(spec) if "-set " in spec else ():
            if name not in sets:
                return f"its rule '{spec}' looks into ipset {name}, which is not there"
    return ""


def transaction_lines(plan: TablePlan, then: Table, now: Table) -> tuple[str, ...]:
    """What iptables-restore is given: chains are made, then filled, then rules placed."""
    lines = [f"-N {name}" for name in plan.chains]
    lines += [f"-A {name} {spec}" if spec else f"-A {name}" for name, rules in plan.chains.items() for spec in rules]
    for source in dict.fromkeys(one.name for one in plan.placed):
        wanted = {one.rule for one in plan.placed if one.name == source}
        lines += _placed(source, wanted, then.chains[source], now.chains.get(source, ()))
    return tuple(lines)


def _placed(source: str, wanted: t.Container[str], then: t.Sequence[str], now: t.Sequence[str]) -> t.Iterator[str]:
    """Lines that put rules where they were: behind the nearest rule before them that is there, else before the nearest after
    them; where neither is, at the end."""
    keys, meant = [meaning(spec) for spec in now], [meaning(spec) for spec in then]
    there = set(keys)
    behind = 0
    for index, spec in enumerate(then):
        if spec not in wanted:
            continue
        before = next((key for key in reversed(meant[:index]) if key in there), None)
        after = next((key for key in meant[index + 1 :] if key in there), None)
        place = len(keys) if after is None else _index(keys, after, 0)
        if before is not None:
            place = _index(keys, before, behind) + 1
        # At the end no number is needed, and none can be out of date.
        line = f"-A {source}" if place == len(keys) else f"-I {source} {place + 1}"
        keys.insert(place, meant[index])
        there.add(meant[index])
        behind = place
        yield f"{line} {spec}" if spec else line


def _index(keys: t.Sequence[t.Any], key: t.Any, start: int) -> int:
    """Where a rule is: the first of equal ones that is not before C(start), if there is one."""
    return keys.index(key, start) if key in keys[start:] else keys.index(key)
