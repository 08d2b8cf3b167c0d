# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task of C(ipvs_virtual_server) asks for, as a whole. Private to this collection."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_fields import (
    BadField,
    number_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import ServerKey, Timeouts, VirtualServer
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_options import (
    SERVER_KEYS,
    virtual_server_from_options,
)

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


#: The most that C(ipvsadm --set) takes, far below what overflows in a kernel of any HZ.
_LONGEST_TIMEOUT = 31 * 24 * 3600


@dataclass(frozen=True)
class Wanted:
    """What a task asks for.

    C(present) false means that the servers are to go. C(keep) has the servers whose unlisted destinations stay.
    Virtual servers inside C(purge) that are not listed are to go as well. With C(drain) unlisted destinations go when
    their connections have ended, and after C(drain_timeout) seconds (0: no limit, and nobody waits) in any case.
    """

    servers: t.Mapping[ServerKey, VirtualServer]
    present: bool = True
    keep: frozenset[ServerKey] = frozenset()
    purge: tuple[Network, ...] = ()
    drain: bool = False
    drain_timeout: int = 0
    timeouts: Timeouts | None = None

    def purges(self, key: ServerKey) -> bool:
        """Whether an unlisted virtual server has to go; a firewall mark has no address and never does."""
        return bool(self.purge) and key not in self.servers and self._is_inside(key.address)

    def concerns(self, key: ServerKey) -> bool:
        """Whether the destinations of this virtual server matter at all."""
        return key in self.servers or self.purges(key)

    def _is_inside(self, address: bytes) -> bool:
        number = int.from_bytes(address, "big")
        return any(
            len(network.network_address.packed) == len(address)
            and number & int(network.netmask) == int(network.network_address)
            for network in self.purge
        )


def wanted_from_options(params: t.Mapping[str, t.Any]) -> Wanted:
    """Everything that the module's options say.

    :raises InvalidInput: naming the item and the key
    """
    items: t.Sequence[t.Any] | None = params.get("virtual_servers")
    short = items is None
    if items is None:
        item = {key: params[key] for key in SERVER_KEYS if params.get(key) is not None}
        items = [item] if item else []
    present = params.get("state") != "absent"
    purge = _networks(params.get("purge_cidrs") or ())
    unlisted = params.get("unlisted_real_servers")
    _refuse_contradictions(params, present, listed=bool(items) or not short)
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
        if unlisted == "keep" or item.get("real_servers") is None:
            keep.append(server.key)
    limit = _number(params, "drain_timeout")
    return Wanted(servers, present, frozenset(keep), purge, unlisted == "drain", limit, _timeouts(params))


def _refuse_contradictions(params: t.Mapping[str, t.Any], present: bool, listed: bool) -> None:
    """What each on its own may be asked for, and not together."""
    if params.get("purge_cidrs") and not present:
        raise InvalidInput(
            "purge_cidrs removes what is not listed, and state=absent what is listed: both at once cannot be meant",
            remedy="Use state=present; an empty list of virtual_servers removes all inside of purge_cidrs.",
        )
    if params.get("purge_cidrs") and not listed:
        raise InvalidInput(
            "purge_cidrs removes what is not listed, and nothing is listed",
            remedy="Give virtual_servers; an empty list removes all inside of purge_cidrs.",
        )
    if params.get("drain_timeout") and params.get("unlisted_real_servers") != "drain":
        raise InvalidInput(
            "drain_timeout means nothing without draining", remedy="Set unlisted_real_servers=drain, or leave it out."
        )


def _number(params: t.Mapping[str, t.Any], key: str) -> int:
    try:
        return number_of(params, key, 0, 0, _LONGEST_TIMEOUT)
    except BadField as error:
        raise InvalidInput(error.key, error.seen, error.remedy) from error


def _timeouts(params: t.Mapping[str, t.Any]) -> Timeouts | None:
    options = params.get("timeouts")
    if options is None:
        return None
    try:
        given = {key: options[key] for key in Timeouts._fields if options.get(key) is not None}
        return Timeouts(**{key: number_of(given, key, None, 1, _LONGEST_TIMEOUT) for key in given})
    except BadField as error:
        located = error.inside("timeouts")
        raise InvalidInput(located.key, located.seen, located.remedy) from error


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
