# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Node by node and all at once, from mode to mode, on a dual-stack cluster: what fails goes back, what is cut off is
finished or undone, what is other people's stays, nothing of the old mode is left, and the kernel holds what the API asks for."""

from __future__ import annotations

import os
import re
import typing as t
from collections import Counter
from contextlib import contextmanager

import pytest

from tests.labkit import Lab, Node, Run, killed
from tests.labkit.api_account import requests_counted
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import kinds, verdict, with_catalogue, wrong
from tests.labkit.load import load
from tests.labkit.state import state_of
from tests.labkit.switching import EXCLUDED, FOREIGN, SERVER, is_right, mine, modes, procedure, states

ALL = "ALL_DIRECTIONS" in os.environ
NAMES = ("cp1", "w1", "w2") if ALL else ("cp1", "w1")
pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", str(len(NAMES) - 1)))
# In CI into every mode once; else all six directions, node by node and then all at once.
CIRCLE = ("ipvs", "iptables", "nftables", "ipvs", "nftables", "iptables")
WAY = (
    [(strategy, mode) for strategy in ("rolling", "fast") for mode in CIRCLE]
    if ALL
    else [("rolling", "nftables"), ("fast", "iptables")]
)
# Those runs in which pods leave the node before it moves, by their number.
DRAINED = (3, 4, 5) if ALL else ()
# Where the controller is killed, one run each, until one is let to its end.
STEPS = [
    "Keep other operators out",
    "Have a second ConfigMap and DaemonSet for nodes that have moved",
    "Have no new pods on the node",
    "Have a bridge carry Services as they are now",
    "Have the second DaemonSet run kube-proxy on the node",
    "Wait for the mode and for its first sync",
    "Have what other modes left removed",
    "Have no bridge any more",
    "Have pods come to the node again",
    "Have the mode in the ConfigMap",
    "Have kube-proxy's own DaemonSet run it in the same mode",
    "Have the second ConfigMap and DaemonSet gone",
    "Let other operators in",
]
KILLED_AT = STEPS if ALL else [STEPS[4], STEPS[9]]
# The same, each undone; behind the last of them nothing tells any more how it was.
UNDONE_AT = STEPS[:-1] if ALL else [STEPS[10]]
# A virtual server that never stays: the audit after the move has to find that.
SABOTAGE = "nohup sh -c 'while sleep 0.2; do ipvsadm -D -t 10.96.0.1:443; done' >/dev/null 2>&1 & echo $!"


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    found = with_catalogue(lab, NAMES)
    found.apply("httpservice.yaml")
    found.apply("nodeport.yaml")
    found.wait_for_pods("http", 3)
    found.wait_for_pods("client", len(NAMES))
    found.wait_for_mode("iptables")
    found.wait_for_dns()
    for node in found.nodes:
        node.run(FOREIGN)
    return found


def switch(lab: Lab, mode: str, strategy: str = "rolling", **options: t.Any) -> Run:
    settings: dict[str, t.Any] = {"switch_settings": EXCLUDED} if mode == "ipvs" else {}
    return lab.playbook(f"playbooks/switch_to_{mode}.yml", switch_strategy=strategy, **settings, **options)


def succeeded(run: Run) -> Run:
    assert run.rc == 0, run.output
    return run


@contextmanager
def sabotage(node: Node) -> t.Iterator[None]:
    process = node.run(SABOTAGE).strip()
    try:
        yield
    finally:
        node.run(f"kill {process}")


def test_check_mode_shows_the_plan_and_changes_nothing(lab: Lab, cluster: Cluster) -> None:
    before = states(cluster)
    run = succeeded(switch(lab, "ipvs", check=True, diff=True))
    assert run.changed
    assert re.search(r"CLUSTER +iptables->ipvs", run.output), run.output
    assert states(cluster) == before


def test_a_node_that_fails_goes_back_and_the_run_stops(lab: Lab, cluster: Cluster) -> None:
    before = [mine(node) for node in cluster.nodes]
    pods = {pod["spec"]["nodeName"]: pod["metadata"]["uid"] for pod in cluster.kube_proxy_pods()}
    with sabotage(cluster.nodes[1]):
        run = switch(lab, "ipvs")
    assert run.rc != 0
    assert any(f.startswith("w1 could not be settled in ipvs mode") and "10.96.0.1" in f for f in run.failures), (
        run.output
    )
    is_right(cluster, "iptables", before)
    now = {pod["spec"]["nodeName"]: pod["metadata"]["uid"] for pod in cluster.kube_proxy_pods()}
    assert {name for name in NAMES if now[name] != pods[name]} == {"w1"}
    assert not [one for one in procedure(cluster) if one.startswith(tuple(f"{name} " for name in NAMES))]


def test_check_mode_and_others_in_the_middle_change_nothing(lab: Lab, cluster: Cluster) -> None:
    before = states(cluster)
    succeeded(switch(lab, "ipvs", check=True))
    other = switch(lab, "ipvs", switch_holder="ann@laptop")
    assert any("is held by" in f for f in other.failures), other.output
    at_once = switch(lab, "ipvs", "fast")
    assert any("A switch node by node is under way" in f for f in at_once.failures), at_once.output
    assert states(cluster) == before


def test_a_rollback_leaves_nothing(lab: Lab, cluster: Cluster) -> None:
    before = [mine(node) for node in cluster.nodes]
    succeeded(switch(lab, "ipvs", switch_action="rollback"))
    assert procedure(cluster) == []
    is_right(cluster, "iptables", before)


def test_what_was_cut_off_is_undone(lab: Lab, cluster: Cluster) -> None:
    before = [mine(node) for node in cluster.nodes]
    for step in UNDONE_AT:
        run = switch(lab, "ipvs", at=(step, killed))
        assert run.rc == -9, f"{step}: {run.output}"
        checked = states(cluster)
        succeeded(switch(lab, "ipvs", check=True, switch_action="rollback"))
        assert states(cluster) == checked, step
        succeeded(switch(lab, "ipvs", switch_action="rollback"))
        assert procedure(cluster) == []
        is_right(cluster, "iptables", before)


def test_the_next_run_finishes_what_was_cut_off(lab: Lab, cluster: Cluster) -> None:
    before = [mine(node) for node in cluster.nodes]
    for step in KILLED_AT:
        run = switch(lab, "ipvs", at=(step, killed))
        assert run.rc == -9, f"{step}: {run.output}"
        checked = states(cluster)
        succeeded(switch(lab, "ipvs", check=True))
        assert states(cluster) == checked, step
    succeeded(switch(lab, "ipvs"))
    assert procedure(cluster) == []
    is_right(cluster, "ipvs", before)
    again = succeeded(switch(lab, "ipvs"))
    assert again.changed == []


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
