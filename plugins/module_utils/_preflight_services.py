# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of a switch that are about addresses of Services that stop answering. Pure. Private to this collection.

Sources, in 1.31 to 1.37: C(platformApplyDefaults) in C(cmd/kube-proxy/app/server_linux.go) (primary is nftables mode's default),
C(NewProxier) in C(pkg/proxy/iptables/proxier.go) (localhost NodePorts, the drop of INVALID packets and when there is none),
C(GetAllLocalAddressesExcept) in C(pkg/proxy/ipvs/netlink_linux.go) (no loopback), the gate C(KubeProxyNFTablesLocalhostNodePorts) in
C(pkg/features/kube_features.go) of 1.37 (TCP only). "Virtual IPs and Service Proxies" of Kubernetes' documentation, "Conntrack bug
workarounds": kernels before 6.1 close long connections unless INVALID packets are dropped, or tolerated.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPTABLES, IPVS, NFTABLES
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
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import Address
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import (
    Node,
    chosen_addresses,
    node_port_addresses,
)

Verdicts = t.Iterator[Verdict]

LOCALHOST_GATE = "KubeProxyNFTablesLocalhostNodePorts"
_NAMED = 5
_INVALID_FIXED = (6, 1)
_FAMILIES = (4, 6)


def node_ports(case: ClusterCase, node: NodeCase) -> Verdicts:
    """Addresses whose NodePorts stop, or begin, to answer."""
    now, then = nodes_before_and_after(case, node)
    if case.has_node_ports is False:
        yield ok("no Service has a NodePort")
    elif now is None or then is None:
        yield unknown(why_unread(node.facts, "the node's addresses, or the configuration, are not known", "addresses"))
    else:
        before, after = (_answering(one) for one in (now, then))
        lost, gained = (sorted(one, key=str) for one in (before - after, after - before))
        if lost:
            yield warn(
                f"NodePorts will no longer answer on {_addresses(lost)} (nodePortAddresses: {then.config['nodePortAddresses']})",
                'Set along with the mode, if somebody uses them: switch_settings: {nodePortAddresses: ["0.0.0.0/0", "::/0"]}.',
            )
        if gained:
            yield warn(
                f"NodePorts will answer on {_addresses(gained)}, too (nodePortAddresses: {then.config['nodePortAddresses'] or 'unset'})",
                "Set along with the mode, if they shall not: switch_settings: {nodePortAddresses: [primary]}.",
            )
        if not lost and not gained:
            yield ok("NodePorts answer on the same addresses as before")


def nodes_before_and_after(case: ClusterCase, node: NodeCase) -> tuple[Node | None, Node | None]:
    """The node with what is configured now, in the mode that it runs, and with what will be."""
    now = case.node_now(node)
    if now is None or case.wanted is None or not case.mode_of(node):
        return None, None
    before = now.in_mode(case.mode_of(node))
    after = replace(now, written=merged(now.written, case.settings))
    return before, after.in_mode(case.target)


def _answering(node: Node) -> set[Address]:
    """Without loopback, which is a check of its own, and without what only pods can see."""
    inside = [_network(text) for text in (*node.pod_cidrs, *str(node.config["clusterCIDR"]).split(",")) if text.strip()]
    found = {
        address
        for family in node.families
        for address in node_port_addresses(node.addresses, family, node.config, node.node_ips)
    }
    return {
        one
        for one in found
        if not one.is_link_local
        and not any(net is not None and one.version == net.version and one in net for net in inside)
    }


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def _addresses(found: t.Sequence[Address]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(map(str, found[:_NAMED])) + more


def localhost_node_ports(case: ClusterCase, node: NodeCase) -> Verdicts:
    now, then = nodes_before_and_after(case, node)
    if case.has_node_ports is False:
        yield ok("no Service has a NodePort")
    elif now is None or then is None:
        yield unknown(why_unread(node.facts, "the node's addresses, or the configuration, are not known", "addresses"))
    elif not _serves_localhost(now, case.mode_of(node)):
        yield ok("NodePorts do not answer on 127.0.0.1 now")
    elif _serves_localhost(then, case.target):
        tcp = case.target == NFTABLES
        yield (
            warn("NodePorts answer on 127.0.0.1 for TCP only") if tcp else ok("NodePorts answer on 127.0.0.1 as before")
        )
    else:
        yield _judge_localhost(case, node)


def _judge_localhost(case: ClusterCase, node: NodeCase) -> Verdict:
    counted = (node.facts.get("counters") or {}).get("localhost_node_ports_accepted")
    remedy = "Have its clients use the node's own address, or the Service's."
    if counted is None:
        why = why_unread(node.facts, "kube-proxy has no counter for it (the kernel lacks nfacct)", "counters")
        return unknown(
            f"NodePorts will no longer answer on 127.0.0.1, and whether somebody uses them is not told: {why}", remedy
        )
    if counted:
        return fail(
            f"{counted} packets came to NodePorts on 127.0.0.1, which no longer answer in {case.target} mode", remedy
        )
    return ok("kube-proxy has counted no packet to a NodePort on 127.0.0.1")


def _serves_localhost(node: Node, mode: str) -> bool:
    if mode == IPVS:
        return False
    if mode == IPTABLES and not node.config["iptables"].get("localhostNodePorts"):
        return False
    chosen = chosen_addresses(node.addresses, 4, node.config, node.node_ips)
    if mode == NFTABLES:
        # C(ContainsExplicitLoopback): the networks that are everything do not count.
        gate = (node.config.get("featureGates") or {}).get(LOCALHOST_GATE) is True
        return gate and any(one.is_loopback for one in chosen or ())
    return chosen is None or any(one.is_loopback for one in chosen)


def invalid_packets(case: ClusterCase, node: NodeCase) -> Verdicts:
    counted = (node.facts.get("counters") or {}).get("invalid_packets_dropped")
    if case.target == IPTABLES:
        yield ok("iptables mode drops INVALID packets")
    elif case.mode_of(node) and case.mode_of(node) != IPTABLES:
        yield ok(f"{case.mode_of(node)} mode does not drop INVALID packets either")
    elif node.facts.get("tcp_be_liberal") or liberal(case):
        yield ok("connection tracking is liberal, so that kube-proxy drops none")
    elif counted is None:
        yield unknown(why_unread(node.facts, "kube-proxy has no counter for it (the kernel lacks nfacct)", "counters"))
    elif not counted:
        yield ok("kube-proxy has dropped no INVALID packet")
    else:
        old = node.kernel is None or node.kernel < _INVALID_FIXED
        yield (fail if old else warn)(
            f"kube-proxy has dropped {counted} INVALID packets, and does not in {case.target} mode: "
            + ("long connections to Services may be reset" if old else "this kernel has the cause of it repaired"),
            "Set along with the mode: switch_settings: {conntrack: {tcpBeLiberal: true}}.",
        )


def liberal(case: ClusterCase) -> bool:
    """Whether the target's configuration makes connection tracking liberal."""
    return case.wanted is not None and bool((case.wanted.get("conntrack") or {}).get("tcpBeLiberal"))
