# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Node by node and all at once, from mode to mode, on a dual-stack cluster: what is other people's stays, nothing of the old mode is left, no request
fails, and the kernel holds what the API asks for."""

from __future__ import annotations

import typing as t
from collections import Counter

import pytest

from tests.labkit import Lab, Node, Run, succeeded
from tests.labkit.api_account import requests_counted
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import kinds, verdict, wrong
from tests.labkit.load import load
from tests.labkit.state import state_of
from tests.labkit.switching import SERVER, is_right, mine, modes, procedure, states, switch, with_others

NAMES = ("cp1", "w1", "w2")
pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "2"))
# All six directions, node by node and then all at once.
CIRCLE = ("ipvs", "iptables", "nftables", "ipvs", "nftables", "iptables")
WAY = [(strategy, mode) for strategy in ("rolling", "fast") for mode in CIRCLE]
# Those runs in which pods leave the node before it moves, by their number.
DRAINED = (3, 4, 5)


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    return with_others(lab, NAMES)


@pytest.mark.parametrize(("number", "strategy", "mode"), [(number, *step) for number, step in enumerate(WAY)])
def test_from_mode_to_mode(
    lab: Lab, cluster: Cluster, figures: dict[str, t.Any], number: int, strategy: str, mode: str
) -> None:
    worker, old = cluster.nodes[1], modes(cluster)["w1"]
    if mode == "nftables" and SERVER in worker.run("ipvsadm -Sn"):
        refused_for_the_balancer(lab, cluster)
    before = [mine(node) for node in cluster.nodes]
    assert all(before)
    address = cluster.service("httpservice")["spec"]["clusterIP"]
    port = cluster.service("nodeport")["spec"]["ports"][0]["nodePort"]
    other = next(node for node in reversed(cluster.nodes) if node != worker)
    with (
        requests_counted(cluster) as (config, asked),
        load(cluster, worker, f"{address}:80", rate=25) as by_cluster_ip,
        load(cluster, other, f"{internal_ip(cluster, worker)}:{port}", rate=25) as by_node_port,
    ):
        run = succeeded(switch(lab, mode, strategy, switch_kubeconfig=config, switch_drain=number in DRAINED))
        written = asked("POST|PUT|PATCH|DELETE")
    figures[f"{strategy} from {old} to {mode}, run {number + 1}{', drained' * (number in DRAINED)}"] = {
        "seconds": round(run.seconds),
        "seconds a node": seconds_a_node(run),
        "API writes": written.total(),
        "by ClusterIP": by_cluster_ip.values,
        "by NodePort": by_node_port.values,
    }
    # Pods that leave a node take their connections with them.
    if number not in DRAINED:
        assert (by_cluster_ip.values["failed"], by_node_port.values["failed"]) == (0, 0), figures
    is_written_to_little(written)
    assert procedure(cluster) == []
    is_right(cluster, mode, before)


def internal_ip(cluster: Cluster, node: Node) -> str:
    addresses = cluster.get("node", node.name)["status"]["addresses"]
    return str(next(one["address"] for one in addresses if one["type"] == "InternalIP"))


def seconds_a_node(run: Run) -> dict[str, int]:
    """From its cordon on until pods may come again; empty where no node was cordoned."""
    ended = {(one.host, one.task): one.ended for one in run.results if one.status == "ok"}
    begun = {host: at for (host, task), at in ended.items() if task.endswith(": Have no new pods on the node")}
    back = {host: at for (host, task), at in ended.items() if task.endswith(": Have pods come to the node again")}
    return {host: round(back[host] - at) for host, at in begun.items()}


def is_written_to_little(written: Counter[str]) -> None:
    """A Node is cordoned and uncordoned, and gets its label in two steps twice; beside that a node costs three writes at most.
    Pods that leave it are not counted."""
    of_nodes = {path: count for path, count in written.items() if path.startswith("/api/v1/nodes/")}
    assert max(of_nodes.values(), default=0) <= 2 + 4, of_nodes
    of_runs = {path: count for path, count in written.items() if "/leases/" in path or "/pods/" in path}
    beside = sum(count for path, count in of_runs.items() if not path.endswith("/eviction"))
    assert beside <= 3 * len(NAMES), written


def refused_for_the_balancer(lab: Lab, cluster: Cluster) -> None:
    before = states(cluster)
    run = switch(lab, "nftables")
    assert run.rc != 0
    assert any("198.18.0.9" in f and "foreign_virtual_servers" in f for f in run.failures), run.output
    assert states(cluster) == before
    for node in cluster.nodes:
        node.run(f"ipvsadm -D -t {SERVER}")


def test_switching_again_changes_nothing(lab: Lab) -> None:
    assert succeeded(switch(lab, WAY[-1][1], WAY[-1][0])).changed == []


# By hand, what three releases and the other backend of iptables have left on a node that runs iptables mode.
OLD = """
ip link add kube-ipvs0 type dummy; ip address add 10.96.0.1/32 dev kube-ipvs0
ipvsadm -A -t 10.96.0.1:443 -s rr; ipset create KUBE-NODE-PORT-SCTP bitmap:port range 0-65535; ipset create KUBE-6-LOOP-BACK hash:ip,port,ip family inet6
iptables-legacy -t nat -N KUBE-XLB-AAAAAAAAAAAAAAAA; iptables -t nat -N KUBE-NODE-PORT
"""


def test_cleanup_removes_what_others_left(lab: Lab, cluster: Cluster) -> None:
    node = cluster.control_plane
    before = [mine(one) for one in cluster.nodes]
    node.run(OLD)
    state = state_of(node)
    shown = lab.playbook("playbooks/cleanup.yml", check=True, diff=True, cleanup_mode=["ipvs", "nftables"])
    assert (shown.rc, state_of(node)) == (0, state), shown.output
    assert "kube-ipvs0" in shown.output
    assert succeeded(lab.playbook("playbooks/cleanup.yml", cleanup_mode=["ipvs", "nftables"])).changed
    is_right(cluster, "iptables", before)
    assert succeeded(lab.playbook("playbooks/cleanup.yml", cleanup_mode=["ipvs", "nftables"])).changed == []


def test_cleanup_refuses_the_running_mode(lab: Lab, cluster: Cluster) -> None:
    before = states(cluster)
    run = lab.playbook("playbooks/cleanup.yml", cleanup_mode=["iptables"])
    assert run.rc != 0
    assert any("runs in iptables mode" in f for f in run.failures), run.output
    assert states(cluster) == before
    assert kinds(wrong(verdict(cluster, cluster.control_plane))) == set()
