# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy and its neighbours leave on a node, and whose it is. Private to this collection.

Exact names and shapes only: a name that merely begins with C(KUBE-) says nothing about its owner (kubelet and
kube-router use that prefix too). Sources, read in releases 1.34 to 1.37: C(iptablesJumpChains) and C(cleanup.go) in
pkg/proxy/iptables, C(iptablesJumpChain), C(iptablesCleanupChains) and ipset.go in pkg/proxy/ipvs,
pkg/kubelet/kubelet_network_linux.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import SERVICE_CHAIN_PATTERN

IPTABLES = "iptables"
IPVS = "ipvs"
NFTABLES = "nftables"
NONE = "none"

MODES = (IPTABLES, IPVS, NFTABLES)

CHAIN_MODES = (IPTABLES, IPVS)
"""The modes that write iptables chains."""

TABLES = ("filter", "nat", "mangle")
"""The iptables tables in which kube-proxy or kubelet have chains."""

BUILTIN_CHAINS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


@dataclass(frozen=True)
class ChainShape:
    """A chain, or a family of chains of one shape, that kube-proxy writes in some of its modes (in both address families).

    C(pattern) is a regular expression for the whole name. C(needs) are chains of the same table without which the chain
    has no effect although no rule of it names them. C(canary): kube-proxy takes its absence as the sign that somebody
    flushed the tables, and writes them all again; so nobody else may make it.
    """

    table: str
    pattern: str
    modes: tuple[str, ...]
    per_service: bool = False
    needs: tuple[str, ...] = ()
    canary: bool = False

    def matches(self, table: str, name: str) -> bool:
        return table == self.table and re.fullmatch(self.pattern, name) is not None


@dataclass(frozen=True)
class Jump:
    """A rule by which kube-proxy hangs one of its chains into a built-in chain.

    C(new_only): for connections of state NEW only. C(until): the last release that made it; empty means today's.
    """

    table: str
    source: str
    chain: str
    comment: str
    modes: tuple[str, ...]
    new_only: bool = False
    until: str = ""

    @property
    def spec(self) -> str:
        """The rule as iptables-save prints it, without C(-A) and the chain it stands in."""
        state = "-m conntrack --ctstate NEW " if self.new_only else ""
        return f'{state}-m comment --comment "{self.comment}" -j {self.chain}'


@dataclass(frozen=True)
class IpSet:
    """An ipset of ipvs mode. C(name6) is the name in the IPv6 family: C(KUBE-6-...), cut at 31 characters."""

    name: str
    type: str
    until: str = ""

    @property
    def name6(self) -> str:
        return self.name.replace("KUBE-", "KUBE-6-", 1)[:31]


@dataclass(frozen=True)
class Owner:
    """Somebody else on the node, and the chains that are theirs: never touched. C(tables) empty means any table."""

    name: str
    pattern: str
    tables: tuple[str, ...] = ()


_BOTH = (IPTABLES, IPVS)

CHAINS: tuple[ChainShape, ...] = (
    ChainShape("nat", SERVICE_CHAIN_PATTERN, (IPTABLES,), per_service=True),
    ChainShape("nat", "KUBE-NODEPORTS", (IPTABLES,)),
    ChainShape("filter", "KUBE-NODEPORTS", (IPTABLES,)),
    ChainShape("filter", "KUBE-SERVICES", (IPTABLES,)),
    ChainShape("filter", "KUBE-EXTERNAL-SERVICES", (IPTABLES,)),
    ChainShape("nat", "KUBE-PROXY-CANARY", (IPTABLES,), canary=True),
    ChainShape("filter", "KUBE-PROXY-CANARY", (IPTABLES,), canary=True),
    ChainShape("mangle", "KUBE-PROXY-CANARY", (IPTABLES,), canary=True),
    ChainShape("nat", "KUBE-NODE-PORT", (IPVS,)),
    ChainShape("nat", "KUBE-LOAD-BALANCER", (IPVS,)),
    ChainShape("filter", "KUBE-NODE-PORT", (IPVS,)),
    ChainShape("filter", "KUBE-SOURCE-RANGES-FIREWALL", (IPVS,)),
    ChainShape("filter", "KUBE-IPVS-FILTER", (IPVS,)),
    ChainShape("filter", "KUBE-IPVS-OUT-FILTER", (IPVS,)),
    ChainShape("nat", "KUBE-SERVICES", _BOTH),
    ChainShape("nat", "KUBE-POSTROUTING", _BOTH),
    ChainShape("nat", "KUBE-MARK-MASQ", _BOTH, needs=("KUBE-POSTROUTING",)),
    ChainShape("filter", "KUBE-FORWARD", _BOTH),
    ChainShape("filter", "KUBE-PROXY-FIREWALL", _BOTH),
)

