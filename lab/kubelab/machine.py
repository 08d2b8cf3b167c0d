# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node as a process: User-Mode Linux in the lab's network namespace, found again by looking, not by remembering."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from kubelab import host, network
from kubelab.errors import LabError

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from kubelab.network import Namespace
    from kubelab.options import Node
    from kubelab.state import Folder, State

# In the environment of a node's process: how the next command finds it, even when the one that started it was killed.
MARK = "LAB_NODE"
SHARED_MEMORY = Path("/dev/shm")
BOOT = Path(__file__).with_name("boot-node")


def kernel_arguments(node: Node, folder: Folder, disk: str) -> list[str]:
    """The command line of a node's kernel."""
    place = folder.node(node)
    cards = [
        f"{card}:transport=tap,ifname={network.tap(node, card)},mac={network.mac(node, card)},depth=128,gro=1"
        for card in network.BRIDGES
    ]
    return [
        f"umid={node.name}",
        f"uml_dir={folder.sockets}/",
        f"mem={node.memory}M",
        "seccomp=on",
        f"ubd0={place}/disk.cow,{disk}",
        f"ubd1r={place}/seed.tar",
        "root=/dev/ubda",
        "rw",
        "rootflags=noinit_itable",
        "init=/usr/local/sbin/lab-init",
        *cards,
        *("con=null", "con0=null,fd:1", "con1=null"),
        "systemd.show_status=no",
    ]


@dataclass(frozen=True)
class Machines:
    """The nodes of one lab."""

    folder: Folder
    namespace: Namespace
    state: State

    def start(self, node: Node) -> None:
        """Boot a node; from a fresh copy of the base disk when it has none."""
        place = self.folder.node(node)
        self.folder.sockets.mkdir(parents=True, exist_ok=True)
        place.mkdir(parents=True, exist_ok=True)
        argv = [
            *("nsenter", f"--net={self.namespace.path}", "taskset", "--cpu-list", str(node.cpu)),
            *(str(BOOT), *kernel_arguments(node, self.folder, self.state.disk)),
        ]
        # Without TMPDIR the kernel puts the node's memory into /dev/shm, where it has to be.
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder.path),
            "LAB_KERNEL": self.state.kernel,
            MARK: node.name,
        }
        with self.folder.console(node).open("ab") as console:
            subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment, start_new_session=True
            )

    def running(self) -> dict[str, int]:
        """Node name -> process, for those that run."""
        marked = {pid: name for pid in self.namespace.processes() if (name := _mark(pid))}
        # A node's user processes are children of its kernel's process and inherit its environment.
        return {name: pid for pid, name in marked.items() if _parent(pid) not in marked}

    def kill(self, nodes: Iterable[Node]) -> None:
        """Pull the plug of some nodes."""
        names = {node.name for node in nodes}
        addresses = {network.management(node) for node in nodes}
        _end(lambda: [pid for pid in self.namespace.processes() if _belongs(pid, names, addresses)])

    def wipe(self, node: Node) -> None:
        """Throw away what a node has written."""
        for path in (self.folder.node(node) / "disk.cow", self.folder.console(node)):
            path.unlink(missing_ok=True)


def end_all(namespace: Namespace) -> None:
    """End everything that runs in a namespace."""
    _end(namespace.processes)


def _end(find: t.Callable[[], list[int]]) -> None:
    deadline = time.monotonic() + 60
    while found := find():
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise LabError(f"processes {found} do not end")
        time.sleep(0.05)


def _belongs(pid: int, names: set[str], addresses: set[str]) -> bool:
    # Connections into a node that is gone would hang until something is sent through them.
    words = _read(f"/proc/{pid}/cmdline").split("\0")
    return _mark(pid) in names or (words[0].endswith("nc") and not addresses.isdisjoint(words))


def _mark(pid: int) -> str | None:
    for word in _read(f"/proc/{pid}/environ").split("\0"):
        if word.startswith(f"{MARK}="):
            return word.split("=", 1)[1]
    return None


def _parent(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rsplit(")", 1)[-1].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def memory_used(pid: int) -> int:
    """Bytes of the host's memory that a node has touched."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(link).startswith(f"{SHARED_MEMORY}/"):
            return link.stat().st_blocks * 512
    return 0


def require_memory(nodes: Iterable[Node]) -> None:
    """Enough memory for these nodes, both free and in the file system that holds it."""
    wanted = sum(node.memory for node in nodes) << 20
    place = os.statvfs(SHARED_MEMORY)
    space = place.f_bavail * place.f_frsize
    for what, there in (("memory", host.free_memory()), (f"space in {SHARED_MEMORY}", space)):
        if there < wanted:
            raise LabError(
                f"the nodes need {wanted / host.GIGABYTE:.1f} GB of {what}, {there / host.GIGABYTE:.1f} GB are free",
                "Ask for fewer workers (--workers) or less memory (--memory-worker, --memory-control-plane).",
            )
    if place.f_flag & os.ST_NOEXEC:
        raise LabError(
            f"{SHARED_MEMORY} is mounted noexec, and nodes run from there", f"mount -o remount,exec {SHARED_MEMORY}"
        )


def require_tun() -> None:
    """The device that taps come from."""
    if not Path("/dev/net/tun").exists():
        subprocess.run(["modprobe", "tun"], check=False, capture_output=True)
    if not Path("/dev/net/tun").exists():
        raise LabError(
            "there is no /dev/net/tun: this kernel or container gives no tap devices", "Load the module `tun`."
        )
