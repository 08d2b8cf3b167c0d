# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's network: a namespace with two bridges, and two cards and an overlay device on each node, as with Vagrant.

management   192.168.34.0/24                  first card (vec0), default route; the bridge is .1
cluster      10.34.0.0/24 and fd00:34::/64    second card (vec1)
overlay      10.35.0.0/24                     vxlan.lab on each node, one address each, as an overlay CNI would have
"""

from __future__ import annotations

import os
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from kubelab.errors import LabError
from kubelab.steps import output

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from kubelab.options import Node

MANAGEMENT = "192.168.34"
CLUSTER = "10.34.0"
CLUSTER6 = "fd00:34::"
OVERLAY = "10.35.0"
BRIDGES = {"vec0": "br-management", "vec1": "br-cluster"}
NAMESPACES = Path("/run/netns")


def management(node: Node) -> str:
    """The address Ansible and `lab ssh` use."""
    return f"{MANAGEMENT}.{node.number}"


def cluster(node: Node) -> str:
    """The address the cluster should use."""
    return f"{CLUSTER}.{node.number}"


def cluster6(node: Node) -> str:
    """Its IPv6 twin."""
    return f"{CLUSTER6}{node.number}"


def tap(node: Node, card: str) -> str:
    """The host's end of a node's card. Each lab has a namespace of its own, so names may repeat."""
    return f"{node.name}-{card}"


def mac(node: Node, card: str) -> str:
    """A fixed hardware address: after a reboot the neighbours still know it."""
    return f"02:34:00:00:{int(card[-1]):02x}:{node.number:02x}"


def namespace_commands(nodes: Iterable[Node]) -> list[str]:
    """`ip -batch` lines that furnish the namespace."""
    lines = ["link set lo up"]
    for bridge in BRIDGES.values():
        # Snooping without a querier drops IPv6 neighbour discovery after a while.
        lines.append(f"link add {bridge} type bridge mcast_snooping 0")
        lines.append(f"link set {bridge} up")
    lines.append(f"addr add {MANAGEMENT}.1/24 dev {BRIDGES['vec0']}")
    lines.append(f"addr add {CLUSTER}.1/24 dev {BRIDGES['vec1']}")
    lines.append(f"addr add {CLUSTER6}1/64 dev {BRIDGES['vec1']} nodad")
    for node in nodes:
        for card, bridge in BRIDGES.items():
            lines.append(f"tuntap add dev {tap(node, card)} mode tap vnet_hdr")
            lines.append(f"link set {tap(node, card)} master {bridge} up")
    return lines


def node_commands(node: Node) -> list[str]:
    """`ip -batch` lines that a node runs at boot."""
    overlay = f"link add vxlan.lab type vxlan id 4096 local {cluster(node)} dev vec1 dstport 4789 nolearning"
    return [
        "link set lo up",
        f"addr add {management(node)}/24 dev vec0",
        "link set vec0 up",
        f"route add default via {MANAGEMENT}.1",
        f"addr add {cluster(node)}/24 dev vec1",
        f"addr add {cluster6(node)}/64 dev vec1 nodad",
        "link set vec1 up",
        overlay,
        f"addr add {OVERLAY}.{node.number}/32 dev vxlan.lab",
        "link set vxlan.lab up",
    ]


@dataclass(frozen=True)
class Namespace:
    """A lab's network namespace."""

    name: str

    @property
    def path(self) -> Path:
        """What `nsenter --net=` takes."""
        return NAMESPACES / self.name

    def exists(self) -> bool:
        """Is it there, complete or not?"""
        return self.path.exists()

    def create(self, nodes: Iterable[Node]) -> None:
        """Make it, with bridges and taps."""
        output(["ip", "netns", "add", self.name])
        batch = "\n".join(namespace_commands(nodes)) + "\n"
        done = subprocess.run(
            ["ip", "-n", self.name, "-batch", "-"], input=batch, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise LabError(f"the lab's network could not be made: {done.stderr.strip()}")

    def remove(self) -> None:
        """Remove it; its bridges and taps go with it."""
        if self.exists():
            output(["ip", "netns", "delete", self.name])
        # The first `ip netns add` of a host makes the folder a mount point, which stays when it is empty.
        if NAMESPACES.is_mount() and not any(NAMESPACES.iterdir()):
            output(["umount", NAMESPACES])

    def processes(self) -> list[int]:
        """Everything that runs in it."""
        if not self.exists():
            return []
        wanted = self.path.stat()
        return [pid for pid in _all_processes() if _namespace_of(pid) == (wanted.st_dev, wanted.st_ino)]


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _namespace_of(pid: int) -> tuple[int, int] | None:
    try:
        found = os.stat(f"/proc/{pid}/ns/net")
    except OSError:
        return None
    return found.st_dev, found.st_ino
