# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kind's containers as an inventory: labels and ports as `docker inspect` tells them, and what is said when something is missing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from tools import kind_inventory
from tools.kind_inventory import (
    Container,
    KindError,
    choose,
    cluster_name,
    endpoint,
    inventory,
    kubeconfig,
    published,
    read_containers,
    write_private,
)
from tools.report import ROOT

NODES = ROOT / "inventory" / "kind" / "nodes"
# As kubeadm writes it for kind: the server by its name in the cluster's own network.
ADMIN_CONF = """apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: LS0=
    server: https://kind-control-plane:6443
  name: kind
current-context: kubernetes-admin@kind
"""


def inspected(name: str, role: str, ports: t.Any = None, running: bool = True) -> dict[str, t.Any]:
    """What of `docker inspect` counts here."""
    labels = {"io.x-k8s.kind.cluster": "kind", "io.x-k8s.kind.role": role}
    return {
        "Name": f"/{name}",
        "Config": {"Labels": labels},
        "State": {"Running": running},
        "NetworkSettings": {"Ports": ports},
    }


def bound(address: str, port: str = "41307") -> dict[str, t.Any]:
    return {"6443/tcp": [{"HostIp": address, "HostPort": port}]}


CLUSTER = [
    inspected("kind-worker10", "worker"),
    inspected("kind-worker2", "worker"),
    inspected("kind-worker", "worker", {}),
    inspected("kind-control-plane", "control-plane", bound("127.0.0.1")),
]


@pytest.mark.parametrize(
    ("environment", "name"),
    [({}, "kind"), ({"KIND_CLUSTER_NAME": ""}, "kind"), ({"KIND_CLUSTER_NAME": "a-1.b"}, "a-1.b")],
)
def test_the_name_of_a_cluster(environment: dict[str, str], name: str) -> None:
    assert cluster_name(environment) == name


@pytest.mark.parametrize("name", ["A", "a/b", "..", "a b", "a_b"])
def test_what_no_cluster_of_kind_is_called(name: str) -> None:
    with pytest.raises(KindError, match="KIND_CLUSTER_NAME"):
        cluster_name({"KIND_CLUSTER_NAME": name})


def test_the_containers_of_one_cluster_among_others() -> None:
    assert choose("1a kind\n2b other\n3c kind\n", "kind") == ["1a", "3c"]


@pytest.mark.parametrize(("listing", "others"), [("", "none"), ("1a b\n2b a\n3c b\n", "a, b")])
def test_no_such_cluster(listing: str, others: str) -> None:
    with pytest.raises(KindError, match=rf"no kind cluster kind: .*make kind-cluster.*there are: {others}$"):
        choose(listing, "kind")


def test_groups_and_their_order() -> None:
    found = inventory("kind", read_containers(CLUSTER), Path("/cache/kind/kubeconfig"))
    assert found["kube_control_plane"] == {"hosts": ["kind-control-plane"]}
    assert found["kube_worker"] == {"hosts": ["kind-worker", "kind-worker2", "kind-worker10"]}
    assert found["kube_cluster"] == {"children": ["kube_control_plane", "kube_worker"]}
    assert found["all"]["vars"] == {"kind_cluster": "kind", "kind_kubeconfig": "/cache/kind/kubeconfig"}
    assert set(found["_meta"]["hostvars"]) == {"kind-control-plane", "kind-worker", "kind-worker2", "kind-worker10"}


