# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections and UDP flows on a real dual-stack cluster, in all three modes: everything answers, from the node, from a pod and from an
endpoint to itself; what is broken with the node's own tools is what fails, and nothing else; a switch that breaks a Service goes back."""

from __future__ import annotations

import json
import typing as t
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import labkit
from tests.labkit import Lab, Node
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import move, restart, state, with_catalogue
from tests.labkit.state import state_of
from tests.labkit.switching import procedure

pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "1"))
NAMES = ("cp1", "w1")
MODULE = "service_probe_info"
CLIENT = Path(labkit.__file__).with_name("udp_client.py")
OURS = ["default/near", "default/many"]
Failures = set[tuple[str, str, str, int]]
"""Where from, which Service, what kind of address, IP version."""


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    found = with_catalogue(lab, NAMES)
    found.apply("httpservice.yaml")
    found.apply("probe.yaml")
    for app, count in (("http", 3), ("client", len(NAMES)), ("near", 1)):
        found.wait_for_pods(app, count)
    found.wait_for_mode("iptables")
    found.wait_for_dns()
    for node in found.nodes:
        # As a node with IPv6 beyond its own networks has it: without it nothing is sent to an IPv6 ClusterIP.
        node.run("ip -6 route replace default via fd00:34::1")
    return found


@pytest.fixture(scope="module")
def worker(cluster: Cluster) -> Node:
    return cluster.nodes[1]


def addresses(cluster: Cluster, service: str) -> list[str]:
    """ClusterIPs, IPv4 first."""
    found: list[str] = cluster.service(service)["spec"]["clusterIPs"]
    return found


def probe(node: Node, text: str, mode: str, **options: t.Any) -> dict[str, t.Any]:
    return node.module(MODULE, {"state": text, "mode": mode, "timeout": 1.5, **options}, diff=False)


def failures(found: dict[str, t.Any]) -> Failures:
    rows = [one for one in found["probes"] if one["verdict"] == "failed"]
    assert len(rows) == len(found["failures"])
    return {(one["from"], one["service"].partition(":")[0], one["source"], one["family"]) for one in rows}


def everything_answers(cluster: Cluster, mode: str) -> None:
    text = state(cluster)
    for node in cluster.nodes:
        before = state_of(node)
        found = probe(node, text, mode, services=OURS, limit=0)
        assert {one["verdict"] for one in found["probes"]} == {"ok"}, found["probes"]
        # Of Services with affinity nftables mode remembers clients, ours too: none of these has it.
        assert state_of(node) == before
        seen = {(one["from"], one["service"], one["source"], one["family"]) for one in found["probes"]}
        places = ("node", "pod", "hairpin") if node.name == "w1" else ("node", "pod")
        wanted = {(place, "default/near:http", kind, family) for place in places for kind in KINDS for family in (4, 6)}
        wanted |= {(place, "default/many:http", kind, 4) for place in ("node", "pod") for kind in KINDS[1:]}
        assert seen >= wanted
        # A whole catalogue of Services whose endpoints nobody is: nothing of it fails, and something of each kind is seen.
        found = probe(node, text, mode)
        assert found["failures"] == []
        reasons = {one["reason"].partition(":")[0] for one in found["probes"] if one["verdict"] == "unknown"}
        assert reasons == {"None of its endpoints answers directly either"}
        empty = [one for one in found["probes"] if one["service"] == "default/empty"]
        assert {(one["verdict"], one["answered"]) for one in empty} == {("ok", False)}


KINDS = ("external_ip", "cluster_ip", "node_port")
ALL_PLACES = ("node", "pod", "hairpin")


def of(places: t.Iterable[str], service: str, source: str, family: int) -> Failures:
    return {(place, f"default/{service}", source, family) for place in places}


def exactly_that_fails(cluster: Cluster, worker: Node, mode: str, damages: t.Sequence[tuple[str, Failures]]) -> None:
    """One thing after the other is broken while kube-proxy is held still, so that it repairs nothing."""
    text = state(cluster)
    with worker.held_still("kube-proxy"):
        before: Failures = set()
        for command, expected in damages:
            worker.run(command)
            found = probe(worker, text, mode, services=OURS, limit=0)
            assert failures(found) - before == expected, f"after {command}: {found['failures']}"
            before |= expected
            assert failures(found) == before
    restart(cluster, mode)


