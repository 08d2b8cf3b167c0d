# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a node beside its Services. Expected values: what kube-proxy's source sets and does, KEP-5495 and the
kernel's documentation, written out by hand."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _inventory as inventory
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import (
    ERROR,
    INFO,
    SEVERITIES,
    WARNING,
    Finding,
    worst_first,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node import node_findings
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_model import Kernel, NodeFacts
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_read import read_kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device, Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import Timeouts
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from tests.unit.plugins.ipvs_kernel import FakeKernel
from tests.unit.plugins.test_inventory import tables

SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv4.conf.all.arp_ignore": "0",
    "net.ipv4.conf.all.arp_announce": "0",
    "net.ipv4.conf.all.route_localnet": "1",
    "net.ipv4.tcp_keepalive_time": "7200",
    "net.netfilter.nf_conntrack_count": "400",
    "net.netfilter.nf_conntrack_max": "131072",
    "net.ipv4.vs.conntrack": "1",
    "net.ipv4.vs.conn_reuse_mode": "1",
    "net.ipv4.vs.expire_nodest_conn": "1",
    "net.ipv4.vs.expire_quiescent_template": "1",
}
NO_INVENTORY: dict[str, t.Any] = {
    "artifacts": [],
    "iptables": {"default": "nft", "kubelet": ["nft"], "kube_proxy": ["nft"]},
    "unread": [],
}


def healthy(mode: str = "iptables", version: str = "v1.34.4", **config: t.Any) -> NodeFacts:
    """A node on which all is well, with a release that no calendar has anything against."""
    return NodeFacts(
        configured_mode=mode,
        config=effective({"mode": mode, **config}),
        status={
            "reachable": True,
            "problems": [],
            "running_mode": mode,
            "version": version,
            "synced": True,
            "last_sync": {"ipv4": 2.0, "ipv6": 2.0},
            "failures": {},
        },
        inventory=NO_INVENTORY,
        kernel=Kernel("7.2.12-lab", SYSCTLS, Timeouts(8000, 120, 300)),
        virtual_servers=[],
        expected_servers=[],
        pods=1,
    )


def saying(facts: NodeFacts, **status: t.Any) -> NodeFacts:
    return replace(facts, status={**(facts.status or {}), **status})


def kernel(
    facts: NodeFacts,
    sysctls: t.Mapping[str, str | None] | None = None,
    release: str = "7.2.12-lab",
    timeouts: Timeouts | None = None,
) -> NodeFacts:
    """With other sysctls; None takes one away."""
    changed: dict[str, str | None] = {**SYSCTLS, **(sysctls or {})}
    values = {name: value for name, value in changed.items() if value is not None}
    old = facts.kernel.timeouts if facts.kernel else None
    return replace(facts, kernel=Kernel(release, values, timeouts or old))


def told(facts: NodeFacts) -> list[tuple[str, str, str]]:
    return [one[:3] for one in node_findings(facts)]


def only(facts: NodeFacts) -> Finding:
    (found,) = node_findings(facts)
    return found


@pytest.mark.parametrize("mode", ["iptables", "ipvs", "nftables"])
def test_a_healthy_node(mode: str) -> None:
    assert node_findings(healthy(mode)) == []


