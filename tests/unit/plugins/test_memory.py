# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a large piece of work costs in pages of memory, counted by the kernel in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PROGRAM = """
import gc, json, resource, sys
from ansible_collections.netops.kube_proxy.plugins.module_utils._memory import expect_many_values
if sys.argv[1] == "prepared":
    expect_many_values()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
out = b""
for _ in range(100):
    out += b"x" * 32768
print(json.dumps([gc.isenabled(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before]))
"""


def run(how: str) -> tuple[bool, int]:
    path = os.pathsep.join(sys.path)
    out = subprocess.check_output(
        [sys.executable, "-c", PROGRAM, how], text=True, env={**os.environ, "PYTHONPATH": path}
    )
    collects, pages = json.loads(out)
    return collects, pages


def test_output_that_grows_touches_few_pages() -> None:
    """3 MB that grow by 32 KiB at a time, as Ansible reads a tool's output: 40,000 pages, where twice 800 are enough."""
    (collects, pages), (still_collects, fewer) = run("plain"), run("prepared")
    assert (collects, still_collects) == (True, False)
    assert fewer < 5000
    assert fewer <= pages
