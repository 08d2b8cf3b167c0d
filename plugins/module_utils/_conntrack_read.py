# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading and removing flows of connection tracking, without the program C(conntrack). Private to this collection."""

from __future__ import annotations

import errno
import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_codec import (
    GET,
    NEW,
    Flow,
    Wanted,
    flows_request,
    read_flow,
    removal,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_presence import is_in_kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_change import all_told
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_dump import (
    NETFILTER,
    Socket,
    answers,
    open_socket,
    read_all,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

Connect = t.Callable[[], Socket]
_open = partial(open_socket, NETFILTER)


def why_unreadable(files: Files) -> str:
    """Why the flows cannot be read without loading a module, as a sentence; empty when they can be, or when there are none."""
    if not is_in_kernel(files, "nf_conntrack", "nf_conntrack_in"):
        return ""
    if is_in_kernel(files, "nf_conntrack_netlink", "ctnetlink_new_conntrack"):
        return ""
    return "The flows of connection tracking were not read: the kernel has no nf_conntrack_netlink loaded, and asking would load it."


def read_flows(files: Files, family: int, wanted: Wanted, connect: Connect = _open, protocol: str = "") -> list[Flow]:
    """The flows to these destinations; none where the kernel has no connection tracking, and nothing is loaded by looking.

    :param protocol: the only one that the kernel is asked for
    :raises KubeProxyError: when they cannot be read
    """
    if why_unreadable(files) or not is_in_kernel(files, "nf_conntrack", "nf_conntrack_in"):
        return []

    def read(sock: Socket) -> list[Flow]:
        found = answers(sock, GET, flows_request(family, protocol))
        flows = (read_flow(data, message, family, wanted) for data, message in found if message.type == NEW)
        return [flow for flow in flows if flow]

    return read_all("Cannot read the flows of connection tracking", connect, read)


def remove_flows(flows: t.Mapping[str, Flow], connect: Connect = _open) -> dict[str, str]:
    """Remove flows; by their names the reason why not. One that is not there is gone already.

    :raises KubeProxyError: when there is no socket to ask by
    """
    return all_told(connect, [(name, removal(flow)) for name, flow in flows.items()], errno.ENOENT)
