# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel's IPVS family says and is told, as bytes and as values. Private to this collection.

Pure. Sources: C(include/uapi/linux/ip_vs.h), and for who expects which byte order C(net/netfilter/ipvs/ip_vs_ctl.c):
ports, tunnel ports, addresses and IPv4 masks are in network order, everything else is the host's, the prefix length
of an IPv6 persistence too.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from socket import htons, ntohs

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    IPV4,
    IPV6,
    SETTABLE_FLAGS,
    Change,
    RealServer,
    ServerKey,
    SetTimeouts,
    Timeouts,
    Verb,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import (
    FLAG_ACK,
    FLAG_DUMP,
    FLAG_REQUEST,
    Buffer,
    MalformedReply,
    Message,
    Record,
    attribute,
    attribute_header,
    generic_attributes,
    nested,
    request,
    text_of,
)

CONTROL_FAMILY = 0x10
GET_FAMILY = 3
GET_SERVICE = 4
GET_DEST = 8
SET_CONFIG = 12
GET_CONFIG = 13

_U16, _U32 = struct.Struct("=H"), struct.Struct("=I")

# IPVS_CMD_ATTR_SERVICE with AF, PROTOCOL, ADDR, PORT; and with AF, FWMARK. Every second value is an attribute header.
_BY_ADDRESS = struct.Struct("=4sH2x 4sH2x 4s16s 4sH2x")
_BY_MARK = struct.Struct("=4sH2x 4sI")
# IPVS_CMD_ATTR_DEST with ADDR, PORT, ADDR_FAMILY; and what a full destination has besides.
_REAL_KEY = struct.Struct("=4s16s 4sH2x 4sH2x")
_REAL_SETTINGS = struct.Struct("=4sI 4sI 4sI 4sI 4sB3x 4sH2x 4sH2x")
_AF, _PROTOCOL, _ADDRESS, _PORT, _MARK = (
    attribute_header(kind, size) for kind, size in ((1, 2), (2, 2), (3, 16), (4, 2), (5, 4))
)
_REAL_ADDRESS, _REAL_PORT, _FORWARD, _WEIGHT, _UPPER, _LOWER, _REAL_AF, _TUNNEL_TYPE, _TUNNEL_PORT, _TUNNEL_FLAGS = (
    attribute_header(kind, size)
    for kind, size in ((1, 16), (2, 2), (3, 4), (4, 4), (5, 4), (6, 4), (11, 2), (13, 1), (14, 2), (15, 2))
)

# A message about a destination with its settings: netlink header; generic header, IPVS_CMD_ATTR_SERVICE and the headers of
# IPVS_CMD_ATTR_DEST and ADDR; address and port; ADDR_FAMILY and the settings. The second and the last are alike in many.
_HEAD = struct.Struct("=IHHII")
_VERB = struct.Struct("=BBH")
_REAL_FIRST = attribute_header(2, _REAL_KEY.size + _REAL_SETTINGS.size) + _REAL_ADDRESS
_REAL_PLACE = struct.Struct("=16s 4sH2x")
_REAL_REST = struct.Struct(f"=4sH2x {_REAL_SETTINGS.format[1:]}")
_WHOLE = _HEAD.size + _VERB.size + _REAL_PLACE.size + _REAL_REST.size
_ADD, _EDIT = (_VERB.pack(verb, 1, 0) for verb in (Verb.ADD_REAL, Verb.EDIT_REAL))
_ADD_REAL, _REMOVE_REAL = Verb.ADD_REAL, Verb.REMOVE_REAL
_WITH_SETTINGS = frozenset((Verb.ADD_SERVER, Verb.EDIT_SERVER))

_SERVICE = Record({1: "H", 2: "H", 3: "16s", 4: "H", 5: "I", 6: "s", 7: "4s", 8: "I", 9: "4s", 11: "s"})
_DESTINATION = Record(
    {1: "16s", 2: "H", 3: "I", 4: "I", 5: "I", 6: "I", 7: "I", 8: "I", 11: "H", 13: "B", 14: "H", 15: "H"}
)


def read_server(buffer: Buffer, message: Message) -> VirtualServer:
    """A virtual server (without its destinations) from a C(IPVS_CMD_NEW_SERVICE) message."""
    family, protocol, address, port, mark, scheduler, flags, timeout, mask, engine = _SERVICE.read(
        buffer, *nested(buffer, message, 1)
    )
    if family not in (IPV4, IPV6) or len(flags) < 4 or len(mask) < 4:
        raise MalformedReply(f"a virtual server of address family {family}")
    key = ServerKey(family, 0, b"", 0, mark)
    if not mark:
        key = ServerKey(family, protocol, _address(family, address), ntohs(port), 0)
    netmask = int.from_bytes(mask[:4], "big") if family == IPV4 else _U32.unpack_from(mask)[0]
    settable = _U32.unpack_from(flags)[0] & SETTABLE_FLAGS
    return VirtualServer(key, text_of(scheduler), settable, timeout, netmask, text_of(engine))


def read_real_server(buffer: Buffer, message: Message, family: int) -> RealServer:
    """A destination from a C(IPVS_CMD_NEW_DEST) message; C(family) is the virtual server's, for kernels before 3.18."""
    address, port, forward, weight, upper, lower, active, inactive, own_family, kind, tunnel_port, flags = (
        _DESTINATION.read(buffer, *nested(buffer, message, 2))
    )
    packed = _address(own_family or family, address)
    connections = active + inactive
    return RealServer(
        packed, ntohs(port), weight, forward & 7, upper, lower, kind, ntohs(tunnel_port), flags, connections
    )


