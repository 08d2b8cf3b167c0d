# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dataplane of nftables mode from the kernel. Expected values are derived by hand from the Services that kube-proxy's own
golden tests define, and that the fixtures' README tells."""

from __future__ import annotations

import json
import re
import time
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _dataplane_nftables_rules as rules
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_compare import differences
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    CLUSTER,
    DROP,
    FORWARD,
    LOCAL,
    MASQUERADE_ALL,
    MASQUERADE_NODE,
    MASQUERADE_OUTSIDE,
    REJECT,
    Dataplane,
    Destination,
    Entry,
    Key,
    Part,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables import read_nftables
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import (
    NftChain,
    NftSet,
    NftTable,
    parse_table,
)
from tests.unit.plugins.kube_dataplanes import DETECTOR, golden, plane

FIXTURES = Path(__file__).parents[1] / "fixtures"
RELEASES = ["1.31.14", "1.33.6", "1.34.4", "1.35.4", "1.36.3", "1.37.2"]


def table_of(name: str, folder: str = "dataplane_nftables") -> NftTable:
    text = (FIXTURES / folder / f"{name}.json").read_text(encoding="utf-8")
    return parse_table(text, name.rsplit("-", 1)[1], "kube-proxy")


def read(table: NftTable) -> Dataplane:
    return read_nftables([table], [6 if table.family == "ip6" else 4])


def seen(dataplane: Dataplane) -> dict[Key, Entry]:
    """The entries without what is never compared, but with the Service's name."""
    return {key: entry._replace(source="", evidence="") for key, entry in dataplane.entries.items()}


def keyed(*entries: Entry) -> dict[Key, Entry]:
    return {entry.key: entry for entry in entries}


def refused(key: Key, verdict: str, service: str, **more: t.Any) -> Entry:
    policy = LOCAL if verdict == DROP else None
    return Entry(key, verdict, affinity=None, policy=policy, masquerade=None, service=service, **more)


class Addresses(t.NamedTuple):
    """Beginnings of ClusterIPs, of endpoints and of external addresses in a golden test; those of its load balancers."""

    family: int
    cluster: str
    pods: str
    outside: str
    lb2: str
    lb5: str
    ranges: tuple[str, ...]

    def key(self, address: str, port: int = 80) -> Key:
        return self.family, address, "tcp", port

    def to(self, *numbers: int) -> tuple[Destination, ...]:
        return tuple((f"{self.pods}{number}", 80) for number in numbers)


def overall(at: Addresses, looped_by_set: bool) -> dict[Key, Entry]:
    """What C(TestOverallNFTablesRules) defines: ns1/svc1 to ns6/svc6, each with port p80.

    :param looped_by_set: from 1.36 on only endpoints of the node itself come back masqueraded
    """
    elsewhere = {2: at.to(2), 4: at.to(4)} if looped_by_set else {}
    inside = [
        Entry(
            at.key(f"{at.cluster}{40 + number}"),
            FORWARD,
            at.to(*ends),
            affinity=10800 if number == 5 else 0,
            no_hairpin=elsewhere.get(number, ()),
            service=f"ns{number}/svc{number}:p80",
        )
        for number, ends in {1: (1,), 2: (2,), 3: (3,), 4: (4, 5), 5: (3,)}.items()
    ]
    dropped = Entry(at.key(""), DROP, short_circuit=at.to(2), policy=LOCAL, masquerade=MASQUERADE_NODE)
    svc2 = dropped._replace(no_hairpin=elsewhere.get(2, ()), service="ns2/svc2:p80")
    svc5 = external(at.key(at.lb5), "ns5/svc5:p80", at.to(3))._replace(affinity=10800)
    return keyed(
        *inside,
        *(svc2._replace(key=key) for key in (at.key(at.lb2), at.key(f"{at.outside}22"), at.key("", 3001))),
        external(at.key("", 3003), "ns3/svc3:p80", at.to(3)),
        external(at.key(f"{at.outside}33"), "ns4/svc4:p80", at.to(4, 5)),
        svc5._replace(source_ranges=at.ranges),
        svc5._replace(key=at.key("", 3002)),
        refused(at.key(f"{at.cluster}46"), REJECT, "ns6/svc6:p80"),
    )


def external(key: Key, service: str, destinations: tuple[Destination, ...]) -> Entry:
    return Entry(key, FORWARD, destinations, masquerade=MASQUERADE_ALL, service=service)


