# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task of C(ipvs_virtual_server) asks for, as a whole. Private to this collection."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_fields import BadField
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import ServerKey, VirtualServer
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_options import (
    SERVER_KEYS,
    virtual_server_from_options,
)

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


@dataclass(frozen=True)
class Wanted:
    """What a task asks for.

    C(present) false means that the servers are to go. C(keep) has the servers whose unlisted destinations stay.
    Virtual servers inside C(purge) that are not listed are to go as well.
    """

    servers: t.Mapping[ServerKey, VirtualServer]
    present: bool = True
    keep: frozenset[ServerKey] = frozenset()
    purge: tuple[Network, ...] = ()


def wanted_from_options(params: t.Mapping[str, t.Any]) -> Wanted:
    """Everything that the module's options say.

    :raises InvalidInput: naming the item and the key
    """
    items: t.Sequence[t.Any] | None = params.get("virtual_servers")
    short = items is None
    if items is None:
        items = [{key: params[key] for key in SERVER_KEYS if params.get(key) is not None}]
    present = params.get("state") != "absent"
    purge = _networks(params.get("purge_cidrs") or ())
    if purge and not present:
        raise InvalidInput(
            "purge_cidrs removes what is not listed, and state=absent what is listed: both at once cannot be meant",
            remedy="Use state=present; an empty list of virtual_servers removes all inside of purge_cidrs.",
        )
    servers: dict[ServerKey, VirtualServer] = {}
    keep = []
    for index, item in enumerate(items):
        place = "" if short else f"virtual_servers[{index}]"
        server = _server(place, item)
        if server.key in servers:
            first = list(servers).index(server.key)
            raise InvalidInput(
                f"{place} and virtual_servers[{first}] are the same virtual server",
                str(server.key),
                "List it once, with all of its real_servers.",
            )
        servers[server.key] = server
        if params.get("unlisted_real_servers") == "keep" or item.get("real_servers") is None:
            keep.append(server.key)
    return Wanted(servers, present, frozenset(keep), purge)


def _networks(texts: t.Iterable[t.Any]) -> tuple[Network, ...]:
    return tuple(_network(index, str(text)) for index, text in enumerate(texts))


def _network(index: int, text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidInput(f"purge_cidrs[{index}]", str(error), "Give a network like 10.96.0.0/12.") from error


def _server(place: str, item: t.Any) -> VirtualServer:
    try:
        return virtual_server_from_options(item)
    except BadField as error:
        located = error.inside(place) if place else error
        raise InvalidInput(located.key, located.seen, located.remedy) from error
