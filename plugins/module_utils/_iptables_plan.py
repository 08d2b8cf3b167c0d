# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done to kube-proxy's chains. Pure; private to this collection.

Removing follows the kernel's rule that a chain can only be deleted when no rule leads to it: jumps first, then all
chains are emptied (which ends the references among themselves), then they are deleted; one transaction per table.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import (
    Location,
    Table,
    Tables,
    Transaction,
    same_rule,
    target_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import shape_of

RuleAt = t.Tuple[str, str]
"""A rule: the chain it stands in, and its text."""


@dataclass(frozen=True)
class Removal:
    """What goes from a table, and what stays of what was asked for (by name: the reason).

    C(foreign): rules of others that lead to what was asked for; they are in C(rules) too when they go.
    """

    chains: tuple[str, ...]
    rules: tuple[RuleAt, ...]
    kept: t.Mapping[str, str]
    foreign: tuple[RuleAt, ...] = ()


class ForeignRules(KubeProxyError):
    """Somebody else's rules lead to chains that were to go."""


def plan_chains(wanted: WantedChains, tables: Tables) -> Plan[Tables, Transaction]:
    """Plan every table on its own: that is what can be changed in one transaction.

    :raises ForeignRules: with C(on_foreign=fail), when a rule of somebody else leads to what is to go
    """
    one = _plan_present if wanted.present else _plan_absent
    if wanted.on_foreign == "fail" and not wanted.present:
        _refuse_foreign(wanted, tables)
    after: dict[Location, Table] = {}
    operations: list[Transaction] = []
    actions: list[str] = []
    for location, table in tables.items():
        after[location], lines, sentences = one(wanted, location, table)
        if lines:
            operations.append(Transaction(location, tuple(lines)))
            actions.extend(sentences)
    return Plan(tables, after, tuple(operations), tuple(actions))


def _refuse_foreign(wanted: WantedChains, tables: Tables) -> None:
    found = [
        f"-A {chain} {spec} in {location}"
        for location, table in tables.items()
        for chain, spec in assess_removal(wanted, location, table).foreign
    ]
    if found:
        raise ForeignRules(
            "Rules of somebody else lead to chains that were to be removed, and nothing was touched",
            seen="; ".join(found[:10]) + (f"; and {len(found) - 10} more" if found[10:] else ""),
            remedy="Remove them yourself, or set on_foreign=keep to leave those chains, on_foreign=remove_jump to remove these rules too.",
            details={"foreign": found},
        )


def assess_removal(wanted: WantedChains, location: Location, table: Table) -> Removal:
    """Which chains of a table can go, with which rules outside of them, and which have to stay, and why."""
    inside = wanted.chosen(location.table, table)
    going: list[RuleAt] = []
    held: list[RuleAt] = []
    foreign: list[RuleAt] = []
    for chain, rules in table.chains.items():
        if chain in inside:
            continue
        others = held if wanted.runs(location.table, chain) else foreign
        if wanted.takes_rules_of(location.table, chain) or _taken_over(wanted, location, chain, rules):
            others = going
        for spec in rules:
            if wanted.takes_jump(location.table, chain, spec):
                going.append((chain, spec))
            elif target_of(spec) in inside:
                others.append((chain, spec))
    (going if wanted.on_foreign == "remove_jump" else held).extend(foreign)
    reasons = [(target_of(spec), _held_reason(wanted, location, chain, spec)) for chain, spec in held]
    kept, in_effect = _what_stays(reasons, location, table, inside)
    return Removal(
        chains=tuple(name for name in table.chains if name in inside and name not in kept),
        rules=tuple((chain, spec) for chain, spec in going if target_of(spec) not in in_effect),
        kept=kept,
        foreign=tuple(foreign),
    )


def _is_shared(wanted: WantedChains, location: Location, chain: str) -> bool:
    shape = shape_of(location.table, chain)
    return wanted.runs(location.table, chain) and shape is not None and not set(wanted.modes).isdisjoint(shape.modes)


def _taken_over(wanted: WantedChains, location: Location, chain: str, rules: tuple[str, ...]) -> bool:
    """Whether the running mode has written this shared chain: then what still leads to the leaving mode is left over."""
    if not _is_shared(wanted, location, chain):
        return False
    shapes = (shape_of(location.table, target_of(spec)) for spec in rules)
    return any(shape is not None and shape.modes == (wanted.running_mode,) for shape in shapes)


def _held_reason(wanted: WantedChains, location: Location, chain: str, spec: str) -> str:
    rule = f"-A {chain} {spec}"
    if _is_shared(wanted, location, chain):
        return f"rule {rule}: kube-proxy has not yet written {chain} in {wanted.running_mode} mode"
    return f"rule {rule}"


def _what_stays(
    held: list[tuple[str, str]], location: Location, table: Table, selected: frozenset[str]
) -> tuple[dict[str, str], set[str]]:
    """Close over what the held chains (name and reason) need. The second value: chains whose jumps have to stay as well."""
    kept: dict[str, str] = {}
    in_effect: set[str] = set()
    waiting = list(reversed(held))
    while waiting:
        name, reason = waiting.pop()
        if name in kept or name not in selected:
            continue
        kept[name] = reason
        shape = shape_of(location.table, name)
        effects = shape.needs if shape else ()
        in_effect.update(effects)
        because = f"{name}, which stays, needs it"
        waiting.extend((target, because) for target in (*map(target_of, table.chains[name]), *effects))
    return kept, in_effect


def _plan_absent(wanted: WantedChains, location: Location, table: Table) -> tuple[Table, list[str], list[str]]:
    removal = assess_removal(wanted, location, table)
    gone = set(removal.chains)
    out = set(removal.rules)
    after = {
        name: tuple(spec for spec in rules if (name, spec) not in out)
        for name, rules in table.chains.items()
        if name not in gone
    }
    lines = [
        *(f"-D {chain} {spec}" for chain, spec in removal.rules),
        *(f"-F {name}" for name in removal.chains),
        *(f"-X {name}" for name in removal.chains),
    ]
    return Table(after, table.builtin), lines, _sentences(removal, location)


def _sentences(removal: Removal, location: Location) -> list[str]:
    foreign = frozenset(removal.foreign)
    sentences = [
        f"Remove the foreign rule -A {chain} {spec} from {location}"
        if (chain, spec) in foreign
        else f"Remove from {chain} the rule to {target_of(spec)} in {location}"
        for chain, spec in removal.rules
    ]
    services: list[str] = []
    for name in removal.chains:
        shape = shape_of(location.table, name)
        if shape is not None and shape.per_service:
            services.append(name)
        else:
            sentences.append(f"Remove chain {name} from {location}")
    if len(services) == 1:
        sentences.append(f"Remove chain {services[0]} from {location}")
    elif services:
        kinds = ", ".join(sorted({name.rsplit("-", 1)[0] for name in services}))
        sentences.append(f"Remove {len(services)} chains of single Services ({kinds}) from {location}")
    return sentences


def _plan_present(wanted: WantedChains, location: Location, table: Table) -> tuple[Table, list[str], list[str]]:
    chains = dict(table.chains)
    builtin = set(table.builtin)
    lines: list[str] = []
    sentences: list[str] = []
    for name in wanted.to_create(location.table):
        if name not in chains:
            chains[name] = ()
            # Not C(:NAME), which would empty a chain that kube-proxy has made in the meantime; -N fails on it.
            lines.append(f"-N {name}")
            sentences.append(f"Add chain {name} to {location}")
        for jump in wanted.jumps(location.table, name):
            rules = chains.get(jump.source, ())
            copies = [spec for spec in rules if same_rule(jump.spec, spec)]
            if not copies:
                chains[jump.source] = (jump.spec, *rules)
                builtin.add(jump.source)
                lines.append(f"-I {jump.source} {jump.spec}")
                sentences.append(f"Add to {jump.source} the jump to {name} in {location}")
            elif len(copies) > 1:
                chains[jump.source] = _without(rules, copies[:-1])
                lines.extend(f"-D {jump.source} {spec}" for spec in copies[:-1])
                sentences.append(f"Remove from {jump.source} {len(copies) - 1} surplus jump(s) to {name} in {location}")
    return Table(chains, frozenset(builtin)), lines, sentences


def _without(rules: tuple[str, ...], surplus: list[str]) -> tuple[str, ...]:
    """The rules after C(-D) of each surplus text: the kernel removes the first rule that equals it."""
    left = list(rules)
    for spec in surplus:
        left.remove(spec)
    return tuple(left)
