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

import ast
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
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *wanted]).returncode)
"""


def pip_settings(listed: str, cache: str) -> str:
    """A pip.conf with what `pip config list` says is in effect, from files and from the environment alike."""
    sections: dict[str, dict[str, str]] = {"global": {"cache-dir": cache} if cache else {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.replace(":env:", "global").partition(".")
        sections.setdefault(section, {})[option] = ast.literal_eval(value).replace("\n", "\n    ")
    sections["global"]["quiet"] = "1"
    return "".join(
        f"[{section}]\n" + "".join(f"{option} = {value}\n" for option, value in options.items())
        for section, options in sections.items()
    )


def prepare_home(home: Path) -> None:
    """A home for ansible-test: the stand-in of every pip that it may ask for, and the user's package index.

    (ansible-test hands neither pip's variables nor XDG's to the pip that it runs.)

    :raises SystemExit: when this ansible-test does not say which pip it wants where it used to
    """
    versions = PIP_VERSION.findall(inspect.getsource(python_requirements.get_venv_packages))
    if not versions:
        sys.exit("sanity: ansible-test names its pip no longer in get_venv_packages: adapt tools/sanity.py")
    cache, config = home / ".ansible" / "test" / "cache", home / ".config" / "pip"
    cache.mkdir(parents=True, exist_ok=True)
    config.mkdir(parents=True, exist_ok=True)
    for version in versions:
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(STAND_IN, "utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    listed = subprocess.run([*pip, "config", "list"], check=True, capture_output=True, text=True).stdout
    stored = subprocess.run([*pip, "cache", "dir"], check=False, capture_output=True, text=True).stdout.strip()
    (config / "pip.conf").touch(0o600)
    (config / "pip.conf").write_text(pip_settings(listed, stored), "utf-8")


def starts(python: Path) -> bool:
    """Whether an interpreter runs at all: a shim of pyenv may be there for one that is not chosen."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def search_path(folders: t.Sequence[Path], versions: t.Sequence[str]) -> list[Path]:
    """The folders without those in which an interpreter lies that does not run: ansible-test would take it for one."""
    names = [f"python{version}" for version in versions]
    broken = {folder for folder in folders for name in names if (folder / name).is_file() and not starts(folder / name)}
    return [folder for folder in dict.fromkeys(folders) if folder not in broken]


def environment(home: Path, collection: Path) -> dict[str, str]:
    """The environment of ansible-test: its own home, and every Python that can be found."""
    folders = [Path(sys.executable).parent]
    folders += [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    folders += sorted(Path.home().glob(".pyenv/versions/*/bin"))
    return {
        **os.environ,
        "ANSIBLE_TEST_CONTENT_ROOT": str(collection),
        "HOME": str(home),
        "PATH": os.pathsep.join(map(str, search_path(folders, SUPPORTED_PYTHON_VERSIONS))),
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
