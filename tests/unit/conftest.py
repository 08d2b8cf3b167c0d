# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Captured texts and bytes: tests/unit/fixtures/TOPIC/NAME, their sources in the README of the topic."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def captured() -> t.Callable[[str], str]:
    """The text of a fixture by its path below tests/unit/fixtures."""
    return lambda name: (FIXTURES / name).read_text("utf-8")