_PORTALS = "kubernetes service portals"
_EXTERNAL = "kubernetes externally-visible service portals"
_LB_FIREWALL = "kubernetes load balancer firewall"

JUMPS: tuple[Jump, ...] = (
    Jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", _EXTERNAL, (IPTABLES,), new_only=True),
    Jump("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", _EXTERNAL, (IPTABLES,), new_only=True),
    Jump("filter", "INPUT", "KUBE-NODEPORTS", "kubernetes health check service ports", (IPTABLES,)),
    Jump("filter", "FORWARD", "KUBE-SERVICES", _PORTALS, (IPTABLES,), new_only=True),
    Jump("filter", "OUTPUT", "KUBE-SERVICES", _PORTALS, (IPTABLES,), new_only=True),
    Jump("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules", _BOTH),
    Jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", _LB_FIREWALL, (IPTABLES,), new_only=True),
    Jump("filter", "OUTPUT", "KUBE-PROXY-FIREWALL", _LB_FIREWALL, (IPTABLES,), new_only=True),
    Jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", _LB_FIREWALL, (IPTABLES,), new_only=True),
    Jump("nat", "OUTPUT", "KUBE-SERVICES", _PORTALS, _BOTH),
    Jump("nat", "PREROUTING", "KUBE-SERVICES", _PORTALS, _BOTH),
    Jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules", _BOTH),
    Jump("filter", "INPUT", "KUBE-NODE-PORT", "kubernetes health check rules", (IPVS,)),
    Jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules", (IPVS,)),
    Jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules", (IPVS,)),
    Jump("filter", "INPUT", "KUBE-IPVS-FILTER", "kubernetes ipvs access filter", (IPVS,)),
    Jump("filter", "OUTPUT", "KUBE-IPVS-OUT-FILTER", "kubernetes ipvs access filter", (IPVS,)),
    # Only ever removed: what CleanupLeftovers of later releases still looked for (iptablesCleanupOnlyChains).
    Jump("filter", "INPUT", "KUBE-SERVICES", _PORTALS, (IPTABLES,), new_only=True, until="1.19"),
    Jump("filter", "INPUT", "KUBE-SERVICES", _PORTALS, (IPTABLES,), until="1.9"),
    Jump("filter", "OUTPUT", "KUBE-SERVICES", _PORTALS, (IPTABLES,), until="1.9"),
)

