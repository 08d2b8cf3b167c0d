# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at everything that a snapshot of a node holds. Nothing is changed or loaded. Private to this collection.

What cannot be read is told and left out: half a snapshot is better than none.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import is_iptables_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_read import read_ipsets
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import BACKENDS, FAMILIES
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import as_options, read_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_parse import parse_proc_modules
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_link import (
    read_addresses,
    read_links,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_read import read_node_name
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_read import read_nft_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_tables import read_nft_tables
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_snapshot import (
    FORMAT,
    NODE,
    SYSCTLS,
    nft_text_of,
    ruleset_of,
    sysctl_path,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

Row = t.Dict[str, t.Any]
Value = t.TypeVar("Value")


def read_kube_proxy_sysctls(files: Files, names: t.Iterable[str] = SYSCTLS) -> dict[str, str]:
    """Those of the sysctls that the kernel has, as it prints them."""
    found = ((name, files.text(sysctl_path(name))) for name in names)
    return {name: text.strip() for name, text in found if text is not None}


class SnapshotLook:
    """Reads part by part, and remembers what could not be read.

    :param servers: reads the virtual servers
    :param addresses: reads the index of the device and the address of each
    :param ipsets: reads the sets with their members
    :param nft_tables: reads family and name of the tables of nftables
    """

    def __init__(
        self,
        runner: Runner,
        files: Files,
        servers: t.Callable[[], t.Sequence[VirtualServer]] = read_virtual_servers,
        addresses: t.Callable[[], list[tuple[int, str]]] = read_addresses,
        ipsets: t.Callable[[Files, bool], t.Sequence[IpSetState]] = read_ipsets,
        nft_tables: t.Callable[[Files], t.Sequence[tuple[str, str]]] = read_nft_tables,
    ) -> None:
        self._runner = runner
        self._files = files
        self._servers = servers
        self._addresses = addresses
        self._ipsets = ipsets
        self._nft_tables = nft_tables
        self._unread: list[str] = []

    def snapshot(self) -> Row:
        """Everything, as the module returns it. A part that could not be read is an empty list."""
        found = {
            "format": FORMAT,
            "kind": NODE,
            "node_name": self._try(lambda: read_node_name(self._files)),
            "kernel_release": (self._files.text("/proc/sys/kernel/osrelease") or "").strip(),
            "nft": self._try(self._nft) or [],
            "iptables": [row for backend in BACKENDS for family in FAMILIES for row in self._rulesets(backend, family)],
            "ipsets": self._try(self._sets) or [],
            "virtual_servers": self._try(lambda: [as_options(server) for server in self._servers()]) or [],
            "addresses": self._try(lambda: read_links(self._files, self._addresses)) or [],
            "sysctls": read_kube_proxy_sysctls(self._files),
            "modules": sorted(parse_proc_modules(self._files.text("/proc/modules") or "")),
        }
        return {**found, "unread": self._unread}

    def _try(self, read: t.Callable[[], Value]) -> Value | None:
        try:
            return read()
        except KubeProxyError as error:
            self._unread.append(str(error))
            return None

    def _rulesets(self, backend: str, family: str) -> list[Row]:
        tables = NodeTables(self._runner, self._files)
        text = self._try(lambda: tables.saved(backend, family, ruleset_of))
        return [{"backend": backend, "family": family, "text": text}] if text else []

    def _nft(self) -> list[Row]:
        found = self._nft_tables(self._files)
        return [row for key in found if not is_iptables_table(*key) for row in self._nft_table(*key)]

    def _nft_table(self, family: str, name: str) -> list[Row]:
        text = self._try(lambda: read_nft_text(self._runner, family, name))
        return [] if text is None else [{"family": family, "name": name, "text": nft_text_of(text)}]

    def _sets(self) -> list[Row]:
        return [
            {
                "name": one.name,
                "type": one.type,
                "family": one.family,
                "size": one.count,
                "members": sorted(filter(None, map(str, one.members or ()))),
            }
            for one in self._ipsets(self._files, True)
        ]
