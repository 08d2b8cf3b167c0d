# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a preflight: for people, for programs, and for the task that stops. Pure. Private to this collection.

Source of the JSON form: C(docs/preflight.schema.json). No form carries the time, so that the same readings make the same text.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._check_report_model import named, plain
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight import NODE_CHECKS, Matrix, Row
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_bridge import is_bridged
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_foreign import foreign_at_risk
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import (
    FAIL,
    OK,
    STATUSES,
    UNKNOWN,
    WARN,
    Check,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_plan import NodePlan, plan_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_settings import proposed

SCHEMA = 1
CLUSTER = "the cluster"

# Of one word: Ansible breaks long lines where there is a single blank.
_CELLS = {OK: "ok", WARN: "warn", FAIL: "FAIL"}
_MOST_COLUMNS = 8
_SIGNS = (
    ("restarted", "~ restart"),
    ("removed", "- remove"),
    ("lost", "! lose"),
    ("kept", "  keep"),
    ("unread", "? unread"),
)


def lines(matrix: Matrix) -> list[str]:
    """What is shown on the screen, line by line."""
    return [
        *_cluster_table(matrix),
        *_node_table(matrix),
        *_reasons(matrix),
        *_settings(matrix),
        *plan_lines(matrix),
        _verdict(matrix),
    ]


def failures(matrix: Matrix) -> list[str]:
    """For the cluster and each node that stops the switch, one paragraph."""
    parts = [(CLUSTER, matrix.cluster), *((row.node.shown, row.checks) for row in matrix.rows)]
    found = []
    for name, checks in parts:
        told = [f"{one.id}: {plain(one.reason)}. {plain(one.remedy)}".strip() for one in checks if one.status == FAIL]
        if told:
            found.append(f"{plain(name)} cannot go to {matrix.case.target} mode: {' '.join(told)}")
    return found


def foreign(matrix: Matrix) -> dict[str, list[dict[str, t.Any]]]:
    """By host the virtual servers that the target mode would take from somebody; none where nobody can tell."""
    rows = (row.node for row in matrix.rows if row.node.host)
    return {node.host: foreign_at_risk(matrix.case, node)[0] for node in rows}


def bridged(matrix: Matrix) -> list[str]:
    """The hosts that are to have a bridge while they move."""
    return [row.node.host for row in matrix.rows if row.node.host and is_bridged(matrix.case, row.node)]


def as_json(matrix: Matrix) -> str:
    """Everything, for programs."""
    case = matrix.case
    document = {
        "schema": SCHEMA,
        "target": case.target,
        "present": case.present or None,
        "passed": matrix.passed,
        "override": list(matrix.override),
        "counts": matrix.counts,
        "proposed_settings": proposed(case),
        "cluster": [one._asdict() for one in matrix.cluster],
        "nodes": [_json_row(matrix, row) for row in matrix.rows],
    }
    return json.dumps(document, indent=2) + "\n"


def settings(matrix: Matrix) -> dict[str, t.Any]:
    """What could be set along with the mode, beside what the run sets already."""
    return proposed(matrix.case)


def _json_row(matrix: Matrix, row: Row) -> dict[str, t.Any]:
    return {
        "host": row.node.host or None,
        "node": row.node.name or None,
        "passed": all(one.status != FAIL for one in row.checks),
        "checks": [one._asdict() for one in row.checks],
        "plan": _json_plan(plan_of(matrix.case, row.node)) if row.node.host else None,
    }


def _json_plan(plan: NodePlan) -> dict[str, t.Any]:
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in plan._asdict().items()}
    return {**values, "mode": plan.mode or None}


def _cluster_table(matrix: Matrix) -> t.Iterator[str]:
    width = max(len(one.id) for one in matrix.cluster)
    yield f"{'CLUSTER'.ljust(width)}  {matrix.case.present or 'unknown'}->{matrix.case.target}"
    for one in matrix.cluster:
        yield f"{one.id.ljust(width)}  {_cell(one)}"


def _cell(check: Check | None) -> str:
    if check is None:
        return "-"
    return "overridden" if check.overridden else _CELLS[check.status]


def _node_table(matrix: Matrix) -> t.Iterator[str]:
    """Checks down, nodes across; where these are many, those that are alike share a column."""
    columns = _columns(matrix)
    rows = [("NODE", *(name for name, _cells, _members in columns))]
    rows += [(check, *(cells[at] for _name, cells, _members in columns)) for at, check in enumerate(NODE_CHECKS)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
    for name, _cells, members in columns:
        if len(members) > 1:
            yield f"{name} are {named(members)}"


def _columns(matrix: Matrix) -> list[tuple[str, tuple[str, ...], list[str]]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    single = len(matrix.rows) <= _MOST_COLUMNS
    for number, row in enumerate(matrix.rows):
        said = {one.id: one for one in row.checks}
        cells = tuple(_cell(said.get(name)) for name in NODE_CHECKS)
        groups.setdefault((*cells, str(number)) if single else cells, []).append(plain(row.node.shown))
    found = []
    for number, (cells, members) in enumerate(groups.items(), 1):
        name = members[0] if len(members) == 1 else f"group-{number}"
        found.append((name, cells, members))
    return found


def _reasons(matrix: Matrix) -> t.Iterator[str]:
    """Each thing once, with all nodes that it is true of, the worst first."""
    where: dict[Check, list[str]] = {}
    for one in matrix.cluster:
        where.setdefault(one, []).append(CLUSTER)
    for row in matrix.rows:
        for one in row.checks:
            where.setdefault(one, []).append(plain(row.node.shown))
    for one in sorted(where, key=lambda one: STATUSES.index(one.status)):
        if one.status != OK:
            yield f"{one.status.upper()} {one.id} on {named(where[one])}"
            yield f"  reason: {plain(one.reason)}"
            if one.remedy:
                yield f"  remedy: {plain(one.remedy)}"


def _settings(matrix: Matrix) -> t.Iterator[str]:
    found = proposed(matrix.case)
    if found:
        yield f"Settings that would keep what is now: {json.dumps({'switch_settings': found})}"


def plan_lines(matrix: Matrix) -> list[str]:
    """What would happen on each node; nodes with the same plan together."""
    groups: dict[NodePlan, list[str]] = {}
    for row in matrix.rows:
        if row.node.host:
            groups.setdefault(plan_of(matrix.case, row.node), []).append(plain(row.node.shown))
    found = []
    for plan, names in groups.items():
        found.append(f"PLAN for {named(names)}: {plan.mode or 'unknown'} -> {plan.target}")
        for part, sign in _SIGNS:
            found += [f"  {sign} {plain(one)}" for one in getattr(plan, part)]
        found.append(f"  gap: {plan.gap}")
    return found


def _verdict(matrix: Matrix) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in matrix.counts.items())
    unknown = sum(UNKNOWN in one.reason for one in matrix.all_checks)
    told = f"{counts}; {unknown} of these not known" if unknown else counts
    failed = list(dict.fromkeys(one.id for one in matrix.all_checks if one.status == FAIL))
    if failed:
        return f"FAILED for {matrix.case.target} mode ({told}): {', '.join(failed)}. To go on all the same, name them in switch_override."
    return f"PASSED for {matrix.case.target} mode ({told})."
