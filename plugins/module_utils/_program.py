# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program of this collection's own modules, for what outlives the run of a module. Private to this collection."""

from __future__ import annotations

import inspect
import io
import sys
import typing as t
import zipfile

if t.TYPE_CHECKING:
    from types import ModuleType

COLLECTION = "ansible_collections.netops.kube_proxy"


def packed(entry: ModuleType) -> bytes:
    """What C(python3 FILE) runs: C(main) of this module, with all of the collection that this process has loaded."""
    loaded = {name: module for name, module in sys.modules.items() if name.startswith(f"{COLLECTION}.")}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in sorted({parent for name in loaded for parent in _parents(name)}):
            archive.writestr(f"{package.replace('.', '/')}/__init__.py", "")
        for name, module in sorted(loaded.items()):
            if not hasattr(module, "__path__"):
                archive.writestr(f"{name.replace('.', '/')}.py", inspect.getsource(module))
        archive.writestr("__main__.py", f"from {entry.__name__} import main\n\nmain()\n")
    return content.getvalue()


def _parents(name: str) -> t.Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))
