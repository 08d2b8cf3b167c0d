# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why IPVS and nftables exist: many Services, programmed by the real kube-proxy in each mode, on one worker of a real cluster.

The cluster's other node is left to the API server: kube-proxy runs on the worker only.
"""

from __future__ import annotations

import json
import os
import re
import typing as t
from dataclasses import dataclass, field

import pytest

from tests.labkit import Lab
from tests.labkit.cluster import Cluster
from tests.labkit.modes import ADMIN, MODES, ManyServices
from tests.labkit.tables import Table, seconds

# A lab named so keeps its cluster and its Services for the next run.
KEPT = os.environ.get("MODES_LAB", "")
LAB = Lab(KEPT or "kubelab-modes", ("--workers", "1", "--memory-control-plane", "4096", "--memory-worker", "3072"))
BACKENDS = ("backend-a", "backend-b")
# A pod of its own for direct connections: in ipvs mode one with the source port of a connection that went through the Service to the same pod
# a moment ago is taken for that connection, and hangs.
PODS = (*BACKENDS, "direct", "client")
SIZES = (100, 1000, 5000)
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
_SERVICE = re.compile(
    r'^-A KUBE-SERVICES -d (\S+)/32 .*"default/(bench-\d+):http cluster IP".* -j KUBE-SVC-', re.MULTILINE
)


@dataclass
class Bench(ManyServices):
    """The cluster, and what is in it. kube-proxy runs on the worker."""

    table: Table = field(kw_only=True)
    last: dict[int, tuple[str, str]] = field(default_factory=dict)

    def pod(self, name: str) -> dict[str, t.Any]:
        found: dict[str, t.Any] = self.cluster.get("pod", name)
        return found

    def address(self, name: str) -> str:
        found: str = self.pod(name)["status"]["podIP"]
        return found

    def inside(self, name: str) -> str:
        """The command that enters a pod's network."""
        container = self.pod(name)["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        return f"nsenter -n -t $(ctr -n k8s.io tasks ls | awk '$1 == \"{container}\" {{print $2}}') "

    def last_service(self) -> tuple[str, str]:
        """Name and address of the one that iptables mode has written last."""
        found = _SERVICE.findall(self.node.run("iptables-save -t nat"))
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
    cluster = Cluster(LAB, ("cp1", "w1"))
    made = Bench(
        cluster,
        cluster.nodes[-1],
        table=table(
            "Services in iptables, ipvs and nftables mode (kube-proxy's own minSyncPeriod: 1 s, 0 in ipvs mode)",
            *COLUMNS,
        ),
    )
    made.prepare()
    made.node.run(f"cat > {ADMIN}", stdin=made.cluster.control_plane.run(f"cat {ADMIN}"))
    image = made.node.run("ctr -n k8s.io images ls -q | grep /agnhost: | head -1").strip()
    for name in PODS:
        container = {"name": name, "image": image, "args": ["netexec", "--http-port=8080"]}
        spec = {"nodeName": made.node.name, "terminationGracePeriodSeconds": 1, "containers": [container]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "bench"}}, "spec": spec}
        made.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    made.cluster.wait_for_pods("bench", len(PODS))
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
    bench.grow(size, "create", *(bench.address(name) for name in BACKENDS))
    synced = bench.start(mode)
    if mode == "iptables":
        bench.last[size] = bench.last_service()
    name, address = bench.last[size]
    through, direct, alone = f"{address}:80", f"{bench.address('direct')}:8080", "127.0.0.1:8080"
    bench.node.wait("the Service to answer", f"curl -sf -m 5 http://{through}/hostname | grep backend", 60)
    taken = bench.client(bench.node, "connect", CONNECTIONS, through, direct, alone, enter=bench.inside("client"))
    pods = [f"{pod}={bench.address(pod)}" for pod in BACKENDS]
    change = bench.client(bench.node, "follow", ADMIN, name, through, CHANGES, *pods)
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
