# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disk of a bare node: Debian, kernel modules, container runtime, Kubernetes programs, images in the runtime's store."""

from __future__ import annotations

import json
import os
import shutil
import typing as t
from dataclasses import dataclass
from pathlib import Path

from kubelab.cache import Recipe
from kubelab.recipes import data, debian, golang, images, kernel
from kubelab.steps import output

if t.TYPE_CHECKING:
    from kubelab.cache import Bench

SIZE = "8G"
NODE_PROGRAMS = ("kubeadm", "kubectl", "kubelet")
UNITS = Path("usr/lib/systemd/system")
ENABLED = {"lab-network.service": "multi-user.target", "containerd.service": "multi-user.target"}
# Timers would wake up in the middle of a test, consoles have nobody before them.
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("e2scrub_reap.service", "getty@tty1.service", "console-getty.service"),
)


@dataclass(frozen=True)
class Disk:
    """The disk for a Kubernetes release, from the things it is made of."""

    kernel: Recipe
    kubernetes: Recipe
    containerd: Recipe
    etcd: Recipe
    coredns: Recipe
    node: Recipe
    proxy: Recipe
    workload: Recipe

    def recipe(self, version: str) -> Recipe:
        """`base.ext4`, and `images.json`: the references of the images in it."""
        return Recipe(
            name=f"disk-{version}",
            build=self.build,
            inputs={
                **data.declarations("node"),
                "bake": "\n".join(data.declarations("bake").values()),
                "size": SIZE,
                "programs": " ".join(NODE_PROGRAMS),
                "enabled": str(sorted(ENABLED.items())),
                "masked": " ".join(MASKED),
            },
            needs=(
                *(self.kernel, self.kubernetes, self.containerd, self.etcd, self.coredns),
                *(self.node, self.proxy, self.workload),
            ),
        )

    def build(self, bench: Bench) -> None:
        """Put everything in its place and make a file system of it."""
        tree = bench.work / "tree"
        tree.mkdir(mode=0o755)
        bench.run(
            ["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", bench.need(self.node) / "tree.tar"],
            tree,
        )
        self._install(bench, tree)
        _enable(tree)
        self.bake(bench, tree)
        bench.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, bench.out / "base.ext4", SIZE])
        # Copy-on-write files refer to it by size and time: nobody may ever write to it.
        (bench.out / "base.ext4").chmod(0o444)

    def _install(self, bench: Bench, tree: Path) -> None:
        bench.run(["cp", "-a", f"{bench.need(self.kernel)}/modules/.", tree])
        for name in NODE_PROGRAMS:
            shutil.copy(bench.need(self.kubernetes) / "bin" / name, tree / "usr/bin")
        bench.run(["cp", "-a", f"{bench.need(self.containerd)}/bin/.", tree / "usr/bin"])
        (tree / "opt/cni").mkdir(parents=True)
        bench.run(["cp", "-a", f"{tree}/usr/lib/cni", tree / "opt/cni/bin"])
        bench.run(["cp", "-a", "--no-preserve=ownership", f"{data.ROOT}/node/.", tree])
        bench.run(["chown", "-R", "root:root", tree / "usr", tree / "opt"])
        # Empty, not absent: systemd then writes one of its own at every node's first boot.
        (tree / "etc/machine-id").write_text("", encoding="utf-8")

    def bake(self, bench: Bench, tree: Path) -> None:
        """Have the images in the runtime's store of a tree, their references in `images.json`, and the runtime know its own."""
        kubernetes = bench.need(self.kubernetes)
        version = f"v{self.kubernetes.name.rsplit('-', 1)[1]}"
        listing = output([kubernetes / "bin/kubeadm", "config", "images", "list", "--kubernetes-version", version])
        parts = images.Parts(
            kubernetes=kubernetes / "bin",
            etcd=bench.need(self.etcd) / "bin",
            coredns=bench.need(self.coredns) / "bin",
            proxy_tree=bench.need(self.proxy) / "tree.tar",
            workload_tree=bench.need(self.workload) / "tree.tar",
        )
        agnhost = (kubernetes / "agnhost.version").read_text(encoding="utf-8").strip()
        made = images.images(parts, images.tags(listing), agnhost)
        archives = bench.work / "images"
        archives.mkdir()
        for number, image in enumerate(made):
            image.write(archives / f"{number}.tar")
        environment = {**os.environ, "CONTAINERD": str(bench.need(self.containerd) / "bin"), "TREE": str(tree)}
        bench.run(["sh", data.ROOT / "bake/bake.sh"], env=environment)
        _name_pause(tree, images.tags(listing)["pause"])
        references = [image.reference for image in made]
        (bench.out / "images.json").write_text(json.dumps(references, indent=1) + "\n", encoding="utf-8")


def _name_pause(tree: Path, reference: str) -> None:
    config = tree / "etc/containerd/config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("@PAUSE@", reference), encoding="utf-8")


def _enable(tree: Path) -> None:
    for unit, target in ENABLED.items():
        link = tree / "etc/systemd/system" / f"{target}.wants" / unit
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"/{UNITS}/{unit}")
    for unit in MASKED:
        mask = tree / "etc/systemd/system" / unit
        mask.unlink(missing_ok=True)
        mask.symlink_to("/dev/null")


def for_release(version: str) -> Recipe:
    """The disk of a bare node of a Kubernetes release."""
    return parts(version).recipe(version)


def parts(version: str) -> Disk:
    """What the disk for a Kubernetes release is made of."""
    return Disk(
        kernel=kernel.recipe(),
        kubernetes=golang.kubernetes(version),
        containerd=golang.containerd(),
        etcd=golang.etcd(),
        coredns=golang.coredns(),
        node=debian.node(),
        proxy=debian.proxy(),
        workload=debian.workload(),
    )
