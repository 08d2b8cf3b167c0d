# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab itself: options, addresses, what a node is given, the inventory, the command line."""

from __future__ import annotations

import fcntl
import json
import tarfile
from pathlib import Path

import pytest

from kubelab import cli, network, seed, ssh, state
from kubelab.errors import LabError
from kubelab.inventory import inventory
from kubelab.lab import choose
from kubelab.lock import held
from kubelab.machine import kernel_arguments
from kubelab.network import Namespace
from kubelab.options import Node, Options, check_name, nodes
from kubelab.state import Folder, State

IMAGES = ("registry.k8s.io/pause:3.10.2", "registry.k8s.io/e2e-test-images/agnhost:2.66.1")


def _state(workers: int = 2, *, ready: bool = True) -> State:
    options = Options(workers=workers)
    return State(ready, options, tuple(nodes(options, [0, 1])), "/cache/linux", "/cache/base.ext4", IMAGES)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return state.folder(tmp_path, "kubelab")


def test_nodes_share_the_processors() -> None:
    made = nodes(Options(workers=2, memory_control_plane=2000, memory_worker=1000), [0, 1])
    assert made == [Node("cp1", 10, 2000, 0), Node("w1", 11, 1000, 1), Node("w2", 12, 1000, 0)]


def test_addresses_end_alike() -> None:
    (node,) = nodes(Options(workers=0), [0])
    assert (network.management(node), network.cluster(node), network.cluster6(node)) == (
        "192.168.34.10",
        "10.34.0.10",
        "fd00:34::10",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(kubernetes="1.30.0"), "choose one of 1.34.4"),
        (Options(workers=-1), "-1 workers"),
        (Options(workers=1000), "1000 workers"),
        (Options(memory_control_plane=512), "control plane is too little"),
        (Options(memory_worker=100), "worker is too little"),
    ],
)
def test_impossible_options(options: Options, message: str) -> None:
    with pytest.raises(LabError, match=message):
        options.check()


@pytest.mark.parametrize("name", ["", "-x", "a/b", "A", "a" * 32, "a b"])
def test_impossible_names(name: str) -> None:
    with pytest.raises(LabError):
        check_name(name)


def test_state_survives_writing_and_reading(folder: Folder) -> None:
    assert folder.read() is None
    folder.write(_state())
    assert folder.read() == _state()


def test_seed_holds_names_addresses_and_keys(folder: Folder, tmp_path: Path) -> None:
    made = _state()
    folder.path.mkdir(parents=True)
    for path in (folder.key, folder.host_key):
        path.write_text("private\n", encoding="utf-8")
        path.with_suffix(".pub").write_text("public\n", encoding="utf-8")
    seed.write(tmp_path / "seed.tar", seed.files(folder, made.nodes[1], made.nodes))
    assert (tmp_path / "seed.tar").stat().st_mode & 0o077 == 0
    with tarfile.open(tmp_path / "seed.tar") as archive:
        members = {member.name: member for member in archive}
        text = {name: _text(archive, name) for name, member in members.items() if member.isfile()}
    assert text["etc/hostname"] == "w1\n"
    assert "192.168.34.12 w2\n" in text["etc/hosts"]
    assert "addr add 192.168.34.11/24 dev vec0" in text["etc/lab/network"]
    assert "addr add fd00:34::11/64 dev vec1 nodad" in text["etc/lab/network"]
    assert "dev vec1 dstport 4789 nolearning" in text["etc/lab/network"]
    assert members["etc/ssh/ssh_host_ed25519_key"].mode == 0o600
    assert members["root/.ssh"].mode == 0o700
    assert "private" not in text["root/.ssh/authorized_keys"]


def _text(archive: tarfile.TarFile, name: str) -> str:
    stream = archive.extractfile(name)
    assert stream is not None
    return stream.read().decode()


def test_every_card_has_a_tap_on_its_bridge() -> None:
    lines = network.namespace_commands(_state().nodes)
    for tap, bridge in (("cp1-vec0", "br-management"), ("w2-vec1", "br-cluster")):
        assert f"tuntap add dev {tap} mode tap vnet_hdr" in lines
        assert f"link set {tap} master {bridge} up" in lines


