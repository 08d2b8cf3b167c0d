# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy with an nft that crashes on what a newer one has written (kubernetes issue 136786): no bridge, and it is said."""

from __future__ import annotations

from functools import partial

import pytest

from tests.labkit import Lab, succeeded, wait_for
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import verdict, wrong
from tests.labkit.old_nft import replace_nft
from tests.labkit.switching import procedure, states, switch

pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "0"))
PAIR = "nft 1.1.3 of the host, 1.0.6 in kube-proxy"


@pytest.fixture(scope="module")
def cluster(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    succeeded(lab.playbook("playbooks/create_cluster.yml"))
    found = Cluster(lab, ("cp1",))
    replace_nft(found, tmp_path_factory.mktemp("nft"))
    found.wait_for_mode("iptables")
    wait_for("kube-proxy with the old nft", partial(_has_it, found))
    found.wait_for_dns()
    return found


def _has_it(cluster: Cluster) -> bool:
    info = cluster.control_plane.module("node_switch_info", {}, diff=False)
    return bool(info["nft"]["kube_proxy"] == "1.0.6")


def test_a_bridge_that_is_required_stops_it(lab: Lab, cluster: Cluster) -> None:
    before = states(cluster)
    run = switch(lab, "nftables", switch_bridge="require")
    assert run.rc != 0
    assert any(PAIR in f and "kubernetes issue 136786" in f for f in run.failures), run.output
    assert states(cluster) == before


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_it_goes_on_without_one_and_says_so(lab: Lab, cluster: Cluster, mode: str) -> None:
    run = succeeded(switch(lab, mode))
    assert f"there can be none, and Services are away meanwhile: {PAIR}" in " ".join(run.output.split())
    assert not [one for one in run.changed if one.endswith("Have a bridge carry Services as they are now")]
    assert procedure(cluster) == []
    cluster.wait_for_mode(mode)
    assert wrong(verdict(cluster, cluster.control_plane)) == []
