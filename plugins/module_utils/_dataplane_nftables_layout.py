# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of the layouts of kube-proxy 1.31 to 1.37 its nftables table has, if any. Pure. Private to this collection.

Source: C(nftablesBaseChains), C(nftablesJumpChains) and C(setupNFTables) in C(pkg/proxy/nftables/proxier.go) of 1.31, 1.33,
1.34, 1.35, 1.36 and 1.37. A kube-proxy that finds the table of another release leaves what it does not know: base chains
of 1.31, C(mark-for-masquerade) of 1.35, C(hairpin-connections) of 1.36. So nothing is told by what is there but unused.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_rules import (
    MASQUERADE_BIT,
    rule_settings,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    MASQUERADE_ALL,
    MASQUERADE_NONE,
    MASQUERADE_OUTSIDE,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_rules import (
    Rule,
    mark_of,
    parse_rules,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import NftTable


class Settings(t.NamedTuple):
    """What of the configuration shapes the rules.

    :param mark: the mark of packets that get a new source; None: whichever the rules take off
    :param masquerade_all: whether every packet to a ClusterIP gets one; None: whatever the rules say
    :param pods: by IP version the match for packets of pods (C(ip saddr 10.244.0.0/16), C(meta iifname cali*)); a family that
        is not there has none. None as a whole: whatever most rules say
    :param ahead: how much smaller the priorities are than kube-proxy's, and C(loopback): whether NodePorts answer on loopback
        too. Both are of the bridge, which has kube-proxy's layout otherwise (C(_bridge_render))
    """

    mark: int | None = None
    masquerade_all: bool | None = None
    pods: t.Mapping[int, str] | None = None
    ahead: int = 0
    loopback: bool = False


def settings_of(config: t.Mapping[str, t.Any], pod_cidrs: t.Sequence[str] = ()) -> Settings:
    """From an effective KubeProxyConfiguration.

    :param pod_cidrs: C(spec.podCIDRs) of the node, needed for C(detectLocalMode) C(NodeCIDR)
    """
    nftables = config.get("nftables") or {}
    bit = nftables.get("masqueradeBit")
    pods = {family: _pods(family, match) for family, match in rule_settings(config, pod_cidrs).outside.items()}
    return Settings(1 << (MASQUERADE_BIT if bit is None else int(bit)), bool(nftables.get("masqueradeAll")), pods)


def _pods(family: int, outside: str) -> str:
    """The match for pods from that of iptables for everybody else."""
    option, what = outside.split(" ")[1:3]
    if option == "-i":
        return f"meta iifname {what[:-1]}*" if what.endswith("+") else f"meta iifname {what}"
    whole = "/32" if family == 4 else "/128"
    address = what[: -len(whole)] if what.endswith(whole) else what
    return f"{'ip' if family == 4 else 'ip6'} saddr {address}"


LOCAL_REJECTS = "localhost-nodeport-reject-ports"
LOCAL_REJECT_CHAINS = tuple(f"localhost-nodeport-reject-{protocol}" for protocol in ("tcp", "udp", "sctp"))
"""Of 1.37 with the feature gate KubeProxyNFTablesLocalhostNodePorts."""
MARK_CHAIN = "mark-for-masquerade"
HAIRPINS = "hairpin-connections"
_BASE_CHAINS = (
    *("filter-prerouting-pre-dnat", "filter-output-pre-dnat", "filter-input", "filter-forward", "filter-output"),
    *("filter-prerouting", "filter-output-post-dnat", "nat-prerouting", "nat-output", "nat-postrouting"),
)
_STOCK_CHAINS = frozenset(
    (
        *(*_BASE_CHAINS, *LOCAL_REJECT_CHAINS, MARK_CHAIN, "services", "firewall-check", "service-endpoints-check"),
        *("nodeport-endpoints-check", "cluster-ips-check", "masquerading", "reject-chain"),
    )
)
_SERVICE_CHAIN = re.compile("(?:service|local|external|firewall|endpoint)-.*/.*")
_SETS = frozenset({"cluster-ips", "nodeport-ips", HAIRPINS})
_ADDRESSED, _BY_PORT = "{addr} . inet_proto . inet_service", "inet_proto . inet_service"
VERDICT_MAPS = {
    "service-ips": _ADDRESSED,
    "service-nodeports": _BY_PORT,
    "no-endpoint-services": _ADDRESSED,
    "no-endpoint-nodeports": _BY_PORT,
    "firewall-ips": _ADDRESSED,
}
"""Maps of every release, with the type of their keys."""


class Layout:
    """A table, and which of the known layouts it has."""

    def __init__(self, table: NftTable, settings: Settings) -> None:
        self.table = table
        self.ip = table.family
        self.family = 6 if table.family == "ip6" else 4
        self.rules = {name: parse_rules(one.rules) for name, one in table.chains.items() if name in _STOCK_CHAINS}
        self._masquerade_all = settings.masquerade_all
        self.wanted_mark = settings.mark
        self.ahead, self.loopback = settings.ahead, settings.loopback
        self.mark = self._mark()
        self.pods = None if settings.pods is None else settings.pods.get(self.family, "")
        self.marks_by_jump = self._marks_by_jump()
        """Until 1.35: rules jump to a chain that marks."""
        self.all_node_ports = "nodeport-ips" not in table.sets
        """NodePorts are matched by what the kernel knows as the node's own address."""
        self.cluster_masquerade, self.cluster_pods = self._cluster_masquerade()

    def text(self, chain: str) -> str:
        """The chain for people."""
        return f"{self.ip} {self.table.name} {chain}"

    def evidence(self, chain: str = "") -> str:
        """The command that shows a chain, or the table."""
        where = f"{self.ip} {self.table.name}"
        return f"nft list chain {where} {chain}" if chain in self.table.chains else f"nft list table {where}"

    def _mark(self) -> int | None:
        """As the configuration says where some rule does, else the one that is looked at in the end."""
        seen = [re.search("meta mark and 0x([0-9a-f]+) (?:==|!=) 0", one.text) for one in self._rules("masquerading")]
        marks = [int(one.group(1), 16) for one in seen if one]
        marks += [mark for one in self._rules("services", MARK_CHAIN) for mark in map(mark_of, one.actions) if mark]
        return self.wanted_mark if not marks or self.wanted_mark in marks else marks[0]

    def _rules(self, *chains: str) -> list[Rule]:
        return [rule for name in chains for rule in self.rules.get(name, ())]

    def _marks_by_jump(self) -> bool:
        if MARK_CHAIN not in self.table.chains or HAIRPINS not in self.table.sets:
            return MARK_CHAIN in self.table.chains
        # One of them is left of another release: the later kube-proxy wrote the chain that both write.
        return any(rule.text == "masquerade fully-random" for rule in self._rules("masquerading"))

    def _cluster_masquerade(self) -> tuple[str, str]:
        """From 1.36 on one rule for all ClusterIPs: whose packets it marks, and how it tells those of pods."""
        for rule in self._rules("services"):
            if rule.matches[:1] == (f"{self.ip} daddr @cluster-ips",) and self.marks(rule):
                if len(rule.matches) == 1:
                    return MASQUERADE_ALL, ""
                if all(" != " in one for one in rule.matches[1:]):
                    return MASQUERADE_OUTSIDE, " ".join(rule.matches[1:]).replace(" != ", " ")
        return MASQUERADE_NONE, ""

    def wanted_masquerade(self, pods: str | None) -> str:
        """What the rule for all ClusterIPs should say.

        :param pods: how they are told from others, as far as anything says it
        """
        if self._masquerade_all:
            return MASQUERADE_ALL
        if self._masquerade_all is None and self.cluster_masquerade != MASQUERADE_NONE:
            return self.cluster_masquerade
        return MASQUERADE_OUTSIDE if pods else MASQUERADE_NONE

    def marks(self, rule: Rule) -> bool:
        """Whether the rule has its packets masqueraded, in the way of the layout."""
        if self.marks_by_jump:
            return rule.only.target == MARK_CHAIN
        mark = mark_of(rule.only)
        return mark is not None and self.mark in (None, mark)


def unknown_parts(layout: Layout) -> list[str]:
    """What says that a release unknown here wrote the table, in words; nothing for a layout that is known."""
    table = layout.table
    found = [*_wrong_maps(table)]
    if "cluster-ips" not in table.sets:
        found.append("no set cluster-ips")
    found += [f"base chain {name}" for name, one in table.chains.items() if one.hook and name not in _STOCK_CHAINS]
    names: dict[str, None] = {}
    for rules in layout.rules.values():
        for rule in rules:
            names.update(dict.fromkeys(_unknown_names(rule)))
    for name in VERDICT_MAPS.keys() & table.maps.keys():
        targets = dict.fromkeys(filter(None, (verdict_target(one) for one in table.maps[name].elements)))
        names.update((f"{name} leads to chain {one}", None) for one in targets if not is_known_chain(one))
    return [*found, *names]


def is_known_chain(name: str) -> bool:
    """Whether a release known here writes chains of that name."""
    return name in _STOCK_CHAINS or _SERVICE_CHAIN.fullmatch(name) is not None


def _wrong_maps(table: NftTable) -> t.Iterator[str]:
    for name, wanted in VERDICT_MAPS.items():
        found = table.maps.get(name)
        types = wanted.format(addr="ipv6_addr" if table.family == "ip6" else "ipv4_addr")
        if found is None:
            yield f"no map {name}"
        elif found.data != "verdict" or found.type not in (types, "typeof"):
            yield f"map {name} of {found.type} : {found.data}"


def _unknown_names(rule: Rule) -> t.Iterator[str]:
    for action in rule.actions:
        if action.target and not is_known_chain(action.target):
            yield f"a rule leads to chain {action.target}"
    for name in re.findall("@([^ ]+)", rule.text):
        if name not in _SETS and name not in VERDICT_MAPS and name != LOCAL_REJECTS:
            yield f"a rule uses {name}"


def verdict_target(element: t.Any) -> str:
    """The chain that an element of a verdict map leads to; empty for any other verdict."""
    verdict = element[1] if isinstance(element, list) and len(element) == 2 else None
    for kind in ("goto", "jump"):
        body = verdict.get(kind) if isinstance(verdict, dict) else None
        if isinstance(body, dict) and isinstance(body.get("target"), str):
            return str(body["target"])
    return ""
