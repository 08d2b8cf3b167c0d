# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bridge: what it has to hold, its text, what is planned, and who takes it away. What nft and the kernel make of it: tests/node/test_service_bridge.py."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_expected import Bridge, bridge_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_plan import (
    LOAD,
    UNLOAD,
    UNWATCH,
    WATCH,
    BridgeState,
    Limits,
    plan_absent,
    plan_present,
    render_state,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_render import render, render_removal
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_watch import asker, is_ready, reason_to_end
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import served_ports
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import Answer
from tests.unit.plugins.kube_dataplanes import DETECTOR, THE_NODE, golden, lines, the_node
from tests.unit.plugins.kube_services import (
    NODE,
    Object,
    cluster,
    endpoint,
    endpoint_slice,
    node_port,
    service,
)

OVERALL = Path(__file__).parents[1] / "fixtures" / "dataplane_nftables" / "overall-1.37.2-ip.json"
LIMITS = Limits("nftables", "127.0.0.1:10249", 300, 3600)
LOCAL = service(
    "ns1/local",
    clusterIP="172.30.0.50",
    type="LoadBalancer",
    externalTrafficPolicy="Local",
    ports=[node_port(number=3050)],
    ingress=[{"ip": "1.2.3.4"}],
    loadBalancerSourceRanges=["203.0.113.0/25", "203.0.113.128/25"],
)
HERE, THERE = endpoint("10.180.0.1", NODE), endpoint("10.180.0.2", "other-node")


def bridge(mode: str, services: t.Sequence[Object], slices: t.Sequence[Object] = (), **config: t.Any) -> Bridge:
    state = cluster(services, slices, {**DETECTOR, **config}, "1.37", [THE_NODE])
    node = the_node(state).in_mode(mode)
    return bridge_of(served_ports(state, node), node, mode)


def table(text: str, ip: str = "ip") -> list[str]:
    """What is added to a family's table, its name left out."""
    found = re.findall(rf"^add (\w+) {ip} netops-kube-proxy-bridge (.+)$", text, re.MULTILINE)
    return [f"{kind} {what}" for kind, what in found]


def elements(text: str, name: str) -> set[str]:
    """What a map leads to, without comments."""
    line = next(one for one in table(text) if one.startswith(f"element {name} "))
    return set(re.sub(' comment "[^"]*"', "", line.partition("{ ")[2][:-2]).split(", "))


def golden_elements(name: str) -> set[str]:
    """The same of what kube-proxy's own test expects."""
    objects = [one["map"] for one in json.loads(OVERALL.read_text())["nftables"] if "map" in one]
    found = set()
    for key, verdict in next(one["elem"] for one in objects if one["name"] == name):
        inner = key["elem"]["val"] if "elem" in key else key
        target = verdict.get("goto", {}).get("target")
        found.add(f"{' . '.join(map(str, inner['concat']))} : {f'goto {target}' if target else next(iter(verdict))}")
    return found


@pytest.mark.parametrize(
    "name", ["service-ips", "service-nodeports", "no-endpoint-services", "no-endpoint-nodeports", "firewall-ips"]
)
def test_its_maps_are_those_that_kube_proxy_would_write(name: str) -> None:
    assert elements(render(bridge("nftables", *golden())), name) == golden_elements(name)


def test_its_chains_are_those_that_kube_proxy_would_write() -> None:
    """But for those of a feature gate that is off by default (KubeProxyNFTablesLocalhostNodePorts), and those that keep connections."""
    made = {one.split()[1] for one in table(render(bridge("nftables", *golden()))) if one.startswith("chain ")}
    wanted = {one["chain"]["name"] for one in json.loads(OVERALL.read_text())["nftables"] if "chain" in one}
    kept = {f"kept-{hook}" for hook in ("prerouting", "output", "postrouting", "last-input", "last-postrouting")}
    assert made - kept == {one for one in wanted if not one.startswith("localhost-nodeport-reject-")}


