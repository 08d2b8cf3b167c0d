# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of a switch that are about Services: which addresses stop answering, and whose virtual servers would go. Pure. Private to
this collection.

Sources, in 1.31 to 1.37: C(platformApplyDefaults) in C(cmd/kube-proxy/app/server_linux.go) (primary is nftables mode's default),
C(NewProxier) in C(pkg/proxy/iptables/proxier.go) (localhost NodePorts, the drop of INVALID packets and when there is none),
C(GetAllLocalAddressesExcept) in C(pkg/proxy/ipvs/netlink_linux.go) (no loopback), C(cleanLegacyService) in C(pkg/proxy/ipvs) and
C(CleanupLeftovers) beside it (what happens to virtual servers), the gate C(KubeProxyNFTablesLocalhostNodePorts) in
C(pkg/features/kube_features.go) of 1.37 (TCP only). "Virtual IPs and Service Proxies" of Kubernetes' documentation, "Conntrack bug
workarounds": kernels before 6.1 close long connections unless INVALID packets are dropped, or tolerated.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPTABLES, IPVS, NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import (
    ClusterCase,
    NodeCase,
    Object,
    Verdict,
    fail,
    merged,
    ok,
    unknown,
    warn,
    why_unread,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import Address
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import foreign, virtual_servers
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


def foreign_virtual_servers(case: ClusterCase, node: NodeCase) -> Verdicts:
    if case.target == IPTABLES:
        yield ok("in iptables mode kube-proxy leaves IPVS alone")
        return
    found, why = foreign_at_risk(case, node)
    if why:
        yield unknown(why, "ipvsadm -Ln shows the virtual servers.")
    elif not found:
        yield ok("it has none that kube-proxy would remove")
    elif case.target == NFTABLES:
        yield fail(
            f"kube-proxy removes all of IPVS whenever it starts in nftables mode, and these belong to no Service: {_servers(found)}",
            "Move them to a machine without kube-proxy, or name foreign_virtual_servers in switch_override: they are put back once, and "
            "gone again at kube-proxy's next start.",
        )
    else:
        yield fail(
            f"kube-proxy in ipvs mode removes what no ipvs.excludeCIDRs covers, and these belong to no Service: {_servers(found)}",
            f"Set along with the mode: switch_settings: {{ipvs: {{excludeCIDRs: {sorted(networks_of(found))}}}}}, or remove them.",
        )


def foreign_at_risk(case: ClusterCase, node: NodeCase) -> tuple[list[dict[str, t.Any]], str]:
    """The virtual servers that kube-proxy in the target mode would remove, or why nobody can tell."""
    if node.host not in case.at_risk:
        case.at_risk[node.host] = _at_risk(case, node)
    return case.at_risk[node.host]


def _at_risk(case: ClusterCase, node: NodeCase) -> tuple[list[dict[str, t.Any]], str]:
    servers = node.info.get("virtual_servers")
    if servers is None:
        return [], why_unread(node.info, "nobody read the virtual servers")
    if not servers or case.target == IPTABLES:
        return [], ""
    wanted, now = case.wanted, case.node_now(node)
    if wanted is None or now is None or case.state is None:
        return [], "nobody could tell which of them are Services'"
    bound = map(str, now.addresses.bound)
    try:
        excluded = wanted["ipvs"].get("excludeCIDRs") or ()
        return foreign(servers, virtual_servers(case.state, now), case.target, excluded, bound), ""
    except KubeProxyError as error:
        return [], str(error)


def networks_of(servers: t.Iterable[Object]) -> set[str]:
    """Each address as a network of its own."""
    found = {ipaddress.ip_address(str(one["address"])) for one in servers if one.get("address")}
    return {f"{one}/{one.max_prefixlen}" for one in found}


def _servers(servers: t.Sequence[Object]) -> str:
    names = [
        f"fwmark {one['fwmark']}"
        if one.get("fwmark")
        else f"{str(one.get('protocol') or 'tcp').upper()} {join_host_port(str(one.get('address')), int(one.get('port') or 0))}"
        for one in servers
    ]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


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
