# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy's part of the tables, for people: the diff and the return values. Pure; private to this collection."""

from __future__ import annotations

import typing as t
from collections import defaultdict

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import (
    Location,
    Table,
    Tables,
    target_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import assess_removal
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_services import service_ports
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import shape_of

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import Survey


def save_text(wanted: WantedChains, tables: Tables) -> str:
    """The chains in question, and every rule elsewhere that leads to them, as iptables-save prints them."""
    # Without the empty ones: a lone text is then not copied, and one table is usually nearly all of it.
    return "".join(filter(None, (_table_text(wanted, location, table) for location, table in tables.items())))


def chain_report(wanted: WantedChains, plan: Plan[Tables, t.Any]) -> dict[str, t.Any]:
    """The return values C(chains) (as found before; as made where there was none) and C(kept)."""
    chains = [
        description
        for location, after in plan.after.items()
        for description in _describe(wanted, location, plan.before[location], after)
    ]
    kept = [
        {**_where(location), "name": name, "reason": reason}
        for location, table in plan.before.items()
        if not wanted.present
        for name, reason in assess_removal(wanted, location, table).kept.items()
    ]
    return {"chains": chains, "kept": kept}


def survey_report(survey: Survey) -> dict[str, t.Any]:
    """The return values C(kubelet_backend) and C(elsewhere)."""
    elsewhere = [
        {**_where(location), "names": names}
        for location, table in survey.elsewhere.items()
        for names in [[name for name in table.chains if shape_of(location.table, name) is not None]]
        if names
    ]
    return {"kubelet_backend": survey.kubelet or None, "elsewhere": elsewhere}


def _describe(wanted: WantedChains, location: Location, before: Table, after: Table) -> t.Iterator[dict[str, t.Any]]:
    for table in (before, after):
        chosen = wanted.chosen(location.table, table)
        chosen = chosen if table is before else chosen.difference(before.chains)
        if not chosen:
            continue
        where = _where(location)
        sources = _sources(table)
        ports = service_ports(table) if location.table == "nat" else {}
        services = {port: port._asdict() for port in frozenset(ports.values())}
        for name, rules in table.chains.items():
            if name in chosen:
                origins = sources.get(name, ())
                port = ports.get(name)
                yield {
                    **where,
                    "name": name,
                    "rule_count": len(rules),
                    "rules": list(rules),
                    "references": len(origins),
                    "referenced_by": list(origins if len(origins) < 2 else dict.fromkeys(origins)),
                    "service": services[port] if port else None,
                }


def _sources(table: Table) -> t.Mapping[str, list[str]]:
    """For each chain that a rule leads to: the chain of every such rule."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for chain, rules in table.chains.items():
        for target in map(target_of, rules):
            found[target].append(chain)
    return found


def _where(location: Location) -> dict[str, t.Any]:
    return {"family": location.family, "backend": location.backend, "table": location.table}


def _table_text(wanted: WantedChains, location: Location, table: Table) -> str:
    selected = wanted.chosen(location.table, table)
    rules: list[str] = []
    for chain, specs in table.chains.items():
        begin = f"-A {chain} "
        shown: t.Iterable[str] = specs
        if chain not in selected:
            shown = [x for x in specs if target_of(x) in selected or wanted.takes_jump(location.table, chain, x)]
        if shown:
            # One text for a chain, not one for each rule.
            rules.append(begin + f"\n{begin}".join(shown))
    if not selected and not rules:
        return ""
    declared = [f":{name} - [0:0]" for name in table.chains if name in selected]
    return "\n".join((f"# {location}", f"*{location.table}", *declared, *rules, "COMMIT", ""))
