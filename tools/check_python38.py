# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs on nodes works on Python 3.8: its grammar, the library it uses, and, where there is one, a real interpreter.

The real interpreter imports every file of module_utils and every module.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import ansible

from tools.report import ROOT, Finding, finish, repository_files

TARGET = (3, 8)
COLLECTIONS = ROOT / "collections"
PACKAGE = "ansible_collections.netops.kube_proxy"
ON_NODES = {"module_utils", "modules"}
# What vermin cannot know without types: methods of 3.9 whatever they are called on, and generics that are evaluated.
NEWER_METHODS = {"removeprefix", "removesuffix"}
BUILTIN_GENERICS = {"dict", "frozenset", "list", "set", "tuple", "type"}
IMPORTER = """
import importlib, sys
sys.path[:0] = sys.argv[1:3]
for name in sys.argv[3:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, type(error).__name__, error, sep="\\t")
"""


class Evaluated(ast.NodeVisitor):
    """Collects what is evaluated at run time and needs more than 3.8. Annotations are not: they are postponed."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """A builtin class in brackets."""
        if isinstance(node.value, ast.Name) and node.value.id in BUILTIN_GENERICS:
            self.found.append((node.lineno, f"{node.value.id}[...] outside an annotation"))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A method that came later."""
        if node.attr in NEWER_METHODS:
            self.found.append((node.lineno, f".{node.attr}"))
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Only the value of an annotated assignment is evaluated."""
        if node.value:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Of a function: decorators, defaults and body."""
        for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(part)


def grammar(path: Path, source: str) -> t.Iterator[Finding]:
    """Syntax that 3.8 does not have, and what the syntax tree gives away."""
    try:
        tree = ast.parse(source, feature_version=TARGET)
    except SyntaxError as error:
        yield Finding(f"{path}:{error.lineno}", f"not Python {TARGET[0]}.{TARGET[1]}: {error.msg}")
        return
    visitor = Evaluated()
    visitor.visit(tree)
    for line, what in visitor.found:
        yield Finding(f"{path}:{line}", f"needs a newer Python: {what}")


def library(root: Path, paths: t.Sequence[Path]) -> t.Iterator[Finding]:
    """Modules, functions and arguments that the library of 3.8 does not have, as vermin knows them."""
    if not paths:
        return
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "vermin"),
            *(f"--target={TARGET[0]}.{TARGET[1]}-", "--violations", "--no-tips", "--format", "parsable"),
            *map(str, paths),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    reported = [line.split(":", 5) for line in done.stdout.splitlines() if line.count(":") >= 5]
    features = [part for part in reported if part[0] and part[5]]
    for path, number, _column, _two, three, feature in features:
        yield Finding(f"{Path(path).name}:{number}", f"needs Python {three}: {feature}")
    if not features:
        yield Finding("vermin", f"{done.stdout.strip()} {done.stderr.strip()}")


def interpreter() -> str | None:
    """A real Python 3.8: in PATH, or one that pyenv has built."""
    candidates = [shutil.which("python3.8"), *map(str, sorted(Path.home().glob(".pyenv/versions/3.8.*/bin/python3.8")))]
    probe = f"import sys; sys.exit(sys.version_info[:2] != {TARGET})"
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", probe], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def importable(python: str, collections: Path, names: t.Sequence[str]) -> t.Iterator[Finding]:
    """Modules that the interpreter cannot import beside ansible, and nothing else that is installed."""
    with tempfile.TemporaryDirectory() as beside:
        (Path(beside) / "ansible").symlink_to(Path(ansible.__file__).parent)
        done = subprocess.run(
            [python, "-I", "-B", "-c", IMPORTER, str(collections), beside, *names],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        yield Finding("python 3.8", done.stderr.strip())
    for line in done.stdout.splitlines():
        name, kind, words = line.split("\t", 2)
        yield Finding(name, f"cannot be imported by Python 3.8: {kind}: {words}")


def main() -> None:
    """Check every Python file of plugins/ that runs on nodes."""
    paths = [path for path in repository_files() if path.suffix == ".py" and path.parts[0] == "plugins"]
    paths = [path for path in paths if path.parts[1] in ON_NODES]
    findings = [finding for path in paths for finding in grammar(path, (ROOT / path).read_text("utf-8"))]
    findings += library(ROOT, paths)
    python = interpreter()
    if python:
        names = [".".join([PACKAGE, *path.with_suffix("").parts]) for path in paths]
        findings += importable(python, COLLECTIONS, names)
    finish(f"Python 3.8, {len(paths)} files, {'imported by a real one' if python else 'no real one here'}", findings)


if __name__ == "__main__":
    main()
