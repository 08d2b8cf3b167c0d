# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the tables of a node without changing it: no module is loaded and no table made by looking. Private to this collection.

C(iptables-nft-save) loads nf_tables where it is missing, and C(iptables-legacy-save -t nat) creates the table nat; so
what is not there yet is known from C(/proc), and is empty.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import BACKENDS, Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import (
    MissingTool,
    default_backend,
    run_tool,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_parse import parse_builtin
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import TABLES

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

_NAMES = {"ipv4": "/proc/net/ip_tables_names", "ipv6": "/proc/net/ip6_tables_names"}

Read = t.Dict[Location, Table]


class NodeTables:
    """The tables of the node whose C(/proc), C(/sys) and C(/lib) are C(files)."""

    def __init__(self, runner: Runner, files: Files) -> None:
        self._runner = runner
        self._files = files

    def read(self, families: t.Sequence[str], backend: str) -> Read:
        """The tables filter, nat and mangle of the families, in one backend, or in both.

        C(backend=auto) is the one in which kubelet made its hint chain (KEP-3178), and without such a chain, or with
        one in both, the backend of the node's C(iptables).

        :raises KubeProxyError: when there are tables that cannot be read
        """
        if backend == "both":
            return {**self._read(BACKENDS[0], families), **self._read(BACKENDS[1], families)}
        if backend != "auto":
            return self._read(backend, families)
        usual = default_backend(self._runner) or BACKENDS[0]
        tables = self._read(usual, families)
        if _hinted(tables):
            return tables
        other = self._read_if_possible(next(name for name in BACKENDS if name != usual), families)
        return other if _hinted(other) else tables

    def _read_if_possible(self, backend: str, families: t.Sequence[str]) -> Read:
        try:
            return self._read(backend, families)
        except MissingTool:
            return {}

    def _read(self, backend: str, families: t.Sequence[str]) -> Read:
        tables: Read = {}
        for family in families:
            there = self._legacy_is_there(family) if backend == "legacy" else self._nft_is_there()
            found = self._save(backend, family) if there else {}
            for name in TABLES:
                tables[Location(backend, family, name)] = found.get(name, Table())
        return tables

    def _save(self, backend: str, family: str) -> dict[str, Table]:
        result = run_tool(self._runner, backend, family, "save")
        if result.rc != 0:
            raise KubeProxyError(
                f"The {backend} tables of {family} cannot be read",
                seen=f"iptables-save ended with {result.rc}: {result.err.strip()}",
            )
        return parse_save(result.out)

    def _legacy_is_there(self, family: str) -> bool:
        return bool((self._files.text(_NAMES[family]) or "").split())

    def _nft_is_there(self) -> bool:
        files = self._files
        if not files.exists("/proc/modules"):
            return True  # a kernel without loadable modules: looking cannot load any
        if files.exists("/sys/module/nf_tables"):
            return True
        release = (files.text("/proc/sys/kernel/osrelease") or "").strip()
        builtin = files.text(f"/lib/modules/{release}/modules.builtin")
        if builtin is not None:
            return "nf_tables" in parse_builtin(builtin)
        # A container without its kernel's files: built-in code shows in the kernel's symbols.
        return " nft_do_chain\n" in (files.text("/proc/kallsyms") or "")


def _hinted(tables: Read) -> bool:
    return any("KUBE-IPTABLES-HINT" in table.chains for at, table in tables.items() if at.table == "mangle")
