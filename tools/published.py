# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection as Galaxy would hand it out: built from the checkout's files and unpacked. Shared by the gates that judge it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tools.report import ROOT, repository_files

NAMESPACE, NAME = "netops", "kube_proxy"


def copy_sources(target: Path, root: Path = ROOT) -> None:
    """Copy the files of a checkout, nothing that is ignored. Links stay links."""
    for path in repository_files(root):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, target / path, follow_symlinks=False)


def build(work: Path, root: Path = ROOT) -> Path:
    """Build the artefact below `work` and return the path of the tarball.

    :raises subprocess.CalledProcessError: when ansible-galaxy refuses; its words are on the terminal
    """
    shutil.rmtree(work, ignore_errors=True)
    sources = work / "sources"
    copy_sources(sources, root)
    galaxy = Path(sys.executable).parent / "ansible-galaxy"
    command = [str(galaxy), "collection", "build", "--output-path", str(work), str(sources)]
    subprocess.run(command, check=True, cwd=sources, stdout=subprocess.DEVNULL)
    return next(work.glob(f"{NAMESPACE}-{NAME}-*.tar.gz"))


def unpack(tarball: Path, work: Path) -> Path:
    """Unpack the artefact below `work` and return the root of the collection, which ansible-test accepts by its path."""
    collection = work / "ansible_collections" / NAMESPACE / NAME
    shutil.rmtree(collection, ignore_errors=True)
    collection.mkdir(parents=True)
    with tarfile.open(tarball) as archive:
        archive.extractall(collection, filter="data")
    return collection
