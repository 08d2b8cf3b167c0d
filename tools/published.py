# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection as Galaxy would hand it out: built from the checkout's files and installed. Shared by the gates that judge it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.report import ROOT, repository_files

NAMESPACE, NAME = "netops", "kube_proxy"


def copy_sources(target: Path, root: Path = ROOT) -> None:
    """Copy the files of a checkout, nothing that is ignored. Links stay links."""
    for path in repository_files(root):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, target / path, follow_symlinks=False)


def galaxy(work: Path, *arguments: str | Path) -> None:
    """Run `ansible-galaxy collection ...` with the collections below `work` as the only ones.

    :raises subprocess.CalledProcessError: when it refuses; its words are on the terminal
    """
    program = Path(sys.executable).parent / "ansible-galaxy"
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(work)}
    subprocess.run([program, "collection", *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)


def build(work: Path, root: Path = ROOT) -> Path:
    """Build the artefact below `work` and return the path of the tarball."""
    shutil.rmtree(work, ignore_errors=True)
    copy_sources(work / "sources", root)
    galaxy(work, "build", "--output-path", work, work / "sources")
    return next(work.glob(f"{NAMESPACE}-{NAME}-*.tar.gz"))


def install(tarball: Path, work: Path) -> Path:
    """Install the artefact below `work` as a user would and return the root of the collection.

    Its path ends as ansible-test wants it.
    """
    shutil.rmtree(work / "ansible_collections", ignore_errors=True)
    galaxy(work, "install", "--offline", "--force", "--collections-path", work, tarball)
    return work / "ansible_collections" / NAMESPACE / NAME
