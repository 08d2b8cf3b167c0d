# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What decides how a node takes another mode, on a node without kube-proxy. Witnesses: nft, iptables, ip, lsmod."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.labkit import Node
from tests.labkit.bare import CLEAN
from tests.labkit.state import state_of

TIDY = f"""
rm -rf /etc/cni/net.d/99-test.conflist /etc/ufw/ufw.conf /etc/systemd/system/test.wants
test -e /tmp/kube-proxy.pid && kill $(cat /tmp/kube-proxy.pid)
rm -f /tmp/kube-proxy /tmp/kube-proxy.pid
{CLEAN}"""
# Nobody answers there.
METRICS = {"metrics_address": "127.0.0.1:10249"}
FILL = """
set -e
nft add table inet mine
nft 'add set inet mine blocked { type ipv4_addr; }'
nft 'add map inet mine ways { type inet_service : verdict; }'
nft 'add chain inet mine forward { type filter hook forward priority 0; policy drop; }'
nft add table ip kube-proxy
nft 'add set ip kube-proxy cluster-ips { type ipv4_addr; }'
iptables-nft -P FORWARD DROP
ip6tables-legacy -P FORWARD DROP
mkdir -p /etc/cni/net.d /etc/ufw /etc/systemd/system/test.wants
echo '{"name": "test", "plugins": [{"type": "ptp", "secret": "x"}, {"type": "portmap", "externalSetMarkChain": "KUBE-MARK-MASQ"}]}' \
  > /etc/cni/net.d/99-test.conflist
echo ENABLED=yes > /etc/ufw/ufw.conf
ln -s /lib/systemd/system/nftables.service /etc/systemd/system/test.wants/nftables.service
cp "$(command -v sleep)" /tmp/kube-proxy
(setsid /tmp/kube-proxy 600 >/dev/null 2>&1 & echo $! > /tmp/kube-proxy.pid)
"""


@pytest.fixture
def bare(node: Node) -> t.Iterator[Node]:
    node.attempt(TIDY)
    yield node
    node.attempt(TIDY)


def version(node: Node) -> str:
    return node.run("nft --version").split()[1].lstrip("v")


def test_looking_loads_no_module(bare: Node) -> None:
    before = bare.run("cut -d' ' -f1 /proc/modules | sort").split()
    assert not {"ip_tables", "nf_tables", "nf_conntrack"} & set(before)
    found = bare.module("node_switch_info", METRICS)
    assert bare.run("cut -d' ' -f1 /proc/modules | sort").split() == before
    assert (found["forward_policies"], found["nft"]["sets"], found["nft"]["kube_proxy"]) == ([], [], None)
    # nfnetlink is built in: asking nft for its version loads nothing.
    assert found["nft"]["host"] == version(bare)
    assert found["kernel_release"] == bare.run("uname -r").strip()
    assert not found["changed"]


def test_addresses_are_those_that_ip_shows(bare: Node) -> None:
    links = json.loads(bare.run("ip -j address show"))
    shown = {
        (link["ifname"], one["local"])
        for link in links
        for one in link["addr_info"]
        if one["scope"] != "link" and "local" in one
    }
    found = bare.module("node_switch_info", METRICS)["addresses"]
    assert {(link["ifname"], one["local"]) for link in found for one in link["addr_info"]} == shown


def test_a_node_with_everything(bare: Node) -> None:
    bare.run(FILL)
    before = state_of(bare)
    found = bare.module("node_switch_info", METRICS)
    assert state_of(bare) == before
    assert (found["nft"]["host"], found["nft"]["kube_proxy"]) == (version(bare), version(bare))
    listed = json.loads(bare.run("nft -j list ruleset"))["nftables"]
    sets = {
        tuple(body[key] for key in ("family", "table", "name"))
        for one in listed
        for kind, body in one.items()
        if kind in ("set", "map")
    }
    assert {(one["family"], one["table"], one["name"]) for one in found["nft"]["sets"]} == {
        one for one in sets if one[1] != "kube-proxy"
    }
    policies = {(one["backend"], one["family"]): one["policy"] for one in found["forward_policies"]}
    assert policies[("nft", "ipv4")] == bare.run("iptables-nft -S FORWARD").split()[2] == "DROP"
    assert policies[("legacy", "ipv6")] == bare.run("ip6tables-legacy -S FORWARD").split()[2] == "DROP"
    assert policies[("nftables", "inet")] == "DROP"
    (network,) = [one for one in found["cni"] if one["name"] == "test"]
    assert (network["plugins"], network["mark_chain"]) == (["ptp", "portmap"], "KUBE-MARK-MASQ")
    assert '"x"' not in json.dumps(found["cni"])
    assert {one["name"] for one in found["firewalls"]} >= {"ufw"}
    assert found["tcp_be_liberal"] in (False, None)


def test_metrics_that_are_off_are_said(bare: Node) -> None:
    found = bare.module("node_switch_info", {"metrics_address": ""})
    assert found["counters"] == {"localhost_node_ports_accepted": None, "invalid_packets_dropped": None}
    assert found["unread"]["counters"] == "kube-proxy's metrics are off."
