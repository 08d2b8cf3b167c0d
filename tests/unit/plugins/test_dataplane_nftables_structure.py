# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done to kube-proxy's nftables tables by hand, and what the comparison with the healthy table then tells: that, and
nothing else. The healthy tables are those that C(test_dataplane_nftables) holds against kube-proxy's own tests."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from functools import partial

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_compare import differences
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables import read_nftables
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import (
    Settings,
    settings_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_rules import parse_rule
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import NftChain, NftSet, NftTable
from tests.unit.plugins.test_dataplane_nftables import RELEASES, read, table_of

Damage = t.Callable[[NftTable], NftTable]
Told = list[tuple[str, str, str]]

OLD, NEW, CATALOGUE = "overall-1.31.14-ip", "overall-1.37.2-ip", "catalogue-1.37-ip"
SVC1, SVC3, SVC5 = "ULMVA6XW-ns1/svc1/tcp/p80", "4AT6LBPK-ns3/svc3/tcp/p80", "HVFWP5L3-ns5/svc5/tcp/p80"
END1, END5 = "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80", "GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80"
SVC2, SVC4 = "42NFTM6N-ns2/svc2/tcp/p80", "LAUZTJTB-ns4/svc4/tcp/p80"
DROP: list[t.Any] = [{"drop": None}]
JUMP: list[t.Any] = [{"jump": {"target": "services"}}]


def chain(table: NftTable, name: str, **changes: t.Any) -> NftTable:
    return replace(table, chains={**table.chains, name: replace(table.chains[name], **changes)})


def parts(table: NftTable, kind: str, value: dict[str, NftSet]) -> NftTable:
    return replace(table, maps=value) if kind == "maps" else replace(table, sets=value)


def flush(name: str) -> Damage:
    return lambda table: chain(table, name, rules=())


def settings(name: str, **changes: t.Any) -> Damage:
    return lambda table: chain(table, name, **changes)


def without_chain(name: str) -> Damage:
    return lambda table: replace(table, chains={key: one for key, one in table.chains.items() if key != name})


def without_rule(name: str, part: str) -> Damage:
    """The rule whose text has this part: there has to be exactly one."""

    def damage(table: NftTable) -> NftTable:
        rules = table.chains[name].rules
        left = tuple(rule for rule in rules if part not in parse_rule(rule).text)
        assert len(left) == len(rules) - 1
        return chain(table, name, rules=left)

    return damage


def with_rule(name: str, rule: list[t.Any], place: int = 999) -> Damage:
    def damage(table: NftTable) -> NftTable:
        rules = list(table.chains[name].rules)
        rules.insert(place, rule)
        return chain(table, name, rules=tuple(rules))

    return damage


def turned(name: str) -> Damage:
    return lambda table: chain(table, name, rules=tuple(reversed(table.chains[name].rules)))


def replaced(name: str, old: t.Any, new: t.Any) -> Damage:
    """Another value wherever it stands in the rules of a chain."""

    def damage(table: NftTable) -> NftTable:
        rules = tuple([_replaced(one, old, new) for one in rule] for rule in table.chains[name].rules)
        assert rules != table.chains[name].rules
        return chain(table, name, rules=rules)

    return damage


def _replaced(value: t.Any, old: t.Any, new: t.Any) -> t.Any:
    if value == old and type(value) is type(old):
        return new
    if isinstance(value, list):
        return [_replaced(one, old, new) for one in value]
    return {key: _replaced(one, old, new) for key, one in value.items()} if isinstance(value, dict) else value


def without_element(kind: str, name: str, part: str) -> Damage:
    def damage(table: NftTable) -> NftTable:
        before = dict(getattr(table, kind))
        left = tuple(one for one in before[name].elements if part not in str(one))
        assert len(left) == len(before[name].elements) - 1
        return parts(table, kind, {**before, name: replace(before[name], elements=left)})

    return damage


def with_element(kind: str, name: str, element: t.Any) -> Damage:
    def damage(table: NftTable) -> NftTable:
        before = dict(getattr(table, kind))
        more = replace(before[name], elements=(*before[name].elements, element))
        return parts(table, kind, {**before, name: more})

    return damage


def led(name: str, address: str, verdict: t.Any) -> Damage:
    """An element of C(service-ips) leads elsewhere."""

    def damage(table: NftTable) -> NftTable:
        element = [{"concat": [address, "tcp", 80]}, verdict]
        return with_element("maps", name, element)(without_element("maps", name, f"'{address}'")(table))

    return damage


def timeout(name: str, seconds: int) -> Damage:
    return lambda table: replace(table, sets={**table.sets, name: replace(table.sets[name], timeout=seconds)})


def told(healthy: NftTable, damaged: NftTable) -> Told:
    found = differences(read(healthy), read(damaged))
    assert all(one.expected and one.actual and one.evidence for one in found)
    return [(one.kind, one.object, one.detail) for one in found]


def at(name: str) -> str:
    return f"ip kube-proxy {name}"


NEW_STRUCTURE: list[tuple[Damage, str, str]] = [
    (without_rule("nat-prerouting", "jump services"), "jump_missing", "nat-prerouting"),
    (without_rule("nat-output", "jump services"), "jump_missing", "nat-output"),
    (without_rule("nat-postrouting", "jump masquerading"), "jump_missing", "nat-postrouting"),
    (without_rule("filter-prerouting-pre-dnat", "firewall-check"), "jump_missing", "filter-prerouting-pre-dnat"),
    (without_rule("filter-input", "nodeport-endpoints-check"), "jump_missing", "filter-input"),
    (without_rule("filter-forward", "cluster-ips-check"), "jump_missing", "filter-forward"),
    (flush("filter-output"), "jump_missing", "filter-output"),
    (with_rule("nat-output", JUMP), "jump_twice", "nat-output"),
    (with_rule("nat-output", DROP, 0), "rule_wrong", "nat-output"),
    (replaced("filter-output-pre-dnat", "new", "established"), "rule_wrong", "filter-output-pre-dnat"),
    (turned("filter-forward"), "rule_wrong", "filter-forward"),
    (without_chain("nat-output"), "chain_missing", "nat-output"),
    (without_chain("services"), "chain_missing", "services"),
    (settings("nat-output", priority=0), "rule_wrong", "nat-output"),
    (settings("nat-output", hook="input"), "rule_wrong", "nat-output"),
    (settings("nat-output", type="filter"), "rule_wrong", "nat-output"),
    (settings("nat-output", hook=""), "rule_wrong", "nat-output"),
    (settings("filter-forward", policy="drop"), "rule_wrong", "filter-forward"),
    (flush("services"), "rule_missing", "services"),
    (without_rule("services", "@service-ips"), "rule_missing", "services"),
    (without_rule("services", "@service-nodeports"), "rule_missing", "services"),
    (without_rule("services", "@cluster-ips"), "rule_missing", "services"),
    (turned("services"), "rule_wrong", "services"),
    (replaced("services", "!=", "=="), "rule_wrong", "services"),
    (with_rule("services", [{"return": None}], 0), "rule_wrong", "services"),
    (flush("firewall-check"), "rule_missing", "firewall-check"),
    (flush("service-endpoints-check"), "rule_missing", "service-endpoints-check"),
    (without_rule("nodeport-endpoints-check", "@no-endpoint-nodeports"), "rule_missing", "nodeport-endpoints-check"),
    (without_rule("nodeport-endpoints-check", "@localhost-nodeport"), "rule_missing", "nodeport-endpoints-check"),
    (flush("localhost-nodeport-reject-udp"), "rule_missing", "localhost-nodeport-reject-udp"),
    (without_rule("cluster-ips-check", "reject"), "rule_missing", "cluster-ips-check"),
    (
        replaced("reject-chain", {"type": "icmp", "expr": "port-unreachable"}, {"type": "tcp reset"}),
        "rule_wrong",
        "reject-chain",
    ),
    (flush("reject-chain"), "rule_missing", "reject-chain"),
    (flush("masquerading"), "rule_missing", "masquerading"),
    (without_rule("masquerading", "@hairpin-connections"), "rule_missing", "masquerading"),
    (without_rule("masquerading", "xor"), "rule_missing", "masquerading"),
    (replaced("masquerading", "dnat", "snat"), "rule_wrong", "masquerading"),
]


@pytest.mark.parametrize(("damage", "kind", "where"), NEW_STRUCTURE)
def test_damage_to_what_all_services_share(damage: Damage, kind: str, where: str) -> None:
    healthy = table_of(NEW)
    assert told(healthy, damage(healthy)) == [(kind, at(where), "")]


@pytest.mark.parametrize(
    ("damage", "kind", "where"),
    [
        (without_rule("filter-output", "firewall-check"), "jump_missing", "filter-output"),
        (without_rule("filter-output-post-dnat", "jump"), "jump_missing", "filter-output-post-dnat"),
        (settings("filter-input", priority=0), "rule_wrong", "filter-input"),
        (without_rule("masquerading", "return"), "rule_missing", "masquerading"),
        (without_rule("masquerading", "masquerade"), "rule_missing", "masquerading"),
        (flush("mark-for-masquerade"), "rule_missing", "mark-for-masquerade"),
        (replaced("mark-for-masquerade", 16384, 32768), "rule_wrong", "mark-for-masquerade"),
    ],
)
def test_the_same_in_the_layout_of_1_31(damage: Damage, kind: str, where: str) -> None:
    healthy = table_of(OLD)
    assert told(healthy, damage(healthy)) == [(kind, at(where), "")]


def broken(name: str) -> tuple[str, str, str]:
    return "element_broken", at(name), ""


ONE = "TCP 172.30.0.41:80"
SERVICES: list[tuple[str, Damage, Told]] = [
    # The chain of a Service.
    (NEW, flush(f"service-{SVC1}"), [broken(f"service-{SVC1}")]),
    (NEW, without_chain(f"service-{SVC1}"), [broken(f"service-{SVC1}")]),
    (NEW, replaced(f"service-{SVC1}", "tcp", "udp"), [broken(f"service-{SVC1}")]),
    (NEW, with_rule(f"service-{SVC1}", DROP), [broken(f"service-{SVC1}")]),
    (NEW, with_rule(f"service-{SVC1}", DROP, 0), [broken(f"service-{SVC1}")]),
    (NEW, replaced(f"service-{SVC4}", 2, 3), [broken(f"service-{SVC4}")]),
    (NEW, replaced(f"service-{SVC4}", "random", "inc"), [broken(f"service-{SVC4}")]),
    # Where it leads.
    (
        NEW,
        replaced(f"service-{SVC1}", "10.180.0.1", "10.180.0.9"),
        [
            ("destination_missing", ONE, "10.180.0.1:80"),
            ("destination_stale", ONE, "10.180.0.9:80"),
        ],
    ),
    # Session affinity.
    (NEW, without_rule(f"service-{SVC5}", "@affinity"), [broken(f"service-{SVC5}")]),
    (NEW, without_rule(f"endpoint-{END5}", "update"), [broken(f"service-{SVC5}")]),
    (NEW, turned(f"service-{SVC5}"), [broken(f"service-{SVC5}")]),
    (
        OLD,
        turned(f"endpoint-{END5}"),
        [broken(f"endpoint-{END5}")],
    ),
    # The chain of an endpoint.
    (OLD, flush(f"endpoint-{END1}"), [broken(f"endpoint-{END1}")]),
    (OLD, without_rule(f"endpoint-{END1}", "saddr"), [("hairpin_missing", ONE, "10.180.0.1:80")]),
    # Masquerading.
    (OLD, without_rule(f"service-{SVC1}", "mark"), [("masquerade_wrong", ONE, "")]),
    (OLD, replaced(f"service-{SVC1}", 80, 81), [("masquerade_wrong", ONE, "")]),
    (OLD, replaced(f"service-{SVC1}", "!=", "=="), [broken(f"service-{SVC1}")]),
    (OLD, replaced(f"service-{SVC1}", "10.0.0.0", "10.9.0.0"), [broken(f"service-{SVC1}")]),
    (NEW, without_rule(f"external-{SVC3}", "mark"), [("masquerade_wrong", "TCP *:3003 (IPv4)", "")]),
    (NEW, without_element("sets", "hairpin-connections", "10.180.0.1"), [("hairpin_missing", ONE, "10.180.0.1:80")]),
    # From outside.
    (
        NEW,
        without_rule(f"external-{SVC3}", "goto"),
        [broken(f"external-{SVC3}")],
    ),
    (NEW, without_rule(f"external-{SVC2}", "ip saddr 10"), [broken(f"external-{SVC2}")]),
    (NEW, replaced(f"external-{SVC2}", "10.0.0.0", "10.9.0.0"), [broken(f"external-{SVC2}")]),
    (NEW, without_rule(f"external-{SVC2}", f"local goto service-{SVC2}"), [broken(f"external-{SVC2}")]),
    # The firewall.
    (
        NEW,
        replaced(f"firewall-{SVC5}", "203.0.113.0", "203.0.112.0"),
        [("source_ranges_wrong", "TCP 5.6.7.8:80", "")],
    ),
    (NEW, without_element("maps", "firewall-ips", "5.6.7.8"), [("source_ranges_wrong", "TCP 5.6.7.8:80", "")]),
    (NEW, flush(f"firewall-{SVC5}"), [broken(f"firewall-{SVC5}")]),
    # Elements.
    (NEW, without_element("maps", "service-ips", "172.30.0.41"), [("vip_missing", ONE, "")]),
    (NEW, without_element("maps", "no-endpoint-services", "172.30.0.46"), [("vip_missing", "TCP 172.30.0.46:80", "")]),
    (NEW, without_element("maps", "no-endpoint-services", "1.2.3.4"), [("verdict_wrong", "TCP 1.2.3.4:80", "")]),
    (
        NEW,
        without_element("sets", "cluster-ips", "172.30.0.41"),
        [("member_missing", "nft set cluster-ips (IPv4)", "172.30.0.41")],
    ),
    (
        NEW,
        with_element("sets", "nodeport-ips", "192.168.1.2"),
        [("member_stale", "addresses that NodePorts answer on (IPv4)", "192.168.1.2")],
    ),
    (
        NEW,
        with_element(
            "maps", "service-ips", [{"concat": ["172.30.0.99", "tcp", 80]}, {"goto": {"target": f"service-{SVC1}"}}]
        ),
        [("vip_dead", "TCP 172.30.0.99:80", "")],
    ),
    (
        NEW,
        with_element("maps", "no-endpoint-services", [{"concat": ["172.30.0.41", "tcp", 80]}, {"drop": None}]),
        [("element_broken", f"{at('no-endpoint-services')}: {ONE}", "")],
    ),
    (
        NEW,
        with_element(
            "maps", "firewall-ips", [{"concat": ["9.9.9.9", "tcp", 80]}, {"goto": {"target": f"firewall-{SVC5}"}}]
        ),
        [("element_broken", f"{at('firewall-ips')}: TCP 9.9.9.9:80", "")],
    ),
    (
        NEW,
        with_element(
            "maps", "service-ips", [{"concat": ["172.30.0.99", "dccp", 80]}, {"goto": {"target": f"service-{SVC1}"}}]
        ),
        [("element_broken", f"{at('service-ips')}: 172.30.0.99 . dccp . 80", "")],
    ),
    (
        NEW,
        led("service-ips", "172.30.0.41", {"drop": None}),
        [("element_broken", f"{at('service-ips')}: {ONE}", "")],
    ),
    (
        NEW,
        led("no-endpoint-services", "172.30.0.46", {"accept": None}),
        [
            ("element_broken", f"{at('no-endpoint-services')}: TCP 172.30.0.46:80", ""),
        ],
    ),
]


MARK: list[t.Any] = [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 16384]}}}]
FROM_NODE = {"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["saddr"]}}, "right": "local"}}
WEB = "KHN6ECMT-shop/web/tcp/http"
WEB6 = next(name for name in table_of("catalogue-1.35-ip6").chains if name.startswith("external-"))


def saddr(address: str, verdict: t.Any) -> list[t.Any]:
    source = {"payload": {"protocol": "ip", "field": "saddr"}}
    return [{"match": {"op": "==", "left": source, "right": address}}, verdict]


def then(*damages: Damage) -> Damage:
    def damage(table: NftTable) -> NftTable:
        for one in damages:
            table = one(table)
        return table

    return damage


HALVES = [{"prefix": {"addr": "203.0.113.0", "len": 26}}, {"prefix": {"addr": "203.0.113.64", "len": 26}}]
ODDER: list[tuple[str, Damage, Told]] = [
    # The masquerading of an endpoint to itself is for another address.
    (
        OLD,
        then(
            without_rule(f"endpoint-{END1}", "saddr"),
            with_rule(f"endpoint-{END1}", saddr("10.180.0.9", {"jump": {"target": "mark-for-masquerade"}}), 0),
        ),
        [("hairpin_missing", ONE, "10.180.0.1:80")],
    ),
    (
        NEW,
        then(
            without_element("sets", "hairpin-connections", "10.180.0.1"),
            with_element("sets", "hairpin-connections", {"concat": ["10.180.0.1", "10.180.0.9", "tcp", 80]}),
        ),
        [("hairpin_missing", ONE, "10.180.0.1:80")],
    ),
    # Another mark than the one that is looked at.
    (
        NEW,
        replaced(f"external-{SVC3}", 16384, 32768),
        [broken(f"external-{SVC3}")],
    ),
    # Marked too late, or marked though the policy is Local.
    (
        CATALOGUE,
        then(without_rule(f"external-{WEB}", "mark"), with_rule(f"external-{WEB}", [FROM_NODE, *MARK], 2)),
        [
            broken(f"external-{WEB}"),
        ],
    ),
    (NEW, with_rule(f"external-{SVC2}", MARK), [broken(f"external-{SVC2}")]),
    # Pods go elsewhere than the node.
    (
        NEW,
        then(
            without_rule(f"external-{SVC2}", "ip saddr 10"),
            with_rule(
                f"external-{SVC2}",
                saddr("10.0.0.0/8", {"goto": {"target": f"service-{SVC1}"}}),
                0,
            ),
        ),
        [broken(f"external-{SVC2}")],
    ),
    # Networks that some nft does not join.
    (NEW, replaced(f"firewall-{SVC5}", {"prefix": {"addr": "203.0.113.0", "len": 25}}, {"set": HALVES}), []),
]


@pytest.mark.parametrize(("name", "damage", "wanted"), [*SERVICES, *ODDER])
def test_damage_to_one_service(name: str, damage: Damage, wanted: Told) -> None:
    healthy = table_of(name)
    assert told(healthy, damage(healthy)) == wanted


def test_the_timeout_of_affinity_is_that_of_its_sets() -> None:
    healthy = table_of(CATALOGUE)
    name = next(name for name in healthy.sets if name.startswith("affinity-") and "10.1.0.1" in name)
    one = timeout(name, 90)(healthy)
    assert {kind for kind, _object, _detail in told(healthy, one)} == {"element_broken"}
    every = healthy
    for name in [name for name in healthy.sets if name.startswith("affinity-")]:
        every = timeout(name, 90)(every)
    assert told(healthy, every) == [
        ("affinity_wrong", where, "") for where in ("TCP 172.30.0.1:80", "TCP 198.51.100.7:80", "TCP *:30080 (IPv4)")
    ]


def test_the_nodes_own_packets_without_a_way_to_tell_pods() -> None:
    healthy = table_of("catalogue-1.35-ip6")
    damaged = without_rule(WEB6, "local goto service-")(healthy)
    assert told(healthy, damaged) == [("element_broken", f"ip6 kube-proxy {WEB6}", "")]


def test_affinity_of_those_who_are_served_where_others_are_dropped() -> None:
    element = [{"elem": {"val": {"concat": ["tcp", 30080]}, "comment": "shop/web:http"}}, {"drop": None}]
    away = then(without_rule(f"external-{WEB}", "goto local-"), with_element("maps", "no-endpoint-nodeports", element))
    entry = read(away(table_of(CATALOGUE))).entries[(4, "", "tcp", 30080)]
    assert (entry.verdict, entry.destinations, entry.affinity) == ("drop", (), 60)
    assert entry.short_circuit is not None
    assert len(entry.short_circuit) == 3


def test_a_share_of_its_own_for_each_endpoint() -> None:
    healthy = table_of(CATALOGUE)
    name = next(name for name in healthy.chains if "shop/inside" in name)
    damaged = replaced(name, "10.1.0.4", "10.1.0.3")(healthy)
    assert told(healthy, damaged) == [("destination_missing", "UDP 172.30.0.2:53", "10.1.0.4:53"), broken(name)]


def test_what_a_defect_explains_is_not_told_for_others() -> None:
    """The chain of endpoint 10.180.0.1 is empty: that of ns1/svc1 is told by it, ns3/svc3 is not."""
    table = flush(f"endpoint-{END1}")(table_of(OLD))
    damaged = without_rule(f"service-{SVC3}", "mark")(table)
    assert read(damaged).told == {(4, "172.30.0.41", "tcp", 80)}
    assert told(table_of(OLD), damaged) == [("masquerade_wrong", "TCP 172.30.0.43:80", ""), broken(f"endpoint-{END1}")]


def test_a_firewall_that_guards_several_addresses() -> None:
    second = [{"concat": ["6.6.6.6", "tcp", 80]}, {"goto": {"target": f"firewall-{SVC5}"}}]
    served = [{"concat": ["6.6.6.6", "tcp", 80]}, {"goto": {"target": f"external-{SVC5}"}}]
    healthy = with_element("maps", "firewall-ips", second)(with_element("maps", "service-ips", served)(table_of(NEW)))
    assert told(healthy, flush(f"firewall-{SVC5}")(healthy)) == [broken(f"firewall-{SVC5}")]


def test_defects_of_elements_name_the_service() -> None:
    element = [{"elem": {"val": {"concat": ["9.9.9.9", "tcp", 80]}, "comment": "ns9/svc9:p80"}}, {"accept": None}]
    damaged = with_element("maps", "no-endpoint-services", element)(table_of(NEW))
    assert [one.service for one in read(damaged).defects] == ["ns9/svc9:p80"]


def test_defects_of_chains_name_the_service() -> None:
    damaged = flush(f"endpoint-{END1}")(flush(f"firewall-{SVC5}")(table_of(OLD)))
    assert {one.service for one in read(damaged).defects} == {"ns1/svc1:p80", "ns5/svc5:p80"}
    assert {one.evidence for one in read(damaged).defects} == {
        f"nft list chain ip kube-proxy endpoint-{END1}",
        f"nft list chain ip kube-proxy firewall-{SVC5}",
    }


@pytest.mark.parametrize("release", RELEASES)
def test_flushed(release: str) -> None:
    """C(nft flush table) takes all rules; maps and sets keep their elements."""
    healthy = table_of(f"overall-{release}-ip")
    chains = {name: replace(one, rules=()) for name, one in healthy.chains.items()}
    found = read(replace(healthy, chains=chains))
    assert [(one.kind, one.object) for one in found.defects] == [("flushed", "table ip kube-proxy")]
    assert (found.entries, found.told, found.layout_known) == ({}, frozenset({4}), True)
    assert [one.kind for one in differences(read(healthy), found)] == ["flushed"]


@pytest.mark.parametrize("tables", [[], [NftTable("ip", "kube-proxy")], [NftTable("ip", "filter")]])
def test_no_table(tables: list[NftTable]) -> None:
    found = read_nftables(tables, [4])
    assert [(one.kind, one.object) for one in found.defects] == [("flushed", "table ip kube-proxy")]
    assert (found.entries, found.told, found.layout_known) == ({}, frozenset({4}), True)


def test_a_dormant_table() -> None:
    healthy = table_of(NEW)
    assert told(healthy, replace(healthy, flags=("dormant",))) == [("jump_missing", "table ip kube-proxy", "")]


def test_what_other_releases_left_is_nothing() -> None:
    """Chains and sets that the running kube-proxy does not know stay in its table until it is removed."""
    new, old = table_of("overall-1.37.2-ip"), table_of("overall-1.31.14-ip")
    for table, other in ((new, old), (old, new)):
        chains = {name: one for name, one in other.chains.items() if "/" not in name and name not in table.chains}
        sets = {name: one for name, one in other.sets.items() if "/" not in name and name not in table.sets}
        assert {"filter-prerouting", "mark-for-masquerade"} <= chains.keys() or "hairpin-connections" in sets
        mixed = replace(table, chains={**table.chains, **chains}, sets={**table.sets, **sets})
        assert read(mixed) == read(table)


def dispatching(table: NftTable) -> NftTable:
    """As proposed for 1.38: maps lead to chains that many Services share, and one map has all endpoints."""
    lookup = {"payload": {"protocol": "ip", "field": "daddr"}}
    rule = [{"vmap": {"key": lookup, "data": "@endpoints"}}]
    chains = {**table.chains, "dispatch-1": NftChain(rules=(rule,)), "lb-2-endpoints": NftChain(rules=(rule,))}
    moved = led("service-ips", "172.30.0.41", {"goto": {"target": "dispatch-1"}})(replace(table, chains=chains))
    return replace(moved, maps={**moved.maps, "endpoints": NftSet("ipv4_addr", "ipv4_addr")})


def new_rules(table: NftTable, old: bool = False) -> NftTable:
    """Every chain that leads to endpoints does it in a new way."""
    rule: list[t.Any] = [{"dnat": {"addr": {"map": {"key": {"jhash": {"mod": 2}}, "data": "@endpoints"}}}}]
    for name in [name for name in table.chains if name.startswith(("service-", "local-", "endpoint-")) and "/" in name]:
        if not (old and name.startswith("service-")):
            table = chain(table, name, rules=(rule,))
    return table


def retyped(table: NftTable) -> NftTable:
    changed = replace(table.maps["service-ips"], type="ipv4_addr . inet_service")
    return replace(table, maps={**table.maps, "service-ips": changed})


def without(kind: str, name: str, table: NftTable) -> NftTable:
    return parts(table, kind, {key: one for key, one in getattr(table, kind).items() if key != name})


def with_base_chain(table: NftTable) -> NftTable:
    return replace(
        table, chains={**table.chains, "raw-prerouting": NftChain("prerouting", (), "filter", -300, "accept")}
    )


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (dispatching, "service-ips leads to chain dispatch-1"),
        (new_rules, "chain service-"),
        (retyped, "map service-ips of ipv4_addr . inet_service : verdict"),
        (partial(without, "maps", "firewall-ips"), "no map firewall-ips"),
        (partial(without, "sets", "cluster-ips"), "no set cluster-ips"),
        (with_base_chain, "base chain raw-prerouting"),
        (with_rule("services", [{"jump": {"target": "topology"}}]), "a rule leads to chain topology"),
        (replaced("services", "@service-ips", "@service-vips"), "a rule uses service-vips"),
    ],
)
def test_an_unknown_layout_is_said_and_not_guessed(change: Damage, seen: str) -> None:
    healthy = table_of(NEW)
    found = read_nftables([change(healthy), table_of("overall-1.37.2-ip6")], [4, 6])
    assert (found.layout_known, found.entries, found.parts) == (False, {}, {})
    assert [(one.kind, one.object) for one in found.defects] == [("layout_unknown", "table ip kube-proxy")]
    assert found.defects[0].actual.startswith(seen)
    assert found.defects[0].evidence == "nft list table ip kube-proxy"


