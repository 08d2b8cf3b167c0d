# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The endpoints of Services: merged from their slices, and chosen for one node. Pure. Private to this collection.

Sources, in kube-proxy 1.34 to 1.37: C(pkg/proxy/endpointslicecache.go) (merging), C(CategorizeEndpoints) in
C(pkg/proxy/topology.go) (choosing), C(pkg/proxy/serviceport.go) (the policies).
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from operator import itemgetter

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import address_and_node

Object = t.Mapping[str, t.Any]
Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
PortKey = t.Tuple[int, str, str, str]

_ADDRESS_TYPES = {"IPv4": 4, "IPv6": 6}


_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PLAIN = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}").fullmatch


def parse_ip(text: str) -> Address | None:
    """An address as C(netutils.ParseIPSloppy) reads it: leading zeros are decimal, mapped IPv4 is IPv4."""
    if _PLAIN(text):
        return ipaddress.IPv4Address(text)
    if "." in text and ":" not in text:
        text = ".".join(part.lstrip("0") or "0" if part.isdigit() else part for part in text.split("."))
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def address_of(text: str) -> str:
    """The same as text, in the one way to write it; empty for what is none.

    Nearly every address is written so, and there are tens of thousands.
    """
    return text if _PLAIN(text) else str(parse_ip(text) or "")


class Endpoint(t.NamedTuple):
    """One endpoint of a Service port, as this node sees it."""

    address: str
    port: int
    is_local: bool = False
    is_ready: bool = True
    is_serving: bool = True
    is_terminating: bool = False
    zones: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()

    @property
    def is_last_resort(self) -> bool:
        """Used when nothing is ready: it still answers while it goes."""
        return not self.is_ready and self.is_serving and self.is_terminating


where: t.Callable[[Endpoint], tuple[t.Any, ...]] = itemgetter(0, 1)
"""Address and port of an endpoint."""


class Policy(t.NamedTuple):
    """The traffic policies of a Service port."""

    internal_local: bool = False
    external_local: bool = False
    externally_accessible: bool = False

    @property
    def uses_cluster_endpoints(self) -> bool:
        return not self.internal_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        return self.internal_local or (self.external_local and self.externally_accessible)


class Categorized(t.NamedTuple):
    """What C(CategorizeEndpoints) returns. C(cluster) or C(local) is empty where the policies never use it.

    C(has_any) is whether the Service has an endpoint anywhere, reachable from this node or not.
    """

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    has_any: bool = False


def merge_slices(slices: t.Iterable[Object], node_name: str, node_hints: bool = True) -> dict[PortKey, list[Endpoint]]:
    """Endpoints by family, C(namespace/service), port name and protocol, each address and port once.

    :param node_hints: whether kube-proxy knows hints for nodes (the gate PreferSameTrafficDistribution, on from 1.34)
    """
    merged: dict[PortKey, list[Endpoint]] = {}
    for one in slices:
        family = _ADDRESS_TYPES.get(one.get("addressType") or "", 0)
        for port in one.get("ports") or ():
            # A port without a name or a number means "all", which kube-proxy does not do.
            if not family or port.get("name") is None or not port.get("port"):
                continue
            key = (family, f"{one['namespace']}/{one['service']}", port["name"], port.get("protocol") or "TCP")
            number = int(port["port"])
            found = [_endpoint(raw, number, node_name, node_hints) for raw in one.get("endpoints") or ()]
            merged.setdefault(key, []).extend(endpoint for endpoint in found if endpoint)
    return {key: _each_once(found) for key, found in merged.items()}


def _each_once(found: list[Endpoint]) -> list[Endpoint]:
    """Sorted by address and port; of those that share them the one that came last."""
    found.sort(key=where)
    if len(set(map(where, found))) == len(found):
        return found
    kept: dict[tuple[t.Any, ...], Endpoint] = {}
    for one in found:
        # A terminating pod must not hide the running one that got its address.
        if where(one) not in kept or not one.is_terminating:
            kept[where(one)] = one
    return list(kept.values())


def _endpoint(raw: str | Object, port: int, node_name: str, node_hints: bool) -> Endpoint | None:
    if isinstance(raw, str):
        text, node = address_and_node(raw)
        address = address_of(text)
        return Endpoint(address, port, bool(node) and node == node_name) if address else None
    address = address_of(raw["address"])
    if not address:
        return None
    get = raw.get
    return Endpoint(
        address,
        port,
        bool(node_name) and get("node") == node_name,
        get("ready", True),
        get("serving", True),
        get("terminating", False),
        _names(get("zones")),
        _names(node_hints and get("nodes")),
    )


# One for all: an empty frozenset is larger than the rest of an endpoint.
_NO_NAMES: frozenset[str] = frozenset()


def _names(given: t.Any) -> frozenset[str]:
    return frozenset(given) if given else _NO_NAMES


def categorize(endpoints: t.Sequence[Endpoint], policy: Policy, node: str, zone: str) -> Categorized:
    """The endpoints that this node sends to, for each traffic policy. The terminating ones are a last resort, chosen
    for each policy by itself."""
    ready: t.Sequence[Endpoint] = [one for one in endpoints if one.is_ready]
    last: t.Sequence[Endpoint] = ()
    if len(ready) == len(endpoints):
        ready = endpoints
    else:
        last = [one for one in endpoints if one.is_last_resort]
    cluster: t.Sequence[Endpoint] = ()
    local: t.Sequence[Endpoint] = ()
    if policy.uses_cluster_endpoints:
        cluster = _near(ready, node, zone) or last
    if policy.uses_local_endpoints:
        local = [one for one in ready if one.is_local] or [one for one in last if one.is_local]
    has_any = bool(cluster) or (policy.uses_local_endpoints and bool(ready or last))
    return Categorized(tuple(cluster), tuple(local), has_any)


def _near(ready: t.Sequence[Endpoint], node: str, zone: str) -> t.Sequence[Endpoint]:
    """Hints count only when every ready endpoint has them and one of them names this node (or its zone)."""
    for place, hints_of in ((node, _node_hints), (zone, _zone_hints)):
        if all(map(hints_of, ready)):
            near = [one for one in ready if place in hints_of(one)]
            if near:
                return near
    return ready


def _node_hints(endpoint: Endpoint) -> frozenset[str]:
    return endpoint.nodes


def _zone_hints(endpoint: Endpoint) -> frozenset[str]:
    return endpoint.zones