def delete_rule(tool: str, chain: str, *signs: str) -> str:
    """Delete the one rule with these signs."""
    found = f"{tool} -t nat -S {chain}" + "".join(f" | grep -- '{sign}'" for sign in signs)
    return f'test $({found} | wc -l) = 1 && eval "{tool} -t nat $({found} | sed "s/^-A/-D/")"'


def pod_of(cluster: Cluster, service: str) -> str:
    (found,) = [one for one in cluster.endpoints(service) if ":" not in one]
    return found


LOCALHOST = "curl -s 127.0.0.1:10249/metrics | grep '^kubeproxy_iptables_localhost_nodeports_accepted_packets_total'"


def test_in_iptables_mode(cluster: Cluster, worker: Node) -> None:
    everything_answers(cluster, "iptables")
    # What the preflight reads as NodePorts on loopback in use.
    assert float(worker.run(LOCALHOST).split()[1]) == 0
    pod, (many, _many6) = pod_of(cluster, "near"), addresses(cluster, "many")
    chain = f"$(iptables -t nat -S | grep -- '-A KUBE-SEP-' | grep -- '-s {pod}/32' | grep near:http | cut -d' ' -f2)"
    damages = [
        (delete_rule("iptables", "KUBE-SERVICES", f"-d {many}/32"), of(("node", "pod"), "many", "cluster_ip", 4)),
        (delete_rule("ip6tables", "KUBE-NODEPORTS", "--dport 30210"), of(ALL_PLACES, "near", "node_port", 6)),
        (delete_rule("iptables", chain, f"-s {pod}/32"), of(("hairpin",), "near", "cluster_ip", 4)),
    ]
    exactly_that_fails(cluster, worker, "iptables", damages)
    everything_answers(cluster, "iptables")


def test_an_endpoint_that_does_not_answer_is_no_failure_of_the_service(cluster: Cluster, worker: Node) -> None:
    """As a NetworkPolicy does it, and an application that does not listen."""
    worker.run("nft add table inet strict; nft add chain inet strict f '{ type filter hook forward priority 5; }'")
    worker.run("nft add chain inet strict o '{ type filter hook output priority 5; }'")
    try:
        for chain in "fo":
            worker.run(f"nft add rule inet strict {chain} ip daddr {pod_of(cluster, 'near')} tcp dport 8080 drop")
        found = probe(worker, state(cluster), "iptables", services=["default/near"], limit=0)
    finally:
        worker.run("nft delete table inet strict")
    assert found["failures"] == []
    four = {(one["from"], one["verdict"]) for one in found["probes"] if one["family"] == 4}
    assert four == {("node", "unknown"), ("pod", "unknown"), ("hairpin", "unknown")}
    assert {one["verdict"] for one in found["probes"] if one["family"] == 6} == {"ok"}


@contextmanager
def firewall(node: Node, address: str) -> t.Iterator[None]:
    """In ipvs mode a Service's packets come to the node itself, and so through its firewall; in the other modes they pass by."""
    node.run("nft add table inet wall; nft add chain inet wall i '{ type filter hook input priority 0; }'")
    node.run(f"nft add rule inet wall i ip daddr {address} tcp dport 80 drop")
    try:
        yield
    finally:
        node.run("nft delete table inet wall")


def test_a_node_whose_services_do_not_answer_goes_back(lab: Lab, cluster: Cluster, worker: Node) -> None:
    near, _near6 = addresses(cluster, "near")
    with firewall(worker, near):
        run = lab.playbook("playbooks/switch_to_ipvs.yml", switch_strategy="rolling")
        assert run.rc != 0
        told = f"From a pod on it: TCP {near}:80 (default/near:http) was not answered in 4 attempts"
        assert any(f.startswith("w1 could not be settled in ipvs mode") and told in f for f in run.failures), run.output
        assert worker.run("curl -s 127.0.0.1:10249/proxyMode") == "iptables"
        assert not [one for one in procedure(cluster) if one.startswith("w1 ")]
    run = lab.playbook("playbooks/switch_to_ipvs.yml", switch_strategy="rolling")
    assert run.rc == 0, run.output
    probed = [one for one in run.results if one.task.endswith("Connect to the node's Services") and one.status == "ok"]
    # When it has moved, and when it has been handed back.
    assert sorted(one.host for one in probed) == ["cp1", "cp1", "w1", "w1"]
    assert {json.dumps(one.result["failures"]) for one in probed} == {"[]"}
    again = lab.playbook("playbooks/switch_to_ipvs.yml", switch_strategy="rolling")
    assert (again.rc, again.changed) == (0, []), again.output