@pytest.mark.parametrize("release", RELEASES)
def test_the_golden_rules_of_each_release(release: str) -> None:
    found = read(table_of(f"overall-{release}-ip"))
    at = Addresses(4, "172.30.0.", "10.180.0.", "192.168.99.", "1.2.3.4", "5.6.7.8", ("203.0.113.0/25",))
    assert seen(found) == overall(at, release >= "1.36")
    assert found.parts == {
        Part("nft_set", 4, "cluster-ips"): {f"172.30.0.{number}": "" for number in range(41, 47)},
        Part("node_port_addresses", 4): {"192.168.0.2": ""},
    }
    assert (found.mode, found.defects, found.layout_known) == ("nftables", (), True)


@pytest.mark.parametrize("release", RELEASES)
def test_what_the_api_asks_for_is_read_in_the_same_form(release: str) -> None:
    """By different hands: the model of the API's, and what kube-proxy writes of the same Services."""
    services, slices = golden()
    config = {**DETECTOR, "nodePortAddresses": ["192.168.0.2/32", "2001:db8::1/128"]}
    wanted = plane("nftables", services, slices, config, ".".join(release.split(".")[:2]))
    found = read(table_of(f"overall-{release}-ip"))
    four = {part: members for part, members in wanted.parts.items() if part.family == 4}
    assert len(wanted.entries) == len(found.entries) > 10
    assert differences(replace(wanted, parts=four), found) == []


def test_the_golden_rules_of_ipv6() -> None:
    found = read(table_of("overall-1.37.2-ip6"))
    outside = ("2001:db8:99::", "5555::1", "5555::2")
    at = Addresses(6, "fd00:172:30::", "fd00:10:180::", *outside, ("2001:db8:203::/64",))
    assert seen(found) == overall(at, True)
    assert found.parts == {
        Part("nft_set", 6, "cluster-ips"): {f"fd00:172:30::{number}": "" for number in range(41, 47)},
        Part("node_port_addresses", 6): {"2001:db8::1": ""},
    }
    assert (found.defects, found.layout_known) == ((), True)


def test_both_families_at_once_and_only_those_asked_for() -> None:
    tables = [table_of("overall-1.37.2-ip"), table_of("overall-1.37.2-ip6")]
    both = read_nftables(tables, [4, 6])
    assert both.entries == {**read(tables[0]).entries, **read(tables[1]).entries}
    assert {part.family for part in both.parts} == {4, 6}
    assert read_nftables(tables, [6]) == read(tables[1])


@pytest.mark.parametrize(("release", "port"), [("1.31.14", 8080), ("1.37.2", 8080)])
def test_empty_chains_of_a_deleted_service_are_nothing(release: str, port: int) -> None:
    """C(TestSyncProxyRulesRepeated): ns1/svc1 and ns3/svc3 are left of three."""
    found = read(table_of(f"deleted-{release}-ip"))
    assert seen(found) == keyed(
        Entry((4, "172.30.0.41", "tcp", 80), FORWARD, (("10.0.1.1", 80),), service="ns1/svc1:p80"),
        Entry((4, "172.30.0.43", "tcp", 80), FORWARD, (("10.0.3.1", 80),), service="ns3/svc3:p80"),
    )
    assert found.defects == ()
    assert not any(key[3] == port for key in found.entries)


def test_what_the_golden_rules_do_not_have() -> None:
    found = read(table_of("catalogue-1.37-ip"))
    here, elsewhere = (("10.1.0.1", 8080), ("10.1.0.2", 8080)), (("10.2.0.1", 8080),)
    web = Entry(
        (4, "172.30.0.1", "tcp", 80),
        FORWARD,
        (*here, *elsewhere),
        affinity=60,
        no_hairpin=elsewhere,
        service="shop/web:http",
    )
    outside = web._replace(
        key=(4, "", "tcp", 30080),
        destinations=here,
        short_circuit=(*here, *elsewhere),
        policy=LOCAL,
        masquerade=MASQUERADE_NODE,
    )
    ranges = ("192.168.0.0/23", "192.168.2.0/24", "198.51.100.7/32", "203.0.113.9/32")
    dns = (("10.1.0.3", 53), ("10.1.0.4", 53))
    assert seen(found) == keyed(
        web,
        outside,
        outside._replace(key=(4, "198.51.100.7", "tcp", 80), source_ranges=ranges),
        Entry((4, "172.30.0.2", "udp", 53), FORWARD, dns, policy=LOCAL, service="shop/inside"),
        refused((4, "172.30.0.3", "sctp", 99), DROP, "shop/away"),
        refused((4, "172.30.0.4", "tcp", 81), REJECT, "shop/none:p"),
        refused((4, "198.51.100.8", "tcp", 81), REJECT, "shop/none:p", source_ranges=("203.0.113.0/24",)),
        refused((4, "", "tcp", 30081), REJECT, "shop/none:p"),
    )
    assert found.parts[Part("node_port_addresses", 4)] == {"local except loopback": ""}
    assert found.defects == ()


