# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans for kube-proxy's chains, carried out on tables that obey the kernel's rules."""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import (
    Location,
    Table,
    Tables,
    Transaction,
    target_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import ForeignRules, plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_report import chain_report, save_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_services import ServicePort
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import JUMPS
from tests.unit.plugins.iptables_kernel import apply_text

FIXTURES = Path(__file__).parents[1] / "fixtures" / "iptables"
FOREIGN = "a foreign rule with -j KUBE-SERVICES in it"
SVC = "KUBE-SVC-XPGD46QRK7WJZT7O"
SEP = "KUBE-SEP-SXIVWICOYRO3J4NJ"
EXT = "KUBE-EXT-XPGD46QRK7WJZT7O"

IPTABLES_TO_IPVS = WantedChains(False, modes=("iptables",), running_mode="ipvs")
IPTABLES_TO_NONE = WantedChains(False, modes=("iptables",), running_mode="none")
IPTABLES_TO_NFTABLES = WantedChains(False, modes=("iptables",), running_mode="nftables")
IPVS_TO_NONE = WantedChains(False, modes=("ipvs",), running_mode="none")
IPVS_TO_IPTABLES = WantedChains(False, modes=("ipvs",), running_mode="iptables")
BOTH_TO_NFTABLES = WantedChains(False, modes=("iptables", "ipvs"), running_mode="nftables")
BOTH_TO_NONE = WantedChains(False, modes=("ipvs", "iptables"), running_mode="none")


def captured(name: str) -> dict[Location, Table]:
    text = (FIXTURES / name).read_text(encoding="utf-8")
    return {Location("nft", "ipv4", table): content for table, content in parse_save(text).items()}


def one_table(
    table: str, rules: t.Mapping[str, t.Sequence[str]], builtin: t.Sequence[str] = ()
) -> dict[Location, Table]:
    return {
        Location("nft", "ipv4", table): Table(
            {chain: tuple(specs) for chain, specs in rules.items()}, frozenset(builtin)
        )
    }


def carried_out(plan: Plan[Tables, Transaction]) -> dict[Location, t.Mapping[str, tuple[str, ...]]]:
    state = {at: table.chains for at, table in plan.before.items()}
    for operation in plan.operations:
        state[operation.location] = apply_text(state[operation.location], operation.text)
    return state


def planned(
    wanted: WantedChains, tables: Tables
) -> tuple[Plan[Tables, Transaction], dict[str, t.Mapping[str, tuple[str, ...]]]]:
    """The plan, and the tables by name after it was carried out; proves that it lasts and that `after` was no guess."""
    plan = plan_chains(wanted, tables)
    state = carried_out(plan)
    assert state == {at: table.chains for at, table in plan.after.items()}
    again = plan_chains(wanted, {at: Table(chains, tables[at].builtin) for at, chains in state.items()})
    assert again.operations == ()
    assert again.actions == ()
    return plan, {at.table: chains for at, chains in state.items()}


def kept(wanted: WantedChains, plan: Plan[Tables, Transaction]) -> dict[str, str]:
    return {item["name"]: item["reason"] for item in chain_report(wanted, plan)["kept"]}