def test_in_ipvs_mode(cluster: Cluster, worker: Node) -> None:
    everything_answers(cluster, "ipvs")
    pod, (many, _many6), (_near, near6) = (
        pod_of(cluster, "near"),
        addresses(cluster, "many"),
        addresses(cluster, "near"),
    )
    damages = [
        (f"ipvsadm -D -t {many}:80", of(("node", "pod"), "many", "cluster_ip", 4)),
        (f"ipvsadm -D -t '[{near6}]:80'", of(ALL_PLACES, "near", "cluster_ip", 6)),
        (f"ipset del KUBE-LOOP-BACK {pod},tcp:8080,{pod}", of(("hairpin",), "near", "cluster_ip", 4)),
    ]
    exactly_that_fails(cluster, worker, "ipvs", damages)
    everything_answers(cluster, "ipvs")


def client(cluster: Cluster, node: Node, address: str, source_port: int) -> dict[str, int]:
    """What becomes of ten packets and more from one port of the client pod on that node."""
    node.run("cat > /root/udp_client.py", stdin=CLIENT.read_text(encoding="utf-8"))
    pods = cluster.get("pods", "-l", "app=client")["items"]
    (ip,) = [one["status"]["podIP"] for one in pods if one["spec"]["nodeName"] == node.name]
    process = node.run(
        f"for p in $(pgrep agnhost); do nsenter -n -t $p ip -o address | grep -qF ' {ip}/' && echo $p && break; done"
    ).strip()
    told = node.run(f"nsenter -n -t {process} python3 /root/udp_client.py {address} 81 {source_port} 6")
    found: dict[str, int] = json.loads(told)
    return found


def test_udp_flows_that_ipvs_carried_lead_nowhere_until_they_are_removed(cluster: Cluster, worker: Node) -> None:
    """On kernels before 5.9 they outlive their virtual server: with the sysctl off they do on any."""
    both = addresses(cluster, "near")
    worker.run("sysctl -qw net.ipv4.vs.expire_nodest_conn=0")
    for number, address in enumerate(both):
        assert client(cluster, worker, address, 7000 + number)["answered"] > 0
    cluster.set_mode_text("ipvs", "iptables")
    cluster.restart_kube_proxy()
    cluster.wait_for_mode("iptables")
    worker.module("kube_proxy_cleanup", {"mode": ["ipvs"], "running_mode": "iptables"}, diff=False)
    cluster.control_plane.module("kube_proxy_cleanup", {"mode": ["ipvs"], "running_mode": "iptables"}, diff=False)
    for number, address in enumerate(both):
        assert client(cluster, worker, address, 7000 + number)["answered"] == 0
    arguments = {"state": state(cluster), "mode": "iptables"}
    shown = worker.module("service_conntrack_cleanup", arguments, check=True)
    assert {(one["address"], one["source_port"]) for one in shown["removed"]} >= {(both[0], 7000), (both[1], 7001)}
    assert client(cluster, worker, both[0], 7000)["answered"] == 0
    worker.module("service_conntrack_cleanup", arguments)
    for number, address in enumerate(both):
        found = client(cluster, worker, address, 7000 + number)
        assert found["answered"] == found["sent"]


def test_in_nftables_mode(cluster: Cluster, worker: Node) -> None:
    move(cluster, "iptables", "nftables")
    everything_answers(cluster, "nftables")
    pod, (many, _many6) = pod_of(cluster, "near"), addresses(cluster, "many")
    remove = "nft delete element {} kube-proxy {} '{{ {} }}'"
    damages = [
        (remove.format("ip", "service-ips", f"{many} . tcp . 80"), of(("node", "pod"), "many", "cluster_ip", 4)),
        (remove.format("ip6", "service-nodeports", "tcp . 30210"), of(ALL_PLACES, "near", "node_port", 6)),
        (
            remove.format("ip", "hairpin-connections", f"{pod} . {pod} . tcp . 8080"),
            of(("hairpin",), "near", "cluster_ip", 4),
        ),
    ]
    exactly_that_fails(cluster, worker, "nftables", damages)
    everything_answers(cluster, "nftables")
