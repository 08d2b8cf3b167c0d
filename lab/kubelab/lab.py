# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab's life: up, down, reset, nodes stopped and started. Every command begins by looking at what is really there."""

from __future__ import annotations

import json
import os
import threading
import time
import typing as t
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from kubelab import host, machine, network, seed, ssh
from kubelab.errors import LabError
from kubelab.lock import held
from kubelab.machine import Machines
from kubelab.network import Namespace
from kubelab.options import nodes as nodes_of
from kubelab.recipes import disk, kernel
from kubelab.state import State
from kubelab.steps import Log, duration, say, step

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from kubelab.build import Builder
    from kubelab.options import Node, Options
    from kubelab.state import Folder

BOOT_DEADLINE = 900
READY = "systemctl is-active --quiet containerd.service && systemctl is-system-running"


@dataclass(frozen=True)
class Lab:
    """One lab by name."""

    folder: Folder
    builder: Builder

    @property
    def namespace(self) -> Namespace:
        """Its network namespace, called as the lab is."""
        return Namespace(self.folder.name)

    def state(self) -> State:
        """The state of a lab that is up; LabError when it is not."""
        state = self.folder.read()
        if state is None or not state.ready:
            raise LabError(f"the lab {self.folder.name} is not up", "Run `lab/lab up`.")
        return state

    def machines(self, state: State) -> Machines:
        """The processes behind it."""
        return Machines(self.folder, self.namespace, state)

    def up(self, options: Options) -> None:
        """Make the lab be there with these options, every node booted."""
        with held(self.folder.lock, f"the lab {self.folder.name}"):
            state = self.folder.read()
            if state is None or not state.ready or not self.namespace.exists():
                state = self._create(options)
            elif state.options != options:
                raise LabError(
                    f"the lab {self.folder.name} is up with other options: {state.options.describe()}",
                    "Run `lab/lab down` first, or give this one a name of its own (--name).",
                )
            self._boot_missing(state)
            self.folder.write(replace(state, ready=True))
            host.give_to_caller(self.folder.path.parent)
        say(f"the lab {self.folder.name} is up: {', '.join(node.name for node in state.nodes)}")
        if self.builder.store.find(disk.for_release(options.kubernetes)) != Path(state.disk).parent:
            say("its nodes were made by older recipes: `lab/lab down` and `up` makes new ones")

    def _create(self, options: Options) -> State:
        if self.folder.read() is None and self.namespace.exists():
            raise LabError(
                f"there is a network namespace {self.folder.name} that is not this user's lab",
                "Choose another name (--name).",
            )
        self._destroy()
        nodes = nodes_of(options, self._cpus())
        # All that can be refused is refused before the long work begins.
        machine.require_tun()
        machine.require_memory(nodes)
        host.require_disk(self.folder.path, len(nodes) * host.GIGABYTE)
        host.install(host.PACKAGES_TO_RUN, self.builder.store.root / "logs")
        self.builder.build(kernel.recipe(), disk.for_release(options.kubernetes))
        state = self._plan(options, nodes)
        host.raise_map_limit()
        # Written before anything is made: whoever comes after an interruption knows that what is there is ours.
        self.folder.write(state)
        with step("network and keys"):
            self._furnish(state)
        return state

    def _furnish(self, state: State) -> None:
        ssh.make_keys(self.folder, state.nodes)
        self.folder.ssh_config.write_text(ssh.config(self.folder, self.namespace, state.nodes), encoding="utf-8")
        for node in state.nodes:
            self.folder.node(node).mkdir(parents=True)
            seed.write(self.folder.node(node) / "seed.tar", seed.files(self.folder, node, state.nodes))
        host.give_to_caller(self.folder.path)
        self.namespace.create(state.nodes)

    def _cpus(self) -> list[int]:
        """This host's CPUs in an order that the lab's name decides: control planes of several labs get different ones."""
        cpus = sorted(os.sched_getaffinity(0))
        first = zlib.crc32(self.folder.name.encode()) % len(cpus)
        return cpus[first:] + cpus[:first]

    def _plan(self, options: Options, nodes: Sequence[Node]) -> State:
        store = self.builder
        place = store.path(disk.for_release(options.kubernetes))
        return State(
            ready=False,
            options=options,
            nodes=tuple(nodes),
            kernel=str(store.path(kernel.recipe()) / "linux"),
            disk=str(place / "base.ext4"),
            images=tuple(json.loads((place / "images.json").read_text(encoding="utf-8"))),
        )

    def _boot_missing(self, state: State) -> None:
        machines = self.machines(state)
        running = machines.running()
        missing = [node for node in state.nodes if node.name not in running]
        machine.require_memory(missing)
        for node in missing:
            machines.start(node)
        self._wait(machines, state.nodes)

    def _wait(self, machines: Machines, nodes: Sequence[Node]) -> None:
        stop = threading.Event()
        with ThreadPoolExecutor(max_workers=max(len(nodes), 1)) as pool:
            waits = [pool.submit(self._wait_for, machines, node, stop) for node in nodes]
            try:
                for wait in waits:
                    wait.result()
            finally:
                stop.set()

    def _wait_for(self, machines: Machines, node: Node, stop: threading.Event) -> None:
        started = time.monotonic()
        log = Log(
            self.folder.console(node), f"Run `lab/lab reset {node.name}`; when that fails too, `lab/lab down` and `up`."
        )
        answer = ""
        while not stop.is_set():
            done = ssh.ask(self.folder, node, READY)
            answer = done.stdout.strip() or done.stderr.strip()
            if answer in ("running", "degraded"):
                say(f"{node.name}: systemd and containerd {answer} after {duration(time.monotonic() - started)}")
                return
            if node.name not in machines.running():
                raise log.failure(f"node {node.name} has stopped while booting")
            if time.monotonic() - started > BOOT_DEADLINE:
                raise log.failure(
                    f"node {node.name} has not come up in {duration(BOOT_DEADLINE)} (last answer: {answer})"
                )
            stop.wait(0.5)

    def down(self) -> None:
        """Leave nothing of the lab."""
        with held(self.folder.lock, f"the lab {self.folder.name}"):
            if self.folder.read() is None:
                say(f"the lab {self.folder.name} is not up")
            else:
                with step(f"down: {self.folder.name}"):
                    self._destroy()
                    host.restore_map_limit()

    def _destroy(self) -> None:
        machine.end_all(self.namespace)
        self.namespace.remove()
        self.folder.remove()

    def reset(self, names: Sequence[str]) -> None:
        """Back to bare: the named nodes, or all, boot from a fresh disk."""
        with held(self.folder.lock, f"the lab {self.folder.name}"):
            state = self.state()
            machines = self.machines(state)
            chosen = choose(state, names)
            machines.kill(chosen)
            for node in chosen:
                machines.wipe(node)
                machines.start(node)
            self._wait(machines, chosen)

    def kill(self, names: Sequence[str]) -> None:
        """Pull the plug: what was written to the disk stays, what was in memory is lost."""
        with held(self.folder.lock, f"the lab {self.folder.name}"):
            state = self.state()
            chosen = choose(state, names)
            self.machines(state).kill(chosen)
            say("stopped: " + ", ".join(node.name for node in chosen))

    def start(self, names: Sequence[str]) -> None:
        """Boot nodes that do not run, from the disks they have."""
        with held(self.folder.lock, f"the lab {self.folder.name}"):
            state = self.state()
            machines = self.machines(state)
            chosen = choose(state, names)
            for node in chosen:
                if node.name not in machines.running():
                    machines.start(node)
            self._wait(machines, chosen)

    def status(self) -> None:
        """Say what is there."""
        state = self.folder.read()
        if state is None:
            say(f"the lab {self.folder.name} is not up")
            return
        say(f"the lab {self.folder.name}: {'up' if state.ready else 'not completely up'}, {state.options.describe()}")
        running = self.machines(state).running()
        for node in state.nodes:
            pid = running.get(node.name)
            life = f"process {pid} on CPU {node.cpu}, {machine.memory_used(pid) >> 20} MiB" if pid else "not running"
            say(
                f"  {node.name:4} {network.management(node):15} {network.cluster(node):12} {network.cluster6(node):12} {life}"
            )
        say("  images: " + " ".join(state.images))


def choose(state: State, names: Sequence[str]) -> list[Node]:
    """The nodes of these names; all when none is named."""
    unknown = [name for name in names if state.node(name) is None]
    if unknown:
        known = ", ".join(node.name for node in state.nodes)
        raise LabError(f"there is no node {', '.join(unknown)} in this lab", f"Its nodes are: {known}.")
    return [node for node in state.nodes if not names or node.name in names]
