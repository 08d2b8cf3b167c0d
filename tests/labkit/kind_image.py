# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node image for kind, of the programs and images that the lab has built and of the files in kind's own sources.

What kind does to make one: images/base/Dockerfile and pkg/build/nodeimage/buildcontext.go of its module. Left out is what only storage and rootless
Docker need. kindnetd is no module of its own, so a manifest of ours stands in for it.
"""

from __future__ import annotations

import json
import os
import shutil
import typing as t
from dataclasses import dataclass
from pathlib import Path

from kubelab import golang
from kubelab.build import Builder
from kubelab.cache import Bench, Recipe, declared, open_store
from kubelab.recipes import debian, disk
from kubelab.steps import output
from tests.labkit import ROOT
from tests.labkit.packages import URL
from tools.kind import PACKAGE, VERSION

CRICTL = "sigs.k8s.io/cri-tools/cmd/crictl@v1.37.0"
PACKAGES = (
    "bash ca-certificates conntrack containernetworking-plugins curl e2fsprogs ethtool iproute2 iptables jq kmod libseccomp2 mount nftables pigz procps "
    "runc systemd util-linux"
).split()
PLUGINS = ("host-local", "loopback", "portmap", "ptp")
MANIFEST = Path(__file__).with_name("manifests") / "kind-cni.yaml"
TREE = debian.Tree("kind", "minbase", tuple(PACKAGES)).recipe()
# The image that kind's configuration of containerd begins a pod with; the lab's is another.
PAUSE = "registry.k8s.io/pause:3.10"
SETTLE = """
set -e
chmod -R u=rwX,go=rX kind etc/containerd etc/crictl.yaml etc/default/kubelet etc/sysctl.d etc/systemd/system
chmod 755 kind/bin/* usr/local/bin/*
rm -rf LICENSES usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
rm -f usr/lib/systemd/system/multi-user.target.wants/* usr/lib/systemd/system/local-fs.target.wants/* usr/lib/systemd/system/basic.target.wants/*
rm -f usr/lib/systemd/system/sockets.target.wants/*udev* usr/lib/systemd/system/sockets.target.wants/*initctl* etc/systemd/system/*.wants/*
echo ReadKMsg=no >> etc/systemd/journald.conf
ln -sf /usr/lib/systemd/systemd usr/sbin/init
systemctl enable kubelet.service containerd.service undo-mount-hacks.service
systemctl mask systemd-binfmt.service
mkdir -p etc/kubernetes/manifests
"""
# As Docker is told them when it takes the image in.
CONFIG = (
    'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]',
    "ENV container=docker",
    "STOPSIGNAL SIGRTMIN+3",
)


@dataclass(frozen=True)
class KindImage:
    """The image for a Kubernetes release, from the parts of the lab's disk for it and Debian's packages."""

    version: str
    parts: disk.Disk
    tree: Recipe

    def recipe(self) -> Recipe:
        """`image.tar`: the file system, for `docker import`."""
        parts = self.parts
        return Recipe(
            name=f"kind-{self.version}",
            build=self.build,
            inputs={
                "kind": VERSION,
                "crictl": CRICTL,
                "settle": SETTLE,
                "cni": declared(MANIFEST.read_text("utf-8")),
                "packages": URL,
            },
            needs=(
                parts.kubernetes,
                parts.containerd,
                parts.etcd,
                parts.coredns,
                parts.proxy,
                parts.workload,
                self.tree,
            ),
            advice="When modules could not be fetched, check GOPROXY (`go env GOPROXY`) and the network, then run it again.",
        )

    def build(self, bench: Bench) -> None:
        """Put everything in its place."""
        tree = bench.work / "tree"
        tree.mkdir(mode=0o755)
        xattrs = ("--xattrs", "--xattrs-include=*", "--numeric-owner")
        bench.run(["tar", *xattrs, "-xpf", bench.need(self.tree) / "tree.tar"], tree)
        sources = go_sources(bench)
        bench.run(["cp", "-r", "--no-preserve=mode,ownership", f"{sources}/images/base/files/.", tree])
        self._install(bench, tree)
        bench.run(["chroot", tree, "sh", "-c", SETTLE])
        self._configure(bench, tree)
        self.parts.bake(bench, tree)
        self._name_workload(bench, tree)
        bench.run(["tar", *xattrs, "-cf", bench.out / "image.tar", "."], tree)

    def _install(self, bench: Bench, tree: Path) -> None:
        for name in disk.NODE_PROGRAMS:
            shutil.copy(bench.need(self.parts.kubernetes) / "bin" / name, tree / "usr/bin")
        bench.run(["cp", "-r", f"{bench.need(self.parts.containerd)}/bin/.", tree / "usr/local/bin"])
        (tree / "opt/cni/bin").mkdir(parents=True)
        for name in PLUGINS:
            shutil.copy(tree / "usr/lib/cni" / name, tree / "opt/cni/bin")
        environment = {**golang.environment(bench.downloads), "GOBIN": str(tree / "usr/local/bin")}
        bench.run([golang.toolchain(bench.downloads, bench.log), "install", CRICTL], env=environment)

    def _configure(self, bench: Bench, tree: Path) -> None:
        (tree / "kind/version").write_text(f"v{self.version}", "utf-8")
        (tree / "etc/apt/sources.list.d/lab.list").write_text(f"deb [trusted=yes] {URL}/debian/ /\n", "utf-8")
        config = tree / "etc/containerd/config.toml"
        config.write_text(config.read_text("utf-8").replace(f'"{PAUSE}"', '"@PAUSE@"'), "utf-8")
        spec = json.loads(output([bench.need(self.parts.containerd) / "bin/ctr", "oci", "spec"]))
        spec.setdefault("hooks", {})["createContainer"] = [{"path": "/kind/bin/mount-product-files.sh"}]
        del spec["process"]["rlimits"]
        (tree / "etc/containerd/cri-base.json").write_text(json.dumps(spec), "utf-8")

    def _name_workload(self, bench: Bench, tree: Path) -> None:
        references: list[str] = json.loads((bench.out / "images.json").read_text("utf-8"))
        manifest = MANIFEST.read_text("utf-8").replace(
            "@WORKLOAD@", next(each for each in references if "agnhost" in each)
        )
        (tree / "kind/manifests").mkdir()
        (tree / "kind/manifests/default-cni.yaml").write_text(manifest, "utf-8")


def go_sources(bench: Bench) -> Path:
    """kind's module, which Go's checksum database vouches for."""
    go = golang.toolchain(bench.downloads, bench.log)
    told = output([go, "mod", "download", "-json", f"{PACKAGE}@{VERSION}"], golang.environment(bench.downloads))
    return Path(t.cast("dict[str, str]", json.loads(told))["Dir"])


def recipe(version: str) -> Recipe:
    """The node image for a Kubernetes release."""
    return KindImage(version, disk.parts(version), TREE).recipe()


def make(version: str) -> Path:
    """The node image's file system as a tar file, built unless it was before."""
    builder = Builder(open_store(os.environ, ROOT))
    builder.build(recipe(version))
    return builder.path(recipe(version)) / "image.tar"
