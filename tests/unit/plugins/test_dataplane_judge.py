# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which kube-proxy a node is judged by: during an upgrade, and wherever an image's tag is no release, the API does not know."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _dataplane_look
from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import HEADLESS
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_judge import Judge
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import Sight
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_model import Kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import node_with
from tests.unit.plugins.kube_dataplanes import DETECTOR, NODE_IP, THE_NODE, the_node
from tests.unit.plugins.kube_services import cluster, links, service

# Until 1.35 kube-proxy does not see the second one (cmd/kube-proxy/app/server.go).
SERVICES = [service("ns1/svc1"), service("ns1/svc2", labels={HEADLESS: ""}, clusterIP="10.20.30.42")]


def judge(api: str, says: str | None, addresses: t.Any = None) -> Judge:
    """What the API names, and what kube-proxy says of itself."""
    state = cluster(SERVICES, (), DETECTOR, api, [THE_NODE])
    status = {"running_mode": "nftables", "version": says}
    return Judge(state, the_node(state, addresses), Sight(True, Readings(), Kernel(), status))


@pytest.mark.parametrize(
    ("api", "says", "judged_by", "ports"),
    [
        ("1.37", "v1.34.4", "1.34", 1),
        ("1.34", "v1.36.3", "1.36", 2),
        ("1.34", "v1.37.2-eks.1", "1.37", 2),
        ("", "v1.34.4", "1.34", 1),
        ("1.34", None, "1.34", 1),
        ("1.36", None, "1.36", 2),
        ("1.34", "v0.0.0-master+$Format:%H$", "1.34", 1),
        ("1.34", "unknown", "1.34", 1),
        ("", None, "", 2),
    ],
)
def test_services_are_those_that_the_running_release_sees(
    api: str, says: str | None, judged_by: str, ports: int
) -> None:
    found = judge(api, says).summary()
    assert (found["release"], found["service_ports"], found["addresses"]) == (judged_by, ports, ports)


@pytest.mark.parametrize(("api", "says", "families"), [("1.37", "v1.35.4", (4, 6)), ("1.35", "v1.36.3", (4,))])
def test_families_are_those_that_the_running_release_serves(api: str, says: str, families: tuple[int, ...]) -> None:
    """platformCheckSupported: from 1.36 on without IPv6 where the kernel has it switched off."""
    assert judge(api, says, links(lo=["127.0.0.1"], eth0=[NODE_IP])).node.families == families


@pytest.mark.parametrize(("release", "families"), [("1.34", (4, 6)), ("1.35", (4, 6)), ("1.36", (4,)), ("1.37", (4,))])
@pytest.mark.parametrize("disabled", ["1\n", "0\n", None])
def test_ipv6_that_is_off_for_all_although_links_have_addresses(
    release: str, families: tuple[int, ...], disabled: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node of kind: Docker sets it off for the container, and on for loopback and eth0."""
    monkeypatch.setattr(_dataplane_look, "read_addresses", lambda: [(1, "::1"), (2, NODE_IP), (2, "fc00::2")])
    if disabled is not None:
        setting = tmp_path / "proc/sys/net/ipv6/conf/all/disable_ipv6"
        setting.parent.mkdir(parents=True)
        setting.write_text(disabled)
    state = cluster(SERVICES, (), DETECTOR, release, [THE_NODE])
    there = node_with(state, THE_NODE["metadata"]["name"], _dataplane_look.read_node_addresses(Files(str(tmp_path))))
    assert there.families == (families if disabled == "1\n" else (4, 6))


IPV6_SERVICE = service("ns1/svc3", clusterIP="fd00::43")


@pytest.mark.parametrize(("services", "wrong"), [([], set()), ([IPV6_SERVICE], {"net.ipv6.conf.all.forwarding"})])
def test_only_a_family_that_has_services_needs_its_sysctls(services: list[t.Any], wrong: set[str]) -> None:
    """A node of an IPv4 cluster whose kernel knows IPv6: nobody has set it up for forwarding, and nothing needs it."""
    state = cluster([*SERVICES, *services], (), DETECTOR, "1.37", [THE_NODE])
    kernel = Kernel(sysctls={"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "0"})
    found = Judge(
        state, the_node(state), Sight(True, Readings(), kernel, {"running_mode": "nftables", "version": None})
    )
    assert {one.finding.object for one in found.suspects() if one.finding.kind == "sysctl_wrong"} == wrong


@pytest.mark.parametrize(
    ("label", "configured", "scheduler", "kinds"),
    [("ipvs", "ipvs", "lc", set()), ("", "iptables", "", {"mode_not_configured"})],
)
def test_a_node_is_judged_by_the_configuration_that_its_own_kube_proxy_reads(
    label: str, configured: str, scheduler: str, kinds: set[str]
) -> None:
    """While a switch lasts: the label of the node says which."""
    the = {**THE_NODE, "metadata": {**THE_NODE["metadata"], "labels": {"kube-proxy.netops/mode": label}}}
    state = cluster(SERVICES, (), {**DETECTOR, "mode": "iptables"}, "1.37", [the])
    state["second_config"] = {**DETECTOR, "mode": "ipvs", "ipvs": {"scheduler": "lc"}}
    sight = Sight(True, Readings(), Kernel(), {"running_mode": "ipvs", "version": "v1.37.2", "reachable": True})
    found = Judge(state, the_node(state), sight)
    assert (found.summary()["configured_mode"], found.summary()["checked_mode"]) == (configured, "ipvs")
    assert found.node.config["ipvs"]["scheduler"] == scheduler
    assert {one.finding.kind for one in found.suspects()} & {"mode_not_configured"} == kinds