def test_hardware_addresses_differ() -> None:
    addresses = {network.mac(node, card) for node in _state().nodes for card in network.BRIDGES}
    assert len(addresses) == 6


def test_kernel_arguments(folder: Folder) -> None:
    words = kernel_arguments(_state().nodes[0], folder, "/cache/base.ext4")
    assert f"ubd0={folder.path}/nodes/cp1/disk.cow,/cache/base.ext4" in words
    assert "seccomp=on" in words
    assert "vec1:transport=tap,ifname=cp1-vec1,mac=02:34:00:00:01:0a,depth=128,gro=1" in words


def test_ssh_trusts_only_this_lab(folder: Folder) -> None:
    text = ssh.config(folder, Namespace("kubelab"), _state().nodes)
    assert f'UserKnownHostsFile "{folder.known_hosts}"' in text
    assert "StrictHostKeyChecking yes" in text
    assert "nsenter --net=/run/netns/kubelab nc %h %p" in text
    assert "Host w1 192.168.34.11\n  HostName 192.168.34.11\n" in text


def test_inventory(folder: Folder) -> None:
    made = json.loads(json.dumps(inventory(folder, _state())))
    assert made["kube_control_plane"] == {"hosts": ["cp1"]}
    assert made["kube_worker"] == {"hosts": ["w1", "w2"]}
    assert made["kube_cluster"] == {"children": ["kube_control_plane", "kube_worker"]}
    assert made["_meta"]["hostvars"]["w1"] == {
        "ansible_host": "192.168.34.11",
        "lab_cluster_address": "10.34.0.11",
        "lab_cluster_address6": "fd00:34::11",
    }
    facts = made["all"]["vars"]
    assert facts["ansible_ssh_common_args"] == f"-F {folder.ssh_config}"
    assert facts["lab_kubernetes_version"] == "1.37.2"
    assert facts["lab_workload_image"] == "registry.k8s.io/e2e-test-images/agnhost:2.66.1"


def test_inventory_without_workers(folder: Folder) -> None:
    assert inventory(folder, _state(workers=0))["kube_worker"] == {"hosts": []}


def test_choosing_nodes() -> None:
    made = _state()
    assert [node.name for node in choose(made, [])] == ["cp1", "w1", "w2"]
    assert [node.name for node in choose(made, ["w2", "cp1"])] == ["cp1", "w2"]
    with pytest.raises(LabError, match="no node w9"):
        choose(made, ["w9"])


@pytest.mark.parametrize("ready", [None, False])
def test_without_a_lab_the_inventory_is_one_sentence(
    ready: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if ready is not None:
        state.folder(tmp_path / "netops-kube-proxy-lab", "some-lab").write(_state(ready=ready))
    assert cli.main(["--name", "some-lab", "inventory", "--list"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "lab: the lab some-lab is not up\nlab: Run `lab/lab up`.\n"


def test_command_line_of_up() -> None:
    arguments = cli.parser().parse_args(["--name", "x", "up", "--workers", "0", "--kubernetes", "1.34.4"])
    assert (arguments.name, arguments.workers, arguments.kubernetes) == ("x", 0, "1.34.4")
    assert (arguments.memory_control_plane, arguments.memory_worker) == (2048, 1536)


def test_a_command_for_a_node_is_taken_as_it_is() -> None:
    arguments = cli.parser().parse_args(["ssh", "w1", "ip", "-br", "link"])
    assert (arguments.node, arguments.words) == ("w1", ["ip", "-br", "link"])


def test_name_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_NAME", "other")
    assert cli.parser().parse_args(["status"]).name == "other"
    monkeypatch.delenv("LAB_NAME")
    assert cli.parser().parse_args(["status"]).name == "kubelab"


def test_a_lock_is_held_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "labs" / "x.lock"
    with held(path, "the lab x"), path.open(encoding="utf-8") as stream:
        assert stream.read().startswith("process ")
        with pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open(encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
