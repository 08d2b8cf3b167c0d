# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program of the collection's own modules runs where there is no collection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ansible_collections.netops.kube_proxy.plugins.module_utils import _bridge_watch
from ansible_collections.netops.kube_proxy.plugins.module_utils._program import packed


def test_it_runs_by_itself(tmp_path: Path) -> None:
    program = tmp_path / "watch.zip"
    program.write_bytes(packed(_bridge_watch))
    done = subprocess.run(
        [sys.executable, "-I", str(program), str(tmp_path / "none.json")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].startswith("FileNotFoundError"), done.stderr
