# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The size budget goes red on what is too long, and on nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_budget import check, code_lines


def function(lines: int, docstring: int = 0) -> str:
    """A function of so many lines beside its docstring."""
    words = ['    """Words', *["    more words"] * (docstring - 2), '    """'] if docstring > 1 else []
    return "\n".join(["def wordy() -> None:", *words, *["    pass"] * (lines - 1)]) + "\n"


@pytest.mark.parametrize(("lines", "docstring", "findings"), [(40, 0, 0), (41, 0, 1), (40, 30, 0), (41, 2, 1)])
def test_a_function_has_forty_lines_beside_its_docstring(lines: int, docstring: int, findings: int) -> None:
    found = list(check(Path("lab/some.py"), function(lines, docstring)))
    assert len(found) == findings
    if found:
        assert str(found[0]) == f"lab/some.py:1: wordy has {lines} lines, the budget is 40"


def test_a_method_and_an_inner_function_count_too() -> None:
    body = "".join(f"        {line}\n" for line in function(41).splitlines())
    found = list(check(Path("lab/some.py"), f"class A:\n    def outer(self) -> None:\n{body}"))
    assert [finding.what.split()[0] for finding in found] == ["outer", "wordy"]


MODULE = '''#!/usr/bin/python
# a comment

"""About the file."""

DOCUMENTATION = r"""
module: some
"""
EXAMPLES = r"""
"""
RETURN = """
"""

import os


def main() -> None:
    """Does it."""
    # why
    os.getcwd()
'''


def test_documentation_comments_and_blank_lines_are_no_code() -> None:
    assert code_lines(MODULE) == 3


@pytest.mark.parametrize(
    ("path", "lines", "findings"),
    [
        ("plugins/modules/some.py", 60, 0),
        ("plugins/modules/some.py", 61, 1),
        ("plugins/module_utils/_some.py", 250, 0),
        ("plugins/module_utils/_some.py", 251, 1),
        ("lab/some.py", 500, 0),
    ],
)
def test_files_have_their_budget_by_folder(path: str, lines: int, findings: int) -> None:
    assert len(list(check(Path(path), "x = 1\n" * lines))) == findings
