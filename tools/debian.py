# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of Debian that a tool needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def have(program: str) -> str:
    """The path of a program, from Debian's package of the same name where it is missing.

    :raises SystemExit: when it cannot be installed
    """
    root = [] if os.geteuid() == 0 else ["sudo"]
    install = ("apt-get", "install", "-qqy", "--no-install-recommends", program)
    if not shutil.which(program):
        for command in (("apt-get", "update", "-qq"), install):
            if subprocess.run([*root, *command], stdout=subprocess.DEVNULL, check=False).returncode:
                sys.exit(f"{program} could not be installed: install it by hand, then run this again")
    return shutil.which(program) or sys.exit(f"Debian's package {program} has no program {program}")
