# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a check for people: a table, who differs from the others, and each finding in words. Pure. Private to this
collection."""

from __future__ import annotations

import typing as t
from collections import Counter

from ansible_collections.netops.kube_proxy.plugins.module_utils._check_report_model import (
    Modes,
    Node,
    Options,
    groups,
    named,
    plain,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import (
    ERROR,
    INFO,
    SEVERITIES,
    WARNING,
    Finding,
)

_HEADER = ("NODE", "CONFIGURED", "RUNNING", "KERNEL", "SERVICE-PORTS", "CONNECTION", "ERRORS", "WARNINGS", "INFOS")
_DETAILS = ("expected", "actual", "evidence", "cause", "remedy")
_EXAMPLES = 5
# Of one word, as all of the table: Ansible breaks long lines where there is a single blank.
_SILENT = "silent"


def lines(nodes: t.Sequence[Node], options: Options) -> list[str]:
    """What is shown on the screen, line by line."""
    found = [*_table(nodes), *_mixed(nodes), *_scope(options), *_findings(nodes, options), *_unsettled(nodes)]
    return [*found, _verdict(nodes, options)]


def failures(nodes: t.Iterable[Node], options: Options) -> list[str]:
    """For each node that does not pass, one paragraph: who, how many, and the first of each kind."""
    return [_failure(node, options) for node in nodes if not node.passed(options.fail_on)]


def _table(nodes: t.Sequence[Node]) -> t.Iterator[str]:
    alike = [node for _modes, members in groups(nodes) for node in members]
    rows = [_HEADER, *(_row(node) for node in alike)]
    unknown = [plain(node.shown) for node in nodes if not node.looked_at]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEADER))]
    widths[0] = max(widths[0], *map(len, unknown), 0)
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
    for name in unknown:
        yield f"{name.ljust(widths[0])}  not looked at (its error stands above)"


def _row(node: Node) -> tuple[str, ...]:
    connection = "untried" if node.connection is None else "fails" if node.connection.problem else "answers"
    cells = (node.shown, *_mode_words(node.modes), str(node.service_ports), connection)
    return tuple(plain(cell) for cell in (*cells, *(str(node.counts[one]) for one in SEVERITIES)))


def _mode_words(modes: Modes) -> tuple[str, str, str]:
    return modes.configured or "(empty)", modes.running or _SILENT, "+".join(modes.kernel) or "none"


def _mixed(nodes: t.Sequence[Node]) -> t.Iterator[str]:
    alike = groups(nodes)
    if len(alike) < 2:
        return
    yield (
        "Mixed modes: these nodes are not alike in what is configured, what runs, and what the kernel holds. Until they are, "
        "Services can behave differently from node to node."
    )
    for modes, members in alike:
        configured, running, kernel = map(plain, _mode_words(modes))
        count = f"{len(members)} node{'s' if len(members) > 1 else ''}"
        where = named([plain(node.shown) for node in members])
        runs = "kube-proxy silent" if running == _SILENT else f"{running} running"
        yield f"{count} with {configured} configured, {runs}, {kernel} in the kernel: {where}"


def _scope(options: Options) -> t.Iterator[str]:
    if options.services:
        yield f"Only these Services were compared: {named([plain(one) for one in options.services])}."


def _findings(nodes: t.Sequence[Node], options: Options) -> t.Iterator[str]:
    """Each finding once, with all nodes that have it: a hundred nodes with one cause are one thing to read."""
    where: dict[Finding, list[str]] = {}
    for node in nodes:
        for one in node.findings[: options.limit]:
            where.setdefault(one, []).append(plain(node.shown))
    for one in sorted(where, key=lambda one: SEVERITIES.index(one.severity)):
        yield f"{one.severity.upper()} {_what(one)} on {named(where[one])}"
        for name in _DETAILS:
            if getattr(one, name):
                yield f"  {name}: {plain(getattr(one, name))}"
    for node in nodes:
        rest = len(node.findings) - options.limit
        if rest > 0:
            yield f"and {rest} more on {plain(node.shown)}: {_place(options)}"


def _place(options: Options) -> str:
    if options.full_list:
        return f"the full list is in {plain(options.full_list)}"
    return "set check_json_file to have the full list"


def _what(finding: Finding) -> str:
    about = f" ({plain(finding.service)})" if finding.service else ""
    return f"{plain(finding.kind)} {plain(finding.object)}{about}"


def _unsettled(nodes: t.Iterable[Node]) -> t.Iterator[str]:
    names = [plain(node.shown) for node in nodes if node.settled is False and node.findings]
    if names:
        yield f"kube-proxy had not caught up with the API when the kernel was read again: what was found on {named(names)} may be a delay."


def _verdict(nodes: t.Sequence[Node], options: Options) -> str:
    total = f"{len(nodes)} node{'s' if len(nodes) != 1 else ''}"
    bad = [node for node in nodes if not node.passed(options.fail_on)]
    if bad:
        names = named([plain(node.shown) for node in bad])
        unknown = "" if all(node.looked_at for node in bad) else ", or not looked at"
        return f"FAILED on {len(bad)} of {total} (findings{_at_least(options)}{unknown}): {names}"
    if any(node.findings for node in nodes):
        return f"PASSED on {total}: no findings{_at_least(options)}."
    return f"PASSED on {total}: no findings."


def _at_least(options: Options) -> str:
    return {ERROR: " of severity error", WARNING: " of severity warning or worse", INFO: ""}[options.fail_on]


def _failure(node: Node, options: Options) -> str:
    if not node.looked_at:
        return f"{plain(node.shown)} was not looked at."
    grave = node.grave(options.fail_on)
    count = f"{len(grave)} finding{'s' if len(grave) != 1 else ''}{_at_least(options)}"
    kinds = Counter(one.kind for one in grave)
    counted = ", ".join(f"{number} {plain(kind)}" for kind, number in kinds.items())
    examples = [next(one for one in grave if one.kind == kind) for kind in list(kinds)[:_EXAMPLES]]
    told = " ".join(f"{_what(one)}: expected {plain(one.expected)}, seen {plain(one.actual)}." for one in examples)
    return f"{plain(node.shown)} has {count}: {counted}. {told} The report above says what to do."
