# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Vagrantfile as Vagrant reads it. Needs no provider and no box; Vagrant is installed where it is missing."""

from __future__ import annotations

import os
import subprocess
import sys

from tools.debian import have
from tools.report import ROOT

HOME = ROOT / ".cache" / "vagrant" / "home"


def main() -> int:
    """Validate it; the exit status is Vagrant's."""
    environment = {**os.environ, "VAGRANT_HOME": str(HOME), "VAGRANT_CHECKPOINT_DISABLE": "1"}
    return subprocess.run(
        [have("vagrant"), "validate", "--ignore-provider"], cwd=ROOT, env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
