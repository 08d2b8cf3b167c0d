# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of a switch that are about who else filters packets on a node, and whose network it is. Pure. Private to this collection.

Sources: C(syncProxyRules) in C(pkg/proxy/iptables) and C(pkg/proxy/ipvs) (C(KUBE-FORWARD) accepts marked and known packets) and
C(pkg/proxy/nftables/README.md) (nothing of the like), 1.31 to 1.37; "Virtual IPs and Service Proxies" of Kubernetes' documentation,
"Migrating from iptables mode to nftables"; netfilter's own order: a drop in one base chain is final, an accept is not.
C(Monitor) in C(pkg/util/iptables/iptables.go) (iptables mode sees a flush), C(pkg/proxy/nftables/proxier.go) (nftables mode does not,
until the hourly full sync). C(pkg/network/iptables.go) of flannel 0.26 (C(FLANNEL-FWD)).
C(useNftables), C(monitorKubeProxyNftablesMode) and C(checkIPVSConfigOnStateUpdate) in C(felix/dataplane/linux/int_dataplane.go) of
Calico 3.29 to 3.32 (in mode Auto, and when kube-ipvs0 comes or goes, Felix starts again by itself), its page "Calico nftables data plane" (kube-proxy must be
in nftables mode, too) and kubespray issue 12198 of May 2025 (kube-proxy in nftables mode breaks Calico unless it moves, too).
C(externalSetMarkChain) of the portmap plugin: a chain that only iptables and ipvs mode have.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPTABLES, IPVS, NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import (
    ClusterCase,
    NodeCase,
    Verdict,
    fail,
    ok,
    unknown,
    warn,
    why_unread,
)

Verdicts = t.Iterator[Verdict]

_NOBODY = "nobody looked at the node"
_MARK_CHAIN = "KUBE-MARK-MASQ"
# Plugins that make interfaces and no rules.
_WITHOUT_RULES = ("bridge", "ptp", "macvlan", "ipvlan", "host-device")


def forward_policy(case: ClusterCase, node: NodeCase) -> Verdicts:
    policies = node.facts.get("forward_policies")
    if case.target != NFTABLES:
        yield ok(f"in {case.target} mode kube-proxy accepts in FORWARD what it forwards")
    elif policies is None:
        yield unknown(why_unread(node.facts, _NOBODY, "forward_policies"))
    elif case.mode_of(node) == NFTABLES:
        yield ok("the node is in nftables mode already")
    else:
        # A chain of nftables' own drops what no rule of its own takes in any mode: an accept elsewhere never helped.
        drops = [one for one in policies if one.get("policy") == "DROP" and one.get("backend") in _backends(node)]
        drops = [one for one in drops if one.get("family") in _families(case)]
        if not drops:
            yield ok("FORWARD lets through what no rule takes")
        for one in drops:
            yield _drop(node, f"{one.get('backend')} {one.get('family')}", (one.get("backend"), one.get("family")))


def _drop(node: NodeCase, words: str, where: tuple[t.Any, t.Any]) -> Verdict:
    rows = (node.info.get("inventory") or {}).get("artifacts") or ()
    remedy = (
        "Have it accept what is forwarded to and from pods (Docker 28: ip-forward-no-drop in daemon.json; ufw: DEFAULT_FORWARD_POLICY), "
        "then name forward_policy in switch_override if the policy stays."
    )
    if any((one.get("backend"), one.get("family")) == where and one.get("name") == "FLANNEL-FWD" for one in rows):
        return warn(
            f"FORWARD ({words}) drops what no rule takes; FLANNEL-FWD is there and takes what is the pods'", remedy
        )
    return fail(
        f"FORWARD ({words}) drops what no rule takes, and nftables mode has no rule there that takes Services' packets",
        remedy,
    )


def _backends(node: NodeCase) -> t.Sequence[str]:
    """Where kube-proxy's own accept has helped until now."""
    named = ((node.info.get("inventory") or {}).get("iptables") or {}).get("kube_proxy")
    return named or ("nft", "legacy")


def _families(case: ClusterCase) -> t.Collection[str]:
    """Those of the pods' networks; both where nothing tells."""
    networks = [one for node in case.switch.get("nodes") or () for one in node.get("pod_cidrs") or ()]
    return {"ipv6" if ":" in one else "ipv4" for one in networks} or ("ipv4", "ipv6")


