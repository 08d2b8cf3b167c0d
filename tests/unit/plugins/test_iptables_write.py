# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carrying plans out: one transaction per table, once more where somebody else was faster, and errors that help."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import (
    Location,
    Table,
    Tables,
    Transaction,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_write import (
    ATTEMPTS,
    RestoreFailed,
    apply_plan,
)
from tests.unit.plugins.iptables_kernel import FakeNode

WANTED = WantedChains(False, table="nat", names=("KUBE-NODEPORTS", "KUBE-LOAD-BALANCER"))
NAT = "*nat\n:OUTPUT ACCEPT [0:0]\n:KUBE-NODEPORTS - [0:0]\n:KUBE-LOAD-BALANCER - [0:0]\nCOMMIT\n"
AT = Location("nft", "ipv4", "nat")


def replan(node: FakeNode) -> Plan[Tables, Transaction]:
    return plan_chains(WANTED, dict(node.tables))


def change(node: FakeNode, **chains: tuple[str, ...] | None) -> None:
    """What somebody else does between our reading and our writing; underscores stand for dashes, None deletes."""
    after = {**node.tables[AT].chains, **{name.replace("_", "-"): rules for name, rules in chains.items()}}
    present = {name: rules for name, rules in after.items() if rules is not None}
    node.tables[AT] = replace(node.tables[AT], chains=present)


def test_one_transaction_with_the_lock_waited_for() -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    apply_plan(node, replan(node), lambda: replan(node))
    assert node.calls == ["iptables-nft-restore -w 30 --noflush"]
    assert node.tables[AT].chains == {"OUTPUT": ()}


def test_a_table_that_changed_meanwhile_is_planned_anew() -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    rule = "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
    node.before_restore = [
        lambda: change(node, KUBE_LOAD_BALANCER=None),
        lambda: change(node, CNI_DN_X=(rule,)),
    ]
    apply_plan(node, replan(node), lambda: replan(node))
    assert node.tables[AT].chains == {"OUTPUT": (), "KUBE-NODEPORTS": (), "CNI-DN-X": (rule,)}
    assert len(node.calls) == 2


def test_a_table_that_never_rests_is_given_up_after_five_attempts() -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    flip: list[t.Callable[[], None]] = [
        lambda: change(node, KUBE_LOAD_BALANCER=None),
        lambda: change(node, KUBE_LOAD_BALANCER=(), KUBE_NODEPORTS=None),
        lambda: change(node, KUBE_LOAD_BALANCER=None, KUBE_NODEPORTS=()),
    ]
    node.before_restore = [flip[0], *(flip[1 + number % 2] for number in range(ATTEMPTS))]
    with pytest.raises(RestoreFailed, match=r"The table nat \(ipv4, nft\) was not changed"):
        apply_plan(node, replan(node), lambda: replan(node))
    assert len(node.calls) == ATTEMPTS


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            CommandResult(
                4,
                "",
                "iptables-nft-restore v1.8.9 (nf_tables): \nline 4: CHAIN_DEL failed (Device or resource busy): chain KUBE-NODEPORTS\n",
            ),
            "ended with 4 at '-X KUBE-NODEPORTS': iptables-nft-restore v1.8.9 (nf_tables): line 4: CHAIN_DEL failed",
        ),
        (
            CommandResult(1, "", "iptables-restore: line 2 failed\n"),
            "ended with 1 at '-F KUBE-NODEPORTS': iptables-restore: line 2 failed",
        ),
        (CommandResult(2, "", "iptables-restore v1.8.9: no idea\n"), "ended with 2: iptables-restore v1.8.9: no idea"),
        (CommandResult(1, "", "iptables-restore: line 99 failed\n"), "ended with 1: iptables-restore: line 99 failed"),
        (
            CommandResult(4, "", "Another app is currently holding the xtables lock; waiting for it to exit...\n"),
            "/run/xtables.lock was held by another process for 30 seconds. Find its holder",
        ),
        (CommandResult(127, "", "not found"), "iptables-nft-restore was not found"),
    ],
)
def test_a_refusal_of_an_unchanged_table_is_an_error_at_once(result: CommandResult, words: str) -> None:
    calls: list[tuple[str, str | None]] = []

    def runner(argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        calls.append((argv[0], stdin))
        return result

    node = FakeNode({("nft", "ipv4"): NAT})
    with pytest.raises(KubeProxyError) as raised:
        apply_plan(runner, replan(node), lambda: replan(node))
    assert words in str(raised.value)
    text = "*nat\n-F KUBE-NODEPORTS\n-F KUBE-LOAD-BALANCER\n-X KUBE-NODEPORTS\n-X KUBE-LOAD-BALANCER\nCOMMIT\n"
    assert calls.count(("iptables-nft-restore", text)) == 1


def test_nothing_to_do_runs_nothing() -> None:
    node = FakeNode({("nft", "ipv4"): "*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"})
    apply_plan(node, replan(node), lambda: replan(node))
    assert node.calls == []
    assert node.tables == {AT: Table({"OUTPUT": ()}, frozenset({"OUTPUT"}))}
