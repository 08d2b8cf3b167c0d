# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Telling the kernel over netlink to remove or add something, such as a device or an ipset, and hearing what it answers. Private to this
collection.

A bare node (kind's, for one) has neither C(ip) nor C(ipset). Sources: C(include/uapi/linux/rtnetlink.h) and C(if_link.h),
C(rtnl_dellink) in C(net/core/rtnetlink.c); C(include/uapi/linux/netfilter/ipset/ip_set.h), C(ip_set_destroy) in
C(net/netfilter/ipset/ip_set_core.c).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import (
    FLAG_ACK,
    FLAG_REQUEST,
    TYPE_ERROR,
    MalformedReply,
    attribute,
    error_of,
    messages,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_dump import (
    NETFILTER,
    ROUTE,
    Socket,
    open_socket,
)

Request = t.Tuple[int, bytes]
"""The type of a message, and what is behind its header."""

FLAG_CREATE = 0x600
"""NLM_F_CREATE with NLM_F_EXCL: what is there already is not changed."""

_HEADER = struct.Struct("=IHHII")
_LARGEST_ANSWER = 64 << 10
_LARGEST_ERROR = 4095

_DELETE_LINK = 17
_LINK = struct.Struct("=BBHiII")
_LINK_NAME = 3

_SUBSYSTEM, _CMD_DESTROY = 6, 3
_NETFILTER_HEADER = struct.Struct("=BBH")
_ATTR_PROTOCOL, _ATTR_NAME = 1, 2
# What every kernel accepts (see _ipset_parse).
_PROTOCOL = 6
_PROTOCOL_ERROR, _BUSY = 4097, 4100

_WORDS = {
    errno.EPERM: "it needs root (the capability CAP_NET_ADMIN)",
    errno.EOPNOTSUPP: "the kernel removes no device of this kind",
    _PROTOCOL_ERROR: f"the kernel's ipset does not speak version {_PROTOCOL} of its protocol",
    _BUSY: "a rule or another set still uses it",
}

# nftables lets go of what a deleted rule used in a worker of its own (nf_tables_trans_destroy_work), a moment later.
_PATIENCE, _PAUSE = 100, 0.05


def link_removal(name: str) -> Request:
    """The request to remove a device."""
    return _DELETE_LINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0) + attribute(_LINK_NAME, name.encode() + b"\0")


def set_removal(name: str) -> Request:
    """The request to destroy an ipset.

    :raises ValueError: without a name, by which the kernel would destroy all of them
    """
    if not name:
        raise ValueError("an ipset without a name")
    head = _NETFILTER_HEADER.pack(socket.AF_INET, 0, 0)
    parts = attribute(_ATTR_PROTOCOL, bytes([_PROTOCOL])) + attribute(_ATTR_NAME, name.encode() + b"\0")
    return _SUBSYSTEM << 8 | _CMD_DESTROY, head + parts


def tell(sock: Socket, request: Request, sequence: int = 1, flags: int = 0) -> int:
    """Send a request and wait for its acknowledgement; the kernel's error number, 0 for done.

    :raises OSError: when there is no answer
    :raises MalformedReply: for bytes that no kernel sends
    """
    kind, body = request
    sock.send(_HEADER.pack(_HEADER.size + len(body), kind, FLAG_REQUEST | FLAG_ACK | flags, sequence, 0) + body)
    while True:
        data = sock.recv(_LARGEST_ANSWER)
        for message in messages(data, len(data)):
            if message.type == TYPE_ERROR and message.sequence == sequence:
                return error_of(data, message)[0]


def reason_of(code: int) -> str:
    """The kernel's error number in words."""
    return _WORDS.get(code) or os.strerror(min(code, _LARGEST_ERROR))


def remove_link(name: str, connect: t.Callable[[], Socket] = partial(open_socket, ROUTE)) -> str:
    """Remove a device; the reason why not, or empty where it is gone. One that is not there is gone already."""
    return all_told(connect, [(name, link_removal(name))], errno.ENODEV).get(name, "")


def destroy_sets(
    names: t.Sequence[str],
    connect: t.Callable[[], Socket] = partial(open_socket, NETFILTER),
    pause: t.Callable[[], None] = partial(time.sleep, _PAUSE),
) -> dict[str, str]:
    """Destroy ipsets; by name the reason why not. One that is not there is gone already.

    A set in use is asked for again, for some seconds in all: rules that have just gone may still hold it.
    """
    failed = all_told(connect, [(name, set_removal(name)) for name in names], errno.ENOENT)
    for _attempt in range(_PATIENCE):
        busy = [name for name, reason in failed.items() if reason == _WORDS[_BUSY]]
        if not busy:
            break
        pause()
        again = all_told(connect, [(name, set_removal(name)) for name in busy], errno.ENOENT)
        failed = {name: again.get(name, "") if name in busy else reason for name, reason in failed.items()}
        failed = {name: reason for name, reason in failed.items() if reason}
    return failed


def all_told(
    connect: t.Callable[[], Socket], requests: t.Sequence[tuple[str, Request]], done: int, flags: int = 0
) -> dict[str, str]:
    """By name why a request was not carried out. After an answer that did not come nothing more is asked.

    :param done: the error number that says that it is so already
    :param flags: of each message, such as L(FLAG_CREATE)
    :raises KubeProxyError: when there is no socket to ask by
    """
    failed: dict[str, str] = {}
    if not requests:
        return failed
    try:
        sock = connect()
    except OSError as error:
        raise KubeProxyError("Cannot open a netlink socket", str(error)) from error
    try:
        for sequence, (name, request) in enumerate(requests, 1):
            code = tell(sock, request, sequence, flags)
            if code not in (0, done):
                failed[name] = reason_of(code)
    except (OSError, MalformedReply) as error:
        lost = f"the kernel's answer was lost ({error})"
        failed.update((name, lost) for name, _request in requests[sequence - 1 :])
    finally:
        sock.close()
    return failed


def in_words(failed: t.Mapping[str, str], most: int = 10) -> str:
    """What L(all_told) could not do, the first of it, by names that begin with a number of their own."""
    sentences = [f"{name.partition(' ')[2]}: {reason}" for name, reason in failed.items()]
    more = f"; and {len(sentences) - most} more" if sentences[most:] else ""
    return "; ".join(sentences[:most]) + more
