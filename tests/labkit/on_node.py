# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the collection's code on a node without Ansible's start: for measuring, and for many cases in little time."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

from ansible import module_utils

from tests.labkit import ROOT, Node

FOLDER = "/run/collection-code"
PACKAGE = Path("ansible_collections/netops/kube_proxy/plugins")


def send_code(node: Node, *programs: str) -> str:
    """The collection's code, what it needs of Ansible, and programs of this folder, to the node; the folder they are in."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in (ROOT / "plugins").glob("module*/*.py"):
            archive.add(path, PACKAGE / path.relative_to(ROOT / "plugins"))
        archive.add(Path(module_utils.__file__).parent, "ansible/module_utils")
        for name in programs:
            archive.add(Path(__file__).with_name(name), name)
    node.run(
        f"rm -rf {FOLDER}; mkdir {FOLDER}; base64 -d | tar xzf - -C {FOLDER}; touch {FOLDER}/ansible/__init__.py",
        base64.b64encode(buffer.getvalue()).decode(),
    )
    return FOLDER
