# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Container images under their upstream names, written as docker archives: one layer each, no Docker needed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Iterator

REGISTRY = "registry.k8s.io"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MERGED_USR = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
# The alternatives system would make these links; unpacked packages have none.
XTABLES = {
    f"usr/sbin/{name}{action}": "xtables-nft-multi"
    for name in ("iptables", "ip6tables")
    for action in ("", "-save", "-restore")
}
APPLETS = {
    f"usr/bin/{name}": "busybox" for name in "cat date env hostname ip ls nc nslookup ping sh sleep wget".split()
}


@dataclass(frozen=True)
class Image:
    """An image: programs on top of an unpacked tree of packages, if any."""

    reference: str
    entrypoint: tuple[str, ...]
    files: Mapping[str, Path]
    tree: Path | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    def write(self, target: Path) -> None:
        """Write the docker archive."""
        layer = target.with_suffix(".layer")
        with tarfile.open(layer, "w") as archive:
            for member, content in self._members():
                archive.addfile(member, content)
        with layer.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        with tarfile.open(target, "w") as archive:
            archive.add(layer, f"{digest}/layer.tar")
            _add(archive, "config.json", self._config(digest))
            manifest = {"Config": "config.json", "RepoTags": [self.reference], "Layers": [f"{digest}/layer.tar"]}
            _add(archive, "manifest.json", json.dumps([manifest]).encode())
        layer.unlink()

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, t.IO[bytes] | None]]:
        if self.tree is not None:
            with tarfile.open(self.tree) as source:
                for member in source:
                    # Device files of the tree are none of an image's business: the runtime makes its own.
                    if not member.isdev():
                        yield member, source.extractfile(member) if member.isfile() else None
        for name, target in self.links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            yield link, None
        for name, path in self.files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = path.stat().st_size, 0o755
            with path.open("rb") as content:
                yield member, content

    def _config(self, digest: str) -> bytes:
        return json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Entrypoint": list(self.entrypoint), "Env": [PATH]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
                "history": [{"created_by": "lab/lab build"}],
            }
        ).encode()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def tags(listing: str) -> dict[str, str]:
    """References by short name from `kubeadm config images list`: `etcd` -> `registry.k8s.io/etcd:3.6.5-0`."""
    references = [line.strip() for line in listing.splitlines() if line.startswith(REGISTRY)]
    return {reference.rsplit("/", 1)[1].rsplit(":", 1)[0]: reference for reference in references}


@dataclass(frozen=True)
class Parts:
    """What images are made of: folders of programs and trees of packages."""

    kubernetes: Path
    etcd: Path
    coredns: Path
    proxy_tree: Path
    workload_tree: Path


def images(parts: Parts, named: Mapping[str, str], agnhost_version: str) -> list[Image]:
    """Every image a kubeadm cluster asks for, and the test workload."""
    agnhost = parts.kubernetes / "agnhost"
    plain = [
        _program(named[name], parts.kubernetes / name)
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ]
    proxy = parts.kubernetes / "kube-proxy"
    return [
        *plain,
        _program(named["etcd"], parts.etcd / "etcd"),
        Image(named["coredns"], ("/coredns",), {"coredns": parts.coredns / "coredns"}),
        Image(named["pause"], ("/agnhost", "pause"), {"agnhost": agnhost}),
        Image(
            named["kube-proxy"],
            ("/usr/local/bin/kube-proxy",),
            {"usr/local/bin/kube-proxy": proxy},
            tree=parts.proxy_tree,
            links={**MERGED_USR, **XTABLES},
        ),
        Image(
            f"{REGISTRY}/e2e-test-images/agnhost:{agnhost_version}",
            ("/agnhost",),
            {"agnhost": agnhost},
            tree=parts.workload_tree,
            links={**MERGED_USR, **APPLETS},
        ),
    ]


def _program(reference: str, program: Path) -> Image:
    path = f"usr/local/bin/{program.name}"
    return Image(reference, (f"/{path}",), {path: program})
