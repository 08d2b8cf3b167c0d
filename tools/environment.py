# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environments of tools that do not go together with those of .venv."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def programs_of(venv: Path, pins: Path) -> Path:
    """The folder of an environment's programs, made anew when its pins have changed.

    :raises subprocess.CalledProcessError: when pip refuses; its words are on the terminal
    """
    stamp = venv / "stamp"
    if not stamp.is_file() or stamp.read_bytes() != pins.read_bytes():
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run(
            [venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", pins], check=True
        )
        shutil.copyfile(pins, stamp)
    return venv / "bin"
