# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""UDP flows of Services in connection tracking. Expected bytes: nfnetlink_conntrack.h and nf_internals.h of the kernel, by hand; what
is stale: TestCleanStaleEntries and CleanStaleEntries of kube-proxy 1.37 (pkg/proxy/conntrack)."""

from __future__ import annotations

import errno
import socket
import struct
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _conntrack_codec as codec
from ansible_collections.netops.kube_proxy.plugins.module_utils import _conntrack_stale as stale
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_codec import End, Flow
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_read import (
    read_flows,
    remove_flows,
    why_unreadable,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_work import Session, render
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError, NotConverged
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import MalformedReply, messages
from tests.unit.plugins.kube_dataplanes import NODE_IP, NODE_IP6, NODE_IP_ALT, THE_NODE, the_node
from tests.unit.plugins.kube_services import cluster, endpoint, endpoint_slice, node_port, service
from tests.unit.plugins.test_kmod_presence import files

IPV4, IPV6 = 2, 10
CLIENT, DNS, POD, GONE = "10.244.0.7", "10.96.0.10", "10.244.1.5", "10.244.1.6"
DNS6, POD6, CLIENT6 = "fd00:10:96::a", "fd00:10:244::5", "fd00:10:244::7"
DST_NAT = 0x20


def attr(kind: int, value: bytes, nested: bool = False) -> bytes:
    """struct nlattr; NLA_F_NESTED is 1 << 15."""
    return struct.pack("=HH", 4 + len(value), kind | (0x8000 if nested else 0)) + value + bytes(-len(value) % 4)


def direction(source: str, destination: str, ports: tuple[int, int], protocol: int = 17, zone: int = 0) -> bytes:
    """CTA_TUPLE_IP (1) with CTA_IP_V4_SRC (1), _DST (2), V6 3 and 4; CTA_TUPLE_PROTO (2) with NUM (1), SRC_PORT (2), DST_PORT (3)."""
    family, first = (socket.AF_INET6, 3) if ":" in source else (socket.AF_INET, 1)
    addresses = attr(first, socket.inet_pton(family, source)) + attr(first + 1, socket.inet_pton(family, destination))
    numbers = attr(1, bytes([protocol])) + attr(2, struct.pack(">H", ports[0])) + attr(3, struct.pack(">H", ports[1]))
    own = attr(3, struct.pack(">H", zone)) if zone else b""
    return attr(1, addresses, True) + attr(2, numbers, True) + own


def answer(original: bytes, reply: bytes, status: int = 0, number: int = 7, zone: int = 0) -> bytes:
    """IPCTNL_MSG_CT_NEW of NFNL_SUBSYS_CTNETLINK (1): CTA_TUPLE_ORIG (1), _REPLY (2), STATUS (3), TIMEOUT (7), ID (12), ZONE (18)."""
    body = attr(1, original, True) + attr(2, reply, True) + attr(3, struct.pack(">I", status))
    body += attr(7, struct.pack(">I", 30)) + attr(12, struct.pack(">I", number))
    body += attr(18, struct.pack(">H", zone)) if zone else b""
    head = struct.pack("=BBH", IPV6 if len(original) > 60 else IPV4, 0, 0)
    return struct.pack("=IHHII", 20 + len(body), 0x0100, 2, 1, 0) + head + body


ORIGINAL = direction(CLIENT, DNS, (40001, 53))
REPLY = direction(POD, CLIENT, (5300, 40001))
DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def ack(code: int, sequence: int) -> bytes:
    return (
        struct.pack("=IHHII", 36, 2, 0, sequence, 0) + struct.pack("=i", -code) + struct.pack("=IHHII", 16, 0, 0, 0, 0)
    )


class Kernel:
    """A socket that has these answers."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.sent: list[bytes] = []

    def send(self, data: bytes, /) -> int:
        self.sent.append(data)
        return len(data)

    def recv(self, _size: int, /) -> bytes:
        return self.replies.pop(0)

    def close(self) -> None:
        pass


