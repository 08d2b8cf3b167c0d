# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong around a switch node by node: each ends in a stated, consistent cluster whose Services work, and the next
run goes on. And what comes after: an upgrade by kubeadm, and the way out of IPVS when kube-proxy does not start any more."""

from __future__ import annotations

import json
import typing as t
from contextlib import contextmanager

import pytest

from tests.labkit import Lab, Node, Run, succeeded
from tests.labkit.cluster import Cluster
from tests.labkit.switching import is_right, procedure, states

NAMES = ("cp1", "w1")
LAB = Lab("kubelab-e2e", ("--workers", "1"))
KUBE_SYSTEM = ("-n", "kube-system")
MOVE = "Have the second DaemonSet run kube-proxy on the node"
FIRST_SYNC = "Wait for the mode and for its first sync"
BEFORE_THE_MOVE = "Have no new pods on the node"
# kube-proxy ends at once when it has no kubeconfig: a new configuration of which nothing runs.
CRASHING = {"clientConnection": {"kubeconfig": "/var/lib/kube-proxy/none.conf"}}
BLOCKED = "/etc/modprobe.d/netops-test.conf"
MANIFESTS = "/etc/kubernetes/manifests"
AWAY = f"mv {MANIFESTS}/kube-apiserver.yaml /root/; sleep 60; mv /root/kube-apiserver.yaml {MANIFESTS}/"
# The lab's kernel has no cpuset controller (User Mode Linux), as create_cluster knows from the lab's inventory, and the
# pause in its images is agnhost's: it does not know the -v that kubeadm asks it before an upgrade.
IN_THE_LAB = "--ignore-preflight-errors=SystemVerification,CreateJob"
MINUTE_WITHOUT_API = f"nohup sh -c '{AWAY}' >/dev/null 2>&1 &"


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    found = Cluster(lab, NAMES)
    run = lab.playbook("playbooks/create_cluster.yml")
    assert run.rc == 0, run.output
    found.apply("httpservice.yaml")
    found.wait_for_pods("http", 3)
    found.wait_for_pods("client", len(NAMES))
    found.wait_for_mode("iptables")
    found.wait_for_dns()
    return found


@pytest.fixture
def worker(cluster: Cluster) -> Node:
    return cluster.nodes[1]


def switch(lab: Lab, mode: str, **options: t.Any) -> Run:
    return lab.playbook(f"playbooks/switch_to_{mode}.yml", switch_strategy="rolling", **options)


def start_in(lab: Lab, cluster: Cluster, mode: str) -> None:
    """No test depends on the mode in which another one ended."""
    if any(node.attempt("curl -s 127.0.0.1:10249/proxyMode").out != mode for node in cluster.nodes):
        succeeded(lab.playbook(f"playbooks/switch_to_{mode}.yml", switch_strategy="fast"))


def failed(run: Run, *words: str) -> Run:
    """With all these words in one of its messages."""
    assert run.rc != 0, run.output
    assert any(all(word in message for word in words) for message in run.failures), run.output
    return run


def serves(cluster: Cluster) -> None:
    """A pod on every node reaches the Service by its address."""
    address = cluster.service("httpservice")["spec"]["clusterIP"]
    for node in cluster.nodes:
        assert cluster.from_pod(node, f"curl -sS -m 20 http://{address}/hostname").startswith("http-")


def is_settled(cluster: Cluster, mode: str) -> None:
    """Finished or undone: nothing of the procedure, every node right, Services work."""
    assert procedure(cluster) == []
    is_right(cluster, mode, [[] for _ in cluster.nodes])
    serves(cluster)


def config_text(cluster: Cluster) -> str:
    text: str = cluster.get("configmap", *KUBE_SYSTEM, "kube-proxy")["data"]["config.conf"]
    return text


def edit(cluster: Cluster, old: str, new: str) -> None:
    found = cluster.get("configmap", *KUBE_SYSTEM, "kube-proxy")
    assert old in found["data"]["config.conf"], found["data"]["config.conf"]
    found["data"]["config.conf"] = found["data"]["config.conf"].replace(old, new)
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(found))


@pytest.mark.proof
def test_a_module_that_cannot_load_on_a_node_stops_it_before_anything(lab: Lab, cluster: Cluster, worker: Node) -> None:
    start_in(lab, cluster, "iptables")
    worker.run(f"echo 'install ip_vs_wrr /bin/false' > {BLOCKED}")
    try:
        before = states(cluster)
        failed(switch(lab, "ipvs", switch_settings={"ipvs": {"scheduler": "wrr"}}), "w1", "ip_vs_wrr")
        assert states(cluster) == before
    finally:
        worker.run(f"rm {BLOCKED}")
    serves(cluster)


@pytest.mark.proof
def test_a_drain_that_never_ends(lab: Lab, cluster: Cluster) -> None:
    start_in(lab, cluster, "iptables")
    cluster.apply("held.yaml")
    (pod,) = cluster.wait_for_pods("held", 1)
    before = states(cluster)
    failed(switch(lab, "ipvs", switch_drain=True), "w1 cannot go to ipvs mode", "disruption_budgets", "default/never")
    assert states(cluster) == before
    overridden = {"switch_drain": True, "switch_drain_seconds": 15, "switch_override": ["disruption_budgets"]}
    failed(
        switch(lab, "ipvs", **overridden),
        "w1 could not be settled in ipvs mode, and is in iptables mode again, and verified",
        f"pod default/{pod['metadata']['name']} is not evicted",
    )
    is_right(cluster, "iptables", [[] for _ in cluster.nodes])
    serves(cluster)
    succeeded(switch(lab, "ipvs", switch_action="rollback"))
    is_settled(cluster, "iptables")
    cluster.kubectl("delete", "pdb", "never")
    cluster.kubectl("delete", "deployment", "held")


def test_a_configuration_that_crashes_goes_back(lab: Lab, cluster: Cluster) -> None:
    start_in(lab, cluster, "iptables")
    failed(
        switch(lab, "ipvs", switch_settings=CRASHING),
        "w1 could not be settled in ipvs mode, and is in iptables mode again, and verified",
        "none.conf",
    )
    is_right(cluster, "iptables", [[] for _ in cluster.nodes])
    serves(cluster)
    succeeded(switch(lab, "ipvs", switch_action="rollback"))
    is_settled(cluster, "iptables")


@contextmanager
def broken_image(cluster: Cluster, node: Node) -> t.Iterator[None]:
    """On that node the name of kube-proxy's image stands for one that has no kube-proxy in it."""
    container = cluster.get("daemonset", *KUBE_SYSTEM, "kube-proxy")["spec"]["template"]["spec"]["containers"][0]
    name, ctr = container["image"], "ctr -n k8s.io images"
    node.run(f"{ctr} tag {name} localhost/kept:1 && {ctr} tag --force $({ctr} ls -q | grep /pause: | head -1) {name}")
    try:
        yield
    finally:
        node.run(f"{ctr} tag --force localhost/kept:1 {name} && {ctr} rm localhost/kept:1")


