# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recipes' data files."""

from __future__ import annotations

from pathlib import Path

from kubelab.cache import declared

ROOT = Path(__file__).parent / "data"


def text(name: str) -> str:
    """Contents of a data file."""
    return (ROOT / name).read_text(encoding="utf-8")


def declarations(folder: str) -> dict[str, str]:
    """For a recipe's inputs: what each file under a folder declares, comments left out."""
    root = ROOT / folder
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): declared(path.read_text(encoding="utf-8")) for path in files}
