# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Galaxy does with an upload, done here with Galaxy's own importer: any warning or error of it is a failure.

The importer lives in .cache/importer/venv, made when its pins change.
"""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

from tools.environment import programs_of
from tools.published import build
from tools.report import ROOT, Finding, finish

CACHE = ROOT / ".cache" / "importer"
PINS = ROOT / "requirements-importer.txt"
COMPLAINTS = ("WARNING", "ERROR", "CRITICAL", "Traceback")


def complaints(output: str) -> t.Iterator[Finding]:
    """The lines of the importer that are more than information."""
    for line in output.splitlines():
        if line.startswith(COMPLAINTS):
            level, _, what = line.partition(":")
            yield Finding(level.lower(), what.strip() or line)


def run_importer(programs: Path, tarball: Path) -> subprocess.CompletedProcess[str]:
    """Import the artefact, with everything on that needs no container."""
    settings = {
        "GALAXY_IMPORTER_ANSIBLE_LOCAL_TMP": str(tarball.parent / "tmp"),
        "GALAXY_IMPORTER_CHECK_REQUIRED_TAGS": "true",
        "GALAXY_IMPORTER_REQUIRE_V1_OR_GREATER": "true",
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    return subprocess.run(
        [programs / "python", "-m", "galaxy_importer.main", tarball.name],
        cwd=tarball.parent,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def main() -> None:
    """Build and import."""
    programs = programs_of(CACHE / "venv", PINS)
    done = run_importer(programs, build(CACHE / "build"))
    findings = list(complaints(done.stdout))
    if done.returncode and not findings:
        findings.append(Finding("galaxy-importer", done.stdout.strip()[-2000:]))
    finish("galaxy-importer", findings)


if __name__ == "__main__":
    main()
