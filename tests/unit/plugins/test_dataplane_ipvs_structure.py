# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jumps, chains and rules of ipvs mode. Expected values: iptables-save of a real kube-proxy 1.37.2, and the golden tests of
pkg/proxy/ipvs/proxier_test.go; which sets have members is derived by hand from the Services that were there."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _dataplane_ipvs_rules as ipvs_rules
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_rules import RuleSettings, rule_settings
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_structure import (
    Scene,
    structure_defects,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table, target_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPVS, fixed_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective

FIXTURES = Path(__file__).parents[1] / "fixtures" / "iptables"
NAMES = {4: "ipv4", 6: "ipv6"}

# README of the fixtures: default/httpservice (NodePort 30080, 3 endpoints), default/empty, default/lb (LoadBalancer with
# source ranges that do not hold the node, ClientIP affinity, external policy Local), of which httpservice and empty have IPv6.
MEMBERS: dict[int, dict[str, set[str]]] = {
    4: {
        "KUBE-LOOP-BACK": {"192.168.178.7,tcp:8080,192.168.178.7"},
        "KUBE-CLUSTER-IP": {"10.96.0.1,tcp:443", "10.96.10.10,tcp:80", "10.96.136.53,tcp:80", "10.96.255.214,tcp:443"},
        "KUBE-LOAD-BALANCER": {"203.0.113.200,tcp:443"},
        "KUBE-LOAD-BALANCER-LOCAL": {"203.0.113.200,tcp:443"},
        "KUBE-LOAD-BALANCER-FW": {"203.0.113.200,tcp:443"},
        "KUBE-LOAD-BALANCER-SOURCE-CIDR": {"203.0.113.200,tcp:443,203.0.113.0/25"},
        "KUBE-NODE-PORT-TCP": {"30080", "30443"},
        "KUBE-NODE-PORT-LOCAL-TCP": {"30443"},
        "KUBE-HEALTH-CHECK-NODE-PORT": {"30423"},
        "KUBE-IPVS-IPS": {"10.96.0.1", "10.96.10.10", "10.96.136.53", "10.96.255.214", "203.0.113.200"},
    },
    6: {
        "KUBE-6-LOOP-BACK": {"fd00:10:244::7,tcp:8080,fd00:10:244::7"},
        "KUBE-6-CLUSTER-IP": {"fd00:10:96::428a,tcp:80", "fd00:10:96::1234,tcp:80"},
        "KUBE-6-NODE-PORT-TCP": {"30080"},
        "KUBE-6-IPVS-IPS": {"fd00:10:96::428a", "fd00:10:96::1234"},
    },
}
SETTINGS = RuleSettings(0x4000, outside={4: "! -s 10.244.0.0/16", 6: "! -s fd00:10:244::/56"})


def tables(fixture: str, family: int = 4, backend: str = "nft") -> dict[Location, Table]:
    text = (FIXTURES / fixture).read_text(encoding="utf-8")
    return {Location(backend, NAMES[family], name): table for name, table in parse_save(text).items()}


def scene(family: int = 4, settings: RuleSettings | None = SETTINGS) -> Scene:
    read = tables(f"kube-proxy-1.37.2-ipvs-after-iptables-{NAMES[family]}.txt", family)
    return Scene(read, "nft", family, MEMBERS[family], settings=settings)


def damaged(table: str, chain: str, change: t.Callable[[list[str]], object], base: Scene | None = None) -> Scene:
    """The healthy node with one chain edited."""
    base = base or scene()
    at = Location("nft", "ipv4", table)
    rules = list(base.tables[at].chains[chain])
    change(rules)
    edited = Table({**base.tables[at].chains, chain: tuple(rules)}, base.tables[at].builtin)
    return replace(base, tables={**base.tables, at: edited})


def told(of: Scene) -> list[tuple[str, str]]:
    return [(one.kind, one.object) for one in structure_defects(of)]


@pytest.mark.parametrize("settings", [SETTINGS, None])
@pytest.mark.parametrize("family", [4, 6])
def test_a_real_node_has_no_defect_with_or_without_its_configuration(
    family: int, settings: RuleSettings | None
) -> None:
    assert structure_defects(scene(family, settings)) == []


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_a_node_without_a_detector_in_both_backends(backend: str) -> None:
    members = {
        "KUBE-LOOP-BACK": {"a"},
        "KUBE-CLUSTER-IP": {"172.30.0.41,tcp:80"},
        "KUBE-LOAD-BALANCER": {"1.2.3.4,tcp:80"},
        "KUBE-LOAD-BALANCER-FW": {"5.6.7.8,tcp:80"},
        "KUBE-LOAD-BALANCER-SOURCE-CIDR": {"5.6.7.8,tcp:80,1.2.3.4/28"},
        "KUBE-LOAD-BALANCER-SOURCE-IP": {"5.6.7.8,tcp:80,5.6.7.8"},
        "KUBE-NODE-PORT-TCP": {"3001"},
    }
    read = tables(f"ipvs-after-iptables-{backend}.txt", backend=backend)
    found = structure_defects(Scene(read, backend, 4, members, settings=RuleSettings()))
    # The rules of the fixture were written without a set of source addresses.
    expected = (
        '-m comment --comment "Kubernetes service load balancer ip + port + source IP for packet filter purpose" '
        "-m set --match-set KUBE-LOAD-BALANCER-SOURCE-IP dst,dst,src -j RETURN"
    )
    assert [(one.kind, one.expected) for one in found] == [("rule_missing", expected)]
    assert found[0].evidence == f"iptables-{backend}-save -t filter | grep -w KUBE-SOURCE-RANGES-FIREWALL"


# Jump and set of each rule: checkIptables in TestLoadBalancer, TestOnlyLocalNodePorts, TestLoadBalanceSourceRanges,
# TestAcceptIPVSTraffic, TestOnlyLocalLoadBalancing.
LO, CLUSTER_MASQ, NODE = ("RETURN", ""), ("KUBE-MARK-MASQ", "KUBE-CLUSTER-IP"), ("KUBE-NODE-PORT", "")
LB, LB_SET = "KUBE-LOAD-BALANCER", ("KUBE-LOAD-BALANCER", "KUBE-LOAD-BALANCER")
ACCEPTED = [("ACCEPT", "KUBE-CLUSTER-IP"), ("ACCEPT", LB)]


@pytest.mark.parametrize(
    ("filled", "chains"),
    [
        (
            {"KUBE-CLUSTER-IP", LB},
            {
                ("nat", "KUBE-SERVICES"): [LO, LB_SET, CLUSTER_MASQ, NODE, *ACCEPTED],
                ("nat", LB): [("KUBE-MARK-MASQ", "")],
            },
        ),
        (
            {"KUBE-CLUSTER-IP", "KUBE-NODE-PORT-TCP", "KUBE-NODE-PORT-LOCAL-TCP"},
            {
                ("nat", "KUBE-SERVICES"): [LO, CLUSTER_MASQ, NODE, ACCEPTED[0]],
                ("nat", "KUBE-NODE-PORT"): [
                    ("RETURN", "KUBE-NODE-PORT-LOCAL-TCP"),
                    ("KUBE-MARK-MASQ", "KUBE-NODE-PORT-TCP"),
                ],
                ("filter", "KUBE-NODE-PORT"): [("ACCEPT", "KUBE-HEALTH-CHECK-NODE-PORT")],
            },
        ),
        (
            {"KUBE-CLUSTER-IP", LB, "KUBE-LOAD-BALANCER-FW", "KUBE-LOAD-BALANCER-SOURCE-CIDR"},
            {
                ("filter", "KUBE-PROXY-FIREWALL"): [("KUBE-SOURCE-RANGES-FIREWALL", "KUBE-LOAD-BALANCER-FW")],
                ("filter", "KUBE-SOURCE-RANGES-FIREWALL"): [
                    ("RETURN", "KUBE-LOAD-BALANCER-SOURCE-CIDR"),
                    ("DROP", ""),
                ],
            },
        ),
        (
            {"KUBE-CLUSTER-IP", LB, "KUBE-EXTERNAL-IP"},
            {
                ("nat", "KUBE-SERVICES"): [
                    LO,
                    LB_SET,
                    CLUSTER_MASQ,
                    ("KUBE-MARK-MASQ", "KUBE-EXTERNAL-IP"),
                    ("ACCEPT", "KUBE-EXTERNAL-IP"),
                    ("ACCEPT", "KUBE-EXTERNAL-IP"),
                    NODE,
                    *ACCEPTED,
                ]
            },
        ),
        (
            {"KUBE-CLUSTER-IP", LB, "KUBE-LOAD-BALANCER-LOCAL"},
            {("nat", LB): [("RETURN", "KUBE-LOAD-BALANCER-LOCAL"), ("KUBE-MARK-MASQ", "")]},
        ),
    ],
)
def test_the_golden_tests_of_kube_proxy(filled: set[str], chains: dict[tuple[str, str], list[tuple[str, str]]]) -> None:
    found = ipvs_rules.expected_rules(4, {name: {"1.2.3.4,tcp:80"} for name in filled}, RuleSettings())
    assert set(found) == set(fixed_chains(IPVS))
    for place, expected in chains.items():
        written = [rule for rule in found[place] if rule.required]
        assert [(target_of(rule.text), "".join(rule.uses)) for rule in written] == expected


@pytest.mark.parametrize(
    ("config", "pod_cidrs", "outside"),
    [
        ({"clusterCIDR": "10.244.0.0/16"}, (), {4: "! -s 10.244.0.0/16"}),
        ({"clusterCIDR": "fd00::/56,10.0.0.0/8,10.9.0.0/16"}, (), {6: "! -s fd00::/56", 4: "! -s 10.0.0.0/8"}),
        ({"clusterCIDR": ""}, ("10.1.0.0/24",), {}),
        ({"detectLocalMode": "NodeCIDR", "clusterCIDR": "10.0.0.0/8"}, ("10.1.0.0/24",), {4: "! -s 10.1.0.0/24"}),
        (
            {"detectLocalMode": "BridgeInterface", "detectLocal": {"bridgeInterface": "cbr0"}},
            (),
            {4: "! -i cbr0", 6: "! -i cbr0"},
        ),
        (
            {"detectLocalMode": "InterfaceNamePrefix", "detectLocal": {"interfaceNamePrefix": "cali"}},
            (),
            {4: "! -i cali+", 6: "! -i cali+"},
        ),
    ],
)
def test_who_is_a_pod(config: dict[str, t.Any], pod_cidrs: tuple[str, ...], outside: dict[int, str]) -> None:
    assert rule_settings(effective(config), pod_cidrs) == RuleSettings(0x4000, False, outside)


def test_settings_of_the_mark_and_of_everybody() -> None:
    config = effective({"iptables": {"masqueradeBit": 0, "masqueradeAll": True}})
    assert rule_settings(config) == RuleSettings(1, True, {})


CLUSTER_IP = (
    '! -s 10.244.0.0/16 -m comment --comment "Kubernetes service cluster ip + port for masquerade purpose" '
    "-m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ"
)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (SETTINGS._replace(masquerade_all=True), CLUSTER_IP.partition("/16 ")[2]),
        (RuleSettings(), CLUSTER_IP.partition("/16 ")[2].replace("dst,dst", "src,dst")),
        (RuleSettings(outside={4: "! -i cbr0"}), CLUSTER_IP.replace("! -s 10.244.0.0/16", "! -i cbr0")),
    ],
)
def test_a_rule_of_another_configuration(settings: RuleSettings, expected: str) -> None:
    (found,) = structure_defects(scene(settings=settings))
    assert (found.kind, found.object) == ("rule_wrong", "nat KUBE-SERVICES (ipv4)")
    assert (found.expected, found.actual) == (expected, CLUSTER_IP)


