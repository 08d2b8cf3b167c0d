# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking the kernel over netlink for what it has, and nothing else. Private to this collection.

Only for readers that know that the kernel has the part they ask: the first message to one that it does not have makes
it load a module.
"""

from __future__ import annotations

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
    error_of,
    messages,
    status_of,
)

ROUTE = 0
NETFILTER = 12

_HEADER = struct.Struct("=IHHII")
_ATTEMPTS = 5
#: The kernel makes no answer larger than 32 KiB (C(netlink_dump) in C(net/netlink/af_netlink.c)).
_LARGEST_ANSWER = 64 << 10
_LARGEST_ERROR = 4095
_SECONDS = 10

Read = t.TypeVar("Read")


class Socket(t.Protocol):
    """What is used of a netlink socket."""

    def send(self, data: bytes, /) -> int: ...

    def recv(self, bufsize: int, /) -> bytes: ...

    def close(self) -> None: ...


class _Interrupted(Exception):
    """What was asked for changed while it was read."""


def open_socket(protocol: int) -> Socket:
    """A netlink socket of one protocol (L(ROUTE), L(NETFILTER)) with a time limit."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    sock.settimeout(_SECONDS)
    sock.bind((0, 0))
    return sock


def answers(sock: Socket, kind: int, body: bytes, dump: bool = True) -> t.Iterator[tuple[bytes, Message]]:
    """The kernel's answers to one request: all of them for a dump, else the one there is.

    :raises OSError: the kernel's no
    :raises MalformedReply: bytes that no kernel sends
    """
    flags = FLAG_REQUEST | (FLAG_DUMP if dump else 0)
    sock.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
    interrupted = False
    while True:
        data = sock.recv(_LARGEST_ANSWER)
        for message in messages(data, len(data)):
            interrupted |= bool(message.flags & FLAG_DUMP_INTERRUPTED)
            if message.type in (TYPE_ERROR, TYPE_DONE):
                code, words = (status_of if message.type == TYPE_DONE else error_of)(data, message)
                if code:
                    raise OSError(code, words or os.strerror(min(code, _LARGEST_ERROR)))
                if interrupted:
                    raise _Interrupted
                return
            yield data, message
            if not dump:
                return


def read_all(failed: str, connect: t.Callable[[], Socket], read: t.Callable[[Socket], Read]) -> Read:
    """What C(read) makes of a connection; once more, on a new one, when it changed in between.

    :param failed: what could not be done if it cannot, one clause without a full stop
    :raises KubeProxyError: when the kernel does not give it
    """
    try:
        for _attempt in range(_ATTEMPTS):
            sock = connect()
            try:
                return read(sock)
            except _Interrupted:
                continue
            finally:
                sock.close()
    except (OSError, MalformedReply) as error:
        raise KubeProxyError(failed, getattr(error, "strerror", None) or str(error)) from error
    raise KubeProxyError(failed, f"they changed during each of {_ATTEMPTS} attempts", "Run again.")
