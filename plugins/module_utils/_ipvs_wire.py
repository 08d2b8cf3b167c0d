# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The framing of (generic) netlink: headers, attributes, answers. Private to this collection.

Pure: bytes in, values out. Sources: C(include/uapi/linux/netlink.h) and C(genetlink.h). All numbers are in host order.
"""

from __future__ import annotations

import struct
import typing as t
from operator import itemgetter

Buffer = t.Union[bytes, bytearray]

FLAG_REQUEST = 0x1
FLAG_ACK = 0x4
FLAG_DUMP = 0x300
FLAG_DUMP_INTERRUPTED = 0x10
FLAG_CAPPED = 0x100
FLAG_ACK_HAS_ATTRIBUTES = 0x200
TYPE_ERROR = 2
TYPE_DONE = 3

_HEADER = struct.Struct("=IHHII")
_GENERIC_HEADER = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_NESTED_MASK = 0x3FFF


def attribute_header(kind: int, size: int) -> bytes:
    """The header of an attribute whose value has C(size) bytes."""
    return _ATTRIBUTE.pack(size + 4, kind)


def attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(len(value) + 4, kind) + value + bytes(-len(value) % 4)


def request(family: int, command: int, sequence: int, flags: int, body: bytes = b"", version: int = 1) -> bytes:
    """A whole generic netlink message; C(body) are its attributes, padded already."""
    length = _HEADER.size + _GENERIC_HEADER.size + len(body)
    head = _HEADER.pack(length, family, FLAG_REQUEST | flags, sequence, 0)
    return head + _GENERIC_HEADER.pack(command, version, 0) + body


class MalformedReply(Exception):
    """Bytes that no kernel sends: a length that points outside of its message."""


class Message(t.NamedTuple):
    """Where one message lies in a buffer: C(start) is behind the netlink header, C(end) behind its last byte."""

    type: int
    flags: int
    sequence: int
    start: int
    end: int


def messages(buffer: Buffer, size: int) -> t.Iterator[Message]:
    """The messages in the first C(size) bytes of a buffer.

    :raises MalformedReply: for a length that cannot be
    """
    position = 0
    while position + _HEADER.size <= size:
        length, kind, flags, sequence, _port = _HEADER.unpack_from(buffer, position)
        if length < _HEADER.size or position + length > size:
            raise MalformedReply(f"a message of {length} bytes where {size - position} are left")
        yield Message(kind, flags, sequence, position + _HEADER.size, position + length)
        position += (length + 3) & ~3


def attributes(buffer: Buffer, start: int, end: int) -> t.Iterator[tuple[int, int, int]]:
    """Type, start and length of the value of every attribute between two places.

    :raises MalformedReply: for a length that cannot be
    """
    while start + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(buffer, start)
        if length < 4 or start + length > end:
            raise MalformedReply(f"an attribute of {length} bytes where {end - start} are left")
        yield kind & _NESTED_MASK, start + 4, length - 4
        start += (length + 3) & ~3


def error_of(buffer: Buffer, message: Message) -> tuple[int, str]:
    """The C(errno) of an answer (0: done) and the kernel's own words for it, where it has any.

    The words are the attribute C(NLMSGERR_ATTR_MSG), behind the request that the answer repeats (its header only when capped).
    """
    if message.end - message.start < 4 + _HEADER.size:
        raise MalformedReply("an answer without the request it is for")
    code, repeated = struct.unpack_from("=iI", buffer, message.start)
    if not message.flags & FLAG_ACK_HAS_ATTRIBUTES:
        return -code, ""
    start = message.start + 4 + (_HEADER.size if message.flags & FLAG_CAPPED else (repeated + 3) & ~3)
    for kind, place, length in attributes(buffer, start, message.end):
        if kind == 1:
            return -code, text_of(bytes(buffer[place : place + length]))
    return -code, ""


def status_of(buffer: Buffer, message: Message) -> tuple[int, str]:
    """The C(errno) with which a dump ended, 0 for a complete one."""
    if message.end - message.start < 4:
        return 0, ""
    return max(0, -int(struct.unpack_from("=i", buffer, message.start)[0])), ""


def text_of(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode("ascii", "replace")


class Record:
    """Reads the fixed-size members of a nested attribute.

    A kernel puts the attributes of every destination at the same places, so the places are found once and afterwards
    only the attribute headers are compared: three calls a destination instead of thirty. Another layout is walked anew.
    Members that an older kernel does not send are 0, or empty bytes.
    """

    def __init__(self, members: t.Mapping[int, str]) -> None:
        self._members = members
        self._defaults = tuple(b"" if form.endswith("s") else 0 for form in members.values())
        self._layouts: dict[
            int, tuple[struct.Struct, tuple[t.Any, ...], struct.Struct, t.Callable[[t.Any], t.Any]]
        ] = {}

    def read(self, buffer: Buffer, start: int, length: int) -> tuple[t.Any, ...]:
        layout = self._layouts.get(length)
        if layout is None or layout[0].unpack_from(buffer, start) != layout[1]:
            layout = self._layouts[length] = self._learn(buffer, start, length)
        values: tuple[t.Any, ...] = layout[3](layout[2].unpack_from(buffer, start) + self._defaults)
        return values

    def _learn(
        self, buffer: Buffer, start: int, length: int
    ) -> tuple[struct.Struct, tuple[t.Any, ...], struct.Struct, t.Callable[[t.Any], t.Any]]:
        headers, values, found = "=", "=", []
        for kind, place, size in attributes(buffer, start, start + length):
            padded = min((size + 3) & ~3, start + length - place)
            form = self._members.get(kind, "")
            if form.endswith("s"):
                form = f"{size}s"
            headers += f"4s{padded}x"
            if not form or kind in found or struct.calcsize("=" + form) > size:
                values += f"4x{padded}x"
                continue
            values += f"4x{form}{padded - struct.calcsize('=' + form)}x"
            found.append(kind)
        heads = struct.Struct(headers)
        places = [found.index(kind) if kind in found else len(found) + nth for nth, kind in enumerate(self._members)]
        return heads, heads.unpack_from(buffer, start), struct.Struct(values), itemgetter(*places)


def nested(buffer: Buffer, message: Message, wanted: int) -> tuple[int, int]:
    """Where the value of one attribute of a generic netlink message lies, and its length.

    :raises MalformedReply: when the message has no such attribute
    """
    start = message.start + _GENERIC_HEADER.size
    if start + 4 <= message.end:
        # The kernel sends just this one: no need to walk.
        length, kind = _ATTRIBUTE.unpack_from(buffer, start)
        if kind & _NESTED_MASK == wanted and 4 <= length <= message.end - start:
            return start + 4, length - 4
    for kind, start, length in generic_attributes(buffer, message):
        if kind == wanted:
            return start, length
    raise MalformedReply(f"an answer without attribute {wanted}")


def generic_attributes(buffer: Buffer, message: Message) -> t.Iterator[tuple[int, int, int]]:
    return attributes(buffer, message.start + _GENERIC_HEADER.size, message.end)