@pytest.mark.parametrize("name", ["ipvs-after-iptables-nft.txt", "ipvs-after-iptables-legacy.txt"])
def test_iptables_mode_goes_and_ipvs_mode_stays(name: str) -> None:
    tables = captured(name)
    plan, after = planned(IPTABLES_TO_IPVS, tables)
    before = {at.table: table.chains for at, table in tables.items()}

    assert set(after["filter"]) == {
        "INPUT", "FORWARD", "OUTPUT", "KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-FORWARD", "KUBE-PROXY-FIREWALL",
        "KUBE-NODE-PORT", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER",
    }  # fmt: skip  # one line per owner is easier to compare
    assert set(after["nat"]) == {
        "PREROUTING", "INPUT", "OUTPUT", "POSTROUTING", "KUBE-KUBELET-CANARY", "KUBE-SERVICES", "KUBE-POSTROUTING",
        "KUBE-MARK-MASQ", "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER",
    }  # fmt: skip  # one line per owner is easier to compare
    assert "KUBE-PROXY-CANARY" not in after["mangle"]
    assert after["filter"]["INPUT"] == (
        '-m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER',
        '-m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL',
        '-m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT',
        "-j KUBE-FIREWALL",
    )
    assert after["filter"]["OUTPUT"] == (
        '-m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-OUT-FILTER',
        "-j KUBE-FIREWALL",
    )
    for chain in ("KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", "PREROUTING", "OUTPUT", "POSTROUTING"):
        assert after["nat"][chain] == before["nat"][chain]
    assert kept(IPTABLES_TO_IPVS, plan) == {}
    assert sorted(str(operation.location) for operation in plan.operations) == [
        "table filter (ipv4, nft)",
        "table mangle (ipv4, nft)",
        "table nat (ipv4, nft)",
    ]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_what_a_real_kube_proxy_left_goes(family: str) -> None:
    tables = captured(f"kube-proxy-1.37.2-ipvs-after-iptables-{family}.txt")
    plan, after = planned(IPTABLES_TO_IPVS, tables)
    assert kept(IPTABLES_TO_IPVS, plan) == {}
    left = [
        f"{table} {chain} {spec}"
        for table, chains in after.items()
        for chain, rules in chains.items()
        for spec in ("", *rules)
    ]
    gone = [
        line
        for at, table in tables.items()
        for chain, rules in table.chains.items()
        for spec in ("", *rules)
        for line in [f"{at.table} {chain} {spec}"]
        if line not in left
    ]
    # The test's own knowledge of what is iptables mode's, told from words.
    leaving = re.compile(
        r"KUBE-(SVC|SVL|SEP|EXT|FW)-|KUBE-NODEPORTS|KUBE-EXTERNAL-SERVICES|KUBE-PROXY-CANARY|kubernetes load balancer firewall"
        r"|^filter KUBE-SERVICES |filter .*-j KUBE-SERVICES"
    )
    assert [line for line in left if leaving.search(line)] == []
    assert [line for line in gone if not leaving.search(line)] == []
    assert len(gone) > 25


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_real_iptables_mode_has_every_jump_of_the_inventory_once(family: str) -> None:
    tables = captured(f"kube-proxy-1.37.2-iptables-{family}.txt")
    plan = plan_chains(WantedChains(True, modes=("iptables",)), tables)
    assert plan.actions == ()
    ipvs = captured(f"kube-proxy-1.37.2-ipvs-after-iptables-{family}.txt")
    assert plan_chains(WantedChains(True, modes=("ipvs",)), ipvs).actions == ()


def test_jumps_go_before_chains_are_emptied_before_they_are_deleted() -> None:
    for operation in plan_chains(IPTABLES_TO_IPVS, captured("ipvs-after-iptables-nft.txt")).operations:
        commands = [line[:2] for line in operation.lines]
        assert commands == sorted(commands, key=["-D", "-F", "-X"].index)
        emptied = [line.split()[1] for line in operation.lines if line.startswith("-F")]
        assert all(chain.startswith("KUBE-") for chain in emptied)


def test_the_other_way_ipvs_mode_goes() -> None:
    # After its first sync, iptables mode has written all its chains again; those of ipvs mode only and the jumps are as before.
    as_iptables = captured("iptables-mode-nft.txt")
    tables = {}
    for at, table in captured("ipvs-after-iptables-nft.txt").items():
        rewritten = {name: rules for name, rules in as_iptables[at].chains.items() if name not in table.builtin}
        tables[at] = Table({**table.chains, **rewritten}, table.builtin)
    plan, after = planned(IPVS_TO_IPTABLES, tables)
    assert kept(IPVS_TO_IPTABLES, plan) == {}
    assert after == {at.table: table.chains for at, table in as_iptables.items()}


@pytest.mark.parametrize("wanted", [IPTABLES_TO_NONE, IPTABLES_TO_NFTABLES])
def test_shared_chains_go_when_no_mode_needs_them(wanted: WantedChains) -> None:
    plan, after = planned(wanted, captured("iptables-mode-nft.txt"))
    assert kept(wanted, plan) == {}
    left = {name for chains in after.values() for name in chains if name.startswith("KUBE-")}
    assert left == {"KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT"}
    assert after["filter"]["INPUT"] == ("-j KUBE-FIREWALL",)
    assert after["nat"]["PREROUTING"] == ()