def test_nothing_known_is_nothing_good() -> None:
    found = node_findings(NodeFacts())
    assert {(one.severity, one.kind) for one in found} == {(INFO, "unread")}
    assert {one.object for one in found} == {
        "what kube-proxy says of itself",
        "the configured mode",
        "how many kube-proxy pods are on the node",
        "what other modes left on the node",
        "the kernel's settings",
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"asked": False}, (INFO, "unread", "what kube-proxy says of itself")),
        ({"pods": 2}, (ERROR, "kube_proxy_twice", "kube-proxy")),
        ({"pods": None}, (INFO, "unread", "how many kube-proxy pods are on the node")),
        # Embedded in k3s, or a service of the system: it answers, so it is there.
        ({"pods": 0}, None),
        ({"inventory": None}, (INFO, "unread", "what other modes left on the node")),
        ({"kernel": None}, (INFO, "unread", "the kernel's settings")),
        ({"configured_mode": "ipvs"}, (WARNING, "mode_not_configured", "kube-proxy")),
        ({"configured_mode": None}, (INFO, "unread", "the configured mode")),
        ({"inventory": {**NO_INVENTORY, "unread": ["no nft"]}}, (INFO, "unread", "a part of what lies in the kernel")),
    ],
)
def test_one_thing_changed(change: dict[str, t.Any], expected: tuple[str, str, str] | None) -> None:
    assert told(replace(healthy(), **change)) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("status", "expected", "actual"),
    [
        (
            {"synced": False, "last_sync": {"ipv4": 2.0, "ipv6": None}},
            (ERROR, "not_synced", "kube-proxy"),
            "none of ipv6",
        ),
        ({"synced": False}, (ERROR, "not_synced", "kube-proxy"), "none since it started"),
        (
            {"synced": None, "failures": None},
            (INFO, "unread", "whether kube-proxy has finished a sync"),
            "its metrics do not tell",
        ),
        ({"failures": None}, (INFO, "unread", "kube-proxy's failure counters"), "its metrics do not tell"),
        (
            {"failures": {"iptables_restore_failures": {"ipv4": 3, "ipv6": 0}}},
            (WARNING, "failures", "iptables_restore_failures"),
            "3 (ipv4) since kube-proxy started",
        ),
        (
            {"failures": {"iptables_partial_restore_failures": {"ipv4": 1}, "nftables_sync_failures": {"ipv6": 0}}},
            (INFO, "failures", "iptables_partial_restore_failures"),
            "1 (ipv4) since kube-proxy started",
        ),
        (
            {"version": None},
            (INFO, "unread", "what kube-proxy's release makes of the mode"),
            "the release is not known",
        ),
    ],
)
def test_what_kube_proxy_says(status: dict[str, t.Any], expected: tuple[str, str, str], actual: str) -> None:
    found = only(saying(healthy(), **status))
    assert (found[:3], found.actual) == (expected, actual)


def test_settings_that_this_kube_proxy_has_not_read() -> None:
    """The mode has a finding of its own."""
    mode = {"field": "mode", "wanted": "ipvs", "running": "iptables"}
    scheduler = {"field": "ipvs.scheduler", "wanted": "wrr", "running": ""}
    one = only(saying(healthy(), differences=[mode, scheduler]))
    assert (one.severity, one.kind, one.object, one.expected) == (
        "warning",
        "setting_not_loaded",
        "ipvs.scheduler",
        "wrr",
    )


def test_kube_proxy_that_does_not_answer() -> None:
    silent = {
        "reachable": False,
        "problems": ["GET http://127.0.0.1:10249/proxyMode: refused"],
        "running_mode": None,
        "version": None,
        "synced": None,
        "failures": None,
    }
    facts = replace(saying(healthy("ipvs", metricsBindAddress="0.0.0.0:9"), **silent), release="v1.34.4")
    found = node_findings(facts)
    assert [one[:3] for one in found] == [
        (ERROR, "kube_proxy_unreachable", "kube-proxy"),
        # Which objects are another mode's, only the running mode tells.
        (INFO, "unread", "what other modes left on the node"),
    ]
    assert found[0].actual == "GET http://127.0.0.1:10249/proxyMode: refused"
    assert found[0].evidence == "curl -s http://127.0.0.1:9/proxyMode"


@pytest.mark.parametrize(
    ("mode", "running", "version", "expected"),
    [
        (
            "",
            "iptables",
            "v1.36.3",
            [(WARNING, "mode_empty", "means iptables in kube-proxy 1.36, and nftables from 1.40")],
        ),
        ("", "nftables", "v1.40.0", [(WARNING, "mode_empty", "means nftables in kube-proxy 1.40")]),
        ("ipvs", "ipvs", "v1.34.4", []),
        ("ipvs", "ipvs", "v1.37.2", [(WARNING, "release_calendar", "gone from 1.43")]),
        ("ipvs", "ipvs", "v1.43.0", [(ERROR, "release_calendar", "has no ipvs mode")]),
        ("ipvs", "ipvs", "v1.40.0", [(ERROR, "release_calendar", "KubeProxyIPVS is true")]),
        ("nftables", "nftables", "v1.31.14", [(WARNING, "release_calendar", "beta in kube-proxy 1.31")]),
        (
            "nftables",
            "ipvs",
            "v1.37.2",
            [(WARNING, "mode_not_configured", "ipvs"), (WARNING, "release_calendar", "gone from 1.43")],
        ),
    ],
)
def test_the_calendar(mode: str, running: str, version: str, expected: list[tuple[str, str, str]]) -> None:
    facts = replace(saying(healthy(running, version), running_mode=running), configured_mode=mode)
    found = node_findings(facts)
    assert [(one.severity, one.kind) for one in found] == [one[:2] for one in expected]
    for one, (_severity, _kind, words) in zip(found, expected, strict=True):
        assert words in one.actual


