# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why IPVS and nftables exist: many Services, programmed by the real kube-proxy in each mode, on one worker of a real cluster.

The cluster's other node is left to the API server: kube-proxy runs on the worker only. Between two modes kube-proxy is stopped and all that
it wrote is removed, so that no mode pays for another one's leftovers; Services are added while it is stopped.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import labkit
from tests.labkit import Lab, Node, wait_for
from tests.labkit.cluster import Cluster
from tests.labkit.tables import Table, seconds

# A lab named so keeps its cluster and its Services for the next run.
KEPT = os.environ.get("MODES_LAB", "")
LAB = Lab(KEPT or "kubelab-modes", ("--workers", "1", "--memory-control-plane", "4096", "--memory-worker", "3072"))
CLIENT = Path(labkit.__file__).with_name("modes_client.py")
ADMIN = "/etc/kubernetes/admin.conf"
BACKENDS = ("backend-a", "backend-b")
# A pod of its own for direct connections: in ipvs mode one with the source port of a connection that went through the Service to the same pod
# a moment ago is taken for that connection, and hangs.
PODS = (*BACKENDS, "direct", "client")
SIZES = (100, 1000, 5000)
MODES = ("iptables", "ipvs", "nftables")
CONNECTIONS = 2000
CHANGES = 12

COLUMNS = (
    "Services",
    "Mode",
    "First sync",
    "Set-up through the last Service: p50, p99",
    "To a pod, without a Service",
    "Inside the client's own network",
    "Endpoint change to the kernel: p50, longest",
)
# What the modes leave beside their iptables chains.
_REMOVE = (
    "ipvsadm -C; ip link del kube-ipvs0; ipset destroy; nft delete table ip kube-proxy; nft delete table ip6 kube-proxy;"
    " conntrack -F; true"
)
_LEFT = "iptables-save | grep -e '-[AN] KUBE-S' -e '^:KUBE-S'; ipvsadm -Sn; nft list tables | grep kube-proxy; ip -br link show kube-ipvs0"
_SERVICE = re.compile(
    r'^-A KUBE-SERVICES -d (\S+)/32 .*"default/(bench-\d+):http cluster IP".* -j KUBE-SVC-', re.MULTILINE
)
_METRIC = re.compile(
    r'^(kubeproxy_sync_proxy_rules_\w+)\{ip_family="IPv4"\} (\S+)$|^(process_start_time_seconds) (\S+)$', re.MULTILINE
)