def test_masquerade_all_and_no_way_to_tell_pods_until_1_35() -> None:
    found = read(table_of("catalogue-1.35-ip6"))
    here, elsewhere = (("fd00:10::1", 8080),), (("fd00:20::1", 8080),)
    inside = Entry(
        (6, "fd00:172:30::1", "sctp", 80),
        FORWARD,
        (*here, *elsewhere),
        masquerade=MASQUERADE_ALL,
        service="shop/web:http",
    )
    outside = inside._replace(
        key=(6, "", "sctp", 30080),
        destinations=here,
        short_circuit=(*here, *elsewhere),
        policy=LOCAL,
        masquerade=MASQUERADE_NODE,
    )
    ranges = ("2001:db8:0:2::/64", "2001:db8:9::9/128", "2001:db8::/63")
    lb = outside._replace(key=(6, "2001:db8:ffff::7", "sctp", 80), source_ranges=ranges)
    assert seen(found) == keyed(inside, outside, lb)
    assert found.defects == ()


def test_a_real_kube_proxys_table() -> None:
    """The Services are those of C(tests/labkit/manifests/inventory.yaml), kube-dns and kubernetes."""
    found = read(table_of("kube-proxy-1.37.2-ip", "nft"))
    three = tuple((f"192.0.2.{number}", 8080) for number in (11, 12, 13))
    dns = [
        Entry(
            (4, "10.96.0.10", protocol, port),
            FORWARD,
            (("10.244.0.2", port), ("10.244.0.3", port)),
            service=f"kube-system/kube-dns:{name}",
        )
        for protocol, port, name in [("tcp", 53, "dns-tcp"), ("udp", 53, "dns"), ("tcp", 9153, "metrics")]
    ]
    api, http = (("10.34.0.10", 6443),), "default/httpservice:http"
    inside = Entry((4, "10.96.20.92", "tcp", 82), FORWARD, (("192.0.2.31", 82),), service="default/inside:web")
    assert seen(found) == keyed(
        *dns,
        Entry((4, "10.96.0.1", "tcp", 443), FORWARD, api, no_hairpin=api, service="default/kubernetes:https"),
        inside._replace(policy=LOCAL),
        Entry((4, "10.96.14.237", "tcp", 80), FORWARD, three, no_hairpin=three[1:], service=http),
        external((4, "", "tcp", 30080), http, three),
        refused((4, "10.96.105.97", "tcp", 81), REJECT, "default/empty"),
        refused((4, "", "tcp", 30081), REJECT, "default/empty"),
        *_lb("dns", "udp", 53, 30702),
        *_lb("sctp", "sctp", 5353, 32195),
    )
    assert found.defects == ()


def _lb(name: str, protocol: str, port: int, node_port: int) -> list[Entry]:
    local, remote = (("192.0.2.21", port),), (("192.0.2.22", port),)
    inside = Entry(
        (4, "10.96.90.135", protocol, port),
        FORWARD,
        (*local, *remote),
        affinity=10800,
        policy=CLUSTER,
        masquerade=MASQUERADE_OUTSIDE,
        no_hairpin=remote,
        service=f"default/lb:{name}",
    )
    outside = inside._replace(
        destinations=local, short_circuit=(*local, *remote), policy=LOCAL, masquerade=MASQUERADE_NODE
    )
    return [
        inside,
        outside._replace(key=(4, "", protocol, node_port)),
        outside._replace(key=(4, "203.0.113.7", protocol, port)),
        outside._replace(key=(4, "203.0.113.20", protocol, port), source_ranges=("198.51.100.0/24",)),
    ]


def test_a_family_that_serves_nothing() -> None:
    """IPv6 of an IPv4-only cluster: NodePorts of no primary address are on all."""
    found = read(table_of("kube-proxy-1.37.2-ip6", "nft"))
    assert found.entries == {}
    assert found.parts == {
        Part("nft_set", 6, "cluster-ips"): {},
        Part("node_port_addresses", 6): {"local except loopback": ""},
    }
    assert found.defects == ()