def test_the_evidence_is_in_the_configmap_that_the_node_reads() -> None:
    found = only(replace(healthy("ipvs", "v1.37.2"), config_map="kube-proxy-switch"))
    assert found.evidence == "kubectl -n kube-system get configmap kube-proxy-switch -o yaml"


@pytest.mark.parametrize(("configured", "running"), [("ipvs", "iptables"), ("nftables", "ipvs"), ("iptables", "ipvs")])
def test_the_remedy_is_the_playbook_of_the_configured_mode(configured: str, running: str) -> None:
    found = node_findings(replace(healthy(running, "v1.36.3"), configured_mode=configured))
    (remedy,) = [one.remedy for one in found if one.kind == "mode_not_configured"]
    assert remedy == f"Run the playbook netops.kube_proxy.switch_to_{configured}."


IPVS_ONLY = (
    ("net.ipv4.vs.conntrack", "0", "1", ERROR),
    ("net.ipv4.vs.expire_nodest_conn", "0", "1", WARNING),
    ("net.ipv4.vs.expire_quiescent_template", "0", "1", WARNING),
)


@pytest.mark.parametrize(
    ("facts", "name", "value", "expected", "severity"),
    [
        *((healthy("ipvs"), *row) for row in IPVS_ONLY),
        *((healthy(mode), "net.ipv4.ip_forward", "0", "1", ERROR) for mode in ("iptables", "ipvs", "nftables")),
        (healthy(), "net.ipv6.conf.all.forwarding", "0", "1", ERROR),
        (healthy(), "net.bridge.bridge-nf-call-iptables", "0", "1", WARNING),
        (healthy("nftables"), "net.bridge.bridge-nf-call-ip6tables", "0", "1", WARNING),
        (healthy(), "net.ipv4.conf.all.route_localnet", "0", "1", WARNING),
        (
            healthy(nodePortAddresses=["10.0.0.0/8", "127.0.0.1/32"]),
            "net.ipv4.conf.all.route_localnet",
            "0",
            "1",
            WARNING,
        ),
        # Without a network of IPv4 the list does not restrict it.
        (healthy(nodePortAddresses=["fd00::/8"]), "net.ipv4.conf.all.route_localnet", "0", "1", WARNING),
        (healthy(nodePortAddresses=["localhost"]), "net.ipv4.conf.all.route_localnet", "0", "1", WARNING),
    ],
)
def test_a_sysctl(facts: NodeFacts, name: str, value: str, expected: str, severity: str) -> None:
    found = only(kernel(facts, {name: value}))
    assert found[:3] == (severity, "sysctl_wrong", name)
    assert (found.expected, found.actual, found.evidence) == (expected, value, f"sysctl {name}")


@pytest.mark.parametrize(
    ("facts", "sysctls"),
    [
        *((healthy(mode), {name: value}) for mode in ("iptables", "nftables") for name, value, _e, _s in IPVS_ONLY),
        (healthy("ipvs"), {"net.ipv4.conf.all.route_localnet": "0"}),
        (healthy("nftables"), {"net.ipv4.conf.all.route_localnet": "0"}),
        (healthy(iptables={"localhostNodePorts": False}), {"net.ipv4.conf.all.route_localnet": "0"}),
        (healthy(nodePortAddresses=["10.0.0.0/8"]), {"net.ipv4.conf.all.route_localnet": "0"}),
        (healthy(nodePortAddresses=["primary"]), {"net.ipv4.conf.all.route_localnet": "0"}),
        (replace(healthy(), families=(4,)), {"net.ipv6.conf.all.forwarding": "0"}),
        (replace(healthy(), families=(6,)), {"net.ipv4.ip_forward": "0", "net.ipv4.conf.all.route_localnet": "0"}),
        # br_netfilter is not loaded: no bridge hands packets to iptables, and none needs to.
        (healthy(), {"net.bridge.bridge-nf-call-iptables": None}),
        (healthy("ipvs"), {"net.ipv4.vs.conn_reuse_mode": "1"}),
        (healthy("ipvs"), {"net.ipv4.conf.all.arp_ignore": "0"}),
    ],
)
def test_a_sysctl_that_does_not_matter(facts: NodeFacts, sysctls: dict[str, t.Any]) -> None:
    assert node_findings(kernel(facts, sysctls)) == []


