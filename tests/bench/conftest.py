# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Benchmarks compare two things in one run, on a node of the lab; the tables are printed at the end."""

from __future__ import annotations

import os
import typing as t

import pytest

from tests.labkit import Lab, Node
from tests.labkit.tables import Table

_TABLES: list[Table] = []


@pytest.fixture(scope="session")
def table() -> t.Callable[..., Table]:
    """Makes a table: title and columns."""

    def make(title: str, *columns: str) -> Table:
        made = Table(title, columns)
        _TABLES.append(made)
        return made

    return make


@pytest.fixture(scope="session")
def node() -> t.Iterator[Node]:
    """One bare node."""
    lab = Lab(os.environ.get("BENCH_LAB", "kubelab-bench"), ("--workers", "0"))
    lab.up()
    yield lab.node("cp1")
    if "BENCH_LAB" not in os.environ:
        lab.down()


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    for made in _TABLES:
        terminalreporter.section(made.title)
        for line in made.lines():
            terminalreporter.line(line)
