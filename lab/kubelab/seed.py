# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes a node itself: a tar file that it finds as its second disk and unpacks on its first boot.

Names, addresses and keys belong to one lab, so they are never part of the disk in the cache.
"""

from __future__ import annotations

import io
import tarfile
import typing as t

from kubelab import network

if t.TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kubelab.options import Node
    from kubelab.state import Folder


def hosts(nodes: Sequence[Node]) -> str:
    """Every node's /etc/hosts."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    return "\n".join([*lines, *(f"{network.management(one)} {one.name}" for one in nodes)]) + "\n"


def files(folder: Folder, node: Node, nodes: Sequence[Node]) -> dict[str, tuple[int, str]]:
    """Path -> mode and contents."""
    return {
        "etc/hostname": (0o644, node.name + "\n"),
        "etc/hosts": (0o644, hosts(nodes)),
        "etc/lab/network": (0o644, "\n".join(network.node_commands(node)) + "\n"),
        "etc/ssh/ssh_host_ed25519_key": (0o600, folder.host_key.read_text(encoding="utf-8")),
        "etc/ssh/ssh_host_ed25519_key.pub": (0o644, folder.host_key.with_suffix(".pub").read_text(encoding="utf-8")),
        "root/.ssh/authorized_keys": (0o600, folder.key.with_suffix(".pub").read_text(encoding="utf-8")),
    }


def write(target: Path, contents: dict[str, tuple[int, str]]) -> None:
    """Write the tar file, readable by its owner alone: it holds a private key."""
    target.touch(mode=0o600)
    with tarfile.open(target, "w") as archive:
        for name, mode in {"etc/lab": 0o755, "root/.ssh": 0o700}.items():
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, mode
            archive.addfile(member)
        for name, (mode, text) in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), mode
            archive.addfile(member, io.BytesIO(text.encode()))
