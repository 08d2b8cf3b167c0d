# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How bad a difference between kernel and API is, where it likely comes from, and what to do. Pure. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import ERROR, WARNING, Finding

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_compare import Difference


class _Judgement(t.NamedTuple):
    severity: str
    cause: str
    kind: str = ""


_LOST = "Something removed what kube-proxy had written, or kube-proxy cannot write it (see its log and its failure counters)."
_LATE = "kube-proxy does not follow the API: it hangs, lost its watch, or fails to write."
_UNREAD = "It could not be read, and is not taken for good."
_UNNOTICED = (
    " kube-proxy watches its canary in table mangle only: while that is there it does not notice before its next full sync, an "
    "hour later or, with more than 1,000 endpoints, never."
)
_EDITED = "Something edited kube-proxy's rules, or an older kube-proxy wrote them."

_JUDGEMENTS = {
    "vip_missing": _Judgement(ERROR, _LOST),
    "vip_dead": _Judgement(WARNING, "The Service is gone, and kube-proxy did not follow."),
    "verdict_wrong": _Judgement(ERROR, "kube-proxy knows other endpoints than the API."),
    "destination_missing": _Judgement(ERROR, _LATE),
    "destination_stale": _Judgement(ERROR, _LATE),
    "policy_wrong": _Judgement(ERROR, "The Service's traffic policy changed, and kube-proxy did not follow."),
    "affinity_wrong": _Judgement(WARNING, "The Service's session affinity changed, and kube-proxy did not follow."),
    "masquerade_wrong": _Judgement(ERROR, _EDITED),
    "hairpin_missing": _Judgement(ERROR, f"{_EDITED} A pod that reaches itself through the Service gets no answer."),
    "source_ranges_wrong": _Judgement(ERROR, "Who may connect is not what the Service says."),
    "scheduler_wrong": _Judgement(
        WARNING, "ipvs.scheduler was changed after this kube-proxy started, or something edited the virtual server."
    ),
    "jump_missing": _Judgement(ERROR, "Something removed the jump: a flush, or a firewall manager that reloaded."),
    "jump_twice": _Judgement(
        WARNING, "Two programs made the jump, or a saved ruleset was restored over the present one."
    ),
    "chain_missing": _Judgement(ERROR, _LOST),
    "rule_missing": _Judgement(ERROR, _LOST),
    "rule_wrong": _Judgement(ERROR, _EDITED),
    "element_broken": _Judgement(ERROR, _LOST),
    "shares_wrong": _Judgement(ERROR, f"{_EDITED} Connections are shared out unequally, or some find no endpoint."),
    "flushed": _Judgement(
        ERROR, "Something flushed or removed what kube-proxy had written, such as a firewall manager."
    ),
    "ipset_missing": _Judgement(ERROR, _LOST),
    "ipset_wrong": _Judgement(ERROR, "Another program made a set of this name, or an older kube-proxy did."),
    "ipset_unread": _Judgement(WARNING, _UNREAD),
    "device_missing": _Judgement(ERROR, _LOST),
    "device_wrong": _Judgement(WARNING, "Another program made a device of this name."),
    "table_unread": _Judgement(WARNING, _UNREAD),
    "layout_unknown": _Judgement(
        WARNING, "A release of kube-proxy that this collection does not know wrote it: nothing is guessed."
    ),
}
_MEMBERS = {
    "ipset": _Judgement(ERROR, "Something edited the ipset, or kube-proxy cannot write it.", "ipset_out_of_step"),
    "addresses": _Judgement(ERROR, "Something removed or added an address of kube-ipvs0.", "address"),
    "nft": _Judgement(ERROR, _EDITED, "nft_set_out_of_step"),
    "open": _Judgement(ERROR, _EDITED, "health_check_port"),
}
_UNKNOWN = _Judgement(WARNING, _EDITED)

_RESYNC = {
    "iptables": "Have kube-proxy write everything again: module iptables_kube_chain with resync, or delete the node's "
    "kube-proxy pod.",
    "ipvs": "kube-proxy repairs this at its next periodic sync (ipvs.syncPeriod, 30 s). If it stays, delete the node's "
    "kube-proxy pod.",
    "nftables": "Delete the node's kube-proxy pod: it writes its tables again when it starts, otherwise once an hour. Releases "
    "before 1.36 then leave chains of endpoints as they find them: remove the tables first (nft delete table ip kube-proxy, and "
    "ip6).",
}
_UPDATE = "Update this collection, or look at the table by hand."


def judge(difference: Difference, mode: str) -> Finding:
    """The finding that a difference is."""
    judgement = _judgement(difference)
    return Finding(
        severity=judgement.severity,
        kind=judgement.kind or difference.kind,
        object=difference.object,
        service=difference.service,
        expected=difference.expected,
        actual=difference.actual,
        evidence=difference.evidence,
        cause=judgement.cause + (_UNNOTICED if (difference.kind, mode) == ("flushed", "iptables") else ""),
        remedy=_UPDATE if difference.kind == "layout_unknown" else _RESYNC.get(mode, ""),
    )


def _judgement(difference: Difference) -> _Judgement:
    if not difference.kind.startswith("member_"):
        return _JUDGEMENTS.get(difference.kind, _UNKNOWN)
    found = _MEMBERS.get(difference.object.split(" ", 1)[0], _UNKNOWN)
    suffix = difference.kind.split("_", 1)[1]
    if found.kind == "address":
        if difference.object.startswith("addresses of"):
            return found._replace(kind="address_missing" if suffix == "missing" else "address_dead")
        return found._replace(
            kind="node_port_addresses_wrong",
            cause="nodePortAddresses was changed after this kube-proxy started, or the node's addresses were.",
        )
    return found._replace(kind=f"{found.kind}_{suffix}") if found.kind == "health_check_port" else found
