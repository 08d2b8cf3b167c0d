# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reader of iptables mode. Expected values: the golden rules of C(pkg/proxy/iptables/proxier_test.go) read by hand, the
Services that were on the nodes of the captures (README of the fixtures), and what each kind of damage does to a packet."""

from __future__ import annotations

import re
import time
import typing as t
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_compare import differences
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables import read_iptables
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_rules import RuleSettings
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Dataplane, Part
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import JUMPS
from tests.labkit.kube_rules import nat_table
from tests.unit.plugins.kube_dataplanes import GOLDEN, golden, lines, members, plane

FIXTURES = Path(__file__).parents[1] / "fixtures"
NAMES = {4: "ipv4", 6: "ipv6"}
GOLDEN_SAVED = "iptables/iptables-mode-nft.txt"
REAL = {4: "iptables/kube-proxy-1.37.2-iptables-ipv4.txt", 6: "iptables/kube-proxy-1.37.2-iptables-ipv6.txt"}
# NewFakeProxier: its local detector, and masqueradeBit 14.
SETTINGS = RuleSettings(0x4000, outside={4: "! -s 10.0.0.0/8", 6: "! -s fd00:10::/64"})
Tables = dict[Location, Table]


def text_of(fixture: str) -> str:
    return (FIXTURES / fixture).read_text(encoding="utf-8")


def tables(text: str, family: int = 4, backend: str = "nft") -> Tables:
    return {Location(backend, NAMES[family], name): table for name, table in parse_save(text).items()}


def as_saved(text: str) -> str:
    """Input of iptables-restore with the built-in chains and jumps, and targets as iptables-save prints them."""
    for name, builtin in (("filter", "INPUT FORWARD OUTPUT"), ("nat", "PREROUTING INPUT OUTPUT POSTROUTING")):
        head = "".join(f":{chain} ACCEPT [0:0]\n" for chain in builtin.split())
        jumps = [
            f"-A {jump.source} {jump.spec}\n"
            for jump in JUMPS
            if jump.table == name and "iptables" in jump.modes and not jump.until
        ]
        jumps += [f"-A {source} -j KUBE-FIREWALL\n" for source in ("INPUT", "OUTPUT") if name == "filter"]
        start, end = text.index(f"*{name}\n"), text.index("COMMIT", text.index(f"*{name}\n"))
        text = f"{text[:start]}*{name}\n{head}{text[start + len(name) + 2 : end]}{''.join(jumps)}{text[end:]}"
    text = re.sub(r"(-m comment \S+ .*?) -d 127.0.0.0/8 ! -s 127.0.0.0/8", r"! -s 127.0.0.0/8 -d 127.0.0.0/8 \1", text)
    text = re.sub(r"--or-mark (\S+)", r"--set-xmark \1/\1", text)
    return re.sub(r"--xor-mark (\S+)", r"--set-xmark \1/0x0", text)


def golden_tables() -> Tables:
    return tables(text_of(GOLDEN_SAVED))


def read(of: Tables, *families: int, expected: Dataplane | None = None) -> Dataplane:
    return read_iptables(of, "nft", families or (4,), SETTINGS, expected)


def shown(of: Dataplane) -> list[tuple[str, str]]:
    return [(one.kind, one.object) for one in of.defects]


@pytest.mark.parametrize("name", ["overall-1.37.2", "overall-1.31.14", "saved"])
def test_golden_rules(name: str) -> None:
    text = text_of(GOLDEN_SAVED) if name == "saved" else as_saved(text_of(f"dataplane_iptables/{name}.txt"))
    found = read(tables(text))
    assert lines(found) == GOLDEN
    assert found.defects == ()
    assert found.told == frozenset()
    assert found.parts == {
        Part("health_check_ports", 4): {"30000": ""},
        Part("node_port_addresses", 4): {"local": ""},
    }
    assert {one.no_hairpin for one in found.entries.values()} == {()}
    by_key = {one.key: (one.source, one.service) for one in found.entries.values()}
    assert by_key[4, "172.30.0.42", "tcp", 80] == ("cluster_ip", "ns2/svc2:p80")
    assert by_key[4, "192.168.99.22", "tcp", 80] == ("external_ip", "ns2/svc2:p80")
    assert by_key[4, "1.2.3.4", "tcp", 80] == ("load_balancer_ip", "ns2/svc2:p80")
    assert by_key[4, "", "tcp", 3001] == ("node_port", "ns2/svc2:p80")
    assert by_key[4, "172.30.0.46", "tcp", 80] == ("", "ns6/svc6:p80")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "bad-ips",
            {
                "172.30.0.41:80/tcp": "forward 10.180.0.1:80, cluster, masquerade outside_pods",
                "192.168.99.22:80/tcp": "forward 10.180.0.1:80, cluster, masquerade all",
                "1.2.3.4:80/tcp": "forward 10.180.0.1:80, cluster, masquerade all, from 203.0.113.0/25",
                "*:3001/tcp": "forward 10.180.0.1:80, cluster, masquerade all",
            },
        ),
        (
            "repeated",
            {
                "172.30.0.41:80/tcp": "forward 10.0.1.1:80, cluster, masquerade outside_pods",
                "172.30.0.42:8080/tcp": "forward 10.0.2.1:8080, cluster, masquerade outside_pods",
            },
        ),
    ],
)
def test_more_golden_rules(name: str, expected: dict[str, str]) -> None:
    found = read(tables(as_saved(text_of(f"dataplane_iptables/{name}-1.37.2.txt"))))
    assert (lines(found), found.defects) == (expected, ())


def test_real_node() -> None:
    both = {**tables(text_of(REAL[4])), **tables(text_of(REAL[6]), 6)}
    found = read_iptables(both, "nft", (4, 6))
    assert found.defects == ()
    assert lines(found) == {
        "10.96.0.1:443/tcp": "forward 10.34.0.10:6443, cluster, masquerade outside_pods",
        "10.96.255.214:443/tcp": "forward 192.168.178.7:8443, cluster, masquerade outside_pods, sticky 10800",
        "203.0.113.200:443/tcp": "forward 192.168.178.7:8443, pods and node 192.168.178.7:8443, local, masquerade node, "
        "sticky 10800, from 203.0.113.0/25",
        "*:30443/tcp": "forward 192.168.178.7:8443, pods and node 192.168.178.7:8443, local, masquerade node, sticky 10800",
        "10.96.10.10:80/tcp": "forward 192.168.178.7:8080 192.168.178.8:8080 192.168.178.9:8080, cluster, "
        "masquerade outside_pods",
        "*:30080/tcp": "forward 192.168.178.7:8080 192.168.178.8:8080 192.168.178.9:8080, cluster, masquerade all",
        "10.96.136.53:80/tcp": "reject, -, masquerade -",
        "fd00:10:96::a10:80/tcp": "forward fd00:10:244::7:8080, cluster, masquerade outside_pods",
        "**:30080/tcp": "forward fd00:10:244::7:8080, cluster, masquerade all",
        "fd00:10:96::428a:80/tcp": "reject, -, masquerade -",
    }
    assert members(found, "health_check_ports") == ["30423"]
    assert members(found, "node_port_addresses") == ["local"]
    assert members(found, "node_port_addresses", 6) == ["local except loopback"]
    evidence = found.entries[4, "", "tcp", 30080].evidence
    assert evidence == "iptables-nft-save -t nat | grep -e KUBE-EXT-PZZOH4GMXQXQLAH7 -e KUBE-SVC-PZZOH4GMXQXQLAH7"


def test_the_backend_is_the_callers_choice() -> None:
    legacy = {Location("legacy", at.family, at.table): table for at, table in golden_tables().items()}
    assert lines(read_iptables(legacy, "legacy", (4,))) == GOLDEN
    (nat, _filter) = read_iptables(legacy, "nft", (4,)).defects
    assert (nat.kind, nat.object, nat.evidence) == ("table_unread", "nat table (ipv4)", "iptables-nft-save -t nat")


# Damage: the table and chain, and what is done to its rules. The golden rules are read against what the golden Services ask for.
Change = t.Callable[[list[str]], object]
WEB, EXT, EXT_LOCAL = "4SW47YFZTEDKD3PK", "KUBE-EXT-4SW47YFZTEDKD3PK", "KUBE-EXT-GNZBNJ2PO5MGZ6GT"
STICKY, STICKY_END = "KUBE-SVC-NUKIZ6OKUXPJNT4C", "KUBE-SEP-I77PXRDZVX7PMWMN"
ONE_END = "KUBE-SEP-SXIVWICOYRO3J4NJ"
CLUSTER_IP, EXTERNAL_IP = "TCP 172.30.0.44:80", "TCP 192.168.99.33:80"


def without(word: str) -> Change:
    def change(rules: list[str]) -> None:
        kept = [rule for rule in rules if word not in rule]
        assert len(kept) < len(rules)
        rules[:] = kept

    return change


def instead(old: str, new: str) -> Change:
    def change(rules: list[str]) -> None:
        assert any(old in rule for rule in rules)
        rules[:] = [rule.replace(old, new) for rule in rules]

    return change


def first(rule: str) -> Change:
    return lambda rules: rules.insert(0, rule)


def last(rule: str) -> Change:
    return lambda rules: rules.append(rule)


def emptied(rules: list[str]) -> None:
    rules.clear()


def doubled(rules: list[str]) -> None:
    rules += rules


def damaged(of: Tables, table: str, chain: str, change: Change) -> Tables:
    at = Location("nft", "ipv4", table)
    rules = list(of[at].chains[chain])
    change(rules)
    return {**of, at: Table({**of[at].chains, chain: tuple(rules)}, of[at].builtin)}


NEW_VIP = (
    '-d 172.30.0.99/32 -p tcp -m comment --comment "ns9/old cluster IP" -m tcp --dport 80 -j KUBE-SVC-4SW47YFZTEDKD3PK'
)
DAMAGE: list[tuple[str, str, Change, list[tuple[str, str]]]] = [
    ("nat", "PREROUTING", emptied, [("jump_missing", "nat PREROUTING -> KUBE-SERVICES (ipv4)")]),
    ("nat", "OUTPUT", doubled, [("jump_twice", "nat OUTPUT -> KUBE-SERVICES (ipv4)")]),
    ("nat", "OUTPUT", first("-j ACCEPT"), [("jump_missing", "nat OUTPUT -> KUBE-SERVICES (ipv4)")]),
    ("nat", "OUTPUT", first("-p icmp -j ACCEPT"), []),
    (
        "filter",
        "FORWARD",
        without("KUBE-EXTERNAL-SERVICES"),
        [("jump_missing", "filter FORWARD -> KUBE-EXTERNAL-SERVICES (ipv4)")],
    ),
    (
        "filter",
        "INPUT",
        first(
            '-m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL'
        ),
        [("jump_twice", "filter INPUT -> KUBE-PROXY-FIREWALL (ipv4)")],
    ),
    # A leftover of ipvs mode, which the inventory tells.
    ("filter", "INPUT", first('-m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL'), []),
    ("filter", "INPUT", without("-j KUBE-FIREWALL"), [("jump_missing", "filter INPUT -> KUBE-FIREWALL (ipv4)")]),
    ("filter", "KUBE-FIREWALL", emptied, [("rule_missing", "filter KUBE-FIREWALL (ipv4)")]),
    ("nat", "KUBE-MARK-MASQ", emptied, [("rule_missing", "nat KUBE-MARK-MASQ (ipv4)")]),
    ("nat", "KUBE-MARK-MASQ", instead("0x4000", "0x8000"), [("rule_wrong", "nat KUBE-MARK-MASQ (ipv4)")]),
    ("nat", "KUBE-POSTROUTING", without("MASQUERADE"), [("rule_missing", "nat KUBE-POSTROUTING (ipv4)")]),
    ("nat", "KUBE-POSTROUTING", instead(" --random-fully", ""), []),
    ("filter", "KUBE-FORWARD", without("0x4000"), [("rule_missing", "filter KUBE-FORWARD (ipv4)")]),
    ("filter", "KUBE-FORWARD", without("INVALID"), []),
    ("filter", "KUBE-FORWARD", emptied, [("rule_missing", "filter KUBE-FORWARD (ipv4)")]),
    ("nat", f"KUBE-SVC-{WEB}", emptied, [("element_broken", f"nat KUBE-SVC-{WEB} (ipv4)")]),
    ("nat", EXT, emptied, [("element_broken", f"nat {EXT} (ipv4)")]),
    ("nat", ONE_END, emptied, [("element_broken", f"nat {ONE_END} (ipv4)")]),
    ("nat", ONE_END, without("DNAT"), [("element_broken", f"nat {ONE_END} (ipv4)")]),
    (
        "nat",
        ONE_END,
        instead("-p tcp", "-p udp"),
        [("element_broken", f"nat {ONE_END} (ipv4)")],
    ),
    (
        "nat",
        ONE_END,
        first("-p tcp -m tcp -j DNAT --to-destination 10.180.0.1-10.180.0.9:80"),
        [("element_broken", f"nat {ONE_END} (ipv4)")],
    ),
    ("nat", ONE_END, without("KUBE-MARK-MASQ"), [("hairpin_missing", "TCP 172.30.0.41:80")]),
    ("nat", ONE_END, instead("-s 10.180.0.1/32", "-s 10.180.0.7/32"), [("hairpin_missing", "TCP 172.30.0.41:80")]),
    (
        "nat",
        ONE_END,
        instead("10.180.0.1:80", "10.180.0.9:80"),
        [
            ("destination_missing", "TCP 172.30.0.41:80"),
            ("destination_stale", "TCP 172.30.0.41:80"),
        ],
    ),
    # Whatever is masqueraded on its way needs no hairpin rule.
    ("nat", "KUBE-SEP-C6EBXVWJJZMIWKLZ", without("KUBE-MARK-MASQ"), [("hairpin_missing", CLUSTER_IP)]),
    (
        "nat",
        f"KUBE-SVC-{WEB}",
        without("C6EBXVWJJZMIWKLZ"),
        [("destination_missing", CLUSTER_IP), ("destination_missing", EXTERNAL_IP)],
    ),
    (
        "nat",
        f"KUBE-SVC-{WEB}",
        instead("0.50000000000", "0.90000000000"),
        [("shares_wrong", f"nat KUBE-SVC-{WEB} (ipv4)")],
    ),
    (
        "nat",
        f"KUBE-SVC-{WEB}",
        instead("--probability 0.5", "--probability ?"),
        [("shares_wrong", f"nat KUBE-SVC-{WEB} (ipv4)")],
    ),
    (
        "nat",
        f"KUBE-SVC-{WEB}",
        lambda rules: rules.append(rules.pop(1)),
        [("shares_wrong", f"nat KUBE-SVC-{WEB} (ipv4)")],
    ),
    (
        "nat",
        f"KUBE-SVC-{WEB}",
        instead('-> 10.180.0.5:80" -j', '-> 10.180.0.5:80" -m statistic --mode random --probability 0.5 -j'),
        [("shares_wrong", f"nat KUBE-SVC-{WEB} (ipv4)")],
    ),
    # Nothing gets behind the last rule.
    ("nat", f"KUBE-SVC-{WEB}", doubled, []),
    ("nat", f"KUBE-SVC-{WEB}", without("KUBE-MARK-MASQ"), [("masquerade_wrong", CLUSTER_IP)]),
    ("nat", f"KUBE-SVC-{WEB}", instead("! -s 10.0.0.0/8 ", ""), [("masquerade_wrong", CLUSTER_IP)]),
    (
        "nat",
        f"KUBE-SVC-{WEB}",
        instead("! -s 10.0.0.0/8", "! -s 10.1.0.0/16"),
        [("rule_wrong", f"nat KUBE-SVC-{WEB} (ipv4)")],
    ),
    ("nat", f"KUBE-SVC-{WEB}", first("-s 10.9.9.9/32 -j RETURN"), [("rule_wrong", f"nat KUBE-SVC-{WEB} (ipv4)")]),
    ("nat", f"KUBE-SVC-{WEB}", first('-m comment --comment "who is it" -j LOG --log-prefix "-j DROP "'), []),
    ("nat", f"KUBE-SVC-{WEB}", last("-j RETURN"), []),
    # Half of the packets are sent off before it.
    (
        "nat",
        f"KUBE-SVC-{WEB}",
        lambda rules: rules.insert(1, rules.pop(0)),
        [("rule_wrong", f"nat KUBE-SVC-{WEB} (ipv4)"), ("masquerade_wrong", CLUSTER_IP)],
    ),
    # A match that kube-proxy does not use: whom it is for is not guessed.
    (
        "nat",
        "KUBE-SERVICES",
        instead("--dport 80 -j KUBE-SVC-XPGD", "--dport 80 -m time --timestart 08:00 -j KUBE-SVC-XPGD"),
        [("rule_wrong", "nat KUBE-SERVICES (ipv4)"), ("vip_missing", "TCP 172.30.0.41:80")],
    ),
    ("nat", EXT, without("KUBE-MARK-MASQ"), [("masquerade_wrong", EXTERNAL_IP)]),
    ("nat", EXT_LOCAL, without("route LOCAL"), [("rule_missing", f"nat {EXT_LOCAL} (ipv4)")]),
    ("nat", EXT_LOCAL, without("pod traffic"), [("rule_missing", f"nat {EXT_LOCAL} (ipv4)")]),
    (
        "nat",
        EXT_LOCAL,
        lambda rules: rules.append(rules.pop(1)),  # The mark comes too late: nobody gets there.
        [("rule_wrong", f"nat {EXT_LOCAL} (ipv4)")],
    ),
    (
        "nat",
        "KUBE-FW-NUKIZ6OKUXPJNT4C",
        first("-s 198.51.100.0/24 -j KUBE-EXT-NUKIZ6OKUXPJNT4C"),
        [("source_ranges_wrong", "TCP 5.6.7.8:80")],
    ),
    ("nat", "KUBE-FW-NUKIZ6OKUXPJNT4C", instead("-s 203.0.113.0/25 ", ""), [("source_ranges_wrong", "TCP 5.6.7.8:80")]),
    (
        "nat",
        "KUBE-FW-NUKIZ6OKUXPJNT4C",
        without("203.0.113.0"),
        [("element_broken", "nat KUBE-FW-NUKIZ6OKUXPJNT4C (ipv4)")],
    ),
    ("filter", "KUBE-PROXY-FIREWALL", emptied, [("rule_missing", "filter KUBE-PROXY-FIREWALL (ipv4)")]),
    ("filter", "KUBE-SERVICES", emptied, [("vip_missing", "TCP 172.30.0.46:80")]),
    (
        "filter",
        "KUBE-SERVICES",
        instead("REJECT --reject-with icmp-port-unreachable", "DROP"),
        [("verdict_wrong", "TCP 172.30.0.46:80")],
    ),
    ("filter", "KUBE-EXTERNAL-SERVICES", without("1.2.3.4"), [("verdict_wrong", "TCP 1.2.3.4:80")]),
    ("filter", "KUBE-NODEPORTS", emptied, [("member_missing", "open health-check ports (IPv4)")]),
    (
        "nat",
        "KUBE-SERVICES",
        without("must be the last"),
        [("member_missing", "addresses that NodePorts answer on (IPv4)")],
    ),
    ("nat", "KUBE-SERVICES", without("ns1/svc1:p80"), [("vip_missing", "TCP 172.30.0.41:80")]),
    ("nat", "KUBE-SERVICES", first(NEW_VIP), [("vip_dead", "TCP 172.30.0.99:80")]),
    ("nat", "KUBE-SERVICES", lambda rules: rules.append(rules.pop(0)), [("rule_wrong", "nat KUBE-SERVICES (ipv4)")]),
    ("nat", "KUBE-SERVICES", lambda rules: rules.insert(0, rules[0]), []),
    ("nat", "KUBE-SERVICES", lambda rules: rules[:-1].reverse(), []),
    (
        "nat",
        "KUBE-SERVICES",
        first("-d 172.30.0.41/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.9.9.9:80"),
        [("rule_wrong", "nat KUBE-SERVICES (ipv4)")],
    ),
    ("nat", "KUBE-NODEPORTS", without("--dport 3003"), [("vip_missing", "TCP *:3003 (IPv4)")]),
    (
        "nat",
        STICKY,
        without("--rcheck"),
        [("affinity_wrong", name) for name in ("TCP 172.30.0.45:80", "TCP 5.6.7.8:80", "TCP *:3002 (IPv4)")],
    ),
    (
        "nat",
        STICKY,
        instead("10800", "60"),
        [("affinity_wrong", name) for name in ("TCP 172.30.0.45:80", "TCP 5.6.7.8:80", "TCP *:3002 (IPv4)")],
    ),
    (
        "nat",
        STICKY_END,
        instead(f"-m recent --set --name {STICKY_END} --mask 255.255.255.255 --rsource ", ""),
        [("shares_wrong", f"nat {STICKY} (ipv4)")],
    ),
    ("nat", "KUBE-SERVICES", emptied, [("flushed", "nat table (ipv4)")]),
]


@pytest.mark.parametrize(("table", "chain", "change", "expected"), DAMAGE)
def test_damage_is_told_once_and_alone(table: str, chain: str, change: Change, expected: list[tuple[str, str]]) -> None:
    asked = plane("iptables", *golden())
    found = read(damaged(golden_tables(), table, chain, change), expected=asked)
    told = [(one.kind, one.object) for one in differences(asked, found) if "(IPv6)" not in one.object]
    assert sorted(told) == sorted(expected)


def flushed(of: Tables, table: str, remove: bool = False) -> Tables:
    """C(iptables -t TABLE -F), with C(-X) behind it or not."""
    at = Location("nft", "ipv4", table)
    chains = {name: () for name in of[at].chains if not remove or name in of[at].builtin}
    return {**of, at: Table(chains, of[at].builtin)}


@pytest.mark.parametrize("table", ["nat", "filter"])
@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_a_flush_is_told_once(table: str, remove: bool, known: bool) -> None:
    asked = plane("iptables", *golden())
    found = read(flushed(golden_tables(), table, remove), expected=asked if known else None)
    (one, *more) = [one for one in differences(asked, found) if "(IPv6)" not in one.object]
    assert (one.kind, one.object, more) == ("flushed", f"{table} table (ipv4)", [])
    assert "KUBE-PROXY-CANARY in table mangle is still there" in one.actual
    # What the other table does is still held against what is asked for, where that is known.
    if table == "filter" and known:
        broken = read(
            flushed(damaged(golden_tables(), "nat", f"KUBE-SVC-{WEB}", without("KUBE-MARK-MASQ")), "filter"),
            expected=asked,
        )
        assert "masquerade_wrong" in [one.kind for one in differences(asked, broken)]


def test_a_flush_that_kube_proxy_notices() -> None:
    of = {at: table for at, table in flushed(golden_tables(), "nat").items() if at.table != "mangle"}
    (one,) = read({**of, Location("nft", "ipv4", "mangle"): Table()}).defects
    assert "KUBE-PROXY-CANARY in table mangle is gone, too" in one.actual
    (one,) = read(of).defects
    assert "CANARY" not in one.actual


def test_a_family_without_services_has_an_empty_chain() -> None:
    """nodePortAddresses of the other family alone: no rule in KUBE-SERVICES, and nothing is wrong."""
    real = tables(text_of(REAL[6]), 6)
    nat, at = real[Location("nft", "ipv6", "nat")], Location("nft", "ipv6", "nat")
    chains = {name: rules for name, rules in nat.chains.items() if not re.match("KUBE-(SVC|SEP|EXT)-", name)}
    idle = {**real, at: Table({**chains, "KUBE-SERVICES": (), "KUBE-NODEPORTS": ()}, nat.builtin)}
    for expected in (None, Dataplane("iptables")):
        found = read_iptables(idle, "nft", (6,), expected=expected)
        assert (found.defects, found.told) == ((), frozenset())
        assert found.parts[Part("node_port_addresses", 6)] == {}
    lost = {**idle, at: Table({**chains, "KUBE-SERVICES": (), "KUBE-SVC-2CMXP7HKUVJN7L6M": ()}, nat.builtin)}
    assert [one.kind for one in read_iptables(lost, "nft", (6,)).defects] == ["flushed"]


@pytest.mark.parametrize("chain", ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-FORWARD"])
def test_a_chain_that_is_gone_takes_its_jumps_along(chain: str) -> None:
    of = golden_tables()
    at = Location("nft", "ipv4", "filter")
    left = {
        name: tuple(rule for rule in rules if not rule.endswith(f"-j {chain}"))
        for name, rules in of[at].chains.items()
        if name != chain
    }
    assert shown(read({**of, at: Table(left, of[at].builtin)})) == [("chain_missing", f"filter {chain} (ipv4)")]


ADDRESSES: list[tuple[int, str, list[str]]] = [
    (4, "-m addrtype --dst-type LOCAL", ["local"]),
    (4, "! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL", ["local except loopback"]),
    (4, "-d 192.168.0.2/32", ["192.168.0.2"]),
    (6, "! -d ::1/128 -m addrtype --dst-type LOCAL", ["local except loopback"]),
    (6, "-d 2001:db8::1/128", ["2001:db8::1"]),
    # Not kube-proxy's: said, and not taken for one of them.
    (4, "-i eth0 -m addrtype --dst-type LOCAL", []),
    (4, "! -d 10.0.0.0/8 -m addrtype --dst-type LOCAL", []),
    (6, "! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL", []),
]


@pytest.mark.parametrize(("family", "match", "expected"), ADDRESSES)
def test_addresses_of_node_ports(family: int, match: str, expected: list[str]) -> None:
    of, at = tables(text_of(REAL[family]), family), Location("nft", NAMES[family], "nat")
    kept = [rule for rule in of[at].chains["KUBE-SERVICES"] if "KUBE-NODEPORTS" not in rule]
    chains = {**of[at].chains, "KUBE-SERVICES": (*kept, f"{match} -j KUBE-NODEPORTS")}
    found = read_iptables({**of, at: Table(chains, of[at].builtin)}, "nft", (family,))
    assert members(found, "node_port_addresses", family) == expected
    assert [one.kind for one in found.defects] == ([] if expected else ["rule_wrong"])


def test_the_guard_of_loopback_is_needed_only_where_node_ports_answer_there() -> None:
    open_guard = damaged(golden_tables(), "filter", "KUBE-FIREWALL", emptied)
    closed = instead("-m addrtype --dst-type LOCAL", "! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL")
    assert shown(read(open_guard)) == [("rule_missing", "filter KUBE-FIREWALL (ipv4)")]
    assert shown(read(damaged(open_guard, "nat", "KUBE-SERVICES", closed))) == []


DETECTED = [("nat KUBE-SVC-XPGD46QRK7WJZT7O (ipv4)", "by -s 10.0.0.0/8, and in 5 more chains")]


@pytest.mark.parametrize(
    ("outside", "expected"),
    [
        (None, []),
        ({4: "! -s 10.0.0.0/8"}, []),
        ({4: "! -i cni0"}, DETECTED),
        ({}, DETECTED),
    ],
)
def test_pods_are_told_as_configured(outside: dict[int, str] | None, expected: list[tuple[str, str]]) -> None:
    known = None if outside is None else RuleSettings(0x4000, outside=outside)
    wrong = [one for one in read_iptables(golden_tables(), "nft", (4,), known).defects if one.kind == "rule_wrong"]
    assert [(one.object, one.actual) for one in wrong] == expected


@pytest.mark.parametrize("match", ["-i cni0", "-i veth+"])
def test_pods_told_by_their_device(match: str) -> None:
    text = text_of(GOLDEN_SAVED).replace("! -s 10.0.0.0/8", f"! {match}").replace("-s 10.0.0.0/8", match)
    assert lines(read_iptables(tables(text), "nft", (4,))) == GOLDEN
    found = read_iptables(tables(text), "nft", (4,), RuleSettings(0x4000, outside={4: f"! {match}"}))
    assert (lines(found), found.defects) == (GOLDEN, ())


def test_without_any_way_to_tell_pods() -> None:
    kept = [
        rule
        for rule in text_of(GOLDEN_SAVED).split("\n")
        if "10.0.0.0/8" not in rule  # Neither the masquerade rule of a ClusterIP nor the short circuit for pods.
    ]
    for known in (None, RuleSettings(0x4000)):
        found = read_iptables(tables("\n".join(kept)), "nft", (4,), known)
        assert found.defects == ()
        assert lines(found) == {key: line.replace("outside_pods", "none") for key, line in GOLDEN.items()}


def test_masquerade_all() -> None:
    text = text_of(GOLDEN_SAVED).replace("! -s 10.0.0.0/8 ", "")
    for known in (None, SETTINGS):
        found = read_iptables(tables(text), "nft", (4,), known)
        assert lines(found) == {key: line.replace("outside_pods", "all") for key, line in GOLDEN.items()}
        assert found.defects == ()


def test_a_range_that_is_everybody_is_printed_without_a_match() -> None:
    of = damaged(golden_tables(), "nat", "KUBE-FW-NUKIZ6OKUXPJNT4C", instead("-s 203.0.113.0/25 ", ""))
    assert read(of).entries[4, "5.6.7.8", "tcp", 80].source_ranges == ("0.0.0.0/0",)


REFUSING: list[tuple[str, list[str], str]] = [
    ("KUBE-SERVICES", ["REJECT"], "reject"),
    ("KUBE-EXTERNAL-SERVICES", ["DROP"], "drop"),
    ("KUBE-SERVICES", ["REJECT", "DROP"], "reject"),
    ("KUBE-PROXY-FIREWALL", ["DROP"], "drop"),
]


@pytest.mark.parametrize(("chain", "targets", "verdict"), REFUSING)
def test_what_table_filter_alone_knows(chain: str, targets: list[str], verdict: str) -> None:
    def change(rules: list[str]) -> None:
        rules += [f"-d 172.30.0.77/32 -p udp -m udp --dport 53 -j {target}" for target in targets]

    found = read(damaged(golden_tables(), "filter", chain, change))
    entry = found.entries[4, "172.30.0.77", "udp", 53]
    assert (entry.verdict, entry.destinations, found.defects) == (verdict, (), ())
    assert entry.evidence == f"iptables-nft-save -t filter | grep -e '^-A {chain} -d 172.30.0.77/.* --dport 53 '"


def test_the_entry_chain_alone_is_gone() -> None:
    of, at = golden_tables(), Location("nft", "ipv4", "nat")
    chains = {
        name: tuple(rule for rule in rules if not rule.endswith("-j KUBE-SERVICES"))
        for name, rules in of[at].chains.items()
        if name != "KUBE-SERVICES"
    }
    found = read({**of, at: Table(chains, of[at].builtin)})
    assert (shown(found), found.told) == ([("flushed", "nat table (ipv4)")], frozenset((4,)))


FLAWS: list[tuple[str, Change, str]] = [
    (
        f"KUBE-SVC-{WEB}",
        lambda rules: rules.append(rules.pop(1)),
        "KUBE-SEP-UKSFD7AGPMPPLUHC can never be reached behind KUBE-SEP-C6EBXVWJJZMIWKLZ",
    ),
    (
        f"KUBE-SVC-{WEB}",
        instead("0.50000000000", "0.25000000000"),
        "KUBE-SEP-UKSFD7AGPMPPLUHC gets 0.25000000000 of what reaches it, not 1/2",
    ),
    (
        f"KUBE-SVC-{WEB}",
        without("C6EBXVWJJZMIWKLZ"),
        "some find no rule: the last one, to KUBE-SEP-UKSFD7AGPMPPLUHC, does not take all that are left",
    ),
    (
        f"KUBE-SVC-{WEB}",
        lambda rules: rules.insert(1, rules[1]),
        "KUBE-SEP-UKSFD7AGPMPPLUHC has several shares",
    ),
    (
        STICKY,
        lambda rules: rules.insert(1, f"-m recent --rcheck --seconds 60 --name {ONE_END} -j {ONE_END}"),
        f"{ONE_END} has a rule for old clients or for new ones, not both",
    ),
]


@pytest.mark.parametrize(("chain", "change", "words"), FLAWS)
def test_what_is_wrong_with_shares(chain: str, change: Change, words: str) -> None:
    """Without what is expected: nobody knows whether a destination is missing."""
    (one,) = read(damaged(golden_tables(), "nat", chain, change)).defects
    assert (one.kind, one.actual) == ("shares_wrong", words)


def test_another_mark() -> None:
    text = text_of(GOLDEN_SAVED).replace("0x4000", "0x8000")
    assert read_iptables(tables(text), "nft", (4,)).defects == ()
    assert read_iptables(tables(text), "nft", (4,), RuleSettings(0x8000, outside=SETTINGS.outside)).defects == ()
    assert {one.object for one in read(tables(text)).defects} == {
        "nat KUBE-MARK-MASQ (ipv4)",
        "nat KUBE-POSTROUTING (ipv4)",
        "filter KUBE-FORWARD (ipv4)",
    }


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 9, 10, 100])
def test_shares_as_the_kernel_prints_them(count: int) -> None:
    """31 bits of the ten decimals that kube-proxy gives (C(computeProbability)), printed with eleven."""
    of = golden_tables()
    chain, at = f"KUBE-SVC-{WEB}", Location("nft", "ipv4", "nat")
    ends = {f"KUBE-SEP-{number:016d}": number for number in range(count)}
    printed = [round(2**31 * float(f"{1 / (count - index):.10f}")) / 2**31 for index in range(count)]
    rules = [
        f"-m statistic --mode random --probability {share:.11f} -j {name}" if share < 1 else f"-j {name}"
        for share, name in zip(printed, ends, strict=True)
    ]
    chains = {**of[at].chains, chain: tuple(rules)}
    for name, number in ends.items():
        pod = f"10.180.9.{number}"
        chains[name] = (f"-s {pod}/32 -j KUBE-MARK-MASQ", f"-p tcp -m tcp -j DNAT --to-destination {pod}:80")
    found = read({**of, at: Table(chains, of[at].builtin)})
    assert (len(found.entries[4, "172.30.0.44", "tcp", 80].destinations), found.defects) == (count, ())


def test_large_cluster_with_stale_chains() -> None:
    """Above 1,000 endpoints: no comments at endpoints, and chains that nothing leads to. Both are no drift."""
    text = as_saved(text_of("dataplane_iptables/overall-1.37.2.txt"))
    nat = parse_save(nat_table(10_000).replace("--or-mark 0x00004000", "--set-xmark 0x4000/0x4000"))["nat"]
    chains = dict(nat.chains)
    chains["KUBE-POSTROUTING"] = parse_save(text)["nat"].chains["KUBE-POSTROUTING"]
    chains["KUBE-SVC-AAAAAAAAAAAAAAAA"] = ("-j KUBE-SEP-AAAAAAAAAAAAAAAA",)
    chains["KUBE-SEP-AAAAAAAAAAAAAAAA"] = ()
    of = {**tables(text), Location("nft", "ipv4", "nat"): Table(chains, nat.builtin)}
    begin = time.process_time()
    found = read_iptables(of, "nft", (4,))
    assert time.process_time() - begin < 5  # About one second; this machine may be busy.
    assert found.defects == ()
    services = [one for one in found.entries.values() if one.source == "cluster_ip"]
    assert len(services) == 10_000
    assert {len(one.destinations) for one in services} == {2}


def test_of_two_services_with_one_address_the_first_counts() -> None:
    """Whoever has endpoints goes before whoever is refused, and the refusing rule is no drift."""
    vip = '-d 192.168.99.33/32 -p tcp -m comment --comment "ns0/other:p80 external IP" -m tcp --dport 80 -j {}'
    first_one = damaged(golden_tables(), "nat", "KUBE-SERVICES", first(vip.format("KUBE-EXT-X27LE4BHSL4DOUIK")))
    found = read(first_one)
    assert found.entries[4, "192.168.99.33", "tcp", 80].destinations == (("10.180.0.3", 80),)
    refused = damaged(golden_tables(), "filter", "KUBE-EXTERNAL-SERVICES", first(vip.format("REJECT")))
    assert (lines(read(refused)), read(refused).defects) == (GOLDEN, ())


TEXTS = [text_of(GOLDEN_SAVED), text_of(REAL[4]), as_saved(text_of("dataplane_iptables/bad-ips-1.37.2.txt"))]
CUT = st.tuples(
    st.integers(0, 20_000), st.integers(0, 60), st.text(alphabet=' -!"\\/.:,0139KUBESVCEPjsdmp', max_size=6)
)
LINES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=4)


@settings(max_examples=150, deadline=None)
@given(text=st.sampled_from(TEXTS), cuts=st.lists(CUT, max_size=6), swaps=LINES, known=st.booleans())
def test_random_damage_is_read_or_refused(
    text: str, cuts: list[tuple[int, int, str]], swaps: list[tuple[int, int]], known: bool
) -> None:
    for start, length, new in cuts:
        text = text[:start] + new + text[start + length :]
    rows = text.split("\n")
    for one, other in swaps:
        rows[one % len(rows)] = rows[other % len(rows)]
    asked = plane("iptables", *golden()) if known else None
    try:
        found = read_iptables(tables("\n".join(rows)), "nft", (4, 6), SETTINGS if known else None, asked)
    except KubeProxyError:
        return
    differences(asked or Dataplane("iptables"), found)
    assert all(key == one.key for key, one in found.entries.items())
