# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading the kernel's virtual servers without changing anything. Private to this collection."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    DEFAULT_TIMEOUTS,
    ServerKey,
    Servers,
    Table,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import as_options

__all__ = ["as_options", "read_table", "read_virtual_servers"]

#: Exists exactly while ip_vs is in the kernel, loaded or built in (C(ip_vs_control_net_init)).
TABLE = "/proc/net/ip_vs"


def read_table(
    connect: t.Callable[[], Ipvs] = Ipvs,
    table: str = TABLE,
    select: t.Callable[[ServerKey], bool] | None = None,
    known: Servers | None = None,
    timeouts: bool = False,
) -> Table:
    """All virtual servers by their key; none when ip_vs is not loaded, and it is not loaded by looking.

    :param select: says whose destinations are read; those of the others are taken from C(known), an earlier reading
    :param timeouts: whether the timeouts are read; without ip_vs they are those that it starts with
    :raises KubeProxyError: when they cannot be read
    """
    if not os.path.exists(table):
        return Table({}, DEFAULT_TIMEOUTS if timeouts else None)
    with connect() as ipvs:
        return Table(ipvs.read(select, known), ipvs.timeouts() if timeouts else None)


def read_virtual_servers(connect: t.Callable[[], Ipvs] = Ipvs, table: str = TABLE) -> tuple[VirtualServer, ...]:
    """All virtual servers, sorted by family, protocol, address and port. L(as_options) turns one into options.

    :raises KubeProxyError: when they cannot be read
    """
    return tuple(sorted(read_table(connect, table).servers.values()))
