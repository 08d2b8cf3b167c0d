# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Galaxy's importer says is judged by its level."""

from __future__ import annotations

from tools.importer import complaints

OUTPUT = """\
Importing with galaxy-importer 0.4.44
Loading module some
WARNING: No changelog found. Add a CHANGELOG.rst
ERROR: roles/a/tasks/main.yml:3: syntax-check
Importer processing completed successfully
"""


def test_warnings_and_errors_are_findings() -> None:
    assert [str(finding) for finding in complaints(OUTPUT)] == [
        "warning: No changelog found. Add a CHANGELOG.rst",
        "error: roles/a/tasks/main.yml:3: syntax-check",
    ]
