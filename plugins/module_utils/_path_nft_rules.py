# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of kube-proxy's nftables table as hops: what they are for and what they do. Pure. Private to this collection.

Source: C(syncProxyRules) in C(pkg/proxy/nftables/proxier.go), 1.31 to 1.37.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import MARK_CHAIN
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_rules import mark_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_model import (
    DROPS,
    LEADS,
    MARKS,
    MASQUERADES,
    NODE,
    NOTES,
    NOTHING,
    OUTSIDE,
    PODS,
    REJECTS,
    RETURNS,
    REWRITES,
    UNMARKS,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_rules import Rule

_DOES = {"drop": DROPS, "reject": REJECTS, "return": RETURNS, "set": NOTES, "masquerade": MASQUERADES, "dnat": REWRITES}


_OPERATORS = {"and": "&", "or": "|", "xor": "^"}
_ON_MARK = re.compile(r"\bmeta mark (and|or|xor) 0x([0-9a-f]+)(?: (!=|==) (?:0x)?(0+)\b)?")


def listed(text: str) -> str:
    """A rule as C(nft list) prints it: operators as signs, marks with all their digits."""
    return _ON_MARK.sub(_listed, text)


def _listed(found: re.Match[str]) -> str:
    operator, bits, compared, zero = found.groups()
    behind = f" {compared} 0x00000000" if zero else ""
    return f"meta mark {_OPERATORS[operator]} 0x{int(bits, 16):08x}{behind}"


def does_of(rule: Rule) -> str:
    """What a rule does with a packet that it is for."""
    kinds = [one.kind for one in rule.actions]
    if rule.only.target == MARK_CHAIN or (rule.actions and mark_of(rule.only) is not None):
        return MARKS
    if "reject" in (rule.only.target, *kinds) or rule.only.target == "reject-chain":
        return REJECTS
    if rule.only.target or "vmap" in kinds:
        return LEADS
    # A rule may take the mark away and masquerade.
    return next((_DOES[kind] for kind in reversed(kinds) if kind in _DOES), UNMARKS if "mangle" in kinds else NOTHING)


def condition_of(rule: Rule, ip: str) -> str:
    """Which packets a rule is for, as far as that is not the address and port which are traced."""
    return " and ".join(filter(None, (_words(one, ip) for one in rule.matches)))


def _words(match: str, ip: str) -> str:
    if match.startswith(f"{ip} saddr . {ip} daddr "):
        return "from an endpoint to itself"
    if match.startswith((f"{ip} daddr ", "meta l4proto ", "ct status dnat")) or " dport " in match:
        return ""
    if match == "fib saddr type local":
        return "from the node itself"
    for start, words in (
        (f"{ip} saddr @affinity-", "client noted in affinity-"),
        (f"{ip} saddr != ", "not from "),
        (f"{ip} saddr ", "from "),
        ("meta iifname != ", "not from device "),
        ("meta iifname ", "from device "),
        ("ct state new", "new connections"),
    ):
        if match.startswith(start):
            return words + match[len(start) :]
    marked = re.match(r"meta mark and \S+ (!=|==) (?:0x)?0+$", match)
    if marked:
        return "marked" if marked.group(1) == "!=" else "not marked"
    return match


def whose_of(chain: str, rule: Rule, clients: str, apart: bool) -> str:
    """Whose packets a rule is for. A chain external-... tells pods and the node itself from all others."""
    if not chain.startswith("external-") or rule.only.kind != "goto":
        return clients
    if not rule.matches:
        return OUTSIDE if apart else clients
    return NODE if rule.matches[0] == "fib saddr type local" else PODS
