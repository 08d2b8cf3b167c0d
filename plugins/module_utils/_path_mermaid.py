# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to a Service as a flowchart in Mermaid. Pure. Private to this collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import key_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_answer import DEAD, DRAINING, MISSING, STALE, Path
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_model import (
    DROPS,
    LEADS,
    MASQUERADES,
    NOTHING,
    REJECTS,
    REWRITES,
    SCHEDULES,
    Hop,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_words import share_words

_OUTCOMES = {REJECTS: "REJECT", DROPS: "DROP", MASQUERADES: "the node's address as source"}
_MARKED = (DEAD, STALE, MISSING, DRAINING)


def mermaid(paths: t.Sequence[Path], node: str, title: str) -> str:
    """One flowchart for all addresses; empty without any. Places that several go through are there once.

    The charts of several nodes can be joined behind one first line: names of boxes begin with the node's, and each chart is a
    subgraph.
    """
    if not paths:
        return ""
    chart = _Chart(re.sub(r"\W", "_", node))
    for path in paths:
        chart.take(path)
    return "\n".join(("flowchart TD", *chart.lines(title), ""))


class _Chart:
    """Boxes and arrows, each once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._boxes: dict[str, str] = {}
        self._arrows: dict[tuple[str, str, str], None] = {}
        self._marked: dict[str, None] = {}

    def take(self, path: Path) -> None:
        """The arrows of one address."""
        start = self._box(f"to {key_text(path.entry.key)}")
        hooks = set()
        for hop in path.hops:
            here = self._box(hop.place)
            if hop.depth == 0 and here not in hooks:
                hooks.add(here)
                self._arrow(start, here, "then" if "postrouting" in hop.place.lower() else "")
            there = self._end(hop, wrong=not hop.depth or path.held is None)
            if there:
                self._arrow(here, there, _label(hop))
        for end in path.ends:
            if end.state in _MARKED:
                box = self._box(join_host_port(end.address, end.port))
                self._marked[box] = None
                if end.state == MISSING:
                    self._arrow(start, box, "missing")

    def _end(self, hop: Hop, wrong: bool) -> str:
        if hop.does == LEADS and hop.target:
            return self._box(hop.target)
        if hop.does in (REWRITES, SCHEDULES) and hop.destination:
            return self._box(join_host_port(*hop.destination))
        if hop.does == NOTHING and not hop.rule:
            box = self._box(hop.condition)
            self._marked.update({box: None} if wrong else {})
            return box
        return self._box(_OUTCOMES[hop.does]) if hop.does in _OUTCOMES else ""

    def _box(self, text: str) -> str:
        return self._boxes.setdefault(text, f"{self._name}_n{len(self._boxes) + 1}")

    def _arrow(self, one: str, other: str, label: str) -> None:
        self._arrows[one, other, label] = None

    def lines(self, title: str) -> t.Iterator[str]:
        """Boxes first."""
        yield f'  subgraph {self._name}_all["{_escaped(title)}"]'
        for text, name in self._boxes.items():
            yield f'    {name}["{_escaped(text)}"]'
        for one, other, label in self._arrows:
            middle = f'|"{_escaped(label)}"|' if label else ""
            yield f"    {one} -->{middle} {other}"
        yield "  end"
        if self._marked:
            yield "  classDef marked stroke:#c00,stroke-width:3px,stroke-dasharray:5"
            yield f"  class {','.join(self._marked)} marked"


def _label(hop: Hop) -> str:
    weight = "" if hop.weight is None else f"weight {hop.weight}"
    words = [hop.condition if hop.does != NOTHING else "", weight, share_words(hop.share)]
    return ", ".join(filter(None, words))


def _escaped(text: str) -> str:
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