def test_a_load_balancer_is_no_node() -> None:
    balancer = inspected("kind-external-load-balancer", "external-load-balancer", bound("127.0.0.1", "1"))
    planes = [inspected("kind-control-plane2", "control-plane", bound("127.0.0.1", "3")), CLUSTER[-1]]
    containers = read_containers([balancer, *planes])
    found = inventory("kind", containers, Path("x"))
    assert found["kube_control_plane"] == {"hosts": ["kind-control-plane", "kind-control-plane2"]}
    assert list(found["_meta"]["hostvars"]) == ["kind-control-plane", "kind-control-plane2"]
    assert endpoint(containers) == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("ports", "api"),
    [
        (None, ""),
        ({}, ""),
        ({"6443/tcp": None}, ""),
        ({"6443/tcp": []}, ""),
        (bound("127.0.0.1"), "127.0.0.1:41307"),
        (bound("192.0.2.7"), "192.0.2.7:41307"),
        (bound("0.0.0.0"), "127.0.0.1:41307"),
        (bound(""), "127.0.0.1:41307"),
        (bound("::1"), "[::1]:41307"),
        (bound("::"), "[::1]:41307"),
    ],
)
def test_where_the_api_server_is_published(ports: t.Any, api: str) -> None:
    assert published(ports) == api


def test_an_api_server_that_is_published_nowhere() -> None:
    with pytest.raises(KindError, match="docker start kind-control-plane"):
        endpoint([Container("kind-control-plane", "control-plane", False)])


def test_the_kubeconfig_is_kubeadms_with_another_server() -> None:
    assert kubeconfig(ADMIN_CONF, "127.0.0.1:41307") == ADMIN_CONF.replace("kind-control-plane:6443", "127.0.0.1:41307")


def test_a_kubeconfig_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "kubeconfig"
    for text in ("first", "second"):
        write_private(path, text)
        assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (text, 0o600)
    assert list(path.parent.iterdir()) == [path]


def answers(monkeypatch: pytest.MonkeyPatch, containers: list[dict[str, t.Any]], cache: Path) -> None:
    """A docker that has these containers, and a control plane's admin.conf."""
    said = {
        "ps": "".join(f"{number} kind\n" for number, _ in enumerate(containers)),
        "inspect": json.dumps(containers),
        "exec": ADMIN_CONF,
    }
    monkeypatch.setattr(kind_inventory, "docker", lambda *arguments: said[arguments[0]])
    monkeypatch.setattr(kind_inventory, "CACHE", cache)


def test_a_cluster_is_read_and_its_kubeconfig_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers(monkeypatch, CLUSTER, tmp_path)
    found = kind_inventory.read_cluster("kind")
    assert found["all"]["vars"]["kind_kubeconfig"] == str(tmp_path / "kind" / "kubeconfig")
    assert "server: https://127.0.0.1:41307\n" in (tmp_path / "kind" / "kubeconfig").read_text()


def test_a_cluster_that_was_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stopped = [inspected("kind-control-plane", "control-plane", running=False), inspected("kind-worker", "worker")]
    answers(monkeypatch, stopped, tmp_path)
    with pytest.raises(KindError, match=r"no control plane .* docker start kind-worker kind-control-plane"):
        kind_inventory.read_cluster("kind")


def run_nodes(path: Path, script: str | None) -> subprocess.CompletedProcess[str]:
    """The inventory script with a docker that does what a shell script says, or with none."""
    (path / "python3").symlink_to(sys.executable)
    for name in ("sh", "dirname", "readlink"):
        found = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True)
        (path / name).symlink_to(found.stdout.strip())
    if script is not None:
        (path / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (path / "docker").chmod(0o755)
    environment = {**os.environ, "PATH": str(path), "KIND_CLUSTER_NAME": "absent"}
    return subprocess.run([NODES, "--list"], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "kind: docker could not be run (No such file or directory): "),
        ("printf 'Cannot connect\\nto it\\n' >&2; exit 1", "kind: docker ps failed: Cannot connect to it (The daemon "),
        ("echo 1a other", "kind: there is no kind cluster absent: make it (make kind-cluster), "),
    ],
)
def test_the_script_says_in_one_line_what_is_missing(script: str | None, words: str, tmp_path: Path) -> None:
    done = run_nodes(tmp_path, script)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(words)
    assert done.stderr.count("\n") == 1
