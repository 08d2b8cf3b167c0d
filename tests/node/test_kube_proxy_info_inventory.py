# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of a node without kube-proxy. Witnesses: lsmod, iptables-save, ipset, nft, ipvsadm and ip, which it does not need itself."""

from __future__ import annotations

import json
import re
import typing as t
from collections import Counter

import pytest

from tests.labkit import Node
from tests.labkit.bare import CLEAN
from tests.labkit.state import state_of

INVENTORY = {"gather": ["node", "virtual_servers", "inventory"]}
# Without any of these the module has to see the same.
OTHER_TOOLS = "ip ipset ipvsadm conntrack modprobe lsmod sysctl jq curl"

# kube-proxy's of all three modes, somebody else's, and things that only look like kube-proxy's.
FILL = """
set -e
modprobe dummy numdummies=0
ip link add kube-ipvs0 type dummy
ip address add 10.96.0.1/32 dev kube-ipvs0
ip address add fd00:10:96::a/128 dev kube-ipvs0
ipvsadm -A -t 10.96.0.1:443 -s rr; ipvsadm -a -t 10.96.0.1:443 -r 192.0.2.7:6443 -m -w 1
ipvsadm -A -t 192.168.34.10:30080 -s rr
ipvsadm -A -u 203.0.113.9:53 -s wrr
ipvsadm -A -f 7 -s rr
iptables-nft -t nat -N KUBE-SERVICES
iptables-nft -t nat -A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
iptables-nft -t nat -A OUTPUT -d 192.0.2.1 -j KUBE-SERVICES
iptables-nft -t nat -N KUBE-SVC-NPX46M4PTMTKRN6Y
iptables-nft -t nat -A KUBE-SVC-NPX46M4PTMTKRN6Y -j RETURN
iptables-nft -t nat -N KUBE-SVC-FOO
iptables-nft -t mangle -N KUBE-IPTABLES-HINT
ip6tables-nft -N KUBE-FORWARD
ip6tables-nft -N cali-FORWARD
iptables-legacy -N KUBE-NODE-PORT
ipset create KUBE-CLUSTER-IP hash:ip,port
ipset add KUBE-CLUSTER-IP 10.96.0.1,tcp:443
ipset add KUBE-CLUSTER-IP 10.96.0.10,udp:53
ipset create KUBE-6-CLUSTER-IP hash:ip,port family inet6
ipset create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
for port in $(seq 30000 30099); do echo add KUBE-NODE-PORT-TCP $port; done | ipset restore
ipset create KUBE-6-LOAD-BALANCER-SOURCE-CID hash:ip,port,net family inet6
ipset create KUBE-MINE hash:ip
ipset create KUBE-IPVS-IPS list:set
ipset add KUBE-IPVS-IPS KUBE-MINE
for net in $(seq 1 250); do for host in $(seq 1 40); do echo add KUBE-MINE 10.0.$net.$host; done; done | ipset restore
nft add table ip kube-proxy
nft add chain ip kube-proxy services
nft add set ip kube-proxy cluster-ips '{ type ipv4_addr; }'
nft add element ip kube-proxy cluster-ips '{ 10.96.0.1, 10.96.0.10 }'
nft add map ip kube-proxy service-ips '{ type ipv4_addr . inet_proto . inet_service : verdict; }'
nft add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips
nft add table inet kube-proxy
"""
Row = dict[str, t.Any]


@pytest.fixture
def bare(node: Node) -> t.Iterator[Node]:
    """A node without one table, set or virtual server, and without the modules for them."""
    node.attempt(CLEAN)
    yield node
    node.attempt(CLEAN)


@pytest.fixture
def filled(bare: Node) -> Node:
    bare.run(FILL)
    return bare


def lsmod(node: Node) -> set[str]:
    return set(re.findall(r"^\w+", node.run("cat /proc/modules"), re.MULTILINE))


def inventory(node: Node, check: bool = False, **options: t.Any) -> Row:
    found: Row = node.module("kube_proxy_info", {**INVENTORY, **options}, check=check)["inventory"]
    return found


def rows(found: Row, kind: str) -> list[Row]:
    return [row for row in found["artifacts"] if row["kind"] == kind]