def test_it_comes_before_kube_proxy() -> None:
    """kube-proxy's are -110, 0, -100 and 100."""
    priorities = {
        found[1]: int(found[2])
        for one in table(render(bridge("iptables", *golden())))
        if (found := re.match(r"chain (\S+) .* priority (-?\d+) ;", one))
    }
    assert priorities == {
        **{f"filter-{hook}-pre-dnat": -120 for hook in ("prerouting", "output")},
        **{f"filter-{hook}": -10 for hook in ("input", "forward", "output")},
        **{f"nat-{hook}": -110 for hook in ("prerouting", "output")},
        "nat-postrouting": 90,
        **{f"kept-{hook}": -111 for hook in ("prerouting", "output")},
        "kept-postrouting": 89,
        **{f"kept-last-{hook}": 110 for hook in ("input", "postrouting")},
    }


def test_both_families_are_replaced_at_once() -> None:
    text = render(bridge("iptables", *golden()))
    for ip in ("ip", "ip6"):
        begin = f"add table {ip} netops-kube-proxy-bridge\ndelete table {ip} netops-kube-proxy-bridge\nadd table {ip} "
        assert text.count(begin) == 1
    assert render_removal([6]) == "add table ip6 netops-kube-proxy-bridge\ndelete table ip6 netops-kube-proxy-bridge\n"


def test_ipvs_mode_with_its_rules() -> None:
    """As in ipvs mode: policy Local sends everybody to the node's own endpoints and hides nobody, NodePorts are on each address,
    only the load balancer's address asks for the source."""
    slices = [endpoint_slice(HERE, THERE, name="ns1/local")]
    found = lines(bridge("ipvs", [LOCAL], slices).plane)
    local = "forward 10.180.0.1:80, pods and node 10.180.0.1:80, local, masquerade none"
    assert found == {
        "172.30.0.50:80/tcp": "forward 10.180.0.1:80 10.180.0.2:80, cluster, masquerade outside_pods",
        "1.2.3.4:80/tcp": f"{local}, from 203.0.113.0/24",
        "192.168.0.2:3050/tcp": local,
        "192.168.1.2:3050/tcp": local,
        "192.168.99.11:3050/tcp": local,
    }


def test_ipvs_mode_falls_back_and_refuses() -> None:
    elsewhere = lines(bridge("ipvs", [LOCAL], [endpoint_slice(THERE, name="ns1/local")]).plane)
    assert elsewhere["1.2.3.4:80/tcp"].startswith("forward 10.180.0.2:80, ")
    nobody = bridge("ipvs", [LOCAL])
    assert lines(nobody.plane)["172.30.0.50:80/tcp"].startswith("reject, ")
    assert "172.30.0.50 . tcp . 80 : goto reject-chain" in elements(render(nobody), "no-endpoint-services")


def test_iptables_mode_answers_on_loopback() -> None:
    node_ports = service("ns1/a", clusterIP="172.30.0.51", type="NodePort", ports=[node_port(number=3051)])
    slices = [endpoint_slice(HERE, name="ns1/a")]
    rules = {
        mode: table(render(bridge(mode, [node_ports], slices, nodePortAddresses=["0.0.0.0/0"])))
        for mode in ("iptables", "nftables")
    }
    rule = "rule services fib daddr type local {}meta l4proto . th dport vmap @service-nodeports"
    assert rule.format("") in rules["iptables"]
    assert rule.format("ip daddr != 127.0.0.0/8 ") in rules["nftables"]


def test_affinity_is_kept_by_sets_with_its_seconds() -> None:
    sticky = service(
        "ns1/a",
        clusterIP="172.30.0.51",
        sessionAffinity="ClientIP",
        sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}},
    )
    found = table(render(bridge("iptables", [sticky], [endpoint_slice(HERE, THERE, name="ns1/a")])))
    sets = [one for one in found if one.startswith("set affinity-")]
    assert len(sets) == 2
    assert all(one.endswith("{ type ipv4_addr ; flags dynamic,timeout ; timeout 60s ; }") for one in sets)


