# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a switch would do on each node, as C(terraform plan) shows it. Pure. Private to this collection.

The gaps are predictions from measurements in this project's lab on kube-proxy 1.37.2, with two Services and 50 requests a second:
0 or 1 of about 1,000 requests failed between iptables and ipvs mode, 5 to 6 seconds were without Services to and from nftables mode, and
of six established connections through IPVS none survived a move to nftables mode. C(platformCleanup) in
C(cmd/kube-proxy/app/server_linux.go) is why: to and from nftables, kube-proxy removes the old rules before it writes the new ones.
With a bridge none of 18,665 to 24,669 requests failed in each of four directions, and none of 60 connections broke (docs/figures.md).
"""

from __future__ import annotations

import typing as t
from collections import Counter

from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import FOREIGN, KUBE_PROXY
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPVS, NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_bridge import is_bridged
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_foreign import foreign_at_risk
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import ClusterCase, NodeCase, Object

_KINDS = {
    "iptables_chain": "iptables chains",
    "iptables_jump": "jumps from built-in chains",
    "ipset": "ipsets",
    "nft_table": "nftables tables",
    "device": "devices",
    "virtual_server": "virtual servers",
}
_EXAMPLES = 3


class NodePlan(t.NamedTuple):
    """What would happen on a node, in words.

    :param restarted: what is restarted; empty when nothing is
    :param removed: what goes
    :param lost: what goes although it is not kube-proxy's
    :param kept: what stays, and whose it is
    :param unread: what could not be read, so that this may be incomplete
    """

    mode: str
    target: str
    gap: str
    restarted: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def predicted_gap(mode: str, target: str, bridged: bool = False) -> str:
    """How long Services are expected to be away on a node.

    :param bridged: whether a bridge carries them
    """
    if mode == target:
        return "none: the node is in the mode already"
    if not mode:
        return "not known: the present mode is not"
    if bridged:
        return "predicted from measurements: no request fails, as a bridge carries Services meanwhile"
    if NFTABLES not in (mode, target):
        return "predicted from measurements: at most 1 of about 1,000 requests fails"
    sentence = "predicted from measurements: 5 to 6 s without Services"
    return f"{sentence}, and established connections through IPVS end" if mode == IPVS else sentence


def plan_of(case: ClusterCase, node: NodeCase) -> NodePlan:
    """What the switch would do on a node."""
    mode = case.mode_of(node)
    inventory = node.info.get("inventory")
    rows = (inventory or {}).get("artifacts") or ()
    foreign, why = foreign_at_risk(case, node)
    unread = [*((inventory or {}).get("unread") or ()), *([why] if why and node.host else ())]
    if inventory is None:
        unread.insert(0, "nobody listed what lies in the kernel")
    return NodePlan(
        mode=mode,
        target=case.target,
        gap=predicted_gap(mode, case.target, is_bridged(case, node)),
        restarted=() if mode == case.target else ("kube-proxy",),
        removed=tuple(_counted(_superfluous(rows, case.target))),
        lost=tuple(_server(one) for one in foreign),
        kept=tuple(_kept(rows, {_name(one) for one in foreign})),
        unread=tuple(map(str, unread)),
    )


def _superfluous(rows: t.Iterable[Object], target: str) -> list[Object]:
    return [row for row in rows if row.get("owner") == KUBE_PROXY and target not in (row.get("modes") or ())]


def _counted(rows: t.Iterable[Object]) -> t.Iterator[str]:
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.get("kind") in _KINDS:
            groups.setdefault(_KINDS[str(row["kind"])], []).append(str(row.get("name")))
    for words, names in groups.items():
        distinct = list(dict.fromkeys(names))
        more = ", ..." if len(distinct) > _EXAMPLES else ""
        yield f"{len(names)} {words} ({', '.join(distinct[:_EXAMPLES])}{more})"


def _kept(rows: t.Iterable[Object], lost: t.Container[str]) -> t.Iterator[str]:
    counts = Counter(
        (_owner(row), _KINDS[str(row["kind"])])
        for row in rows
        if row.get("kind") in _KINDS
        and row.get("owner") != KUBE_PROXY
        and not (row["kind"] == "virtual_server" and row.get("name") in lost)
    )
    for (owner, words), count in sorted(counts.items()):
        yield f"{count} {words} of {owner}"


def _owner(row: Object) -> str:
    owner = row.get("owner")
    return "unknown owner" if owner is None else "others" if owner == FOREIGN else str(owner)


def _server(server: Object) -> str:
    protocol = "" if server.get("fwmark") else f"{str(server.get('protocol') or 'tcp').upper()} "
    return f"virtual server {protocol}{_name(server)}"


def _name(server: Object) -> str:
    """As the inventory names it."""
    if server.get("fwmark"):
        return f"fwmark {server['fwmark']}"
    return join_host_port(str(server.get("address")), int(server.get("port") or 0))
