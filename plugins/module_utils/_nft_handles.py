# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The handles of a chain's rules, asked of the kernel over netlink. Private to this collection.

C(nft -a list chain) says them too, but starting it takes longer than all that is asked here. Numbers are those of
C(include/uapi/linux/netfilter/nf_tables.h).
"""

from __future__ import annotations

import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import (
    MalformedReply,
    Message,
    attribute,
    attributes,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_dump import (
    NETFILTER,
    Socket,
    answers,
    open_socket,
    read_all,
)

RuleHandles = t.Callable[[str, str, str], t.List[int]]
"""Takes the family (C(ipv4), C(ipv6)), the table and the chain; returns the handles of the chain's rules in their order."""

_GET_RULE = 10 << 8 | 7
_NEW_RULE = 10 << 8 | 6
_TABLE, _CHAIN, _HANDLE = 1, 2, 3
_FAMILIES = {"ipv4": 2, "ipv6": 10}
FAMILY_HEADER_SIZE = 4


def rule_handles(
    family: str, table: str, chain: str, connect: t.Callable[[], Socket] = partial(open_socket, NETFILTER)
) -> list[int]:
    """The handles of a chain's rules, in the order of the rules; none when there is no such chain.

    For a node whose nf_tables is known to be in use: where the kernel does not have it, the question would load it.

    :raises KubeProxyError: when the kernel does not say them
    """
    names = (table.encode() + b"\0", chain.encode() + b"\0")
    header = bytes([_FAMILIES[family], 0, 0, 0])
    body = header + attribute(_TABLE, names[0]) + attribute(_CHAIN, names[1])

    def read(sock: Socket) -> list[int]:
        found = (_rule(data, message) for data, message in answers(sock, _GET_RULE, body) if message.type == _NEW_RULE)
        # Kernels before 4.8 list the rules of all chains.
        return [handle for *of, handle in found if tuple(of) == names]

    return read_all(f"Cannot list the rules of chain {chain} of nftables", connect, read)


def values_of(data: bytes, message: Message) -> dict[int, bytes]:
    """What an answer of nftables has behind its family, by the number of each attribute.

    :raises MalformedReply: for a length that cannot be
    """
    start = message.start + FAMILY_HEADER_SIZE
    return {kind: data[place : place + length] for kind, place, length in attributes(data, start, message.end)}


def _rule(data: bytes, message: Message) -> tuple[bytes, bytes, int]:
    values = values_of(data, message)
    handle = values.get(_HANDLE, b"")
    if len(handle) != 8:
        raise MalformedReply("a rule of nftables without a handle")
    return values.get(_TABLE, b""), values.get(_CHAIN, b""), int.from_bytes(handle, "big")