def test_strict_arp() -> None:
    strict = healthy("ipvs", ipvs={"strictARP": True})
    assert {one[2]: one.expected for one in node_findings(strict)} == {
        "net.ipv4.conf.all.arp_ignore": "1",
        "net.ipv4.conf.all.arp_announce": "2",
    }
    done = kernel(strict, {"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"})
    assert node_findings(done) == []


@pytest.mark.parametrize(
    ("release", "value", "expected"),
    [
        # IPVSConnReuseModeMinSupportedKernelVersion is 4.1, IPVSConnReuseModeFixedKernelVersion 5.9.
        ("4.0.9", "1", []),
        ("4.1.0", "1", [(WARNING, "sysctl_wrong", "net.ipv4.vs.conn_reuse_mode")]),
        ("4.18.0-553.el8.x86_64", "1", [(WARNING, "sysctl_wrong", "net.ipv4.vs.conn_reuse_mode")]),
        ("5.8.18", "0", []),
        ("5.9.0-rc1", "1", []),
        ("5.10.0", "1", []),
        ("", "1", [(INFO, "unread", "net.ipv4.vs.conn_reuse_mode")]),
        ("strange", "1", [(INFO, "unread", "net.ipv4.vs.conn_reuse_mode")]),
    ],
)
def test_conn_reuse_mode(release: str, value: str, expected: list[tuple[str, str, str]]) -> None:
    assert told(kernel(healthy("ipvs"), {"net.ipv4.vs.conn_reuse_mode": value}, release)) == expected


@pytest.mark.parametrize("name", ["net.ipv4.vs.conntrack", "net.ipv4.tcp_keepalive_time", "net.ipv4.ip_forward"])
def test_a_sysctl_that_is_not_there(name: str) -> None:
    assert told(kernel(healthy("ipvs"), {name: None})) == [(INFO, "unread", name)]


def test_what_could_not_be_read_is_told_once() -> None:
    unread = Kernel("7.2.12", {}, None, ("Cannot read /proc/sys/net/ipv4/ip_forward: Permission denied.",))
    (found,) = node_findings(replace(healthy("ipvs"), kernel=unread))
    assert (found[:3], found.actual) == ((INFO, "unread", "the kernel's settings"), unread.unread[0])


@pytest.mark.parametrize(
    ("count", "limit", "severity", "actual"),
    [
        ("74999", "100000", None, ""),
        ("75000", "100000", WARNING, "75000 connections, 75 %"),
        ("89999", "100000", WARNING, "89999 connections, 89 %"),
        ("90000", "100000", ERROR, "90000 connections, 90 %"),
        # No limit.
        ("5", "0", None, ""),
    ],
)
def test_the_table_of_connections(count: str, limit: str, severity: str | None, actual: str) -> None:
    numbers = {"net.netfilter.nf_conntrack_count": count, "net.netfilter.nf_conntrack_max": limit}
    found = node_findings(kernel(healthy(), numbers))
    expected = [(severity, "conntrack_full", actual)] if severity else []
    assert [(one.severity, one.kind, one.actual) for one in found] == expected
    gone = kernel(healthy(), {**numbers, "net.netfilter.nf_conntrack_count": None})
    assert told(gone) == [(INFO, "unread", "the table of connections")]


def test_timeouts_of_ipvs_against_keepalive() -> None:
    # tcp_timeouts[IP_VS_TCP_S_ESTABLISHED] is 15 minutes, TCP_KEEPALIVE_TIME two hours.
    found = only(kernel(healthy("ipvs"), timeouts=Timeouts(900, 120, 300)))
    assert found[:3] == (WARNING, "ipvs_timeout_below_keepalive", "ipvs.tcpTimeout")
    assert found.expected == "more than 7200 s (net.ipv4.tcp_keepalive_time)"
    assert found.actual == "900 s, the kernel's own default"
    assert "tcpTimeout: 7260s" in found.remedy
    for facts in (
        kernel(healthy("ipvs"), {"net.ipv4.tcp_keepalive_time": "600"}, timeouts=Timeouts(900, 120, 300)),
        kernel(healthy("ipvs"), timeouts=Timeouts(7200, 120, 300)),
        kernel(healthy("iptables"), timeouts=Timeouts(900, 120, 300)),
    ):
        assert node_findings(facts) == []
    nowhere = replace(healthy("ipvs"), kernel=Kernel("7.2.12", SYSCTLS, None))
    assert told(nowhere) == [(INFO, "unread", "the timeouts of IPVS")]


