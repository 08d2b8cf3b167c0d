# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-test sanity, every test, no ignores, on what would be published, without Docker.

ansible-test makes its own virtual environments. To put pip into them it fetches a script from a server of its own; a stand-in
in its cache does the same from what Python brings (ensurepip) and the package index. The cache lies in .cache/sanity/home:
the home of the user stays as it is.

Every Python that is found takes part in the tests that look at several (import, compile).
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

from ansible_test._internal import python_requirements
from ansible_test._internal.constants import SUPPORTED_PYTHON_VERSIONS

from tools.published import build, install
from tools.report import ROOT

CACHE = ROOT / ".cache" / "sanity"
PIP_VERSION = re.compile(r"pip='([\d.]+)'")
STAND_IN = """
import subprocess, sys
subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted]).returncode)
"""


def prepare_home(home: Path) -> None:
    """A home for ansible-test with the stand-in of every pip that it may ask for.

    :raises SystemExit: when this ansible-test does not say which pip it wants where it used to
    """
    versions = PIP_VERSION.findall(inspect.getsource(python_requirements.get_venv_packages))
    if not versions:
        sys.exit(
            "sanity: ansible-test no longer names its pip in get_venv_packages: look there and adapt tools/sanity.py"
        )
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in versions:
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(STAND_IN, "utf-8")


def works(python: Path, version: str) -> bool:
    """Whether a path is an interpreter of this version (a shim may be there for one that is not)."""
    probe = f"import sys, ensurepip, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    return python.is_file() and not subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode


def search_path(folders: t.Sequence[Path], versions: t.Sequence[str]) -> list[Path]:
    """The folders in which the first working interpreter of each version lies, and then the rest that holds no broken one."""
    found: list[Path] = []
    broken: set[Path] = set()
    for version in versions:
        there = [folder for folder in folders if (folder / f"python{version}").is_file()]
        working = [folder for folder in there if works(folder / f"python{version}", version)]
        found += working[:1]
        broken.update(set(there) - set(working))
    return list(dict.fromkeys([*found, *(folder for folder in folders if folder not in broken)]))


def environment(home: Path, collection: Path) -> dict[str, str]:
    """The environment of ansible-test: its own home, the user's package index, every Python that can be found."""
    own = Path(sys.executable).parent
    user = Path.home()
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    folders += sorted(user.glob(".pyenv/versions/*/bin"))
    path = [own, *(folder for folder in search_path(folders, SUPPORTED_PYTHON_VERSIONS) if folder != own)]
    return {
        **os.environ,
        "ANSIBLE_TEST_CONTENT_ROOT": str(collection),
        "HOME": str(home),
        "PATH": os.pathsep.join(map(str, path)),
        "PIP_QUIET": "1",
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(user / ".cache")),
        "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(user / ".config")),
    }


def main() -> int:
    """Build, install, test."""
    home = CACHE / "home"
    prepare_home(home)
    collection = install(build(CACHE / "build"), CACHE)
    command = [str(Path(sys.executable).parent / "ansible-test"), "sanity", "--color", "no", *sys.argv[1:]]
    return subprocess.run(command, cwd=collection, env=environment(home, collection), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