def _address(family: int, value: bytes) -> bytes:
    size = 4 if family == IPV4 else 16
    if len(value) < size:
        raise MalformedReply(f"an address of {len(value)} bytes")
    return value[:size]


def read_timeouts(buffer: Buffer, message: Message) -> Timeouts:
    """The timeouts of TCP, of TCP after FIN, and of UDP in seconds; 0 where the kernel has no such protocol."""
    found = {
        kind: _U32.unpack_from(buffer, start)[0]
        for kind, start, length in generic_attributes(buffer, message)
        if length == 4
    }
    return Timeouts(found.get(4, 0), found.get(5, 0), found.get(6, 0))


def read_family(buffer: Buffer, message: Message) -> int:
    """The number of the family from the answer to L(family_request)."""
    start, length = nested(buffer, message, 1)
    if length != _U16.size:
        raise MalformedReply(f"a family's number of {length} bytes")
    return int(_U16.unpack_from(buffer, start)[0])


def family_request(sequence: int) -> bytes:
    """Asks for the number of the IPVS family. A kernel without it loads the module ip_vs to answer."""
    return request(CONTROL_FAMILY, GET_FAMILY, sequence, FLAG_ACK, attribute(2, b"IPVS\0"))


def dump_request(family: int, sequence: int, key: ServerKey | None = None) -> bytes:
    """Asks for all virtual servers, or for the destinations of one."""
    if key is None:
        return request(family, GET_SERVICE, sequence, FLAG_DUMP)
    return request(family, GET_DEST, sequence, FLAG_DUMP, attribute(1, _key_body(key)))


def timeouts_request(family: int, sequence: int) -> bytes:
    """Asks for the three timeouts of L(read_timeouts)."""
    return request(family, GET_CONFIG, sequence, FLAG_ACK)


def operation_request(family: int, sequence: int, operation: Change, flags: int = 0) -> bytes:
    """The message that carries out one operation; with FLAG_ACK in C(flags) the kernel answers success as well."""
    if isinstance(operation, SetTimeouts):
        body = b"".join(attribute(4 + nth, _U32.pack(value)) for nth, value in enumerate(operation.seconds) if value)
        return request(family, SET_CONFIG, sequence, flags, body)
    verb, server, real = operation
    if real is not None and verb is not _REMOVE_REAL:
        return _whole_real(family, sequence, verb, flags, server.key, real)
    if verb in _WITH_SETTINGS:
        settings = _settings_part(server.key.family, server[1:6])
        return request(family, verb, sequence, flags, attribute(1, _key_body(server.key) + settings))
    body = attribute(1, _key_body(server.key))
    if real is not None:
        body += attribute(2, _REAL_KEY.pack(_REAL_ADDRESS, real[0], _REAL_PORT, htons(real[1]), _REAL_AF, real.family))
    return request(family, verb, sequence, flags, body)


@lru_cache(maxsize=64)
def _key_body(key: ServerKey) -> bytes:
    if key.fwmark:
        return _BY_MARK.pack(_AF, key.family, _MARK, key.fwmark)
    return _BY_ADDRESS.pack(_AF, key.family, _PROTOCOL, key.protocol, _ADDRESS, key.address, _PORT, htons(key.port))


# The parts of a message that are the same in many of a plan: made once, since making them is most of carrying one out.
@lru_cache(maxsize=1024)
def _settings_part(family: int, settings: tuple[str, int, int, int, str]) -> bytes:
    scheduler, flags, timeout, netmask, engine = settings
    mask = netmask.to_bytes(4, "big") if family == IPV4 else _U32.pack(netmask)
    body = attribute(6, scheduler.encode() + b"\0")
    # The mask of the flags leaves those alone that the kernel sets for itself.
    body += attribute(7, _U32.pack(flags) + _U32.pack(SETTABLE_FLAGS))
    body += attribute(8, _U32.pack(timeout)) + attribute(9, mask)
    # Without a name of an engine the kernel takes the present one away.
    return body + attribute(11, engine.encode() + b"\0") if engine else body


@lru_cache(maxsize=64)
def _about_part(key: ServerKey) -> bytes:
    return attribute(1, _key_body(key)) + _REAL_FIRST


@lru_cache(maxsize=1024)
def _real_rest(family: int, settings: tuple[int, ...]) -> bytes:
    weight, method, upper, lower, tunnel_type, tunnel_port, tunnel_flags = settings
    first = (_REAL_AF, family, _FORWARD, method, _WEIGHT, weight, _UPPER, upper, _LOWER, lower)
    tunnel = (_TUNNEL_TYPE, tunnel_type, _TUNNEL_PORT, htons(tunnel_port), _TUNNEL_FLAGS, tunnel_flags)
    return _REAL_REST.pack(*first, *tunnel)


def _whole_real(family: int, sequence: int, verb: int, flags: int, key: ServerKey, real: RealServer) -> bytes:
    """A destination's address and settings: nearly all messages of a large plan are such, so this one is made quickly."""
    about, address = _about_part(key), real[0]
    return (
        _HEAD.pack(_WHOLE + len(about), family, FLAG_REQUEST | flags, sequence, 0)
        + (_ADD if verb is _ADD_REAL else _EDIT)
        + about
        + _REAL_PLACE.pack(address, _REAL_PORT, htons(real[1]))
        + _real_rest(IPV4 if len(address) == 4 else IPV6, real[2:9])
    )
