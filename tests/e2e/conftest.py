# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole clusters. The tests of a file build on each other: the first failure ends the file."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest

from tests.labkit import Lab

KEEP = "E2E_KEEP_LABS" in os.environ
_FIGURES: dict[str, t.Any] = {}


@pytest.fixture(scope="session")
def figures() -> dict[str, t.Any]:
    """What was measured, by name; printed at the end of the run."""
    return _FIGURES


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes hands over what it measured."""
    handed_over = getattr(session.config, "workeroutput", None)
    if handed_over is not None:
        handed_over["figures"] = json.dumps(_FIGURES)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: t.Any) -> None:
    _FIGURES.update(json.loads(getattr(node, "workeroutput", {}).get("figures", "{}")))


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    if _FIGURES:
        terminalreporter.section("figures")
        for name, value in _FIGURES.items():
            terminalreporter.line(f"{name}: {json.dumps(value)}")


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> t.Iterator[Lab]:
    """The lab that the test file describes in its LAB; bare when the file starts, gone when it ends."""
    described: Lab = request.module.LAB.of_this_process()
    if KEEP:
        described.up()
    else:
        described.bare()
    yield described
    if not KEEP:
        described.down()


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        item.session.config.stash.setdefault(_BROKEN, set()).add(Path(item.path))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if Path(item.path) in item.session.config.stash.get(_BROKEN, set()):
        pytest.fail("an earlier step of this file failed", pytrace=False)


_BROKEN = pytest.StashKey[set[Path]]()
