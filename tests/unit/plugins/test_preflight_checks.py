# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each check of a switch: when it is content, warns, fails, and does not know. Expected values: kube-proxy's source, the release
calendar, and the pages and issues that the checks name."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight import CLUSTER_CHECKS, NODE_CHECKS
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import FAIL, OK, WARN
from tests.unit.plugins import kube_services as kube
from tests.unit.plugins.preflight_cases import (
    ADDRESSES,
    CONFIG,
    DNS,
    PRIVATE,
    Object,
    api_nodes,
    checks,
    facts,
    info,
    look,
    readings,
    state,
    switch,
)

UNKNOWN = "unknown because"
IPTABLES, IPVS, NFTABLES = "iptables", "ipvs", "nftables"
Case = tuple[str, str, Object, str]

FOREIGN = {"address": "203.0.113.9", "port": 6443, "protocol": "tcp", "real_servers": []}
OURS = {"address": "10.96.0.20", "port": 80, "protocol": "tcp", "real_servers": []}
MARKED = {"fwmark": 7, "family": "ipv4", "real_servers": []}


def finding(severity: str, kind: str, about: str = "TCP 10.96.0.10:53") -> Object:
    return {"severity": severity, "kind": kind, "object": about}


def policy(value: str, backend: str = "nft", family: str = "ipv4") -> Object:
    return {"backend": backend, "family": family, "table": "filter", "chain": "FORWARD", "policy": value}


def firewall(name: str, flushes: bool) -> Object:
    return {"name": name, "flushes": flushes, "seen": ["here"]}


def network(*plugins: str, mark_chain: str = "") -> Object:
    return {"file": "f", "name": "n", "plugins": list(plugins), "mark_chain": mark_chain}


def ipvs(**settings: t.Any) -> Object:
    return {**CONFIG, "mode": IPVS, "ipvs": settings}


def calico(mode: str = "", **more: t.Any) -> Object:
    row = {
        "daemon_set": "calico-system/calico-node",
        "nftables_mode": mode,
        "nftables_mode_by_node": {},
        "bpf_enabled": False,
    }
    return {"node__facts": facts(cni=[network("calico", "portmap")]), "cluster__switch": switch(calico={**row, **more})}


def flannel(enabled: bool | None) -> Object:
    row = {"daemon_set": "kube-flannel/kube-flannel-ds", "enable_nftables": enabled}
    return {"node__facts": facts(cni=[network("flannel", "portmap")]), "cluster__switch": switch(flannel=row)}


def node_local(*addresses: str) -> Object:
    return switch(
        node_local_dns={
            "daemon_set": "kube-system/node-local-dns",
            "local_ips": list(addresses),
            "setup_iptables": True,
        }
    )


def services_of(config: Object | None = None, **more: t.Any) -> Object:
    return {"state": state(config or CONFIG, **more), "nodes": api_nodes()}


def nft(host: str | None, image: str | None, sets: t.Any = (), unread: Object | None = None) -> Object:
    found = None if sets is None else [{"family": "inet", "table": "t", "name": one} for one in sets]
    why = {f"nft.{key}": words for key, words in (unread or {}).items()}
    return facts(nft={"host": host, "kube_proxy": image, "sets": found}, unread=why)


TWO = [
    {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]},
    {"ifname": "eth0", "addr_info": [{"local": ADDRESSES["cp1"]}]},
    {"ifname": "eth1", "addr_info": [{"local": PRIVATE["cp1"]}, {"local": "fe80::1"}]},
]
RESCUE = info(reachable=False, running_mode=None)
COUNTED = {"localhost_node_ports_accepted": 12, "invalid_packets_dropped": 34}
SILENT: Object = {"localhost_node_ports_accepted": None, "invalid_packets_dropped": None}

CARRIED = {"kept": 6, "ending": [], "unread": ""}
ENDING = {"connection": "tcp 10.96.0.10:1 -> 10.96.0.10:53 -> 10.244.0.5:53", "reason": "the client is this node"}


def bridge(found: Object | None = None, asked: str = "auto", **more: t.Any) -> Object:
    """What the node says of a bridge, and what was asked for."""
    return {"node__bridge": CARRIED if found is None else found, "run__bridge": asked, **more}


