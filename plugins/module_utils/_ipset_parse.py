# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's ipsets from netlink bytes. Pure; private to this collection.

Source: C(include/uapi/linux/netfilter/ipset/ip_set.h) and C(ip_set_dump_do) in C(net/netfilter/ipset/ip_set_core.c).
Numbers inside attributes are in network order.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import (
    MalformedReply,
    Message,
    Record,
    attribute,
    attributes,
    text_of,
)

_SUBSYSTEM = 6
_CMD_LIST = 7
LIST = _SUBSYSTEM << 8 | _CMD_LIST
"""Type of the request for all sets, and of its answers."""

# What every kernel accepts: 7 came with 4.20 and changes nothing of what is read here.
_PROTOCOL = 6
_ONLY_HEADERS = 1 << 2

_GENERIC_HEADER = struct.Struct("=BBH")
_NET_BYTE_ORDER = 0x4000
_ATTR_PROTOCOL, _ATTR_NAME, _ATTR_TYPE, _ATTR_FAMILY, _ATTR_FLAGS, _ATTR_DATA, _ATTR_MEMBERS = 1, 2, 3, 5, 6, 7, 8
_DATA_ELEMENTS, _DATA_REFERENCES = 24, 25
_MEMBER_IP, _MEMBER_PREFIX, _MEMBER_PORT, _MEMBER_PROTOCOL = 1, 3, 4, 7
_MEMBER_IP2, _MEMBER_PREFIX2 = 20, 21

_IPV4, _IPV6 = 4, 16
_FAMILIES = {2: "ipv4", 10: "ipv6"}
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}


class Member(t.NamedTuple):
    """A member of a set, as far as addresses and ports go; what its type does not have is empty or None.

    C(prefix) is None for a whole address. C(second) is the address behind the port (C(hash:ip,port,ip) and C(...,net)).
    """

    address: str = ""
    prefix: int | None = None
    protocol: str = ""
    port: int | None = None
    second: str = ""
    second_prefix: int | None = None

    def __str__(self) -> str:
        """As C(ipset save) prints it."""
        port = "" if self.port is None else f"{self.protocol}:{self.port}" if self.protocol else str(self.port)
        parts = (_network(self.address, self.prefix), port, _network(self.second, self.second_prefix))
        return ",".join(part for part in parts if part)


@dataclass(frozen=True)
class IpSetState:
    """A set in the kernel.

    :param family: C(ipv4), C(ipv6), or empty for a type that has none (C(bitmap:port), C(list:set))
    :param count: number of members; None on kernels before 4.10 when only headers were asked for
    :param references: number of rules and sets that use it
    :param members: None when only headers were asked for
    """

    name: str
    type: str
    family: str
    count: int | None = None
    references: int = 0
    members: tuple[Member, ...] | None = None


def list_request(with_members: bool) -> bytes:
    """The body of a request for all sets."""
    flags = b"" if with_members else attribute(_ATTR_FLAGS | _NET_BYTE_ORDER, struct.pack(">I", _ONLY_HEADERS))
    return _GENERIC_HEADER.pack(0, 0, 0) + attribute(_ATTR_PROTOCOL, bytes([_PROTOCOL])) + flags


class SetCollector:
    """Puts the answers of one listing together: a large set comes in several, of which only the first says what it is."""

    def __init__(self, with_members: bool) -> None:
        self._with_members = with_members
        self._heads: dict[str, IpSetState] = {}
        self._members: dict[str, list[Member]] = {}

    def take(self, data: bytes, message: Message) -> None:
        """One answer.

        :raises MalformedReply: for one that no kernel sends
        """
        start = message.start + _GENERIC_HEADER.size
        places = {kind: (place, length) for kind, place, length in attributes(data, start, message.end)}
        name = text_of(_value(data, places, _ATTR_NAME))
        if not name:
            raise MalformedReply("an ipset without a name")
        if _ATTR_TYPE in places:
            self._heads[name] = _head(data, places, name)
        elif name not in self._heads:
            raise MalformedReply(f"members of ipset {name} before its type")
        if self._with_members and _ATTR_MEMBERS in places:
            place, length = places[_ATTR_MEMBERS]
            found = self._members.setdefault(name, [])
            found += (_member(data, at, size) for _kind, at, size in attributes(data, place, place + length))

    def sets(self) -> tuple[IpSetState, ...]:
        """The sets, by name."""
        return tuple(self._complete(self._heads[name]) for name in sorted(self._heads))

    def _complete(self, head: IpSetState) -> IpSetState:
        if not self._with_members:
            return head
        members = tuple(self._members.get(head.name, ()))
        return IpSetState(head.name, head.type, head.family, len(members), head.references, members)


def _value(data: bytes, places: t.Mapping[int, tuple[int, int]], kind: int) -> bytes:
    place, length = places.get(kind, (0, 0))
    return data[place : place + length]


def _number(value: bytes) -> int | None:
    return int.from_bytes(value, "big") if value else None


def _head(data: bytes, places: t.Mapping[int, tuple[int, int]], name: str) -> IpSetState:
    place, length = places.get(_ATTR_DATA, (0, 0))
    inner = {kind: data[at : at + size] for kind, at, size in attributes(data, place, place + length)}
    family = _number(_value(data, places, _ATTR_FAMILY))
    return IpSetState(
        name,
        text_of(_value(data, places, _ATTR_TYPE)),
        _FAMILIES.get(family or 0, ""),
        _number(inner.get(_DATA_ELEMENTS, b"")),
        _number(inner.get(_DATA_REFERENCES, b"")) or 0,
    )


def _address(value: bytes) -> str:
    for _kind, at, size in attributes(value, 0, len(value)):
        if size == _IPV4:
            return socket.inet_ntoa(value[at : at + size])
        if size == _IPV6:
            return str(ipaddress.IPv6Address(value[at : at + size]))
    raise MalformedReply("an ipset's member with an address that is none")


_FIELDS = (_MEMBER_IP, _MEMBER_PREFIX, _MEMBER_PROTOCOL, _MEMBER_PORT, _MEMBER_IP2, _MEMBER_PREFIX2)
_RECORD = Record(dict.fromkeys(_FIELDS, "s"))


def _member(data: bytes, start: int, length: int) -> Member:
    address, prefix, protocol, port, second, second_prefix = _RECORD.read(data, start, length)
    number = _number(protocol)
    return Member(
        address=_address(address) if address else "",
        prefix=_number(prefix),
        protocol="" if number is None else _PROTOCOLS.get(number) or str(number),
        port=_number(port),
        second=_address(second) if second else "",
        second_prefix=_number(second_prefix),
    )


def _network(address: str, prefix: int | None) -> str:
    if not address or prefix is None or prefix == ipaddress.ip_address(address).max_prefixlen:
        return address
    return f"{address}/{prefix}"
