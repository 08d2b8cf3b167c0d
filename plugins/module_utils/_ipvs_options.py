# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From one item of the options of C(ipvs_virtual_server) to values, every one checked. Private to this collection.

The lists are checked here and not by Ansible's argument specification: it does not say which item of a list is wrong,
and it takes longer over 5,000 items than all the rest of the module.
"""

from __future__ import annotations

import socket
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_fields import (
    BadField,
    address_of,
    choice_of,
    list_of,
    number_of,
    refuse_unknown,
    text_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    FLAGS,
    FORWARD_METHODS,
    IPV4,
    IPV6,
    MASQUERADE,
    ONE_PACKET,
    PERSISTENT,
    PROTOCOLS,
    SCHEDULERS,
    TUNNEL,
    TUNNEL_FLAGS,
    TUNNEL_TYPES,
    WHOLE_ADDRESS,
    RealServer,
    ServerKey,
    VirtualServer,
)

#: The keys of a virtual server: of an item of C(virtual_servers), and at the top level for one.
SERVER_KEYS = (
    "address",
    "port",
    "protocol",
    "fwmark",
    "family",
    "scheduler",
    "flags",
    "persistence_timeout",
    "persistence_netmask",
    "persistence_engine",
    "real_servers",
)
REAL_KEYS = (
    "address",
    "port",
    "weight",
    "forward_method",
    "upper_threshold",
    "lower_threshold",
    "tunnel_type",
    "tunnel_port",
    "tunnel_flags",
)
_FAMILIES = {"ipv4": IPV4, "ipv6": IPV6}
_SCHEDULERS = {name: name for name in SCHEDULERS}
_SERVER_KEYS = frozenset(SERVER_KEYS)
_REAL_KEYS = frozenset(REAL_KEYS)
_INT_MAX = 2**31 - 1

Item = t.Mapping[str, t.Any]


def virtual_server_from_options(item: t.Any) -> VirtualServer:
    """One virtual server.

    :raises BadField: naming the key
    """
    refuse_unknown(item, _SERVER_KEYS)
    key = _key(item)
    scheduler = choice_of(item, "scheduler", _SCHEDULERS, "rr")
    timeout = number_of(item, "persistence_timeout", 0, 0, 31 * 24 * 3600)
    flags = _flags(item, key, scheduler)
    if timeout:
        flags |= PERSISTENT
    elif not key.port and not key.fwmark:
        raise BadField(
            "port",
            "0 stands for every port, which only a persistent virtual server can have",
            "Set persistence_timeout.",
        )
    return VirtualServer(
        key, scheduler, flags, timeout, _netmask(item, key, timeout), _engine(item, timeout), _real_servers(item, key)
    )


def _key(item: Item) -> ServerKey:
    family = choice_of(item, "family", _FAMILIES, 0)
    if item.get("fwmark") is not None:
        for key in ("address", "port", "protocol"):
            if item.get(key) is not None:
                raise BadField(key, "a virtual server has either a fwmark or an address with port and protocol")
        return ServerKey(family or IPV4, 0, b"", 0, number_of(item, "fwmark", None, 1, 2**32 - 1))
    if item.get("address") is None:
        raise BadField("address", "missing", "Give address and port, or fwmark.")
    address = address_of(item, "address")
    own_family = IPV4 if len(address) == 4 else IPV6
    if family not in (0, own_family):
        raise BadField("family", f"{item['family']} does not fit the address {item['address']}", "Leave it out.")
    protocol = choice_of(item, "protocol", PROTOCOLS, PROTOCOLS["tcp"])
    return ServerKey(own_family, protocol, address, number_of(item, "port", None, 0, 65535), 0)


def _flags(item: Item, key: ServerKey, scheduler: str) -> int:
    bits = 0
    for name in list_of(item, "flags"):
        if not isinstance(name, str) or name not in FLAGS:
            raise BadField("flags", f"{name!r} is not a flag", f"Use any of these: {', '.join(FLAGS)}.")
        owner = name.partition("-")[0]
        if owner in ("sh", "mh") and owner != scheduler:
            raise BadField("flags", f"{name} is a flag of the scheduler {owner}, and the scheduler is {scheduler}")
        bits |= FLAGS[name]
    if bits & ONE_PACKET and not key.fwmark and key.protocol != PROTOCOLS["udp"]:
        raise BadField("flags", "one-packet is possible for UDP only", "Leave it out, or set protocol=udp.")
    return bits


def _netmask(item: Item, key: ServerKey, timeout: int) -> int:
    whole = WHOLE_ADDRESS[key.family]
    if item.get("persistence_netmask") is None:
        return whole
    if not timeout:
        raise BadField("persistence_netmask", "means nothing without persistence", "Set persistence_timeout.")
    text = str(item["persistence_netmask"]).lstrip("/")
    if text.isdigit() and 1 <= int(text) <= (32 if key.family == IPV4 else 128):
        return int(text) if key.family == IPV6 else whole << (32 - int(text)) & whole
    try:
        if key.family == IPV4:
            return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except OSError:
        pass
    form = "a mask like 255.255.255.0 or a length from 1 to 32" if key.family == IPV4 else "a length from 1 to 128"
    raise BadField("persistence_netmask", f"{item['persistence_netmask']!r} is not a netmask", f"Give {form}.")


def _engine(item: Item, timeout: int) -> str:
    engine = text_of(item, "persistence_engine", "", 15)
    if engine and not timeout:
        raise BadField("persistence_engine", "means nothing without persistence", "Set persistence_timeout.")
    return engine


def _real_servers(item: Item, key: ServerKey) -> tuple[RealServer, ...]:
    found: dict[tuple[bytes, int], RealServer] = {}
    for index, options in enumerate(list_of(item, "real_servers")):
        try:
            real = _real_server(options, key)
        except BadField as error:
            raise error.inside(f"real_servers[{index}]") from error
        if real.identity in found:
            raise BadField("real_servers", f"{real} is listed twice", f"Take item {index} away.")
        found[real.identity] = real
    return tuple(found.values())


def _real_server(item: t.Any, key: ServerKey) -> RealServer:
    refuse_unknown(item, _REAL_KEYS)
    address = address_of(item, "address")
    method = choice_of(item, "forward_method", FORWARD_METHODS, MASQUERADE)
    port = number_of(item, "port", key.port, 0, 65535)
    if method != TUNNEL and (len(address) == 4) != (key.family == IPV4):
        raise BadField(
            "address",
            f"{item['address']} is of the other address family",
            "Only forward_method=tunnel carries one in the other.",
        )
    if method != MASQUERADE and not key.fwmark and port != key.port:
        raise BadField("port", f"only masquerade changes the port: it has to be {key.port} here", "Leave it out.")
    upper = number_of(item, "upper_threshold", 0, 0, _INT_MAX)
    lower = number_of(item, "lower_threshold", 0, 0, _INT_MAX)
    if lower > upper:
        raise BadField("lower_threshold", f"{lower} is above the upper_threshold {upper}")
    weight = number_of(item, "weight", 1, 0, _INT_MAX)
    return RealServer(address, port, weight, method, upper, lower, *_tunnel(item, method))


def _tunnel(item: Item, method: int) -> tuple[int, int, int]:
    if method != TUNNEL:
        for key in ("tunnel_type", "tunnel_port", "tunnel_flags"):
            if item.get(key) is not None:
                raise BadField(key, "is for forward_method=tunnel only")
        return (0, 0, 0)
    kind = choice_of(item, "tunnel_type", TUNNEL_TYPES, TUNNEL_TYPES["ipip"])
    port = number_of(item, "tunnel_port", 0, 1, 65535)
    flags = choice_of(item, "tunnel_flags", TUNNEL_FLAGS, 0)
    if bool(port) != (kind == TUNNEL_TYPES["gue"]):
        raise BadField("tunnel_port", "a tunnel_type of gue has one, the others have none")
    if flags and kind == TUNNEL_TYPES["ipip"]:
        raise BadField("tunnel_flags", "the tunnel_type ipip has none")
    if flags == TUNNEL_FLAGS["remcsum"] and kind != TUNNEL_TYPES["gue"]:
        raise BadField("tunnel_flags", "only the tunnel_type gue has remcsum")
    return kind, port, flags