def test_the_request_for_flows() -> None:
    """CTA_TUPLE_ORIG { CTA_TUPLE_PROTO { CTA_PROTO_NUM 17 } }, CTA_FILTER (25) { CTA_FILTER_ORIG_FLAGS (1): CTA_PROTO_NUM's bit, 3 }."""
    assert codec.flows_request(4, "udp").hex() == (
        "02000000" + "10000180" + "0c000280" + "0500010011000000" + "0c001980" + "0800010008000000"
    )
    assert codec.flows_request(6, "udp")[0] == IPV6


def read(data: bytes, *wanted: tuple[str, int]) -> Flow | None:
    (message,) = messages(data, len(data))
    ends = {("udp", codec.packed(address), port) for address, port in wanted}
    return codec.read_flow(data, message, 6 if data[16] == IPV6 else 4, ends)


def test_a_flow() -> None:
    found = read(answer(ORIGINAL, REPLY, DST_NAT | 0x8), (DNS, 53))
    assert found == Flow(
        4,
        End(CLIENT, 40001),
        End(DNS, 53),
        End(POD, 5300),
        True,
        (ORIGINAL, struct.pack(">I", 7)),
        "udp",
        End(CLIENT, 40001),
    )
    six = answer(direction(CLIENT6, DNS6, (1, 53)), direction(DNS6, CLIENT6, (53, 1)), 0x8)
    found = read(six, (DNS6, 53))
    assert found
    assert (found.source, found.answers, found.rewritten) == (End(CLIENT6, 1), End(DNS6, 53), False)


@pytest.mark.parametrize(
    "data",
    [
        answer(direction(CLIENT, DNS, (1, 54)), REPLY),
        answer(direction(CLIENT, "10.96.0.11", (1, 53)), REPLY),
        answer(direction(CLIENT, DNS, (1, 53), protocol=6), REPLY),
        answer(ORIGINAL, REPLY, zone=7),
        answer(direction(CLIENT, DNS, (40001, 53), zone=7), REPLY),
    ],
)
def test_flows_of_others(data: bytes) -> None:
    assert read(data, (DNS, 53)) is None


def test_a_masqueraded_flow_of_another_protocol() -> None:
    """The answers go to the source that whoever answers sees."""
    original = direction(CLIENT, DNS, (40001, 53), protocol=6)
    data = answer(original, direction(POD, NODE_IP, (5300, 61000), protocol=6), 0x10)
    (message,) = messages(data, len(data))
    found = codec.read_flow(data, message, 4, {("tcp", codec.packed(DNS), 53)})
    assert found
    assert (found.protocol, found.answers, found.returns) == ("tcp", End(POD, 5300), End(NODE_IP, 61000))
    mixed = answer(original, direction(POD, CLIENT, (5300, 40001)))
    (message,) = messages(mixed, len(mixed))
    with pytest.raises(MalformedReply, match="another protocol"):
        codec.read_flow(mixed, message, 4, {("tcp", codec.packed(DNS), 53)})


def test_the_request_to_remove_one() -> None:
    found = read(answer(ORIGINAL, REPLY), (DNS, 53))
    assert found
    kind, body = codec.removal(found)
    assert kind == 0x0102  # IPCTNL_MSG_CT_DELETE
    assert body == b"\x02\0\0\0" + attr(1, ORIGINAL, True) + attr(12, struct.pack(">I", 7))


@pytest.mark.parametrize("identity", [(b"", b"1234"), (ORIGINAL, b"")])
def test_a_request_without_a_tuple_would_remove_all(identity: tuple[bytes, bytes]) -> None:
    found = read(answer(ORIGINAL, REPLY), (DNS, 53))
    assert found
    with pytest.raises(ValueError, match="without its tuple"):
        codec.removal(found._replace(identity=identity))


