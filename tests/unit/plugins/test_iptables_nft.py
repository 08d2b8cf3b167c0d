# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removing thousands of chains through nft: the commands it is given, and when iptables-restore is asked instead."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _iptables_nft
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Tables, Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_write import RestoreFailed, apply_plan
from tests.unit.plugins.iptables_kernel import FakeNode

WANTED = WantedChains(False, modes=("iptables",), running_mode="none")
PORTALS = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
MINE = "-s 10.0.0.0/8 -j RETURN"
NAT = f"""*nat
:OUTPUT ACCEPT [0:0]
:PREROUTING ACCEPT [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SERVICES - [0:0]
-A OUTPUT {MINE}
-A OUTPUT {PORTALS}
-A PREROUTING {PORTALS}
-A PREROUTING {MINE}
-A PREROUTING {PORTALS}
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
COMMIT
"""
LOOKS = [
    call
    for chain in ("OUTPUT", "PREROUTING")
    for call in (
        f"handles of nat {chain}",
        f"iptables-nft -t nat -S {chain}",
        f"handles of nat {chain}",
    )
]
RESTORE = "iptables-nft-restore -w 30 --noflush"
AT = Location("nft", "ipv4", "nat")


@pytest.fixture(autouse=True)
def small_tables_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_iptables_nft, "WORTHWHILE", 1)


def replan(node: FakeNode) -> Plan[Tables, Transaction]:
    return plan_chains(WANTED, dict(node.tables))


def apply(node: FakeNode, runner: t.Callable[..., CommandResult] | None = None) -> None:
    apply_plan(runner or node, replan(node), lambda: replan(node), node.handles)


def test_one_transaction_of_nft_with_rules_by_handle() -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    scripts: list[str] = []

    def runner(argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        scripts.extend([stdin] if stdin else [])
        return node(argv, stdin)

    apply(node, runner)
    assert node.calls == [*LOOKS, "nft -f -"]
    (script,) = scripts
    assert script == (
        "delete rule ip nat OUTPUT handle 20\n"
        "delete rule ip nat PREROUTING handle 10\n"
        "delete rule ip nat PREROUTING handle 30\n"
        "flush chain ip nat KUBE-NODEPORTS\n"
        "flush chain ip nat KUBE-SERVICES\n"
        "delete chain ip nat KUBE-NODEPORTS\n"
        "delete chain ip nat KUBE-SERVICES\n"
    )
    assert node.tables[AT].chains == {"OUTPUT": (MINE,), "PREROUTING": (MINE,)}


def test_small_removals_and_additions_and_legacy_are_left_to_iptables(monkeypatch: pytest.MonkeyPatch) -> None:
    legacy = FakeNode({("legacy", "ipv4"): NAT})
    apply(legacy)
    assert legacy.calls == ["iptables-legacy-restore -w 30 --noflush"]
    node = FakeNode(
        {("nft", "ipv4"): "*nat\n:OUTPUT ACCEPT [0:0]\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"}
    )
    present = plan_chains(WantedChains(True, modes=("ipvs",)), dict(node.tables))
    apply_plan(node, present, lambda: present, node.handles)
    assert node.calls == [RESTORE]
    monkeypatch.setattr(_iptables_nft, "WORTHWHILE", 1000)
    small = FakeNode({("nft", "ipv4"): NAT})
    apply(small)
    assert small.calls == [RESTORE]


@pytest.mark.parametrize("missing", ["nft", "iptables-nft"])
def test_without_a_tool_iptables_restore_does_it(missing: str) -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    node.missing = {missing}
    apply(node)
    assert node.calls[-1] == RESTORE
    assert node.tables[AT].chains == {"OUTPUT": (MINE,), "PREROUTING": (MINE,)}


@pytest.mark.parametrize("said", [[], [10], [10, 20, 30, 40]])
def test_handles_that_do_not_fit_the_rules_are_not_used(said: list[int]) -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    plan = replan(node)
    apply_plan(node, plan, lambda: replan(node), lambda *_chain: said)
    assert node.calls[-1] == RESTORE
    assert node.tables[AT].chains == {"OUTPUT": (MINE,), "PREROUTING": (MINE,)}


def test_a_kernel_that_says_no_handles_leaves_it_to_iptables() -> None:
    node = FakeNode({("nft", "ipv4"): NAT})

    def refuse(*_chain: str) -> list[int]:
        raise KubeProxyError("Cannot list the rules", "Operation not permitted")

    apply_plan(node, replan(node), lambda: replan(node), refuse)
    assert node.calls == [RESTORE]


def test_what_nft_refuses_of_an_unchanged_table_iptables_restore_is_asked() -> None:
    node = FakeNode({("nft", "ipv4"): NAT})

    def runner(argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        if list(argv) == ["nft", "-f", "-"]:
            return CommandResult(1, "", "Error: syntax error\n")
        return node(argv, stdin)

    apply(node, runner)
    assert node.calls == [*LOOKS, RESTORE]


def test_what_both_refuse_is_an_error() -> None:
    node = FakeNode({("nft", "ipv4"): NAT})

    def runner(argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        if stdin is not None:
            return CommandResult(1, "", f"{argv[0]}: no\n")
        return node(argv, stdin)

    with pytest.raises(RestoreFailed, match=r"iptables-restore ended with 1: iptables-nft-restore: no"):
        apply(node, runner)


def test_a_chain_that_changed_since_it_was_read_is_planned_anew() -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    plan = replan(node)
    chains = node.tables[AT].chains
    node.tables[AT] = replace(node.tables[AT], chains={**chains, "OUTPUT": (PORTALS, MINE), "PREROUTING": (MINE,)})
    apply_plan(node, plan, lambda: replan(node), node.handles)
    assert node.tables[AT].chains == {"OUTPUT": (MINE,), "PREROUTING": (MINE,)}
    # The first look shows the change; iptables-restore fails on the rules that are gone; then nft does the new plan.
    assert node.calls == [
        *LOOKS[:2], RESTORE, *LOOKS[:3], "nft -f -",
    ]  # fmt: skip  # as they came


def test_a_chain_that_changes_between_two_looks_is_not_removed_by_handle() -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    plan = replan(node)
    answers = iter([[10, 20], [10, 70]])
    apply_plan(node, plan, lambda: replan(node), lambda *_chain: next(answers))
    assert node.calls == ["iptables-nft -t nat -S OUTPUT", RESTORE]


def test_a_name_that_nft_does_not_take_is_left_to_iptables() -> None:
    node = FakeNode(
        {("nft", "ipv4"): NAT.replace("COMMIT", ":9my{chain - [0:0]\n-A 9my{chain -j KUBE-NODEPORTS\nCOMMIT")}
    )
    wanted = replace(WANTED, on_foreign="remove_jump")
    plan = plan_chains(wanted, dict(node.tables))
    apply_plan(node, plan, lambda: plan, node.handles)
    assert node.calls[-1] == RESTORE
    assert not any(call.startswith("nft -f") for call in node.calls)
    assert node.tables[AT].chains["9my{chain"] == ()