# By check: the target, the status, what is changed in the readings, and words of the reason.
TABLE: dict[str, list[Case]] = {
    "configuration": [
        (IPVS, OK, {}, "reads config.conf"),
        (
            IPVS,
            FAIL,
            {
                "cluster__plan": {
                    "msg": "The mode cannot be set here: ConfigMap is managed by Flux (x). Flux would put the old mode back."
                }
            },
            "managed by Flux",
        ),
        (IPVS, WARN, {"cluster__plan": {}}, UNKNOWN),
    ],
    "configmap_manager": [
        (NFTABLES, OK, {}, "nobody is known"),
        (
            NFTABLES,
            FAIL,
            {"cluster__switch": switch(config_map={"owner": "Argo CD", "mark": "x", "managers": []})},
            "Argo CD manages",
        ),
        (
            NFTABLES,
            WARN,
            {"cluster__switch": switch(config_map={"owner": "", "managers": ["Terraform", "kubeadm"]})},
            "Terraform has",
        ),
        (
            NFTABLES,
            OK,
            {"cluster__switch": switch(config_map={"owner": "", "managers": ["kubectl-edit"]})},
            "nobody is known",
        ),
        (NFTABLES, WARN, {"cluster__switch": switch(config_map=None, unread={"config_map": "403"})}, f"{UNKNOWN} 403"),
        (
            NFTABLES,
            WARN,
            {"cluster__switch": {"msg": "The API server does not answer."}},
            f"{UNKNOWN} the API server does not answer",
        ),
    ],
    "release_calendar": [
        (NFTABLES, OK, {}, "1.37 has nftables mode"),
        (IPVS, WARN, {}, "deprecated since 1.35"),
        (
            IPVS,
            FAIL,
            {
                "cluster__services": services_of(release="1.40"),
                "cluster__switch": switch(kube_proxy={"releases": ["1.40"]}),
            },
            "refuses ipvs mode unless",
        ),
        (
            IPVS,
            WARN,
            {
                "cluster__services": services_of(release="1.40"),
                "cluster__switch": switch(kube_proxy={"releases": ["1.40"]}),
                "run__settings": {"featureGates": {"KubeProxyIPVS": True}},
            },
            "deprecated",
        ),
        (
            NFTABLES,
            FAIL,
            {
                "cluster__services": services_of(release="1.28"),
                "cluster__switch": switch(kube_proxy={"releases": ["1.28"]}),
            },
            "has no nftables mode",
        ),
        (
            IPVS,
            FAIL,
            {"cluster__services": services_of({**CONFIG, "featureGates": {"KubeProxyIPVS": False}})},
            "is off",
        ),
        (
            NFTABLES,
            WARN,
            {"cluster__services": services_of(release=""), "cluster__switch": switch(kube_proxy=None)},
            UNKNOWN,
        ),
        (
            NFTABLES,
            WARN,
            {"cluster__services": {"nodes": api_nodes(), "config_problem": "There is no ConfigMap."}},
            "There is no ConfigMap",
        ),
    ],
    "settings_ignored": [
        (IPVS, OK, {}, "reads all"),
        (NFTABLES, OK, {"cluster__services": services_of(services=[DNS])}, "reads all"),
        (NFTABLES, WARN, {}, "nodePortAddresses would change"),
        (NFTABLES, OK, {"run__settings": {"nodePortAddresses": ["primary"]}}, "reads all"),
        (
            NFTABLES,
            FAIL,
            {"cluster__services": services_of({**CONFIG, "iptables": {"masqueradeAll": True}})},
            "iptables.masqueradeAll",
        ),
        (
            NFTABLES,
            OK,
            {
                "cluster__services": services_of({**CONFIG, "iptables": {"masqueradeAll": True}}, services=[DNS]),
                "run__settings": {"nftables": {"masqueradeAll": True}},
            },
            "reads all",
        ),
        (IPVS, OK, {"cluster__services": services_of({**CONFIG, "iptables": {"masqueradeAll": True}})}, "reads all"),
        (
            IPVS,
            WARN,
            {"cluster__services": services_of({**CONFIG, "iptables": {"syncPeriod": "1m"}})},
            "ipvs.syncPeriod",
        ),
        (
            IPVS,
            OK,
            {"cluster__services": services_of({**CONFIG, "iptables": {"syncPeriod": "0s", "minSyncPeriod": "1s"}})},
            "reads all",
        ),
        (IPTABLES, WARN, {"cluster__services": services_of(ipvs(scheduler="lc"))}, "ipvs.scheduler (lc)"),
        (IPTABLES, WARN, {"cluster__services": services_of(ipvs(strictARP=True))}, "arp_ignore"),
        (IPTABLES, WARN, {"cluster__services": services_of(ipvs(tcpTimeout="15m"))}, "ipvs.tcpTimeout"),
        (
            IPTABLES,
            WARN,
            {"cluster__services": services_of(ipvs(excludeCIDRs=["203.0.113.0/24"]))},
            "ipvs.excludeCIDRs",
        ),
        (
            IPTABLES,
            OK,
            {"cluster__services": services_of(ipvs(scheduler="rr", tcpTimeout="0s", excludeCIDRs=[]))},
            "reads all",
        ),
        (IPTABLES, WARN, {"cluster__services": services_of({**CONFIG, "mode": NFTABLES})}, "nodePortAddresses"),
        (NFTABLES, WARN, {"cluster__services": {"nodes": api_nodes()}}, UNKNOWN),
    ],
    "strict_arp": [
        (NFTABLES, OK, {"cluster__switch": switch(l2_announcers=[{"name": "MetalLB", "seen": "x"}])}, "no address"),
        (
            NFTABLES,
            WARN,
            {"cluster__services": services_of({"mode": IPVS, "ipvs": {"strictARP": True}})},
            "arp_announce to 2",
        ),
        (NFTABLES, OK, {"cluster__services": services_of({"mode": IPVS, "ipvs": {"strictARP": False}})}, "no address"),
        (
            IPTABLES,
            OK,
            {"cluster__services": services_of({"mode": NFTABLES, "ipvs": {"strictARP": True}})},
            "no address",
        ),
        (IPVS, OK, {}, "neither MetalLB nor kube-vip"),
        (
            IPVS,
            FAIL,
            {"cluster__switch": switch(l2_announcers=[{"name": "MetalLB", "seen": "x"}])},
            "MetalLB (x) announces",
        ),
        (
            IPVS,
            OK,
            {
                "cluster__switch": switch(l2_announcers=[{"name": "kube-vip", "seen": "x"}]),
                "run__settings": {"ipvs": {"strictARP": True}},
            },
            "strictARP is true",
        ),
        (
            IPVS,
            WARN,
            {"cluster__switch": switch(l2_announcers=None, unread={"l2_announcers": "403"})},
            f"{UNKNOWN} 403",
        ),
        (
            IPVS,
            WARN,
            {
                "cluster__switch": switch(l2_announcers=[{"name": "MetalLB", "seen": "x"}]),
                "cluster__services": {"nodes": api_nodes()},
            },
            UNKNOWN,
        ),
    ],
    "node_local_dns": [
        (IPVS, OK, {}, "is not there"),
        (IPVS, FAIL, {"cluster__switch": node_local("169.254.20.10", "10.96.0.10")}, "takes 10.96.0.10"),
        (NFTABLES, WARN, {"cluster__switch": node_local("169.254.20.10", "10.96.0.10")}, "issue 682"),
        (IPTABLES, OK, {"cluster__switch": node_local("169.254.20.10", "10.96.0.10")}, "fits iptables mode"),
        (IPVS, OK, {"cluster__switch": node_local("169.254.20.10")}, "fits ipvs mode"),
        (IPVS, WARN, {"cluster__switch": switch(unread={"daemon_sets": "403"})}, f"{UNKNOWN} 403"),
        (IPVS, WARN, {"cluster__switch": {}}, UNKNOWN),
        (
            IPVS,
            WARN,
            {"cluster__switch": node_local("10.96.0.10"), "cluster__services": {"nodes": api_nodes()}},
            UNKNOWN,
        ),
    ],
    "node_count": [
        (NFTABLES, OK, {}, "2 of 2"),
        (NFTABLES, WARN, {"cluster__switch": switch(nodes=[{"name": "cp1", "ready": True}])}, "1 of 1"),
        (
            NFTABLES,
            FAIL,
            {"cluster__switch": switch(nodes=[{"name": "cp1", "ready": True}]), "run__drain": True},
            "nowhere to go",
        ),
        (
            NFTABLES,
            WARN,
            {
                "cluster__switch": switch(
                    nodes=[{"name": "cp1", "ready": True}, {"name": "w1", "ready": True, "unschedulable": True}]
                )
            },
            "1 of 2",
        ),
        (NFTABLES, WARN, {"cluster__switch": switch(nodes=None, unread={"nodes": "403"})}, f"{UNKNOWN} 403"),
    ],
    "node_in_play": [
        (IPVS, OK, {}, "certificate names it"),
        (IPVS, FAIL, {"node__info": info("other"), "node__looks": []}, "has no node other"),
        (IPVS, WARN, {"node__info": info("", node_name=None), "node__looks": []}, UNKNOWN),
        (IPVS, WARN, {"cluster__services": {"msg": "The API server does not answer."}}, UNKNOWN),
    ],
    "node_ready": [
        (IPVS, OK, {}, "Ready"),
        (IPVS, FAIL, {"cluster__services": {**services_of(), "nodes": api_nodes(cp1={"ready": False})}}, "not Ready"),
        (
            IPVS,
            WARN,
            {
                "cluster__services": {**services_of(), "nodes": api_nodes(cp1={"ready": False})},
                "run__absent_nodes": ["cp1"],
            },
            "switch_absent_nodes",
        ),
        (
            IPVS,
            OK,
            {"cluster__switch": switch(nodes=[{"name": "cp1", "ready": True, "unschedulable": True}])},
            "it stays so",
        ),
        (IPVS, WARN, {"cluster__services": {}}, UNKNOWN),
    ],
    "audit": [
        (NFTABLES, OK, {}, "kernel and API agree in iptables mode"),
        (
            NFTABLES,
            FAIL,
            {"node__looks": [look(), look(finding("error", "vip_missing"))]},
            "vip_missing TCP 10.96.0.10:53",
        ),
        # Somebody runs it again after a run that was cut off, or after an edit of the ConfigMap: this is what puts it in order.
        (
            IPTABLES,
            WARN,
            {"node__looks": [look(finding("error", "vip_missing"))]},
            "put it in order, and says at its end whether it is: vip_missing",
        ),
        (
            NFTABLES,
            WARN,
            {
                "node__looks": [look(finding("error", "vip_missing"))],
                "cluster__switch": switch(
                    nodes=[{"name": "cp1", "ready": True, "unschedulable": False, "mode_label": "switching"}]
                ),
            },
            "put it in order",
        ),
        (NFTABLES, OK, {"node__looks": [look(finding("error", "vip_missing")), look(), {"skipped": True}]}, "agree"),
        (NFTABLES, WARN, {"node__looks": [look(finding("warning", "leftover"))]}, "at risk: leftover"),
        (NFTABLES, OK, {"node__looks": [look(finding("info", "leftover"))]}, "agree"),
        (NFTABLES, WARN, {"node__looks": [look(finding("info", "unread"))]}, UNKNOWN),
        (
            NFTABLES,
            OK,
            {
                "node__looks": [
                    look(finding("warning", "release_calendar"), finding("warning", "foreign_virtual_server"))
                ]
            },
            "agree",
        ),
        (NFTABLES, WARN, {"node__looks": []}, UNKNOWN),
        (NFTABLES, WARN, {"node__looks": [{"msg": "The state cannot be read."}]}, "the state cannot be read"),
        (
            NFTABLES,
            WARN,
            {"node__info": RESCUE, "node__looks": [look(finding("error", "vip_missing"))]},
            "this is a rescue",
        ),
    ],
    "kernel_modules": [
        (IPVS, OK, {}, "the 1 modules of ipvs mode"),
        (IPVS, OK, {"node__modules": {"modules": [{}, {}], "actions": ["Load ip_vs"]}}, "to be done: Load ip_vs"),
        (
            IPVS,
            FAIL,
            {
                "node__modules": {
                    "msg": "Kernel 6.1.0 has no module ip_set. On Rocky they come with: dnf install kernel-modules-extra."
                }
            },
            "Kernel 6.1.0 has no module ip_set",
        ),
        (IPVS, WARN, {"node__modules": {}}, UNKNOWN),
    ],
    "kernel_version": [
        (NFTABLES, OK, {}, "6.12.0-1-amd64"),
        (NFTABLES, OK, {"node__facts": facts(kernel_release="5.13.0")}, "5.13.0"),
        (NFTABLES, FAIL, {"node__facts": facts(kernel_release="5.12.19")}, "older than 5.13"),
        (NFTABLES, FAIL, {"node__facts": facts(kernel_release="4.18.0-553.el8_10.x86_64")}, "older than 5.13"),
        (
            NFTABLES,
            WARN,
            {
                "node__facts": facts(kernel_release="5.4.0"),
                "cluster__switch": switch(kube_proxy={"releases": ["1.37"], "skips_kernel_check": True}),
            },
            "told to overlook",
        ),
        (IPVS, OK, {"node__facts": facts(kernel_release="3.10.0")}, "no release"),
        (NFTABLES, WARN, {"node__facts": facts(kernel_release="unknown")}, UNKNOWN),
        (NFTABLES, WARN, {"node__facts": {}}, UNKNOWN),
    ],
    "nft_version": [
        (NFTABLES, OK, {}, "nft 1.0.6 on the host, 1.0.6.1"),
        (IPVS, OK, {"node__facts": nft(None, None)}, "needs no nft"),
        (NFTABLES, FAIL, {"node__facts": nft("0.9.8", "1.0.6")}, "0.9.8 of the host"),
        (NFTABLES, FAIL, {"node__facts": nft("1.0.6", "1.0.0")}, "1.0.0 of kube-proxy's image"),
        (NFTABLES, OK, {"node__facts": nft("1.0.1", "1.0.1")}, "nft 1.0.1"),
        (
            NFTABLES,
            FAIL,
            {"node__facts": nft(None, "1.0.6", (), {"host": "nft of the host was not found."})},
            "has no nft",
        ),
        (
            NFTABLES,
            WARN,
            {"node__facts": nft("1.0.6", None, (), {"kube_proxy": "no kube-proxy runs"})},
            f"{UNKNOWN} no kube-proxy runs",
        ),
        (NFTABLES, WARN, {"node__facts": nft(None, "1.0.6", (), {"host": "that would load nfnetlink"})}, UNKNOWN),
        (NFTABLES, WARN, {"node__facts": {}}, UNKNOWN),
    ],
    "bridge": [
        (NFTABLES, OK, bridge(), "a bridge carries Services meanwhile, and 6 connections of IPVS"),
        (NFTABLES, OK, bridge({}, "off"), "switch_bridge: off"),
        (IPTABLES, OK, bridge({}), "in iptables mode already"),
        (NFTABLES, WARN, bridge({}), UNKNOWN),
        (NFTABLES, WARN, bridge({"msg": "nft was not found: x. y"}), "nft was not found"),
        (NFTABLES, FAIL, bridge({"msg": "nft was not found: x. y"}, "require"), "nft was not found"),
        (IPVS, WARN, bridge(node__facts=facts(kernel_release="5.10.0-32-amd64")), "5.13"),
        (IPVS, WARN, bridge(node__facts=nft("1.0.0", "1.0.6")), "1.0.1"),
        (NFTABLES, FAIL, bridge(None, "require", node__facts=nft("1.1.3", "1.0.6")), "136786"),
        (IPVS, OK, bridge(node__facts=nft("1.1.3", "1.0.6")), "a bridge carries"),
        (
            NFTABLES,
            WARN,
            bridge({**CARRIED, "ending": [ENDING]}),
            "1 of 7 connections that IPVS carries end: the client is this node",
        ),
        (NFTABLES, WARN, bridge({**CARRIED, "unread": "The flows were not read."}), "could not be told"),
        (NFTABLES, FAIL, bridge(None, "require", node__info=RESCUE), "does not answer"),
    ],
    "nft_pair": [
        (NFTABLES, OK, {"node__facts": nft("1.0.6", "1.0.6", ["s"])}, "writes nothing"),
        (NFTABLES, FAIL, {"node__facts": nft("1.1.3", "1.0.6", ["s"])}, "inet t s"),
        (NFTABLES, WARN, {"node__facts": nft("1.1.3", "1.0.6")}, "the first one would do"),
        (NFTABLES, OK, {"node__facts": nft("1.1.3", "1.0.6.1", ["s"])}, "reads what newer ones write"),
        (NFTABLES, OK, {"node__facts": nft("1.1.5", "1.1.3", ["s"])}, "reads what newer ones write"),
        (NFTABLES, WARN, {"node__facts": nft("1.1.3", "1.0.9", ["s"])}, "nobody has said"),
        (
            NFTABLES,
            WARN,
            {"node__facts": nft("1.1.3", None, ["s"], {"kube_proxy": "none runs"})},
            f"{UNKNOWN} none runs",
        ),
        (
            NFTABLES,
            WARN,
            {"node__facts": nft("1.1.3", "1.0.6", None, {"sets": "nft ended with 1"})},
            f"{UNKNOWN} nft ended with 1",
        ),
        (NFTABLES, WARN, {"node__facts": nft(None, "1.0.6", ["s"], {"host": "not found"})}, f"{UNKNOWN} not found"),
        (NFTABLES, WARN, {"node__facts": nft(None, "1.0.6")}, "the first one would do"),
        (IPVS, OK, {"node__facts": nft("1.1.3", "1.0.6", ["s"])}, "does not run nft"),
        (NFTABLES, WARN, {"node__facts": {}}, UNKNOWN),
    ],
    "foreign_virtual_servers": [
        (NFTABLES, OK, {"node__info": info(virtual_servers=[OURS])}, "none"),
        (NFTABLES, FAIL, {"node__info": info(virtual_servers=[OURS, FOREIGN])}, "TCP 203.0.113.9:6443"),
        (NFTABLES, FAIL, {"node__info": info(virtual_servers=[MARKED])}, "fwmark 7"),
        (IPVS, FAIL, {"node__info": info(virtual_servers=[FOREIGN])}, "no ipvs.excludeCIDRs covers"),
        (IPVS, OK, {"node__info": info(virtual_servers=[MARKED])}, "none"),
        (
            IPVS,
            OK,
            {
                "node__info": info(virtual_servers=[FOREIGN]),
                "run__settings": {"ipvs": {"excludeCIDRs": ["203.0.113.0/24"]}},
            },
            "none",
        ),
        (
            IPVS,
            OK,
            {
                "node__info": info(virtual_servers=[FOREIGN]),
                "cluster__services": services_of({**CONFIG, "ipvs": {"excludeCIDRs": ["203.0.113.9/32"]}}),
            },
            "none",
        ),
        (
            NFTABLES,
            FAIL,
            {
                "node__info": info(virtual_servers=[FOREIGN]),
                "run__settings": {"ipvs": {"excludeCIDRs": ["203.0.113.0/24"]}},
            },
            "removes all of IPVS",
        ),
        (IPTABLES, OK, {"node__info": info(virtual_servers=[FOREIGN])}, "leaves IPVS alone"),
        (NFTABLES, WARN, {"node__info": {"node_name": "cp1", "msg": "Needs root."}}, f"{UNKNOWN} needs root"),
        (
            NFTABLES,
            WARN,
            {"node__info": info(virtual_servers=[FOREIGN]), "node__facts": facts(addresses=None)},
            UNKNOWN,
        ),
    ],
    "forward_policy": [
        (NFTABLES, OK, {}, "lets through"),
        (NFTABLES, FAIL, {"node__facts": facts(forward_policies=[policy("DROP")])}, "FORWARD (nft ipv4) drops"),
        (NFTABLES, OK, {"node__facts": facts(forward_policies=[policy("DROP", family="ipv6")])}, "lets through"),
        (NFTABLES, OK, {"node__facts": facts(forward_policies=[policy("DROP", "legacy")])}, "lets through"),
        (NFTABLES, OK, {"node__facts": facts(forward_policies=[policy("DROP", "nftables", "inet")])}, "lets through"),
        (
            NFTABLES,
            FAIL,
            {
                "node__facts": facts(forward_policies=[policy("DROP", "legacy", "ipv6")]),
                "node__info": info(inventory=None),
                "cluster__switch": switch(nodes=None),
            },
            "legacy ipv6",
        ),
        (
            NFTABLES,
            WARN,
            {
                "node__facts": facts(forward_policies=[policy("DROP")]),
                "node__info": info(
                    inventory={
                        "artifacts": [
                            {"kind": "iptables_chain", "name": "FLANNEL-FWD", "backend": "nft", "family": "ipv4"}
                        ],
                        "iptables": {"kube_proxy": ["nft"]},
                    }
                ),
            },
            "FLANNEL-FWD",
        ),
        (IPVS, OK, {"node__facts": facts(forward_policies=[policy("DROP")])}, "kube-proxy accepts"),
        (
            NFTABLES,
            OK,
            {"node__facts": facts(forward_policies=[policy("DROP")]), "node__info": info(running_mode=NFTABLES)},
            "already",
        ),
        (
            NFTABLES,
            WARN,
            {"node__facts": facts(forward_policies=None, unread={"forward_policies": "no tool"})},
            f"{UNKNOWN} no tool",
        ),
    ],
    "firewall_manager": [
        (NFTABLES, OK, {}, "no manager"),
        (NFTABLES, FAIL, {"node__facts": facts(firewalls=[firewall("nftables.service", True)])}, "hourly full sync"),
        (IPVS, WARN, {"node__facts": facts(firewalls=[firewall("nftables.service", True)])}, "within 30 s"),
        (IPTABLES, WARN, {"node__facts": facts(firewalls=[firewall("firewalld", True)])}, "sees that"),
        (NFTABLES, WARN, {"node__facts": facts(firewalls=[firewall("firewalld", True)])}, "not its own"),
        (NFTABLES, WARN, {"node__facts": facts(firewalls=[firewall("ufw", False)])}, "opens nothing in it"),
        (IPVS, OK, {"node__facts": facts(firewalls=[firewall("ufw", False)])}, "removes nothing"),
        (NFTABLES, OK, {"node__facts": facts(firewalls=[firewall("nftables.service", False)])}, "removes nothing"),
        (NFTABLES, WARN, {"node__facts": facts(firewalls=None)}, UNKNOWN),
    ],
    "cni": [
        (NFTABLES, OK, {}, "bridge makes no rules"),
        (
            NFTABLES,
            FAIL,
            {"node__facts": facts(cni=[network("bridge", mark_chain="KUBE-MARK-MASQ")])},
            "externalSetMarkChain",
        ),
        (IPVS, OK, {"node__facts": facts(cni=[network("bridge", mark_chain="KUBE-MARK-MASQ")])}, "bridge"),
        (NFTABLES, FAIL, calico(), "nftablesMode: Disabled"),
        (NFTABLES, FAIL, calico("Disabled"), "nftablesMode: Disabled"),
        (NFTABLES, OK, calico("Enabled"), "nftablesMode: Enabled"),
        (IPVS, FAIL, calico("Enabled"), "does not go with ipvs mode"),
        (IPVS, OK, calico(), "nftablesMode: Disabled"),
        (NFTABLES, OK, calico("Auto"), "starts again by itself"),
        (IPVS, OK, calico("Auto"), "starts again by itself"),
        (NFTABLES, OK, calico("Disabled", nftables_mode_by_node={"cp1": "Enabled"}), "nftablesMode: Enabled"),
        (NFTABLES, WARN, calico(bpf_enabled=True), "eBPF"),
        (
            NFTABLES,
            WARN,
            {**calico(), "cluster__switch": switch(calico=None, unread={"calico": "403"})},
            f"{UNKNOWN} 403",
        ),
        (NFTABLES, OK, flannel(True), "EnableNFTables: true"),
        (NFTABLES, WARN, flannel(False), "different frameworks"),
        (IPVS, OK, flannel(False), "EnableNFTables: false"),
        (IPVS, WARN, flannel(True), "different frameworks"),
        (IPVS, WARN, flannel(None), UNKNOWN),
        (NFTABLES, WARN, {"node__facts": facts(cni=[network("antrea")])}, f"{UNKNOWN} what antrea asks"),
        (IPVS, OK, {"node__facts": facts(cni=[network("antrea")])}, "the same chains"),
        (NFTABLES, WARN, {"node__facts": facts(cni=[])}, f"{UNKNOWN} there is no network in /etc/cni/net.d"),
        (NFTABLES, WARN, {"node__facts": facts(cni=None)}, f"{UNKNOWN} nobody looked at the node"),
    ],
    "node_ports": [
        (NFTABLES, OK, {}, "the same addresses"),
        (NFTABLES, WARN, {"node__facts": facts(addresses=TWO)}, "no longer answer on 10.9.0.10 ("),
        (
            NFTABLES,
            OK,
            {"node__facts": facts(addresses=TWO), "run__settings": {"nodePortAddresses": ["0.0.0.0/0", "::/0"]}},
            "the same addresses",
        ),
        (
            NFTABLES,
            OK,
            {
                "node__facts": facts(addresses=TWO),
                "cluster__services": services_of({**CONFIG, "nodePortAddresses": ["10.9.0.0/16"]}),
            },
            "the same addresses",
        ),
        (
            NFTABLES,
            OK,
            {"node__facts": facts(addresses=TWO), "cluster__services": services_of(services=[DNS])},
            "no Service",
        ),
        (IPVS, OK, {"node__facts": facts(addresses=TWO)}, "the same addresses"),
        (
            IPVS,
            WARN,
            {
                "node__facts": facts(addresses=TWO),
                "node__info": info(running_mode=NFTABLES),
                "cluster__services": services_of({**CONFIG, "mode": NFTABLES}),
            },
            "will answer on 10.9.0.10, too",
        ),
        (
            NFTABLES,
            WARN,
            {"node__facts": facts(addresses=None, unread={"addresses": "no netlink"})},
            f"{UNKNOWN} no netlink",
        ),
    ],
    "localhost_node_ports": [
        (NFTABLES, OK, {}, "has counted no packet"),
        (NFTABLES, FAIL, {"node__facts": facts(counters=COUNTED)}, "12 packets"),
        (IPVS, FAIL, {"node__facts": facts(counters=COUNTED)}, "no longer answer in ipvs mode"),
        (IPTABLES, OK, {"node__facts": facts(counters=COUNTED)}, "as before"),
        (NFTABLES, WARN, {"node__facts": facts(counters=SILENT)}, "the kernel lacks nfacct"),
        (
            NFTABLES,
            OK,
            {"cluster__services": services_of({**CONFIG, "iptables": {"localhostNodePorts": False}})},
            "do not answer",
        ),
        (
            NFTABLES,
            OK,
            {"cluster__services": services_of({**CONFIG, "nodePortAddresses": ["192.0.2.0/24"]})},
            "do not answer",
        ),
        (
            NFTABLES,
            OK,
            {"node__facts": facts(counters=COUNTED), "cluster__services": services_of(services=[DNS])},
            "no Service",
        ),
        (NFTABLES, OK, {"node__info": info(running_mode=IPVS), "node__facts": facts(counters=SILENT)}, "do not answer"),
        (
            NFTABLES,
            WARN,
            {
                "node__facts": facts(counters=COUNTED),
                "run__settings": {
                    "nodePortAddresses": ["primary", "localhost"],
                    "featureGates": {"KubeProxyNFTablesLocalhostNodePorts": True},
                },
            },
            "TCP only",
        ),
        (
            NFTABLES,
            FAIL,
            {"node__facts": facts(counters=COUNTED), "run__settings": {"nodePortAddresses": ["primary", "localhost"]}},
            "12 packets",
        ),
        (NFTABLES, WARN, {"node__facts": facts(addresses=None)}, UNKNOWN),
    ],
    "invalid_packets": [
        (NFTABLES, OK, {}, "has dropped no INVALID packet"),
        (NFTABLES, WARN, {"node__facts": facts(counters=COUNTED)}, "34 INVALID packets"),
        (NFTABLES, FAIL, {"node__facts": facts(counters=COUNTED, kernel_release="5.15.0")}, "may be reset"),
        (IPVS, FAIL, {"node__facts": facts(counters=COUNTED, kernel_release="6.0.9")}, "may be reset"),
        (NFTABLES, WARN, {"node__facts": facts(counters=COUNTED, kernel_release="6.1.0")}, "repaired"),
        (NFTABLES, OK, {"node__facts": facts(counters=COUNTED, tcp_be_liberal=True)}, "liberal"),
        (
            NFTABLES,
            OK,
            {"node__facts": facts(counters=COUNTED), "run__settings": {"conntrack": {"tcpBeLiberal": True}}},
            "liberal",
        ),
        (
            NFTABLES,
            OK,
            {"node__info": info(running_mode=IPVS), "node__facts": facts(counters=SILENT)},
            "ipvs mode does not drop",
        ),
        (IPTABLES, OK, {"node__facts": facts(counters=COUNTED)}, "iptables mode drops"),
        (NFTABLES, WARN, {"node__facts": facts(counters=SILENT)}, UNKNOWN),
        (NFTABLES, WARN, {"node__facts": {}}, UNKNOWN),
    ],
    "disruption_budgets": [
        (NFTABLES, OK, {"cluster__switch": switch(blocking_budgets=None)}, "no drain"),
        (NFTABLES, OK, {"cluster__switch": switch(blocking_budgets=[]), "run__drain": True}, "no budget"),
        (
            NFTABLES,
            FAIL,
            {
                "cluster__switch": switch(blocking_budgets=[{"name": "default/web", "nodes": ["cp1"]}]),
                "run__drain": True,
            },
            "wait for default/web",
        ),
        (
            NFTABLES,
            OK,
            {
                "cluster__switch": switch(blocking_budgets=[{"name": "default/web", "nodes": ["w1"]}]),
                "run__drain": True,
            },
            "no budget",
        ),
        (
            NFTABLES,
            WARN,
            {"cluster__switch": switch(unread={"blocking_budgets": "403"}), "run__drain": True},
            f"{UNKNOWN} 403",
        ),
    ],
}


@pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name, cases in TABLE.items() for case in cases],
    ids=lambda value: str(value)[:60],
)
def test_a_check(name: str, case: Case) -> None:
    target, status, changes, words = case
    given = readings(**changes)
    first = given["nodes"][0]
    node = first["info"].get("node_name") or next((one["node"] for one in first["looks"] if "node" in one), "host-cp1")
    found = checks(target, given, node)[name]
    assert (found.status, words in found.reason) == (status, True), found
    if status == FAIL:
        assert found.remedy, "a failure names the way out"


@pytest.mark.parametrize("name", [*CLUSTER_CHECKS, *NODE_CHECKS])
def test_each_check_is_tried_content_failing_or_warning_and_not_knowing(name: str) -> None:
    statuses = {status for _target, status, _changes, _words in TABLE[name]}
    assert OK in statuses
    assert statuses & {WARN, FAIL}
    assert any(
        UNKNOWN in words or "unknown" in words or status == WARN for _target, status, _changes, words in TABLE[name]
    )


@pytest.mark.parametrize("target", [IPTABLES, IPVS, NFTABLES])
def test_what_nobody_read_is_never_ok(target: str) -> None:
    """But for what the target alone decides."""
    given = {"cluster": {}, "nodes": [{"host": "cp1"}], "run": {"drain": True}}
    for one in checks(target, given).values():
        by_target = one.status == OK and "mode" in one.reason
        assert by_target or (one.status == WARN and one.reason.startswith(UNKNOWN)), one


