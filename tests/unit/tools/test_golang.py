# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that are Go modules: built once, at the version that is pinned."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools import actionlint, golang, kind

# What `go install PACKAGE@VERSION` does: a program in GOBIN, named by the last word of the package.
GO = """#!/bin/sh
echo "$@" >> "$LOG"
[ "$2" = broken/module@v1 ] && exit 1
mkdir -p "$GOBIN" && echo "$CGO_ENABLED $GOTOOLCHAIN" > "$GOBIN/program"
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What go was asked for."""
    go = tmp_path / "go"
    go.write_text(GO)
    go.chmod(0o755)
    monkeypatch.setattr(golang, "toolchain", lambda: go)
    monkeypatch.setitem(os.environ, "LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def test_a_program_is_built_once_for_each_version(log: Path, tmp_path: Path) -> None:
    for version in ("v1", "v1", "v2"):
        made = golang.install("example.org/cmd/program", version, tmp_path / "cache")
        assert made == tmp_path / "cache" / f"program-{version}" / "program"
        assert made.read_text() == "0 local\n"
    assert log.read_text().splitlines() == [f"install example.org/cmd/program@{version}" for version in ("v1", "v2")]


@pytest.mark.usefixtures("log")
def test_a_program_that_cannot_be_built(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="module v1 could not be built"):
        golang.install("broken/module", "v1", tmp_path / "cache")


@pytest.mark.parametrize("version", [actionlint.VERSION, kind.VERSION])
def test_versions_are_pinned(version: str) -> None:
    assert version[0] == "v"
    assert version.count(".") == 2
