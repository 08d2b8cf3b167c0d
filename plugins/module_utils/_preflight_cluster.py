# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of a switch that are about the cluster and its nodes as such. Pure. Private to this collection.

Sources: C(_kube_release) for the calendar; C(_kube_proxy_deployment_owner) for who puts a ConfigMap back; C(pkg/proxy/ipvs/README.md)
and MetalLB's "Installation" (strictARP); "Using NodeLocal DNSCache" in Kubernetes' documentation (in IPVS mode it cannot take the
Service's address, kube-ipvs0 has it) and kubernetes/dns issue 682 of April 2025 (nothing is said about nftables mode); C(filterPods) in
C(k8s.io/kubectl/pkg/drain) (a budget that allows nothing makes a drain wait).
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPVS, NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import assess
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import (
    ClusterCase,
    NodeCase,
    Verdict,
    fail,
    merged,
    ok,
    unknown,
    warn,
    why_unread,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_settings import left_by_strict_arp

Verdicts = t.Iterator[Verdict]

# Others may write it once, by hand or when the cluster is made; these come again.
_COME_AGAIN = (
    "argo",
    "flux",
    "kustomize",
    "helm",
    "fleet",
    "rancher",
    "terraform",
    "pulumi",
    "crossplane",
    "kapp",
    "addon",
)


def configuration(case: ClusterCase) -> Verdicts:
    """Whether C(kube_proxy_mode) would write the target's configuration."""
    if "config" in case.plan:
        yield ok(str((case.plan.get("deployment") or {}).get("seen") or "the ConfigMap can be changed"))
    elif case.plan.get("msg"):
        reason, _dot, remedy = str(case.plan["msg"]).partition(". ")
        yield fail(reason.rstrip("."), remedy)
    else:
        yield unknown("nobody planned the change of the ConfigMap")


def release_calendar(case: ClusterCase) -> Verdicts:
    if not case.releases:
        yield unknown(
            "nothing tells the release of kube-proxy", "Use an image of kube-proxy whose tag names its release."
        )
        return
    if case.written is None:
        yield unknown("the feature gates are not known: " + _no_configuration(case))
        return
    gates = merged(case.written, case.settings).get("featureGates")
    found = assess(case.target, case.releases, gates if isinstance(gates, t.Mapping) else {})
    for one in found:
        if one.severity == "error":
            yield fail(
                one.message.rstrip("."),
                "Choose another mode, or have its gate in switch_settings: {featureGates: {...}}.",
            )
        else:
            yield warn(one.message.rstrip("."))
    if not found:
        yield ok(f"kube-proxy {case.releases[0]} has {case.target} mode, and so have the next ones")


def configmap_manager(case: ClusterCase) -> Verdicts:
    found = case.switch.get("config_map")
    if not found:
        yield unknown(why_unread(case.switch, "nobody read the ConfigMap", "config_map"))
        return
    owned = [("ConfigMap", found), ("DaemonSet", case.switch.get("kube_proxy") or {})]
    for kind, one in owned:
        if one.get("owner"):
            yield fail(
                f"{one['owner']} manages the {kind} ({one.get('mark')}), and would put it back as it was",
                f"Change it where {one['owner']} takes it from, or have it leave the {kind} alone until the switch is done.",
            )
    known = [one for one in found.get("managers") or () if any(word in one.lower() for word in _COME_AGAIN)]
    if known:
        yield warn(
            f"{', '.join(known)} has written the ConfigMap, and may put the old mode back at its next run",
            "Change the mode there, too.",
        )
    yield ok("nobody is known to put the ConfigMap or the DaemonSet back")


def node_count(case: ClusterCase) -> Verdicts:
    nodes = case.switch.get("nodes")
    if nodes is None:
        yield unknown(why_unread(case.switch, "nobody listed the nodes", "nodes"))
        return
    takers = [one for one in nodes if one.get("ready") and not one.get("unschedulable")]
    if len(takers) < 2 and case.drain:
        yield fail(
            f"{len(takers)} of {len(nodes)} nodes is Ready and takes pods: those of a node that is drained have nowhere to go",
            "Leave switch_drain off, or add a node.",
        )
    elif len(takers) < 2:
        yield warn(
            f"{len(takers)} of {len(nodes)} nodes is Ready and takes pods: no other one serves while it changes mode",
            "Choose a time when a gap does no harm, or add a node.",
        )
    else:
        yield ok(f"{len(takers)} of {len(nodes)} nodes are Ready and take pods")


def node_local_dns(case: ClusterCase) -> Verdicts:
    found = case.switch.get("node_local_dns")
    if not found:
        reason = why_unread(case.switch, "nobody listed the DaemonSets", "daemon_sets")
        yield (
            ok("NodeLocal DNSCache is not there")
            if "node_local_dns" in case.switch and not _unlisted(case)
            else unknown(reason)
        )
        return
    if case.state is None:
        yield unknown("which of its addresses are Services' is not known: " + _no_configuration(case))
        return
    services = {str(ip) for one in case.state["services"] for ip in one.get("clusterIPs") or [one.get("clusterIP")]}
    taken = [one for one in found.get("local_ips") or () if one in services]
    name = str(found.get("daemon_set"))
    if taken and case.target == IPVS:
        yield fail(
            f"{name} takes {', '.join(taken)}, the address of a Service, which kube-ipvs0 has in ipvs mode",
            "Leave only its own address in -localip, and have kubelet's clusterDNS name that one, as Kubernetes' page "
            '"Using NodeLocal DNSCache" says for IPVS mode.',
        )
    elif taken and case.target == NFTABLES:
        yield warn(
            f"{name} takes {', '.join(taken)}, the address of a Service, with rules of iptables; nobody has said that this "
            "works in nftables mode (kubernetes/dns issue 682)",
            "Leave only its own address in -localip, and have kubelet's clusterDNS name that one. Or try DNS on the first node.",
        )
    else:
        yield ok(f"{name} fits {case.target} mode")


def _unlisted(case: ClusterCase) -> bool:
    return "daemon_sets" in (case.switch.get("unread") or {})


def strict_arp(case: ClusterCase) -> Verdicts:
    if case.target != IPVS:
        yield left_by_strict_arp(case)
        return
    announcers = case.switch.get("l2_announcers")
    if announcers is None:
        why = why_unread(case.switch, "nobody looked for announcers by ARP", "l2_announcers")
        yield unknown(
            _either(case, why, "daemon_sets"), "Set ipvs.strictARP to true if MetalLB or kube-vip announces by ARP."
        )
    elif not announcers:
        yield ok("neither MetalLB nor kube-vip announces by ARP")
    elif case.wanted is None:
        yield unknown("ipvs.strictARP is not known: " + _no_configuration(case))
    elif case.wanted["ipvs"].get("strictARP"):
        yield ok("ipvs.strictARP is true")
    else:
        seen = ", ".join(f"{one.get('name')} ({one.get('seen')})" for one in announcers)
        yield fail(
            f"{seen} announces addresses by ARP, and without ipvs.strictARP every node answers for all of them",
            "Set it along with the mode: switch_settings: {ipvs: {strictARP: true}}.",
        )


def node_in_play(case: ClusterCase, node: NodeCase) -> Verdicts:
    if not node.host:
        if node.name in case.absent:
            yield warn(
                "it is not in the play (switch_absent_nodes): it changes mode unprepared when its kube-proxy restarts"
            )
        else:
            yield fail(
                "it runs kube-proxy, but no host of the play has its kubelet's certificate: it would change mode unprepared",
                "Add it to the inventory, have it reachable, or name it in switch_absent_nodes.",
            )
    elif not node.name:
        yield unknown(why_unread(node.info, "the host has no kubelet's certificate, which would name its node"))
    elif "nodes" not in case.services:
        yield unknown(why_unread(case.services, "nobody listed the nodes"))
    elif node.api is None:
        yield fail(
            f"the cluster has no node {node.name}",
            "Take the host out of the play, or name the right cluster's kubeconfig.",
        )
    else:
        yield ok("its kubelet's certificate names it")


def node_ready(case: ClusterCase, node: NodeCase) -> Verdicts:
    if node.api is None:
        yield unknown(why_unread(case.services, "the API does not have it"))
    elif node.api.get("ready"):
        yield ok("Ready, and cordoned: it stays so" if case.row_of(node).get("unschedulable") else "Ready")
    elif node.name in case.absent:
        yield warn("it is not Ready (switch_absent_nodes)")
    else:
        yield fail("it is not Ready", "Repair it first (kubectl describe node), or name it in switch_absent_nodes.")


def disruption_budgets(case: ClusterCase, node: NodeCase) -> Verdicts:
    if not case.drain:
        yield ok("no drain is asked for")
        return
    budgets = case.switch.get("blocking_budgets")
    if budgets is None:
        yield unknown(why_unread(case.switch, "nobody read the PodDisruptionBudgets", "blocking_budgets"))
        return
    names = [str(one.get("name")) for one in budgets if node.name in (one.get("nodes") or ())]
    if names:
        yield fail(
            f"a drain would wait for {', '.join(names)}, which allows no disruption now",
            "Have more replicas Ready, change the budget, or leave switch_drain off.",
        )
    else:
        yield ok("no budget holds up a drain")


def _either(case: ClusterCase, why: str, name: str) -> str:
    return str((case.switch.get("unread") or {}).get(name) or why).rstrip(".")


def _no_configuration(case: ClusterCase) -> str:
    return str(
        case.services.get("config_problem") or why_unread(case.services, "nobody read kube-proxy's ConfigMap")
    ).rstrip(".")
