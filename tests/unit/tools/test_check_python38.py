# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Python 3.8 does not have is found: in the grammar, in the library, and by a real interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_python38 import grammar, importable, interpreter, library

FUTURE = "from __future__ import annotations\n"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("match x:\n    case 1: pass\n", "Pattern matching is only supported in Python 3.10"),
        ("with (open('a') as a, open('b') as b): pass\n", "Parenthesized context managers"),
        ("try: pass\nexcept* ValueError: pass\n", "Exception groups"),
        ("Alias = dict[str, int]\n", "dict[...] outside an annotation"),
        ("x = 'abc'.removeprefix('a')\n", ".removeprefix"),
        ("def f(x): return g(x).removesuffix('a')\n", ".removesuffix"),
        ("def f(x=list[int]): pass\n", "list[...] outside an annotation"),
    ],
)
def test_newer_grammar_is_found(source: str, words: str) -> None:
    (found,) = grammar(Path("plugins/module_utils/_some.py"), source)
    assert words in found.what


def test_annotations_may_be_newer_because_they_are_postponed() -> None:
    source = FUTURE + "x: dict[str, int | None] = {}\ndef f(a: list[int] | None = None) -> tuple[int, ...]: ...\n"
    assert not list(grammar(Path("plugins/module_utils/_some.py"), source))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import zoneinfo\n", "'zoneinfo' module"),
        ("import functools\nfunctools.cache(len)\n", "'functools.cache' member"),
        ("from dataclasses import dataclass\n@dataclass(slots=True)\nclass A: ...\n", "dataclasses.dataclass(slots)"),
    ],
)
def test_newer_library_is_found(tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "some.py").write_text(FUTURE + source)
    found = list(library(tmp_path, [Path("some.py")]))
    assert any(words in finding.what for finding in found), found


def test_what_38_has_is_no_finding(tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text(FUTURE + "import functools\nif (n := 3): pass\nfunctools.cached_property(len)\n")
    assert not list(library(tmp_path, [Path("some.py")]))


def test_a_real_interpreter_refuses_what_only_fails_at_run_time(tmp_path: Path) -> None:
    python = interpreter()
    if python is None:
        return  # the gate itself says so in its last line
    (tmp_path / "good.py").write_text("from ansible.module_utils.basic import AnsibleModule\n")
    (tmp_path / "union.py").write_text(FUTURE + "Alias = int | str\n")
    (found,) = importable(python, tmp_path, ["good", "union"])
    assert str(found).startswith("union: cannot be imported by Python 3.8: TypeError")
