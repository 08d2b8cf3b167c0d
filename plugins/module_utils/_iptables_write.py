# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change the tables of a node through its own iptables-restore, or nft where much is removed. Private to this collection.

One transaction per table, all or nothing. Rules are named by their text and chains are made with C(-N), so that a table
that changed since it was read fails the transaction instead of being damaged: then it is read and planned anew.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Table, Tables, Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_nft import Unsuitable, remove_by_name
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import run_tool
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_handles import rule_handles

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult, Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
    from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_handles import RuleHandles

LOCK_SECONDS = 30
"""How long the legacy backend may wait for /run/xtables.lock."""

ATTEMPTS = 5
"""How often a table that others keep changing is read and planned anew."""

_AGAIN = "Run again; if it stays so, something else holds on to that chain or rule."
_LINE = re.compile(r"\bline:? (\d+)")


class RestoreFailed(KubeProxyError):
    """A transaction was refused: its table is as it was. C(by_nft): by nft, so that iptables-restore has not yet been asked."""

    def __init__(self, failed: str, seen: str, remedy: str, transaction: Transaction, by_nft: bool = False) -> None:
        super().__init__(failed, seen, remedy)
        self.transaction = transaction
        self.by_nft = by_nft


def apply_plan(
    runner: Runner,
    plan: Plan[Tables, Transaction],
    replan: t.Callable[[], Plan[Tables, Transaction]],
    handles: RuleHandles = rule_handles,
) -> None:
    """Carry out a plan; where a table has changed meanwhile, carry out what is planned from its new state.

    :param replan: reads the tables and plans again
    :param handles: asks the kernel for the handles of rules
    :raises RestoreFailed: when a transaction is refused although its table has not changed, or at the last attempt
    """
    refusal = _carry_out(runner, plan, handles)
    for _attempt in range(ATTEMPTS - 1):
        if refusal is None:
            return
        plan = replan()
        unchanged = refusal.transaction in plan.operations
        if unchanged and not refusal.by_nft:
            break
        refusal = _carry_out(runner, plan, None if unchanged else handles)
    if refusal is not None:
        raise refusal


def _carry_out(runner: Runner, plan: Plan[Tables, Transaction], handles: RuleHandles | None) -> RestoreFailed | None:
    """Run the transactions up to the first one that is refused, and return why it was.

    :param handles: None: nft is not asked
    """
    try:
        for transaction in plan.operations:
            table = plan.before[transaction.location]
            if handles is None or not _removed_by_name(runner, transaction, table, handles):
                _restore(runner, transaction)
    except RestoreFailed as refusal:
        return refusal
    return None


def _removed_by_name(runner: Runner, transaction: Transaction, table: Table, handles: RuleHandles) -> bool:
    try:
        reason = remove_by_name(runner, transaction, table, handles)
    except Unsuitable:
        return False
    if reason is not None:
        raise RestoreFailed(
            f"The {transaction.location} was not changed", f"nft refused: {reason}", _AGAIN, transaction, by_nft=True
        )
    return True


def _restore(runner: Runner, transaction: Transaction) -> None:
    at = transaction.location
    args = ("-w", str(LOCK_SECONDS), "--noflush")
    result = run_tool(runner, at.backend, at.family, "restore", args, transaction.text)
    if result.rc == 0:
        return
    if "xtables lock" in result.err:
        raise RestoreFailed(
            f"The {at} was not changed",
            seen=f"/run/xtables.lock was held by another process for {LOCK_SECONDS} seconds",
            remedy="Find its holder (fuser /run/xtables.lock) and run again.",
            transaction=transaction,
        )
    raise RestoreFailed(
        f"The {at} was not changed",
        seen=f"iptables-restore ended with {result.rc}{_refused_line(result, transaction)}",
        remedy=_AGAIN,
        transaction=transaction,
    )


def _refused_line(result: CommandResult, transaction: Transaction) -> str:
    message = " ".join(result.err.split())
    found = _LINE.search(message)
    lines = transaction.text.splitlines()
    number = int(found.group(1)) if found else 0
    return f" at {lines[number - 1]!r}: {message}" if 0 < number <= len(lines) else f": {message}"