def test_a_node_outside_the_play() -> None:
    given = readings(
        cluster__services={
            **services_of(),
            "nodes": api_nodes(w2={}, w3={"ready": False}, w4={"runs_kube_proxy": False}),
        }
    )
    found = checks(NFTABLES, given, "w2")
    assert sorted(found.keys() - CLUSTER_CHECKS.keys()) == ["node_in_play", "node_ready"]
    assert (found["node_in_play"].status, found["node_ready"].status) == (FAIL, OK)
    given["run"]["absent_nodes"] = ["w2", "w3"]
    assert checks(NFTABLES, given, "w2")["node_in_play"].status == WARN
    assert checks(NFTABLES, given, "w3")["node_ready"].status == WARN
    with pytest.raises(StopIteration):
        checks(NFTABLES, given, "w4")


def test_two_things_of_one_check_are_both_told() -> None:
    given = readings(
        node__facts=facts(cni=[network("calico", mark_chain="KUBE-MARK-MASQ")]),
        cluster__switch=calico()["cluster__switch"],
    )
    found = checks(NFTABLES, given)["cni"]
    assert "externalSetMarkChain" in found.reason
    assert "nftablesMode: Disabled" in found.reason


def test_services_decide_which_virtual_servers_are_foreign() -> None:
    """A NodePort on the node's own address is a Service's, on an address that is nobody's it is not."""
    ours = {"address": ADDRESSES["cp1"], "port": 30080, "protocol": "tcp"}
    theirs = {"address": "192.0.2.77", "port": 30080, "protocol": "tcp"}
    config = {**CONFIG, "mode": IPVS, "ipvs": {"excludeCIDRs": ["192.0.2.77/32"]}}
    given = readings(config, node__info=info(running_mode=IPVS, virtual_servers=[ours, theirs]))
    reason = checks(NFTABLES, given)["foreign_virtual_servers"].reason
    assert reason.endswith(": TCP 192.0.2.77:30080")