def test_chains_of_endpoints_that_are_unknown() -> None:
    found = read(new_rules(table_of(OLD), old=True))
    assert [one.kind for one in found.defects] == ["layout_unknown"]
    assert found.defects[0].actual.startswith("chain endpoint-")


PODS = {4: "ip saddr 10.0.0.0/8"}


@pytest.mark.parametrize(
    ("name", "given", "kinds"),
    [
        (NEW, Settings(16384, False, PODS), []),
        (OLD, Settings(16384, False, PODS), []),
        (CATALOGUE, Settings(16384, False, {4: "meta iifname cali*"}), []),
        (NEW, Settings(masquerade_all=True), ["rule_wrong"]),
        (NEW, Settings(pods={4: "ip saddr 10.9.0.0/16"}), ["rule_wrong"]),
        (OLD, Settings(pods={4: "ip saddr 10.9.0.0/16"}), ["rule_wrong"]),
        (NEW, Settings(masquerade_all=False, pods={}), ["rule_wrong"]),
        ("catalogue-1.35-ip6", Settings(16384, True, {4: "ip saddr 10.0.0.0/8"}), []),
        ("catalogue-1.35-ip6", Settings(pods={6: "ip6 saddr fd00::/64"}), ["rule_wrong"]),
        (NEW, Settings(mark=32768), ["rule_wrong"]),
        (OLD, Settings(mark=32768), ["rule_wrong"]),
    ],
)
def test_the_configuration_tells_what_is_meant(name: str, given: Settings, kinds: list[str]) -> None:
    """What no rule does as it says is told once, however many rules there are."""
    found = read_nftables([table_of(name)], [6 if name.endswith("6") else 4], given)
    assert [one.kind for one in found.defects] == kinds


