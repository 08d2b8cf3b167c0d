# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections that IPVS carries, in the kernel: reading them, and handing them over. Private to this collection."""

from __future__ import annotations

import socket
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_kept import Carried, Kept, Place, carried
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_codec import NUMBERS, End, packed
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_insert import insert
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_read import read_flows
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import read_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_change import in_words

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

_SYSCTLS = "/proc/sys/net/netfilter"
LOOSE = f"{_SYSCTLS}/nf_conntrack_tcp_loose"
_TIMEOUTS = {"tcp": ("nf_conntrack_tcp_timeout_established", 432000), "udp": ("nf_conntrack_udp_timeout_stream", 120)}
"""By protocol the kernel's setting for a connection that has been answered, and its default in seconds."""
_PROTOCOLS = {number: name for name, number in NUMBERS.items()}


def read_carried(files: Files, places: t.Iterable[Place]) -> Kept:
    """What IPVS carries to these places.

    :raises KubeProxyError: when connection tracking cannot be read
    """
    wanted = {(protocol, packed(end.address), end.port) for protocol, end in places}
    return carried(flow for family in (4, 6) if wanted for flow in read_flows(files, family, wanted))


def read_served() -> frozenset[Place]:
    """What IPVS serves, by address.

    :raises KubeProxyError: when the virtual servers cannot be read
    """
    keys = read_table(select=lambda _key: False).servers
    return frozenset(
        (_PROTOCOLS[key.protocol], End(socket.inet_ntop(key.family, key.address), key.port))
        for key in keys
        if not key.fwmark
    )


def is_loose(files: Files) -> bool:
    """Whether connection tracking takes up TCP connections in their middle."""
    return (files.text(LOOSE) or "1").strip() != "0"


def hand_over(files: Files, lost: Kept) -> None:
    """Have connection tracking know these connections, as if it had taken them up.

    :raises KubeProxyError: when it does not
    """
    seconds = {
        protocol: int(files.text(f"{_SYSCTLS}/{name}") or usual) for protocol, (name, usual) in _TIMEOUTS.items()
    }
    known = [one for one in sorted(lost) if one.protocol in seconds]
    failed = insert({f"{number} {words(one)}": one for number, one in enumerate(known)}, seconds)
    if failed:
        raise KubeProxyError(
            f"{len(failed)} of {len(known)} connections that IPVS carried could not be handed to connection tracking",
            in_words(failed),
            "The bridge keeps them: run again.",
        )


def words(one: Carried) -> str:
    """A connection by its ends."""
    return f"{one.protocol} {join_host_port(*one.client)} -> {join_host_port(*one.address)} -> {join_host_port(*one.server)}"
