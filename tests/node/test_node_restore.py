# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node kept and put back, on a real kernel. Witnesses: iptables-save of both backends, nft, ipset, ipvsadm, sysctl, ip."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.filter.snapshot_differences import snapshot_differences
from tests.labkit import Node
from tests.labkit.bare import CLEAN
from tests.labkit.state import state_of

SERVER = "198.18.0.9:6443"
ARP = "net.ipv4.conf.all.arp_ignore"
FILL = f"""
set -e
iptables-nft -t nat -N MINE; iptables-nft -t nat -A MINE -s 10.9.0.0/16 -m comment --comment "it's \\"mine\\"" -j RETURN
iptables-nft -t nat -A PREROUTING -j MINE
ip6tables-legacy -t filter -N MINE6; ip6tables-legacy -t filter -A INPUT -j MINE6
iptables-nft -t nat -N KUBE-MARK-MASQ; iptables-nft -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
nft add table inet mine; nft 'add set inet mine s {{ type ipv4_addr; flags timeout; }}'
nft 'add element inet mine s {{ 192.0.2.7 timeout 1h }}'
ipset create MY-SET hash:ip; ipset add MY-SET 192.0.2.7; ipset create MY-PORTS hash:ip,port family inet6; ipset add MY-PORTS 2001:db8::1,tcp:80
ipvsadm -A -t {SERVER} -s wlc -p 300; ipvsadm -a -t {SERVER} -r 198.18.0.10:6443 -g -w 7; ipvsadm -a -t {SERVER} -r 198.18.0.11:6443 -g -w 0
ip address add 198.18.0.77/32 dev lo
"""
LOSE = """
iptables-nft -t nat -D PREROUTING -j MINE; iptables-nft -t nat -F MINE; iptables-nft -t nat -X MINE
ip6tables-legacy -D INPUT -j MINE6; ip6tables-legacy -X MINE6
iptables-nft -t nat -F KUBE-MARK-MASQ; iptables-nft -t nat -X KUBE-MARK-MASQ
ipset destroy MY-SET; ipset destroy MY-PORTS
ipvsadm -D -t 198.18.0.9:6443; ip address del 198.18.0.77/32 dev lo
"""
TIDY = f"sysctl -qw {ARP}=0; ip address del 198.18.0.77/32 dev lo; {CLEAN}"


@pytest.fixture
def bare(node: Node) -> t.Iterator[Node]:
    node.attempt(TIDY)
    yield node
    node.attempt(TIDY)


def look(node: Node) -> dict[str, t.Any]:
    found: dict[str, t.Any] = node.module("node_snapshot_info", {})["snapshot"]
    return found


def lines(text: str) -> list[str]:
    return [line.partition(" [")[0] for line in text.splitlines() if line.startswith(("*", ":", "-A"))]


def test_looking_loads_no_module(bare: Node) -> None:
    before = bare.run("cut -d' ' -f1 /proc/modules | sort").split()
    assert not {"ip_tables", "nf_tables", "ip_vs", "ip_set"} & set(before)
    found = look(bare)
    assert bare.run("cut -d' ' -f1 /proc/modules | sort").split() == before == found["modules"]
    assert [found[part] for part in ("iptables", "nft", "ipsets", "virtual_servers", "unread")] == [[]] * 5
    assert found["sysctls"][ARP] == bare.run(f"sysctl -n {ARP}").strip()
    assert not [name for name in found["sysctls"] if name.startswith("net.ipv4.vs.")]


def test_it_holds_what_the_nodes_own_tools_show(bare: Node) -> None:
    bare.run(FILL)
    before = state_of(bare)
    found = look(bare)
    assert state_of(bare) == before
    for one in found["iptables"]:
        tool = {"ipv4": "iptables", "ipv6": "ip6tables"}[one["family"]]
        assert lines(one["text"]) == lines(bare.run(f"{tool}-{one['backend']}-save")), one
    assert {(one["backend"], one["family"]) for one in found["iptables"]} >= {("nft", "ipv4"), ("legacy", "ipv6")}
    assert [one["name"] for one in found["nft"]] == ["mine"]
    assert "192.0.2.7 timeout 1h" in found["nft"][0]["text"]
    assert "expires" not in found["nft"][0]["text"]
    saved = bare.run("ipset save").splitlines()
    for one in found["ipsets"]:
        assert [f"add {one['name']} {member}" for member in one["members"]] == [
            line for line in saved if line.startswith(f"add {one['name']} ")
        ]
    assert sorted(one["name"] for one in found["ipsets"]) == ["MY-PORTS", "MY-SET"]
    assert found["sysctls"]["net.ipv4.vs.conntrack"] == bare.run("sysctl -n net.ipv4.vs.conntrack").strip()
    assert found["unread"] == []
    assert snapshot_differences(found, look(bare)) == []


def test_what_is_shown_as_missing_is_what_puts_it_back(bare: Node) -> None:
    bare.run(FILL)
    whole = {**look(bare), "foreign_virtual_servers": look(bare)["virtual_servers"]}
    bare.run(LOSE)
    shown = snapshot_differences(whole, look(bare))
    assert "of kube-proxy, which makes its own again: 2 lines are gone, 0 are new" in shown
    commands = [line[2:] for line in shown if line.startswith("- ")]
    assert len(commands) == len([line for line in shown if not line.startswith("of ")])
    for command in commands:
        bare.run(command)
    assert [one for one in snapshot_differences(whole, look(bare)) if not one.startswith("of kube-proxy")] == []


def test_what_is_missing_is_put_back_and_nothing_else(bare: Node) -> None:
    bare.run(FILL)
    servers = look(bare)["virtual_servers"]
    before = bare.run("ipvsadm -Sn")
    bare.run(f"ipvsadm -D -t {SERVER}; sysctl -qw {ARP}=2; ipvsadm -A -u 198.18.0.9:53")
    wanted = {"virtual_servers": servers, "sysctls": {ARP: "0"}}
    state = state_of(bare)
    checked = bare.module("node_restore", wanted, check=True)
    assert (state_of(bare), checked["changed"]) == (state, True)
    done = bare.module("node_restore", wanted)
    assert (done["actions"], done["diff"]) == (checked["actions"], checked["diff"])
    assert done["made"] == [f"TCP {SERVER}"]
    assert sorted(bare.run("ipvsadm -Sn").splitlines()) == sorted([*before.splitlines(), "-A -u 198.18.0.9:53 -s wlc"])
    assert bare.run(f"sysctl -n {ARP}").strip() == "0"
    assert not bare.module("node_restore", wanted)["changed"]
    bare.run(f"ipvsadm -E -t {SERVER} -s rr; ipvsadm -d -t {SERVER} -r 198.18.0.10:6443")
    edited = bare.run("ipvsadm -Sn")
    assert not bare.module("node_restore", wanted)["changed"]
    assert bare.run("ipvsadm -Sn") == edited


def test_sysctls_of_a_module_that_is_not_loaded_are_told(bare: Node) -> None:
    found = bare.module("node_restore", {"sysctls": {"net.ipv4.vs.conntrack": "1"}})
    assert (found["changed"], found["unknown_sysctls"]) == (False, ["net.ipv4.vs.conntrack"])
