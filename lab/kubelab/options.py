# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a lab consists of, as asked for on the command line."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from kubelab import releases
from kubelab.errors import LabError

DEFAULT_NAME = "kubelab"
CONTROL_PLANE = "cp1"
MOST_WORKERS = 100


@dataclass(frozen=True)
class Options:
    """The shape of a lab; memory in MiB."""

    kubernetes: str = releases.DEFAULT
    workers: int = 2
    memory_control_plane: int = 2048
    memory_worker: int = 1536

    def check(self) -> None:
        """LabError when something asked for is not on offer."""
        if self.kubernetes not in releases.OFFERED:
            raise LabError(f"Kubernetes {self.kubernetes} is not on offer: choose one of {', '.join(releases.OFFERED)}")
        if not 0 <= self.workers <= MOST_WORKERS:
            raise LabError(f"{self.workers} workers asked for: from 0 to {MOST_WORKERS} are possible")
        for role, memory, least in (
            ("control plane", self.memory_control_plane, 1400),
            ("worker", self.memory_worker, 512),
        ):
            if memory < least:
                raise LabError(f"{memory} MiB for a {role} is too little: {least} are the least that work")

    def describe(self) -> str:
        """In words."""
        workers = "no worker" if self.workers == 0 else f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        return f"Kubernetes {self.kubernetes}, {workers}, {self.memory_control_plane}/{self.memory_worker} MiB"


@dataclass(frozen=True)
class Node:
    """One node: its number is the last part of each of its addresses. Memory in MiB."""

    name: str
    number: int
    memory: int
    cpu: int


def check_name(name: str) -> None:
    """LabError when a lab cannot be called so: the name is also a network namespace and a folder."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
        raise LabError(f"{name!r} cannot be the name of a lab: up to 31 lower-case letters, digits and dashes")


def nodes(options: Options, cpus: t.Sequence[int]) -> list[Node]:
    """The nodes of a lab, spread over the host's CPUs.

    Each is pinned to one: a node's kernel and its processes hand over to each other at every system call, and across
    CPUs that costs two to five times as much on a busy host.
    """
    memory = [options.memory_control_plane, *[options.memory_worker] * options.workers]
    names = [CONTROL_PLANE, *(f"w{number}" for number in range(1, options.workers + 1))]
    return [Node(name, 10 + index, memory[index], cpus[index % len(cpus)]) for index, name in enumerate(names)]
