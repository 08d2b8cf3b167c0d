# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab's life, with processes and namespaces played by a world in memory: what each command does to what it finds."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kubelab import host, machine, network, ssh
from kubelab.build import Builder
from kubelab.cache import ABOUT, Store
from kubelab.errors import LabError
from kubelab.lab import Lab
from kubelab.machine import Machines
from kubelab.network import Namespace
from kubelab.options import Node, Options
from kubelab.recipes import disk, kernel
from kubelab.state import folder
from kubelab.steps import Log

OPTIONS = Options(workers=1)


@dataclass
class World:
    """The machine: which namespaces there are, which nodes run, and what was done in order."""

    namespaces: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    dying: set[str] = field(default_factory=set)

    def start(self, _machines: Machines, node: Node) -> None:
        self.done.append(f"start {node.name}")
        if node.name not in self.dying:
            self.running.add(node.name)

    def kill(self, _machines: Machines, nodes: t.Iterable[Node]) -> None:
        for node in nodes:
            self.done.append(f"kill {node.name}")
            self.running.discard(node.name)

    def create(self, namespace: Namespace, _nodes: t.Iterable[Node]) -> None:
        self.done.append("create network")
        self.namespaces.add(namespace.name)

    def remove(self, namespace: Namespace) -> None:
        self.namespaces.discard(namespace.name)

    def end_all(self, _namespace: Namespace) -> None:
        self.done.append("end all")
        self.running.clear()

    def ask(self, _folder: object, node: Node, words: str) -> subprocess.CompletedProcess[str]:
        reached = node.name in self.running
        return subprocess.CompletedProcess(words, 0 if reached else 255, "degraded\n" if reached else "", "")


def _method(function: t.Callable[..., None]) -> t.Callable[..., None]:
    """Bound methods of the world would not be given the object they stand in on."""

    def method(*args: t.Any) -> None:
        function(*args)

    return method


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()
    for owner, name, stand_in in (
        (Machines, "start", _method(made.start)),
        (Machines, "kill", _method(made.kill)),
        (Machines, "running", lambda _machines: dict.fromkeys(made.running, 1)),
        (Namespace, "exists", lambda namespace: namespace.name in made.namespaces),
        (Namespace, "create", _method(made.create)),
        (Namespace, "remove", _method(made.remove)),
        (machine, "end_all", made.end_all),
        (machine, "require_tun", lambda: None),
        (machine, "require_memory", lambda _nodes: None),
        (host, "install", lambda *_: None),
        (host, "MAP_LIMIT", tmp_path / "max_map_count"),
        (host, "RUNTIME", tmp_path / "run"),
        (ssh, "ask", made.ask),
    ):
        monkeypatch.setattr(owner, name, stand_in)
    (tmp_path / "max_map_count").write_text("65530\n", encoding="utf-8")
    return made


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    store = Store(tmp_path / "cache")
    for recipe in (kernel.recipe(), disk.for_release(OPTIONS.kubernetes)):
        place = store.root / recipe.entry
        place.mkdir(parents=True)
        (place / ABOUT).write_text("{}", encoding="utf-8")
        (place / "images.json").write_text(json.dumps(["registry.k8s.io/pause:3"]), encoding="utf-8")
    return Lab(folder(store.root, "my-lab"), Builder(store))


def test_up_makes_everything_once(lab: Lab, world: World) -> None:
    lab.up(OPTIONS)
    assert world.done == ["end all", "create network", "start cp1", "start w1"]
    assert lab.state().options == OPTIONS
    assert lab.folder.key.stat().st_mode & 0o077 == 0
    lab.up(OPTIONS)
    assert world.done == ["end all", "create network", "start cp1", "start w1"]


def test_up_boots_only_the_node_that_does_not_run(lab: Lab, world: World) -> None:
    lab.up(OPTIONS)
    world.running.remove("w1")
    world.done.clear()
    lab.up(OPTIONS)
    assert world.done == ["start w1"]


def test_up_with_other_options_refuses(lab: Lab, world: World) -> None:
    lab.up(OPTIONS)
    with pytest.raises(LabError, match=r"up with other options: .*, 1 worker,"):
        lab.up(Options(workers=2))
    assert world.running == {"cp1", "w1"}


def test_up_after_an_interrupted_one_starts_anew(lab: Lab, world: World) -> None:
    world.dying.add("w1")
    with pytest.raises(LabError, match="node w1 has stopped while booting"):
        lab.up(OPTIONS)
    with pytest.raises(LabError, match="is not up"):
        lab.state()
    world.dying.clear()
    world.done.clear()
    lab.up(OPTIONS)
    assert world.done == ["end all", "create network", "start cp1", "start w1"]


