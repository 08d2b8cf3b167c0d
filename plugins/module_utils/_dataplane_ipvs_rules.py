# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The iptables rules that kube-proxy writes in ipvs mode, as iptables-save prints them. Pure. Private to this collection.

Sources, equal in 1.34 to 1.37 but for C(--random-fully), which 1.37 always writes and older ones where iptables has it:
C(writeIptablesRules), C(acceptIPVSTraffic) and C(ipsetWithIptablesChain) in C(pkg/proxy/ipvs/proxier.go), the comments in
C(pkg/proxy/ipvs/ipset.go), C(getLocalDetectors) in C(cmd/kube-proxy/app/server_linux.go), C(pkg/proxy/util/localdetector.go).
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import PROTOCOLS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IP_SETS

Object = t.Mapping[str, t.Any]
Place = t.Tuple[str, str]
"""A chain: its table and name."""

MASQUERADE_BIT = 14
OUT_FILTER = ("filter", "KUBE-IPVS-OUT-FILTER")
_FIREWALL, _FROM_NODE = "KUBE-LOAD-BALANCER-FW", "KUBE-LOAD-BALANCER-SOURCE-IP"


class RuleSettings(t.NamedTuple):
    """What of the configuration shapes the rules.

    :param mark: the mark of packets that get a new source
    :param masquerade_all: whether every packet to a ClusterIP gets it
    :param outside: by IP version, the match for packets that come from no pod; a family that is not there has no detector
    """

    mark: int = 1 << MASQUERADE_BIT
    masquerade_all: bool = False
    outside: t.Mapping[int, str] = {}


class Rule(t.NamedTuple):
    """A rule as iptables-save prints it behind C(-A CHAIN).

    :param also: other texts that are as good
    :param required: false where kube-proxy writes it only while a set has members, and this one has none: then it does nothing
    :param uses: the ipsets it matches
    """

    text: str
    also: tuple[str, ...] = ()
    required: bool = True
    uses: tuple[str, ...] = ()


def rule_settings(config: Object, pod_cidrs: t.Sequence[str] = ()) -> RuleSettings:
    """From an effective KubeProxyConfiguration.

    :param pod_cidrs: C(spec.podCIDRs) of the node, needed for C(detectLocalMode) C(NodeCIDR)
    """
    iptables, detect = config.get("iptables") or {}, config.get("detectLocal") or {}
    mode = config.get("detectLocalMode")
    outside: dict[int, str] = {}
    if mode == "BridgeInterface":
        outside = dict.fromkeys((4, 6), f"! -i {detect.get('bridgeInterface')}")
    elif mode == "InterfaceNamePrefix":
        outside = dict.fromkeys((4, 6), f"! -i {detect.get('interfaceNamePrefix')}+")
    elif mode in ("ClusterCIDR", "NodeCIDR"):
        cidrs = str(config.get("clusterCIDR") or "").split(",") if mode == "ClusterCIDR" else pod_cidrs
        for network in map(_network, cidrs):
            if network is not None:
                outside.setdefault(network.version, f"! -s {network}")
    bit = iptables.get("masqueradeBit")
    return RuleSettings(
        1 << (MASQUERADE_BIT if bit is None else int(bit)), bool(iptables.get("masqueradeAll")), outside
    )


def set_name(name: str, family: int) -> str:
    """What a set is called in a family."""
    return name if family == 4 else _NAMES6[name]


