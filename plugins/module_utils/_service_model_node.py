# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node and its addresses as kube-proxy looks at them. Pure. Private to this collection.

Sources, in kube-proxy 1.31 to 1.37: C(GetAllLocalAddressesExcept) in C(pkg/proxy/ipvs/netlink_linux.go),
C(NodePortAddresses) in C(pkg/proxy/util/nodeport_addresses.go), C(detectNodeIPs) and C(expandNodePortAddressKeywords)
in C(cmd/kube-proxy/app/server.go), C(getLocalDetectors) and C(platformCheckSupported) in C(server_linux.go) beside it,
C(GetNodeHostIPs) in C(pkg/util/node/node.go).
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field, replace
from functools import cached_property

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import config_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import Release, parse_release
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import NodeView, node_view
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import Address, parse_ip

Object = t.Mapping[str, t.Any]
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

DUMMY = "kube-ipvs0"
_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
_LOCALHOST = ("127.0.0.0/8", "::1/128")
_LOOPBACK = {4: ipaddress.ip_address("127.0.0.1"), 6: ipaddress.ip_address("::1")}
_ASKS_FOR_IPV6 = Release(1, 36)


@dataclass(frozen=True)
class NodeAddresses:
    """C(own) is every address outside kube-ipvs0, C(bound) those on it. In the kernel's order, all families.

    :param without_ipv6: C(net.ipv6.conf.all.disable_ipv6) is set. Links may have addresses all the same (Docker's containers do).
    """

    own: tuple[Address, ...]
    bound: tuple[Address, ...]
    without_ipv6: bool = False


@dataclass(frozen=True)
class Node:
    """The node whose kernel is looked at, and the configuration its kube-proxy reads.

    :param config: with the defaults of kube-proxy filled in
    :param written: the same as it was written
    :param pod_cidrs: of the Node object
    :param families: those that kube-proxy serves
    """

    view: NodeView
    addresses: NodeAddresses
    node_ips: t.Mapping[int, Address]
    config: dict[str, t.Any]
    written: Object = field(default_factory=dict)
    pod_cidrs: tuple[str, ...] = ()
    families: tuple[int, ...] = (4, 6)

    def node_ip(self, family: int) -> Address:
        """Where kube-proxy does not know the node's address, it takes loopback."""
        return self.node_ips.get(family, _LOOPBACK[family])

    def tells_pods(self, family: int) -> bool:
        """Whether kube-proxy can tell a pod's packets from others' (C(IsImplemented) of the local detector)."""
        mode = self.config["detectLocalMode"]
        if mode in ("BridgeInterface", "InterfaceNamePrefix"):
            return True
        networks = {"ClusterCIDR": str(self.config["clusterCIDR"]).split(","), "NodeCIDR": self.pod_cidrs}
        return any(_family_of(text.strip()) == family for text in networks.get(mode, ()))

    @cached_property
    def virtual_server_addresses(self) -> dict[int, tuple[str, ...]]:
        """Of each family what C(node_port_addresses) says."""
        return {
            family: tuple(map(str, node_port_addresses(self.addresses, family, self.config, self.node_ips)))
            for family in (4, 6)
        }

    def in_mode(self, mode: str) -> Node:
        """The same with the defaults that the configuration has in this mode, whichever it names."""
        return replace(self, config=effective({**self.written, "mode": mode}))


def node_of(state: Object, name: str, links: t.Any) -> Node:
    """The node by its name in the API, with its addresses from C(ip -j address show)."""
    return node_with(state, name, parse_addresses(links))


def node_with(state: Object, name: str, addresses: NodeAddresses) -> Node:
    """The node by its name in the API.

    :param addresses: those of loopback among them
    :raises InvalidInput: when the API has no such node, or the state no configuration of kube-proxy
    """
    written = config_of(state, name)
    if written is None:
        raise InvalidInput(
            f"The state of the cluster holds no kube-proxy configuration for node {name}",
            remedy="See config_problem in what cluster_services_info returned.",
        )
    config = effective(written)
    raw: Object = next((one for one in state["nodes"] if one["name"] == name), {})
    return Node(
        node_view(state, name),
        addresses,
        node_ips(raw, config["bindAddress"]),
        config,
        written,
        tuple(raw.get("podCIDRs") or ()),
        _families(addresses, parse_release(state.get("release") or "")),
    )


def _families(addresses: NodeAddresses, release: Release | None) -> tuple[int, ...]:
    """A kernel that has IPv6 on has an address of it, if only C(::1). Before 1.36 kube-proxy did not ask whether IPv6
    is switched off (C(disable_ipv6)), only whether the kernel knows it: then its rules are there without any address."""
    known = any(one.version == 6 for one in (*addresses.own, *addresses.bound))
    has_ipv6 = known and not addresses.without_ipv6
    return (4,) if not has_ipv6 and (release is None or release >= _ASKS_FOR_IPV6) else (4, 6)


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
    chosen = chosen_addresses(addresses, family, config, node_ips)
    if chosen is None:
        return local_addresses(addresses, family)
    return [one for one in chosen if not one.is_loopback]


def chosen_addresses(
    addresses: NodeAddresses, family: int, config: Object, node_ips: t.Mapping[int, Address]
) -> list[Address] | None:
    """The node's addresses inside C(nodePortAddresses), loopback too; None when those are everything (C(MatchAll))."""
    networks = _networks(config.get("nodePortAddresses") or (), family, node_ips)
    if any(network.prefixlen == 0 for network in networks):
        return None
    everywhere = dict.fromkeys([*addresses.own, *addresses.bound])
    return [one for one in everywhere if any(_is_in(one, network) for network in networks)]


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
    networks = [_network(text) for item in given for text in _expand(item, node_ips_)]
    mine = [network for network in networks if network.version == family]
    # A list without this family does not restrict it.
    return mine or [ipaddress.ip_network(_EVERYTHING[family])]


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidInput(
            "nodePortAddresses in kube-proxy's configuration must be networks such as 10.0.0.0/8",
            f"{text!r} is none",
            "Correct it with netops.kube_proxy.kube_proxy_mode: kube-proxy does not start with it.",
        ) from error


def _expand(item: str, node_ips_: t.Mapping[int, Address]) -> t.Iterable[str]:
    if item == "primary":
        return [str(address) for address in node_ips_.values() if not address.is_loopback]
    if item == "localhost":
        return _LOCALHOST
    return _EVERYTHING.values() if item == "all" else [item]


def _family_of(text: str) -> int:
    try:
        return ipaddress.ip_network(text, strict=False).version
    except ValueError:
        return 0


def _is_in(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


def _not_links() -> InvalidInput:
    return InvalidInput(
        "These are not the addresses of a node",
        remedy="Hand over the list that 'ip -j address show' prints, read as JSON.",
    )
