# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at everything that kube-proxy may have left in a node's kernel. Nothing is changed or loaded. Private.

What cannot be read is told and left out: a node that lacks one tool still has all the rest to show.
"""

from __future__ import annotations

import ipaddress
import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device, Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_read import read_ipsets
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import BACKENDS, FAMILIES
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables, Read, hinted_backend
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import default_backend
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import (
    CHAIN_MODES,
    IPVS,
    IPVS_DEVICE,
    NFT_TABLES,
    NFTABLES,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_link import (
    read_addresses,
    read_device_kind,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_read import read_nft_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_tables import read_nft_tables

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

Value = t.TypeVar("Value")


class Look:
    """Reads part by part, and remembers what could not be read.

    :param nft_tables: reads family and name of the tables of nftables
    """

    def __init__(
        self,
        runner: Runner,
        files: Files,
        nft_tables: t.Callable[[Files], tuple[tuple[str, str], ...]] = read_nft_tables,
    ) -> None:
        self._runner = runner
        self._files = files
        self._nft_tables = nft_tables
        self._unread: dict[str, tuple[str, ...]] = {}

    def readings(self, virtual_servers: tuple[VirtualServer, ...], to_compare: bool = False) -> Readings:
        """Everything; the virtual servers come from the caller, who has read them already.

        :param to_compare: whether it is for a comparison with the API: then the members of ipsets are read too, and the node's
            default backend is asked for only where kubelet's hint does not tell which one kube-proxy uses
        """
        # To start a program costs the more the more there is in memory already: what may be large comes last.
        nft_tables = self._try(partial(self._nft_tables, self._files), NFTABLES) or ()
        tables = self._tables()
        backend = "" if to_compare and hinted_backend(tables) else default_backend(self._runner)
        ours = [key for key in NFT_TABLES if key in nft_tables]
        nft = [self._try(partial(read_nft_table, self._runner, *key), NFTABLES) for key in ours]
        device, node_addresses = self._try(self._addresses, IPVS) or (None, frozenset())
        return Readings(
            tables=tables,
            ipsets=self._try(partial(read_ipsets, self._files, to_compare), IPVS) or (),
            nft_tables=nft_tables,
            nft=tuple(table for table in nft if table is not None),
            virtual_servers=virtual_servers,
            device=device,
            node_addresses=node_addresses,
            default_backend=backend,
            unread=tuple(self._unread),
            unread_modes=dict(self._unread),
        )

    def _try(self, read: t.Callable[[], Value], *modes: str) -> Value | None:
        """What was read; else the reason is kept, with the modes that have objects there."""
        try:
            return read()
        except KubeProxyError as error:
            self._unread[str(error)] = tuple(dict.fromkeys((*self._unread.get(str(error), ()), *modes)))
            return None

    def _tables(self) -> Read:
        found = {family: self._tables_of(family) for family in reversed(FAMILIES)}
        return {at: table for family in FAMILIES for at, table in found[family].items()}

    def _tables_of(self, family: str) -> Read:
        tables = NodeTables(self._runner, self._files)
        try:
            return tables.read([family], "both")
        except KubeProxyError:
            # One of the backends cannot be read: the other one still can, and the error is told where it belongs.
            each = [self._try(partial(tables.read, [family], backend), *CHAIN_MODES) or {} for backend in BACKENDS]
            return {at: table for one in each for at, table in one.items()}

    def _addresses(self) -> tuple[Device | None, frozenset[str]]:
        index = int(self._files.text(f"/sys/class/net/{IPVS_DEVICE}/ifindex") or 0)
        found = read_addresses()
        mine = [address for owner, address in found if owner == index]
        device = Device(IPVS_DEVICE, read_device_kind(IPVS_DEVICE, index), mine) if index else None
        # kube-proxy binds NodePorts to every other address but those of the loopback network.
        others = (address for owner, address in found if owner != index)
        return device, frozenset(one for one in others if not ipaddress.ip_address(one).is_loopback)