@pytest.mark.parametrize(("running", "status"), [(IPVS, OK), ("", FAIL)])
def test_what_ipvs_mode_is_about_to_remove_is_nobody_s_loss(running: str, status: str) -> None:
    """A Service that was deleted a moment ago has virtual servers still. Where no kube-proxy runs, nobody removes them."""
    left = {"address": "192.0.2.77", "port": 30080, "protocol": "tcp"}
    config = {**CONFIG, "mode": IPVS}
    given = readings(config, node__info=info(running_mode=running, virtual_servers=[left]))
    assert checks(NFTABLES, given)["foreign_virtual_servers"].status == status


def test_dual_stack_asks_for_both_families() -> None:
    both = [{"name": "cp1", "ready": True, "pod_cidrs": ["10.244.0.0/24", "fd00:10:244::/64"]}]
    given = readings(
        node__facts=facts(forward_policies=[policy("DROP", family="ipv6")]), cluster__switch=switch(nodes=both)
    )
    assert checks(NFTABLES, given)["forward_policy"].status == FAIL


@pytest.mark.parametrize(
    ("chain", "status"),
    [
        ({"name": "FLANNEL-FWD", "backend": "nft", "family": "ipv4"}, WARN),
        ({"name": "FLANNEL-FWD", "backend": "nft", "family": "ipv6"}, FAIL),
        ({"name": "FLANNEL-FWD", "backend": "legacy", "family": "ipv4"}, FAIL),
        ({"name": "MY-FWD", "backend": "nft", "family": "ipv4"}, FAIL),
    ],
)
def test_flannels_chain_helps_where_it_is(chain: Object, status: str) -> None:
    inventory = {"artifacts": [{"kind": "iptables_chain", **chain}], "iptables": {"kube_proxy": ["nft"]}}
    given = readings(node__facts=facts(forward_policies=[policy("DROP")]), node__info=info(inventory=inventory))
    assert checks(NFTABLES, given)["forward_policy"].status == status


@pytest.mark.parametrize(("target", "wanted"), [(NFTABLES, True), (IPVS, False)])
def test_flannel_is_told_to_follow(target: str, wanted: bool) -> None:
    remedy = checks(target, readings(**flannel(not wanted)))["cni"].remedy
    assert f"EnableNFTables: {str(wanted).lower()}" in remedy


def test_a_service_without_a_node_port_does_not_count() -> None:
    plain = kube.service("default/plain", clusterIP="10.96.0.30")
    given = readings(
        cluster__services=services_of(services=[plain]), node__facts=facts(addresses=TWO, counters=COUNTED)
    )
    found = checks(NFTABLES, given)
    assert (found["node_ports"].status, found["localhost_node_ports"].status) == (OK, OK)