@dataclass
class Bench:
    """The cluster, and what is in it."""

    cluster: Cluster
    table: Table
    services: int = 0
    last: dict[int, tuple[str, str]] = field(default_factory=dict)

    @property
    def worker(self) -> Node:
        return self.cluster.nodes[-1]

    def pod(self, name: str) -> dict[str, t.Any]:
        found: dict[str, t.Any] = self.cluster.get("pod", name)
        return found

    def address(self, name: str) -> str:
        found: str = self.pod(name)["status"]["podIP"]
        return found

    def client(self, node: Node, *arguments: object, inside: str = "") -> t.Any:
        """Run the client program on a node, inside of a pod's network if one is named."""
        container = (
            self.pod(inside)["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2] if inside else ""
        )
        enter = f"nsenter -n -t $(ctr -n k8s.io tasks ls | awk '$1 == \"{container}\" {{print $2}}') " if inside else ""
        return json.loads(node.run(f"{enter}python3 /root/modes_client.py {shlex.join(map(str, arguments))}"))

    def select(self, selector: dict[str, str | None], pods: int) -> None:
        """Have kube-proxy on the nodes that the selector means, and nowhere else."""
        patch = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
        self.cluster.kubectl("-n", "kube-system", "patch", "daemonset", "kube-proxy", "-p", json.dumps(patch))
        wait_for(f"{pods} kube-proxy pods", lambda: len(self.cluster.kube_proxy_pods()) == pods)

    def stop(self) -> None:
        """No kube-proxy, and nothing that it wrote."""
        self.select({"bench": "none"}, 0)
        for mode in ("iptables", "ipvs"):
            self.worker.module(
                "iptables_kube_chain", {"mode": mode, "running_mode": "none", "state": "absent"}, diff=False
            )
        self.worker.run(_REMOVE)
        left = self.worker.run(f"{_LEFT}; true")
        assert left == "", f"something is left of the mode before: {left[:1000]}"

    def grow(self, size: int) -> None:
        if size > self.services:
            addresses = [self.address(name) for name in BACKENDS]
            self.client(self.cluster.control_plane, "create", ADMIN, self.services, size, *addresses)
            self.services = size

    def start(self, mode: str) -> float:
        """kube-proxy in that mode; the seconds that its first sync took."""
        text = self.cluster.get("configmap", "-n", "kube-system", "kube-proxy")["data"]["config.conf"]
        found = re.search(r"^mode: (\S+)$", text, re.MULTILINE)
        assert found, text
        self.cluster.set_mode_text(found[1], mode)
        self.select({"bench": None, "kubernetes.io/hostname": self.worker.name}, 1)
        self.worker.wait(f"{mode} mode", f'test "$(curl -s 127.0.0.1:10249/proxyMode)" = {mode}')
        return wait_for("the first sync", self.first_sync, 1800)

    def first_sync(self) -> float | None:
        found = self.worker.attempt("curl -s 127.0.0.1:10249/metrics").out
        values = {name or plain: float(value or other) for name, value, plain, other in _METRIC.findall(found)}
        last = values.get("kubeproxy_sync_proxy_rules_last_timestamp_seconds", 0.0)
        if last <= values.get("process_start_time_seconds", last):
            return None
        prefix = "kubeproxy_sync_proxy_rules_duration_seconds"
        return values[f"{prefix}_sum"] / values[f"{prefix}_count"]

    def last_service(self) -> tuple[str, str]:
        """Name and address of the one that iptables mode has written last."""
        found = _SERVICE.findall(self.worker.run("iptables-save -t nat"))
        assert len(found) == self.services, f"{len(found)} of {self.services} Services are programmed"
        address, name = found[-1]
        return name, address


@pytest.fixture(scope="module")
def bench(table: t.Callable[..., Table]) -> t.Iterator[Bench]:
    if KEPT:
        LAB.up()
    else:
        LAB.bare()
    done = LAB.playbook("playbooks/create_cluster.yml")
    assert done.rc == 0, done.output
    made = Bench(
        Cluster(LAB, ("cp1", "w1")),
        table(
            "Services in iptables, ipvs and nftables mode (kube-proxy's own minSyncPeriod: 1 s, 0 in ipvs mode)",
            *COLUMNS,
        ),
    )
    for node in made.cluster.nodes:
        node.run("cat > /root/modes_client.py", stdin=CLIENT.read_text(encoding="utf-8"))
    made.worker.run(f"cat > {ADMIN}", stdin=made.cluster.control_plane.run(f"cat {ADMIN}"))
    image = made.worker.run("ctr -n k8s.io images ls -q | grep /agnhost: | head -1").strip()
    for name in PODS:
        container = {"name": name, "image": image, "args": ["netexec", "--http-port=8080"]}
        spec = {"nodeName": made.worker.name, "terminationGracePeriodSeconds": 1, "containers": [container]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "bench"}}, "spec": spec}
        made.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    made.cluster.wait_for_pods("bench", len(PODS))
    made.services = len(re.findall("service/bench-", made.cluster.kubectl("get", "services", "-o", "name")))
    yield made
    if not KEPT:
        LAB.down()


def figures(measured: t.Mapping[str, float]) -> str:
    return f"{measured['p50']:.0f}, {measured['p99']:.0f} µs"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_a_connection_and_a_change(bench: Bench, size: int, mode: str) -> None:
    """Connections from a pod, changes as seen from the node; every size in every mode through the same Service."""
    bench.stop()
    bench.grow(size)
    synced = bench.start(mode)
    if mode == "iptables":
        bench.last[size] = bench.last_service()
    name, address = bench.last[size]
    through, direct, alone = f"{address}:80", f"{bench.address('direct')}:8080", "127.0.0.1:8080"
    bench.worker.wait("the Service to answer", f"curl -sf -m 5 http://{through}/hostname | grep backend", 60)
    taken = bench.client(bench.worker, "connect", CONNECTIONS, through, direct, alone, inside="client")
    pods = [f"{pod}={bench.address(pod)}" for pod in BACKENDS]
    change = bench.client(bench.worker, "follow", ADMIN, name, through, CHANGES, *pods)
    assert (taken[through]["count"], change["count"]) == (CONNECTIONS, CHANGES)
    bench.table.add(
        f"{size:,}",
        mode,
        seconds(synced),
        figures(taken[through]),
        figures(taken[direct]),
        figures(taken[alone]),
        f"{seconds(change['p50'])}, {seconds(change['max'])}",
    )
