# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check of a switch whose virtual servers would go. Pure. Private to this collection.

Source: C(cleanLegacyService) and C(CleanupLeftovers) in C(pkg/proxy/ipvs), 1.31 to 1.37.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPTABLES, IPVS, NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import (
    ClusterCase,
    NodeCase,
    Object,
    Verdict,
    fail,
    ok,
    unknown,
    why_unread,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import foreign, virtual_servers

Verdicts = t.Iterator[Verdict]

_NAMED = 5


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
    bound = list(map(str, now.addresses.bound))
    try:
        services = virtual_servers(case.state, now)
        lost = foreign(servers, services, case.target, _excluded(wanted), bound)
        # A kube-proxy in ipvs mode removes these at its next sync: they are of Services that have just gone.
        going = foreign(servers, services, IPVS, _excluded(now.config), bound) if _runs_ipvs(node) else []
        return [one for one in lost if one not in going], ""
    except KubeProxyError as error:
        return [], str(error)


def _excluded(config: Object) -> t.Sequence[str]:
    return config["ipvs"].get("excludeCIDRs") or ()


def _runs_ipvs(node: NodeCase) -> bool:
    return node.info.get("running_mode") == IPVS


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
