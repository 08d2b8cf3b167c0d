# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program of the collection's own modules runs where there is no collection. What it is there for, it does in any case."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _bridge_watch
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_kernel import Kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
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


def test_a_bridge_that_cannot_be_read_goes_all_the_same(tmp_path: Path) -> None:
    loaded: list[str | None] = []

    def run(argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        if argv == ["nft", "-f", "-"]:
            loaded.append(stdin)
            return CommandResult(0, "", "")
        raise RuntimeError("not like this")

    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "modules").write_text("nf_tables 1 0 - Live 0x0\n")
    with pytest.raises(RuntimeError):
        _bridge_watch.take_away(Kernel(run, Files(str(tmp_path))))
    (text,) = loaded
    assert text is not None
    assert "delete table ip6 netops-kube-proxy-bridge" in text
