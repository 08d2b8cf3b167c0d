# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ansible-test is given: the user's package index, and no interpreter that does not run."""

from __future__ import annotations

import configparser
from pathlib import Path

from tools.sanity import pip_settings, search_path

LISTED = """\
:env:.timeout='60'
global.index-url='https://user:pass%40word@pypi.example.org/simple'
install.find-links='/a\\n/b'
"""


def test_pip_keeps_what_is_in_effect() -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(pip_settings(LISTED, "/var/cache/pip"))
    assert parser["global"]["timeout"] == "60"
    assert parser["global"]["index-url"] == "https://user:pass%40word@pypi.example.org/simple"
    assert parser["global"]["quiet"] == "1"
    assert parser["global"]["cache-dir"] == "/var/cache/pip"
    assert parser["install"]["find-links"].split() == ["/a", "/b"]


def test_a_folder_with_a_broken_interpreter_is_left_out(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("tools", "shims", "real")]
    for folder in folders:
        folder.mkdir()
    for name, status in (("shims", 127), ("real", 0)):
        python = tmp_path / name / "python3.8"
        python.write_text(f"#!/bin/sh\nexit {status}\n")
        python.chmod(0o755)
    assert search_path([*folders, folders[0]], ["3.8", "3.9"]) == [folders[0], folders[2]]