def test_timeouts_that_are_not_the_configured_ones() -> None:
    wanted = healthy("ipvs", ipvs={"tcpTimeout": "3h0m0s", "udpTimeout": "5m0s", "tcpFinTimeout": "0s"})
    found = only(wanted)
    assert (found[:3], found.expected, found.actual) == (
        (WARNING, "ipvs_timeout_wrong", "ipvs.tcpTimeout"),
        "10800 s",
        "8000 s",
    )
    assert node_findings(kernel(wanted, timeouts=Timeouts(10800, 120, 300))) == []


def from_node(readings: Readings, mode: str) -> NodeFacts:
    return replace(healthy(mode), inventory=inventory.report(readings, mode, None))


def test_what_iptables_mode_left_on_a_real_node() -> None:
    facts = from_node(Readings(tables=tables("kube-proxy-1.37.2-ipvs-after-iptables-ipv4.txt")), "ipvs")
    found = {one.object: one for one in node_findings(facts)}
    assert set(found) == {"jumps from built-in chains of iptables mode", "iptables chains of iptables mode"}
    jumps, chains = found.values()
    # Counted by hand in the fixture: INPUT 3 (two with ctstate NEW), FORWARD 3, OUTPUT 2; 19 chains.
    assert jumps.actual.startswith("8: filter -A FORWARD -m conntrack --ctstate NEW")
    assert jumps.actual.endswith(" and 3 more")
    assert chains.actual.startswith("19: ")
    assert (jumps.severity, chains.severity) == (WARNING, INFO)
    assert jumps.expected == "none in ipvs mode"
    assert jumps.remedy == "Module netops.kube_proxy.kube_proxy_cleanup with mode: [iptables], running_mode: ipvs."


def test_what_ipvs_mode_left() -> None:
    readings = Readings(
        tables=tables("ipvs-after-iptables-nft.txt"),
        ipsets=(IpSetState("KUBE-CLUSTER-IP", "hash:ip,port", "ipv4", 3), IpSetState("mine", "hash:ip", "ipv4", 1)),
        device=Device("kube-ipvs0", "dummy", ("10.96.0.1", "10.96.0.10")),
    )
    found = {one.object: one for one in node_findings(from_node(readings, "iptables"))}
    assert {name: (one.severity, one.kind) for name, one in found.items()} == {
        "jumps from built-in chains of ipvs mode": (WARNING, "leftover"),
        "iptables chains of ipvs mode": (INFO, "leftover"),
        "ipsets of ipvs mode": (INFO, "leftover"),
        "devices of ipvs mode": (WARNING, "leftover"),
    }
    assert found["ipsets of ipvs mode"].actual == "1: KUBE-CLUSTER-IP (ipv4)"
    assert found["devices of ipvs mode"].actual == "1: kube-ipvs0"
    remedy = found["iptables chains of ipvs mode"].remedy
    assert remedy == "Module netops.kube_proxy.kube_proxy_cleanup with mode: [ipvs], running_mode: iptables."


def test_what_no_release_makes_any_more_goes_with_any_mode_but_the_running_one() -> None:
    old = Table({"KUBE-XLB-PZZOH4GMXQXQLAH7": ()})
    found = only(from_node(Readings(tables={Location("nft", "ipv4", "nat"): old}), "iptables"))
    assert found.remedy.endswith("kube_proxy_cleanup with mode: [ipvs, nftables], running_mode: iptables.")


def test_leftovers_under_nftables_mode_are_those_of_both_backends() -> None:
    both = {
        **tables("kube-proxy-1.37.2-iptables-ipv4.txt", "nft"),
        **tables("ipvs-after-iptables-legacy.txt", "legacy"),
    }
    found = node_findings(from_node(Readings(tables=both), "nftables"))
    assert {one.kind for one in found} == {"leftover"}
    assert any("legacy" in one.actual for one in found)


def without_hint(fixture: str, backend: str) -> dict[t.Any, t.Any]:
    return {
        at: replace(table, chains={name: rules for name, rules in table.chains.items() if "HINT" not in name})
        for at, table in tables(fixture, backend).items()
    }


