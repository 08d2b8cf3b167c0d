# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A switch node by node that fails or is cut off, at each of its steps: what failed goes back, the next run finishes or undoes the rest."""

from __future__ import annotations

import re
import typing as t
from contextlib import contextmanager

import pytest

from tests.labkit import Lab, Node, killed, succeeded
from tests.labkit.cluster import Cluster
from tests.labkit.switching import is_right, mine, procedure, states, switch, with_others

NAMES = ("cp1", "w1")
pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "1"))
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
# Behind the last of them nothing tells any more how it was.
UNDONE_AT = STEPS[:-1]
# A virtual server that never stays: the audit after the move has to find that.
SABOTAGE = "nohup sh -c 'while sleep 0.2; do ipvsadm -D -t 10.96.0.1:443; done' >/dev/null 2>&1 & echo $!"


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    return with_others(lab, NAMES)


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


def cut_off(lab: Lab, cluster: Cluster, step: str, **after: t.Any) -> None:
    """The controller is killed at a step; what would be done C(after) it is shown, which changes nothing."""
    run = switch(lab, "ipvs", at=(step, killed))
    assert run.rc == -9, f"{step}: {run.output}"
    checked = states(cluster)
    succeeded(switch(lab, "ipvs", check=True, **after))
    assert states(cluster) == checked, step


def test_what_was_cut_off_is_undone(lab: Lab, cluster: Cluster) -> None:
    before = [mine(node) for node in cluster.nodes]
    for step in UNDONE_AT:
        cut_off(lab, cluster, step, switch_action="rollback")
        succeeded(switch(lab, "ipvs", switch_action="rollback"))
        assert procedure(cluster) == []
        is_right(cluster, "iptables", before)


def test_the_next_run_finishes_what_was_cut_off(lab: Lab, cluster: Cluster) -> None:
    before = [mine(node) for node in cluster.nodes]
    for step in STEPS:
        cut_off(lab, cluster, step)
    succeeded(switch(lab, "ipvs"))
    assert procedure(cluster) == []
    is_right(cluster, "ipvs", before)
    again = succeeded(switch(lab, "ipvs"))
    assert again.changed == []
