# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose an object in the kernel is. Pure; private to this collection.

By exact names, shapes and types; where these do not tell, the owner is unknown. Sources, read in 1.37: the constants of
pkg/proxy/nftables/proxier.go and C(hashAndTruncate) there, pkg/proxy/ipvs/ipset.go, C(CanUseIPVSProxier) in pkg/proxy/ipvs.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import (
    FOREIGN,
    KUBE_PROXY,
    Device,
    Ownership,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import same_rule
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    MASQUERADE,
    VirtualServer,
    address_text,
    endpoint,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import (
    IP_SETS,
    IPTABLES,
    IPVS,
    IPVS_DEVICE,
    NFT_TABLES,
    NFTABLES,
    jumps_to,
    owner_of,
    shape_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import SERVICE_CHAIN_PATTERN

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState

_UNKNOWN = Ownership(None)
_FOREIGN = Ownership(FOREIGN)
_IPVS = Ownership(KUBE_PROXY, (IPVS,))
_NFTABLES = Ownership(KUBE_PROXY, (NFTABLES,))

# Made by 1.23 and older, and in none of the lists by which later releases clean up.
_RETIRED = "KUBE-XLB-"
# Nearly all chains of a busy node. C(shape_of) says the same of them, but remembers each name and then looks for what retired.
_SERVICE_CHAIN = re.compile(f"(?!{_RETIRED}){SERVICE_CHAIN_PATTERN}").fullmatch
OF_A_SERVICE = Ownership(KUBE_PROXY, (IPTABLES,))

_SET_OWNERS = (
    ("Calico", re.compile("cali[46]0.+")),
    ("kube-router or k3s (network policy)", re.compile("(?:inet6:)?KUBE-(?:SRC|DST)-[A-Z2-7]{16}")),
)
_SETS = {
    **{(one.name, one.type, "ipv4"): one for one in IP_SETS},
    **{(one.name6, one.type, "ipv6"): one for one in IP_SETS},
}

_SERVICE = "[A-Z2-7]{8}-[a-z0-9-]+/[a-z0-9-]+/(?:tcp|udp|sctp)/[a-z0-9-]*"
_ENDPOINT = rf"{_SERVICE}__[0-9a-f.]+/[0-9]+"
_PROTOCOL = "(?:tcp|udp|sctp)"
# C(mark-for-masquerade) was there until 1.35, C(hairpin-connections) came with 1.36, C(localhost-nodeport-...) with 1.37.
_NFT_NAMES = {
    "nft_chain": (
        "filter-(?:prerouting|output)-pre-dnat|filter-(?:input|forward|output)|nat-(?:prerouting|output|postrouting)"
        "|services|(?:service|nodeport)-endpoints-check|reject-chain|cluster-ips-check|firewall-check|masquerading"
        f"|mark-for-masquerade|localhost-nodeport-reject-{_PROTOCOL}"
        f"|(?:service|local|external|firewall)-{_SERVICE}|endpoint-{_ENDPOINT}"
    ),
    "nft_set": f"nodeport-ips|cluster-ips|hairpin-connections|affinity-{_ENDPOINT}",
    "nft_map": "service-ips|service-nodeports|no-endpoint-(?:services|nodeports)|firewall-ips|localhost-nodeport-reject-ports",
    "nft_counter": f"localhost-nodeport-rejected-{_PROTOCOL}",
}
_NFT_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _NFT_NAMES.items()}

# iptables-nft keeps its tables under these names: what is in them is listed as iptables chains.
_IPTABLES_TABLES = ("filter", "nat", "mangle", "raw", "security")

# Made by kube-proxy when it starts in ipvs mode, to see whether the kernel has the scheduler, and removed at once.
_PROBE = ("198.51.100.0", 20000)


def chain_owner(table: str, name: str) -> Ownership:
    """Whose an iptables chain is. A user's C(KUBE-SVC-FOO) is not kube-proxy's."""
    if table == "nat" and _SERVICE_CHAIN(name):
        return OF_A_SERVICE
    shape = shape_of(table, name)
    if shape is not None:
        return Ownership(KUBE_PROXY, shape.modes, name.startswith(_RETIRED))
    return Ownership(owner_of(table, name) or FOREIGN)


def jump_owner(table: str, source: str, target: str, spec: str) -> Ownership:
    """Whose a rule in a built-in chain is that leads to one of kube-proxy's chains."""
    found = [jump for jump in jumps_to(table, target) if jump.source == source and same_rule(jump.spec, spec)]
    if not found:
        return _FOREIGN
    modes = tuple(dict.fromkeys(mode for jump in found for mode in jump.modes))
    return Ownership(KUBE_PROXY, modes, all(jump.until for jump in found))


def ipset_owner(ipset: IpSetState) -> Ownership:
    """Whose an ipset is: kube-proxy's has a name, a type and a family that fit together."""
    for family in (ipset.family,) if ipset.family else ("ipv4", "ipv6"):
        found = _SETS.get((ipset.name, ipset.type, family))
        if found is not None:
            return Ownership(KUBE_PROXY, (IPVS,), bool(found.until))
    known = next((name for name, pattern in _SET_OWNERS if pattern.fullmatch(ipset.name)), FOREIGN)
    return Ownership(known)


def is_iptables_table(family: str, name: str) -> bool:
    """Whether a table of nftables is one in which iptables-nft keeps its chains."""
    return family in ("ip", "ip6") and name in _IPTABLES_TABLES


def nft_table_owner(family: str, name: str) -> Ownership:
    """Whose a table of nftables is."""
    return _NFTABLES if (family, name) in NFT_TABLES else _FOREIGN


def nft_owner(kind: str, name: str) -> Ownership:
    """Whose an object in kube-proxy's own table is: that of a later release, or somebody's in the wrong place, is unknown."""
    return _NFTABLES if _NFT_PATTERNS[kind].fullmatch(name) else _UNKNOWN


def device_owner(device: Device) -> Ownership:
    """Whose the device C(kube-ipvs0) is. Its addresses have the same owner."""
    return _IPVS if (device.name, device.kind) == (IPVS_DEVICE, "dummy") else _FOREIGN


def server_owner(
    server: VirtualServer, device: Device | None, node_addresses: t.Collection[str], node_ports: range | None
) -> Ownership:
    """Whose a virtual server is, as far as the node alone tells: which Services there are, only the API knows.

    With its device there, kube-proxy's are those whose address is on it, and those of NodePorts on the node's own
    addresses. Without it (removed by hand, or a mode that is being left) any that looks like kube-proxy's may be.

    :param node_ports: the API server's range of NodePorts; None when it was not given
    """
    address, port = address_text(server.key.address) if server.key.address else "", server.key.port
    ours = device is not None and device_owner(device) == _IPVS
    if ours and device and address in device.addresses:
        return _IPVS
    if (address, port) == _PROBE and not server.real_servers:
        return Ownership(KUBE_PROXY, (IPVS,), retired=True)
    if not _looks_like_kube_proxys(server) or (ours and address not in node_addresses):
        return _FOREIGN
    if node_ports is not None and port in node_ports and address in node_addresses:
        return _IPVS
    return _UNKNOWN


def _looks_like_kube_proxys(server: VirtualServer) -> bool:
    """No firewall mark, and real servers that are masqueraded, of weight 1 (0 while they drain)."""
    return not server.key.fwmark and all(
        real.forward_method == MASQUERADE and real.weight in (0, 1) for real in server.real_servers
    )


def server_name(server: VirtualServer) -> str:
    """C(10.96.0.1:443), or the firewall mark."""
    key = server.key
    return f"fwmark {key.fwmark}" if key.fwmark else endpoint(key.address, key.port)
