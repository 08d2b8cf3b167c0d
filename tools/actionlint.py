# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""actionlint on the workflows: their syntax, their expressions, the actions they use, and their scripts by shellcheck."""

from __future__ import annotations

import subprocess
import sys

from tools.golang import install
from tools.report import ROOT

PACKAGE, VERSION = "github.com/rhysd/actionlint/cmd/actionlint", "v1.7.12"


def main() -> int:
    """Build it if need be, and run it."""
    program = install(PACKAGE, VERSION)
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    status = subprocess.run([program, "-no-color", *workflows, *sys.argv[1:]], cwd=ROOT, check=False).returncode
    print(f"actionlint {VERSION}, {len(workflows)} workflows: {'in order' if status == 0 else 'see above'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
