# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the bridge's tables whatever Services there are, as text for C(nft -f). Pure. Private to this collection.

Source: C(nftablesBaseChains), C(nftablesJumpChains) and C(setupNFTables) in C(pkg/proxy/nftables/proxier.go) of 1.37.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_expected import AHEAD
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected_policy import LOCAL_EXCEPT_LOOPBACK
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    MASQUERADE_ALL,
    MASQUERADE_OUTSIDE,
    Part,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import VERDICT_MAPS

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_expected import Bridge

_BASES = (
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110, ("firewall-check",)),
    ("filter-output-pre-dnat", "filter", "output", -110, ("firewall-check",)),
    ("filter-input", "filter", "input", 0, ("nodeport-endpoints-check", "service-endpoints-check")),
    ("filter-forward", "filter", "forward", 0, ("service-endpoints-check", "cluster-ips-check")),
    ("filter-output", "filter", "output", 0, ("service-endpoints-check", "cluster-ips-check")),
    ("nat-prerouting", "nat", "prerouting", -100, ("services",)),
    ("nat-output", "nat", "output", -100, ("services",)),
    ("nat-postrouting", "nat", "postrouting", 100, ("masquerading",)),
)
_CHAINS = (
    *("services", "masquerading", "firewall-check", "service-endpoints-check", "nodeport-endpoints-check"),
    *("cluster-ips-check", "reject-chain"),
)
_LOOPBACK = {4: "127.0.0.0/8", 6: "::1"}


class Stock(t.NamedTuple):
    """Chains, sets and maps as C(add) takes them, the table's name left out, and rules with their chain in front.

    :param node_port_addresses: the elements of the set that NodePorts are told by, if there is one
    """

    places: list[str]
    rules: list[str]
    node_port_addresses: tuple[str, ...]


def words(family: int) -> tuple[str, str]:
    """nft's words for a family and for its addresses."""
    return ("ip6", "ipv6_addr") if family == 6 else ("ip", "ipv4_addr")


def stock(bridge: Bridge, family: int, mark: str) -> Stock:
    """Of one family.

    :param mark: the statement that has a packet masqueraded
    """
    (ip, addr), bit = words(family), f"{bridge.settings.mark:#x}"
    places = [
        *(
            f"chain {name} {{ type {kind} hook {hook} priority {priority - AHEAD} ; }}"
            for name, kind, hook, priority, _jumps in _BASES
        ),
        *(f"chain {name}" for name in _CHAINS),
        *(f"map {name} {{ type {kind.format(addr=addr)} : verdict ; }}" for name, kind in VERDICT_MAPS.items()),
        f"set cluster-ips {{ type {addr} ; }}",
        f"set hairpin-connections {{ type {addr} . {addr} . inet_proto . inet_service ; }}",
    ]
    members = bridge.plane.parts.get(Part("node_port_addresses", family), {})
    if LOCAL_EXCEPT_LOOPBACK in members:
        elsewhere = "" if bridge.settings.loopback else f"{ip} daddr != {_LOOPBACK[family]} "
        node_ports, refused, members = f"fib daddr type local {elsewhere}", elsewhere, {}
    else:
        node_ports = refused = f"{ip} daddr @nodeport-ips "
        places.append(f"set nodeport-ips {{ type {addr} ; }}")
    ports, addressed = "meta l4proto . th dport", f"{ip} daddr . meta l4proto . th dport"
    looped = f"{ip} saddr . {ip} daddr . meta l4proto . th dport @hairpin-connections"
    rules = [
        *_jumps(),
        *(f"services {ip} daddr @cluster-ips {whose}{mark}" for whose in _marked_cluster_ips(bridge, family)),
        f"services {addressed} vmap @service-ips",
        f"services {node_ports}{ports} vmap @service-nodeports",
        f"firewall-check {addressed} vmap @firewall-ips",
        f"service-endpoints-check {addressed} vmap @no-endpoint-services",
        f"nodeport-endpoints-check {refused}{ports} vmap @no-endpoint-nodeports",
        f"cluster-ips-check {ip} daddr @cluster-ips reject",
        "reject-chain reject",
        f"masquerading mark and {bit} != 0 mark set mark xor {bit} masquerade fully-random",
        f"masquerading ct status dnat {looped} masquerade fully-random",
    ]
    return Stock(places, rules, tuple(members))


def _jumps() -> t.Iterator[str]:
    for name, kind, _hook, _priority, chains in _BASES:
        state = "ct state new " if kind == "filter" else ""
        yield from (f"{name} {state}jump {chain}" for chain in chains)


def _marked_cluster_ips(bridge: Bridge, family: int) -> t.Iterator[str]:
    """Whose packets to ClusterIPs are masqueraded, as a match."""
    inside = (one for one in bridge.plane.entries.values() if one.source == "cluster_ip" and one.key[0] == family)
    whose = {one.masquerade for one in inside}
    pods = (bridge.settings.pods or {}).get(family, "")
    if MASQUERADE_ALL in whose:
        yield ""
    elif MASQUERADE_OUTSIDE in whose and pods:
        what, _space, value = pods.rpartition(" ")
        yield f"{what} != {value} "
