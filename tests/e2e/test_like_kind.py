# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that has what a node of kind has: no Python, no ipvsadm, no ipset, no client of the API, and modules that are read-only. The controller
speaks to the API, as inventory/kind has it."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from tests.labkit import ROOT, Lab, Node, Run
from tests.labkit.cluster import Cluster
from tests.labkit.packages import HIDE_PYTHON, make_python, served

pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "0"))
LIKE_KIND = f"""
{HIDE_PYTHON}
rm /usr/sbin/ipvsadm /usr/sbin/ipset
rm -r /usr/lib/python3/dist-packages/kubernetes /usr/lib/python3/dist-packages/pyroute2
mount -o bind,ro /usr/lib/modules /usr/lib/modules
"""
# What inventory/kind says of its nodes, but for the connection.
GROUPS = (
    "check_api_host",
    "check_kubeconfig",
    "switch_api_host",
    "switch_kubeconfig",
    "switch_strategy",
    "install_python",
)
HELD = {
    "ipvs": "grep -q :0050 /proc/net/ip_vs && ip link show kube-ipvs0",
    "nftables": "nft list table ip kube-proxy | grep -q default/httpservice && ! ip link show kube-ipvs0 2>/dev/null",
}


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    made = lab.playbook("playbooks/create_cluster.yml")
    assert made.rc == 0, made.output
    found = Cluster(lab, ("cp1",))
    found.apply("httpservice.yaml")
    found.wait_for_pods("http", 3)
    found.wait_for_mode("iptables")
    return found


@pytest.fixture(scope="module")
def node(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Node]:
    place = tmp_path_factory.mktemp("packages")
    make_python(place)
    cluster.control_plane.run(LIKE_KIND)
    with served(cluster.lab, place):
        yield cluster.control_plane


@pytest.fixture(scope="module")
def play(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> t.Callable[[str], Run]:
    kubeconfig = tmp_path_factory.mktemp("controller") / "admin.conf"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(cluster.control_plane.run("cat /etc/kubernetes/admin.conf"), encoding="utf-8")
    variables = {**like_kind(), "check_kubeconfig": str(kubeconfig), "switch_kubeconfig": str(kubeconfig)}

    def run(playbook: str) -> Run:
        done = cluster.lab.playbook(f"playbooks/{playbook}.yml", inside=True, **variables)
        assert done.rc == 0, done.output
        return done

    return run


def like_kind() -> dict[str, t.Any]:
    folder = ROOT / "inventory" / "kind" / "group_vars"
    told = {
        **yaml.safe_load((folder / "all.yml").read_text()),
        **yaml.safe_load((folder / "kube_cluster.yml").read_text()),
    }
    return {name: value for name, value in told.items() if name in GROUPS}


def test_python_is_installed_where_there_is_none(node: Node, play: t.Callable[[str], Run]) -> None:
    assert node.attempt("command -v python3").rc != 0
    run = play("check")
    assert any(name.endswith("Have Python installed") for name in run.changed)
    assert node.run("command -v python3") == "/usr/bin/python3\n"


@pytest.mark.parametrize("mode", ["nftables", "ipvs", "iptables"])
def test_it_goes_into_every_mode(cluster: Cluster, node: Node, play: t.Callable[[str], Run], mode: str) -> None:
    assert play(f"switch_to_{mode}").changed
    cluster.wait_for_mode(mode)
    if mode in HELD:
        node.run(HELD[mode])
    play("check")
    assert play(f"switch_to_{mode}").changed == []