def expected_rules(
    family: int, members: t.Mapping[str, t.Collection[str]], settings: RuleSettings
) -> dict[Place, tuple[Rule, ...]]:
    """Every rule of every chain, in kube-proxy's order.

    :param members: of the sets, by their name in the kernel, as C(ipset save) prints them
    """
    rules = _Rules(family, members)
    found = {
        ("nat", "KUBE-SERVICES"): _services(rules, settings),
        ("nat", "KUBE-LOAD-BALANCER"): (
            rules.with_set("KUBE-LOAD-BALANCER-LOCAL", "RETURN"),
            Rule("-j KUBE-MARK-MASQ"),
        ),
        ("nat", "KUBE-NODE-PORT"): _node_ports(rules),
        ("nat", "KUBE-POSTROUTING"): _postrouting(rules, settings.mark),
        ("nat", "KUBE-MARK-MASQ"): (Rule(f"-j MARK --set-xmark {settings.mark:#x}/{settings.mark:#x}"),),
        ("filter", "KUBE-FORWARD"): _forward(settings.mark),
        ("filter", "KUBE-NODE-PORT"): (rules.with_set("KUBE-HEALTH-CHECK-NODE-PORT", "ACCEPT", "dst", always=True),),
        ("filter", "KUBE-PROXY-FIREWALL"): (rules.with_set(_FIREWALL, "KUBE-SOURCE-RANGES-FIREWALL"),),
        ("filter", "KUBE-SOURCE-RANGES-FIREWALL"): (
            rules.with_set("KUBE-LOAD-BALANCER-SOURCE-CIDR", "RETURN", "dst,dst,src"),
            rules.with_set(_FROM_NODE, "RETURN", "dst,dst,src"),
            Rule("-j DROP"),
        ),
        ("filter", "KUBE-IPVS-FILTER"): _filter(rules),
        OUT_FILTER: _out_filter(rules),
    }
    return {place: tuple(chain) for place, chain in found.items()}


_NAMES6 = {one.name: one.name6 for one in IP_SETS}

_COMMENTS = {
    "KUBE-LOOP-BACK": "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
    "KUBE-CLUSTER-IP": "Kubernetes service cluster ip + port for masquerade purpose",
    "KUBE-EXTERNAL-IP": "Kubernetes service external ip + port for masquerade and filter purpose",
    "KUBE-EXTERNAL-IP-LOCAL": "Kubernetes service external ip + port with externalTrafficPolicy=local",
    "KUBE-LOAD-BALANCER": "Kubernetes service lb portal",
    "KUBE-LOAD-BALANCER-LOCAL": "Kubernetes service load balancer ip + port with externalTrafficPolicy=local",
    _FIREWALL: "Kubernetes service load balancer ip + port for load balancer with sourceRange",
    _FROM_NODE: "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
    "KUBE-LOAD-BALANCER-SOURCE-CIDR": "Kubernetes service load balancer ip + port + source cidr for packet filter purpose",
    "KUBE-NODE-PORT-TCP": "Kubernetes nodeport TCP port for masquerade purpose",
    "KUBE-NODE-PORT-LOCAL-TCP": "Kubernetes nodeport TCP port with externalTrafficPolicy=local",
    "KUBE-NODE-PORT-UDP": "Kubernetes nodeport UDP port for masquerade purpose",
    "KUBE-NODE-PORT-LOCAL-UDP": "Kubernetes nodeport UDP port with externalTrafficPolicy=local",
    "KUBE-NODE-PORT-SCTP-HASH": r"Kubernetes nodeport SCTP port for masquerade purpose with type \'hash ip:port\'",
    "KUBE-NODE-PORT-LOCAL-SCTP-HASH": r"Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type \'hash ip:port\'",
    "KUBE-HEALTH-CHECK-NODE-PORT": "Kubernetes health check node port",
}


class _Rules:
    """Writes the rules of one family that match a set."""

    def __init__(self, family: int, members: t.Mapping[str, t.Collection[str]]) -> None:
        self.family = family
        self._members = members

    def members(self, name: str) -> t.Collection[str]:
        return self._members.get(set_name(name, self.family), ())

    def with_set(self, name: str, target: str, match: str = "dst,dst", before: str = "", always: bool = False) -> Rule:
        """With the set's comment; C(before) is what iptables-save puts in front of it."""
        head = f'{before} -m comment --comment "{_COMMENTS[name]}" '.lstrip()
        return self.plain(name, f"{match} -j {target}", head, always)

    def plain(self, name: str, rest: str, head: str = "", always: bool = False) -> Rule:
        """Without a comment."""
        kernel = set_name(name, self.family)
        required = always or bool(self.members(name))
        return Rule(f"{head}-m set --match-set {kernel} {rest}", required=required, uses=(kernel,))