def test_both_modes_left_over_go_one_after_the_other() -> None:
    tables: Tables = captured("ipvs-after-iptables-nft.txt")
    plan, _ = planned(IPTABLES_TO_NFTABLES, tables)
    assert set(kept(IPTABLES_TO_NFTABLES, plan)) == {"KUBE-PROXY-FIREWALL", "KUBE-MARK-MASQ", "KUBE-POSTROUTING"}
    second = WantedChains(False, modes=("ipvs",), running_mode="nftables")
    plan, after = planned(second, plan.after)
    assert kept(second, plan) == {}
    left = {name for chains in after.values() for name in chains if name.startswith("KUBE-")}
    assert left == {"KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT"}


@pytest.mark.parametrize("wanted", [BOTH_TO_NFTABLES, BOTH_TO_NONE])
@pytest.mark.parametrize(
    "name", ["ipvs-after-iptables-legacy.txt", *(f"kube-proxy-1.37.2-ipvs-after-iptables-ipv{n}.txt" for n in (4, 6))]
)
def test_both_modes_go_at_once_in_one_transaction_per_table(wanted: WantedChains, name: str) -> None:
    plan, after = planned(wanted, captured(name))
    assert kept(wanted, plan) == {}
    assert sorted(operation.location.table for operation in plan.operations) == ["filter", "mangle", "nat"]
    left = {name for chains in after.values() for name in chains if name.startswith("KUBE-")}
    assert left <= {"KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT"}
    leading = {target_of(spec) for chains in after.values() for rules in chains.values() for spec in rules}
    assert {target for target in leading if target.startswith("KUBE-")} <= {"KUBE-FIREWALL"}


def test_with_both_modes_gone_only_what_a_foreign_rule_needs_stays() -> None:
    tables = captured("ipvs-after-iptables-nft.txt")
    at = Location("nft", "ipv4", "nat")
    tables[at] = Table({**tables[at].chains, "CNI-HOSTPORT-SETMARK": ("-j KUBE-MARK-MASQ",)}, tables[at].builtin)
    plan, after = planned(BOTH_TO_NFTABLES, tables)
    assert kept(BOTH_TO_NFTABLES, plan) == {
        "KUBE-MARK-MASQ": "rule -A CNI-HOSTPORT-SETMARK -j KUBE-MARK-MASQ",
        "KUBE-POSTROUTING": "KUBE-MARK-MASQ, which stays, needs it",
    }
    assert after["nat"]["KUBE-POSTROUTING"] == tables[at].chains["KUBE-POSTROUTING"]


XLB = "KUBE-XLB-XPGD46QRK7WJZT7O"
OLD_JUMP = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'


@pytest.mark.parametrize(("modes", "running"), [(("ipvs",), "iptables"), ((), "iptables"), ((), "ipvs")])
def test_what_no_release_of_today_makes_goes_whichever_mode_is_asked_about(
    modes: tuple[str, ...], running: str
) -> None:
    wanted = WantedChains(False, modes=modes, running_mode=running)
    _, after = planned(wanted, one_table("nat", {XLB: ["-j RETURN"], SVC: [], "KUBE-SERVICES": []}))
    assert set(after["nat"]) == {SVC, "KUBE-SERVICES"}
    _, after = planned(wanted, one_table("filter", {"INPUT": [OLD_JUMP], "KUBE-FORWARD": []}, ["INPUT"]))
    assert after["filter"] == {"INPUT": (), "KUBE-FORWARD": ()}
    # A kube-proxy that is so old that it still uses it has rules of its own that lead there.
    if running == "iptables":
        plan, after = planned(wanted, one_table("nat", {SVC: [f"-j {XLB}"], XLB: []}))
        assert (set(after["nat"]), kept(wanted, plan)) == ({SVC, XLB}, {XLB: f"rule -A {SVC} -j {XLB}"})


def test_a_service_takes_no_jump_of_an_old_release_along() -> None:
    wanted = WantedChains(False, running_mode="nftables", services=(ServicePort("ns1", "svc1", "p80"),))
    plan, _ = planned(wanted, one_table("filter", {"INPUT": [OLD_JUMP], "KUBE-SERVICES": []}, ["INPUT"]))
    assert plan.operations == ()


