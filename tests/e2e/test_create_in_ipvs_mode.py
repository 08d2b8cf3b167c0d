# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster that is in ipvs mode from its first minute, and what a kubeadm run that was cut off leaves to the next."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.labkit import Lab
from tests.labkit.cluster import Cluster
from tests.labkit.tutorial import KUBE_SVC
from tools.published import build, install

LAB = Lab("kubelab-chk", ("--workers", "0"))
CREATE = "playbooks/create_cluster.yml"
SWITCH = "netops.kube_proxy.switch_to_ipvs"
WANTED: dict[str, t.Any] = {"cluster_proxy_mode": "ipvs", "cluster_proxy_settings": {"ipvs": {"scheduler": "wrr"}}}


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    return Cluster(lab, ("cp1",))


def test_an_address_that_no_card_has_is_named(lab: Lab) -> None:
    run = lab.playbook(CREATE, **WANTED, cluster_node_ip="198.51.100.7")
    assert run.rc != 0
    assert any("198.51.100.7" in f and "10.34.0." in f and "cluster_node_ip" in f for f in run.failures), run.output


def test_a_failed_init_can_be_repeated(lab: Lab, cluster: Cluster) -> None:
    """The API server gets an argument that it does not know: kubeadm init fails half-way. The next run starts over."""
    unknown = {"apiServer": {"extraArgs": [{"name": "no-such-argument", "value": "1"}]}}
    impatient = {"timeouts": {"controlPlaneComponentHealthCheck": "20s"}}
    run = lab.playbook(CREATE, **WANTED, cluster_configuration=unknown, cluster_init_configuration=impatient)
    assert run.rc != 0
    assert cluster.control_plane.run("ls /etc/kubernetes/netops-kubeadm.pending")
    run = lab.playbook(CREATE, **WANTED)
    assert run.rc == 0, run.output


def test_it_is_in_ipvs_mode(lab: Lab, cluster: Cluster) -> None:
    cluster.wait_for_mode("ipvs")
    run = lab.playbook("playbooks/check.yml")
    assert run.rc == 0, run.output
    assert run.changed == []
    assert " wrr" in cluster.control_plane.run("ipvsadm -Ln")
    assert KUBE_SVC.search(cluster.control_plane.run("iptables-save; ip6tables-save")) is None


def test_making_it_again_changes_nothing(lab: Lab) -> None:
    run = lab.playbook(CREATE, **WANTED)
    assert run.rc == 0, run.output
    assert run.changed == []


def test_it_works_as_installed_from_galaxy(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built and installed as a user gets it, its playbooks called by their full names."""
    install(build(tmp_path / "built"), tmp_path / "installed")
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path / "installed"))
    settings = WANTED["cluster_proxy_settings"]
    for run in (lab.playbook("netops.kube_proxy.check"), lab.playbook(SWITCH, switch_settings=settings)):
        assert run.rc == 0, run.output
        assert run.changed == []


def test_a_module_is_there_after_a_reboot(cluster: Cluster) -> None:
    node = cluster.control_plane
    boot = node.run("cat /proc/sys/kernel/random/boot_id")
    node.attempt("systemctl reboot")
    node.wait("another boot", f"test $(cat /proc/sys/kernel/random/boot_id) != {boot.strip()}")
    node.wait("ip_vs_wrr", "grep -w ip_vs_wrr /proc/modules")
    cluster.wait_for_mode("ipvs")
