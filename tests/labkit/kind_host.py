# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine with Docker: a lab node with Debian's daemon on it, and Debian's client for who runs in the lab's network.

The node has no way out, and neither have the containers on it. What they install comes from a repository that is served to them, with the packages
of the node's release from the mirror that the lab uses.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml

from kubelab.apt import PrivateApt, host_mirror
from kubelab.build import Builder
from kubelab.cache import Recipe, open_store
from kubelab.recipes import debian
from kubelab.steps import Log
from tests.labkit import ROOT, Lab, Node, within
from tests.labkit.kind_image import CONFIG, TREE
from tests.labkit.packages import URL, index, install_tools, make_key, run

ADDRESS, PORT = "192.168.34.10", 2375
STATUS = "./var/lib/dpkg/status"
IMAGE = "kindest/node:lab"
# A privileged container is told nothing of the clock speed that kubelet asks for, and the lab's nodes have it in a file: lab-init.
CPUINFO = {"hostPath": "/etc/lab/cpuinfo", "containerPath": "/proc/cpuinfo", "readOnly": True}
# The lab's own runtime belongs to no package, and Docker brings one.
INSTALL = f"""
set -e
systemctl disable --now --quiet containerd
rm -rf /usr/bin/containerd* /usr/bin/ctr /usr/lib/systemd/system/containerd.service /etc/containerd /var/lib/containerd
mkdir -p /etc/systemd/system/docker.socket.d
printf '[Socket]\\nListenStream={ADDRESS}:{PORT}\\n' > /etc/systemd/system/docker.socket.d/lab.conf
echo 'deb [trusted=yes] {URL}/debian/ /' > /etc/apt/sources.list.d/debian.list
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends docker.io
"""


def fetch(apt: PrivateApt, tree: Recipe, names: t.Sequence[str], into: Path) -> None:
    """Packages as files, with all that a system made of a tree lacks of what they need."""
    builder = Builder(open_store(os.environ, ROOT))
    builder.build(tree)
    status = apt.folder / tree.name
    with tarfile.open(builder.path(tree) / "tree.tar") as archive:
        status.write_bytes(t.cast("t.IO[bytes]", archive.extractfile(STATUS)).read())
    options = ("-o", f"Dir::State::status={status}", "-o", f"Dir::Cache::archives={into}/")
    command = ("apt-get", *apt.options(), *options, "-qy", "--no-install-recommends", "--download-only", "install")
    apt.log.run([*command, *names])


def make_repository(place: Path) -> None:
    """Below C(place): C(debian) with Docker for a lab's node and Python for a node of kind."""
    install_tools()
    folder = place / "www" / "debian"
    (folder / "partial").mkdir(parents=True)
    apt = PrivateApt(place / "apt", Log(place / "apt.log"))
    apt.update(host_mirror().sources())
    fetch(apt, debian.node(), ("docker.io", "docker-cli"), folder)
    fetch(apt, TREE, ("python3",), folder)
    index(folder, make_key(place))


@dataclass(frozen=True)
class Docker:
    """The daemon of a lab's node, and the folder of the client."""

    lab: Lab
    place: Path

    @property
    def node(self) -> Node:
        return self.lab.node("cp1")

    @property
    def client(self) -> Path:
        """The folder of the client's program."""
        return self.place / "client" / "usr" / "bin"

    def install(self) -> None:
        """Have the daemon on the node, and the client here. The repository has to be there, and served."""
        self.node.run(INSTALL)
        run("dpkg-deb", "-x", next((self.place / "www" / "debian").glob("docker-cli_*.deb")), self.place / "client")
        self.node.wait("the Docker daemon", "curl -sf --unix-socket /run/docker.sock http://localhost/_ping")

    def inside(self, command: t.Sequence[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this machine in the lab's network, with the client and the address of the daemon in its environment."""
        path = f"{self.client}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "DOCKER_HOST": f"tcp://{ADDRESS}:{PORT}", **variables}
        argv = [*within(self.lab.name), *map(str, command)]
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def run(self, *arguments: str | Path) -> str:
        """What a command of the client prints; its failure is the test's."""
        done = self.inside(["docker", *arguments])
        if done.returncode:
            raise AssertionError(f"docker {arguments[0]} ended with {done.returncode}: {done.stdout}")
        return done.stdout

    def load(self, tree: Path) -> None:
        """Have the node image, of its file system."""
        changes = [word for each in CONFIG for word in ("--change", each)]
        self.run("import", *changes, tree, IMAGE)


def write_config(path: Path) -> None:
    """The cluster of `make kind-cluster`, for a daemon that is on another machine, and this one's clock speed in its nodes."""
    config = yaml.safe_load((ROOT / "tools" / "kind-cluster.yaml").read_text("utf-8"))
    # kind looks for a free port on the machine that it runs on.
    config["networking"].update(apiServerAddress=ADDRESS, apiServerPort=6443)
    for node in config["nodes"]:
        node["extraMounts"] = [dict(CPUINFO)]
    path.write_text(yaml.safe_dump(config), "utf-8")
