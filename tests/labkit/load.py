# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests through a Service while something else happens: see load_client.py."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.labkit import Lab, Node, within
from tests.labkit.cluster import Cluster

_CLIENT = Path(__file__).with_name("load_client.py")


@dataclass
class Figures:
    """Filled in when the load ends."""

    values: dict[str, t.Any] = field(default_factory=dict)


def client_process(cluster: Cluster, node: Node) -> str:
    """A process in the network of the client pod on a node, to enter it by."""
    pods = cluster.get("pods", "-l", "app=client")["items"]
    return pod_process(node, next(p for p in pods if p["spec"]["nodeName"] == node.name))


def pod_process(node: Node, pod: dict[str, t.Any]) -> str:
    """A process in the network of a pod of the node, to enter it by."""
    container = pod["status"]["containerStatuses"][0]["containerID"].rsplit("/", 1)[1]
    return node.run(f"ctr -n k8s.io tasks ls | awk '$1 == \"{container}\" {{print $2}}'").strip()


@contextmanager
def load(cluster: Cluster, node: Node, target: str, rate: float, protocol: str = "tcp") -> t.Iterator[Figures]:
    """Send requests a second to host:port from the client pod's network on that node, as long as the block lasts.

    :param protocol: C(tcp) is a request by HTTP, C(udp) a datagram and its answer
    """
    process = client_process(cluster, node)
    stop = f"/tmp/load_client-{protocol}-{target}.stop"
    node.run(f"cat > /tmp/load_client.py && rm -f {stop}", stdin=_CLIENT.read_text(encoding="utf-8"))
    command = f"nsenter -t {process} -n python3 /tmp/load_client.py {protocol} {target} {rate} {stop}"
    with _running(node.argv(command), lambda: node.run(f"touch {stop}")) as figures:
        yield figures


@contextmanager
def load_from_outside(lab: Lab, target: str, rate: float) -> t.Iterator[Figures]:
    """The same by HTTP from outside of the cluster, beside the nodes."""
    with tempfile.TemporaryDirectory() as folder:
        stop = Path(folder) / "stop"
        command = [*within(lab.name), sys.executable, str(_CLIENT), "tcp", target, str(rate), str(stop)]
        with _running(command, stop.touch) as figures:
            yield figures


@contextmanager
def _running(command: t.Sequence[str], stop: t.Callable[[], object]) -> t.Iterator[Figures]:
    client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    figures = Figures()
    try:
        yield figures
    finally:
        stop()
        out, _ = client.communicate(timeout=120)
        figures.values.update(json.loads(out))