def test_sources_and_evidence() -> None:
    found = read(table_of("overall-1.37.2-ip")).entries
    cluster = found[(4, "172.30.0.41", "tcp", 80)]
    assert cluster.source == "cluster_ip"
    assert cluster.evidence == "nft get element ip kube-proxy service-ips '{ 172.30.0.41 . tcp . 80 }'"
    node_port = found[(4, "", "tcp", 3001)]
    assert node_port.source == "node_port"
    assert node_port.evidence == "nft get element ip kube-proxy service-nodeports '{ tcp . 3001 }'"
    reject = found[(4, "172.30.0.46", "tcp", 80)]
    assert reject.evidence == "nft get element ip kube-proxy no-endpoint-services '{ 172.30.0.46 . tcp . 80 }'"


@pytest.mark.parametrize("name", ["overall-1.31.14-ip", "overall-1.37.2-ip6", "catalogue-1.37-ip"])
def test_counters_logs_and_traces_make_no_difference(name: str) -> None:
    table = table_of(name)
    neutral: list[t.Any] = [
        {"counter": {"packets": 7, "bytes": 420}},
        {"log": {"prefix": "seen "}},
        {"mangle": {"key": {"meta": {"key": "nftrace"}}, "value": 1}},
    ]
    chains = {
        chain: replace(one, rules=(neutral, *([*neutral[:1], *rule] for rule in one.rules)) if one.rules else ())
        for chain, one in table.chains.items()
    }
    assert read(replace(table, chains=chains)) == read(table)


def test_protocols_that_the_system_does_not_name() -> None:
    table = table_of("catalogue-1.37-ip")
    numbers = {"tcp": 6, "udp": 17, "sctp": 132}

    def numbered(value: t.Any) -> t.Any:
        if isinstance(value, list):
            return [numbered(one) for one in value]
        if isinstance(value, dict):
            return {key: numbered(one) for key, one in value.items()}
        return numbers.get(value, value) if isinstance(value, str) else value

    maps = {name: replace(one, elements=tuple(map(numbered, one.elements))) for name, one in table.maps.items()}
    assert seen(read(replace(table, maps=maps))) == seen(read(table))


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_the_text_of_rules_is_near_to_what_nft_prints(family: str) -> None:
    printed = (FIXTURES / "nft" / f"kube-proxy-1.37.2-{family}.txt").read_text(encoding="utf-8")
    table = table_of(f"kube-proxy-1.37.2-{family}", "nft")
    for name, chain in table.chains.items():
        block = re.search(rf"^\tchain {re.escape(name)} {{\n(.*?)^\t}}", printed, re.MULTILINE | re.DOTALL)
        assert block is not None
        lines = [line.strip() for line in block.group(1).splitlines()]
        wanted = [_plain(line) for line in lines if line and not line.startswith(("type ", "comment "))]
        assert [rules.parse_rule(rule).text for rule in chain.rules] == wanted


def _plain(line: str) -> str:
    """nft prints masks as signs with eight digits, and the family of an address in a map."""
    for sign, word in (("|", "or"), ("&", "and"), ("^", "xor")):
        line = re.sub(rf" {re.escape(sign)} 0x0*([0-9a-f]+)", rf" {word} 0x\1", line)
    line = re.sub(r' comment ".*"$', "", line).replace("!= 0x00000000", "!= 0").replace("dnat ip to", "dnat to")
    return re.sub(r"reject with icmp(v6)? port-unreachable", "reject", line)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ({"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "cali*"}}, "meta iifname cali*"),
        ({"match": {"op": "!=", "left": {"&": [{"meta": {"key": "mark"}}, 4]}, "right": 0}}, "meta mark and 0x4 != 0"),
        ({"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 4]}, "right": 0}}, "meta mark and 0x4 == 0"),
        ({"match": {"op": "<", "left": {"meta": {"key": "length"}}, "right": 9}}, "meta length < 9"),
    ],
)
def test_matches(statement: t.Any, text: str) -> None:
    assert rules.parse_rule([statement]) == rules.Rule((text,), ())


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ({"dnat": {"addr": "fd00::1", "port": 80}}, "dnat to [fd00::1]:80"),
        ({"dnat": {"addr": "10.0.0.1"}}, "dnat to 10.0.0.1"),
        ({"dnat": {"addr": "10.0.0.1", "flags": "random"}}, '{"dnat": {"addr": "10.0.0.1", "flags": "random"}}'),
        ({"reject": {"type": "tcp reset"}}, "reject with tcp reset"),
        ({"reject": None}, "reject"),
        ({"accept": None}, "accept"),
        ({"masquerade": None}, "masquerade"),
        ({"masquerade": {"flags": ["random", "persistent"]}}, "masquerade random persistent"),
        ({"xt": {"type": "match"}}, '{"xt": {"type": "match"}}'),
        ("odd", '"odd"'),
    ],
)
def test_statements(statement: t.Any, text: str) -> None:
    assert rules.parse_rule([statement]).text == text


