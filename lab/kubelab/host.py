# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lab asks of the machine it runs on, and the few things it does to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

from kubelab.errors import LabError
from kubelab.steps import Log, step

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACKAGES_TO_BUILD = (
    "bc bison binutils ca-certificates debian-archive-keyring dpkg e2fsprogs flex gcc kmod libc6-dev libelf-dev libssl-dev "
    "make mmdebstrap perl tar util-linux xz-utils"
).split()
PACKAGES_TO_RUN = "iproute2 netcat-openbsd openssh-client util-linux".split()
KEPT_VARIABLES = ("HOME", "PATH", "XDG_CACHE_HOME", "LAB_CACHE", "LAB_NAME", "GOPROXY", "GOSUMDB", "GOFLAGS")
GIGABYTE = 1 << 30
RUNTIME = Path("/run/netops-kube-proxy-lab")
MAP_LIMIT = Path("/proc/sys/vm/max_map_count")
# Scattered pages of a node's process are separate mappings of the host: an API server was seen at 35,000 within its
# first minute, and at the usual limit of 65,530 it would be killed.
MAPS_WANTED = 1 << 20


def require_linux() -> None:
    """The lab is Linux processes and Linux namespaces all the way down."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise LabError(f"the lab needs Linux on x86_64; this is {sys.platform} on {os.uname().machine}")
    if shutil.which("apt-get") is None:
        raise LabError("the lab needs a Debian machine: there is no apt-get here")


def require_root(argv: Sequence[str]) -> None:
    """Go on as root: by running this same command again through sudo when need be."""
    if os.geteuid() == 0:
        return
    if shutil.which("sudo") is None:
        raise LabError(
            "the lab needs root (namespaces, taps, disk images) and there is no sudo here", "Run it as root."
        )
    kept = [f"{name}={os.environ[name]}" for name in KEPT_VARIABLES if name in os.environ]
    os.execvp("sudo", ["sudo", "env", *kept, sys.executable, *argv])


def calling_user(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """User and group who typed the command, when sudo stands between them and us."""
    if "SUDO_UID" not in environment or environment["SUDO_UID"] == "0":
        return None
    return int(environment["SUDO_UID"]), int(environment["SUDO_GID"])


def give_to_caller(path: Path) -> None:
    """Hand a file or a tree over to the user behind sudo: cache and keys are theirs."""
    owner = calling_user(os.environ)
    if owner is None:
        return
    os.chown(path, *owner, follow_symlinks=False)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(os.path.join(folder, name), *owner, follow_symlinks=False)


def make_folder(path: Path) -> None:
    """Make a folder; those that were missing on the way to it belong to the user behind sudo."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    owner = calling_user(os.environ)
    if owner is not None:
        for folder in missing:
            os.chown(folder, *owner)


def mounts_below(path: Path) -> list[str]:
    """Mount points at or under a path, the deepest first."""
    prefix = str(path)
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    return sorted((point for point in points if point == prefix or point.startswith(prefix + "/")), reverse=True)


def remove_tree(path: Path) -> None:
    """Remove a folder of ours; what an interrupted build left mounted in it is unmounted, never emptied."""
    for point in mounts_below(path):
        subprocess.run(["umount", "--lazy", point], check=True)
    if path.exists():
        shutil.rmtree(path)


def missing_packages(wanted: Sequence[str]) -> list[str]:
    """Those of the packages that dpkg does not have installed."""
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return sorted(set(wanted) - installed)


def install(wanted: Sequence[str], logs: Path) -> None:
    """Install what is missing of these packages."""
    missing = missing_packages(wanted)
    if not missing:
        return
    logs.mkdir(parents=True, exist_ok=True)
    log = Log(logs / "packages.log", "Install these packages by hand, then run the command again: " + " ".join(missing))
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"host packages ({', '.join(missing)})"):
        log.run(["apt-get", "update"], env=environment, contained=False)
        log.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], env=environment, contained=False)


def free_memory() -> int:
    """Bytes that programs can have without anybody being pushed out."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) << 10


def require_disk(path: Path, wanted: int) -> None:
    """Enough free bytes where `path` will be."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < wanted:
        raise LabError(
            f"{wanted / GIGABYTE:.0f} GB of free disk are needed under {path}, {free / GIGABYTE:.1f} GB are free",
            "Free some, or set XDG_CACHE_HOME to a folder on a larger disk.",
        )


def raise_map_limit() -> None:
    """Let processes have enough memory mappings; the old limit is kept for `restore_map_limit`."""
    limit = MAP_LIMIT.read_text(encoding="utf-8")
    if int(limit) < MAPS_WANTED:
        RUNTIME.mkdir(parents=True, exist_ok=True)
        (RUNTIME / MAP_LIMIT.name).write_text(limit, encoding="utf-8")
        MAP_LIMIT.write_text(str(MAPS_WANTED), encoding="utf-8")


def restore_map_limit() -> None:
    """Put the limit back when no lab is left."""
    kept = RUNTIME / MAP_LIMIT.name
    if not RUNTIME.exists() or any(path.is_dir() for path in RUNTIME.iterdir()):
        return
    if kept.exists():
        MAP_LIMIT.write_text(kept.read_text(encoding="utf-8"), encoding="utf-8")
    remove_tree(RUNTIME)