@pytest.mark.parametrize("check", [False, True])
def test_looking_loads_no_module(bare: Node, check: bool) -> None:
    before = lsmod(bare)
    assert not before & {"ip_set", "ip_vs", "nf_tables", "ip_tables", "x_tables", "nfnetlink", "dummy", "nf_conntrack"}
    found = bare.module("kube_proxy_info", INVENTORY, check=check)
    assert lsmod(bare) == before
    assert found["inventory"]["artifacts"] == found["inventory"]["unread"] == found["virtual_servers"] == []
    assert found["modules"] == {**dict.fromkeys(found["modules"], "absent"), **builtin(bare, found["modules"])}


def builtin(node: Node, names: t.Iterable[str]) -> dict[str, str]:
    listed = node.run("cat /lib/modules/$(uname -r)/modules.builtin")
    return {name: "builtin" for name in names if f"/{name}.ko" in listed}


@pytest.mark.parametrize("module", ["ip_set", "nf_tables", "ip_vs", "iptable_nat", "ip6table_filter", "nf_conntrack"])
def test_one_part_that_is_there_brings_no_other(bare: Node, module: str) -> None:
    """Each reader's way to the kernel, and nothing behind it but its own module."""
    bare.run(f"modprobe {module}")
    before = lsmod(bare), bare.run("cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null; true")
    found = inventory(bare)
    tables = bare.run("cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null; true")
    assert (lsmod(bare), tables) == before
    assert found["artifacts"] == found["unread"] == []


@pytest.mark.parametrize("check", [False, True])
def test_looking_changes_nothing(filled: Node, check: bool) -> None:
    before = state_of(filled)
    inventory(filled, check)
    assert state_of(filled) == before


def saved_chains(node: Node) -> dict[tuple[str, ...], int]:
    """Backend, family, table and name of every chain that is not built in, with its rules, by iptables-save."""
    found: Counter[tuple[str, ...]] = Counter()
    for backend in ("nft", "legacy"):
        for family, tool in (("ipv4", "iptables"), ("ipv6", "ip6tables")):
            table = ""
            for line in node.run(f"{tool}-{backend}-save").splitlines():
                if line.startswith("*"):
                    table = line[1:]
                elif re.match(r":\S+ - ", line):
                    found[backend, family, table, line[1:].split()[0]] = 0
                elif line.startswith("-A") and (backend, family, table, line.split()[1]) in found:
                    found[backend, family, table, line.split()[1]] += 1
    return dict(found)


def test_what_the_fields_own_tools_see(filled: Node) -> None:
    found = inventory(filled)
    assert found["unread"] == []
    chains = {
        (row["backend"], row["family"], row["table"], row["name"]): row["size"] for row in rows(found, "iptables_chain")
    }
    assert chains == saved_chains(filled)
    sets = re.findall(r"^create (\S+) (\S+)", filled.run("ipset save"), re.MULTILINE)
    members = Counter(re.findall(r"^add (\S+)", filled.run("ipset save"), re.MULTILINE))
    assert {(row["name"], row["type"]): row["size"] for row in rows(found, "ipset")} == {
        (name, kind): members[name] for name, kind in sets
    }
    links = json.loads(filled.run("ip -j address show dev kube-ipvs0"))[0]["addr_info"]
    addresses = {one["local"] for one in links if one["scope"] != "link"}
    assert {row["name"] for row in rows(found, "address")} == addresses
    servers = re.findall(r"^-A -[tuf] (\S+)", filled.run("ipvsadm -Sn"), re.MULTILINE)
    assert sorted(row["name"].replace("fwmark ", "") for row in rows(found, "virtual_server")) == sorted(servers)
    tables = re.findall(r"^table (\S+) (\S+)", filled.run("nft list tables"), re.MULTILINE)
    expected = {(f, n) for f, n in tables if n not in ("nat", "filter", "mangle")}
    assert {(row["type"], row["name"]) for row in rows(found, "nft_table")} == expected


