# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of what was measured: filled by tests, printed when the run ends."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field


@dataclass
class Table:
    """Rows of figures under one title; in Markdown, so that they can be pasted into docs/figures.md."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.title}: {len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(tuple(str(cell) for cell in cells))

    def lines(self) -> t.Iterator[str]:
        yield f"## {self.title}"
        yield ""
        for row in (self.columns, ("---",) * len(self.columns), *self.rows):
            yield f"| {' | '.join(row)} |"
        yield ""


def seconds(value: float) -> str:
    """A duration with the digits that mean something."""
    return f"{value:.3f} s" if value < 1 else f"{value:.1f} s"