IPTABLES_MODE = "kube-proxy-1.37.2-iptables-ipv4.txt"


def test_a_bridge_that_is_up() -> None:
    listed = (("ip", "netops-kube-proxy-bridge"), ("ip6", "netops-kube-proxy-bridge"), ("ip", "mine"))
    found = only(from_node(Readings(nft_tables=listed), "iptables"))
    assert found[:3] == (INFO, "bridge_up", "nftables table netops-kube-proxy-bridge")
    assert "ip, ip6" in found.actual
    assert "state: absent" in found.remedy


def test_chains_in_the_other_backend() -> None:
    both = {**tables(IPTABLES_MODE, "nft"), **without_hint(IPTABLES_MODE, "legacy")}
    found = only(from_node(Readings(tables=both), "iptables"))
    assert found[:3] == (WARNING, "leftover_backend", "chains in the legacy backend of iptables")
    assert found.actual.split(":")[0] == "24"
    assert "backend: legacy" in found.remedy


def test_another_modes_chains_in_the_other_backend_are_told_once() -> None:
    row = {
        "kind": "iptables_chain",
        "name": "KUBE-NODEPORTS",
        "family": "ipv4",
        "backend": "legacy",
        "table": "nat",
        "owner": "kube-proxy",
        "modes": ["iptables"],
        "belongs": False,
    }
    hints = {"default": "nft", "kubelet": ["nft"], "kube_proxy": ["nft", "legacy"]}
    found = only(replace(healthy("ipvs"), inventory={"artifacts": [row], "iptables": hints, "unread": []}))
    assert found.kind == "leftover_backend"
    assert found.actual == "1: nat KUBE-NODEPORTS (ipv4 legacy)"


def test_backends_that_nobody_tells_apart_and_the_wrong_one() -> None:
    neither = {**without_hint(IPTABLES_MODE, "nft"), **without_hint(IPTABLES_MODE, "legacy")}
    assert told(from_node(Readings(tables=neither), "iptables")) == [(WARNING, "backends_both", "iptables backends")]
    hints = {"default": "nft", "kubelet": ["legacy"], "kube_proxy": ["nft"]}
    wrong = replace(healthy(), inventory={**NO_INVENTORY, "iptables": hints})
    assert told(wrong) == [(WARNING, "backend_wrong", "iptables backends")]
    unknown = replace(healthy(), inventory={**NO_INVENTORY, "iptables": {**hints, "kubelet": []}})
    assert told(unknown) == []


def item(address: str, port: int = 6443, **more: t.Any) -> dict[str, t.Any]:
    return {"address": address, "port": port, "protocol": "tcp", **more}


MARK = {"fwmark": 7, "family": "ipv4"}


@pytest.mark.parametrize(
    ("mode", "change", "expected"),
    [
        ("ipvs", {}, ["virtual server TCP 203.0.113.9:6443", "virtual server TCP [fd00::9]:6443"]),
        ("ipvs", {"bound": ["203.0.113.9"]}, ["virtual server TCP [fd00::9]:6443"]),
        ("iptables", {}, []),
        (
            "nftables",
            {},
            [
                "virtual server TCP 203.0.113.9:6443",
                "virtual server TCP [fd00::9]:6443",
                "virtual server fwmark 7 (ipv4)",
            ],
        ),
        ("ipvs", {"expected_servers": None}, ["whose virtual servers are at risk"]),
        ("ipvs", {"virtual_servers": None}, ["whose virtual servers are at risk"]),
        ("ipvs", {"expected_servers": None, "virtual_servers": []}, []),
    ],
)
def test_foreign_virtual_servers(mode: str, change: dict[str, t.Any], expected: list[str]) -> None:
    facts = replace(
        healthy(mode),
        virtual_servers=[item("203.0.113.9"), item("10.96.0.1", 443), item("fd00::9"), MARK],
        expected_servers=[item("10.96.0.1", 443)],
    )
    found = node_findings(replace(facts, **change))
    assert [one.object for one in found] == expected
    assert {one.kind for one in found} <= {"foreign_virtual_server", "unread"}


