# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reaching nodes from an ordinary shell: keys, and an ssh configuration that enters the lab's network namespace."""

from __future__ import annotations

import subprocess
import typing as t

from kubelab import network
from kubelab.steps import output

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from kubelab.network import Namespace
    from kubelab.options import Node
    from kubelab.state import Folder

# Root enters the namespace itself, anybody else through sudo: one file serves both.
PROXY = """sh -c 'test "$(id -u)" = 0 || set -- sudo -n; exec "$@" nsenter --net={namespace} nc %h %p' lab"""


def make_keys(folder: Folder, nodes: Sequence[Node]) -> None:
    """Keys of this lab alone, and who may be trusted to have them."""
    folder.path.mkdir(parents=True, exist_ok=True)
    for key, comment in ((folder.key, f"lab {folder.name}"), (folder.host_key, f"nodes of lab {folder.name}")):
        if not key.exists():
            output(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key])
    public = folder.host_key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    lines = [f"{node.name},{network.management(node)} {public}" for node in nodes]
    folder.known_hosts.write_text("\n".join(lines) + "\n", encoding="utf-8")


def config(folder: Folder, namespace: Namespace, nodes: Sequence[Node]) -> str:
    """An ssh configuration that knows the nodes by name and by management address."""
    hosts = [f"Host {node.name} {network.management(node)}\n  HostName {network.management(node)}\n" for node in nodes]
    common = [
        "Host *",
        "  User root",
        f'  IdentityFile "{folder.key}"',
        "  IdentitiesOnly yes",
        f'  UserKnownHostsFile "{folder.known_hosts}"',
        "  GlobalKnownHostsFile /dev/null",
        "  StrictHostKeyChecking yes",
        f"  ProxyCommand {PROXY.format(namespace=namespace.path)}",
        "  LogLevel ERROR",
    ]
    return "\n".join([*hosts, *common]) + "\n"


def command(folder: Folder, node: str, words: Sequence[str] = ()) -> list[str]:
    """The ssh command line for a node."""
    return ["ssh", "-F", str(folder.ssh_config), node, *words]


def ask(folder: Folder, node: Node, words: str, seconds: int = 60) -> subprocess.CompletedProcess[str]:
    """Run something quick on a node; status 255 when it cannot be reached in time."""
    argv = ["ssh", "-F", str(folder.ssh_config), "-o", "ConnectTimeout=20", "-o", "BatchMode=yes", node.name, words]
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=seconds, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 255, "", f"no answer within {seconds} s")
