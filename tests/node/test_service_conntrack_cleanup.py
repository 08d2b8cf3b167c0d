# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""UDP flows to Services that lead nowhere, in the connection tracking of a real kernel. Witness: conntrack, which makes and lists them."""

from __future__ import annotations

import random
import re
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of
from tests.labkit import Node
from tests.labkit.bare import CLEAN
from tests.labkit.state import state_of as node_state
from tests.unit.plugins.kube_services import endpoint, endpoint_slice, node, node_port, service

MODULE = "service_conntrack_cleanup"
# The lab's own addresses of cp1.
HERE, HERE6, ELSEWHERE = "10.34.0.10", "fd00:34::10", "10.34.0.77"
DNS, DNS6, EMPTY = "10.96.0.10", "fd00:10:96::a", "10.96.0.11"
POD, POD6, GONE, CLIENT, CLIENT6 = "10.244.1.5", "fd00:10:244:1::5", "10.244.1.6", "10.244.0.7", "fd00:10:244::7"
PORTS = [node_port("dns", 53, "UDP", 30153), node_port("tcp", 53, "TCP", 30154)]
SERVICES = [
    service(
        "default/dns", clusterIP=DNS, clusterIPs=[DNS, DNS6], type="NodePort", ports=PORTS, externalIPs=["203.0.113.9"]
    ),
    service("default/empty", clusterIP=EMPTY, ports=[{"name": "log", "port": 514, "protocol": "UDP"}]),
]
SLICE = [{"name": "dns", "port": 5300, "protocol": "UDP"}, {"name": "tcp", "port": 5300, "protocol": "TCP"}]
SLICES = [
    endpoint_slice(endpoint(POD, "w1"), name="default/dns", ports=SLICE),
    endpoint_slice(endpoint(POD6, "w1"), name="default/dns", ports=SLICE),
]
STATE = state_of.encode(
    state_of.build(SERVICES, SLICES, [node("cp1", addresses=[HERE, HERE6])], {"clusterCIDR": "10.244.0.0/16"}, "1.37")
)


def flow(port: int, to: str, number: int = 53, protocol: str = "udp", **more: t.Any) -> str:
    """A flow of the client from one of its ports."""
    client = CLIENT6 if ":" in to else CLIENT
    options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in more.items())
    tcp = " --state ESTABLISHED" if protocol == "tcp" else ""
    return f"-p {protocol} -t 600 -s {client} -d {to} --sport {port} --dport {number}{options}{tcp}"


def through_ipvs(port: int, to: str, number: int, end: str, end_port: int) -> str:
    """The endpoint is who answers, and NAT of netfilter has no part in it."""
    client = CLIENT6 if ":" in to else CLIENT
    return flow(port, to, number, reply_src=end, reply_dst=client, reply_port_src=end_port, reply_port_dst=port)


RIGHT = {
    "to a serving endpoint": flow(1001, DNS, dst_nat=f"{POD}:5300"),
    "the same through IPv6": flow(1002, DNS6, dst_nat=f"[{POD6}]:5300"),
    "to a NodePort": flow(1003, HERE, 30153, dst_nat=f"{POD}:5300"),
}
FOREIGN = {
    "to no Service": flow(2001, "192.0.2.1"),
    "to another port": flow(2002, DNS, 54),
    "TCP": flow(2003, DNS, protocol="tcp"),
    "to a TCP NodePort": flow(2004, HERE, 30154),
    "to that port of somebody else": flow(2005, ELSEWHERE, 30153),
    "in a zone of somebody's own": flow(2006, DNS, zone=7),
    "no Service, rewritten": flow(2007, "192.0.2.1", 30153, dst_nat=f"{GONE}:5300"),
}
STALE = {
    "begun without rules": flow(3001, DNS),
    "the same through IPv6": flow(3002, DNS6),
    "to an endpoint that has gone": flow(3003, DNS, dst_nat=f"{GONE}:5300"),
    "to another port of an endpoint": flow(3004, DNS, dst_nat=f"{POD}:5301"),
    "to a NodePort": flow(3005, HERE, 30153),
    "to a NodePort through IPv6": flow(3006, HERE6, 30153),
    "to an external IP": flow(3007, "203.0.113.9"),
    "to a Service without endpoints": flow(3008, EMPTY, 514, dst_nat=f"{GONE}:514"),
}
OF_IPVS = {
    "through IPVS": through_ipvs(4001, DNS, 53, POD, 5300),
    "through IPVS over IPv6": through_ipvs(4002, DNS6, 53, POD6, 5300),
}


@pytest.fixture
def bare(node: Node) -> t.Iterator[Node]:
    node.attempt(f"conntrack -F; {CLEAN}")
    yield node
    node.attempt(f"conntrack -F; {CLEAN}")