# By the source of kube-proxy, and by what FILL says of each.
OWNERS = {
    ("iptables_chain", "KUBE-SERVICES"): "kube-proxy",
    ("iptables_chain", "KUBE-SVC-NPX46M4PTMTKRN6Y"): "kube-proxy",
    ("iptables_chain", "KUBE-FORWARD"): "kube-proxy",
    ("iptables_chain", "KUBE-NODE-PORT"): "kube-proxy",  # made in filter, where ipvs mode has it
    ("iptables_chain", "KUBE-SVC-FOO"): "foreign",
    ("iptables_chain", "KUBE-IPTABLES-HINT"): "kubelet",
    ("iptables_chain", "cali-FORWARD"): "Calico",
    ("iptables_jump", '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'): "kube-proxy",
    ("iptables_jump", "-A OUTPUT -d 192.0.2.1/32 -j KUBE-SERVICES"): "foreign",
    ("ipset", "KUBE-CLUSTER-IP"): "kube-proxy",
    ("ipset", "KUBE-6-CLUSTER-IP"): "kube-proxy",
    ("ipset", "KUBE-NODE-PORT-TCP"): "kube-proxy",
    ("ipset", "KUBE-6-LOAD-BALANCER-SOURCE-CID"): "kube-proxy",
    ("ipset", "KUBE-MINE"): "foreign",
    ("ipset", "KUBE-IPVS-IPS"): "foreign",
    ("nft_chain", "services"): "kube-proxy",
    ("nft_set", "cluster-ips"): "kube-proxy",
    ("nft_map", "service-ips"): "kube-proxy",
    ("device", "kube-ipvs0"): "kube-proxy",
    ("address", "10.96.0.1"): "kube-proxy",
    ("address", "fd00:10:96::a"): "kube-proxy",
    ("virtual_server", "10.96.0.1:443"): "kube-proxy",
    ("virtual_server", "192.168.34.10:30080"): None,
    ("virtual_server", "203.0.113.9:53"): "foreign",
    ("virtual_server", "fwmark 7"): "foreign",
}


def test_owners(filled: Node) -> None:
    found = inventory(filled)
    assert {(r["kind"], r["name"]): r["owner"] for r in found["artifacts"] if r["kind"] != "nft_table"} == OWNERS
    assert {(r["type"], r["owner"]) for r in rows(found, "nft_table")} == {("ip", "kube-proxy"), ("inet", "foreign")}
    assert {row["belongs"] for row in found["artifacts"]} == {None}
    assert found["iptables"] == {"default": "nft", "kubelet": ["nft"], "kube_proxy": ["nft", "legacy"]}
    told = inventory(filled, node_port_range="30000-32767")
    assert {row["owner"] for row in rows(told, "virtual_server") if row["name"].endswith(":30080")} == {"kube-proxy"}


def test_it_needs_none_of_the_other_tools(filled: Node) -> None:
    """The same result where the node has nothing but Python, iptables-save and nft."""
    expected = inventory(filled)
    hide = f"cd /usr; for tool in {OTHER_TOOLS}; do for dir in sbin bin; do mv $dir/$tool $dir/$tool.hidden 2>/dev/null; done; done; ! command -v ip ipset"
    show = "cd /usr; for path in sbin/*.hidden bin/*.hidden; do test ! -e $path || mv $path ${path%.hidden}; done"
    try:
        filled.run(hide)
        assert inventory(filled) == expected
    finally:
        filled.run(show)


def test_a_missing_tool_is_told_and_the_rest_is_there(filled: Node) -> None:
    everything = inventory(filled)
    try:
        filled.run("mv /usr/sbin/nft /usr/sbin/nft.hidden")
        found = inventory(filled)
    finally:
        filled.run("mv /usr/sbin/nft.hidden /usr/sbin/nft")
    assert [text.split(":")[0] for text in found["unread"]] == ["nft was not found"]
    # The kernel tells its tables, and only nft what is in them.
    inside = ("nft_chain", "nft_set", "nft_map", "nft_counter")
    rest = [row for row in everything["artifacts"] if row["kind"] not in inside]
    assert found["artifacts"] == rest


def test_bad_input(bare: Node) -> None:
    message = bare.module_fails("kube_proxy_info", {"node_port_range": "all"})
    assert message == "node_port_range: 'all' is not a range of ports. Write it as 30000-32767."
