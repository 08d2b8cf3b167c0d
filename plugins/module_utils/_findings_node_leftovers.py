# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What other modes left on a node, in either backend of iptables, and whose virtual servers are at risk. Pure. Private to
this collection.

Sources: C(platformCleanup) in C(cmd/kube-proxy/app/server_linux.go) (iptables and ipvs mode clean nothing of each other),
C(CleanupLeftovers) of the three proxiers, C(cleanLegacyService) in C(pkg/proxy/ipvs/proxier.go), 1.34 to 1.37; KEP-3178
(kubelet's hint).
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import INFO, WARNING, Finding
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_kernel import unread
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import KUBE_PROXY
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import (
    CHAIN_MODES,
    IPVS,
    IPVS_DEVICE,
    MODES,
    NFTABLES,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import foreign

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_model import NodeFacts

Row = t.Mapping[str, t.Any]

_NAMED = 5


class _Kind(t.NamedTuple):
    """How leftovers of a kind are told. C(severity): whether packets still meet them."""

    words: str
    severity: str
    evidence: str
    cause: str


_STILL = "Packets still pass through it, and it knows nothing of what changed since."
_IDLE = "Nothing leads there any more: it only costs room and confuses."
# What lies in a table, or on a device, goes with it.
_KINDS = {
    "iptables_jump": _Kind("jumps from built-in chains", WARNING, "iptables-save | grep -- '-j KUBE-'", _STILL),
    "iptables_chain": _Kind("iptables chains", INFO, "iptables-save | grep '^:KUBE-'", _IDLE),
    "ipset": _Kind("ipsets", INFO, "ipset list -n", _IDLE),
    "nft_table": _Kind("nftables tables", WARNING, "nft list tables", _STILL),
    "device": _Kind(
        "devices", WARNING, f"ip address show dev {IPVS_DEVICE}", "The node itself answers for the addresses on it."
    ),
    "virtual_server": _Kind(
        "virtual servers",
        WARNING,
        "ipvsadm -Ln",
        "Packets that reach the node itself are still sent to its real servers.",
    ),
}
_CLEANS_NOTHING = "kube-proxy removes nothing when it goes from iptables to ipvs mode or back."
_LOST = {
    IPVS: (
        "kept: its address inside ipvs.excludeCIDRs",
        "kube-proxy removes it at its next sync",
        "Cover its address by ipvs.excludeCIDRs (module netops.kube_proxy.kube_proxy_mode), then delete the node's kube-proxy pod.",
    ),
    NFTABLES: (
        "not on a node whose kube-proxy flushes IPVS",
        "kube-proxy removes it, with all of IPVS, whenever it starts in nftables mode",
        "Have it made again after each start of kube-proxy, or on a node without it.",
    ),
}


def inventory_findings(facts: NodeFacts) -> t.Iterator[Finding]:
    """All about what lies in the kernel beside the Services of the running mode."""
    inventory = facts.inventory
    if inventory is None:
        yield unread("what other modes left on the node", "nobody looked")
    else:
        yield from (unread("a part of what lies in the kernel", sentence) for sentence in inventory.get("unread") or ())
        rows = inventory.get("artifacts") or ()
        active, findings = _backends(facts, inventory.get("iptables") or {}, rows)
        yield from findings
        if facts.running_mode is None:
            yield unread("what other modes left on the node", "kube-proxy does not say which mode it runs in")
        yield from _leftovers(facts, [row for row in rows if not active or row.get("backend") in (None, active)])
    yield from _foreign_servers(facts)


def _leftovers(facts: NodeFacts, rows: t.Iterable[Row]) -> t.Iterator[Finding]:
    groups: dict[tuple[str, str], list[str]] = {}
    left_by: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.get("belongs") is False and row.get("kind") in _KINDS:
            modes = " and ".join(row.get("modes") or ("old",))
            groups.setdefault((modes, row["kind"]), []).append(_name(row))
            left_by.setdefault((modes, row["kind"]), list(row.get("modes") or ()))
    for (modes, kind), names in sorted(groups.items()):
        about = _KINDS[kind]
        yield Finding(
            about.severity,
            "leftover",
            f"{about.words} of {modes} mode",
            expected=f"none in {facts.running_mode} mode",
            actual=_counted(names),
            evidence=about.evidence,
            cause=f"{about.cause} {_CLEANS_NOTHING}" if kind != "nft_table" else about.cause,
            remedy=_way_out(facts.running_mode, left_by[modes, kind]),
        )


def _name(row: Row) -> str:
    where = " ".join(str(row[key]) for key in ("family", "backend") if row.get(key))
    table = f"{row['table']} " if row.get("table") else ""
    return f"{table}{row.get('name')}" + (f" ({where})" if where else "")


def _counted(names: t.Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)}: {', '.join(names[:_NAMED])}{more}"


def _way_out(running: str | None, modes: t.Sequence[str]) -> str:
    # What no release of today makes goes with any mode but the running one.
    asked = [mode for mode in modes or MODES if mode != running] or [mode for mode in MODES if mode != running]
    return f"Module netops.kube_proxy.kube_proxy_cleanup with mode: [{', '.join(asked)}], running_mode: {running}."


def _backends(facts: NodeFacts, iptables: Row, rows: t.Iterable[Row]) -> tuple[str, list[Finding]]:
    """The backend that kube-proxy uses as far as that is certain, and what is wrong with the other one."""
    ours, kubelets = list(iptables.get("kube_proxy") or ()), list(iptables.get("kubelet") or ())
    if facts.mode not in CHAIN_MODES or not ours:
        return "", []
    hinted = kubelets[0] if len(kubelets) == 1 else ""
    evidence = "iptables-nft-save | grep -c KUBE-; iptables-legacy-save | grep -c KUBE-"
    if len(ours) == 1:
        return "", _other_than_kubelets(ours[0], hinted, evidence)
    if not hinted:
        unclear = Finding(
            WARNING,
            "backends_both",
            "iptables backends",
            expected="kube-proxy's chains in one of them",
            actual="they are in both, and kubelet's hint chain does not tell which one is in use",
            evidence=evidence,
            cause="kube-proxy was moved from one backend to the other. The kernel follows the rules of both.",
            remedy="Find the one in use (the rules with counters that grow), then module netops.kube_proxy.iptables_kube_chain with "
            "state: absent and backend: the other one.",
        )
        return "", [unclear]
    other = next(one for one in ours if one != hinted)
    names = [
        _name(row)
        for row in rows
        if (row.get("backend"), row.get("owner"), row.get("kind")) == (other, KUBE_PROXY, "iptables_chain")
    ]
    left = Finding(
        WARNING,
        "leftover_backend",
        f"chains in the {other} backend of iptables",
        expected=f"none: kubelet and kube-proxy use {hinted}",
        actual=_counted(names),
        evidence=f"iptables-{other}-save | grep KUBE-",
        cause="kube-proxy was moved from one backend to the other. The kernel follows the rules of both.",
        remedy=f"Module netops.kube_proxy.iptables_kube_chain with mode: iptables and mode: ipvs, running_mode: none, "
        f"state: absent, backend: {other}.",
    )
    return hinted, [left]


def _other_than_kubelets(ours: str, hinted: str, evidence: str) -> list[Finding]:
    if hinted in ("", ours):
        return []
    return [
        Finding(
            WARNING,
            "backend_wrong",
            "iptables backends",
            expected=f"kube-proxy's chains in {hinted}, where kubelet's are",
            actual=f"they are in {ours}",
            evidence=evidence,
            cause="The image of kube-proxy does not follow kubelet's hint chain, or kubelet was moved to another backend.",
            remedy="Use kube-proxy's own image, and delete the node's kube-proxy pod.",
        )
    ]


def _foreign_servers(facts: NodeFacts) -> t.Iterator[Finding]:
    mode = facts.mode
    if mode not in _LOST or (facts.virtual_servers is not None and not facts.virtual_servers):
        return
    lost, why = _at_risk(facts, mode)
    if why:
        yield unread("whose virtual servers are at risk", why, "ipvsadm -Ln")
    expected, actual, remedy = _LOST[mode]
    for one in lost:
        yield Finding(
            WARNING,
            "foreign_virtual_server",
            _server_name(one),
            expected=expected,
            actual=actual,
            evidence="ipvsadm -Ln",
            cause="No Service asks for it: it is somebody else's, or what is left of an old NodePort.",
            remedy=remedy,
        )


def _at_risk(facts: NodeFacts, mode: str) -> tuple[list[dict[str, t.Any]], str]:
    """The virtual servers that kube-proxy would remove, or why nobody can tell."""
    if facts.virtual_servers is None:
        return [], "nobody read the virtual servers"
    if facts.expected_servers is None:
        return [], "nobody said which Services there are"
    if mode == IPVS and facts.config is None:
        return [], "ipvs.excludeCIDRs is not known"
    excluded = facts.setting("ipvs", "excludeCIDRs") or ()
    try:
        return foreign(facts.virtual_servers, facts.expected_servers, mode, excluded, facts.bound), ""
    except KubeProxyError as error:
        return [], str(error)


def _server_name(server: Row) -> str:
    if server.get("fwmark"):
        return f"virtual server fwmark {server['fwmark']} ({server.get('family', 'ipv4')})"
    where = join_host_port(str(server.get("address")), int(server.get("port") or 0))
    return f"virtual server {str(server.get('protocol') or 'tcp').upper()} {where}"