def test_another_mark() -> None:
    objects = sorted(told(scene(settings=SETTINGS._replace(mark=0x8000))))
    # RETURN, then MARK --set-xmark .../0x0, in KUBE-POSTROUTING
    assert objects == [
        ("rule_wrong", "filter KUBE-FORWARD (ipv4)"),
        ("rule_wrong", "nat KUBE-MARK-MASQ (ipv4)"),
        ("rule_wrong", "nat KUBE-POSTROUTING (ipv4)"),
        ("rule_wrong", "nat KUBE-POSTROUTING (ipv4)"),
    ]


JUMP = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
REJECT = "-m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT --reject-with icmp-port-unreachable"


@pytest.mark.parametrize(
    ("table", "chain", "change", "expected"),
    [
        ("nat", "PREROUTING", list.clear, [("jump_missing", "nat PREROUTING -> KUBE-SERVICES (ipv4)")]),
        ("nat", "PREROUTING", lambda r: r.append(JUMP), [("jump_twice", "nat PREROUTING -> KUBE-SERVICES (ipv4)")]),
        (
            "nat",
            "PREROUTING",
            lambda r: r.insert(0, "-j KUBE-SERVICES"),
            [("jump_twice", "nat PREROUTING -> KUBE-SERVICES (ipv4)")],
        ),
        # Somebody's own way in for some packets is no second jump of all.
        ("nat", "PREROUTING", lambda r: r.append("-s 192.0.2.1/32 -j KUBE-SERVICES"), []),
        (
            "nat",
            "OUTPUT",
            lambda r: r.insert(0, '-m comment --comment "open" -j ACCEPT'),
            [("jump_missing", "nat OUTPUT -> KUBE-SERVICES (ipv4)")],
        ),
        ("nat", "OUTPUT", lambda r: r.insert(0, "-d 192.0.2.1/32 -j ACCEPT"), []),
        ("nat", "OUTPUT", lambda r: r.append("-j ACCEPT"), []),
        ("nat", "KUBE-SERVICES", lambda r: r.remove(CLUSTER_IP), [("rule_missing", "nat KUBE-SERVICES (ipv4)")]),
        ("nat", "KUBE-SERVICES", list.clear, [("rule_missing", "nat KUBE-SERVICES (ipv4)")]),
        ("nat", "KUBE-MARK-MASQ", list.clear, [("rule_missing", "nat KUBE-MARK-MASQ (ipv4)")]),
        ("nat", "KUBE-SERVICES", list.reverse, [("rule_wrong", "nat KUBE-SERVICES (ipv4)")]),
        ("nat", "KUBE-SERVICES", lambda r: r.append(r[0]), [("rule_wrong", "nat KUBE-SERVICES (ipv4)")]),
        ("nat", "KUBE-SERVICES", lambda r: r.insert(0, r[0]), [("rule_wrong", "nat KUBE-SERVICES (ipv4)")]),
        (
            "nat",
            "KUBE-POSTROUTING",
            lambda r: r.insert(0, "-j RETURN"),
            [("rule_wrong", "nat KUBE-POSTROUTING (ipv4)")],
        ),
        (
            "filter",
            "KUBE-IPVS-FILTER",
            lambda r: r.remove(REJECT),
            [("rule_missing", "filter KUBE-IPVS-FILTER (ipv4)")],
        ),
        ("filter", "KUBE-IPVS-OUT-FILTER", list.clear, [("rule_missing", "filter KUBE-IPVS-OUT-FILTER (ipv4)")]),
        # iptables mode's chain and jumps of the same names are leftovers, not defects of this mode.
        ("filter", "KUBE-SERVICES", list.clear, []),
        ("filter", "FORWARD", lambda r: r.pop(1), []),
    ],
)
def test_damage_by_hand(
    table: str, chain: str, change: t.Callable[[list[str]], object], expected: list[tuple[str, str]]
) -> None:
    assert told(damaged(table, chain, change)) == expected


