# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The workflow `kind`, step by step, on a machine with Docker that is a lab node. The tests build on each other. ANSIBLE_CORE says what it says there."""

from __future__ import annotations

import json
import os
import typing as t

import pytest
import yaml

from tests.labkit import ROOT, Lab
from tests.labkit.kind_host import IMAGE, Docker, make_repository, write_config
from tests.labkit.kind_image import make
from tests.labkit.packages import served
from tools.golang import install
from tools.kind import PACKAGE, VERSION, programs, read_settings
from tools.kind_inventory import CACHE

LAB = Lab("kubelab-kind", ("--workers", "0", "--memory-control-plane", "4096"))
KUBERNETES = "1.37.2"
NODES = ("kind-control-plane", "kind-worker")
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "kind.yml").read_text("utf-8"))
STEPS = [step["run"] for step in WORKFLOW["jobs"]["switch"]["steps"] if "kind-" in step.get("run", "")]
IN_ORDER = "every node is in {mode} mode, kernel and API agree, and a second run changes nothing"
HELD = {
    "iptables": "iptables-save -t nat | grep -q default/kubernetes:https && ! ip link show kube-ipvs0",
    "ipvs": "grep -q :01BB /proc/net/ip_vs && ip link show kube-ipvs0",
    "nftables": "nft list table ip kube-proxy | grep -q default/kubernetes && ! ip link show kube-ipvs0",
}


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Docker]:
    # What has to be fetched, while there is a way out.
    install(PACKAGE, VERSION)
    programs(read_settings(os.environ))
    image = make(KUBERNETES)
    place = tmp_path_factory.mktemp("kind")
    make_repository(place)
    write_config(place / "kind.yaml")
    LAB.down()
    LAB.up()
    try:
        with served(LAB, place):
            there = Docker(LAB, place)
            there.install()
            there.load(image)
            yield there
    finally:
        LAB.down()


def run_step(docker: Docker, step: str) -> str:
    done = docker.inside(step.split(), KIND_IMAGE=IMAGE, KIND_CONFIG=str(docker.place / "kind.yaml"))
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_workflow_has_the_steps_that_are_known_here() -> None:
    assert STEPS[0] == "make kind-cluster"
    assert STEPS[-2:] == ["make kind-logs", "make kind-down"]
    assert sorted(STEPS[1:-2]) == [f"make kind-switch MODE={mode}" for mode in sorted(HELD)]


def test_a_node_begins_as_bare_as_one_of_kind(docker: Docker) -> None:
    docker.run(
        "run",
        "--rm",
        "--entrypoint",
        "sh",
        IMAGE,
        "-c",
        "! command -v python3 && ! command -v ipvsadm && ! command -v ipset",
    )


def test_a_cluster(docker: Docker) -> None:
    assert "iptables mode is in order" in run_step(docker, STEPS[0])
    listed = json.loads(docker.run("exec", NODES[0], "kubectl", "get", "nodes", "-o", "json"))["items"]
    assert {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in listed} == dict.fromkeys(
        NODES, f"v{KUBERNETES}"
    )


@pytest.mark.parametrize("step", STEPS[1:-2])
def test_a_switch(docker: Docker, step: str) -> None:
    mode = step.partition("=")[2]
    assert IN_ORDER.format(mode=mode) in run_step(docker, step)
    for node in NODES:
        assert docker.run("exec", node, "curl", "-s", "http://localhost:10249/proxyMode") == mode
        docker.run("exec", node, "sh", "-c", HELD[mode])


def test_the_logs(docker: Docker) -> None:
    run_step(docker, STEPS[-2])
    for node in NODES:
        assert (CACHE / "kind" / "logs" / node / "kubelet.log").stat().st_size


def test_nothing_is_left(docker: Docker) -> None:
    run_step(docker, STEPS[-1])
    assert docker.run("ps", "--all", "--quiet") == ""
    assert docker.run("volume", "ls", "--quiet") == ""
