# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which kube-proxy a node is judged by: during an upgrade, and wherever an image's tag is no release, the API does not know."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import HEADLESS
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_judge import Judge
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import Sight
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_model import Kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings
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