def test_a_foreign_rule_keeps_a_chain_and_what_it_needs() -> None:
    tables = captured("iptables-mode-nft.txt")
    at = Location("nft", "ipv4", "nat")
    portmap = '-m comment --comment "CNI portfwd masquerade mark" -j KUBE-MARK-MASQ'
    tables[at] = Table({**tables[at].chains, "CNI-HOSTPORT-SETMARK": (portmap,)}, tables[at].builtin)
    plan, after = planned(IPTABLES_TO_NONE, tables)
    assert kept(IPTABLES_TO_NONE, plan) == {
        "KUBE-MARK-MASQ": f"rule -A CNI-HOSTPORT-SETMARK {portmap}",
        "KUBE-POSTROUTING": "KUBE-MARK-MASQ, which stays, needs it",
    }
    assert after["nat"]["KUBE-MARK-MASQ"] == tables[at].chains["KUBE-MARK-MASQ"]
    assert after["nat"]["KUBE-POSTROUTING"] == tables[at].chains["KUBE-POSTROUTING"]
    assert after["nat"]["POSTROUTING"] == ('-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',)
    assert after["nat"]["PREROUTING"] == ()
    assert "KUBE-SERVICES" not in after["nat"]


def test_a_foreign_jump_from_a_builtin_chain_keeps_the_chain_but_not_its_own_jumps() -> None:
    mine = "-s 10.9.0.0/16 -j KUBE-EXTERNAL-SERVICES"
    tables = captured("ipvs-after-iptables-nft.txt")
    at = Location("nft", "ipv4", "filter")
    chains = dict(tables[at].chains)
    chains["INPUT"] = (*chains["INPUT"], mine)
    tables[at] = Table(chains, tables[at].builtin)
    plan, after = planned(IPTABLES_TO_IPVS, tables)
    assert kept(IPTABLES_TO_IPVS, plan) == {"KUBE-EXTERNAL-SERVICES": f"rule -A INPUT {mine}"}
    assert mine in after["filter"]["INPUT"]
    assert not any(target_of(spec) == "KUBE-EXTERNAL-SERVICES" for spec in after["filter"]["FORWARD"])


def test_what_the_running_mode_has_not_taken_over_stays() -> None:
    plan, after = planned(IPTABLES_TO_IPVS, captured("iptables-mode-nft.txt"))
    nat = captured("iptables-mode-nft.txt")[Location("nft", "ipv4", "nat")].chains
    assert after["nat"] == {name: rules for name, rules in nat.items() if name != "KUBE-PROXY-CANARY"}
    reasons = kept(IPTABLES_TO_IPVS, plan)
    assert reasons[SVC].endswith("kube-proxy has not yet written KUBE-SERVICES in ipvs mode")
    assert reasons[SEP] == f"{SVC}, which stays, needs it"


def test_rules_left_in_a_chain_that_the_running_mode_has_written_go() -> None:
    stale = f'-d 10.96.0.9/32 -p tcp -m comment --comment "{FOREIGN}" -m tcp --dport 80 -j {SVC}'
    own = "-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT"
    tables = one_table("nat", {"KUBE-SERVICES": [own, stale, stale], "KUBE-NODE-PORT": [], SVC: [f"-j {SEP}"], SEP: []})
    plan, after = planned(IPTABLES_TO_IPVS, tables)
    assert after["nat"] == {"KUBE-SERVICES": (own,), "KUBE-NODE-PORT": ()}
    assert kept(IPTABLES_TO_IPVS, plan) == {}
    assert "Remove from KUBE-SERVICES the rule to " + SVC + " in table nat (ipv4, nft)" in plan.actions


def test_emptied_chains_go_after_a_flush_by_hand() -> None:
    # The tutorial's iptables -t nat -F: every chain is there, and empty.
    nat = captured("ipvs-after-iptables-nft.txt")[Location("nft", "ipv4", "nat")]
    tables = one_table("nat", {name: [] for name in nat.chains}, sorted(nat.builtin))
    _, after = planned(IPTABLES_TO_IPVS, tables)
    assert not any(name.startswith(("KUBE-SVC-", "KUBE-SEP-", "KUBE-NODEPORTS")) for name in after["nat"])
    assert "KUBE-SERVICES" in after["nat"]


def test_jumps_of_old_releases_go_and_every_copy_of_a_jump() -> None:
    old = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
    new = "-m conntrack --ctstate NEW " + old
    reordered = '-m comment --comment "kubernetes service portals" -m conntrack --ctstate NEW -j KUBE-SERVICES'
    tables = one_table(
        "filter", {"INPUT": [old, new, new], "OUTPUT": [old, reordered], "KUBE-SERVICES": []}, ["INPUT", "OUTPUT"]
    )
    _, after = planned(IPTABLES_TO_IPVS, tables)
    assert after["filter"] == {"INPUT": (), "OUTPUT": ()}


