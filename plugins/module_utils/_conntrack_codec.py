# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flows of connection tracking as netlink bytes: the request for all of them, the answers, the request to remove one. Pure;
private to this collection.

Sources: C(include/uapi/linux/netfilter/nfnetlink_conntrack.h) and C(nf_conntrack_common.h); C(ctnetlink_alloc_filter),
C(ctnetlink_fill_info) and C(ctnetlink_del_conntrack) in C(net/netfilter/nf_conntrack_netlink.c). Numbers inside attributes are
in network order, but for those of the filter.
"""

from __future__ import annotations

import socket
import struct
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import (
    MalformedReply,
    Message,
    attribute,
    attributes,
)

_SUBSYSTEM = 1
_CMD_NEW, _CMD_GET, _CMD_DELETE = 0, 1, 2
NEW = _SUBSYSTEM << 8 | _CMD_NEW
"""Type of the answers."""
GET = _SUBSYSTEM << 8 | _CMD_GET
"""Type of the request for all flows."""

_GENERIC_HEADER = struct.Struct("=BBH")
_NESTED = 0x8000
_TUPLE_ORIGINAL, _TUPLE_REPLY, _STATUS, _PROTOINFO, _ID, _ZONE, _FILTER = 1, 2, 3, 4, 12, 18, 25
_TUPLE_ADDRESSES, _TUPLE_PROTOCOL, _TUPLE_ZONE = 1, 2, 3
_PROTOCOL_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FILTER_ORIGINAL = 1
# CTA_FILTER_F_CTA_PROTO_NUM in net/netfilter/nf_internals.h.
_BY_PROTOCOL = 1 << 3
NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
"""Protocols whose flows have ports."""
_NAMES = {bytes([number]): name for name, number in NUMBERS.items()}
_DST_NAT = 1 << 5
_INFO_TCP, _INFO_TCP_STATE = 1, 1
# TIME_WAIT and CLOSE of enum tcp_conntrack.
_OVER = (b"\7", b"\10")
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
# Attributes of the addresses, source first.
_ADDRESSES = {4: (1, 2), 6: (3, 4)}
_SIZES = {4: 4, 6: 16}
_PORT = struct.Struct(">H")
_NUMBER = struct.Struct(">I")


class End(t.NamedTuple):
    """An address and a port."""

    address: str
    port: int


class Flow(t.NamedTuple):
    """A flow that connection tracking knows, in the zone that everything is in unless a rule says otherwise.

    :param destination: what the client sends to
    :param answers: who is to answer by the kernel's idea, and so what it sends to
    :param rewritten: whether NAT of netfilter gives the packets their new destination. IPVS does that without
    :param identity: the original direction as the kernel has it, and the flow's number: what it is removed by
    :param returns: where answers are sent: the source that whoever answers sees
    :param is_over: whether TCP has ended it
    """

    family: int
    source: End
    destination: End
    answers: End
    rewritten: bool
    identity: tuple[bytes, bytes]
    protocol: str
    returns: End
    is_over: bool = False


Places = t.Dict[int, t.Tuple[int, int]]
Wanted = t.Container[t.Tuple[str, bytes, int]]
"""Destinations: protocol, the address in network order, and the port."""


def packed(address: str) -> bytes:
    """An address in network order."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def flows_request(family: int, protocol: str = "") -> bytes:
    """The body of a request for the flows of a family, or only those of one protocol. Kernels before 5.8 do not know the filter
    and give all flows."""
    head = _GENERIC_HEADER.pack(FAMILIES[family], 0, 0)
    if not protocol:
        return head
    number = attribute(_PROTOCOL_NUMBER, bytes([NUMBERS[protocol]]))
    wanted = attribute(_FILTER_ORIGINAL, struct.pack("=I", _BY_PROTOCOL))
    protocol_only = attribute(_TUPLE_PROTOCOL | _NESTED, number)
    return head + attribute(_TUPLE_ORIGINAL | _NESTED, protocol_only) + attribute(_FILTER | _NESTED, wanted)