def test_up_after_a_restart_of_the_host_starts_anew(lab: Lab, world: World) -> None:
    lab.up(OPTIONS)
    world.namespaces.clear()
    world.running.clear()
    lab.up(OPTIONS)
    assert world.running == {"cp1", "w1"}


def test_a_foreign_namespace_is_left_alone(lab: Lab, world: World) -> None:
    world.namespaces.add("my-lab")
    with pytest.raises(LabError, match="not this user's lab"):
        lab.up(OPTIONS)
    lab.down()
    assert world.namespaces == {"my-lab"}
    assert world.done == []


def test_reset_gives_fresh_disks_to_the_named_nodes(lab: Lab, world: World) -> None:
    lab.up(OPTIONS)
    disks = {node.name: lab.folder.node(node) / "disk.cow" for node in lab.state().nodes}
    for path in disks.values():
        path.touch()
    world.done.clear()
    lab.reset(["w1"])
    assert world.done == ["kill w1", "start w1"]
    assert [name for name, path in disks.items() if path.exists()] == ["cp1"]


def test_kill_and_start_keep_the_disk(lab: Lab, world: World) -> None:
    lab.up(OPTIONS)
    kept = lab.folder.node(lab.state().nodes[1]) / "disk.cow"
    kept.touch()
    lab.kill(["w1"])
    assert world.running == {"cp1"}
    lab.start([])
    assert world.running == {"cp1", "w1"}
    assert kept.exists()


def test_down_leaves_nothing(lab: Lab, world: World) -> None:
    lab.up(OPTIONS)
    lab.down()
    lab.down()
    assert not world.namespaces
    assert not world.running
    assert not lab.folder.path.exists()


def test_the_map_limit_is_raised_while_there_is_a_lab(lab: Lab, world: World) -> None:
    lab.up(OPTIONS)
    lab.folder.sockets.mkdir(parents=True)
    assert host.MAP_LIMIT.read_text(encoding="utf-8") == str(host.MAPS_WANTED)
    other = host.RUNTIME / "other-lab"
    other.mkdir()
    lab.down()
    assert host.MAP_LIMIT.read_text(encoding="utf-8") == str(host.MAPS_WANTED)
    other.rmdir()
    lab.up(OPTIONS)
    lab.down()
    assert host.MAP_LIMIT.read_text(encoding="utf-8") == "65530\n"
    assert not host.RUNTIME.exists()
    assert not world.running


def test_too_little_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"^1048576 GB of free disk are needed under .*, [0-9.]+ GB are free$"):
        host.require_disk(tmp_path / "not" / "there", 1 << 50)


def test_too_little_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "free_memory", lambda: 1 << 30)
    with pytest.raises(LabError, match=r"^the nodes need 2.0 GB of memory, 1.0 GB are free$"):
        machine.require_memory([Node("cp1", 10, 2048, 0)])


def test_a_failed_step_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = Log(tmp_path / "step.log", "Do that.")
    with pytest.raises(LabError) as caught:
        log.run(["sh", "-c", "seq 100; exit 3"], contained=False)
    assert str(caught.value).startswith(f"sh ended with status 3. The last lines of {log.path}:\n  | 86\n")
    assert str(caught.value).endswith("  | 100")
    assert caught.value.advice == "Do that."


def test_a_missing_program_is_an_error_of_the_step(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no-such-program"):
        Log(tmp_path / "step.log").run(["no-such-program"], contained=False)


def test_a_rebooting_kernel_inherits_nothing(tmp_path: Path) -> None:
    kernel_stand_in = tmp_path / "linux"
    kernel_stand_in.write_text('#!/bin/sh\necho "$@"; ls -l /proc/self/fd\n', encoding="utf-8")
    kernel_stand_in.chmod(0o755)
    tap = os.open(os.devnull, os.O_RDONLY)
    try:
        done = subprocess.run(
            [machine.BOOT, "mem=1G", "a b"],
            env={**os.environ, "LAB_KERNEL": str(kernel_stand_in)},
            pass_fds=[tap],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.close(tap)
    assert done.stdout.startswith("mem=1G a b\n")
    assert os.devnull not in done.stdout.replace("0 -> /dev/null", "")


def test_hosts_outside_debian_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(LabError, match="needs Linux on x86_64; this is darwin"):
        host.require_linux()


def test_addresses_of_the_namespace_do_not_collide() -> None:
    lines = [line for line in network.namespace_commands([]) if line.startswith("addr")]
    assert len(lines) == 3
