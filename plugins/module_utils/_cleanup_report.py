# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cleanup removed, what stays and why, and the listing for the diff. Pure; private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_sets import assess_sets
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory import artifacts, row_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import (
    FOREIGN,
    KUBE_PROXY,
    Artifact,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import assess_removal, plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_report import save_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import (
    IPTABLES,
    IPVS,
    NFTABLES,
    USERSPACE,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_model import Cleanup
    from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings

# What is in a table of nftables or on a device goes with it.
_WHOLE = ("iptables_chain", "iptables_jump", "ipset", "nft_table", "virtual_server", "device")
_LISTED = (
    "ipset",
    "nft_table",
    "nft_chain",
    "nft_set",
    "nft_map",
    "nft_counter",
    "virtual_server",
    "device",
    "address",
)
_SIZES = {
    "ipset": "members",
    "nft_chain": "rules",
    "nft_set": "elements",
    "nft_map": "elements",
    "virtual_server": "real servers",
    "device": "addresses",
}

_USERSPACE_STAYS = (
    "kube-proxy made it in userspace mode, up to 1.25, and EdgeMesh and OpenShift's SDN make it under the same name and use it: "
    "the node alone does not tell whose it is"
)
_SERVER_STAYS = {
    FOREIGN: "it is not kube-proxy's: its address is neither on kube-ipvs0 nor the node's own, or it does not look like kube-proxy's",
    None: "the node alone does not tell whose it is: its address is not on kube-ipvs0, and it is no NodePort of the node",
}


def removed_rows(wanted: Cleanup, before: Readings, after: Readings) -> list[dict[str, t.Any]]:
    """What was there and is not any more, as C(kube_proxy_info) lists it."""
    left = {_identity(one) for one in artifacts(after, wanted.node_ports) if one.kind in _WHOLE}
    found = (one for one in artifacts(before, wanted.node_ports) if one.kind in _WHOLE)
    return [row_of(one, wanted.running_mode) for one in found if _identity(one) not in left]


def _identity(artifact: Artifact) -> tuple[t.Any, ...]:
    """Without the owner and the size: both may change while it stays."""
    return (artifact.kind, artifact.name, artifact.family, artifact.backend, artifact.table, artifact.type)


def kept_rows(wanted: Cleanup, readings: Readings) -> list[dict[str, t.Any]]:
    """What stays of what was asked for, or could be taken for it, each with the reason."""
    sets = assess_sets(wanted, readings.ipsets, readings.tables, plan_chains(wanted.chains, readings.tables).after).kept
    chains = {
        (at.family, at.backend, at.table, name): reason
        for at, table in readings.tables.items()
        for name, reason in assess_removal(wanted.chains, at, table).kept.items()
    }
    rows: list[dict[str, t.Any]] = []
    for one in artifacts(readings, wanted.node_ports):
        reason = ""
        if one.kind == "iptables_chain":
            reason = chains.get((str(one.family), str(one.backend), str(one.table), one.name), "")
        elif one.kind == "ipset":
            reason = sets.get(one.name, "")
        reason = reason or _not_kube_proxys(wanted, one)
        if reason:
            rows.append({**row_of(one, wanted.running_mode), "reason": reason})
    return rows


def _not_kube_proxys(wanted: Cleanup, artifact: Artifact) -> str:
    owner = artifact.ownership.owner
    if artifact.kind == "iptables_chain" and owner == USERSPACE and IPTABLES in wanted.modes:
        return _USERSPACE_STAYS
    if IPVS in wanted.modes and owner != KUBE_PROXY:
        if artifact.kind == "virtual_server":
            return _SERVER_STAYS.get(owner, "")
        if artifact.kind == "device":
            return f"it is {artifact.type or 'hardware'}, and kube-proxy's is a dummy device"
    return ""


def listing(wanted: Cleanup, readings: Readings) -> str:
    """All that is kube-proxy's of the modes asked for, one to a line; iptables as iptables-save prints it."""
    lines = [
        _line(one)
        for one in artifacts(readings, wanted.node_ports)
        if one.kind in _LISTED and (wanted.takes(one.ownership) or _unknown_part(wanted, one))
    ]
    return save_text(wanted.chains, readings.tables) + "".join(lines)


def _unknown_part(wanted: Cleanup, artifact: Artifact) -> bool:
    """Something in kube-proxy's own table of nftables that goes with the table, whosever it is."""
    return NFTABLES in wanted.modes and artifact.kind.startswith("nft_") and artifact.ownership.owner is None


def _line(artifact: Artifact) -> str:
    # A table of nftables is named with its family; that a chain has no hook says nothing.
    family, type_ = (artifact.type, None) if artifact.kind == "nft_table" else (None, artifact.type)
    size = None if artifact.size is None else f"{artifact.size} {_SIZES[artifact.kind]}"
    words = (artifact.kind.replace("_", " "), family, artifact.name, type_, size)
    inside = artifact.kind == "address" or artifact.table is not None
    return ("  " if inside else "") + " ".join(word for word in words if word) + "\n"