def fill(bare: Node, *flows: str) -> None:
    bare.run("set -e; " + "; ".join(f"conntrack -I {one} 2>&1" for one in flows))


def listed(bare: Node) -> set[str]:
    """Flows without what moves by itself."""
    lines = bare.run("{ conntrack -L; conntrack -L -f ipv6; } 2>/dev/null").splitlines()
    return {re.sub(r"^(\S+ +\d+) \d+ |use=\d+", r"\1 ", line) for line in lines}


def ports(lines: t.Iterable[str]) -> set[int]:
    """The ports of our client in them: of the first direction."""
    found = (re.search(rf"src=({CLIENT}|{CLIENT6}) \S+ sport=(\d+)", line) for line in lines)
    return {int(one.group(2)) for one in found if one}


def numbers(flows: t.Mapping[str, str]) -> set[int]:
    return {int(re.findall(r"--sport (\d+)", one)[0]) for one in flows.values()}


def test_looking_loads_no_module(bare: Node) -> None:
    before = bare.run("cut -d' ' -f1 /proc/modules | sort").split()
    assert "nf_conntrack" not in before
    found = bare.module(MODULE, {"state": STATE, "node": "cp1", "mode": "iptables"})
    assert bare.run("cut -d' ' -f1 /proc/modules | sort").split() == before
    assert (found["changed"], found["removed"], found["unread"]) == (False, [], "")
    bare.run("modprobe nf_conntrack")
    found = bare.module(MODULE, {"state": STATE, "node": "cp1", "mode": "iptables"})
    assert "nf_conntrack_netlink" not in bare.run("cut -d' ' -f1 /proc/modules")
    assert "has no nf_conntrack_netlink loaded" in found["unread"]


@pytest.mark.parametrize(("mode", "gone"), [("iptables", {**STALE, **OF_IPVS}), ("ipvs", STALE)])
def test_what_leads_nowhere_goes_and_nothing_else(bare: Node, mode: str, gone: dict[str, str]) -> None:
    fill(bare, *RIGHT.values(), *FOREIGN.values(), *STALE.values(), *OF_IPVS.values())
    before, whole = listed(bare), node_state(bare)
    assert len(before) == len({*RIGHT.values(), *FOREIGN.values(), *STALE.values(), *OF_IPVS.values()})
    arguments = {"state": STATE, "node": "cp1", "mode": mode}
    told = bare.module(MODULE, arguments, check=True)
    assert (listed(bare), node_state(bare)) == (before, whole)
    done = bare.module(MODULE, arguments)
    assert (told["actions"], told["diff"], told["removed"]) == (done["actions"], done["diff"], done["removed"])
    assert {one["source_port"] for one in done["removed"]} == numbers(gone)
    after = listed(bare)
    assert ports(before - after) == numbers(gone)
    assert not after - before
    again = bare.module(MODULE, arguments)
    assert (again["changed"], again["actions"]) == (False, [])


def test_node_ports_are_those_that_the_mode_serves(bare: Node) -> None:
    """In nftables mode, unless configured, on the node's main addresses only."""
    other = "10.35.0.10"
    assert other in bare.run("ip -o address")
    fill(bare, flow(1, HERE, 30153), flow(2, other, 30153))
    found = bare.module(MODULE, {"state": STATE, "node": "cp1", "mode": "nftables"}, check=True)
    assert {one["source_port"] for one in found["removed"]} == {1}
    found = bare.module(MODULE, {"state": STATE, "node": "cp1", "mode": "iptables"}, check=True)
    assert {one["source_port"] for one in found["removed"]} == {1, 2}


def test_of_many_flows_exactly_the_stale_ones_go(bare: Node) -> None:
    """Whatever flows there are: those to UDP addresses of Services whose answer is not a serving endpoint's."""
    chance = random.Random(20261126)
    places = [
        (DNS, 53),
        (HERE, 30153),
        ("203.0.113.9", 53),
        (EMPTY, 514),
        (DNS, 54),
        (ELSEWHERE, 30153),
        ("192.0.2.1", 53),
    ]
    ends = ["", f"{POD}:5300", f"{GONE}:5300"]
    flows, stale = [], set()
    for port in range(10000, 10600):
        (to, number), end = chance.choice(places), chance.choice(ends)
        flows.append(flow(port, to, number, **({"dst_nat": end} if end else {})))
        right = end == ends[1] and to != EMPTY
        if (to, number) in places[:4] and not right:
            stale.add(port)
    text = "".join(f"-I {one}\n" for one in flows)
    bare.run("conntrack -R - >/dev/null 2>&1", stdin=text)
    before = listed(bare)
    assert len(before) == len(flows)
    done = bare.module(MODULE, {"state": STATE, "node": "cp1", "mode": "iptables"})
    assert ports(before - listed(bare)) == stale == {one["source_port"] for one in done["removed"]}
