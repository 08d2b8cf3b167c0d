# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one look at a node says against what the API asks for. Pure. Private to this collection.

What kube-proxy makes of the API depends on its release: the one that runs on this node counts, which during an upgrade, or
with an image whose tag names none, is not what the API tells.
"""

from __future__ import annotations

import typing as t
from functools import cached_property

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import config_map_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_compare import Difference, differences
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import (
    as_held,
    expected_of,
    served_ports,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables import read_iptables
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs import Wanted, key_of, read_readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_rules import rule_settings
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Dataplane
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables import read_nftables
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import settings_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_rounds import (
    ABOUT_NODE,
    ABOUT_SERVICES,
    Suspect,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_dataplane import judge
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node import node_findings
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_model import NodeFacts
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory import outline
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import BACKENDS
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import as_options
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_gather import (
    DEFAULT_NODE_PORTS,
    parse_port_range,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import parse_release
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import node_with

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import Sight
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import ServicePort
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node

Object = t.Mapping[str, t.Any]

_SURPLUS = ("vip_dead", "member_stale")


class Judge:
    """A node's kernel held against the state of the cluster, in the mode asked for, else the running one, else the configured.

    C(state) and C(node) are those given, as the kube-proxy that runs sees them.
    """

    def __init__(self, state: Object, node: Node, sight: Sight, mode: str | None = None) -> None:
        self.state = {**state, "release": _release(sight.status.get("version"), state["release"])}
        self.node = node_with(self.state, node.view.name, node.addresses)
        self._sight = sight
        self.mode: str = mode or sight.status["running_mode"] or node.config["mode"]

    def suspects(self) -> list[Suspect]:
        """All that differs, and all that is wrong with the node beside its Services."""
        excluded = self.node.config["ipvs"]["excludeCIDRs"] or ()
        found = differences(self.wanted, self.actual, excluded)
        about_node = (Suspect((one.kind, one.object, ""), ABOUT_NODE, one) for one in node_findings(self._facts()))
        return [*(self._suspect(one) for one in found), *about_node]

    def summary(self) -> dict[str, t.Any]:
        """What the module returns beside the findings."""
        return {
            "node": self.node.view.name,
            "configured_mode": str(self.node.written.get("mode") or ""),
            "running_mode": self._sight.status["running_mode"],
            "kernel_modes": self._inventory["modes"],
            "checked_mode": self.mode,
            "release": self.state["release"],
            "service_ports": len(self._ports),
            "addresses": len(self.wanted.entries),
        }

    @cached_property
    def actual(self) -> Dataplane:
        """What the kernel holds in the mode."""
        readings, families = self._sight.readings, self.node.families
        there = self._there
        if self.mode == "nftables":
            return read_nftables(readings.nft, families, settings_of(there.config, there.pod_cidrs))
        settings = rule_settings(there.config, there.pod_cidrs)
        if self.mode == "iptables":
            return read_iptables(readings.tables, self.backend, families, settings, self._asked_for)
        return read_readings(readings, self.backend, families, Wanted(settings, self._asked_for))

    @cached_property
    def wanted(self) -> Dataplane:
        """What the API asks for; where chance decides between Services, as the kernel has it."""
        return as_held(self._asked_for, self.actual)

    @cached_property
    def _there(self) -> Node:
        return self.node.in_mode(self.mode)

    @cached_property
    def _ports(self) -> list[ServicePort]:
        return served_ports(self.state, self._there)

    @cached_property
    def _asked_for(self) -> Dataplane:
        return expected_of(self._ports, self._there, self.mode)

    @cached_property
    def _inventory(self) -> dict[str, t.Any]:
        return outline(self._sight.readings, self._sight.status["running_mode"], parse_port_range(DEFAULT_NODE_PORTS))

    @property
    def backend(self) -> str:
        """That of iptables which kube-proxy writes in: its image follows kubelet's hint (KEP-3178)."""
        iptables = self._inventory["iptables"]
        for found in (iptables["kubelet"], iptables["kube_proxy"]):
            if len(found) == 1:
                return str(found[0])
        return str(iptables["default"] or BACKENDS[0])

    def _strangers(self) -> list[VirtualServer]:
        """The virtual servers without those that are asked for: of a healthy node in ipvs mode none is left to look at."""
        asked = self._asked_for.entries if self.mode == "ipvs" else {}
        return [one for one in self._sight.readings.virtual_servers if key_of(one) not in asked]

    def _suspect(self, one: Difference) -> Suspect:
        concern = ABOUT_SERVICES if one.service or one.kind in _SURPLUS else ABOUT_NODE
        return Suspect(one.identity, concern, judge(one, self.mode))

    def _facts(self) -> NodeFacts:
        node, sight = self.node, self._sight
        pods = self.state.get("kube_proxy_pods")
        strangers = self._strangers()
        return NodeFacts(
            configured_mode=str(node.written.get("mode") or ""),
            config=node.config,
            config_map=config_map_of(self.state, node.view.name),
            asked=sight.asked,
            status=sight.status,
            release=self.state["release"],
            inventory=self._inventory,
            kernel=sight.kernel,
            virtual_servers=[as_options(one) for one in strangers],
            expected_servers=virtual_servers(self.state, node.in_mode("ipvs")) if strangers else (),
            bound=tuple(sight.readings.device.addresses) if sight.readings.device else (),
            families=sorted({port.family for port in self._ports}),
            pods=None if pods is None else pods.get(node.view.name, 0),
        )


def _release(said: str | None, told: str) -> str:
    """What kube-proxy says of itself, else what the API tells. One that was compiled without a version says v0.0.0."""
    running = parse_release(said or "")
    return str(running) if running and running.major else told
