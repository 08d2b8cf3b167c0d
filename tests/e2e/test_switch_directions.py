# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From every mode to every other on a dual-stack cluster: what is other people's stays, nothing of the old mode is left, the
kernel holds what the API asks for, and requests are counted meanwhile."""

from __future__ import annotations

import json
import os
import re
import typing as t

import pytest

from tests.labkit import Lab, Node, Run
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import kinds, verdict, wrong
from tests.labkit.load import load
from tests.labkit.state import state_of
from tests.labkit.tutorial import KUBE_SVC

LAB = Lab("kubelab-e2e", ("--workers", "1"))
NAMES = ("cp1", "w1")
FAMILIES: dict[str, t.Any] = {
    "cluster_pod_subnet": "10.244.0.0/16,fd00:10:244::/56",
    "cluster_service_subnet": "10.96.0.0/16,fd00:10:96::/112",
}
# Each of the six directions once, and back where it began; in CI into every mode once.
ALL = ("ipvs", "iptables", "nftables", "ipvs", "nftables", "iptables")
WAY = ALL if "ALL_DIRECTIONS" in os.environ else ("ipvs", "nftables", "iptables")
# Somebody else's balancer. kube-proxy lets it live in ipvs mode only where it is excluded, and never in nftables mode.
SERVER = "198.18.0.9:6443"
EXCLUDED = {"ipvs": {"excludeCIDRs": ["198.18.0.0/24"]}}
# A user's chains, sets and table, and what the CNI plugin portmap makes for a hostPort.
FOREIGN = f"""
iptables -t nat -N MY-CHAIN; iptables -t nat -A MY-CHAIN -s 10.9.0.0/16 -j RETURN; iptables -t nat -I PREROUTING -j MY-CHAIN
ip6tables -t filter -N KUBE-SVC-FOO; ip6tables -I INPUT -j KUBE-SVC-FOO
ipset create MY-SET hash:ip; ipset add MY-SET 192.0.2.7; iptables -I INPUT -m set --match-set MY-SET src -j ACCEPT
iptables -t nat -N CNI-HOSTPORT-DNAT; iptables -t nat -N CNI-DN-0123456789abcdef01234
iptables -t nat -A CNI-DN-0123456789abcdef01234 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 10.244.0.99:80
iptables -t nat -A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 8081 -j CNI-DN-0123456789abcdef01234
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
nft add table inet mine; nft add chain inet mine hook '{{ type filter hook input priority 10 ; }}'
ipvsadm -A -t {SERVER} -s wlc; ipvsadm -a -t {SERVER} -r 198.18.0.10:6443 -g -w 7
"""
MINE = ("MY-CHAIN", "KUBE-SVC-FOO", "MY-SET", "CNI-", "inet mine", SERVER)
LISTING = "iptables-save; ip6tables-save; ipset save; nft list tables; ipvsadm -Sn"
# What facts 4.6 names, for the node's own tools.
OF_IPTABLES = ("KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-CANARY", "KUBE-SEP-")
OF_IPVS = ("KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-IPVS", "KUBE-LOOP-BACK", "KUBE-6-", "KUBE-CLUSTER-IP")
OF_BOTH = ("KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", "KUBE-FORWARD", "KUBE-PROXY-FIREWALL")


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    found = Cluster(lab, NAMES)
    run = lab.playbook("playbooks/create_cluster.yml", **FAMILIES)
    assert run.rc == 0, run.output
    found.apply("dataplane.yaml")
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.20"}, {"ip": "2001:db8:ffff::20"}]}}}
    found.kubectl("patch", "service", "balanced", "--subresource=status", "-p", json.dumps(ingress))
    found.apply("httpservice.yaml")
    found.wait_for_pods("http", 3)
    found.wait_for_pods("client", len(NAMES))
    found.wait_for_mode("iptables")
    found.wait_for_dns()
    for node in found.nodes:
        node.run(FOREIGN)
    return found


def switch(lab: Lab, mode: str, **options: t.Any) -> Run:
    settings: dict[str, t.Any] = {"switch_settings": EXCLUDED} if mode == "ipvs" else {}
    return lab.playbook(f"playbooks/switch_to_{mode}.yml", **settings, **options)


def mine(node: Node) -> list[str]:
    return [line for line in node.run(LISTING).splitlines() if any(name in line for name in MINE)]


def left_of_others(node: Node, mode: str) -> list[str]:
    """What there is of other modes than this one, by the node's own tools."""
    names = {
        "iptables": OF_IPVS,
        "ipvs": OF_IPTABLES,
        "nftables": (*OF_IPTABLES, *OF_IPVS, *OF_BOTH),
    }[mode]
    lines = [line for line in node.run(LISTING).splitlines() if not any(name in line for name in MINE)]
    found = [line for line in lines if any(name in line for name in names)]
    if mode != "iptables":
        found += [line for line in lines if KUBE_SVC.search(line)]
    if mode != "ipvs":
        found += [line for line in lines if re.match(r"-[aA] -[tuf] ", line)]
        found += node.run("ip -o link show kube-ipvs0 2>/dev/null || true").splitlines()
    if mode != "nftables":
        found += [line for line in lines if re.match("table ip6? kube-proxy", line)]
    return found