@given(st.binary(max_size=200))
def test_bytes_that_no_kernel_sends(junk: bytes) -> None:
    data = struct.pack("=IHHII", 16 + len(junk), 0x0100, 2, 1, 0) + junk
    (message,) = messages(data, len(data))
    try:
        codec.read_flow(data, message, 4, {("udp", codec.packed(DNS), 53)})
    except MalformedReply:
        pass


@given(st.integers(0, 200), st.binary(min_size=1, max_size=4))
def test_a_damaged_answer(place: int, junk: bytes) -> None:
    whole = bytearray(answer(ORIGINAL, REPLY, DST_NAT))
    place = 16 + place % (len(whole) - 16)
    whole[place : place + len(junk)] = junk[: len(whole) - place]
    data = bytes(whole)
    (message,) = messages(data, len(data))
    try:
        found = codec.read_flow(data, message, 4, {("udp", codec.packed(DNS), 53)})
    except MalformedReply:
        return
    assert found is None or found.destination == End(DNS, 53)


PRESENT = {"proc__modules": "", "sys__module__nf_conntrack__x": "", "sys__module__nf_conntrack_netlink__x": ""}


def test_reading(tmp_path: Path) -> None:
    kernel = Kernel(answer(ORIGINAL, REPLY) + answer(direction(CLIENT, DNS, (2, 54)), REPLY), DONE)
    wanted = {("udp", codec.packed(DNS), 53)}
    found = read_flows(files(tmp_path, **PRESENT), 4, wanted, lambda: kernel)
    assert [one.source.port for one in found] == [40001]
    assert struct.unpack_from("=IHH", kernel.sent[0])[1:] == (0x0101, 0x301)  # IPCTNL_MSG_CT_GET, a dump


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        ({"proc__modules": ""}, ""),
        ({"proc__modules": "", "sys__module__nf_conntrack__x": ""}, "no nf_conntrack_netlink loaded"),
    ],
)
def test_looking_loads_nothing(tmp_path: Path, contents: dict[str, str], told: str) -> None:
    def never() -> t.Any:
        raise AssertionError

    builtin = {"lib__modules__6.1__modules.builtin": ""}
    node = files(tmp_path, **contents, **builtin)
    assert read_flows(node, 4, {("udp", codec.packed(DNS), 53)}, never) == []
    assert told in why_unreadable(node)
    assert bool(told) == bool(why_unreadable(node))


def test_removing() -> None:
    found = read(answer(ORIGINAL, REPLY), (DNS, 53))
    assert found
    kernel = Kernel(ack(0, 1), ack(errno.ENOENT, 2), ack(errno.EPERM, 3))
    failed = remove_flows({"a": found, "b": found, "c": found}, lambda: kernel)
    assert failed == {"c": "it needs root (the capability CAP_NET_ADMIN)"}
    assert [struct.unpack_from("=IHHI", one)[1:] for one in kernel.sent] == [(0x0102, 5, n) for n in (1, 2, 3)]


UDP = [{"name": "dns", "port": 5300, "protocol": "UDP"}, {"name": "tcp", "port": 5300, "protocol": "TCP"}]
SERVICES = [
    service(
        "ns1/dns",
        type="LoadBalancer",
        clusterIP=DNS,
        clusterIPs=[DNS, DNS6],
        externalIPs=["203.0.113.9"],
        externalTrafficPolicy="Local",
        ports=[node_port("dns", 53, "UDP", 30053), node_port("tcp", 53, "TCP", 30054)],
        ingress=[{"ip": "203.0.113.20"}, {"ip": "203.0.113.21", "ipMode": "Proxy"}],
    ),
    service("ns1/empty", clusterIP="10.96.0.11", ports=[{"name": "log", "port": 514, "protocol": "UDP"}]),
]
SLICES = [
    endpoint_slice(
        endpoint(POD, "other"),
        endpoint("10.244.1.7", "other", "rST"),
        endpoint("10.244.1.8", "other", "rsT"),
        name="ns1/dns",
        ports=UDP,
    ),
    endpoint_slice(endpoint(POD6, "other"), name="ns1/dns", ports=UDP),
]


