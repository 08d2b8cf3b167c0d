# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices' kinds and addresses, asked of the kernel itself: a bare node has no C(ip). Private to this collection.

Source: C(include/uapi/linux/rtnetlink.h), C(if_link.h) and C(if_addr.h). Only dumps and gets: nothing is changed or loaded.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import (
    MalformedReply,
    Message,
    attributes,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_dump import (
    ROUTE,
    Socket,
    answers,
    open_socket,
    read_all,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

_LINK, _ADDRESS = struct.Struct("=BBHiII"), struct.Struct("=BBBBi")
_GET_LINK, _GET_ADDRESS, _NEW_LINK, _NEW_ADDRESS = 18, 22, 16, 20
_LINK_INFO, _INFO_KIND = 18, 1
_ADDRESS_PEER, _ADDRESS_LOCAL = 1, 2
_SCOPE_LINK = 253
_IPV4, _IPV6 = 4, 16

_open = partial(open_socket, ROUTE)


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


def read_address(data: bytes, message: Message) -> tuple[int, str] | None:
    """The device's index and the address in an answer; nothing for an address that only the link knows."""
    start = _body(message, _ADDRESS.size)
    family, _prefix, _flags, scope, index = _ADDRESS.unpack_from(data, message.start)
    # Protocols that are not IP (MCTP, Phonet) have addresses too.
    if scope == _SCOPE_LINK or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    values = {kind: data[place : place + length] for kind, place, length in attributes(data, start, message.end)}
    value = values.get(_ADDRESS_LOCAL) or values.get(_ADDRESS_PEER) or b""
    if len(value) == _IPV4:
        return index, socket.inet_ntoa(value)
    if len(value) != _IPV6:
        raise MalformedReply("an address that is none")
    return index, str(ipaddress.IPv6Address(value))


def _read_kind(sock: Socket, index: int) -> str:
    link = _LINK.pack(socket.AF_UNSPEC, 0, 0, index, 0, 0)
    found = answers(sock, _GET_LINK, link, dump=False)
    return next((read_kind(data, message) for data, message in found if message.type == _NEW_LINK), "")


def _read_addresses(sock: Socket) -> list[tuple[int, str]]:
    dump = answers(sock, _GET_ADDRESS, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
    found = (read_address(data, message) for data, message in dump if message.type == _NEW_ADDRESS)
    return [address for address in found if address]


def read_link(name: str, index: int, connect: t.Callable[[], Socket] = _open) -> tuple[str, list[str]]:
    """The kind of a device and its addresses, without those of the link itself.

    :raises KubeProxyError: when the kernel does not give them
    """

    def read(sock: Socket) -> tuple[str, list[str]]:
        kind = _read_kind(sock, index)
        return kind, [address for device, address in _read_addresses(sock) if device == index]

    return read_all(f"Cannot read the addresses of {name}", connect, read)


def read_device_kind(name: str, index: int, connect: t.Callable[[], Socket] = _open) -> str:
    """The kind of a device alone.

    :raises KubeProxyError: when the kernel does not give it
    """
    return read_all(f"Cannot read the kind of {name}", connect, partial(_read_kind, index=index))


def read_addresses(connect: t.Callable[[], Socket] = _open) -> list[tuple[int, str]]:
    """The addresses of all devices of this node with the index of their device, without those that only a link knows.

    :raises KubeProxyError: when the kernel does not give them
    """
    return read_all("Cannot read the node's addresses", connect, _read_addresses)


def read_links(
    files: Files, addresses: t.Callable[[], list[tuple[int, str]]] = read_addresses
) -> list[dict[str, t.Any]]:
    """The addresses by device, in the form of C(ip -j address show).

    :param addresses: reads the index of the device and the address of each
    :raises KubeProxyError: when the kernel does not give them
    """
    names: dict[int, str] = {}
    for name in files.names("/sys/class/net"):
        number = (files.text(f"/sys/class/net/{name}/ifindex") or "").strip()
        if number.isdigit():
            names[int(number)] = name
    links: dict[int, list[str]] = {}
    for index, address in addresses():
        links.setdefault(index, []).append(address)
    return [
        {"ifname": names.get(index, f"#{index}"), "addr_info": [{"local": one} for one in found]}
        for index, found in sorted(links.items())
    ]
