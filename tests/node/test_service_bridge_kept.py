# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that IPVS carries, when it goes: in a real kernel, with and without a bridge. Pods and a client outside are network namespaces
of the node; virtual servers, the device and the masquerading are made by hand as kube-proxy makes them."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as cluster_state
from tests.labkit import Node
from tests.labkit import held as program
from tests.labkit.bare import CLEAN
from tests.unit.plugins.kube_services import Object, endpoint, endpoint_slice, service
from tests.unit.plugins.kube_services import node as api_node

MODULE = "service_bridge"
WEB, WEB6 = "10.96.0.11", "fd00:10:96::11"
POD, SERVER, CLIENT = (
    ("10.244.0.11", "fd00:10:244::11"),
    ("10.244.0.12", "fd00:10:244::12"),
    ("203.0.113.7", "2001:db8::7"),
)
WAYS = ["idle", "asked", "told", "told-later", "bulk"]
LOOSE = "net.netfilter.nf_conntrack_tcp_loose"
CLIENTS = {"pod": POD, "server": SERVER, "client": CLIENT}
"""A pod, the endpoint itself, and a client outside: the last two are masqueraded."""


def namespace(name: str, addresses: tuple[str, str], number: int) -> str:
    address, address6 = addresses
    return f"""
ip netns add {name}; ip link add {name} type veth peer name eth0 netns {name}; ip link set {name} up
ip -n {name} link set lo up; ip -n {name} link set eth0 up
ip -n {name} address add {address}/32 dev eth0; ip -n {name} address add {address6}/128 dev eth0 nodad
ip address add 192.0.2.{number}/32 dev {name}; ip -6 address add 2001:db8:1::{number}/128 dev {name} nodad
ip route add {address}/32 dev {name}; ip -6 route add {address6}/128 dev {name}
ip -n {name} route add 192.0.2.{number} dev eth0; ip -n {name} route add default via 192.0.2.{number}
ip -n {name} -6 route add 2001:db8:1::{number} dev eth0; ip -n {name} -6 route add default via 2001:db8:1::{number}
"""


UP = f"""
set -e
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
mkdir -p /run/held
cat > /run/held/held.py
{"".join(namespace(name, addresses, number) for number, (name, addresses) in enumerate(CLIENTS.items(), 1))}
systemd-run -q --collect --unit held-server ip netns exec server python3 /run/held/held.py serve 8080
"""
IPVS = f"""
set -e
modprobe -a ip_vs ip_vs_rr dummy nf_conntrack nf_conntrack_netlink
sysctl -qw net.ipv4.vs.conntrack=1 net.ipv4.vs.expire_nodest_conn=1 net.ipv4.vs.expire_quiescent_template=1
ip link add kube-ipvs0 type dummy; ip address add {WEB}/32 dev kube-ipvs0; ip -6 address add {WEB6}/128 dev kube-ipvs0 nodad
ipvsadm -A -t {WEB}:80 -s rr; ipvsadm -a -t {WEB}:80 -r {SERVER[0]}:8080 -m
ipvsadm -A -t [{WEB6}]:80 -s rr; ipvsadm -a -t [{WEB6}]:80 -r [{SERVER[1]}]:8080 -m
for client in {CLIENT[0]} {SERVER[0]}; do iptables -t nat -A POSTROUTING -s $client -m ipvs --ipvs -j MASQUERADE; done
for client in {CLIENT[1]} {SERVER[1]}; do ip6tables -t nat -A POSTROUTING -s $client -m ipvs --ipvs -j MASQUERADE; done
"""
# The mode that comes has rules of nat, without which the kernel neither tracks connections nor rewrites them.
IPVS_GOES = f"""
set -e
nft -f - <<'END'
table ip next {{ chain nat {{ type nat hook prerouting priority -100 ; ip daddr 192.0.2.99 dnat to {SERVER[0]} ; }} ; }}
table ip6 next {{ chain nat {{ type nat hook prerouting priority -100 ; ip6 daddr 2001:db8:1::99 dnat to {SERVER[1]} ; }} ; }}
END
ipvsadm -C; ip link del kube-ipvs0; iptables -t nat -F POSTROUTING; ip6tables -t nat -F POSTROUTING
"""
DOWN = f"""
systemctl stop held-server netops-kube-proxy-bridge $(systemctl list-units --plain --no-legend 'held-*' | cut -d' ' -f1)
for name in {" ".join(CLIENTS)}; do ip netns del $name; ip link del $name; done
rm -rf /run/held /run/netops-kube-proxy
"""


def cluster() -> str:
    web = service("default/web", clusterIP=WEB, clusterIPs=[WEB, WEB6], ipFamilies=["IPv4", "IPv6"])
    slices = [endpoint_slice(endpoint(address, "cp1"), name="default/web") for address in SERVER]
    config = {"clusterCIDR": "10.244.0.0/16,fd00:10:244::/64", "detectLocalMode": "ClusterCIDR"}
    nodes = [api_node("cp1", addresses=["10.34.0.10", "fd00:34::10"])]
    return cluster_state.encode(cluster_state.build([web], slices, nodes, config, "1.37"))


WANTED: Object = {"cluster": cluster(), "node": "cp1", "mode": "ipvs", "entering": "nftables", "metrics_address": ""}


@pytest.fixture(scope="module")
def bare(node: Node) -> t.Iterator[Node]:
    node.run(CLEAN)
    node.run(["bash", "-c", UP], stdin=Path(program.__file__).read_text())
    yield node
    node.attempt(DOWN)
    node.run(CLEAN)


HOLDERS = [(name, address) for name in CLIENTS for address in (WEB, WEB6)]


