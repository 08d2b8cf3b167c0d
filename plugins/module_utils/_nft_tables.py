# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tables nftables has, asked of the kernel over netlink: a node without C(nft) has tables, too. Nothing is changed or
loaded. Private to this collection.

Numbers are those of C(include/uapi/linux/netfilter/nf_tables.h) and C(include/uapi/linux/netfilter.h), names nft's.
"""

from __future__ import annotations

import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import MalformedReply, Message
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_presence import is_in_kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_dump import (
    NETFILTER,
    Socket,
    answers,
    open_socket,
    read_all,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_handles import FAMILY_HEADER_SIZE, values_of

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

_GET_TABLE = 10 << 8 | 1
_NEW_TABLE = 10 << 8 | 0
_NAME = 1
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}


def has_nf_tables(files: Files) -> bool:
    """Whether the kernel has nf_tables, so that asking it loads nothing."""
    return is_in_kernel(files, "nf_tables", "nft_do_chain")


def read_nft_tables(
    files: Files, connect: t.Callable[[], Socket] = partial(open_socket, NETFILTER)
) -> tuple[tuple[str, str], ...]:
    """Family and name of every table; none when nf_tables is not in the kernel, and it is not loaded by looking.

    :raises KubeProxyError: when there may be tables and the kernel does not say them
    """
    if not has_nf_tables(files):
        return ()

    def read(sock: Socket) -> tuple[tuple[str, str], ...]:
        dump = answers(sock, _GET_TABLE, bytes(FAMILY_HEADER_SIZE))
        return tuple(_table(data, message) for data, message in dump if message.type == _NEW_TABLE)

    return read_all("The tables of nftables cannot be read", connect, read)


def _table(data: bytes, message: Message) -> tuple[str, str]:
    values = values_of(data, message)
    family = _FAMILIES.get(data[message.start])
    if not family or not values.get(_NAME):
        raise MalformedReply("a table of nftables without a family or a name")
    return family, values[_NAME].rstrip(b"\0").decode("utf-8", "replace")