def services(mode: str, more: t.Sequence[t.Any] = (), slices: t.Sequence[t.Any] = ()) -> stale.Services:
    state = cluster([*SERVICES, *more], [*SLICES, *slices], {}, "1.37", [THE_NODE])
    return stale.udp_services(state, the_node(state), mode)


# NodePorts: kube-proxy's own defaults in each mode, see test_dataplane_expected.py.
EVERYWHERE = {
    (NODE_IP, 30053),
    (NODE_IP_ALT, 30053),
    (NODE_IP6, 30053),
    ("192.168.99.11", 30053),
    ("2001:db8:1::2", 30053),
}
MAIN = {(NODE_IP, 30053), (NODE_IP6, 30053)}


@pytest.mark.parametrize(
    ("mode", "node_ports"),
    [("iptables", {*EVERYWHERE, ("127.0.0.1", 30053)}), ("ipvs", EVERYWHERE), ("nftables", MAIN)],
)
def test_the_udp_addresses_of_services(mode: str, node_ports: set[tuple[str, int]]) -> None:
    found = services(mode)
    others = {(DNS, 53), (DNS6, 53), ("203.0.113.9", 53), ("203.0.113.20", 53), ("10.96.0.11", 514)}
    assert set(found) == others | node_ports
    # Serving ones, whatever the policy: CleanStaleEntries.
    assert found[End(DNS, 53)] == stale.Service(("ns1/dns:dns",), frozenset({End(POD, 5300), End("10.244.1.7", 5300)}))
    assert found[End(NODE_IP, 30053)].endpoints == found[End(DNS, 53)].endpoints
    assert found[End(DNS6, 53)].endpoints == {End(POD6, 5300)}
    assert found[End("10.96.0.11", 514)].endpoints == set()
    assert stale.destinations(found, 6) == {("udp", codec.packed(a), p) for a, p in found if ":" in a}


def test_of_two_services_for_one_address_the_endpoints_of_both_serve() -> None:
    rival = service(
        "ns2/dns",
        clusterIP="10.96.0.12",
        externalIPs=["203.0.113.9"],
        ports=[{"name": "dns", "port": 53, "protocol": "UDP"}],
    )
    found = services("ipvs", [rival], [endpoint_slice(endpoint("10.244.9.9"), name="ns2/dns", ports=UDP)])
    assert found[End("203.0.113.9", 53)].names == ("ns1/dns:dns", "ns2/dns:dns")
    assert found[End("203.0.113.9", 53)].endpoints >= {End(POD, 5300), End("10.244.9.9", 5300)}


def flow(to: tuple[str, int], answers: tuple[str, int], rewritten: bool = True, port: int = 1) -> Flow:
    return Flow(4, End(CLIENT, port), End(*to), End(*answers), rewritten, (b"tuple", b"id"), "udp", End(CLIENT, port))


@pytest.mark.parametrize("mode", ["iptables", "ipvs", "nftables"])
@pytest.mark.parametrize(
    ("one", "why"),
    [
        (flow((DNS, 53), (POD, 5300)), ""),
        (flow((DNS, 53), ("10.244.1.7", 5300)), ""),
        (flow((DNS, 53), (DNS, 53), rewritten=False), "nothing rewrites it"),
        (flow((DNS, 53), (GONE, 5300)), f"{GONE}:5300 is no endpoint"),
        (flow((DNS, 53), (POD, 5301)), f"{POD}:5301 is no endpoint"),
        (flow((DNS, 53), ("10.244.1.8", 5300)), "10.244.1.8:5300 is no endpoint"),
        (flow((NODE_IP, 30053), (NODE_IP, 30053), rewritten=False), "nothing rewrites it"),
        (flow(("10.96.0.11", 514), (GONE, 514)), f"{GONE}:514 is no endpoint"),
    ],
)
def test_what_is_stale(one: Flow, why: str, mode: str) -> None:
    assert stale.why_stale(one, services(mode), mode) == why


