# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The size budget: functions up to 40 lines, modules up to 60 lines of code beside their documentation, module_utils up to 250.

Complexity is ruff's business (C901). A function's lines are those from `def` to its end without its docstring;
a module's lines of code are those that are neither documentation, comment, docstring nor blank.
"""

from __future__ import annotations

import ast
import typing as t
from pathlib import Path

from tools.report import ROOT, Finding, finish, repository_files

FUNCTION_LINES = 40
MODULE_CODE_LINES = 60
MODULE_UTIL_LINES = 250
DOCUMENTATION = {"DOCUMENTATION", "EXAMPLES", "RETURN"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


def span(node: ast.stmt) -> range:
    """The lines of a statement."""
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def docstring_lines(node: Documented) -> t.Collection[int]:
    """The lines of a docstring, none without one."""
    return span(node.body[0]) if ast.get_docstring(node, clean=False) is not None else ()


def is_documentation(node: ast.stmt) -> bool:
    """Whether a statement is one of Ansible's documentation variables."""
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id in DOCUMENTATION for target in node.targets
    )


def code_lines(source: str) -> int:
    """The lines of code of a module, its documentation apart."""
    tree = ast.parse(source)
    words: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, Documented):
            words.update(docstring_lines(node))
    for statement in tree.body:
        if is_documentation(statement):
            words.update(span(statement))
    lines = enumerate(source.splitlines(), start=1)
    return sum(
        number not in words and bool(line.strip()) and not line.strip().startswith("#") for number, line in lines
    )


def long_functions(path: Path, source: str) -> t.Iterator[Finding]:
    """Functions over the budget."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            lines = len(span(node)) - len(docstring_lines(node))
            if lines > FUNCTION_LINES:
                yield Finding(f"{path}:{node.lineno}", f"{node.name} has {lines} lines, the budget is {FUNCTION_LINES}")


def check(path: Path, source: str) -> t.Iterator[Finding]:
    """All findings of one Python file."""
    yield from long_functions(path, source)
    folder = path.parts[:2]
    if folder == ("plugins", "modules") and (lines := code_lines(source)) > MODULE_CODE_LINES:
        yield Finding(str(path), f"{lines} lines of code beside the documentation, the budget is {MODULE_CODE_LINES}")
    if folder == ("plugins", "module_utils") and (lines := len(source.splitlines())) > MODULE_UTIL_LINES:
        yield Finding(str(path), f"{lines} lines, the budget is {MODULE_UTIL_LINES}")


def main() -> None:
    """Check every Python file of the checkout."""
    files = [path for path in repository_files() if path.suffix == ".py"]
    findings = [finding for path in files for finding in check(path, (ROOT / path).read_text("utf-8"))]
    finish(f"size budget, {len(files)} files", findings)


if __name__ == "__main__":
    main()