@pytest.mark.proof
def test_an_image_that_never_starts_is_said_and_the_next_run_goes_on(lab: Lab, cluster: Cluster, worker: Node) -> None:
    """Neither DaemonSet's pod comes up on the node. The old mode's rules stay, so its Services work."""
    start_in(lab, cluster, "iptables")
    with broken_image(cluster, worker):
        failed(
            switch(lab, "ipvs", switch_wait_seconds=60),
            "w1 could not be settled in ipvs mode, and could not be put back either",
        )
        serves(cluster)
        assert cluster.control_plane.run("curl -s 127.0.0.1:10249/proxyMode") == "iptables"
    succeeded(switch(lab, "ipvs"))
    is_settled(cluster, "ipvs")


@pytest.mark.proof
def test_a_node_that_is_rebooted_in_the_middle(lab: Lab, cluster: Cluster, worker: Node) -> None:
    """Whether the run ends over it or lives through it: what it said is true."""
    start_in(lab, cluster, "ipvs")
    boot = worker.run("cat /proc/sys/kernel/random/boot_id").strip()
    run = switch(lab, "iptables", at=(FIRST_SYNC, lambda _: worker.attempt("systemctl reboot")))
    worker.wait("another boot", f"test $(cat /proc/sys/kernel/random/boot_id) != {boot}")
    cluster.wait_for_pods("client", len(NAMES))
    cluster.wait_for_pods("http", 3)
    serves(cluster)
    again = succeeded(switch(lab, "iptables"))
    assert bool(again.changed) == (run.rc != 0), run.output
    is_settled(cluster, "iptables")