IP_SETS: tuple[IpSet, ...] = (
    IpSet("KUBE-LOOP-BACK", "hash:ip,port,ip"),
    IpSet("KUBE-CLUSTER-IP", "hash:ip,port"),
    IpSet("KUBE-EXTERNAL-IP", "hash:ip,port"),
    IpSet("KUBE-EXTERNAL-IP-LOCAL", "hash:ip,port"),
    IpSet("KUBE-LOAD-BALANCER", "hash:ip,port"),
    IpSet("KUBE-LOAD-BALANCER-LOCAL", "hash:ip,port"),
    IpSet("KUBE-LOAD-BALANCER-FW", "hash:ip,port"),
    IpSet("KUBE-LOAD-BALANCER-SOURCE-CIDR", "hash:ip,port,net"),
    IpSet("KUBE-LOAD-BALANCER-SOURCE-IP", "hash:ip,port,ip"),
    IpSet("KUBE-NODE-PORT-TCP", "bitmap:port"),
    IpSet("KUBE-NODE-PORT-LOCAL-TCP", "bitmap:port"),
    IpSet("KUBE-NODE-PORT-UDP", "bitmap:port"),
    IpSet("KUBE-NODE-PORT-LOCAL-UDP", "bitmap:port"),
    IpSet("KUBE-NODE-PORT-SCTP-HASH", "hash:ip,port"),
    IpSet("KUBE-NODE-PORT-LOCAL-SCTP-HASH", "hash:ip,port"),
    IpSet("KUBE-HEALTH-CHECK-NODE-PORT", "bitmap:port"),
    IpSet("KUBE-IPVS-IPS", "hash:ip"),
    IpSet("KUBE-NODE-PORT-SCTP", "bitmap:port", until="1.14"),
    IpSet("KUBE-NODE-PORT-LOCAL-SCTP", "bitmap:port", until="1.14"),
)

IPVS_DEVICE = "kube-ipvs0"
"""Dummy device of ipvs mode: holds every address of a Service."""

NFT_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))
BRIDGE_TABLE = "netops-kube-proxy-bridge"
"""This collection's own, in both families."""
"""Tables of nftables mode: address family and name."""

USERSPACE = "kube-proxy's userspace mode (gone since 1.26), or EdgeMesh or OpenShift's SDN, which use its names"
"""Owner of chains whose names and jumps do not tell which of them is at work: never to be touched."""

OWNERS: tuple[Owner, ...] = (
    Owner("kubelet", "KUBE-FIREWALL|KUBE-IPTABLES-HINT|KUBE-KUBELET-CANARY|KUBE-MARK-DROP"),
    Owner(
        "kube-router or k3s (network policy)",
        "KUBE-ROUTER-(?:INPUT|FORWARD|OUTPUT|SERVICES)|KUBE-POD-FW-.*|KUBE-NWPLCY-.*",
    ),
    Owner(
        USERSPACE,
        "KUBE-PORTALS-(?:CONTAINER|HOST)|KUBE-NODEPORT-(?:CONTAINER|HOST|NON-LOCAL)",
    ),
    Owner("the CNI plugin portmap", "CNI-.*"),
    Owner("Calico", "cali-.*"),
    Owner("Cilium", "(?:OLD_)?CILIUM_.*"),
    Owner("Flannel", "FLANNEL-.*"),
    Owner("Docker", "DOCKER.*"),
    Owner("the AWS VPC CNI", "AWS-.*"),
    Owner("Antrea", "ANTREA-.*"),
    Owner("ip-masq-agent", "IP-MASQ.*"),
)


@lru_cache(maxsize=None)
def shape_of(table: str, name: str) -> ChainShape | None:
    """The shape that a chain of this name in this table has, or None when it is not kube-proxy's."""
    return next((shape for shape in CHAINS if shape.matches(table, name)), None)


def fixed_chains(mode: str) -> tuple[tuple[str, str], ...]:
    """Table and name of the chains that a mode always has: all but those of single Services, and the canaries."""
    shapes = (shape for shape in CHAINS if mode in shape.modes and not shape.per_service and not shape.canary)
    return tuple((shape.table, shape.pattern) for shape in shapes)


def jumps_to(table: str, chain: str) -> tuple[Jump, ...]:
    """Every jump to a chain that some mode of some release has made."""
    return tuple(jump for jump in JUMPS if jump.table == table and jump.chain == chain)


def owner_of(table: str, name: str) -> str:
    """Whose chain this is, in words; empty when unknown."""
    if name in BUILTIN_CHAINS:
        return "the kernel (a built-in chain)"
    shape = shape_of(table, name)
    if shape is not None:
        return "kube-proxy in " + " and ".join(shape.modes) + " mode"
    found = (o for o in OWNERS if re.fullmatch(o.pattern, name) and (not o.tables or table in o.tables))
    return next((owner.name for owner in found), "")