@pytest.mark.parametrize(
    ("config", "pod_cidrs", "pods"),
    [
        (
            {"detectLocalMode": "ClusterCIDR", "clusterCIDR": "10.244.0.0/16,10.9.0.0/16,fd00:10::/64"},
            [],
            {4: "ip saddr 10.244.0.0/16", 6: "ip6 saddr fd00:10::/64"},
        ),
        ({"detectLocalMode": "ClusterCIDR", "clusterCIDR": ""}, ["10.244.1.0/24"], {}),
        (
            {"detectLocalMode": "NodeCIDR", "clusterCIDR": "10.0.0.0/8"},
            ["10.244.1.0/24"],
            {4: "ip saddr 10.244.1.0/24"},
        ),
        # nft prints an address without its whole length.
        (
            {"detectLocalMode": "NodeCIDR"},
            ["fd00::1/128", "10.0.0.1/32"],
            {4: "ip saddr 10.0.0.1", 6: "ip6 saddr fd00::1"},
        ),
        (
            {"detectLocalMode": "BridgeInterface", "detectLocal": {"bridgeInterface": "cbr0"}},
            [],
            {4: "meta iifname cbr0", 6: "meta iifname cbr0"},
        ),
        (
            {"detectLocalMode": "InterfaceNamePrefix", "detectLocal": {"interfaceNamePrefix": "cali"}},
            [],
            {4: "meta iifname cali*", 6: "meta iifname cali*"},
        ),
    ],
)
def test_settings_of_a_configuration(config: dict[str, t.Any], pod_cidrs: list[str], pods: dict[int, str]) -> None:
    assert settings_of(config, pod_cidrs) == Settings(0x4000, False, pods)
    other = {**config, "nftables": {"masqueradeBit": 15, "masqueradeAll": True}, "iptables": {"masqueradeBit": 3}}
    assert settings_of(other, pod_cidrs) == Settings(0x8000, True, pods)


def test_pods_told_otherwise_than_meant() -> None:
    damaged = replaced("services", "10.0.0.0", "10.9.0.0")(table_of(NEW))
    found = read_nftables([damaged], [4], Settings(pods=PODS)).defects
    assert [(one.kind, one.expected, one.actual) for one in found] == [
        ("rule_wrong", "pods told by 'ip saddr 10.0.0.0/8'", "by 'ip saddr 10.9.0.0/8'")
    ]


def test_a_rule_for_all_cluster_ips_is_told_once() -> None:
    """And not once more for each ClusterIP."""
    damaged = without_rule("services", "@cluster-ips")(table_of(NEW))
    found = read_nftables([damaged], [4], Settings(pods=PODS))
    assert [one.kind for one in found.defects] == ["rule_missing"]
    assert found.entries[(4, "172.30.0.41", "tcp", 80)].masquerade is None
    nobody = without_rule("services", "@cluster-ips")(table_of("deleted-1.37.2-ip"))
    meant = read_nftables([nobody], [4], Settings(masquerade_all=False, pods={}))
    assert meant.defects == ()
    assert meant.entries[(4, "172.30.0.41", "tcp", 80)].masquerade == "none"