def is_right(cluster: Cluster, mode: str, before: list[list[str]]) -> None:
    assert [mine(node) for node in cluster.nodes] == before
    for node in cluster.nodes:
        assert node.run("curl -s 127.0.0.1:10249/proxyMode") == mode
        assert left_of_others(node, mode) == []
        inventory = node.module("kube_proxy_info", {"gather": ["inventory"]})["inventory"]
        assert [row for row in inventory["artifacts"] if row["belongs"] is False] == []
        found = verdict(cluster, node)
        assert wrong(found) == []
        assert found["kernel_modes"] == [mode]


@pytest.mark.parametrize(("number", "mode"), list(enumerate(WAY)))
def test_from_mode_to_mode(lab: Lab, cluster: Cluster, figures: dict[str, t.Any], number: int, mode: str) -> None:
    worker = cluster.nodes[1]
    if mode == "nftables" and SERVER in worker.run("ipvsadm -Sn"):
        refused_for_the_balancer(lab, cluster)
    before = [mine(node) for node in cluster.nodes]
    assert all(before)
    address = cluster.service("httpservice")["spec"]["clusterIP"]
    with load(cluster, worker, f"{address}:80", rate=50) as requests:
        run = switch(lab, mode)
    assert run.rc == 0, run.output
    figures[f"requests from {WAY[number - 1]} to {mode}"] = {"run": round(run.seconds), **requests.values}
    is_right(cluster, mode, before)


def refused_for_the_balancer(lab: Lab, cluster: Cluster) -> None:
    states = [state_of(node) for node in cluster.nodes]
    run = switch(lab, "nftables")
    assert run.rc != 0
    assert any("198.18.0.9" in f and "nothing can keep it" in f for f in run.failures), run.output
    assert [state_of(node) for node in cluster.nodes] == states
    for node in cluster.nodes:
        node.run(f"ipvsadm -D -t {SERVER}")


def test_switching_again_changes_nothing(lab: Lab) -> None:
    run = switch(lab, WAY[-1])
    assert run.rc == 0, run.output
    assert run.changed == []


# By hand, what three releases and the other backend of iptables have left on a node that runs iptables mode.
OLD = """
ip link add kube-ipvs0 type dummy; ip address add 10.96.0.1/32 dev kube-ipvs0
ipvsadm -A -t 10.96.0.1:443 -s rr; ipset create KUBE-NODE-PORT-SCTP bitmap:port range 0-65535; ipset create KUBE-6-LOOP-BACK hash:ip,port,ip family inet6
iptables-legacy -t nat -N KUBE-XLB-AAAAAAAAAAAAAAAA; iptables -t nat -N KUBE-NODE-PORT
"""


def test_cleanup_removes_what_others_left(lab: Lab, cluster: Cluster) -> None:
    node = cluster.control_plane
    before = mine(node)
    node.run(OLD)
    state = state_of(node)
    shown = lab.playbook("playbooks/cleanup.yml", check=True, diff=True, cleanup_mode=["ipvs", "nftables"])
    assert (shown.rc, state_of(node)) == (0, state), shown.output
    assert "kube-ipvs0" in shown.output
    run = lab.playbook("playbooks/cleanup.yml", cleanup_mode=["ipvs", "nftables"])
    assert run.rc == 0, run.output
    assert run.changed
    is_right(cluster, "iptables", [before, mine(cluster.nodes[1])])
    again = lab.playbook("playbooks/cleanup.yml", cleanup_mode=["ipvs", "nftables"])
    assert (again.rc, again.changed) == (0, []), again.output


def test_cleanup_refuses_the_running_mode(lab: Lab, cluster: Cluster) -> None:
    states = [state_of(node) for node in cluster.nodes]
    run = lab.playbook("playbooks/cleanup.yml", cleanup_mode=["iptables"])
    assert run.rc != 0
    assert any("runs in iptables mode" in f for f in run.failures), run.output
    assert [state_of(node) for node in cluster.nodes] == states
    assert kinds(wrong(verdict(cluster, cluster.control_plane))) == set()
