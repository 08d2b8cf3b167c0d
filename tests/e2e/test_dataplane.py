# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel against API on a real dual-stack cluster, in all three modes and of three releases of kube-proxy: nothing is found
where nothing is wrong, also while Services come and go, and what is broken on purpose with the node's own tools is found for
what it is."""

from __future__ import annotations

import os
import time
import typing as t
from pathlib import Path

import pytest

from tests.labkit import Lab, Node
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import (
    churn,
    kinds,
    look,
    move,
    replace_program,
    restart,
    state,
    verdict,
    with_catalogue,
    wrong,
)
from tests.labkit.traces import balanced_is_true, traces_are_true

LAB = Lab("kubelab-e2e", ("--workers", "1"))
NAMES = ("cp1", "w1")
CHURN_SECONDS = int(os.environ.get("CHURN_SECONDS", "30"))
SERVICES = 200
RELEASE = "1.37.2"
# Counted by hand. Through IPv4: dual 3 ports, balanced, inside, both-local, empty, leaving, hinted, partly, traced, kubernetes,
# kube-dns 3, and marked from 1.36 on. Through IPv6: dual 3, balanced, six, traced.
SERVICE_PORTS = {"1.34.4": 15 + 6, "1.36.3": 16 + 6, "1.37.2": 16 + 6}
# What the mode before leaves is looked at in test_kube_proxy_info.py; here it goes, so that nothing at all is left to find.
TIDY = {
    "ipvs": "true",
    "nftables": "for set in $(ipset list -n | grep ^KUBE-); do ipset destroy $set; done",
}


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    found = with_catalogue(lab, NAMES)
    found.wait_for_mode("iptables")
    for node in found.nodes:
        node.wait("the last Service", "ip6tables-save -t nat | grep -q 2001:db8:ffff::20")
    return found


def tidy(node: Node, mode: str) -> None:
    for old in ("iptables", "ipvs"):
        if old != mode:
            node.module("iptables_kube_chain", {"mode": old, "running_mode": mode, "state": "absent"}, diff=False)
    node.run(TIDY[mode])


def nothing_is_found(cluster: Cluster, mode: str, release: str = RELEASE) -> None:
    for node in cluster.nodes:
        assert node.run("/proc/$(pgrep -ox kube-proxy)/exe --version") == f"Kubernetes v{release}\n"
        found = verdict(cluster, node)
        assert wrong(found) == []
        assert (found["node"], found["checked_mode"], found["running_mode"]) == (node.name, mode, mode)
        assert found["kernel_modes"] == [mode]
        assert (found["release"], found["service_ports"]) == (release.rpartition(".")[0], SERVICE_PORTS[release])


Damages = t.Sequence[tuple[str, set[str]]]


def some_and_all(damages: Damages) -> list[t.Any]:
    """Each takes a quarter of a minute: CI makes a few, proof all."""
    return [
        pytest.param(damages[::3], id="some"),
        pytest.param(damages, id="all", marks=pytest.mark.proof),
    ]


def all_is_found(cluster: Cluster, damages: Damages, release: str = RELEASE, **options: t.Any) -> None:
    """Break one thing after the other on a node whose kube-proxy is held still, so that it does not even say its release: each
    adds what it breaks."""
    node = cluster.control_plane
    text = state(cluster, release)
    with node.held_still("kube-proxy"):
        before = kinds(look(node, text, **options)["findings"])
        assert "kube_proxy_unreachable" in before
        for command, expected in damages:
            node.run(command)
            now = kinds(look(node, text, **options)["findings"])
            assert now - before == expected, f"after {command}"
            before = now


def nothing_is_found_while_services_come_and_go(cluster: Cluster, figures: dict[str, t.Any], mode: str) -> None:
    looks, services = 0, 0
    end = time.monotonic() + CHURN_SECONDS
    with churn(cluster, SERVICES) as changed:
        while looks < len(NAMES) or time.monotonic() < end:
            found = verdict(cluster, cluster.nodes[looks % len(NAMES)])
            assert wrong(found) == []
            looks += 1
            services = max(services, found["service_ports"])
    figures[f"churn in {mode} mode"] = {**changed, "looks": looks, "most Service ports": services, "found": 0}
    assert changed["changes"] > 100


def test_iptables_mode(cluster: Cluster) -> None:
    nothing_is_found(cluster, "iptables")


def test_traces_in_iptables_mode(cluster: Cluster, tmp_path: Path) -> None:
    traces_are_true(cluster, "iptables", tmp_path)
    balanced_is_true(cluster, "iptables")


SERVICE = "iptables-save -t nat | grep -m1 -o 'KUBE-SVC-[A-Z0-9]*.*default/dual:http -> 192.0.2.11' | cut -d' ' -f1"
ENDPOINT = "iptables-save -t nat | grep -m1 -- '-A KUBE-SEP-.*192.0.2.21/32' | cut -d' ' -f2"
FORWARD = "-m conntrack --ctstate NEW -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES"
IPTABLES = [
    (f"iptables -t nat -D $({SERVICE}) 1", {"masquerade_wrong"}),
    (f"iptables -t nat -D $({SERVICE}) 1", {"destination_missing"}),
    (f"iptables -t nat -D $({ENDPOINT}) 1", {"hairpin_missing"}),
    ("iptables -t nat -I PREROUTING -j KUBE-SERVICES", {"jump_twice"}),
    (f"iptables -D FORWARD {FORWARD}", {"jump_missing"}),
    ("iptables -F KUBE-PROXY-FIREWALL", {"rule_missing"}),
    ("iptables -t nat -I KUBE-SERVICES -d 192.0.2.99 -j RETURN", {"rule_wrong"}),
    ("iptables-legacy -t nat -N KUBE-SVC-AAAAAAAAAAAAAAAA", {"leftover_backend"}),
    ("sysctl -qw net.ipv4.ip_forward=0", {"sysctl_wrong"}),
    ("ip6tables -t nat -F", {"flushed"}),
]


@pytest.mark.parametrize("damages", some_and_all(IPTABLES))
def test_what_is_broken_in_iptables_mode_is_found(cluster: Cluster, damages: Damages) -> None:
    all_is_found(cluster, damages, mode="iptables")
    node = cluster.control_plane
    node.run("sysctl -qw net.ipv4.ip_forward=1; iptables -t nat -D PREROUTING -j KUBE-SERVICES")
    node.run("iptables-legacy -t nat -X KUBE-SVC-AAAAAAAAAAAAAAAA || true")
    restart(cluster, "iptables")
    nothing_is_found(cluster, "iptables")


@pytest.mark.proof
def test_iptables_mode_while_services_come_and_go(cluster: Cluster, figures: dict[str, t.Any]) -> None:
    nothing_is_found_while_services_come_and_go(cluster, figures, "iptables")


def test_ipvs_mode(cluster: Cluster) -> None:
    move(cluster, "iptables", "ipvs")
    left = verdict(cluster, cluster.control_plane)
    assert kinds(wrong(left)) == {"leftover"}
    assert left["kernel_modes"] == ["iptables", "ipvs"]
    for node in cluster.nodes:
        tidy(node, "ipvs")
    nothing_is_found(cluster, "ipvs")


def test_traces_in_ipvs_mode(cluster: Cluster, tmp_path: Path) -> None:
    traces_are_true(cluster, "ipvs", tmp_path)
    balanced_is_true(cluster, "ipvs")


IPVS = [
    ("ipvsadm -d -t 203.0.113.31:80 -r 192.0.2.13:8080", {"destination_missing"}),
    ("ipvsadm -a -t 203.0.113.31:80 -r 192.0.2.99:8080 -m", {"destination_stale"}),
    ("ipvsadm -E -t 203.0.113.31:80 -s wrr", {"scheduler_wrong"}),
    ("ipvsadm -D -u 203.0.113.31:53", {"vip_missing"}),
    ("ipvsadm -A -t 203.0.113.31:81 -s rr", {"vip_dead"}),
    ("ipvsadm -A -t 203.0.113.99:6443 -s rr", {"foreign_virtual_server"}),
    ("ip address del 203.0.113.31/32 dev kube-ipvs0", {"address_missing"}),
    ("ipset del KUBE-CLUSTER-IP 10.96.0.1,tcp:443", {"ipset_out_of_step"}),
    ("iptables -D INPUT -m comment --comment 'kubernetes ipvs access filter' -j KUBE-IPVS-FILTER", {"jump_missing"}),
    ("iptables -t nat -F KUBE-NODE-PORT", {"rule_missing"}),
    ("sysctl -qw net.ipv4.vs.conntrack=0", {"sysctl_wrong"}),
]


@pytest.mark.parametrize("damages", some_and_all(IPVS))
def test_what_is_broken_in_ipvs_mode_is_found(cluster: Cluster, damages: Damages) -> None:
    all_is_found(cluster, damages, mode="ipvs")
    # kube-proxy looks for what it has set only when it starts, and leaves the foreign one's removal to its first sync.
    restart(cluster, "ipvs")
    nothing_is_found(cluster, "ipvs")


def test_ipvs_mode_while_services_come_and_go(cluster: Cluster, figures: dict[str, t.Any]) -> None:
    nothing_is_found_while_services_come_and_go(cluster, figures, "ipvs")


def test_nftables_mode(cluster: Cluster) -> None:
    move(cluster, "ipvs", "nftables")
    assert kinds(wrong(verdict(cluster, cluster.control_plane))) == {"leftover"}
    for node in cluster.nodes:
        tidy(node, "nftables")
    nothing_is_found(cluster, "nftables")


def test_traces_in_nftables_mode(cluster: Cluster, tmp_path: Path) -> None:
    traces_are_true(cluster, "nftables", tmp_path)
    balanced_is_true(cluster, "nftables")


TABLE = "ip kube-proxy"
NFTABLES = [
    (f"nft delete element {TABLE} service-ips '{{ 10.96.0.1 . tcp . 443 }}'", {"vip_missing"}),
    (f"nft add element {TABLE} cluster-ips '{{ 10.96.77.77 }}'", {"nft_set_out_of_step"}),
    (f"nft add element {TABLE} no-endpoint-services '{{ 192.0.2.99 . tcp . 80 : drop }}'", {"vip_dead"}),
    (f"nft flush chain {TABLE} nat-output", {"jump_missing"}),
    (f"nft flush chain {TABLE} masquerading", {"rule_missing"}),
    ("nft flush table ip6 kube-proxy", {"flushed"}),
]


@pytest.mark.parametrize("damages", some_and_all(NFTABLES))
def test_what_is_broken_in_nftables_mode_is_found(cluster: Cluster, damages: Damages) -> None:
    all_is_found(cluster, damages, mode="nftables")
    restart(cluster, "nftables")
    nothing_is_found(cluster, "nftables")


@pytest.mark.proof
def test_nftables_mode_while_services_come_and_go(cluster: Cluster, figures: dict[str, t.Any]) -> None:
    nothing_is_found_while_services_come_and_go(cluster, figures, "nftables")


def test_a_layout_of_tomorrow_is_said_and_not_guessed(cluster: Cluster) -> None:
    """Chains as proposed for 1.38 (kubernetes issue 139513)."""
    node = cluster.control_plane
    element = "{ 192.0.2.99 . tcp . 80 : goto dispatch-1 }"
    node.run(f"nft add chain {TABLE} dispatch-1; nft add element {TABLE} service-ips '{element}'")
    found = look(node, state(cluster))
    assert kinds(wrong(found)) == {"layout_unknown"}
    restart(cluster, "nftables")
    nothing_is_found(cluster, "nftables")


# To the hairpin rule leads each layout of nftables in a way of its own.
IN_CHAIN = (
    f"nft -a list table {TABLE} | awk '/^\\tchain/ {{ chain = $2 }} "
    '/saddr 192.0.2.11 jump mark-for-masquerade/ { print chain, "handle", $NF; exit }\''
)
IN_SET = "192.0.2.11 . 192.0.2.11 . tcp . 8080"
OTHER_RELEASES = [
    ("1.34.4", "iptables", (f"iptables -t nat -D $({SERVICE}) 1", {"masquerade_wrong"})),
    ("1.34.4", "ipvs", ("ipset del KUBE-CLUSTER-IP 10.96.0.1,tcp:443", {"ipset_out_of_step"})),
    ("1.34.4", "nftables", (f"nft delete rule {TABLE} $({IN_CHAIN})", {"hairpin_missing"})),
    # In the table that the older one has made, and which the newer one takes over with all that it does not know.
    ("1.36.3", "nftables", (f"nft delete element {TABLE} hairpin-connections '{{ {IN_SET} }}'", {"hairpin_missing"})),
    ("1.36.3", "iptables", (f"iptables -t nat -D $({ENDPOINT}) 1", {"hairpin_missing"})),
    ("1.36.3", "ipvs", ("ipvsadm -d -t 203.0.113.31:80 -r 192.0.2.13:8080", {"destination_missing"})),
]

# All modes of the oldest, whose layout of nftables differs most from that of the release in the lab; the rest is left to proof.
CI = "1.34.4"
RELEASES = [
    pytest.param(*one, id=f"{one[0]}-{one[1]}", marks=() if one[0] == CI else pytest.mark.proof)
    for one in OTHER_RELEASES
]


@pytest.mark.parametrize(("release", "mode", "damage"), RELEASES)
def test_another_release(cluster: Cluster, release: str, mode: str, damage: tuple[str, set[str]]) -> None:
    before = cluster.mode_text()
    replace_program(cluster, release)
    move(cluster, before, mode)
    # What nftables mode leaves goes by itself, when kube-proxy starts in another mode or is of another release.
    for node in cluster.nodes if before != "nftables" else ():
        tidy(node, mode)
    nothing_is_found(cluster, mode, release)
    all_is_found(cluster, [damage], release, mode=mode)