def test_chains_by_name() -> None:
    wanted = WantedChains(False, table="nat", names=(SVC, "KUBE-SERVICES"))
    tables = captured("iptables-mode-nft.txt")
    plan, after = planned(wanted, tables)
    assert SVC not in after["nat"]
    assert "KUBE-SERVICES" not in after["nat"]
    assert after["nat"]["PREROUTING"] == ()
    assert SEP in after["nat"]
    assert [str(operation.location) for operation in plan.operations] == ["table nat (ipv4, nft)"]


def test_a_named_chain_that_another_chain_of_kube_proxy_leads_to_stays() -> None:
    wanted = WantedChains(False, table="nat", names=(SVC,))
    plan, _ = planned(wanted, captured("iptables-mode-nft.txt"))
    assert plan.operations == ()
    assert kept(wanted, plan)[SVC].startswith("rule -A KUBE-SERVICES -d 172.30.0.41/32")


def test_the_chains_of_a_service_go_with_their_jumps_and_nothing_else() -> None:
    tables = captured("kube-proxy-1.37.2-iptables-ipv4.txt")
    at = Location("nft", "ipv4", "nat")
    wanted = WantedChains(False, running_mode="nftables", services=(ServicePort("default", "httpservice", "http"),))
    plan, after = planned(wanted, tables)
    assert kept(wanted, plan) == {}
    gone = set(tables[at].chains) - set(after["nat"])
    assert {"KUBE-SVC-PZZOH4GMXQXQLAH7", "KUBE-EXT-PZZOH4GMXQXQLAH7"} <= gone
    assert len([name for name in gone if name.startswith("KUBE-SEP-")]) == 3
    assert len(gone) == 5
    for chain, rules in after["nat"].items():
        assert list(rules) == [spec for spec in tables[at].chains[chain] if "default/httpservice:http" not in spec]
    assert [str(operation.location) for operation in plan.operations] == ["table nat (ipv4, nft)"]
    assert [chain["service"] for chain in chain_report(wanted, plan)["chains"]] == [
        {"namespace": "default", "name": "httpservice", "port": "http", "protocol": "tcp"}
    ] * 5


@pytest.mark.parametrize(("policy", "left"), [("keep", {SEP, EXT}), ("remove_jump", set())])
def test_a_rule_from_an_endpoint_back_to_a_service_is_foreign(policy: str, left: set[str]) -> None:
    # Whose endpoint it is says only SVC, which goes: from then on the chain is another Service's.
    chains = {"OUTPUT": [f"-j {EXT}"], "MY-CHAIN": [f"-j {SEP}"], SVC: [f"-j {SEP}"], SEP: [f"-j {EXT}"], EXT: []}
    wanted = WantedChains(False, running_mode="none", services=(ServicePort("ns1", "svc1", "p80"),), on_foreign=policy)
    _, after = planned(wanted, one_table("nat", chains, ["OUTPUT"]))
    assert {name for name in after["nat"] if name.startswith("KUBE-")} == left


MINE = "-s 10.9.0.0/16 -j KUBE-EXTERNAL-SERVICES"


def with_a_foreign_rule() -> dict[Location, Table]:
    tables = captured("ipvs-after-iptables-nft.txt")
    at = Location("nft", "ipv4", "filter")
    chains = {**tables[at].chains, "MY-CHAIN": (MINE, "-j RETURN")}
    tables[at] = Table(chains, tables[at].builtin)
    return tables


def test_on_foreign_fail_names_the_rule_and_plans_nothing() -> None:
    wanted = replace(IPTABLES_TO_IPVS, on_foreign="fail")
    with pytest.raises(ForeignRules) as raised:
        plan_chains(wanted, with_a_foreign_rule())
    assert f"-A MY-CHAIN {MINE} in table filter (ipv4, nft)" in str(raised.value)
    assert raised.value.details["foreign"] == [f"-A MY-CHAIN {MINE} in table filter (ipv4, nft)"]
    planned(wanted, captured("ipvs-after-iptables-nft.txt"))


def test_on_foreign_remove_jump_removes_exactly_that_rule_and_says_so() -> None:
    wanted = replace(IPTABLES_TO_IPVS, on_foreign="remove_jump")
    plan, after = planned(wanted, with_a_foreign_rule())
    assert kept(wanted, plan) == {}
    assert after["filter"]["MY-CHAIN"] == ("-j RETURN",)
    assert "KUBE-EXTERNAL-SERVICES" not in after["filter"]
    assert f"Remove the foreign rule -A MY-CHAIN {MINE} from table filter (ipv4, nft)" in plan.actions
    assert f"-A MY-CHAIN {MINE}\n" in save_text(wanted, plan.before)