def test_what_ipvs_has_rewritten_leads_nowhere_in_the_other_modes() -> None:
    one = flow((DNS, 53), (POD, 5300), rewritten=False)
    why = f"it was to reach {POD}:5300 through IPVS"
    assert [stale.why_stale(one, services(m), m) for m in ("iptables", "ipvs", "nftables")] == [why, "", why]


def test_an_endpoint_that_has_the_services_own_address_needs_no_rewriting() -> None:
    own = service(
        "ns3/own",
        clusterIP="10.96.0.13",
        externalIPs=[NODE_IP],
        ports=[{"name": "dns", "port": 5300, "protocol": "UDP"}],
    )
    found = services("iptables", [own], [endpoint_slice(endpoint(NODE_IP), name="ns3/own", ports=UDP)])
    assert stale.why_stale(flow((NODE_IP, 5300), (NODE_IP, 5300), rewritten=False), found, "iptables") == ""


class Tracking:
    """Connection tracking with flows in it, to which traffic adds some at each look."""

    def __init__(self, flows: t.Iterable[Flow], *later: Flow, stuck: str = "") -> None:
        self.flows = list(flows)
        self.later = list(later)
        self.stuck = stuck

    def read(self, family: int, wanted: codec.Wanted) -> list[Flow]:
        if family == 6:
            return []
        found = [
            one for one in self.flows if ("udp", codec.packed(one.destination.address), one.destination.port) in wanted
        ]
        self.flows += self.later
        return found

    def remove(self, flows: t.Mapping[str, Flow]) -> dict[str, str]:
        if not self.stuck:
            self.flows = [one for one in self.flows if one not in flows.values()]
        return dict.fromkeys(flows, self.stuck) if self.stuck not in ("", "silently") else {}


RIGHT, STALE = flow((DNS, 53), (POD, 5300)), flow((DNS, 53), (DNS, 53), rewritten=False, port=2)


def session(tracking: Tracking) -> Session:
    return Session(services("iptables"), "iptables", tracking.read, tracking.remove)


def test_a_run_removes_what_is_stale() -> None:
    tracking = Tracking([RIGHT, STALE])
    one = session(tracking)
    plan = converge(one.steps(), check_mode=False)
    assert tracking.flows == [RIGHT]
    words = f"{CLIENT}:2 -> {DNS}:53"
    assert plan.actions == (f"Remove the UDP flow {words} (ns1/dns:dns): nothing rewrites it",)
    assert (render(plan.before), render(plan.after)) == (f"udp {words}, answers from {DNS}:53\n", "")
    (row,) = one.report(plan)["removed"]
    assert (row["service"], row["source_port"], row["answers"]) == ("ns1/dns:dns", 2, DNS)


def test_check_mode_removes_nothing() -> None:
    tracking = Tracking([RIGHT, STALE])
    assert converge(session(tracking).steps(), check_mode=True).operations == (STALE,)
    assert tracking.flows == [RIGHT, STALE]


def test_what_comes_meanwhile_is_none_of_what_was_left() -> None:
    late = STALE._replace(identity=(b"tuple", b"another"))
    tracking = Tracking([STALE], late)
    assert converge(session(tracking).steps(), check_mode=False).operations == (STALE,)
    assert tracking.flows == [late, late]


def test_what_stays_is_told() -> None:
    with pytest.raises(NotConverged, match="did not last"):
        converge(session(Tracking([STALE], stuck="silently")).steps(), check_mode=False)
    with pytest.raises(KubeProxyError, match=r"1 of 1 UDP flows could not be removed: .*:53: it needs root"):
        converge(session(Tracking([STALE], stuck="it needs root")).steps(), check_mode=False)
