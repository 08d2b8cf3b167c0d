# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster on a node that has no Kubernetes and no container runtime: all of it comes from apt repositories laid out as upstream's."""

from __future__ import annotations

import typing as t

import pytest

from tests.labkit import Lab, Node, Run
from tests.labkit.cluster import Cluster
from tests.labkit.packages import URL, make, served

pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "0"))
CREATE = "playbooks/create_cluster.yml"
VERSION = "1.37.2"
# Upstream repeats a build under another revision; the second one is newer, and not what is asked for first.
REVISIONS = (f"{VERSION}-1.1", f"{VERSION}-1.2")
WANTED: dict[str, t.Any] = {
    "cluster_install": "packages",
    "cluster_package_repository": f"{URL}/core:/stable:",
    "cluster_package_version": REVISIONS[0],
}
# What the lab's disk has beyond a Debian.
BARE = """
systemctl stop containerd kubelet
systemctl disable containerd kubelet
rm -rf /usr/bin/kube* /usr/bin/containerd* /usr/bin/ctr /usr/lib/systemd/system/kubelet.service* /opt/cni
rm -rf /usr/lib/systemd/system/containerd.service /etc/containerd
systemctl daemon-reload
"""
DEBIAN = f"echo 'deb [trusted=yes] {URL}/debian/ /' > /etc/apt/sources.list.d/debian.list"
INSTALLED = "dpkg-query --show --showformat='${Package}=${Version} ${db:Status-Want}\\n' kubeadm kubectl kubelet"


@pytest.fixture(scope="module")
def node(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Node]:
    place = tmp_path_factory.mktemp("packages")
    make(place, VERSION, REVISIONS)
    bare = lab.node("cp1")
    bare.run(f"{BARE}{DEBIAN}")
    with served(lab, place):
        bare.run("apt-get update -q")
        yield bare


def create(lab: Lab, **options: t.Any) -> Run:
    return lab.playbook(CREATE, **{**WANTED, **options})


def test_check_mode_installs_nothing(lab: Lab, node: Node) -> None:
    run = lab.playbook(CREATE, check=True, **WANTED)
    assert run.rc == 0, run.output
    assert node.attempt("command -v kubeadm || command -v containerd").rc != 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cluster_package_version": "9.9.9-1.1"}, ["9.9.9-1.1", "cluster_package_version"]),
        ({"cluster_package_repository": "http://192.168.34.1:9/core:"}, ["http://192.168.34.1:9/core:", "refused"]),
        ({"cluster_kubernetes_version": "1.12.0"}, [f"{URL}/core:/stable:/v1.12", "404"]),
    ],
)
def test_what_is_not_to_be_had_is_named(lab: Lab, node: Node, options: dict[str, t.Any], words: list[str]) -> None:
    run = create(lab, **options)
    assert run.rc != 0
    assert any(all(word in failure for word in words) for failure in run.failures), run.output
    assert node.attempt("command -v kubeadm").rc != 0


def test_an_unknown_distribution_is_named(lab: Lab, node: Node) -> None:
    node.run("cp -a /etc/os-release /root/os-release; rm /etc/os-release")
    node.run(
        "printf 'NAME=\"Alpine Linux\"\\nID=alpine\\nVERSION_ID=3.24.0\\n' > /etc/os-release; echo 3.24.0 > /etc/alpine-release"
    )
    try:
        run = create(lab, node_install_packages=False)
    finally:
        node.run("rm /etc/alpine-release; mv /root/os-release /etc/os-release")
    assert run.rc != 0
    assert any("Alpine" in failure and "preinstalled" in failure for failure in run.failures), run.output


def test_a_cluster_from_packages(lab: Lab, node: Node) -> None:
    run = create(lab)
    assert run.rc == 0, run.output
    Cluster(lab, ("cp1",)).wait_for_mode("iptables")
    assert node.run(INSTALLED).splitlines() == [
        f"{name}={REVISIONS[0]} hold" for name in ("kubeadm", "kubectl", "kubelet")
    ]
    # Nothing had to be told twice which image begins a pod.
    pause = node.run("kubeadm config images list --kubernetes-version v1.37.2 | grep /pause:").strip()
    assert pause in node.run("ctr -n k8s.io containers ls")


@pytest.mark.usefixtures("node")
def test_a_second_run_changes_nothing(lab: Lab) -> None:
    run = create(lab)
    assert run.rc == 0, run.output
    assert run.changed == []


def test_what_is_held_stays(node: Node) -> None:
    """An upgrade of the system does not touch it, though there is a newer one."""
    assert f"Candidate: {REVISIONS[1]}" in node.run("apt-cache policy kubelet")
    node.run("DEBIAN_FRONTEND=noninteractive apt-get upgrade -qy")
    assert f"kubelet={REVISIONS[0]} hold" in node.run(INSTALLED)


def test_another_version_is_installed_when_it_is_asked_for(lab: Lab, node: Node) -> None:
    run = create(lab, cluster_package_version=REVISIONS[1])
    assert run.rc == 0, run.output
    assert node.run(INSTALLED).splitlines() == [
        f"{name}={REVISIONS[1]} hold" for name in ("kubeadm", "kubectl", "kubelet")
    ]
