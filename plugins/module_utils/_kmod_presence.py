# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which parts the kernel has already, found out by files alone. Private to this collection.

The kernel loads a module for the first message that needs it: a reader that may not load anything asks here first.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_parse import (
    parse_builtin,
    parse_proc_modules,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files


def is_in_kernel(files: Files, module: str, symbol: str) -> bool:
    """Whether a module is loaded or built in.

    :param symbol: a function of the module's own, by which built-in code is known where the kernel's files are missing
    """
    if not files.exists("/proc/modules"):
        return True  # a kernel without loadable modules: looking cannot load any
    if files.exists(f"/sys/module/{module}"):
        return True
    builtin = _builtin(files)
    if builtin is not None:
        return module in builtin
    # A container without its kernel's files.
    return f" {symbol}\n" in (files.text("/proc/kallsyms") or "")


def read_states(files: Files, names: t.Iterable[str], prefix: str) -> dict[str, str | None]:
    """C(loaded), C(builtin) or C(absent) by name; None where the node has no list of what is built in.

    :param prefix: loaded modules whose names begin so are listed as well
    """
    loaded, builtin = parse_proc_modules(files.text("/proc/modules") or ""), _builtin(files)
    found = (name for name in loaded if name.startswith(prefix))
    return {name: _state(files, name, loaded, builtin) for name in sorted({*names, *found})}


def _state(files: Files, name: str, loaded: t.Container[str], builtin: frozenset[str] | None) -> str | None:
    if name in loaded:
        return "loaded"
    # A built-in one has a folder only if it has parameters or a version.
    if name in (builtin or ()) or files.exists(f"/sys/module/{name}"):
        return "builtin"
    return "absent" if builtin is not None else None


def _builtin(files: Files) -> frozenset[str] | None:
    release = (files.text("/proc/sys/kernel/osrelease") or "").strip()
    text = files.text(f"/lib/modules/{release}/modules.builtin")
    return None if text is None else parse_builtin(text)