def _large(count: int) -> NftTable:
    """As many Services of four endpoints, each with a ClusterIP and a NodePort, in the layout of 1.37."""
    table = table_of("overall-1.37.2-ip")
    chains, ips, ports, looped, addresses = dict(table.chains), [], [], [], []
    for number in range(count):
        name = f"AAAAAAAA-ns/svc{number}/tcp/http"
        address = f"172.{16 + number // 65536}.{number // 256 % 256}.{number % 256}"
        pairs = [[share, {"concat": [f"10.{share}.{number // 256}.{number % 256}", 8080]}] for share in range(4)]
        numgen = {"numgen": {"mode": "random", "mod": 4, "offset": 0}}
        only = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}
        dnat = {"dnat": {"family": "ip", "addr": {"map": {"key": numgen, "data": {"set": pairs}}}}}
        mark = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 16384]}}}
        chains[f"service-{name}"] = NftChain(rules=([only, dnat],))
        chains[f"external-{name}"] = NftChain(rules=([mark], [{"goto": {"target": f"service-{name}"}}]))
        ips.append([{"concat": [address, "tcp", 80]}, {"goto": {"target": f"service-{name}"}}])
        ports.append([{"concat": ["tcp", 20000 + number]}, {"goto": {"target": f"external-{name}"}}])
        looped.append({"concat": [f"10.0.{number // 256}.{number % 256}"] * 2 + ["tcp", 8080]})
        addresses.append(address)
    maps, sets = dict(table.maps), dict(table.sets)
    maps["service-ips"] = replace(maps["service-ips"], elements=tuple(ips))
    maps["service-nodeports"] = replace(maps["service-nodeports"], elements=tuple(ports))
    for name in ("no-endpoint-services", "no-endpoint-nodeports", "firewall-ips"):
        maps[name] = replace(maps[name], elements=())
    sets["cluster-ips"] = NftSet("ipv4_addr", "", tuple(addresses))
    sets["hairpin-connections"] = replace(sets["hairpin-connections"], elements=tuple(looped))
    return replace(table, chains=chains, maps=maps, sets=sets)


def test_ten_thousand_services() -> None:
    table = _large(10_000)
    began = time.process_time()
    found = read(table)
    took = time.process_time() - began
    assert (len(found.entries), found.defects) == (20_000, ())
    assert all(len(entry.destinations) == 4 for entry in found.entries.values())
    assert took < 3


TEXTS = [
    (FIXTURES / "dataplane_nftables" / f"{name}.json").read_text(encoding="utf-8")
    for name in ("overall-1.31.14-ip", "overall-1.36.3-ip", "catalogue-1.37-ip")
]
PIECES = st.sampled_from(
    ['"goto"', '"addr"', "10.180.0.1", "[", "]", "null", "80", '"elem"', '"map"', "0", '"x"', "{}", "-"]
)


@given(st.sampled_from(TEXTS), st.integers(0, 30_000), st.integers(0, 12), PIECES)
def test_damaged_text(text: str, place: int, length: int, piece: str) -> None:
    try:
        table = parse_table(text[:place] + piece + text[place + length :], "ip", "kube-proxy")
    except KubeProxyError:
        return
    assert isinstance(read(table), Dataplane)


ODD = st.recursive(
    st.none() | st.integers(-1, 99999) | st.sampled_from(["tcp", "service-x", "@x", "", "10.0.0.1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("goto dnat addr map set elem val key concat".split()), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.sampled_from([json.loads(text) for text in TEXTS]), st.lists(st.integers(0, 10**6), min_size=1, max_size=8), ODD
)
def test_damaged_values(document: t.Any, path: t.Sequence[int], odd: t.Any) -> None:
    """One value anywhere in the document is something else."""
    try:
        table = parse_table(json.dumps(_damaged(document, list(path), odd)), "ip", "kube-proxy")
    except KubeProxyError:
        return
    assert isinstance(read(table), Dataplane)


def _damaged(value: t.Any, path: list[int], odd: t.Any) -> t.Any:
    if not path or not isinstance(value, (list, dict)) or not value:
        return odd
    if isinstance(value, list):
        place = path[0] % len(value)
        return [*value[:place], _damaged(value[place], path[1:], odd), *value[place + 1 :]]
    key = sorted(value)[path[0] % len(value)]
    return {**value, key: _damaged(value[key], path[1:], odd)}