@pytest.mark.parametrize("policy", ["fail", "remove_jump"])
def test_what_the_running_mode_has_not_taken_over_is_not_foreign(policy: str) -> None:
    tables = captured("iptables-mode-nft.txt")
    wanted = replace(IPTABLES_TO_IPVS, on_foreign=policy)
    plan, after = planned(wanted, tables)
    assert kept(wanted, plan) == kept(IPTABLES_TO_IPVS, plan_chains(IPTABLES_TO_IPVS, tables))
    assert after["nat"]["KUBE-SERVICES"] == tables[Location("nft", "ipv4", "nat")].chains["KUBE-SERVICES"]


def test_present_makes_chain_and_jumps_once() -> None:
    wanted = WantedChains(True, table="filter", names=("KUBE-PROXY-FIREWALL",), running_mode="ipvs")
    jump = '-m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL'
    mine = "-s 10.0.0.0/8 -j ACCEPT"
    tables = one_table("filter", {"INPUT": [jump, mine, jump], "FORWARD": [mine]}, ["INPUT", "FORWARD"])
    tables = one_table(
        "filter", {**next(iter(tables.values())).chains, "KUBE-PROXY-FIREWALL": ["-j DROP"]}, ["INPUT", "FORWARD"]
    )
    _, after = planned(wanted, tables)
    assert after["filter"] == {
        "INPUT": (mine, jump),
        "FORWARD": (jump, mine),
        "KUBE-PROXY-FIREWALL": ("-j DROP",),
    }


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_present_of_a_mode_then_absent_leaves_nothing(mode: str) -> None:
    empty = {
        Location("nft", "ipv4", "filter"): Table(
            {"INPUT": (), "FORWARD": (), "OUTPUT": ()}, frozenset({"INPUT", "FORWARD", "OUTPUT"})
        ),
        Location("nft", "ipv4", "nat"): Table(
            {"PREROUTING": (), "OUTPUT": (), "POSTROUTING": ()}, frozenset({"PREROUTING", "OUTPUT", "POSTROUTING"})
        ),
        Location("nft", "ipv4", "mangle"): Table(),
    }
    plan, after = planned(WantedChains(True, modes=(mode,)), empty)
    jumps = sum(1 for chains in after.values() for rules in chains.values() for _ in rules)
    assert jumps == len([jump for jump in JUMPS if mode in jump.modes and not jump.until])
    assert not any("KUBE-PROXY-CANARY" in chains for chains in after.values())
    gone, _ = planned(WantedChains(False, modes=(mode,), running_mode="none"), plan.after)
    assert gone.after == empty


def test_the_diff_shows_the_chains_in_question_and_nothing_else() -> None:
    plan = plan_chains(IPTABLES_TO_IPVS, captured("ipvs-after-iptables-nft.txt"))
    before, after = save_text(IPTABLES_TO_IPVS, plan.before), save_text(IPTABLES_TO_IPVS, plan.after)
    assert after == ""
    assert f":{SVC} - [0:0]\n" in before
    assert (
        '-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL\n'
        in before
    )
    for foreign in ("KUBE-FIREWALL", "KUBE-NODE-PORT", "KUBE-IPVS", "KUBE-POSTROUTING", ":INPUT"):
        assert foreign not in before


def test_the_report_counts_rules_and_references() -> None:
    wanted = WantedChains(True, table="nat", names=("KUBE-SERVICES", "KUBE-LOAD-BALANCER"))
    tables = one_table("nat", {"OUTPUT": ["-j KUBE-SERVICES"], "KUBE-SERVICES": ["-j RETURN", "-j RETURN"]}, ["OUTPUT"])
    chains = chain_report(wanted, plan_chains(wanted, tables))["chains"]
    where = {"family": "ipv4", "backend": "nft", "table": "nat"}
    returns = ["-j RETURN", "-j RETURN"]
    one: dict[str, t.Any] = {"rule_count": 2, "rules": returns, "references": 1, "referenced_by": ["OUTPUT"]}
    none: dict[str, t.Any] = {"rule_count": 0, "rules": [], "references": 0, "referenced_by": []}
    assert chains == [
        {**where, "name": "KUBE-SERVICES", **one, "service": None},
        {**where, "name": "KUBE-LOAD-BALANCER", **none, "service": None},
    ]


