# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removing from a table of iptables-nft through nft. Private to this collection.

iptables-nft-restore looks up every chain it is told to empty or delete anew, and takes seconds for the thousands that
kube-proxy leaves; nft deletes them by name in one transaction, in a fraction of that. Only rules outside of those chains
need more than a name: nft deletes a rule by its handle. Handles are given once and never again, and rules do not move; so
where two listings of a chain's handles are equal and the text taken in between has as many rules as they, handles and
texts belong together in their order.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import NOT_FOUND

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table, Transaction
    from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_handles import RuleHandles

WORTHWHILE = 1000
"""Lines of a transaction below which iptables-restore is as fast as the look-ups that nft needs first."""

_NFT_FAMILY = {"ipv4": "ip", "ipv6": "ip6"}
_TOOL = {"ipv4": "iptables-nft", "ipv6": "ip6tables-nft"}
_NAME = re.compile(r"[A-Za-z][-\w./]*", re.ASCII).fullmatch
_VERBS = {"-F": "flush", "-X": "delete"}


class Unsuitable(Exception):
    """nft cannot do this here: it is missing, too old, or a chain is not what it was when it was read."""


def remove_by_name(runner: Runner, transaction: Transaction, table: Table, handles: RuleHandles) -> str | None:
    """Carry out a transaction that only removes, all or nothing; the reason why nft refused it, or None.

    :param table: the table as it was read
    :param handles: asks the kernel for them
    :raises Unsuitable: when nothing was tried
    """
    if not transaction.only_removes or transaction.location.backend != "nft" or len(transaction.lines) < WORTHWHILE:
        raise Unsuitable
    result = runner(["nft", "-f", "-"], _script(runner, transaction, table, handles))
    if result.rc == NOT_FOUND:
        raise Unsuitable
    return None if result.rc == 0 else " ".join(result.err.split("\n", 3)[:3]).strip() or f"nft ended with {result.rc}"


def _script(runner: Runner, transaction: Transaction, table: Table, handles: RuleHandles) -> str:
    at = transaction.location
    where = f"{_NFT_FAMILY[at.family]} {at.table}"
    leaving: dict[str, list[str]] = {}
    commands: list[str] = []
    for line in transaction.lines:
        verb, chain, *spec = line.split(" ", 2)
        if not _NAME(chain):
            raise Unsuitable
        if verb == "-D":
            leaving.setdefault(chain, []).append("".join(spec))
        else:
            commands.append(f"{_VERBS[verb]} chain {where} {chain}")
    deletions = [
        f"delete rule {where} {chain} handle {handle}"
        for chain, specs in leaving.items()
        for handle in _handles_of(runner, handles, at, chain, specs, table.chains[chain])
    ]
    return "\n".join((*deletions, *commands, ""))


def _handles_of(  # what is asked for, where, and what is known of it
    runner: Runner, handles: RuleHandles, at: Location, chain: str, specs: t.Iterable[str], known: t.Sequence[str]
) -> list[int]:
    """The handles of these rules of a chain, which has to be as known."""
    try:
        before = handles(at.family, at.table, chain)
        same = _rules(runner, at, chain) == list(known) and handles(at.family, at.table, chain) == before
    except KubeProxyError:
        raise Unsuitable from None
    if not same or len(before) != len(known):
        raise Unsuitable
    by_text: dict[str, list[int]] = {}
    for spec, handle in zip(reversed(known), reversed(before)):
        by_text.setdefault(spec, []).append(handle)
    # The first of equals, as iptables -D does.
    return [by_text[spec].pop() for spec in specs]


def _rules(runner: Runner, at: Location, chain: str) -> list[str]:
    result = runner([_TOOL[at.family], "-t", at.table, "-S", chain])
    if result.rc != 0:
        raise Unsuitable
    begin = f"-A {chain} "
    return [line[len(begin) :] for line in result.out.split("\n") if line.startswith(begin)]
