# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every check has in common: the files it looks at, and how it says what it found."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, order=True)
class Finding:
    """One violation: where it is, and what is wrong in words."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def repository_files(root: Path = ROOT) -> list[Path]:
    """The files of the checkout, relative to its root: committed or about to be, and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    names = listed.stdout.decode("utf-8").split("\0")
    return sorted(Path(name) for name in set(names) if name and (root / name).exists())


def finish(checked: str, findings: t.Iterable[Finding]) -> t.NoReturn:
    """Print the findings and exit: 1 when there are any."""
    found = sorted(set(findings))
    for finding in found:
        print(finding)
    print(f"{checked}: {len(found)} finding{'' if len(found) == 1 else 's'}")
    sys.exit(int(bool(found)))
