# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses of a node as kube-proxy looks at them. Pure. Private to this collection.

Sources, in kube-proxy 1.34 to 1.37: C(GetAllLocalAddressesExcept) in C(pkg/proxy/ipvs/netlink_linux.go),
C(NodePortAddresses) in C(pkg/proxy/util/nodeport_addresses.go), C(detectNodeIPs) and C(expandNodePortAddressKeywords)
in C(cmd/kube-proxy/app/server.go), C(GetNodeHostIPs) in C(pkg/util/node/node.go).
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import Address, parse_ip

Object = t.Mapping[str, t.Any]
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

DUMMY = "kube-ipvs0"
_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
_LOCALHOST = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True)
class NodeAddresses:
    """C(own) is every address outside kube-ipvs0, C(bound) those on it. In the kernel's order, all families."""

    own: tuple[Address, ...]
    bound: tuple[Address, ...]


def parse_addresses(links: t.Any) -> NodeAddresses:
    """The addresses in the output of C(ip -j address show). Raises C(InvalidInput) for anything else."""
    own: list[Address] = []
    bound: list[Address] = []
    if not isinstance(links, (list, tuple)):
        raise _not_links()
    for link in links:
        if not isinstance(link, t.Mapping):
            raise _not_links()
        for info in link.get("addr_info") or ():
            address = parse_ip(str(info.get("local") or ""))
            if address:
                (bound if link.get("ifname") == DUMMY else own).append(address)
    return NodeAddresses(tuple(own), tuple(bound))


def local_addresses(addresses: NodeAddresses, family: int) -> list[Address]:
    """What the ipvs proxier calls the node's addresses: neither loopback nor IPv6 link-local, not those on kube-ipvs0.
    An address that is on kube-ipvs0 and on another device counts."""
    mine = (one for one in addresses.own if one.version == family)
    kept = [one for one in mine if not one.is_loopback and not (family == 6 and one.is_link_local)]
    return list(dict.fromkeys(kept))


def node_port_addresses(
    addresses: NodeAddresses, family: int, config: Object, node_ips: t.Mapping[int, Address]
) -> list[Address]:
    """The addresses of the ipvs proxier's NodePort virtual servers.

    Without restriction those of C(local_addresses); inside networks given by C(nodePortAddresses) every address but
    loopback, those on kube-ipvs0 included.
    """
    networks = _networks(config.get("nodePortAddresses") or (), family, node_ips)
    if any(network.prefixlen == 0 for network in networks):
        return local_addresses(addresses, family)
    everywhere = dict.fromkeys([*addresses.own, *addresses.bound])
    return [one for one in everywhere if not one.is_loopback and any(_is_in(one, network) for network in networks)]


def node_ips(node: Object, bind_address: str) -> dict[int, Address]:
    """kube-proxy's own idea of the node's address in each family: C(bindAddress), else the Node's, InternalIPs first."""
    ordered = [
        parse_ip(one.get("address") or "")
        for kind in ("InternalIP", "ExternalIP")
        for one in node.get("addresses") or ()
        if one.get("type") == kind
    ]
    found: dict[int, Address] = {}
    for address in ordered:
        if address:
            found.setdefault(address.version, address)
    bound = parse_ip(bind_address)
    if bound and not bound.is_unspecified:
        found[bound.version] = bound
    return found


def _networks(given: t.Iterable[str], family: int, node_ips_: t.Mapping[int, Address]) -> list[Network]:
    networks = [ipaddress.ip_network(text, strict=False) for item in given for text in _expand(item, node_ips_)]
    mine = [network for network in networks if network.version == family]
    # A list without this family does not restrict it.
    return mine or [ipaddress.ip_network(_EVERYTHING[family])]


def _expand(item: str, node_ips_: t.Mapping[int, Address]) -> t.Iterable[str]:
    if item == "primary":
        return [str(address) for address in node_ips_.values() if not address.is_loopback]
    if item == "localhost":
        return _LOCALHOST
    return _EVERYTHING.values() if item == "all" else [item]


def _is_in(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


def _not_links() -> InvalidInput:
    return InvalidInput(
        "These are not the addresses of a node",
        remedy="Hand over the list that 'ip -j address show' prints, read as JSON.",
    )