def test_masquerade_without_random_fully_is_as_good() -> None:
    def older(rules: list[str]) -> None:
        rules[-1] = rules[-1].replace(" --random-fully", "")

    assert told(damaged("nat", "KUBE-POSTROUTING", older)) == []


def without(of: Scene, table: str, chains: t.Callable[[str, tuple[str, ...]], tuple[str, ...] | None]) -> Scene:
    """The node with every chain of a table as C(chains) gives it, or gone."""
    at = Location("nft", "ipv4", table)
    new = {name: chains(name, rules) for name, rules in of.tables[at].chains.items()}
    kept = {name: rules for name, rules in new.items() if rules is not None}
    return replace(of, tables={**of.tables, at: Table(kept, of.tables[at].builtin)})


def test_a_flush_is_one_defect() -> None:
    flushed = without(scene(), "nat", lambda _name, _rules: ())
    assert told(flushed) == [("flushed", "nat table (ipv4)")]
    bare = without(scene(), "nat", lambda name, _rules: None if name.startswith("KUBE-") else ())
    assert told(bare) == [("flushed", "nat table (ipv4)")]


def test_a_chain_that_is_gone_is_told_once() -> None:
    def gone(name: str, rules: tuple[str, ...]) -> tuple[str, ...] | None:
        return None if name == "KUBE-NODE-PORT" else tuple(one for one in rules if target_of(one) != "KUBE-NODE-PORT")

    assert told(without(scene(), "nat", gone)) == [("chain_missing", "nat KUBE-NODE-PORT (ipv4)")]
    assert told(without(scene(), "filter", gone)) == [("chain_missing", "filter KUBE-NODE-PORT (ipv4)")]


