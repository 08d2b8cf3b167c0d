# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of a lab while it is up: a folder per lab, and one file that says what it is."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

from kubelab import host
from kubelab.options import Node, Options


@dataclass(frozen=True)
class State:
    """A lab as it was started. `ready` is false from the first thing made until every node has booted."""

    ready: bool
    options: Options
    nodes: tuple[Node, ...]
    kernel: str
    disk: str
    images: tuple[str, ...]

    def node(self, name: str) -> Node | None:
        """The node of that name."""
        return next((node for node in self.nodes if node.name == name), None)


@dataclass(frozen=True)
class Folder:
    """Where one lab keeps its things."""

    name: str
    path: Path

    @property
    def lock(self) -> Path:
        """Held by every command that changes the lab; beside the folder, for `down` removes that."""
        return self.path.with_suffix(".lock")

    @property
    def key(self) -> Path:
        """The private key that opens the nodes."""
        return self.path / "id_ed25519"

    @property
    def host_key(self) -> Path:
        """The key by which the nodes prove themselves."""
        return self.path / "host_ed25519"

    @property
    def ssh_config(self) -> Path:
        """For `ssh -F`."""
        return self.path / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The nodes' host keys."""
        return self.path / "known_hosts"

    @property
    def sockets(self) -> Path:
        """User-Mode Linux keeps sockets there: a short path, for theirs has 108 characters at most."""
        return host.RUNTIME / self.name

    def node(self, node: Node) -> Path:
        """Disk, seed and console of a node."""
        return self.path / "nodes" / node.name

    def console(self, node: Node) -> Path:
        """What a node's kernel and systemd printed."""
        return self.node(node) / "console.log"

    def read(self) -> State | None:
        """The lab's state; None when there is no lab."""
        try:
            found = json.loads((self.path / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return State(
            ready=found["ready"],
            options=Options(**found["options"]),
            nodes=tuple(Node(**node) for node in found["nodes"]),
            kernel=found["kernel"],
            disk=found["disk"],
            images=tuple(found["images"]),
        )

    def write(self, state: State) -> None:
        """Replace the state, at once or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        fresh = self.path / "state.json.new"
        fresh.write_text(json.dumps(dataclasses.asdict(state), indent=1) + "\n", encoding="utf-8")
        host.give_to_caller(self.path)
        os.replace(fresh, self.path / "state.json")

    def remove(self) -> None:
        """Forget the lab."""
        host.remove_tree(self.sockets)
        host.remove_tree(self.path)


def folder(root: Path, name: str) -> Folder:
    """The folder of a lab in the user's cache."""
    return Folder(name, root / "labs" / name)


def every(root: Path) -> list[State]:
    """The states of all labs of this user."""
    states = (Folder(path.parent.name, path.parent).read() for path in sorted((root / "labs").glob("*/state.json")))
    return [state for state in states if state is not None]
