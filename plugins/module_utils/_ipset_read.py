# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading the kernel's ipsets without changing anything, and without the program C(ipset). Private to this collection."""

from __future__ import annotations

import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import (
    LIST,
    IpSetState,
    SetCollector,
    list_request,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_presence import is_in_kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_dump import (
    NETFILTER,
    Socket,
    answers,
    open_socket,
    read_all,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files


def read_ipsets(
    files: Files, with_members: bool = False, connect: t.Callable[[], Socket] = partial(open_socket, NETFILTER)
) -> tuple[IpSetState, ...]:
    """All sets by name; none when ip_set is not in the kernel, and it is not loaded by looking.

    :raises KubeProxyError: when they cannot be read
    """
    if not is_in_kernel(files, "ip_set", "ip_set_type_register"):
        return ()

    def read(sock: Socket) -> tuple[IpSetState, ...]:
        collector = SetCollector(with_members)
        for data, message in answers(sock, LIST, list_request(with_members)):
            if message.type == LIST:
                collector.take(data, message)
        return collector.sets()

    return read_all("Cannot read the ipsets", connect, read)