def firewall_manager(case: ClusterCase, node: NodeCase) -> Verdicts:
    found = node.facts.get("firewalls")
    if found is None:
        yield unknown(why_unread(node.facts, _NOBODY, "firewalls"))
        return
    for one in found:
        yield _judge_firewall(
            str(one.get("name")), bool(one.get("flushes")), ", ".join(one.get("seen") or ()), case.target
        )
    if not found:
        yield ok("no manager of a firewall is in use")


_REPAIRS = {IPTABLES: "kube-proxy sees that and writes them again", IPVS: "kube-proxy writes them again within 30 s"}


def _judge_firewall(name: str, flushes: bool, seen: str, target: str) -> Verdict:
    if flushes and name == "nftables.service" and target == NFTABLES:
        return fail(
            f"{name} removes all of nftables when it is started, reloaded or stopped ({seen}), and kube-proxy in nftables mode sees "
            "that only at its hourly full sync",
            "Take 'flush ruleset' out of the file and of the unit: delete the own tables instead (destroy table inet filter).",
        )
    if flushes:
        repair = _REPAIRS.get(target, "nftables mode has none in there")
        return warn(
            f"{name} removes rules that are not its own ({seen}); {repair}", f"Never reload {name} without need."
        )
    if target == NFTABLES and name != "nftables.service":
        return warn(
            f"{name} is in use ({seen}), and nftables mode opens nothing in it for NodePorts and forwarded packets",
            f"Have {name} let through the NodePorts (30000-32767) and the pods' networks.",
        )
    return ok(f"{name} removes nothing that is not its own")


def cni(case: ClusterCase, node: NodeCase) -> Verdicts:
    """What of the network has to move with kube-proxy."""
    networks = node.facts.get("cni")
    if not networks:
        yield unknown(
            why_unread(node.facts, "there is no network in /etc/cni/net.d" if networks == [] else _NOBODY, "cni")
        )
        return
    plugins = [str(one) for one in networks[0].get("plugins") or ()]
    if any(one.get("mark_chain") == _MARK_CHAIN for one in networks) and case.target == NFTABLES:
        yield fail(
            f"the CNI sends host ports' packets to {_MARK_CHAIN} (externalSetMarkChain), a chain that nftables mode does not have",
            "Take externalSetMarkChain out of the portmap plugin's configuration: it then has a chain of its own.",
        )
    if "calico" in plugins:
        yield _calico(case, node)
    elif "flannel" in plugins:
        yield _flannel(case)
    elif plugins and plugins[0] in _WITHOUT_RULES:
        yield ok(f"{plugins[0]} makes no rules that depend on the mode")
    elif case.crosses(node):
        yield unknown(
            f"what {plugins[0] if plugins else 'this network'} asks of kube-proxy's mode is not known here",
            "See its documentation.",
        )
    else:
        yield ok(f"{plugins[0] if plugins else 'the network'}: both modes have the same chains for others to use")


def _calico(case: ClusterCase, node: NodeCase) -> Verdict:
    found = case.switch.get("calico")
    if not found:
        return unknown(why_unread(case.switch, "Calico's DaemonSet was not seen", "calico"))
    if found.get("bpf_enabled"):
        return warn(
            "Felix is in eBPF mode, in which Calico carries Services itself",
            "Find out whether kube-proxy is needed at all.",
        )
    mode = (found.get("nftables_mode_by_node") or {}).get(node.name) or found.get("nftables_mode") or "Disabled"
    if mode == "Auto":
        return ok("Felix follows kube-proxy (nftablesMode: Auto): it starts again by itself")
    if (mode == "Enabled") == (case.target == NFTABLES):
        return ok(f"Felix is set for it (nftablesMode: {mode})")
    return fail(
        f"Felix has nftablesMode: {mode}, which does not go with {case.target} mode",
        "Set nftablesMode: Auto in FelixConfiguration default (with the operator: linuxDataplane in its Installation): "
        "Felix then follows kube-proxy node by node.",
    )


def _flannel(case: ClusterCase) -> Verdict:
    found = case.switch.get("flannel")
    enabled = (found or {}).get("enable_nftables")
    if enabled is None:
        return unknown(why_unread(case.switch, "flannel's net-conf.json was not read", "flannel"))
    if enabled == (case.target == NFTABLES):
        return ok(f"flannel is set for it (EnableNFTables: {str(enabled).lower()})")
    wanted = str(case.target == NFTABLES).lower()
    return warn(
        f"flannel has EnableNFTables: {str(enabled).lower()}: its rules and kube-proxy's are in different frameworks",
        f"Set EnableNFTables: {wanted} in its net-conf.json to have one framework, and restart its pods.",
    )
