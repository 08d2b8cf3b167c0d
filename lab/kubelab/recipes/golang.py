# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs compiled from Go modules, each pinned by a committed go.mod and go.sum."""

from __future__ import annotations

import shutil
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from kubelab import golang
from kubelab.cache import Recipe
from kubelab.recipes import data

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from kubelab.cache import Bench

VERSION_PACKAGE = "k8s.io/component-base/version"
AGNHOST = "k8s.io/kubernetes/test/images/agnhost"


@dataclass(frozen=True)
class Program:
    """What to compile in one module folder of ours: `target` as `go build` takes it, variables set by the linker,
    programs to rename, and files to take along from a module (name of the result -> module and path in it).
    The folder has the program's name unless `folder` says otherwise."""

    name: str
    target: str = "tool"
    folder: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The module folder among our data."""
        return f"go/{self.folder or self.name}"

    def recipe(self) -> Recipe:
        """`bin/` with the programs."""
        return Recipe(
            name=f"go-{self.name}",
            build=self.build,
            inputs={
                **data.declarations(self.source),
                "target": self.target,
                "variables": str(sorted(self.variables.items())),
                "rename": str(sorted(self.rename.items())),
                "files": str(sorted(self.files.items())),
            },
            advice="When modules could not be fetched, check GOPROXY (`go env GOPROXY`) and the network, then run it again.",
        )

    def build(self, bench: Bench) -> None:
        """Compile into `bin/`."""
        go = golang.toolchain(bench.downloads, bench.log)
        environment = golang.environment(bench.downloads)
        source = bench.work / "source"
        shutil.copytree(data.ROOT / self.source, source)
        flags = " ".join(["-s -w", *(f"-X {name}={value}" for name, value in sorted(self.variables.items()))])
        binaries = bench.out / "bin"
        binaries.mkdir()
        bench.run([go, "build", "-ldflags", flags, "-o", f"{binaries}/", self.target], cwd=source, env=environment)
        for old, new in self.rename.items():
            (binaries / old).rename(binaries / new)
        for name, (module, path) in self.files.items():
            shutil.copy(Path(environment["GOMODCACHE"]) / module / path, bench.out / name)


def _version_variables(version: str) -> dict[str, str]:
    major, minor, _ = version.split(".")
    return {
        f"{VERSION_PACKAGE}.gitVersion": f"v{version}",
        f"{VERSION_PACKAGE}.gitMajor": major,
        f"{VERSION_PACKAGE}.gitMinor": minor,
        f"{VERSION_PACKAGE}.gitTreeState": "clean",
    }


def kubernetes(version: str) -> Recipe:
    """Every Kubernetes program of a release, and its test workload agnhost."""
    return Program(
        name=f"kubernetes-{version}",
        variables=_version_variables(version),
        files={"agnhost.version": (f"k8s.io/kubernetes@v{version}", "test/images/agnhost/VERSION")},
    ).recipe()


def kube_proxy(version: str) -> Recipe:
    """Only the kube-proxy of a release, to run it in a cluster of another one: that is far less to compile."""
    return Program(
        name=f"kube-proxy-{version}",
        target="k8s.io/kubernetes/cmd/kube-proxy",
        folder=f"kubernetes-{version}",
        variables=_version_variables(version),
    ).recipe()


def containerd() -> Recipe:
    """The container runtime; Debian's own is a major release behind."""
    version = "v2.4.2"
    return Program("containerd", variables={"github.com/containerd/containerd/v2/version.Version": version}).recipe()


def etcd() -> Recipe:
    """The cluster's store. One release serves every Kubernetes on offer."""
    return Program("etcd", rename={"server": "etcd"}).recipe()


def coredns() -> Recipe:
    """Cluster DNS with the plugins of kubeadm's Corefile."""
    return Program("coredns", target=".").recipe()
