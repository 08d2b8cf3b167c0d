# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An apt repository laid out as the upstream one of Kubernetes, made of what the lab has built, and served inside the lab's namespace.

What is in each package, what it depends on, and where files go: kubernetes/release, cmd/krel/templates/latest. A repository is flat,
one for each minor release, its packages in a folder named after the architecture, signed, its key beside it as C(Release.key).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kubelab import host
from kubelab.cache import open_store
from kubelab.recipes import data, golang
from tests.labkit import ROOT, Lab

TOOLS = ("apt-utils", "curl", "gnupg")
ADDRESS, PORT = "192.168.34.1", 8080
KEY = "packages@lab.invalid"
URL = f"http://{ADDRESS}:{PORT}"
UNITS = "usr/lib/systemd/system"
HIDDEN = "/opt/python"
HIDE_PYTHON = f"""
set -e
mkdir {HIDDEN}
cp -P /usr/bin/python3 {HIDDEN}/
dpkg --remove --force-depends python3
mv /usr/bin/python3.* {HIDDEN}/
echo 'deb [trusted=yes] {URL}/debian/ /' > /etc/apt/sources.list.d/debian.list
! command -v python3
"""
NODE_FILES = data.ROOT / "node"


@dataclass(frozen=True)
class Package:
    """A Debian package: its files by where they go, a file of this machine or a text each."""

    name: str
    version: str
    files: t.Mapping[str, Path | str]
    depends: str = ""
    scripts: t.Mapping[str, str] = field(default_factory=dict)
    fields: t.Mapping[str, str] = field(default_factory=dict)

    def build(self, scratch: Path, folder: Path) -> None:
        tree = scratch / f"{self.name}_{self.version}"
        for place, source in self.files.items():
            target = tree / place
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, Path):
                shutil.copy2(source, target)
            else:
                target.write_text(source, encoding="utf-8")
        control = [
            f"Package: {self.name}",
            f"Version: {self.version}",
            f"Architecture: {architecture()}",
            *([f"Depends: {self.depends}"] if self.depends else []),
            *(f"{name}: {value}" for name, value in self.fields.items()),
            "Maintainer: the lab <root@localhost>",
            f"Description: {self.name} as the lab has built it",
        ]
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text("\n".join(control) + "\n", encoding="utf-8")
        for name, text in self.scripts.items():
            (tree / "DEBIAN" / name).write_text(f"#!/bin/sh\nset -e\n{text}\n", encoding="utf-8")
            (tree / "DEBIAN" / name).chmod(0o755)
        folder.mkdir(parents=True, exist_ok=True)
        run("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, folder)


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    return subprocess.run(argv, cwd=cwd, check=True, capture_output=True, text=True).stdout


def architecture() -> str:
    return run("dpkg", "--print-architecture").strip()


def kubernetes(programs: Path, version: str) -> list[Package]:
    """The packages of a release. All that C(cri-tools) and C(kubernetes-cni) would bring, the node has from Debian or nobody calls."""
    start = {"postinst": "systemctl daemon-reload", "prerm": "systemctl stop kubelet || true"}
    unit = NODE_FILES / UNITS / "kubelet.service"
    drop_in = NODE_FILES / UNITS / "kubelet.service.d" / "10-kubeadm.conf"
    return [
        Package("cri-tools", "1.37.0-1.1", {}),
        Package("kubernetes-cni", "1.9.1-1.1", {"opt/cni/bin/.kubernetes-cni-keep": ""}),
        Package("kubectl", version, {"usr/bin/kubectl": programs / "kubectl"}),
        Package(
            "kubelet",
            version,
            {
                "usr/bin/kubelet": programs / "kubelet",
                f"{UNITS}/kubelet.service": unit,
                "etc/default/kubelet": "KUBELET_EXTRA_ARGS=\n",
                "etc/kubernetes/manifests/.kubelet-keep": "",
                "var/lib/kubelet/.kubelet-keep": "",
            },
            "kubernetes-cni (>= 1.2.0), mount, util-linux",
            start,
        ),
        Package(
            "kubeadm",
            version,
            {"usr/bin/kubeadm": programs / "kubeadm", f"{UNITS}/kubelet.service.d/10-kubeadm.conf": drop_in},
            "kubelet (>= 1.19.0), kubectl (>= 1.19.0), cri-tools (>= 1.28.0)",
        ),
    ]


def containerd(programs: Path) -> Package:
    """The runtime, under the name that Debian's has."""
    names = ("containerd", "containerd-shim-runc-v2", "ctr")
    files: dict[str, Path | str] = {f"usr/bin/{name}": programs / name for name in names}
    files[f"{UNITS}/containerd.service"] = NODE_FILES / UNITS / "containerd.service"
    start = "systemctl daemon-reload\nsystemctl enable --now containerd"
    return Package("containerd", "2.4.2-1", files, "runc", {"postinst": start})


def make_key(place: Path) -> Path:
    """A folder with the key that signs."""
    gnupg = place / "gnupg"
    gnupg.mkdir(mode=0o700, parents=True)
    run("gpg", "--homedir", gnupg, "--batch", "--passphrase", "", "--quick-gen-key", KEY, "ed25519")
    return gnupg


def index(folder: Path, gnupg: Path) -> None:
    """What apt reads of a flat repository, signed."""
    listing = run("apt-ftparchive", "packages", ".", cwd=folder)
    (folder / "Packages").write_text(listing.replace("Filename: ./", "Filename: "), encoding="utf-8")
    release = run("apt-ftparchive", "release", ".", cwd=folder)
    (folder / "Release").write_text(release, encoding="utf-8")
    gpg = ("gpg", "--homedir", gnupg, "--batch", "--yes", "--local-user", KEY)
    run(*gpg, "--clearsign", "--output", folder / "InRelease", folder / "Release")
    run(*gpg, "--armor", "--export", "--output", folder / "Release.key", KEY)


def install_tools() -> None:
    """On this machine, what makes repositories."""
    host.install(TOOLS, open_store(os.environ, ROOT).root / "logs")


def make_python(place: Path) -> None:
    """Below C(place): C(debian) with a package python3 that brings a node's Python back from where HIDE_PYTHON has put it."""
    install_tools()
    debian = place / "www" / "debian"
    # What others need of it, as the real one has it.
    fields = {"Multi-Arch": "allowed", "Provides": "python3-supported-min (= 3.13)"}
    back = Package("python3", "3.13.99-1", {}, fields=fields, scripts={"postinst": f"mv {HIDDEN}/* /usr/bin/"})
    back.build(place / "trees", debian / architecture())
    index(debian, make_key(place))


def make(place: Path, version: str, releases: t.Sequence[str]) -> None:
    """Below C(place): C(core:/stable:/vX.Y/deb) with these package versions of one Kubernetes release, and C(debian) with the runtime.

    :param version: of the programs, which the lab must have built
    """
    store = open_store(os.environ, ROOT)
    install_tools()
    programs, runtime = store.find(golang.kubernetes(version)), store.find(golang.containerd())
    if programs is None or runtime is None:
        raise AssertionError("the lab is not built: make lab")
    gnupg = make_key(place)
    minor = version.rpartition(".")[0]
    upstream, debian = place / "www" / "core:" / "stable:" / f"v{minor}" / "deb", place / "www" / "debian"
    for release in releases:
        for package in kubernetes(programs / "bin", release):
            package.build(place / "trees" / release, upstream / architecture())
    containerd(runtime / "bin").build(place / "trees" / "debian", debian / architecture())
    for folder in (upstream, debian):
        index(folder, gnupg)


@contextmanager
def served(lab: Lab, place: Path) -> t.Iterator[None]:
    """The repositories, where the lab's nodes reach them and nobody else does."""
    argv = ("ip", "netns", "exec", lab.name, "python3", "-m", "http.server", str(PORT), "--bind", ADDRESS)
    with subprocess.Popen(
        [*argv, "--directory", str(place / "www")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            lab.node("cp1").wait("the package repository", f"curl -sf {URL}/debian/Release")
            yield
        finally:
            server.terminate()