def removal(flow: Flow) -> tuple[int, bytes]:
    """The request to remove a flow. With its number, so that one which came in its place since then stays.

    :raises ValueError: for a flow without its tuple, by which the kernel would remove all flows
    """
    original, number = flow.identity
    if not original or not number:
        raise ValueError("a flow without its tuple")
    head = _GENERIC_HEADER.pack(FAMILIES[flow.family], 0, 0)
    return _SUBSYSTEM << 8 | _CMD_DELETE, head + attribute(_TUPLE_ORIGINAL | _NESTED, original) + attribute(_ID, number)


def read_flow(data: bytes, message: Message, family: int, wanted: Wanted) -> Flow | None:
    """The flow in an answer; None when it is not to one of these destinations, or in a zone of somebody's own.

    :raises MalformedReply: for an answer that no kernel sends
    """
    if message.end - message.start < _GENERIC_HEADER.size:
        raise MalformedReply("a flow that is too short")
    places = _places(data, message.start + _GENERIC_HEADER.size, message.end)
    start, length = _place(places, _TUPLE_ORIGINAL)
    original = _Tuple.read(data, start, length, family)
    if original is None or _ZONE in places:
        return None
    if (original.protocol, original.destination, original.destination_port) not in wanted:
        return None
    reply = _Tuple.read(data, *_place(places, _TUPLE_REPLY), family)
    if reply is None or reply.protocol != original.protocol:
        raise MalformedReply("a flow with another protocol's answers")
    return Flow(
        family,
        _end(original.source, original.source_port),
        _end(original.destination, original.destination_port),
        _end(reply.source, reply.source_port),
        bool(_NUMBER.unpack(_value(data, places, _STATUS, _NUMBER.size))[0] & _DST_NAT),
        (data[start : start + length], _value(data, places, _ID, _NUMBER.size)),
        original.protocol,
        _end(reply.destination, reply.destination_port),
        _is_over(data, places),
    )


class _Tuple(t.NamedTuple):
    protocol: str
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int

    @classmethod
    def read(cls, data: bytes, start: int, length: int, family: int) -> _Tuple | None:
        """None for a protocol without ports, and for a direction that has a zone of its own."""
        places = _places(data, start, start + length)
        protocol = _inner(data, places, _TUPLE_PROTOCOL)
        name = _NAMES.get(_value(data, protocol, _PROTOCOL_NUMBER, 1))
        if name is None or _TUPLE_ZONE in places:
            return None
        addresses = _inner(data, places, _TUPLE_ADDRESSES)
        (source, destination), size = _ADDRESSES[family], _SIZES[family]
        return cls(
            name,
            _value(data, addresses, source, size),
            _PORT.unpack(_value(data, protocol, _SOURCE_PORT, _PORT.size))[0],
            _value(data, addresses, destination, size),
            _PORT.unpack(_value(data, protocol, _DESTINATION_PORT, _PORT.size))[0],
        )


def _is_over(data: bytes, places: Places) -> bool:
    """Udp and sctp say nothing of the kind."""
    known = _inner(data, places, _PROTOINFO) if _PROTOINFO in places else {}
    if _INFO_TCP not in known:
        return False
    return _value(data, _inner(data, known, _INFO_TCP), _INFO_TCP_STATE, 1) in _OVER


def _places(data: bytes, start: int, end: int) -> Places:
    return {kind: (place, length) for kind, place, length in attributes(data, start, end)}


def _place(places: Places, kind: int) -> tuple[int, int]:
    if kind not in places:
        raise MalformedReply(f"a flow without attribute {kind}")
    return places[kind]


def _inner(data: bytes, places: Places, kind: int) -> Places:
    start, length = _place(places, kind)
    return _places(data, start, start + length)


def _value(data: bytes, places: Places, kind: int, size: int) -> bytes:
    start, length = _place(places, kind)
    if length != size:
        raise MalformedReply(f"an attribute {kind} of {length} bytes where {size} are needed")
    return data[start : start + length]


def _end(address: bytes, port: int) -> End:
    return End(socket.inet_ntop(socket.AF_INET if len(address) == _SIZES[4] else socket.AF_INET6, address), port)
