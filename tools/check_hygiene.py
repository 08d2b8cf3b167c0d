# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must not stand in any file: paths and hosts of one machine, silenced linters, expected failures, trailing blanks."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

from tools.report import ROOT, Finding, finish, repository_files

# Paths that exist on one person's machine only. (/root/.kube and /root/.ssh are every administrator's.)
MACHINE_PATH = re.compile(
    r"(?<![\w.$}~/-])(?:/home/(?!vagrant\b)\w+|/root/\.(?!(?:kube|ssh)\b)\w+|/(?:work|workspace|Users)/\w+)"
)
# Names that only a private network resolves. The cluster's own domain is everybody's.
PRIVATE_HOST = re.compile(r"https?://(?:[\w.-]+\.)?[\w-]+\.(?:internal|intranet|corp|lan|home|localdomain)\b")
SILENCED = re.compile(
    r"(?P<mark>#\s*(?:noqa|type:\s*ignore|pylint:\s*disable|nosec|pragma:\s*no cover|ruff:\s*noqa|mypy:\s*\S+|fmt:\s*(?:off|skip)"
    r"|yamllint\s+disable\S*|shellcheck\s+disable\S*))(?P<rest>.*)"
)
REASON_WORDS = 3
EXPECTED_FAILURE = re.compile(
    r"\bmark\.(?:xfail|skip)\b|\bpytest\.(?:xfail|skip)\(|\bskip_ansible_lint\b|\bignore_errors:\s*true\b"
)
# These lines are made of what they look for.
EXEMPT = {Path("tools/check_hygiene.py"), Path("tests/unit/tools/test_check_hygiene.py")}


def explained(rest: str) -> bool:
    """Whether what follows a silencing comment gives a reason: a second comment of a few words."""
    _, separator, reason = rest.partition("#")
    return bool(separator) and len(reason.split()) >= REASON_WORDS


def check_line(line: str) -> t.Iterator[str]:
    """What is wrong with one line."""
    if found := MACHINE_PATH.search(line):
        yield f"a path of one machine: {found.group()}"
    if found := PRIVATE_HOST.search(line):
        yield f"a host of a private network: {found.group()}"
    if (found := SILENCED.search(line)) and not explained(found["rest"]):
        yield f"a silenced check without its reason: {found['mark']}"
    if found := EXPECTED_FAILURE.search(line):
        yield f"a test or task that may fail in silence: {found.group()}"


def check(path: Path, text: str) -> t.Iterator[Finding]:
    """All findings of one text file."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what in check_line(line):
            yield Finding(f"{path}:{number}", what)


def check_end(path: Path, text: str) -> t.Iterator[Finding]:
    """Blanks at line ends, and an end of file that is not one line end. Fixtures are left as they were captured."""
    if "fixtures" in path.parts or path.suffix in {".sum", ".patch"}:
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line != line.rstrip():
            yield Finding(f"{path}:{number}", "blanks at the end of the line")
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        yield Finding(str(path), "does not end with exactly one line end")


def main() -> None:
    """Check every text file of the checkout but the licence texts."""
    findings: list[Finding] = []
    paths = [path for path in repository_files() if path not in EXEMPT and path.parts[0] not in {"LICENSES", "COPYING"}]
    for path in paths:
        data = (ROOT / path).read_bytes() if (ROOT / path).is_file() else b""
        if b"\0" in data:
            continue
        text = data.decode("utf-8", "replace")
        findings += [*check(path, text), *check_end(path, text)]
    finish(f"hygiene, {len(paths)} files", findings)


if __name__ == "__main__":
    main()
