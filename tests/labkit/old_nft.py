# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nft of Debian 12 (1.0.6) in the pods of kube-proxy, in place of the one that their image has."""

from __future__ import annotations

import json
import shutil
import subprocess
import typing as t
from pathlib import Path

from kubelab.apt import PrivateApt, host_mirror
from kubelab.steps import Log
from tests.labkit.cluster import Cluster

SUITE = "bookworm"
PLACE = "/opt/nft-of-debian-12"
PACKAGES = (
    *("nftables", "libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libgmp10", "libxtables12"),
    *("libedit2", "libtinfo6", "libbsd0", "libmd0"),
)
PATCH: dict[str, t.Any] = {
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "kube-proxy",
                        "volumeMounts": [
                            {"name": "old-nft", "mountPath": PLACE, "readOnly": True},
                            {"name": "old-nft-program", "mountPath": "/usr/sbin/nft", "readOnly": True},
                        ],
                    }
                ],
                "volumes": [
                    {"name": "old-nft", "hostPath": {"path": PLACE, "type": "Directory"}},
                    {"name": "old-nft-program", "hostPath": {"path": f"{PLACE}/nft", "type": "File"}},
                ],
            }
        }
    }
}


def replace_nft(cluster: Cluster, scratch: Path) -> None:
    """For all pods of kube-proxy, which are restarted by that."""
    made = _make(scratch)
    for node in cluster.nodes:
        with made.open("rb") as archive:
            subprocess.run(node.argv(f"tar -xf - -C / {PLACE[1:]}"), stdin=archive, check=True)
    cluster.kubectl("patch", "daemonset", "-n", "kube-system", "kube-proxy", "-p", json.dumps(PATCH))
    cluster.kubectl("rollout", "status", "-n", "kube-system", "daemonset/kube-proxy", "--timeout=10m")


def _make(scratch: Path) -> Path:
    """An archive of it: the program and its libraries, which are looked for beside it."""
    unpacked, place = _unpacked(scratch), scratch / "made" / PLACE[1:]
    place.mkdir(parents=True)
    for library in unpacked.glob("**/*.so.*"):
        shutil.copy2(library, place / library.name)
    shutil.copy2(unpacked / "usr" / "sbin" / "nft", place / "nft")
    patchelf = str(unpacked / "usr" / "bin" / "patchelf")
    for file in place.iterdir():
        subprocess.run([patchelf, "--set-rpath", PLACE, str(file)], check=True)
    archive = scratch / "old-nft.tar"
    subprocess.run(["tar", "-cf", str(archive), "-C", str(scratch / "made"), PLACE[1:]], check=True)
    return archive


def _unpacked(scratch: Path) -> Path:
    apt = PrivateApt(scratch / "apt", Log(scratch / "apt.log"))
    apt.update(host_mirror().sources(SUITE))
    for package in (*PACKAGES, "patchelf"):
        folder = scratch / package
        folder.mkdir()
        subprocess.run(["dpkg", "-x", str(apt.download(package, folder)), str(scratch / "tree")], check=True)
    return scratch / "tree"