def _services(rules: _Rules, settings: RuleSettings) -> t.Iterator[Rule]:
    yield Rule("-s 127.0.0.0/8 -j RETURN" if rules.family == 4 else "-s ::1/128 -j RETURN")
    yield rules.with_set("KUBE-LOAD-BALANCER", "KUBE-LOAD-BALANCER")
    outside = settings.outside.get(rules.family, "")
    if settings.masquerade_all:
        yield rules.with_set("KUBE-CLUSTER-IP", "KUBE-MARK-MASQ")
    elif outside:
        yield rules.with_set("KUBE-CLUSTER-IP", "KUBE-MARK-MASQ", before=outside)
    else:
        yield rules.with_set("KUBE-CLUSTER-IP", "KUBE-MARK-MASQ", "src,dst")
    yield rules.with_set("KUBE-EXTERNAL-IP", "KUBE-MARK-MASQ")
    for name in ("KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL"):
        off_node = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL"
        yield rules.with_set(name, "ACCEPT", f"dst,dst {off_node}")
        yield rules.with_set(name, "ACCEPT", "dst,dst -m addrtype --dst-type LOCAL")
    yield Rule("-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT")
    for name in ("KUBE-CLUSTER-IP", "KUBE-LOAD-BALANCER"):
        yield rules.plain(name, "dst,dst -j ACCEPT")


def _node_ports(rules: _Rules) -> t.Iterator[Rule]:
    for protocol, suffix, match in (("tcp", "TCP", "dst"), ("udp", "UDP", "dst"), ("sctp", "SCTP-HASH", "dst,dst")):
        before = f"-p {protocol}"
        yield rules.with_set(f"KUBE-NODE-PORT-LOCAL-{suffix}", "RETURN", match, before)
        yield rules.with_set(f"KUBE-NODE-PORT-{suffix}", "KUBE-MARK-MASQ", match, before)


def _postrouting(rules: _Rules, mark: int) -> t.Iterator[Rule]:
    yield rules.with_set("KUBE-LOOP-BACK", "MASQUERADE", "dst,dst,src")
    yield Rule(f"-m mark ! --mark {mark:#x}/{mark:#x} -j RETURN")
    yield Rule(f"-j MARK --set-xmark {mark:#x}/0x0")
    masquerade = '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE'
    yield Rule(f"{masquerade} --random-fully", also=(masquerade,))


def _forward(mark: int) -> t.Iterator[Rule]:
    yield Rule(f'-m comment --comment "kubernetes forwarding rules" -m mark --mark {mark:#x}/{mark:#x} -j ACCEPT')
    yield Rule(
        '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT'
    )


def _filter(rules: _Rules) -> t.Iterator[Rule]:
    for name in ("KUBE-LOAD-BALANCER", "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL"):
        yield rules.plain(name, "dst,dst -j RETURN", always=True)
    yield rules.plain("KUBE-HEALTH-CHECK-NODE-PORT", "dst -j RETURN", always=True)
    how = "icmp-port-unreachable" if rules.family == 4 else "icmp6-port-unreachable"
    head = "-m conntrack --ctstate NEW "
    yield rules.plain("KUBE-IPVS-IPS", f"dst -j REJECT --reject-with {how}", head, always=True)


def _out_filter(rules: _Rules) -> t.Iterator[Rule]:
    """The node itself may not connect to a load balancer's address whose source ranges do not contain it."""
    allowed = {text.rpartition(",")[0] for text in rules.members(_FROM_NODE)}
    length = 32 if rules.family == 4 else 128
    for text in rules.members(_FIREWALL):
        address, _comma, rest = text.partition(",")
        protocol, _colon, port = rest.partition(":")
        if text not in allowed:
            number = PROTOCOLS.get(protocol, protocol)
            match = f"-m ipvs --vproto {number} --vaddr {address} --vport {port}"
            yield Rule(f"-s {address}/{length} {match} -j DROP")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None