@pytest.mark.proof
def test_a_minute_without_the_api_server(lab: Lab, cluster: Cluster) -> None:
    """A run may end over it, but not without a word, and the next one goes on."""
    start_in(lab, cluster, "iptables")
    api = cluster.control_plane
    switch(lab, "nftables", at=(MOVE, lambda _: api.run(MINUTE_WITHOUT_API)))
    kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
    api.wait("the API server", f"test -e {MANIFESTS}/kube-apiserver.yaml && {kubectl} get --raw /readyz")
    # While nobody could write their leases, nodes became NotReady, and are refused as long as they are.
    api.wait("nodes that are Ready", f"{kubectl} wait --for=condition=Ready nodes --all --timeout=5s")
    serves(cluster)
    succeeded(switch(lab, "nftables"))
    is_settled(cluster, "nftables")


@pytest.mark.proof
def test_a_colleague_who_edits_the_configmap_meanwhile_loses_nothing(lab: Lab, cluster: Cluster) -> None:
    """What the colleague wrote is there at the end, and every kube-proxy has read it."""

    def colleague(_: int) -> None:
        edit(cluster, "tcpCloseWaitTimeout: null", "tcpCloseWaitTimeout: 33m0s")

    start_in(lab, cluster, "ipvs")
    succeeded(switch(lab, "iptables", at=(BEFORE_THE_MOVE, colleague)))
    assert "tcpCloseWaitTimeout: 33m0s" in config_text(cluster)
    is_settled(cluster, "iptables")
    for node in cluster.nodes:
        assert node.run("cat /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait").strip() == "1980"
    assert succeeded(switch(lab, "iptables")).changed == []


@pytest.mark.proof
def test_kubeadm_upgrade_keeps_the_mode(lab: Lab, cluster: Cluster) -> None:
    start_in(lab, cluster, "ipvs")
    version = cluster.control_plane.run("kubeadm version -o short").strip()
    cluster.control_plane.run(f"kubeadm upgrade apply {version} --yes --force {IN_THE_LAB}")
    for node in cluster.nodes[1:]:
        node.run(f"kubeadm upgrade node {IN_THE_LAB}")
    assert cluster.mode_text() == "ipvs"
    cluster.kubectl("rollout", "status", *KUBE_SYSTEM, "daemonset/kube-proxy", "--timeout=10m")
    cluster.wait_for_mode("ipvs")
    is_settled(cluster, "ipvs")


@pytest.mark.proof
def test_the_way_out_when_kube_proxy_does_not_start_any_more(lab: Lab, cluster: Cluster) -> None:
    """As after an upgrade to 1.40 in ipvs mode: the gate is off, and kube-proxy ends at once on every node."""
    start_in(lab, cluster, "ipvs")
    before = config_text(cluster)
    edit(cluster, before, before.rstrip() + "\nfeatureGates: {KubeProxyIPVS: false}\n")
    cluster.kubectl("delete", "pods", *KUBE_SYSTEM, "-l", "k8s-app=kube-proxy")
    for node in cluster.nodes:
        node.wait("kube-proxy to be gone", "! curl -s 127.0.0.1:10249/proxyMode")
    succeeded(switch(lab, "nftables"))
    is_settled(cluster, "nftables")
    assert "KubeProxyIPVS: false" in config_text(cluster)
    assert succeeded(switch(lab, "nftables")).changed == []
