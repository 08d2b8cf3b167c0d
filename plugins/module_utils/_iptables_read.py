# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the tables of a node without changing it: no module is loaded and no table made by looking. Private to this collection.

C(iptables-nft-save) loads nf_tables where it is missing, and C(iptables-legacy-save -t nat) creates the table nat; so
what is not there yet is known from C(/proc), and is empty.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import BACKENDS, Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_lines, parse_policy
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import (
    MissingTool,
    default_backend,
    save_tables,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import TABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_tables import has_nf_tables

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

_NAMES = {"ipv4": "/proc/net/ip_tables_names", "ipv6": "/proc/net/ip6_tables_names"}

Read = t.Dict[Location, Table]


@dataclass(frozen=True)
class Survey:
    """Both backends at one time: the tables asked for, those of the backend that was not, and kubelet's backend.

    C(kubelet) is empty where kubelet has made its hint chain in neither backend, or in both.
    """

    tables: Read = field(default_factory=dict)
    elsewhere: Read = field(default_factory=dict)
    kubelet: str = ""


class NodeTables:
    """The tables of the node whose C(/proc), C(/sys) and C(/lib) are C(files). C(last) is what was seen at the last reading."""

    def __init__(self, runner: Runner, files: Files) -> None:
        self._runner = runner
        self._files = files
        self.last = Survey()

    def read(self, families: t.Sequence[str], backend: str) -> Read:
        """The tables filter, nat and mangle of the families, in one backend, or in both.

        C(backend=auto) is the one in which kubelet made its hint chain (KEP-3178), and without such a chain, or with
        one in both, the backend of the node's C(iptables).

        :raises KubeProxyError: when there are tables that cannot be read
        """
        self.last = self._survey(families, backend)
        return self.last.tables

    def has_chain(self, at: Location, name: str) -> bool:
        """Whether a chain is in one table; cheaper than reading them all."""
        table = self._save(at.backend, at.family, ("-t", at.table)).get(at.table) if self._is_there(at) else None
        return table is not None and name in table.chains

    def policy(self, at: Location, chain: str) -> str:
        """The policy of a built-in chain of one table; empty where it is not there. Cheaper than reading them all.

        :raises KubeProxyError: when the table cannot be read
        """
        if not self._is_there(at):
            return ""
        return save_tables(
            self._runner, at.backend, at.family, lambda lines: parse_policy(lines, chain), ("-t", at.table)
        )

    def saved(self, backend: str, family: str, take: t.Callable[[t.Iterable[str]], str]) -> str:
        """What C(take) makes of the lines of C(iptables-save), all tables among them; empty where there is none.

        :raises KubeProxyError: when they cannot be read
        """
        if not self._is_there(Location(backend, family, "")):
            return ""
        return save_tables(self._runner, backend, family, take)

    def _survey(self, families: t.Sequence[str], backend: str) -> Survey:
        if backend == "both":
            both = [self._read(one, families) for one in BACKENDS]
            return Survey({**both[0], **both[1]}, {}, hinted_backend(*both))
        first = (default_backend(self._runner) or BACKENDS[0]) if backend == "auto" else backend
        tables = self._read(first, families)
        decided = backend != "auto" or bool(hinted_backend(tables))
        other = self._read_if_possible(_other(first), families, tolerant=decided)
        hinted = hinted_backend(tables, other)
        return Survey(tables, other, hinted) if decided or hinted in ("", first) else Survey(other, tables, hinted)

    def _read_if_possible(self, backend: str, families: t.Sequence[str], tolerant: bool) -> Read:
        """C(tolerant): nothing depends on these tables, so that one which cannot be read is no reason to fail."""
        try:
            return self._read(backend, families)
        except MissingTool:
            return {}
        except KubeProxyError:
            if tolerant:
                return {}
            raise

    def _read(self, backend: str, families: t.Sequence[str]) -> Read:
        tables: Read = {}
        for family in families:
            there = self._is_there(Location(backend, family, ""))
            found = self._save(backend, family) if there else {}
            for name in TABLES:
                tables[Location(backend, family, name)] = found.get(name, Table())
        return tables

    def _save(self, backend: str, family: str, args: t.Sequence[str] = ()) -> dict[str, Table]:
        return save_tables(self._runner, backend, family, parse_lines, args)

    def _is_there(self, at: Location) -> bool:
        """Whether looking at a table, or at any where none is named, makes nothing that was not there."""
        if at.backend != "legacy":
            return has_nf_tables(self._files)
        names = (self._files.text(_NAMES[at.family]) or "").split()
        return at.table in names if at.table else bool(names)


def hinted_backend(*reads: Read) -> str:
    """The one backend in which kubelet has made its hint chain; empty for none, or both."""
    found = {
        at.backend
        for tables in reads
        for at, table in tables.items()
        if at.table == "mangle" and "KUBE-IPTABLES-HINT" in table.chains
    }
    return found.pop() if len(found) == 1 else ""


def _other(backend: str) -> str:
    return next(name for name in BACKENDS if name != backend)