@pytest.fixture
def strict(ipvs: Node) -> t.Iterator[Node]:
    """Connection tracking takes up no connection in its middle."""
    ipvs.run(f"sysctl -qw {LOOSE}=0")
    yield ipvs
    ipvs.run(f"sysctl -qw {LOOSE}=1")


@pytest.fixture
def ipvs(bare: Node) -> t.Iterator[Node]:
    """IPVS as kube-proxy has it."""
    bare.run(IPVS)
    yield bare
    bare.attempt("systemctl stop 'held-hold-*'; conntrack -F")
    bare.run(f"rm -rf /run/held/go /run/held/hold-*; {CLEAN}")


def folder_of(name: str, address: str) -> str:
    return f"/run/held/hold-{name or 'node'}-{6 if ':' in address else 4}"


def hold(node: Node, name: str, address: str, ways: t.Sequence[str], seconds: int = 60) -> None:
    """Connections that IPVS carries, open now."""
    folder, enter = folder_of(name, address), f"ip netns exec {name} " if name else ""
    command = f"{enter}python3 /run/held/held.py hold {folder} {address} 80 {seconds} {' '.join(ways)}"
    unit = f"held-{Path(folder).name}"
    node.run(f"mkdir -p {folder}; systemd-run -q --collect --unit {unit} {command}")
    node.wait(f"{unit} to have its connections", f"test -e {folder}/ready")


def outcome(node: Node, holders: t.Iterable[tuple[str, str]]) -> list[Object]:
    """What became of connections, after each has been used once more."""
    node.run("touch /run/held/go")
    found = []
    for name, address in holders:
        folder = folder_of(name, address)
        text = node.wait(f"{folder} to say what became of its connections", f"cat {folder}/done")
        found += [{"client": name, "address": address, **one} for one in json.loads(text)]
    return found


def have_ipvs_go(node: Node) -> None:
    node.run(IPVS_GOES)
    node.wait("IPVS to end its connections", "test $(wc -l < /proc/net/ip_vs_conn) = 1")


def broken(found: t.Iterable[Object]) -> list[Object]:
    return [one for one in found if not one["unbroken"]]


def test_all_end_without_a_bridge(ipvs: Node) -> None:
    hold(ipvs, "pod", WEB, WAYS, seconds=5)
    have_ipvs_go(ipvs)
    assert len(broken(outcome(ipvs, [("pod", WEB)]))) == len(WAYS)


@pytest.mark.parametrize("again", [True, False])
def test_all_are_kept(ipvs: Node, again: bool) -> None:
    """Whether or not the module is run once more before the bridge is taken away."""
    for name, address in HOLDERS:
        hold(ipvs, name, address, WAYS)
    hold(ipvs, "", WEB, ["idle"])
    planned = ipvs.module(MODULE, WANTED, check=True)
    done = ipvs.module(MODULE, WANTED)
    assert (planned["kept"], planned["ending"]) == (done["kept"], done["ending"])
    assert done["kept"] == len(HOLDERS) * len(WAYS)
    (ending,) = done["ending"]
    assert ending["reason"] == "the client is this node, by an address that goes with kube-ipvs0"
    assert ending["connection"].startswith(f"tcp {WEB}:")
    assert not ipvs.module(MODULE, WANTED)["changed"]
    have_ipvs_go(ipvs)
    if again:
        assert ipvs.module(MODULE, WANTED)["kept"] == 0
    ipvs.module(MODULE, {"state": "absent"})
    found = outcome(ipvs, HOLDERS)
    assert len(found) == len(HOLDERS) * len(WAYS)
    assert broken(found) == []


def test_they_are_kept_while_the_bridge_is_up(ipvs: Node) -> None:
    """By its maps alone: what goes on is taken up in its middle, before anybody is told."""
    for name, address in HOLDERS:
        hold(ipvs, name, address, WAYS)
    ipvs.module(MODULE, WANTED)
    have_ipvs_go(ipvs)
    assert broken(outcome(ipvs, HOLDERS)) == []


def test_idle_ones_are_kept_when_the_node_takes_the_bridge_away(ipvs: Node) -> None:
    for name, address in HOLDERS:
        hold(ipvs, name, address, WAYS)
    ipvs.module(MODULE, {**WANTED, "soft_limit": 1, "hard_limit": 60})
    have_ipvs_go(ipvs)
    ipvs.wait("the node to take the bridge away", "! systemctl is-active netops-kube-proxy-bridge")
    assert ipvs.module(MODULE, {"state": "absent"})["actions"] == []
    assert broken(outcome(ipvs, HOLDERS)) == []


def setting(node: Node) -> str:
    return node.run(f"sysctl -n {LOOSE}").strip()


def test_what_connection_tracking_would_not_take_up_is_kept(strict: Node) -> None:
    hold(strict, "pod", WEB, WAYS)
    assert (
        "Have net.netfilter.nf_conntrack_tcp_loose=1 meanwhile, instead of 0"
        in strict.module(MODULE, WANTED)["actions"]
    )
    assert setting(strict) == "1"
    assert not strict.module(MODULE, WANTED)["changed"]
    have_ipvs_go(strict)
    assert broken(outcome(strict, [("pod", WEB)])) == []
    strict.module(MODULE, {"state": "absent"})
    assert setting(strict) == "0"


def test_a_setting_is_put_back_by_the_node_itself(strict: Node) -> None:
    hold(strict, "pod", WEB, ["idle"])
    strict.module(MODULE, {**WANTED, "soft_limit": 1, "hard_limit": 60})
    assert setting(strict) == "1"
    strict.wait("the node to take the bridge away", "! systemctl is-active netops-kube-proxy-bridge")
    assert setting(strict) == "0"
    assert strict.module(MODULE, {"state": "absent"})["actions"] == []
