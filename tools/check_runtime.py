# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The published names are complete and consistent.

Every module is in the action group `kube_proxy` of meta/runtime.yml and nothing else is; every role has an argument
specification and a README; no ignore file for ansible-test exists; galaxy.yml and the changelog fragments agree about
the version.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml

from tools.report import ROOT, Finding, finish

GROUP = "kube_proxy"


def action_group(root: Path) -> t.Iterator[Finding]:
    """Differences between the action group and the modules there are."""
    runtime = yaml.safe_load((root / "meta" / "runtime.yml").read_text("utf-8"))
    listed = runtime.get("action_groups", {}).get(GROUP, [])
    modules = sorted(path.stem for path in (root / "plugins" / "modules").glob("*.py") if path.stem != "__init__")
    for name in sorted(set(modules) - set(listed)):
        yield Finding("meta/runtime.yml", f"the module {name} is missing in the action group {GROUP}")
    for name in sorted(set(listed) - set(modules)):
        yield Finding("meta/runtime.yml", f"the action group {GROUP} lists {name}, which is no module")
    if listed != sorted(listed):
        yield Finding("meta/runtime.yml", f"the action group {GROUP} is not sorted")


def roles(root: Path) -> t.Iterator[Finding]:
    """Roles without their interface or their words."""
    for role in sorted(path for path in (root / "roles").glob("*") if path.is_dir()):
        for needed in ("README.md", "meta/main.yml", "meta/argument_specs.yml", "defaults/main.yml", "tasks/main.yml"):
            if not (role / needed).is_file():
                yield Finding(f"roles/{role.name}", f"{needed} is missing")


def ignores(root: Path) -> t.Iterator[Finding]:
    """Ignore files of ansible-test: there are none."""
    for path in sorted((root / "tests" / "sanity").glob("*")):
        yield Finding(str(path.relative_to(root)), "a sanity finding is repaired, never ignored")


def version(root: Path) -> t.Iterator[Finding]:
    """A release without a fragment or an entry in the changelog."""
    wanted = str(yaml.safe_load((root / "galaxy.yml").read_text("utf-8"))["version"])
    changelog = root / "changelogs" / "changelog.yaml"
    released = yaml.safe_load(changelog.read_text("utf-8"))["releases"] if changelog.is_file() else {}
    fragments = list((root / "changelogs" / "fragments").glob("*.yml"))
    if wanted not in released and not fragments:
        yield Finding("changelogs", f"no fragment and no entry speaks of version {wanted}")


def check(root: Path) -> list[Finding]:
    """All findings of a checkout."""
    return [*action_group(root), *roles(root), *ignores(root), *version(root)]


def main() -> None:
    """Check this checkout."""
    finish("published names", check(ROOT))


if __name__ == "__main__":
    main()
