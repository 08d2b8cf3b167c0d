# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Telling connection tracking of a connection that it does not know, and how NAT rewrites it. Private to this collection.

Sources: C(include/uapi/linux/netfilter/nfnetlink_conntrack.h) and C(nf_conntrack_tcp.h); C(ctnetlink_create_conntrack) and
C(ctnetlink_setup_nat) in C(net/netfilter/nf_conntrack_netlink.c).
"""

from __future__ import annotations

import errno
import struct
import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_codec import (
    FAMILIES,
    NEW,
    NUMBERS,
    End,
    packed,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import attribute
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_change import FLAG_CREATE, Request, all_told
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_dump import (
    NETFILTER,
    Socket,
    open_socket,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_kept import Carried

_NESTED = 0x8000
_ORIGINAL, _REPLY, _STATUS, _PROTOINFO, _NAT_SOURCE, _TIMEOUT, _NAT_DESTINATION = 1, 2, 3, 4, 6, 7, 13
_ADDRESSES, _PROTOCOL = 1, 2
_TUPLE_ADDRESSES = {4: (1, 2), 6: (3, 4)}
_NAT_ADDRESSES = {4: (1, 2), 6: (4, 5)}
_NAT_PROTOCOL = 3
_CONFIRMED_BOTH_WAYS = 1 << 1 | 1 << 2 | 1 << 3
_TCP, _TCP_STATE, _TCP_FLAGS = 1, 1, (4, 5)
_ESTABLISHED = 3
# IP_CT_TCP_FLAG_BE_LIBERAL and its mask: windows that nobody saw cannot be checked.
_LIBERAL = bytes([0x08, 0x08])


def insertion(one: Carried, seconds: int) -> Request:
    """The request to know a connection: from its client to its address, rewritten to its server.

    :param seconds: after which it is forgotten if nobody speaks
    """
    family = 6 if ":" in one.client.address else 4
    parts = [
        _nested(_ORIGINAL, _tuple(family, one.protocol, one.client, one.address)),
        _nested(_REPLY, _tuple(family, one.protocol, one.address, one.client)),
        attribute(_STATUS, struct.pack(">I", _CONFIRMED_BOTH_WAYS)),
        attribute(_TIMEOUT, struct.pack(">I", seconds)),
        _nested(_NAT_DESTINATION, _range(family, one.server)),
    ]
    if one.seen != one.client:
        parts.append(_nested(_NAT_SOURCE, _range(family, one.seen)))
    if one.protocol == "tcp":
        flags = b"".join(attribute(kind, _LIBERAL) for kind in _TCP_FLAGS)
        parts.append(_nested(_PROTOINFO, _nested(_TCP, attribute(_TCP_STATE, bytes([_ESTABLISHED])) + flags)))
    return NEW, struct.pack("=BBH", FAMILIES[family], 0, 0) + b"".join(parts)


def insert(
    connections: t.Mapping[str, Carried],
    seconds: t.Mapping[str, int],
    connect: t.Callable[[], Socket] = partial(open_socket, NETFILTER),
) -> dict[str, str]:
    """Have connection tracking know connections; by name the reason why not. One that it knows stays as it is.

    :param seconds: by protocol
    :raises KubeProxyError: when there is no socket to ask by
    """
    requests = [(name, insertion(one, seconds[one.protocol])) for name, one in connections.items()]
    return all_told(connect, requests, errno.EEXIST, FLAG_CREATE)


def _tuple(family: int, protocol: str, source: End, destination: End) -> bytes:
    pairs = zip(_TUPLE_ADDRESSES[family], (source, destination))
    addresses = b"".join(attribute(kind, packed(end.address)) for kind, end in pairs)
    ports = (attribute(kind, struct.pack(">H", end.port)) for kind, end in zip((2, 3), (source, destination)))
    numbers = attribute(1, bytes([NUMBERS[protocol]])) + b"".join(ports)
    return _nested(_ADDRESSES, addresses) + _nested(_PROTOCOL, numbers)


def _range(family: int, end: End) -> bytes:
    """A range of one address and one port."""
    addresses = b"".join(attribute(kind, packed(end.address)) for kind in _NAT_ADDRESSES[family])
    ports = b"".join(attribute(kind, struct.pack(">H", end.port)) for kind in (1, 2))
    return addresses + _nested(_NAT_PROTOCOL, ports)


def _nested(kind: int, body: bytes) -> bytes:
    return attribute(kind | _NESTED, body)
