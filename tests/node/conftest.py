# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One bare lab node for the tests of the node modules, kept for the whole run."""

from __future__ import annotations

import os
import typing as t

import pytest

from tests.labkit import Lab, Node


@pytest.fixture(scope="session")
def node() -> t.Iterator[Node]:
    lab = Lab(os.environ.get("NODE_TEST_LAB", "kubelab-node"), ("--workers", "0"))
    lab.up()
    yield lab.node("cp1")
    if "NODE_TEST_LAB" not in os.environ:
        lab.down()