@pytest.fixture(scope="module")
def wanted() -> Bridge:
    return bridge("iptables", *golden())


def up(wanted: Bridge, limits: Limits | None = LIMITS) -> BridgeState:
    return BridgeState(frozenset(wanted.families), wanted.plane, limits)


def test_a_bridge_is_put_up_and_watched_first(wanted: Bridge) -> None:
    plan = plan_present(wanted, LIMITS, BridgeState())
    assert plan.operations == (WATCH, LOAD)
    assert plan.after == up(wanted)
    assert "172.30.0.41:80" in render_state(plan.after)


def test_the_right_bridge_is_left_alone(wanted: Bridge) -> None:
    assert plan_present(wanted, LIMITS, up(wanted)).operations == ()


def test_a_bridge_that_has_aged_is_renewed(wanted: Bridge) -> None:
    entries = {key: one for key, one in wanted.plane.entries.items() if key[1] != "172.30.0.41"}
    aged = replace(up(wanted), plane=replace(wanted.plane, entries=entries))
    plan = plan_present(wanted, LIMITS, aged)
    assert plan.operations == (LOAD,)
    assert "TCP 172.30.0.41:80" in plan.actions[0]


@pytest.mark.parametrize("limits", [None, LIMITS._replace(hard=7200)])
def test_the_watch_begins_anew(wanted: Bridge, limits: Limits | None) -> None:
    assert plan_present(wanted, LIMITS, up(wanted, limits)).operations == (WATCH,)


def test_it_goes_with_its_watch(wanted: Bridge) -> None:
    assert plan_absent(up(wanted)).operations == (UNLOAD, UNWATCH)
    assert plan_absent(up(wanted, None)).operations == (UNLOAD,)
    assert plan_absent(BridgeState(limits=LIMITS)).operations == (UNWATCH,)
    assert plan_absent(BridgeState()).operations == ()


def metrics(*syncs: float) -> str:
    name = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
    rows = [f'{name}{{ip_family="IPv{4 + 2 * number}"}} {one:e}' for number, one in enumerate(syncs)]
    return "\n".join(["# HELP process_start_time_seconds Start", "process_start_time_seconds 1.7e+09", *rows, ""])


@pytest.mark.parametrize(
    ("mode", "text", "ready"),
    [
        ("nftables", metrics(1.8e9, 1.8e9), True),
        ("nftables", metrics(1.8e9), True),
        ("nftables", metrics(1.8e9, 0), False),
        ("nftables", metrics(), False),
        ("nftables", "", False),
        ("ipvs", metrics(1.8e9, 1.8e9), False),
        ("", metrics(1.8e9, 1.8e9), False),
    ],
)
def test_the_new_mode_is_ready_once_every_family_is_synced(mode: str, text: str, ready: bool) -> None:
    answers = {"/proxyMode": Answer("", 200, f"{mode}\n"), "/metrics": Answer("", 200, text)}
    assert is_ready(LIMITS, answers.__getitem__) is ready
    assert is_ready(LIMITS._replace(entering=""), answers.__getitem__) is False


def test_who_does_not_answer_is_not_ready() -> None:
    assert is_ready(LIMITS, asker("")) is False
    assert is_ready(LIMITS, lambda _path: Answer("", 500, "nftables")) is False


@pytest.mark.parametrize(
    ("age", "ready", "words"),
    [
        (0, True, ""),
        (299, True, ""),
        (300, False, ""),
        (300, True, "kube-proxy runs in nftables mode"),
        (3599, False, ""),
        (3600, False, "its hard limit"),
    ],
)
def test_when_the_node_takes_it_away(age: float, ready: bool, words: str) -> None:
    reason = reason_to_end(age, lambda: ready, LIMITS)
    assert words in reason
    assert bool(reason) is bool(words)