def test_rules_of_a_missing_set_are_not_told_again() -> None:
    def unused(_name: str, rules: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one for one in rules if " KUBE-LOOP-BACK " not in one)

    broken = without(scene(), "nat", unused)
    assert told(broken) == [("rule_missing", "nat KUBE-POSTROUTING (ipv4)")]
    assert told(replace(broken, missing_sets=frozenset(["KUBE-LOOP-BACK"]))) == []


def test_a_set_that_lost_its_members_keeps_its_rules() -> None:
    """kube-proxy writes rules by what it wants in a set: the set is what is wrong then, and its own finding."""
    members = {**MEMBERS[4], "KUBE-LOOP-BACK": set(), "KUBE-NODE-PORT-TCP": set()}
    assert told(replace(scene(), members=members)) == []


def _insert(position: int, rule: str, rules: list[str]) -> None:
    rules.insert(position, rule)


def test_load_balancers_that_the_node_itself_may_not_use() -> None:
    rule = "-s 203.0.113.200/32 -m ipvs --vproto 6 --vaddr 203.0.113.200 --vport 443 -j DROP"
    allowed = {**MEMBERS[4], "KUBE-LOAD-BALANCER-SOURCE-IP": {"203.0.113.200,tcp:443,203.0.113.200"}}
    found = structure_defects(replace(scene(), members=allowed))
    # The rule for the set of source addresses is missing, and the one that drops has no reason any more.
    assert [(one.kind, one.actual) for one in found] == [("rule_missing", "no such rule"), ("rule_wrong", rule)]
    more = {**MEMBERS[4], "KUBE-LOAD-BALANCER-FW": {"203.0.113.200,tcp:443", "203.0.113.9,udp:53"}}
    udp = "-s 203.0.113.9/32 -m ipvs --vproto 17 --vaddr 203.0.113.9 --vport 53 -j DROP"
    (missing,) = structure_defects(replace(scene(), members=more))
    assert (missing.kind, missing.expected) == ("rule_missing", udp)
    # They come in the order of a Go map.
    for position in (0, 1):
        both = damaged("filter", "KUBE-IPVS-OUT-FILTER", partial(_insert, position, udp))
        assert told(replace(both, members=more)) == []


def test_a_table_that_nobody_could_read() -> None:
    blind = replace(scene(), backend="legacy")
    assert told(blind) == [("table_unread", "nat table (ipv4)"), ("table_unread", "filter table (ipv4)")]


TEXT = (FIXTURES / "kube-proxy-1.37.2-ipvs-after-iptables-ipv4.txt").read_text(encoding="utf-8").splitlines()


@given(st.lists(st.tuples(st.integers(0, len(TEXT) - 1), st.text(max_size=40)), max_size=4), st.booleans())
def test_random_damage_is_a_defect_or_our_own_error(edits: list[tuple[int, str]], known: bool) -> None:
    lines = list(TEXT)
    for number, text in edits:
        lines[number] = lines[number][: len(text)] + text.replace("\n", "")
    try:
        read = {Location("nft", "ipv4", name): table for name, table in parse_save("\n".join(lines)).items()}
    except KubeProxyError:
        return
    structure_defects(replace(scene(settings=SETTINGS if known else None), tables=read))
