# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dataplane of ipvs mode from the kernel. Expected values: pkg/proxy/ipvs/proxier.go, and what ipvsadm and ipset print."""

from __future__ import annotations

import ipaddress
import time
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_compare import differences
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs import (
    Wanted,
    key_of,
    read_ipvs,
    read_readings,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    FORWARD,
    Dataplane,
    Defect,
    Entry,
    Part,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device, Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState, Member
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    FORWARD_METHODS,
    IPV4,
    IPV6,
    ONE_PACKET,
    PERSISTENT,
    SCHEDULER_FLAG_2,
    RealServer,
    ServerKey,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IP_SETS
from tests.unit.plugins.kube_dataplanes import golden, plane
from tests.unit.plugins.kube_services import node_port, service
from tests.unit.plugins.test_dataplane_ipvs_structure import SETTINGS, tables

FIXTURES = Path(__file__).parents[1] / "fixtures"
DEVICE = Device("kube-ipvs0", "dummy", ("10.96.0.1",))


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def real(text: str, port: int = 8080, **settings: t.Any) -> RealServer:
    return RealServer(packed(text), port, **settings)


def server(address: str = "10.96.0.1", *reals: RealServer, protocol: int = 6, **settings: t.Any) -> VirtualServer:
    family = IPV6 if ":" in address else IPV4
    settings.setdefault("netmask", 128 if family == IPV6 else 0xFFFFFFFF)
    return VirtualServer(ServerKey(family, protocol, packed(address), 443, 0), real_servers=reals, **settings)


def entries(*servers: VirtualServer, families: t.Sequence[int] = (4, 6)) -> list[Entry]:
    return list(read_ipvs(servers, (), DEVICE, {}, "nft", families).entries.values())


def broken(*servers: VirtualServer, expected: Dataplane | None = None) -> list[Defect]:
    found = read_readings(Readings(virtual_servers=servers, device=DEVICE), "nft", (4,), Wanted(None, expected))
    return [one for one in found.defects if one.kind == "element_broken"]


def test_an_entry() -> None:
    (found,) = entries(server("10.96.0.1", real("10.0.0.9"), real("10.0.0.2"), real("10.0.0.2", 81)))
    assert found == Entry(
        key=(4, "10.96.0.1", "tcp", 443),
        verdict=FORWARD,
        destinations=(("10.0.0.2", 81), ("10.0.0.2", 8080), ("10.0.0.9", 8080)),
        short_circuit=None,
        affinity=0,
        policy=None,
        masquerade=None,
        no_hairpin=None,
        source_ranges=None,
        scheduler="rr",
        evidence="ipvsadm -Ln -t 10.96.0.1:443",
    )


@pytest.mark.parametrize(
    ("of", "field", "value"),
    [
        # GracefulDeleteRS sets the weight to 0 and waits for the connections.
        (server("10.96.0.1", real("10.0.0.9", weight=0), real("10.0.0.2")), "destinations", (("10.0.0.2", 8080),)),
        (server("10.96.0.1"), "destinations", ()),
        (server("fd00::1", real("fd00::2")), "destinations", (("fd00::2", 8080),)),
        (server(flags=PERSISTENT, timeout=10800), "affinity", 10800),
        (server(timeout=10800), "affinity", 0),
        (server(scheduler="mh", flags=SCHEDULER_FLAG_2), "scheduler", "mh mh-port"),
        (server(scheduler="mh"), "scheduler", "mh"),
        (server(scheduler="rr", flags=ONE_PACKET | PERSISTENT, timeout=1), "scheduler", "rr one-packet"),
        (server("fd00::1", protocol=132), "evidence", "ipvsadm -Ln --sctp-service [fd00::1]:443"),
        (server("fd00::1", protocol=17), "key", (6, "fd00::1", "udp", 443)),
    ],
)
def test_what_a_virtual_server_says(of: VirtualServer, field: str, value: t.Any) -> None:
    (found,) = entries(of)
    assert getattr(found, field) == value


def test_firewall_marks_and_other_families_are_left_out() -> None:
    mark = VirtualServer(ServerKey(IPV4, 0, b"", 0, 7))
    assert key_of(mark) is None
    assert [one.key[1] for one in entries(mark, server(), server("fd00::1"), families=[4])] == ["10.96.0.1"]


@pytest.mark.parametrize(
    ("of", "object_", "actual"),
    [
        (server("10.96.0.1", real("10.0.0.2", weight=2)), "TCP 10.96.0.1:443 -> 10.0.0.2:8080", "masquerade, weight 2"),
        (
            server("10.96.0.1", real("10.0.0.2", forward_method=FORWARD_METHODS["direct"])),
            "TCP 10.96.0.1:443 -> 10.0.0.2:8080",
            "direct, weight 1",
        ),
        (
            server("10.96.0.1", real("10.0.0.2", upper_threshold=9)),
            "TCP 10.96.0.1:443 -> 10.0.0.2:8080",
            "masquerade, weight 1, thresholds 9 and 0",
        ),
        (
            server(flags=PERSISTENT, timeout=60, netmask=0xFFFFFF00),
            "TCP 10.96.0.1:443",
            "persistence for networks, by mask 255.255.255.0",
        ),
        (server(flags=PERSISTENT, timeout=60, engine="sip"), "TCP 10.96.0.1:443", "sip"),
    ],
)
def test_what_kube_proxy_never_makes(of: VirtualServer, object_: str, actual: str) -> None:
    (found,) = broken(of)
    assert (found.object, found.actual, found.evidence) == (object_, actual, "ipvsadm -Ln -t 10.96.0.1:443")
    # Somebody else's virtual server may be of any form.
    assert broken(of, expected=Dataplane("ipvs")) == []
    (entry,) = entries(of)
    assert broken(of, expected=Dataplane("ipvs", {entry.key: entry})) == [found]


@pytest.mark.parametrize(
    "of",
    [
        server("10.96.0.1", real("10.0.0.2"), real("10.0.0.3", weight=0, connections=4)),
        server(flags=PERSISTENT, timeout=60),
        server("fd00::1", real("fd00::2"), flags=PERSISTENT, timeout=60),
        # A mask without persistence means nothing.
        server(netmask=0xFFFFFF00),
    ],
)
def test_what_kube_proxy_makes(of: VirtualServer) -> None:
    assert broken(of) == []


def saved_sets() -> tuple[dict[str, str], dict[str, set[str]]]:
    """Types and members by C(ipset save) of a real kube-proxy 1.37.2."""
    types: dict[str, str] = {}
    members: dict[str, set[str]] = {}
    for line in (FIXTURES / "ipset/kube-proxy-1.37.2.txt").read_text(encoding="utf-8").splitlines():
        verb, name, what = line.split(maxsplit=2)
        if verb == "create":
            types[name], members[name] = what.split()[0], set()
        else:
            members[name].add(what)
    return types, members


def member(kind: str, text: str) -> Member:
    if kind == "bitmap:port":
        return Member(port=int(text))
    address, *rest = text.split(",")
    if not rest:
        return Member(address)
    protocol, _colon, port = rest[0].partition(":")
    second, _slash, length = "".join(rest[1:]).partition("/")
    return Member(address, None, protocol, int(port), second, int(length) if length else None)


def real_sets() -> list[IpSetState]:
    types, members = saved_sets()
    return [
        IpSetState(
            name,
            kind,
            "" if kind == "bitmap:port" else "ipv6" if "KUBE-6-" in name else "ipv4",
            members=tuple(member(kind, text) for text in members[name]),
        )
        for name, kind in types.items()
    ]


def about(kind: str, found: Dataplane) -> list[tuple[str, str, str]]:
    return [(one.object, one.expected, one.actual) for one in found.defects if one.kind.startswith(kind)]


def test_the_sets_of_a_real_node() -> None:
    found = read_ipvs((), real_sets(), DEVICE, {}, "nft", (4, 6))
    _types, members = saved_sets()
    parts = {part: set(texts) for part, texts in found.parts.items() if part.kind == "ipset"}
    assert parts == {Part("ipset", 6 if "KUBE-6-" in name else 4, name): texts for name, texts in members.items()}
    assert len(parts) == 34
    assert about("ipset", found) == []


def test_sets_that_are_not_there_or_no_such_sets() -> None:
    sets = {one.name: one for one in real_sets()}
    del sets["KUBE-LOOP-BACK"]
    sets["KUBE-CLUSTER-IP"] = replace(sets["KUBE-CLUSTER-IP"], type="hash:ip")
    sets["KUBE-EXTERNAL-IP"] = replace(sets["KUBE-EXTERNAL-IP"], family="ipv6")
    sets["KUBE-6-CLUSTER-IP"] = replace(sets["KUBE-6-CLUSTER-IP"], members=None)
    found = read_ipvs((), list(sets.values()), DEVICE, {}, "nft", (4, 6))
    assert about("ipset", found) == [
        ("ipset KUBE-LOOP-BACK", "hash:ip,port,ip", "no such set"),
        ("ipset KUBE-CLUSTER-IP", "hash:ip,port", "hash:ip ipv4"),
        ("ipset KUBE-EXTERNAL-IP", "hash:ip,port", "hash:ip,port ipv6"),
        ("ipset KUBE-6-CLUSTER-IP", "its members", "nobody read them"),
    ]
    absent = {"KUBE-LOOP-BACK", "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-6-CLUSTER-IP"}
    assert not absent & {part.name for part in found.parts}
    # Only the sets of families that kube-proxy serves, and none of those that only old releases made.
    only = read_ipvs((), (), DEVICE, {}, "nft", (6,))
    names = [one[0].split()[1] for one in about("ipset", only)]
    assert names == [one.name6 for one in IP_SETS if not one.until]
    assert "KUBE-6-LOAD-BALANCER-SOURCE-CID" in names
    assert len(names) == 17


@pytest.mark.parametrize(
    ("device", "addresses", "defect"),
    [
        (DEVICE, {4: {"10.96.0.1"}, 6: set()}, []),
        # isValidForSet: neither loopback nor IPv6 link-local.
        (
            Device("kube-ipvs0", "dummy", ("10.96.0.1", "fe80::1", "fd00::1", "127.0.0.2", "169.254.20.10")),
            {4: {"10.96.0.1", "169.254.20.10"}, 6: {"fd00::1"}},
            [],
        ),
        (Device("kube-ipvs0", "bridge", ()), {4: set(), 6: set()}, [("kube-ipvs0", "a dummy device", "bridge")]),
        (Device("kube-ipvs0", "", ()), {4: set(), 6: set()}, [("kube-ipvs0", "a dummy device", "hardware")]),
        (None, {}, [("kube-ipvs0", "a dummy device", "no such device")]),
    ],
)
def test_the_device(device: Device | None, addresses: dict[int, set[str]], defect: list[t.Any]) -> None:
    found = read_ipvs((), (), device, {}, "nft", (4, 6))
    assert {part.family: set(texts) for part, texts in found.parts.items()} == addresses
    assert about("device", found) == defect


def test_rules_go_by_what_the_api_asks_for() -> None:
    """C(isEmpty) of kube-proxy looks at what it wants in a set, not at what somebody left or put there."""
    read = tables("kube-proxy-1.37.2-ipvs-after-iptables-ipv6.txt", 6)
    wished = {
        "KUBE-6-LOOP-BACK": "fd00::7,tcp:80,fd00::7",
        "KUBE-6-CLUSTER-IP": "fd00::1,tcp:80",
        "KUBE-6-NODE-PORT-TCP": "1",
    }
    sets = [
        IpSetState(one.name6, one.type, "" if one.type == "bitmap:port" else "ipv6", members=())
        for one in IP_SETS
        if not one.until
    ]
    expected = Dataplane("ipvs", {}, {Part("ipset", 6, name): {text: ""} for name, text in wished.items()})
    # Somebody put a member into a set that is to be empty, and another one was flushed.
    sets[1] = replace(sets[1], members=(Member("fd00::1", None, "tcp", 80),))
    sets[4] = replace(sets[4], members=(Member("fd00::9", None, "tcp", 80),))
    readings = Readings(tables=read, ipsets=tuple(sets), device=DEVICE)
    assert read_readings(readings, "nft", (6,), Wanted(SETTINGS, expected)).defects == ()
    assert [one.kind for one in read_readings(readings, "nft", (6,)).defects] == ["rule_missing"] * 2


def test_rules_of_a_set_of_the_wrong_type_are_still_looked_at() -> None:
    expected = Dataplane("ipvs", {}, {Part("ipset", 4, "KUBE-LOAD-BALANCER"): {"192.0.2.1,tcp:1": ""}})
    found = {}
    for kind in ("hash:ip", ""):
        sets = (IpSetState("KUBE-LOAD-BALANCER", kind, "ipv4", members=()),) if kind else ()
        at = Location("nft", "ipv4", "nat")
        rules = {**tables("kube-proxy-1.37.2-iptables-ipv4.txt")[at].chains, "KUBE-LOAD-BALANCER": ()}
        readings = Readings(tables={at: Table(rules)}, ipsets=sets, device=DEVICE)
        defects = read_readings(readings, "nft", (4,), Wanted(SETTINGS, expected)).defects
        found[kind] = [one.expected for one in defects if one.object == "nat KUBE-SERVICES (ipv4)"]
    only = sorted(text.rpartition(" ")[2] for text in set(found["hash:ip"]) - set(found[""]))
    assert only == ["ACCEPT", "KUBE-LOAD-BALANCER"]


def as_programmed(wanted: Dataplane, flags: int = 0) -> Readings:
    """A kernel that holds what the API asks for: what kube-proxy tells it, by syncProxyRules."""
    servers = [
        VirtualServer(
            ServerKey(
                IPV4 if family == 4 else IPV6, {"tcp": 6, "udp": 17, "sctp": 132}[protocol], packed(address), port, 0
            ),
            str(entry.scheduler).split()[0],
            flags | (PERSISTENT if entry.affinity else 0),
            entry.affinity or 0,
            0xFFFFFFFF if family == 4 else 128,
            real_servers=tuple(real(*one) for one in reversed(entry.destinations)),
        )
        for (family, address, protocol, port), entry in wanted.entries.items()
    ]
    types = {name: one.type for one in IP_SETS if not one.until for name in (one.name, one.name6)}
    sets = [
        IpSetState(
            part.name,
            types[part.name],
            "" if types[part.name] == "bitmap:port" else f"ipv{part.family}",
            members=tuple(member(types[part.name], text) for text in members),
        )
        for part, members in wanted.parts.items()
        if part.kind == "ipset"
    ]
    bound = [text for part, members in wanted.parts.items() if part.kind == "device_addresses" for text in members]
    device = Device("kube-ipvs0", "dummy", bound)
    return Readings(virtual_servers=tuple(servers), ipsets=tuple(sets), device=device)


@pytest.mark.parametrize(("scheduler", "seen", "flags"), [("", "rr", 0), ("mh", "mh mh-port", SCHEDULER_FLAG_2)])
def test_what_the_api_asks_for_is_read_in_the_same_form(scheduler: str, seen: str, flags: int) -> None:
    """The model of the API and this reader are by different hands: they have to write one dataplane alike."""
    balanced = service(
        "ns9/lb",
        type="LoadBalancer",
        clusterIP="10.20.30.99",
        clusterIPs=["10.20.30.99", "fd00::99"],
        externalTrafficPolicy="Local",
        sessionAffinity="ClientIP",
        loadBalancerSourceRanges=["203.0.113.0/25", "198.51.100.7/32"],
        healthCheckNodePort=30999,
        ingress=[{"ip": "192.0.2.99"}, {"ip": "2001:db8::99"}],
        ports=[node_port(number=30098), node_port("dns", 53, "UDP", 30053), node_port("sctp", 99, "SCTP", 30099)],
    )
    services, slices = golden()
    found = plane("ipvs", [*services, balanced], slices, config={"ipvs": {"scheduler": scheduler}})
    assert {one.scheduler for one in found.entries.values()} == {seen}
    assert len(found.entries) > 10
    kernel = as_programmed(found, flags)
    assert {one.kind for one in differences(found, read_readings(kernel, "nft", (4, 6)))} == {"table_unread"}
    # A set or device that is gone is one thing to tell, whatever should be in it.
    sets = tuple(one for one in kernel.ipsets if one.name != "KUBE-CLUSTER-IP")
    damaged = read_readings(replace(kernel, ipsets=sets, device=None), "nft", (4, 6))
    assert [(one.kind, one.object) for one in differences(found, damaged) if one.kind != "table_unread"] == [
        ("device_missing", "kube-ipvs0"),
        ("ipset_missing", "ipset KUBE-CLUSTER-IP"),
    ]


def test_it_is_linear() -> None:
    reals = [real(f"10.1.{number >> 8}.{number & 255}") for number in range(4)]
    servers = [server(f"10.{96 + (n >> 16)}.{n >> 8 & 255}.{n & 255}", *reals) for n in range(10_000)]
    members = tuple(Member(f"10.96.{n >> 8}.{n & 255}", None, "tcp", 80) for n in range(10_000))
    balanced = [IpSetState("KUBE-LOAD-BALANCER-FW", "hash:ip,port", "ipv4", members=members)]
    rules = tuple(f"-s {one.address}/32 -m ipvs --vproto 6 --vaddr {one.address} --vport 80 -j DROP" for one in members)
    read = tables("kube-proxy-1.37.2-ipvs-after-iptables-ipv4.txt")
    at = Location("nft", "ipv4", "filter")
    read[at] = Table({**read[at].chains, "KUBE-IPVS-OUT-FILTER": rules}, read[at].builtin)
    start = time.process_time()
    found = read_ipvs(servers, balanced, DEVICE, read, "nft", (4,))
    assert time.process_time() - start < 5
    assert len(found.entries) == 10_000
    assert not [one for one in found.defects if "OUT-FILTER" in one.object and one.kind.startswith("rule")]


addresses = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
small = st.integers(0, 300)
reals_ = st.builds(RealServer, addresses, small, small, small, small, small)


@st.composite
def virtual_servers(draw: st.DrawFn) -> VirtualServer:
    address = draw(addresses)
    key = ServerKey(IPV4 if len(address) == 4 else IPV6, draw(small), address, draw(small), draw(st.integers(0, 1)))
    mask = draw(st.integers(0, 0xFFFFFFFF))
    reals = tuple(draw(st.lists(reals_, max_size=3)))
    return VirtualServer(
        key, draw(st.text(max_size=4)), draw(small), draw(small), mask, draw(st.text(max_size=3)), reals
    )


@given(
    st.lists(virtual_servers(), max_size=3),
    st.lists(
        st.builds(IpSetState, st.sampled_from([one.name for one in IP_SETS]), st.text(max_size=5), st.text(max_size=4))
    ),
    st.one_of(st.none(), st.builds(Device, st.text(), st.text(), st.lists(st.text(max_size=9), max_size=3))),
)
def test_any_kernel_gives_a_dataplane(
    servers: list[VirtualServer], sets: list[IpSetState], device: Device | None
) -> None:
    assert read_ipvs(servers, sets, device, {}, "nft", (4, 6)).mode == "ipvs"
