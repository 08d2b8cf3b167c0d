# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What connections say about Services. Sockets are real ones on loopback; fib_trie and if_inet6 are a pod's on Linux 7.2 (proc(5))."""

from __future__ import annotations

import os
import socket
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of
from ansible_collections.netops.kube_proxy.plugins.module_utils import _probe_choose as choosing
from ansible_collections.netops.kube_proxy.plugins.module_utils import _probe_connect as connecting
from ansible_collections.netops.kube_proxy.plugins.module_utils import _probe_judge as judging
from ansible_collections.netops.kube_proxy.plugins.module_utils import _probe_namespace as namespaces
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_model import (
    ATTEMPTS,
    FAILED,
    HAIRPIN,
    NODE,
    OK,
    POD,
    UNKNOWN,
    Ask,
    Outcome,
    Pod,
    Target,
    Vantage,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_probe import question
from tests.unit.plugins.kube_dataplanes import (
    DETECTOR,
    NODE_IP,
    NODE_IP6,
    NODE_IP_ALT,
    THE_NODE,
    golden,
    the_node,
)
from tests.unit.plugins.kube_services import NODE as NAME
from tests.unit.plugins.kube_services import cluster, endpoint, endpoint_slice, node_port, service

End = tuple[str, int]
Object = dict[str, t.Any]


def choice(
    mode: str, *services: Object, slices: t.Sequence[Object] = (), limit: int = 0, only: t.Iterable[str] = ()
) -> choosing.Choice:
    state = cluster(services, slices, DETECTOR, "1.37", [THE_NODE])
    return choosing.choose(state, the_node(state), mode, choosing.Wish(frozenset(only), limit), {"10.0.0.5"})


def ends(found: choosing.Choice, **wanted: t.Any) -> set[End]:
    return {one.end for one in found.targets if all(getattr(one, key) == value for key, value in wanted.items())}


def test_the_services_of_kube_proxys_own_tests() -> None:
    """What is there is GOLDEN in kube_dataplanes.py; what is skipped is svc2 from outside (nothing local) and svc5's ranges."""
    services, slices = golden()
    found = choice("nftables", *services, slices=slices)
    cluster_ips = {(f"172.30.0.4{number}", 80) for number in range(1, 7)}
    assert ends(found) == cluster_ips | {("192.168.99.33", 80), (NODE_IP, 3003), (NODE_IP, 3002)}
    assert {reason: sorted(names) for reason, names in found.skipped.items()} == {
        choosing.NOT_LOCAL: [
            "ns2/svc2:p80 TCP * 3001",
            "ns2/svc2:p80 TCP 1.2.3.4 80",
            "ns2/svc2:p80 TCP 192.168.99.22 80",
        ],
        choosing.RESTRICTED: ["ns5/svc5:p80 TCP 5.6.7.8 80"],
    }
    by_end = {one.end: one for one in found.targets}
    assert by_end["172.30.0.44", 80].destinations == (("10.180.0.4", 80), ("10.180.0.5", 80))
    assert by_end["172.30.0.46", 80].destinations == ()
    assert by_end["172.30.0.45", 80].is_sticky
    assert [by_end[end].is_masqueraded for end in (("172.30.0.41", 80), ("192.168.99.33", 80))] == [False, True]


def test_ipvs_mode_skips_the_same() -> None:
    """There it falls back to all endpoints: that is not what a policy promises."""
    services, slices = golden()
    found = choice("ipvs", *services, slices=slices)
    skipped = {name.rpartition(":p80 ")[0] for name in found.skipped[choosing.NOT_LOCAL]}
    assert skipped == {"ns2/svc2"}
    assert found.skipped[choosing.RESTRICTED] == ["ns5/svc5:p80 TCP 5.6.7.8 80"]
    assert (NODE_IP_ALT, 3003) in ends(found, source="node_port")


WEB = service(
    "ns1/web",
    type="NodePort",
    externalTrafficPolicy="Local",
    clusterIPs=["10.20.30.41", "fd00:20::41"],
    ports=[node_port(number=30080)],
)
HERE, ELSEWHERE = endpoint_slice(endpoint("10.0.0.5", NAME), name="ns1/web"), endpoint("10.0.0.6", "other")


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_with_an_external_policy_local_pods_and_the_node_go_anywhere(mode: str) -> None:
    """KUBE-EXT: pod traffic and LOCAL traffic go to KUBE-SVC."""
    slices = [endpoint_slice(endpoint("10.0.0.5", NAME), ELSEWHERE, name="ns1/web")]
    (target,) = [one for one in choice(mode, WEB, slices=slices).targets if one.end == (NODE_IP, 30080)]
    assert target.destinations == (("10.0.0.5", 80), ("10.0.0.6", 80))
    assert target.for_pods


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_node_ports_on_loopback_are_left_out(mode: str) -> None:
    """In iptables mode kube-proxy counts them (localhost_nps_accepted_pkts)."""
    found = choice(mode, WEB, slices=[HERE])
    everywhere = {(NODE_IP, 30080), (NODE_IP_ALT, 30080), ("192.168.99.11", 30080)}
    assert ends(found, source="node_port", family=4) == everywhere
    assert ends(found, source="node_port", family=6) == {(NODE_IP6, 30080), ("2001:db8:1::2", 30080)}


def test_udp_and_sctp_are_skipped() -> None:
    ports = [{"name": name, "port": 53, "protocol": name.upper()} for name in ("udp", "sctp")]
    found = choice("ipvs", service("ns1/dns", ports=ports))
    assert found.targets == ()
    rows = choosing.skipped_rows(found.skipped)
    assert rows == [{"reason": choosing.NOT_TCP, "count": 2, "example": "ns1/dns:sctp SCTP 10.20.30.41 53"}]


def test_where_chance_decides_nothing_is_said() -> None:
    services = [service(f"ns{n}/a", clusterIP=f"10.20.30.{n}", externalIPs=["203.0.113.1"]) for n in (1, 2)]
    slices = [endpoint_slice(endpoint(f"10.0.0.{n}"), name=f"ns{n}/a") for n in (1, 2)]
    found = choice("iptables", *services, slices=slices)
    assert list(found.skipped) == [choosing.CONTESTED]
    assert ends(found) == {("10.20.30.1", 80), ("10.20.30.2", 80)}
    # The other one is there, asked about or not.
    assert ends(choice("iptables", *services, slices=slices, only=["ns1/a"])) == {("10.20.30.1", 80)}


def test_only_some_services() -> None:
    found = choice("iptables", service("ns1/a"), service("ns1/b", clusterIP="10.20.30.42"), only=["ns1/b"])
    assert ends(found) == {("10.20.30.42", 80)}


def many() -> tuple[list[Object], list[Object]]:
    """A hundred Services with one endpoint elsewhere, one with a pod that nobody found, and one of each other kind behind them."""
    services = [service(f"a/s{n:03}", clusterIP=f"10.30.0.{n}") for n in range(1, 101)]
    slices = [endpoint_slice(endpoint("10.0.9.9", "other"), name=f"a/s{n:03}") for n in range(1, 101)]
    services.append(service("a/ghost", clusterIP="10.30.0.200"))
    slices.append(endpoint_slice(endpoint("10.0.0.66", NAME), name="a/ghost"))
    services += [
        service("z/many", clusterIP="10.30.1.1", clusterIPs=["10.30.1.1", "fd00::1"]),
        service("z/own", clusterIP="10.30.1.2"),
        service("z/none", clusterIP="10.30.1.3"),
        service("z/port", clusterIP="10.30.1.4", type="NodePort", ports=[node_port(number=30080)]),
        service("z/out", clusterIP="10.30.1.5", externalIPs=["203.0.113.1"]),
        service("z/lb", clusterIP="10.30.1.6", type="LoadBalancer", ingress=[{"ip": "203.0.113.2"}]),
    ]
    slices += [
        endpoint_slice(endpoint("10.0.0.5"), ELSEWHERE, name="z/many"),
        endpoint_slice(endpoint("fd00:10::5"), endpoint("fd00:10::6"), name="z/many"),
        endpoint_slice(endpoint("10.0.0.5", NAME), name="z/own"),
        *(endpoint_slice(ELSEWHERE, name=f"z/{name}") for name in ("port", "out", "lb")),
    ]
    return services, slices


def test_each_kind_comes_before_a_second_one_of_any() -> None:
    services, slices = many()
    found = choice("iptables", *services, slices=slices, limit=12)
    assert len(found.targets) == 12
    assert ends(found) >= {
        ("10.30.1.1", 80),
        ("fd00::1", 80),
        ("10.30.1.2", 80),
        ("10.30.1.3", 80),
        (NODE_IP, 30080),
        (NODE_IP_ALT, 30080),
        ("203.0.113.1", 80),
        ("203.0.113.2", 80),
    }
    everything = choice("iptables", *services, slices=slices)
    assert (everything.left_out, found.left_out) == (0, len(everything.targets) - 12)


def test_pods_of_the_node_are_endpoints_with_a_network_of_their_own() -> None:
    slices = [
        endpoint_slice(
            endpoint("10.0.0.5", NAME), ELSEWHERE, endpoint(NODE_IP, NAME), endpoint("10.0.0.8", NAME, "rST")
        )
    ]
    state = cluster([], slices, DETECTOR, "1.37", [THE_NODE])
    assert choosing.local_pods(state, the_node(state)) == {"10.0.0.5"}


SINGLE = Target("ns1/own:p80", "cluster_ip", 4, "10.96.0.1", 80, (("10.0.0.5", 80),))
SIX = Target("ns1/six:p80", "cluster_ip", 6, "fd00:96::1", 80, (("fd00::7", 80), ("fd00::8", 80)))
UNTOLD = SINGLE._replace(port=30080, source="node_port", for_pods=False)
OWN, BOTH = Pod("11", frozenset({"10.0.0.5"})), Pod("22", frozenset({"10.0.0.9", "fd00::9"}))


def test_places() -> None:
    targets = (SINGLE, SIX, UNTOLD)
    pods = {"10.0.0.5": OWN, "10.0.0.9": BOTH, "fd00::9": BOTH}
    assert choosing.vantages(targets, pods) == [
        Vantage(NODE, None, targets),
        Vantage(POD, BOTH, (SINGLE, SIX)),
        Vantage(HAIRPIN, OWN, (SINGLE,), "10.0.0.5"),
    ]
    # From a pod with IPv4 alone nothing is said of IPv6.
    assert choosing.vantages(targets, {"10.0.0.5": OWN})[1] == Vantage(POD, OWN, (SINGLE,))
    assert choosing.vantages(targets, {}) == [Vantage(NODE, None, targets)]
    assert choosing.vantages((), pods) == []


YES, NO = Outcome(True), Outcome(False, "no answer in 3 s", ATTEMPTS)
TWO = SINGLE._replace(destinations=(("10.0.0.5", 80), ("10.0.0.6", 80)))
FIRST, SECOND = TWO.destinations
HALF = {TWO.end: NO, FIRST: YES, SECOND: NO}


@pytest.mark.parametrize(
    ("target", "outcomes", "verdict", "direct", "words"),
    [
        (SINGLE, {SINGLE.end: YES, FIRST: YES}, OK, True, ""),
        (SINGLE, {SINGLE.end: YES, FIRST: NO}, OK, False, ""),
        (SINGLE, {SINGLE.end: NO, FIRST: YES}, FAILED, True, "10.0.0.5:80 answers directly"),
        (SINGLE, {SINGLE.end: NO, FIRST: NO}, UNKNOWN, False, "None of its endpoints answers directly"),
        (TWO, {TWO.end: NO, FIRST: YES, SECOND: YES}, FAILED, True, "in 4 attempts (no answer in 3 s), while"),
        (TWO, HALF, UNKNOWN, True, "Only 1 of 2 endpoints"),
        (TWO._replace(is_sticky=True), {TWO.end: NO, FIRST: YES, SECOND: YES}, FAILED, True, "was not answered"),
        (TWO._replace(is_sticky=True), HALF, UNKNOWN, True, "Only 1 of 2 endpoints"),
        (
            TWO._replace(destinations=tuple(("10.0.0.5", port) for port in range(1, 10))),
            {TWO.end: NO, **{("10.0.0.5", port): YES for port in range(1, 8)}, ("10.0.0.5", 8): NO},
            FAILED,
            True,
            "10.0.0.5:1 answers directly",
        ),
        (
            TWO._replace(destinations=tuple(("10.0.0.5", port) for port in range(1, 10)), is_sticky=True),
            {TWO.end: NO, **{("10.0.0.5", port): YES for port in range(1, 9)}},
            UNKNOWN,
            True,
            "Only 8 of 9 endpoints are known to answer",
        ),
        (SINGLE._replace(destinations=()), {SINGLE.end: NO}, OK, None, ""),
        (SINGLE._replace(destinations=()), {SINGLE.end: YES}, UNKNOWN, None, "the API has no endpoint"),
        (
            SINGLE,
            {SINGLE.end: Outcome(False, "Network is unreachable", is_routed=False), FIRST: YES},
            UNKNOWN,
            True,
            "Nothing can be sent there: Network is unreachable",
        ),
        (SINGLE, {}, UNKNOWN, None, "Nobody could look"),
    ],
)
def test_verdicts(target: Target, outcomes: dict[End, Outcome], verdict: str, direct: bool | None, words: str) -> None:
    """One in eight endpoints silent: (1/8)^4 is less than a thousandth. One in two: (1/2)^4 is not."""
    (probe,) = judging.judge([judging.Seen(Vantage(NODE, None, (target,)), outcomes, "the process ended")])
    assert (probe.verdict, probe.direct) == (verdict, direct)
    assert words in probe.reason
    assert bool(words) == bool(probe.reason)
    assert judging.row(probe)["from"] == "node"


def from_pod(target: Target, at_node: Outcome, name: str = POD, no_hairpin: bool = False) -> str:
    """The endpoint answers the pod, and the Service does not."""
    node = judging.Seen(Vantage(NODE, None, (target,)), {target.end: YES, FIRST: at_node})
    pod = judging.Seen(Vantage(name, OWN, (target,)), {target.end: NO, FIRST: YES}, no_hairpin=no_hairpin)
    return judging.judge([node, pod])[1].verdict


def test_where_pods_get_the_nodes_address_the_endpoint_must_answer_the_node() -> None:
    through_node = SINGLE._replace(is_masqueraded=True)
    assert from_pod(SINGLE, NO) == FAILED
    assert from_pod(through_node, YES) == FAILED
    assert from_pod(through_node, NO) == UNKNOWN


def test_a_bridge_without_hairpin_mode_explains_a_hairpin() -> None:
    assert from_pod(SINGLE, YES, HAIRPIN) == FAILED
    assert from_pod(SINGLE, NO, HAIRPIN) == UNKNOWN
    assert from_pod(SINGLE, YES, HAIRPIN, no_hairpin=True) == UNKNOWN


def test_nothing_to_judge() -> None:
    assert judging.judge([]) == []


@pytest.fixture
def listening() -> t.Iterator[End]:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()


@pytest.fixture
def closed() -> End:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        end: End = server.getsockname()
    return end


def test_connections(listening: End, closed: End) -> None:
    # Whose queue is full does not answer.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.create_connection(server.getsockname()):
        silent = server.getsockname()
        found = connecting.attempt_once([listening, closed, silent], 0.5)
    assert found == {
        listening: Outcome(True),
        closed: Outcome(False, "Connection refused"),
        silent: Outcome(False, "no answer in 0.5 s"),
    }


def test_where_there_is_no_way_is_told_at_once() -> None:
    # TCP has none to a broadcast address (tcp_v4_connect).
    nowhere = ("255.255.255.255", 80)
    found = connecting.attempt_once([nowhere], 5)
    assert found == {nowhere: Outcome(False, "Network is unreachable", is_routed=False)}


def test_how_long_it_takes_at_most() -> None:
    asks = [Ask(("10.0.0.1", port), ()) for port in range(1, 402)]
    assert connecting.longest(asks, 3) == pytest.approx(ATTEMPTS * (3 * 3 + 0.2))
    assert connecting.longest([Ask(("10.0.0.1", 1), (("10.0.0.1", 1),))], 1) == pytest.approx(ATTEMPTS * 1.2)


class Net:
    """Answers by a list of yes and no for each address; the last one stays."""

    def __init__(self, answers: dict[End, list[Outcome]]) -> None:
        self.answers = answers
        self.asked: list[list[End]] = []

    def __call__(self, wanted: t.Sequence[End], _timeout: float) -> dict[End, Outcome]:
        self.asked.append(sorted(wanted))
        return {end: self.answers[end].pop(0) if self.answers[end][1:] else self.answers[end][0] for end in wanted}


VIP, A, B, OTHER = ("10.96.0.1", 80), ("10.0.0.1", 80), ("10.0.0.2", 80), ("10.96.0.2", 80)
MISS = Outcome(False, "refused")


def run(asks: list[Ask], answers: dict[End, list[Outcome]]) -> tuple[dict[End, Outcome], list[list[End]]]:
    net = Net(answers)
    return connecting.connect_all(asks, 1, net, lambda _seconds: None), net.asked


def test_what_is_answered_is_asked_once() -> None:
    found, asked = run([Ask(VIP, (A, B))], {VIP: [YES], A: [YES], B: [YES]})
    assert asked == [[A, B, VIP]]
    assert found[VIP] == Outcome(True)


def test_an_address_is_asked_again_while_an_endpoint_answers() -> None:
    found, asked = run([Ask(VIP, (A, B))], {VIP: [MISS], A: [YES], B: [MISS]})
    assert asked == [[A, B, VIP], [B, VIP], [VIP], [VIP]]
    assert found[VIP] == Outcome(False, "refused", ATTEMPTS)
    found, asked = run([Ask(VIP, (A,))], {VIP: [MISS, YES], A: [MISS, YES]})
    assert (found[VIP], asked) == (Outcome(True, "", 2), [[A, VIP], [A], [VIP]])
    found, asked = run([Ask(VIP, (A,))], {VIP: [MISS, MISS, YES], A: [YES]})
    assert (found[VIP], len(asked)) == (Outcome(True, "", 3), 3)


def test_without_an_endpoint_or_a_way_nothing_is_asked_again() -> None:
    nowhere = Outcome(False, "Network is unreachable", is_routed=False)
    _found, asked = run([Ask(VIP, ()), Ask(OTHER, (A,))], {VIP: [MISS], OTHER: [nowhere], A: [YES]})
    assert asked == [[A, VIP, OTHER]]


FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.244.1.0/24 2 0 2
        +-- 10.244.1.0/29 2 0 2
           |-- 10.244.1.0
              /24 link UNICAST
           |-- 10.244.1.5
              /32 host LOCAL
        |-- 10.244.1.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
Local:
  +-- 0.0.0.0/0 3 0 5
           |-- 10.244.1.5
              /32 host LOCAL
"""
IF_INET6 = """fd000010024400010000000000000005 02 40 00 80     eth0
fe80000000000000d0b1e4fffe5c4f1a 02 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""


def test_the_addresses_of_a_namespace() -> None:
    assert namespaces.parse_addresses(FIB_TRIE, IF_INET6) == {"10.244.1.5", "fd00:10:244:1::5"}
    assert namespaces.parse_addresses("", "") == frozenset()


def process(root: Path, pid: str, namespace: str, fib_trie: str = "", if_inet6: str = "") -> None:
    folder = root / "proc" / pid
    (folder / "net").mkdir(parents=True)
    (folder / "ns").mkdir()
    (folder / "ns" / "net").symlink_to(f"net:[{namespace}]")
    (folder / "net" / "fib_trie").write_text(fib_trie)
    (folder / "net" / "if_inet6").write_text(if_inet6)


def test_pods_are_found_by_their_processes(tmp_path: Path) -> None:
    process(tmp_path, "self", "1", FIB_TRIE)
    process(tmp_path, "1", "1", FIB_TRIE)
    process(tmp_path, "200", "7", FIB_TRIE, IF_INET6)
    process(tmp_path, "201", "7", FIB_TRIE, IF_INET6)
    process(tmp_path, "300", "8", FIB_TRIE.replace("10.244.1.5", "10.244.1.6"))
    (tmp_path / "proc" / "400").mkdir()
    (tmp_path / "proc" / "uptime").write_text("1")
    found = namespaces.find_pods(Files(str(tmp_path)), {"10.244.1.5", "10.244.1.9", "fd00:10:244:1::5"})
    pod = Pod("200", frozenset({"10.244.1.5", "fd00:10:244:1::5"}))
    assert found == {"10.244.1.5": pod, "fd00:10:244:1::5": pod}
    assert pod.families == {4, 6}


@pytest.mark.parametrize(
    ("mode", "flags", "off"), [("0\n", "0x1003\n", True), ("1\n", "0x1003\n", False), ("0\n", "0x1103\n", False)]
)
def test_hairpin_mode_is_the_bridge_ports(tmp_path: Path, mode: str, flags: str, off: bool) -> None:
    """IFF_PROMISC is 0x100: kubenet's promiscuous-bridge."""
    texts = {
        "proc/200/root/sys/class/net/eth0/iflink": "12\n",
        "proc/200/root/sys/class/net/lo/iflink": "1\n",
        "sys/class/net/lo/ifindex": "1\n",
        "sys/class/net/vethb/ifindex": "12\n",
        "sys/class/net/vethb/brport/hairpin_mode": mode,
        "sys/class/net/vethb/brport/bridge/flags": flags,
    }
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert namespaces.sends_nothing_back(Files(str(tmp_path)), Pod("200", frozenset())) is off
    # A routed pod hangs on no bridge, and of some nothing is known.
    assert not namespaces.sends_nothing_back(Files(str(tmp_path)), Pod("201", frozenset()))


def test_jobs_run_at_the_same_time_in_processes_of_their_own() -> None:
    own = os.getpid()

    def job(number: int) -> dict[End, Outcome]:
        time.sleep(0.3)
        return {(f"10.0.0.{number}", os.getpid() != own): Outcome(True, "", 2)}

    def late() -> dict[End, Outcome]:
        time.sleep(60)
        return {}

    def refused() -> dict[End, Outcome]:
        raise PermissionError(1, "Operation not permitted")

    started = time.monotonic()
    first, second, third = namespaces.run_jobs([(None, lambda: job(1)), (None, lambda: job(2)), (None, refused)], 30)
    assert time.monotonic() - started < 10
    assert first.outcomes == {("10.0.0.1", 1): Outcome(True, "", 2)}
    assert second.outcomes == {("10.0.0.2", 1): Outcome(True, "", 2)}
    assert third == namespaces.Result({}, "Operation not permitted")
    (cut_off,) = namespaces.run_jobs([(None, late)], 0.2)
    assert "was not done after" in cut_off.problem
    (gone,) = namespaces.run_jobs([(Pod("999999999", frozenset()), lambda: job(1))], 5)
    assert gone == namespaces.Result({}, "No such file or directory")
    assert os.getpid() == own


STATE = state_of.encode(state_of.build([], [], [], {}, "1.37"))
PARAMS: Object = {"state": STATE, "node": None, "mode": None, "services": [], "limit": 40, "timeout": 3.0}


def test_options() -> None:
    assert question({**PARAMS, "services": ["ns1/a"]}).wish == choosing.Wish(frozenset({"ns1/a"}), 40)


@pytest.mark.parametrize(
    "wrong", [{"services": ["a"]}, {"services": ["/a"]}, {"limit": -1}, {"timeout": 0.0}, {"state": "x"}]
)
def test_options_that_mean_nothing(wrong: Object) -> None:
    with pytest.raises(InvalidInput):
        question({**PARAMS, **wrong})