NAMES = st.sampled_from(
    ["KUBE-SERVICES", "KUBE-MARK-MASQ", "KUBE-POSTROUTING", "KUBE-NODEPORTS", "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-FIREWALL",
     "KUBE-PROXY-CANARY", SVC, SEP, EXT, XLB, "CNI-HOSTPORT-SETMARK", "OUTPUT", "PREROUTING", "POSTROUTING"]
)  # fmt: skip  # a list of names reads best as one
MATCHES = st.sampled_from(
    ["", "-s 10.0.0.0/8 ", '-m comment --comment "kubernetes service portals" ', f'-m comment --comment "{FOREIGN}" ']
)
WANTED = st.one_of(
    st.sampled_from([IPTABLES_TO_IPVS, IPTABLES_TO_NONE, IPTABLES_TO_NFTABLES, IPVS_TO_IPTABLES, IPVS_TO_NONE]),
    st.sampled_from([BOTH_TO_NFTABLES, BOTH_TO_NONE, replace(BOTH_TO_NONE, on_foreign="remove_jump")]),
    st.sampled_from([WantedChains(True, modes=("iptables",)), WantedChains(True, modes=("ipvs",))]),
    st.builds(
        lambda name, policy: WantedChains(False, table="nat", names=(name,), on_foreign=policy),
        st.sampled_from([SVC, "KUBE-SERVICES", "KUBE-MARK-MASQ"]),
        st.sampled_from(["keep", "remove_jump"]),
    ),
    st.sampled_from(
        [replace(IPTABLES_TO_NONE, on_foreign="remove_jump"), replace(IPTABLES_TO_IPVS, on_foreign="fail")]
    ),
    st.just(WantedChains(False, running_mode="none", services=(ServicePort("ns1", "svc1", "p80"),))),
)


@st.composite
def nat_tables(draw: st.DrawFn) -> dict[Location, Table]:
    names = sorted({*draw(st.sets(NAMES)), "OUTPUT", "PREROUTING", "POSTROUTING"})
    targets = st.sampled_from([name for name in names if "-" in name] or ["ACCEPT"])
    rule = st.builds(lambda match, target: f"{match}-j {target}", MATCHES, st.one_of(targets, st.just("ACCEPT")))
    return one_table(
        "nat", {name: draw(st.lists(rule, max_size=4)) for name in names}, ["OUTPUT", "PREROUTING", "POSTROUTING"]
    )


@given(WANTED, nat_tables())
def test_any_plan_is_carried_out_lasts_and_touches_nothing_foreign(
    wanted: WantedChains, tables: dict[Location, Table]
) -> None:
    before = tables[Location("nft", "ipv4", "nat")]
    refused: list[str] = []
    try:
        plan, after = planned(wanted, tables)
    except ForeignRules as refusal:
        refused = refusal.details["foreign"]
        plan, after = planned(replace(wanted, on_foreign="keep"), tables)
    # What is refused is there, and is what "keep" leaves in place.
    assert bool(refused) <= (wanted.on_foreign == "fail")
    rules = {f"-A {chain} {spec} in table nat (ipv4, nft)" for chain, specs in after["nat"].items() for spec in specs}
    assert set(refused) <= rules
    gone = set(before.chains) - set(after["nat"])
    # No chain is left without its target, and what is removed is what leads to something removed.
    assert not [spec for rules in after["nat"].values() for spec in rules if target_of(spec) in gone]
    for name in ("KUBE-FIREWALL", "CNI-HOSTPORT-SETMARK"):
        left = [spec for spec in before.chains.get(name, ()) if target_of(spec) not in gone]
        expected = left if wanted.on_foreign == "remove_jump" else list(before.chains.get(name, ()))
        assert list(after["nat"].get(name, ())) == expected
        assert (name in after["nat"]) == (name in before.chains)
    for name in before.builtin:
        foreign = [
            spec
            for spec in before.chains[name]
            if "kubernetes service portals" not in spec
            and not (wanted.on_foreign == "remove_jump" and target_of(spec) in gone)
        ]
        assert [spec for spec in after["nat"][name] if spec in foreign] == foreign
    if not wanted.present:
        for chain in kept(wanted, plan):
            assert after["nat"][chain] == before.chains[chain]
