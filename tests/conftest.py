# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests share: the collection's link, hypothesis without a stopwatch (machines are busy), and a bare node for who asks for it."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from hypothesis import settings

from tests.labkit import Lab, Node

LINK = Path(__file__).resolve().parent.parent / "collections" / "ansible_collections" / "netops" / "kube_proxy"

settings.register_profile("steady", deadline=None, print_blob=True)
settings.load_profile("steady")


def pytest_configure() -> None:
    if not (LINK / "galaxy.yml").is_file():
        pytest.exit(f"{LINK} does not lead to the collection: run `make setup`", returncode=3)


@pytest.fixture(scope="session")
def node() -> t.Iterator[Node]:
    """One bare lab node, kept for the whole run."""
    lab = Lab(os.environ.get("NODE_TEST_LAB", "kubelab-node"), ("--workers", "0")).of_this_process()
    lab.up()
    yield lab.node("cp1")
    if "NODE_TEST_LAB" not in os.environ:
        lab.down()
