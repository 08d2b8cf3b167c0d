# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of connections while a dual-stack cluster changes its mode: as the tutorial does it, node by node, and node by node with a bridge. New
ones all the time, and ones that are held over the whole run, in every way of using them and by every kind of address."""

from __future__ import annotations

import json
import subprocess
import time
import typing as t
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.labkit import Lab, Node, Run, succeeded, within
from tests.labkit import held as program
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import verdict, with_catalogue, wrong
from tests.labkit.load import Figures, client_process, load, load_from_outside, pod_process
from tests.labkit.modes import ManyServices
from tests.labkit.replaced import pods_replaced
from tests.labkit.switching import left_of_others

NAMES = ("cp1", "w1")
pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "1"))
# All six directions.
CIRCLE = ("ipvs", "nftables", "ipvs", "iptables", "nftables", "iptables")
WAYS = ("idle", "asked", "told", "told-later", "bulk")
RATE = 50 / 6
MANY = 2000
BALANCED = {"allowed": "203.0.113.21", "refused": "203.0.113.22"}
# By the words for it, what a client beside the nodes reaches, and what it may never reach, on the worker that moves.
OPEN = {"in the source range": "203.0.113.21:80", "by the NodePort where the pod is": "10.34.0.10:30881"}
CLOSED = {"not in the source range": "203.0.113.22:80", "by the NodePort where none is": "10.34.0.11:30881"}
Object = dict[str, t.Any]


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    found = with_catalogue(lab, NAMES)
    for name in ("httpservice.yaml", "bridge.yaml"):
        found.apply(name)
    for name, address in BALANCED.items():
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
        found.kubectl("patch", "service", name, "--subresource=status", "-p", json.dumps(status))
        subprocess.run([*within(lab.name), "ip", "route", "add", address, "via", "10.34.0.11"], check=True)
    for app, count in (("http", 3), ("local", 1), ("replaced", 2)):
        found.wait_for_pods(app, count)
    found.wait_for_pods("client", len(NAMES))
    found.wait_for_mode("iptables")
    found.wait_for_dns()
    for node in found.nodes:
        node.run(
            "mkdir -p /run/held; cat > /run/held/held.py", stdin=Path(program.__file__).read_text(encoding="utf-8")
        )
    for pod in found.get("pods", "-l", "app=http")["items"]:
        node = lab.node(pod["spec"]["nodeName"])
        unit = f"held-serve-{pod['metadata']['name']}"
        node.run(
            f"systemd-run -q --collect --unit {unit} nsenter -t {pod_process(node, pod)} -n python3 /run/held/held.py serve 9090"
        )
    return found


def addresses(cluster: Cluster, node: Node) -> dict[str, str]:
    """By the words for it, every kind of address of the Service, as a pod of that node asks for it."""
    ips = cluster.service("bridged")["spec"]["clusterIPs"]
    inside = [
        one["address"] for one in cluster.get("node", node.name)["status"]["addresses"] if one["type"] == "InternalIP"
    ]
    return {
        "ClusterIP": ips[0],
        "ClusterIP, IPv6": ips[1],
        "externalIP": "198.51.100.7",
        "externalIP, IPv6": "2001:db8:ffff::7",
        "NodePort": inside[0],
        "NodePort, IPv6": inside[1],
    }


@contextmanager
def held(cluster: Cluster) -> t.Iterator[list[Object]]:
    """Connections that are open before the block and used once more behind it: from a pod of each node, by each kind of address, in each way."""
    found: list[Object] = []
    folders: list[tuple[Node, str, str]] = []
    for node in cluster.nodes:
        node.run("rm -rf /run/held/go /run/held/hold-*")
    for node in cluster.nodes:
        process = client_process(cluster, node)
        for number, (kind, address) in enumerate(addresses(cluster, node).items()):
            folder, port = f"/run/held/hold-{number}", 30990 if "NodePort" in kind else 9090
            command = (
                f"nsenter -t {process} -n python3 /run/held/held.py hold {folder} {address} {port} 120 {' '.join(WAYS)}"
            )
            node.run(f"mkdir -p {folder}; systemd-run -q --collect --unit held-hold-{number} {command}")
            folders.append((node, kind, folder))
    for node, kind, folder in folders:
        node.wait(f"connections by {kind} from {node.name}", f"test -e {folder}/ready")
    yield found
    for node in cluster.nodes:
        node.run("touch /run/held/go")
    for node, kind, folder in folders:
        rows = json.loads(node.wait(f"what became of connections by {kind} from {node.name}", f"cat {folder}/done"))
        found += [{"from": node.name, "by": kind, **one} for one in rows]


@contextmanager
def requests(cluster: Cluster) -> t.Iterator[dict[str, Figures]]:
    """50 new ones a second, from a pod of the worker that moves to itself and from the other to it."""
    other, worker = cluster.nodes
    kinds = addresses(cluster, worker)
    with ExitStack() as stack:
        yield {
            f"{protocol} by {kind} from {node.name}": stack.enter_context(
                load(cluster, node, f"{host}:{port}", RATE, protocol)
            )
            for protocol, kind, node, port in (
                ("tcp", "ClusterIP", worker, 80),
                ("udp", "ClusterIP", worker, 80),
                ("tcp", "ClusterIP, IPv6", worker, 80),
                ("tcp", "externalIP", worker, 80),
                ("tcp", "NodePort", other, 30880),
                ("udp", "NodePort", other, 30880),
            )
            for host in [f"[{kinds[kind]}]" if "IPv6" in kind else kinds[kind]]
        }


@contextmanager
def from_outside(lab: Lab, targets: t.Mapping[str, str]) -> t.Iterator[dict[str, Figures]]:
    with ExitStack() as stack:
        yield {how: stack.enter_context(load_from_outside(lab, target, 2)) for how, target in targets.items()}


def summary(sent: t.Mapping[str, Figures], connections: t.Sequence[Object], seconds: float) -> Object:
    broken = [one for one in connections if not one["unbroken"]]
    return {
        "requests": sum(one.values["sent"] for one in sent.values()),
        "failed": {kind: one.values["failed"] for kind, one in sent.items() if one.values["failed"]},
        "worst gap, s": max(one.values["worst_gap_seconds"] for one in sent.values()),
        "held": len(connections),
        "broken": len(broken),
        "broken by": sorted({f"{one['by']}, {one['way']}: {one['why']}"[:90] for one in broken}),
        "worst pause, s": max(one["pause"] for one in connections),
        "seconds": round(seconds),
    }


def switched(lab: Lab, mode: str, bridge: str) -> Run:
    return succeeded(lab.playbook(f"playbooks/switch_to_{mode}.yml", switch_strategy="rolling", switch_bridge=bridge))


def nothing_is_lost(lab: Lab, cluster: Cluster, figures: Object, mode: str, words: str) -> None:
    old = cluster.nodes[1].run("curl -s 127.0.0.1:10249/proxyMode")
    replaced = cluster.service("replaced")["spec"]["clusterIP"]
    with (
        held(cluster) as connections,
        requests(cluster) as sent,
        from_outside(lab, OPEN) as reached,
        from_outside(lab, CLOSED) as closed,
        load(cluster, cluster.nodes[1], f"{replaced}:80", 4) as to_replaced,
        pods_replaced(cluster, "replaced", 2) as gone,
    ):
        run = switched(lab, mode, "require")
    found = summary({**sent, **reached, "pods that are replaced": to_replaced}, connections, run.seconds)
    figures[f"from {old} to {mode}, {words}"] = {**found, "pods replaced": len(gone)}
    assert (found["failed"], found["broken"]) == ({}, 0), found
    assert [(how, one.values["answered"]) for how, one in closed.items()] == [(how, 0) for how in CLOSED]
    assert gone
    for node in cluster.nodes:
        assert left_of_others(node, mode) == []
        assert wrong(verdict(cluster, node)) == []
    assert switched(lab, mode, "require").changed == []


@pytest.mark.parametrize("mode", CIRCLE)
def test_nothing_is_lost(lab: Lab, cluster: Cluster, figures: Object, mode: str) -> None:
    nothing_is_lost(lab, cluster, figures, mode, "with a bridge")


def by_hand(cluster: Cluster, mode: str) -> None:
    """As the tutorial does it: the ConfigMap, all pods at once, and a flush of what IPVS left."""
    cluster.set_mode_text(cluster.mode_text(), mode)
    cluster.restart_kube_proxy()
    cluster.wait_for_mode(mode)
    if mode != "ipvs":
        for node in cluster.nodes:
            node.run("ipvsadm -C; ip link del kube-ipvs0 2>/dev/null || true")


@pytest.mark.parametrize("mode", CIRCLE)
@pytest.mark.parametrize("how", ["as the tutorial does it", "node by node without a bridge"])
def test_what_is_lost_without(lab: Lab, cluster: Cluster, figures: Object, mode: str, how: str) -> None:
    old = cluster.nodes[1].run("curl -s 127.0.0.1:10249/proxyMode")
    begun = time.monotonic()
    with held(cluster) as connections, requests(cluster) as sent:
        if how == "as the tutorial does it":
            by_hand(cluster, mode)
        else:
            switched(lab, mode, "off")
    figures[f"from {old} to {mode}, {how}"] = summary(sent, connections, time.monotonic() - begun)
    switched(lab, mode, "off")


@pytest.mark.parametrize("mode", ["ipvs", "nftables"])
def test_nothing_is_lost_with_many_services(lab: Lab, cluster: Cluster, figures: Object, mode: str) -> None:
    services = ManyServices(cluster, cluster.control_plane)
    services.prepare()
    services.grow(MANY, "fill", 2)
    nothing_is_lost(lab, cluster, figures, mode, f"with a bridge of {MANY} more Services")
