# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change the tables of a node through its own iptables-restore. Private to this collection.

One transaction per table, all or nothing. Rules are named by their text and chains are made with C(-N), so that a table
that changed since it was read fails the transaction instead of being damaged: then it is read and planned anew.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Tables, Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import run_tool

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult, Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan

LOCK_SECONDS = 30
"""How long the legacy backend may wait for /run/xtables.lock."""

ATTEMPTS = 5
"""How often a table that others keep changing is read and planned anew."""

_LINE = re.compile(r"\bline:? (\d+)")


class RestoreFailed(KubeProxyError):
    """A transaction was refused: its table is as it was."""

    def __init__(self, failed: str, seen: str, remedy: str, transaction: Transaction) -> None:
        super().__init__(failed, seen, remedy)
        self.transaction = transaction


def apply_plan(
    runner: Runner, plan: Plan[Tables, Transaction], replan: t.Callable[[], Plan[Tables, Transaction]]
) -> None:
    """Carry out a plan; where a table has changed meanwhile, carry out what is planned from its new state.

    :param replan: reads the tables and plans again
    :raises RestoreFailed: when a transaction is refused although its table has not changed, or at the last attempt
    """
    refusal = _carry_out(runner, plan)
    for _attempt in range(ATTEMPTS - 1):
        if refusal is None:
            return
        plan = replan()
        if refusal.transaction in plan.operations:
            break
        refusal = _carry_out(runner, plan)
    if refusal is not None:
        raise refusal


def _carry_out(runner: Runner, plan: Plan[Tables, Transaction]) -> RestoreFailed | None:
    """Run the transactions up to the first one that is refused, and return why it was."""
    try:
        for transaction in plan.operations:
            _restore(runner, transaction)
    except RestoreFailed as refusal:
        return refusal
    return None


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
        remedy="Run again; if it stays so, something else holds on to that chain or rule.",
        transaction=transaction,
    )


def _refused_line(result: CommandResult, transaction: Transaction) -> str:
    message = " ".join(result.err.split())
    found = _LINE.search(message)
    lines = transaction.text.splitlines()
    number = int(found.group(1)) if found else 0
    return f" at {lines[number - 1]!r}: {message}" if 0 < number <= len(lines) else f": {message}"
