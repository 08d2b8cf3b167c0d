# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The published names: each thing that is left out goes red."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_runtime import check


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """A collection with one module and one role, complete."""
    files = {
        "galaxy.yml": "version: 1.0.0\n",
        "meta/runtime.yml": "action_groups:\n  kube_proxy:\n    - some_module\n",
        "plugins/modules/some_module.py": "",
        "changelogs/fragments/1.0.0.yml": "release_summary: First.\n",
        "roles/some/README.md": "",
        "roles/some/meta/main.yml": "",
        "roles/some/meta/argument_specs.yml": "",
        "roles/some/defaults/main.yml": "",
        "roles/some/tasks/main.yml": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_complete_collection_is_green(collection: Path) -> None:
    assert check(collection) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plugins/modules/other_module.py", "the module other_module is missing in the action group kube_proxy"),
        ("tests/sanity/ignore-2.19.txt", "a sanity finding is repaired, never ignored"),
        ("roles/other/tasks/main.yml", "README.md is missing"),
    ],
)
def test_something_more_is_found(collection: Path, name: str, words: str) -> None:
    (collection / name).parent.mkdir(parents=True, exist_ok=True)
    (collection / name).write_text("")
    assert words in [finding.what for finding in check(collection)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plugins/modules/some_module.py", "the action group kube_proxy lists some_module, which is no module"),
        ("roles/some/meta/argument_specs.yml", "meta/argument_specs.yml is missing"),
        ("changelogs/fragments/1.0.0.yml", "no fragment and no entry speaks of version 1.0.0"),
    ],
)
def test_something_less_is_found(collection: Path, name: str, words: str) -> None:
    (collection / name).unlink()
    assert words in [finding.what for finding in check(collection)]


def test_a_collection_without_roles_is_checked_all_the_same(collection: Path) -> None:
    for path in sorted((collection / "roles").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert check(collection) == []
