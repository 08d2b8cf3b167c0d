# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole of docs/tutorial.md, typed again on a cluster of its own."""

from __future__ import annotations

import pytest

from tests.labkit import Lab
from tests.labkit.cluster import Cluster
from tests.labkit.tutorial import Tutorial
from tools.tutorial import PAGE, differences, player, replay

pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "2"))


def test_the_page_says_what_is_printed(lab: Lab) -> None:
    made = lab.playbook("playbooks/create_cluster.yml")
    assert made.rc == 0, made.output
    cluster = Cluster(lab, ("cp1", "w1", "w2"))
    Tutorial(cluster, print).start()
    page = PAGE.read_text("utf-8")
    assert differences(page, replay(page, player(cluster))) == []
