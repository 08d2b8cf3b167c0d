# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""iptables_kube_chain beside a real kube-proxy: having it rebuild in each mode, and working while it works."""

from __future__ import annotations

import json
import re
import threading

import pytest

from tests.labkit import Lab, Node
from tests.labkit.cluster import Cluster

pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "0"))
MODULE = "iptables_kube_chain"
RESYNC = {"state": "present", "resync": True}
CANARY = "iptables -t mangle -S KUBE-PROXY-CANARY"
API = "KUBE-SVC-NPX46M4PTMTKRN6Y"
"""default/kubernetes:https over tcp, the same on every cluster."""

# What ipvs mode leaves, cut down.
LEFTOVERS = (
    "*nat\n:KUBE-NODE-PORT - [0:0]\n:KUBE-LOAD-BALANCER - [0:0]\n-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ\nCOMMIT\n"
    "*filter\n:KUBE-NODE-PORT - [0:0]\n:KUBE-IPVS-FILTER - [0:0]\n"
    '-I INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER\nCOMMIT\n'
)


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    return Cluster(lab, ("cp1",))


@pytest.fixture(scope="module")
def node(cluster: Cluster) -> Node:
    return cluster.control_plane


def saved(node: Node) -> list[str]:
    """Every chain and rule of both families, in an order that does not depend on who wrote first."""
    out = node.run("iptables-save; ip6tables-save")
    return sorted(line.partition(" [")[0] for line in out.splitlines() if line.startswith((":", "-A")))


def switch(cluster: Cluster, old: str, new: str) -> None:
    cluster.set_mode_text(old, new)
    cluster.restart_kube_proxy()
    cluster.wait_for_mode(new)


def test_a_cluster(lab: Lab, cluster: Cluster, node: Node) -> None:
    run = lab.playbook("playbooks/create_cluster.yml")
    assert run.rc == 0, run.output
    cluster.wait_for_mode("iptables")
    node.wait("the first sync", f"iptables-save -t nat | grep -- '-j {API}' && {CANARY}")
    cluster.wait_for_dns()


def test_iptables_mode_writes_again_what_was_flushed(node: Node) -> None:
    before = saved(node)
    # What firewall managers do, short of everything: kubelet's and the CNI plugin's rules stay.
    node.run(
        "iptables -t nat -F KUBE-SERVICES; iptables -F KUBE-FORWARD;"
        " iptables-save -t nat | sed -n 's/^-A PREROUTING\\(.* -j KUBE-SERVICES\\)$/iptables -t nat -D PREROUTING\\1/p' | sh"
    )
    damaged = saved(node)
    assert not any(line.endswith(f"-j {API}") for line in damaged)
    predicted = node.module(MODULE, {**RESYNC, "mode": "iptables"}, check=True)
    assert predicted["changed"]
    assert predicted["actions"][0].startswith("Remove chain KUBE-PROXY-CANARY from table mangle (ipv4, ")
    assert "Add to PREROUTING the jump to KUBE-SERVICES in table nat (ipv4, nft)" in predicted["actions"]
    assert saved(node) == damaged
    done = node.module(MODULE, {**RESYNC, "mode": "iptables"})
    assert (done["changed"], done["actions"]) == (True, predicted["actions"])
    assert saved(node) == before
    assert node.attempt(CANARY).rc == 0


def test_a_kube_proxy_that_syncs_beside_us_loses_nothing(cluster: Cluster, node: Node) -> None:
    names = [f"edit-{number}" for number in range(40)]
    failures: list[str] = []

    def edit() -> None:
        for name in names:
            metadata, spec = {"name": name}, {"ports": [{"port": 80}]}
            manifest = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
            try:
                cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
            except AssertionError as error:
                failures.append(str(error))

    editor = threading.Thread(target=edit)
    editor.start()
    rounds = 0
    while editor.is_alive() or rounds == 0:
        node.run("iptables-restore --noflush", stdin=LEFTOVERS)
        wanted = {"mode": "ipvs", "running_mode": "iptables", "state": "absent"}
        done = node.module(MODULE, wanted, diff=False)
        assert done["changed"]
        assert done["kept"] == []
        assert not node.module(MODULE, {"mode": "iptables", "families": ["ipv4"]}, diff=False)["changed"]
        rounds += 1
    editor.join()
    assert failures == []
    # Services without endpoints: one rule each in table filter.
    node.wait(
        "every Service in the kernel",
        f"test $(iptables-save -t filter | grep -c 'default/edit-.* has no endpoints') = {len(names)}",
    )
    assert not [line for line in saved(node) if re.search("KUBE-IPVS-FILTER|KUBE-NODE-PORT |KUBE-LOAD-BALANCER", line)]
    metrics = node.run("curl -sf 127.0.0.1:10249/metrics").splitlines()
    assert any(line.startswith("kubeproxy_sync_proxy_rules_iptables_last{") for line in metrics)
    # A counter is there from the first failure on.
    failed = [line for line in metrics if line.startswith("kubeproxy_sync_proxy_rules_iptables_restore_failures_total")]
    assert [line for line in failed if not line.endswith(" 0")] == []


def test_ipvs_mode_is_waited_for(cluster: Cluster, node: Node) -> None:
    switch(cluster, "iptables", "ipvs")
    jump = "INPUT -m comment --comment 'kubernetes ipvs access filter' -j KUBE-IPVS-FILTER"
    node.wait("the first sync", f"iptables -C {jump} && ip6tables -C {jump}")
    assert "it runs in ipvs mode" in node.module_fails(MODULE, {**RESYNC, "mode": "iptables"})
    node.run(f"iptables -D {jump}")
    stamp = "curl -s 127.0.0.1:10249/metrics | grep '^kubeproxy_sync_proxy_rules_last_timestamp_seconds'"
    before = node.run(stamp)
    done = node.module(MODULE, {**RESYNC, "mode": "ipvs"})
    assert done["actions"][0] == "Wait for kube-proxy's next periodic sync"
    node.run(f"iptables -C {jump}")
    assert node.run(stamp) != before
    assert not node.module(MODULE, {**RESYNC, "mode": "ipvs"})["changed"]


def test_nftables_mode_is_an_error(cluster: Cluster, node: Node) -> None:
    switch(cluster, "ipvs", "nftables")
    message = node.module_fails(MODULE, {**RESYNC, "name": ["KUBE-SERVICES"], "table": "nat"})
    assert "kube-proxy in nftables mode cannot be made to write its rules again" in message
