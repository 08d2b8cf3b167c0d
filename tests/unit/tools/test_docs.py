# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages go into the site at their own paths, and link to each other or to the sources."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.docs import linked, write_pages

SOURCES = "https://example.org/project/blob/main"


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("README.md", "[a](docs/a.md) and [b](docs/a.md#part)", "[a](docs/a.md) and [b](docs/a.md#part)"),
        ("docs/a.md", "[back](../README.md)", "[back](../README.md)"),
        ("README.md", "[code](tools/x.py)", f"[code]({SOURCES}/tools/x.py)"),
        ("docs/a.md", "[code](../tools/x.py#L3)", f"[code]({SOURCES}/tools/x.py#L3)"),
        (
            "docs/a.md",
            "[out](https://example.com/a.md), [here](#part)",
            "[out](https://example.com/a.md), [here](#part)",
        ),
        ("docs/a.md", "no [link], (no/link)", "no [link], (no/link)"),
    ],
)
def test_links(page: str, text: str, expected: str) -> None:
    assert linked(Path(page), text, {Path("README.md"), Path("docs/a.md")}, SOURCES) == expected


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "docs").mkdir(parents=True)
    (root / "galaxy.yml").write_text("repository: https://example.org/project\n")
    (root / "README.md").write_text("[a](docs/a.md), [code](code.py)\n")
    (root / "docs" / "a.md").write_text("# A\n")
    (root / "code.py").write_text("")
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


def test_pages_are_copied(project: Path, tmp_path: Path) -> None:
    write_pages(tmp_path / "site", project)
    copied = sorted(path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.md"))
    assert copied == ["README.md", "docs/a.md"]
    assert (tmp_path / "site" / "README.md").read_text() == f"[a](docs/a.md), [code]({SOURCES}/code.py)\n"


def test_a_link_to_nothing_is_named(project: Path, tmp_path: Path) -> None:
    (project / "code.py").unlink()
    with pytest.raises(SystemExit, match=r"README.md links to code.py, which is not there"):
        write_pages(tmp_path / "site", project)
