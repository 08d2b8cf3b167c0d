# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's kernel: Debian's sources built as User-Mode Linux, with modules that `modprobe` finds as on a distribution."""

from __future__ import annotations

import os
import platform
import typing as t

from kubelab.apt import PrivateApt, host_mirror
from kubelab.cache import Recipe
from kubelab.errors import LabError
from kubelab.recipes import data

if t.TYPE_CHECKING:
    from pathlib import Path

    from kubelab.cache import Bench

# 6.16 is the oldest that has `seccomp=on`; without it a system call costs three times as much.
RELEASE = "7.2"
CONFIG = "kernel.config"


def options(text: str) -> dict[str, str]:
    """The options a configuration file sets."""
    lines = (line.strip() for line in text.splitlines())
    return dict(line.split("=", 1) for line in lines if line.startswith("CONFIG_") and "=" in line)


def ineffective(wanted: dict[str, str], got: dict[str, str]) -> list[str]:
    """Wanted options that the kernel's own rules overruled, as sentences."""
    return [
        f"{name} is {got.get(name, 'n')}, wanted {value}"
        for name, value in wanted.items()
        if got.get(name, "n") != value
    ]


def recipe() -> Recipe:
    """The kernel for nodes: `linux`, and `modules/` to be unpacked at the root of a node."""
    declared = dict(sorted(options(data.text(CONFIG)).items()))
    return Recipe(
        name=f"kernel-{RELEASE}",
        build=build,
        # The kernel is a program of this host, linked with its C library: one built elsewhere may not start here.
        inputs={"release": RELEASE, "libc": " ".join(platform.libc_ver()), **declared},
    )


def build(bench: Bench) -> None:
    """Fetch, configure, compile, install."""
    source = fetch(bench)
    make = ["make", "ARCH=um", "SUBARCH=x86_64", f"-j{os.cpu_count() or 1}"]
    configure(bench, source, make)
    bench.run([*make, "linux", "modules"], cwd=source)
    bench.run(
        [*make, f"INSTALL_MOD_PATH={bench.out}/modules/usr", "INSTALL_MOD_STRIP=1", "modules_install"], cwd=source
    )
    bench.run(["strip", "--strip-debug", "-o", bench.out / "linux", source / "linux"])
    for link in (bench.out / "modules/usr/lib/modules").glob("*/build"):
        link.unlink()


def fetch(bench: Bench) -> Path:
    """Unpack Debian's kernel sources."""
    apt = PrivateApt(bench.work / "apt", bench.log)
    apt.update(host_mirror().sources())
    package = f"linux-source-{RELEASE}"
    versions = apt.versions(package)
    if not versions:
        seen = ", ".join(apt.names("linux-source")) or "no linux-source package at all"
        raise LabError(
            f"the mirror of this host has no {package}; it has: {seen}",
            f"Set RELEASE in {__name__.replace('.', '/')}.py to one of those (6.16 or newer).",
        )
    bench.log.note(f"{package} {versions[0]}")
    deb = apt.download(package, bench.work)
    bench.run(["dpkg-deb", "-x", deb, bench.work / "package"])
    bench.run(["tar", "-xf", bench.work / f"package/usr/src/{package}.tar.xz"])
    return bench.work / package


def configure(bench: Bench, source: Path, make: list[str]) -> None:
    """Set our options, and make sure that each of them took effect."""
    bench.run([*make, "allnoconfig"], cwd=source)
    bench.run(["scripts/kconfig/merge_config.sh", "-m", ".config", data.ROOT / CONFIG], cwd=source)
    bench.run([*make, "olddefconfig"], cwd=source)
    lost = ineffective(options(data.text(CONFIG)), options((source / ".config").read_text(encoding="utf-8")))
    if lost:
        raise LabError(
            f"Linux {RELEASE} does not take these options: {'; '.join(lost)}",
            f"Correct {data.ROOT / CONFIG}: an option was renamed, removed, or lacks one that it depends on.",
        )