def test_foreign_virtual_servers_that_are_covered_or_not_to_be_judged() -> None:
    servers: dict[str, t.Any] = {"virtual_servers": [item("203.0.113.9")], "expected_servers": []}
    covered = healthy("ipvs", ipvs={"excludeCIDRs": ["203.0.113.0/24"]})
    assert node_findings(replace(covered, **servers)) == []
    odd = healthy("ipvs", ipvs={"excludeCIDRs": ["everything"]})
    assert told(replace(odd, **servers)) == [(INFO, "unread", "whose virtual servers are at risk")]
    blind = replace(healthy("ipvs"), config=None, **servers)
    assert (INFO, "unread", "whose virtual servers are at risk") in told(blind)


def test_order() -> None:
    one, two = Finding(INFO, "a", "x"), Finding(ERROR, "z", "x")
    assert worst_first([one, two, one, Finding(WARNING, "b", "y")]) == [two, Finding(WARNING, "b", "y"), one]


def test_every_finding_says_what_to_do() -> None:
    worst = kernel(
        saying(healthy("ipvs", "v1.43.0"), synced=False, running_mode="nftables"), {"net.ipv4.ip_forward": "0"}
    )
    for one in node_findings(replace(worst, pods=3, virtual_servers=[MARK])):
        assert one.severity in SEVERITIES
        assert one.object
        assert one.actual
        assert one.remedy
        assert not any("\n" in text for text in one)


def write(root: Path, name: str, text: str) -> None:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_reading_the_kernel(tmp_path: Path) -> None:
    write(tmp_path, "/proc/sys/kernel/osrelease", "5.4.0-216-generic\n")
    write(tmp_path, "/proc/sys/net/ipv4/tcp_keepalive_time", "7200\n")
    write(tmp_path, "/proc/sys/net/netfilter/nf_conntrack_count", "42\n")
    write(tmp_path, "/proc/sys/net/netfilter/nf_conntrack_max", "262144\n")

    def never() -> Ipvs:
        raise AssertionError("asking would load ip_vs")

    found = read_kernel(Files(str(tmp_path)), never)
    assert found.release == "5.4.0-216-generic"
    assert found.version == (5, 4)
    assert found.timeouts is None
    assert found.unread == ()
    assert found.number("net.netfilter.nf_conntrack_count") == 42
    assert found.number("net.ipv4.tcp_keepalive_time") == 7200
    assert found.number("net.ipv4.ip_forward") is None
    write(tmp_path, "/proc/net/ip_vs", "IP Virtual Server version 1.2.1 (size=4096)\n")
    fake = FakeKernel()
    fake.timeouts = [1000, 20, 30]
    assert read_kernel(Files(str(tmp_path)), lambda: Ipvs(lambda: fake)).timeouts == Timeouts(1000, 20, 30)


def test_what_the_kernel_does_not_let_us_read(tmp_path: Path) -> None:
    (tmp_path / "proc/sys/net/ipv4/ip_forward").mkdir(parents=True)
    write(tmp_path, "/proc/sys/kernel/osrelease", "7.2\n")
    found = read_kernel(Files(str(tmp_path)))
    assert found == Kernel("7.2", {}, None, ("Cannot read /proc/sys/net/ipv4/ip_forward: Is a directory.",))


words = st.text(max_size=8)
rows = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["iptables_jump", "iptables_chain", "ipset", "nft_table", "device", "other"]),
        "name": words,
        "belongs": st.sampled_from([True, False, None]),
        "modes": st.lists(st.sampled_from(["iptables", "ipvs", "nftables"]), max_size=2),
        "backend": st.sampled_from(["nft", "legacy", None]),
    }
)
backends = st.lists(st.sampled_from(["nft", "legacy"]), max_size=2, unique=True)


@given(
    st.builds(
        NodeFacts,
        configured_mode=st.one_of(st.none(), words, st.sampled_from(["ipvs", "iptables"])),
        config=st.one_of(st.none(), st.dictionaries(st.sampled_from(["ipvs", "iptables", "featureGates"]), words)),
        status=st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {"running_mode": st.sampled_from([None, "ipvs", "iptables", "nftables"]), "version": words}
            ),
        ),
        inventory=st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {
                    "artifacts": st.lists(rows, max_size=4),
                    "iptables": st.fixed_dictionaries({"kubelet": backends, "kube_proxy": backends}),
                }
            ),
        ),
        kernel=st.one_of(
            st.none(), st.builds(Kernel, words, st.dictionaries(st.sampled_from(list(SYSCTLS)), words), st.none())
        ),
    )
)
def test_any_facts_give_findings(facts: NodeFacts) -> None:
    for one in node_findings(facts):
        assert one.severity in SEVERITIES
