# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube_proxy_info on a bare node: no kube-proxy answers, the node's part is there all the same. Witnesses: lsmod, ip, ipvsadm."""

from __future__ import annotations

import typing as t

import pytest

from tests.labkit import Node
from tests.labkit.bare import CLEAN

# Everything that looking could change.
STATE = "lsmod | awk '{print $1}' | sort; ip -o link | cut -d' ' -f2; cat /proc/net/ip_tables_names /proc/net/ip_vs 2>/dev/null; true"


@pytest.fixture
def bare(node: Node) -> t.Iterator[Node]:
    node.run(CLEAN)
    yield node
    node.run(CLEAN)


def test_nobody_answers_and_nothing_is_touched(bare: Node) -> None:
    before = bare.run(STATE)
    found = bare.module("kube_proxy_info", {"wanted": {"mode": "ipvs"}})
    assert bare.run(STATE) == before
    assert "ip_vs" not in before.split()
    assert not found["changed"]
    assert found["reachable"] is False
    assert found["problems"] == [
        "GET http://127.0.0.1:10249/proxyMode: Connection refused",
        "GET http://127.0.0.1:10256/healthz: Connection refused",
    ]
    nothing = ("running_mode", "version", "process_start_time", "synced", "configz", "node_name")
    assert [found[key] for key in nothing] == [None] * len(nothing)
    assert (found["differences"], found["ipvs_devices"], found["virtual_servers"]) == ([], [], [])
    assert found["sysctls"]["net.ipv4.ip_forward"] == bare.run("sysctl -n net.ipv4.ip_forward").strip()
    assert not any(name.startswith("net.ipv4.vs.") for name in found["sysctls"])


def test_the_nodes_part(bare: Node) -> None:
    bare.run(
        "modprobe dummy numdummies=0; ip link add kube-ipvs0 type dummy;"
        " ip address add 10.96.0.1/32 dev kube-ipvs0; ip address add fd00:10:96::a/128 dev kube-ipvs0;"
        " ipvsadm -A -t 10.96.0.1:443 -s rr; ipvsadm -a -t 10.96.0.1:443 -r 192.0.2.7:6443 -m -w 1"
    )
    found = bare.module("kube_proxy_info", {"families": ["ipv4"]})
    (device,) = found["ipvs_devices"]
    assert (device["name"], device["kind"], device["state"]) == ("kube-ipvs0", "dummy", "down")
    assert sorted(device["addresses"]) == ["10.96.0.1", "fd00:10:96::a"]
    (server,) = found["virtual_servers"]
    assert (server["address"], server["port"], server["protocol"], server["scheduler"]) == (
        "10.96.0.1",
        443,
        "tcp",
        "rr",
    )
    assert [(real["address"], real["port"], real["weight"]) for real in server["real_servers"]] == [
        ("192.0.2.7", 6443, 1)
    ]
    names = set(bare.run("ls /proc/sys/net/ipv4/vs").split())
    assert {name.rpartition(".")[2] for name in found["sysctls"] if name.startswith("net.ipv4.vs.")} == names
    assert found["sysctls"]["net.ipv4.vs.conntrack"] == bare.run("sysctl -n net.ipv4.vs.conntrack").strip()


def test_metrics_off(bare: Node) -> None:
    found = bare.module("kube_proxy_info", {"metrics_address": "", "healthz_address": ""})
    assert found["problems"] == [
        "metrics are off (metrics_address is empty)",
        "health checks are off (healthz_address is empty)",
    ]
    assert found["synced"] is None


def test_bad_input(bare: Node) -> None:
    arguments = {"wanted": {"settings": {"ipvs": {"tcpTimeout": "long"}}}}
    assert "ipvs.tcpTimeout must be a duration" in bare.module_fails("kube_proxy_info", arguments)


def test_a_damaged_certificate(bare: Node) -> None:
    folder = "/var/lib/kubelet/pki"
    bare.run(f"mkdir -p {folder} && echo nonsense > {folder}/kubelet-client-current.pem")
    try:
        message = bare.module_fails("kube_proxy_info", {"families": ["ipv4"]})
    finally:
        bare.run(f"rm -rf {folder}")
    assert "The kubelet's client certificate cannot be read: it holds no PEM certificate." in message
