# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A device's kind and addresses, asked of the kernel itself: a bare node has no C(ip). Private to this collection.

Source: C(include/uapi/linux/rtnetlink.h), C(if_link.h) and C(if_addr.h). Only dumps and gets: nothing is changed or loaded.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import (
    FLAG_DUMP,
    FLAG_DUMP_INTERRUPTED,
    FLAG_REQUEST,
    TYPE_DONE,
    TYPE_ERROR,
    MalformedReply,
    Message,
    attributes,
    error_of,
    messages,
    status_of,
)

_HEADER = struct.Struct("=IHHII")
_LINK, _ADDRESS = struct.Struct("=BBHiII"), struct.Struct("=BBBBi")
_GET_LINK, _GET_ADDRESS, _NEW_LINK, _NEW_ADDRESS = 18, 22, 16, 20
_LINK_INFO, _INFO_KIND = 18, 1
_ADDRESS_PEER, _ADDRESS_LOCAL = 1, 2
_SCOPE_LINK = 253
_ATTEMPTS = 5
_LARGEST_ANSWER = 64 << 10
_SECONDS = 10


class Socket(t.Protocol):
    """What is used of a netlink socket."""

    def send(self, data: bytes, /) -> int: ...

    def recv(self, bufsize: int, /) -> bytes: ...

    def close(self) -> None: ...


class _Interrupted(Exception):
    """The addresses changed while they were read."""


def open_socket() -> Socket:
    """A route netlink socket with a time limit."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    sock.settimeout(_SECONDS)
    sock.bind((0, 0))
    return sock


def _answers(sock: Socket, kind: int, flags: int, body: bytes) -> t.Iterator[tuple[bytes, Message]]:
    sock.send(_HEADER.pack(_HEADER.size + len(body), kind, FLAG_REQUEST | flags, 1, 0) + body)
    interrupted = False
    while True:
        data = sock.recv(_LARGEST_ANSWER)
        for message in messages(data, len(data)):
            interrupted |= bool(message.flags & FLAG_DUMP_INTERRUPTED)
            if message.type in (TYPE_ERROR, TYPE_DONE):
                code, words = (status_of if message.type == TYPE_DONE else error_of)(data, message)
                if code:
                    raise OSError(code, words or os.strerror(code))
                if interrupted:
                    raise _Interrupted
                return
            yield data, message
            if not flags & FLAG_DUMP:
                return


def _body(message: Message, size: int) -> int:
    if message.end - message.start < size:
        raise MalformedReply("an answer that is too short")
    return message.start + size


def read_kind(data: bytes, message: Message) -> str:
    """The kind in an answer about a device, such as C(dummy); empty for hardware."""
    for kind, place, length in attributes(data, _body(message, _LINK.size), message.end):
        if kind == _LINK_INFO:
            for inner, start, size in attributes(data, place, place + length):
                if inner == _INFO_KIND:
                    return data[start : start + size].split(b"\0", 1)[0].decode("ascii", "replace")
    return ""


def read_address(data: bytes, message: Message, index: int) -> str | None:
    """The address in an answer, if it is one of this device and not one that only the link knows."""
    start = _body(message, _ADDRESS.size)
    _family, _prefix, _flags, scope, owner = _ADDRESS.unpack_from(data, message.start)
    if owner != index or scope == _SCOPE_LINK:
        return None
    values = {kind: data[place : place + length] for kind, place, length in attributes(data, start, message.end)}
    value = values.get(_ADDRESS_LOCAL) or values.get(_ADDRESS_PEER) or b""
    if len(value) not in (4, 16):
        raise MalformedReply("an address that is none")
    return str(ipaddress.ip_address(value))


def _read(sock: Socket, index: int) -> tuple[str, list[str]]:
    link = _LINK.pack(socket.AF_UNSPEC, 0, 0, index, 0, 0)
    kinds = [
        read_kind(data, message) for data, message in _answers(sock, _GET_LINK, 0, link) if message.type == _NEW_LINK
    ]
    dump = _answers(sock, _GET_ADDRESS, FLAG_DUMP, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
    found = (read_address(data, message, index) for data, message in dump if message.type == _NEW_ADDRESS)
    return (kinds or [""])[0], [address for address in found if address]


def read_link(name: str, index: int, connect: t.Callable[[], Socket] = open_socket) -> tuple[str, list[str]]:
    """The kind of a device and its addresses, without those of the link itself.

    :raises KubeProxyError: when the kernel does not give them
    """
    failed = f"Cannot read the addresses of {name}"
    try:
        for _attempt in range(_ATTEMPTS):
            sock = connect()
            try:
                return _read(sock, index)
            except _Interrupted:
                continue
            finally:
                sock.close()
    except (OSError, MalformedReply) as error:
        raise KubeProxyError(failed, getattr(error, "strerror", None) or str(error)) from error
    raise KubeProxyError(failed, f"they changed during each of {_ATTEMPTS} attempts", "Run again.")
