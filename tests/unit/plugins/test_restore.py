# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore: what is put back and where, what is not and why, what is shown as different, and what fails."""

from __future__ import annotations

import copy
import typing as t
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_different import different
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_iptables import (
    missing_in,
    plan_table,
    transaction_lines,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_model import Wanted, wanted_restore
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_plan import drafted
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_work import Work
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_write import Edges
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_foreign import Present
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import Foreign, Snapshot
from tests.unit.plugins.ipvs_kernel import FakeKernel
from tests.unit.plugins.snapshot_machine import BUILTIN, Chains, Machine, applied
from tests.unit.plugins.test_inventory import POD, server
from tests.unit.plugins.test_snapshot import NFT, PORTAL, SETS, USERS, filled

NAT = ("nft", "ipv4", "nat")
RAW = ("nft", "ipv4", "raw")


class Run:
    """One machine, one snapshot, and a kernel's IPVS."""

    def __init__(self, machine: Machine, unknown: bool = False) -> None:
        self.machine = machine
        self.wanted: Wanted = wanted_restore(machine.look().snapshot, unknown)
        self.kernel = FakeKernel()

    def work(self, lines: int = 200) -> Work:
        return Work(self.wanted, self.look, lines)

    def look(self) -> Present:
        with Ipvs(lambda: self.kernel) as ipvs:
            self.machine.servers += [one for one in ipvs.read().values() if one not in self.machine.servers]
        return self.machine.look()

    def edges(self, work: Work) -> Edges:
        connect = t.cast("t.Callable[[], Ipvs]", partial(Ipvs, lambda: self.kernel))
        return Edges(self.machine, self.machine.files, lambda: work.plan(work.read()), connect)

    def restore(self, check: bool = False, lines: int = 200) -> dict[str, t.Any]:
        work = self.work(lines)
        edges = self.edges(work)
        plan = converge(Steps(work.read, work.plan, lambda planned: work.apply(edges, planned)), check)
        result = work.report(plan)
        shown = {"before": plan.before.shown, "after": plan.after.shown}
        return {
            **result,
            "changed": bool(plan.operations),
            "actions": list(plan.actions),
            "diff": shown,
            "warnings": work.warnings,
        }


def reason(result: dict[str, t.Any], words: str) -> str:
    return " ".join(row["reason"] for row in result["not_restored"] if words in row["object"])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(filled(tmp_path))


def test_everything_that_went_comes_back_where_it_was(run: Run) -> None:
    machine = run.machine
    before = copy.deepcopy((machine.tables, machine.nft, machine.sets))
    nat = machine.tables[NAT]
    nat["PREROUTING"] = ["-j cali-PREROUTING", PORTAL]
    del nat["MINE"], machine.tables[RAW], machine.nft["inet", "mine"], machine.sets["LIST"], machine.sets["MINE"]
    machine.tables["legacy", "ipv4", "nat"]["OUTPUT"] = []
    machine.servers.clear()
    machine.sysctl("net.ipv4.conf.all.arp_ignore", "1")
    predicted = run.restore(check=True)
    assert machine.given == []
    assert machine.sysctl("net.ipv4.conf.all.arp_ignore") == "1"
    done = run.restore()
    assert {**done, "warnings": []} == {**predicted, "warnings": []}
    assert machine.tables[NAT] == before[0][NAT]
    assert machine.tables[RAW] == before[0][RAW]
    assert machine.tables["legacy", "ipv4", "nat"] == before[0]["legacy", "ipv4", "nat"]
    assert machine.nft == before[1]
    assert machine.sets == {**before[2], "MINE": SETS["MINE"], "LIST": SETS["LIST"]}
    assert machine.sysctl("net.ipv4.conf.all.arp_ignore") == "0"
    assert [str(one.key) for one in machine.servers] == ["TCP 203.0.113.9:6443"]
    assert machine.servers[0].real_servers[0].weight == 5
    assert reason(done, "192.0.2.10:6443") == "the node alone does not tell whether it was kube-proxy's"
    assert done["actions"][:3] == [
        "Set sysctl net.ipv4.conf.all.arp_ignore: 1 -> 0",
        "Add ipset MINE with 1 member(s)",
        "Add ipset LIST with 1 member(s)",
    ]
    again = run.restore()
    assert (again["changed"], again["actions"], again["restored"], again["diff"]) == (
        False,
        [],
        [],
        {"before": "", "after": ""},
    )


def test_what_is_given_to_the_tools_only_adds(run: Run) -> None:
    machine = run.machine
    machine.tables[NAT] = {**{name: [] for name in BUILTIN["nat"]}, "KUBE-SERVICES": [], "PREROUTING": [PORTAL]}
    run.restore()
    assert [text.splitlines() for text in machine.given] == [
        [
            "*nat",
            "-N MINE",
            "-A MINE -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.7:80",
            "-A MINE -j RETURN",
            f"-I PREROUTING 1 {USERS}",
            "COMMIT",
        ]
    ]


def test_what_is_a_tables_own_is_there_from_the_first(tmp_path: Path) -> None:
    """nft 1.0.6: C(create table inet mine) and the text of a table with a comment make one without."""
    machine = filled(tmp_path)
    text = NFT.replace("\tset s {", '\tflags dormant\n\tcomment "of } mine"\n\n\tset s {\n\t\tcomment "a set"')
    machine.nft["inet", "mine"] = text
    run = Run(machine)
    del machine.nft["inet", "mine"]
    run.restore()
    assert machine.given == [f'create table inet mine {{ flags dormant; comment "of }} mine"; }}\n{text}']


def test_what_changed_but_is_there_is_only_shown(run: Run) -> None:
    machine = run.machine
    machine.tables[NAT]["MINE"] = ["-j DROP"]
    machine.sets["MINE"] = SETS["MINE"][:1]
    machine.nft["inet", "mine"] = NFT.replace("80, 443", "80")
    machine.servers[0] = machine.servers[0]._replace(scheduler="wrr", real_servers=())
    machine.tables[NAT]["KUBE-SERVICES"] = []
    done = run.restore()
    assert not done["changed"]
    lines = {row["part"]: row["lines"] for row in done["different"]}
    assert lines == {
        "iptables nft ipv4 nat": [
            "- -A KUBE-SERVICES -d 10.96.0.1/32 -j RETURN",
            "- -A MINE -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.7:80",
            "- -A MINE -j RETURN",
            "+ -A MINE -j DROP",
        ],
        "nftables inet mine": [
            '- chain c: ip saddr @s tcp dport { 80, 443 } drop comment "a } b"',
            '+ chain c: ip saddr @s tcp dport { 80 } drop comment "a } b"',
        ],
        "ipvs": [
            "- -A -t 203.0.113.9:6443 -s rr",
            "- -a -t 203.0.113.9:6443 -r 10.244.0.5:8080 -m -w 5",
            "+ -A -t 203.0.113.9:6443 -s wrr",
        ],
        "ipsets": ['- add MINE 192.0.2.1 comment "of mine"'],
    }


def test_what_is_put_back_is_no_difference(run: Run) -> None:
    del run.machine.tables[NAT]["MINE"]
    run.machine.tables[NAT]["PREROUTING"].remove(USERS)
    run.machine.nft.pop(("inet", "mine"))
    run.machine.sysctl("net.ipv4.ip_forward", "0")
    assert run.restore(check=True)["different"] == []


def test_many_lines_are_cut_and_counted(run: Run) -> None:
    run.machine.tables[NAT]["KUBE-SERVICES"] = [f"-d 10.96.0.{number}/32 -j RETURN" for number in range(2, 12)]
    row = run.restore(lines=3)["different"][0]
    assert (row["count"], len(row["lines"]), row["lines"][-1]) == (11, 4, "... and 8 more")


def test_another_order_is_told() -> None:
    texts = [
        f"*nat\n:MINE - [0:0]\n-A MINE {one}\n-A MINE {two}\nCOMMIT\n"
        for one, two in (("-j A", "-j B"), ("-j B", "-j A"))
    ]
    then, now = (Snapshot(None, "", "", iptables={("nft", "ipv4"): text}) for text in texts)
    assert [row["lines"] for row in different(then, now, {}, 9)] == [["the rules of MINE are in another order"]]


def test_kube_proxys_is_never_put_back(run: Run) -> None:
    machine = run.machine
    machine.tables[NAT] = {name: [] for name in BUILTIN["nat"]} | {"MINE": machine.tables[NAT]["MINE"]}
    machine.sets.pop("KUBE-CLUSTER-IP")
    machine.nft.pop(("ip", "kube-proxy"))
    done = run.restore()
    assert [row["kind"] for row in done["restored"]] == ["iptables_rule"]
    assert machine.tables[NAT]["PREROUTING"] == [USERS]
    assert {row["part"] for row in done["different"]} >= {"nftables ip kube-proxy", "ipsets", "iptables nft ipv4 nat"}


def test_what_leads_to_something_that_is_gone_stays_missing(tmp_path: Path) -> None:
    machine = filled(tmp_path)
    nat = machine.tables[NAT]
    nat.update(
        {
            "A": ["-j B"],
            "B": ["-j KUBE-MARK-MASQ"],
            "KUBE-MARK-MASQ": [],
            "C": ["-m set --match-set GONE src -j RETURN"],
        }
    )
    nat["OUTPUT"] = ["-j A", "-m set --match-set KUBE-CLUSTER-IP dst -j RETURN", "-j C"]
    machine.sets["GONE"] = ["create GONE hash:ip", "add GONE 192.0.2.1"]
    run = Run(machine)
    for name in ("A", "B", "C", "KUBE-MARK-MASQ"):
        del nat[name]
    nat["OUTPUT"] = []
    machine.sets.pop("KUBE-CLUSTER-IP")
    done = run.restore()
    assert reason(done, "chain B ") == "its rule '-j KUBE-MARK-MASQ' leads to chain KUBE-MARK-MASQ, which is not there"
    assert reason(done, "chain A ") == "its rule '-j B' leads to chain B, which is not there"
    assert reason(done, "-A OUTPUT -j A ") == "its rule '-j A' leads to chain A, which is not there"
    assert "looks into ipset KUBE-CLUSTER-IP, which is not there" in reason(done, "KUBE-CLUSTER-IP")
    # The set of C is there still.
    assert machine.tables[NAT]["OUTPUT"] == ["-j C"]
    assert "C" in machine.tables[NAT]


def test_sets_without_their_options_and_without_their_members(tmp_path: Path) -> None:
    machine = filled(tmp_path)
    machine.missing = {"ipset"}
    run = Run(machine)
    machine.missing = set()
    machine.sets.clear()
    done = run.restore()
    assert "there was no ipset on the node" in reason(done, "ipset MINE")
    machine = filled(tmp_path)
    machine.sets["OF"] = ["create OF list:set size 8", "add OF KUBE-CLUSTER-IP"]
    run = Run(machine)
    machine.sets = {"MINE": SETS["MINE"], "LIST": SETS["LIST"]}
    assert reason(run.restore(), "ipset OF") == "its member KUBE-CLUSTER-IP is not there"


def test_sysctls_that_the_running_mode_needs_stay(tmp_path: Path) -> None:
    machine = filled(tmp_path)
    machine.sysctl("net.ipv4.vs.conntrack", "0")
    machine.sysctl("net.netfilter.nf_conntrack_max", "65536")
    run = Run(machine)
    machine.mode = "ipvs"
    machine.sysctl("net.ipv4.vs.conntrack", "1")
    machine.sysctl("net.ipv4.conf.all.arp_ignore", "1")
    machine.sysctl("net.ipv4.ip_forward", "0")
    (tmp_path / "proc/sys/net/netfilter/nf_conntrack_max").unlink()
    done = run.restore()
    assert done["actions"] == ["Set sysctl net.ipv4.ip_forward: 0 -> 1"]
    assert reason(done, "vs.conntrack") == "kube-proxy runs in ipvs mode now and may need it to be 1"
    assert "ipvs mode" in reason(done, "arp_ignore")
    assert reason(done, "nf_conntrack_max") == "the kernel does not have it now"
    machine.mode = "iptables"
    assert len(run.restore()["actions"]) == 2


def test_servers(tmp_path: Path) -> None:
    machine = filled(tmp_path)
    run = Run(machine, unknown=True)
    machine.servers.clear()
    machine.mode, machine.device = "ipvs", Device("kube-ipvs0", "dummy", ("192.0.2.10",))
    done = run.restore()
    assert [str(one.key) for one in machine.servers] == ["TCP 203.0.113.9:6443"]
    assert reason(done, "192.0.2.10") == "kube-proxy has its address on kube-ipvs0 now"
    assert done["warnings"] == [
        "kube-proxy in ipvs mode deletes virtual servers of others at its next sync, unless ipvs.excludeCIDRs covers them."
    ]
    machine.device = None
    run.restore()
    assert [str(one.key) for one in machine.servers] == ["TCP 203.0.113.9:6443", "TCP 192.0.2.10:6443"]


def test_a_part_that_cannot_be_read_is_no_reason_to_put_it_back(run: Run) -> None:
    run.machine.unread = ("The tables of nftables cannot be read.",)
    run.machine.nft.clear()
    with pytest.raises(
        KubeProxyError, match="cannot be told, and nothing was touched: The tables of nftables cannot be read"
    ):
        run.restore()


def test_tables_that_iptables_cannot_show_are_left(run: Run) -> None:
    machine = run.machine
    machine.hidden["nft", "ipv4"] = "# Table `nat' is incompatible, use 'nft' tool.\n"
    machine.tables[RAW]["PREROUTING"] = []
    done = run.restore()
    assert not done["changed"]
    assert reason(done, "iptables (ipv4, nft)").startswith("Table nat cannot be read through iptables")


def test_another_node_is_refused(run: Run) -> None:
    run.wanted = wanted_restore(Snapshot("worker-1", "", ""))
    with pytest.raises(InvalidInput, match="it is of worker-1, and this is one"):
        run.restore()


def test_the_rest_is_done_when_one_thing_cannot_be(run: Run) -> None:
    machine = run.machine
    machine.sets.pop("LIST")
    machine.nft.pop(("inet", "mine"))
    machine.missing = {"ipset"}
    machine.sets.pop("MINE")
    with pytest.raises(
        KubeProxyError,
        match=r"1 of 2 steps failed, the others were carried out: The ipsets were not added: ipset was not found",
    ) as error:
        run.restore()
    assert machine.nft["inet", "mine"] == NFT
    assert len(error.value.details["failed"]) == 1


def test_a_table_that_somebody_made_meanwhile_is_not_added_to(run: Run) -> None:
    machine = run.machine
    machine.nft.pop(("inet", "mine"))
    work = run.work()
    plan = work.plan(work.read())
    machine.nft["inet", "mine"] = "table inet mine {\n}\n"
    with pytest.raises(KubeProxyError, match="File exists"):
        work.apply(run.edges(work), plan)
    assert machine.nft["inet", "mine"] == "table inet mine {\n}\n"


def test_a_chain_that_somebody_made_meanwhile_is_left(run: Run) -> None:
    machine = run.machine
    nat = machine.tables[NAT]
    del nat["MINE"]
    nat["PREROUTING"].remove(USERS)
    work = run.work()
    plan = work.plan(work.read())
    nat["MINE"] = ["-j DROP"]
    work.apply(run.edges(work), plan)
    assert machine.tables[NAT]["MINE"] == ["-j DROP"]
    assert machine.tables[NAT]["PREROUTING"][1] == USERS


KEPT = [PORTAL, "-j cali-PREROUTING", '-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING']
MINE = [f"-s 192.0.2.{number}/32 -j ACCEPT" for number in range(8)]
RULES = st.lists(st.sampled_from([*KEPT, *MINE]), max_size=10)


def planned(then: t.Sequence[str], now: t.Sequence[str]) -> tuple[list[str], list[str]]:
    """The lines for a chain, and the chain afterwards by the independent reading of those lines."""
    table = Table(
        {"PREROUTING": tuple(then), "cali-PREROUTING": (), "KUBE-SERVICES": (), "KUBE-POSTROUTING": ()},
        frozenset(("PREROUTING",)),
    )
    present = Table({**table.chains, "PREROUTING": tuple(now)}, table.builtin)
    foreign = [
        Foreign("iptables_rule", "PREROUTING", "foreign", "ipv4", "nft", "nat", spec) for spec in then if spec in MINE
    ]
    missing = missing_in(foreign, {Location("nft", "ipv4", "nat"): present}).get(Location("nft", "ipv4", "nat"), [])
    lines = list(transaction_lines(plan_table(missing, table, present, ()), table, present)) if missing else []
    chains: Chains = {name: list(rules) for name, rules in present.chains.items()}
    return lines, applied(chains, lines, "nat")["PREROUTING"]


@given(RULES, RULES)
def test_rules_come_back_and_nothing_else_moves(then: list[str], now: list[str]) -> None:
    lines, after = planned(then, now)
    assert all(line.startswith(("-A PREROUTING ", "-I PREROUTING ")) for line in lines)
    assert set(after) == set(now) | {spec for spec in then if spec in MINE}
    left = iter(after)
    assert all(spec in left for spec in now), "the rules that were there are no longer in their order"
    assert planned(then, after)[0] == []


@given(st.lists(st.sampled_from([*KEPT, *MINE]), max_size=10, unique=True), st.sets(st.sampled_from(MINE)))
def test_rules_come_back_to_their_places(then: list[str], gone: set[str]) -> None:
    assert planned(then, [spec for spec in then if spec not in gone])[1] == then


@given(st.lists(st.sampled_from(MINE), max_size=8), st.lists(st.sampled_from(KEPT), max_size=3, unique=True))
def test_without_any_neighbour_they_come_in_their_order_at_the_end(then: list[str], now: list[str]) -> None:
    assert planned(then, now)[1] == [*now, *then]


def test_thousands_of_rules_in_a_second() -> None:
    then = [f"-s 10.{number // 250}.{number % 250}.1/32 -j ACCEPT" for number in range(2000)]
    table = Table({"INPUT": tuple(then)}, frozenset(("INPUT",)))
    missing = [Foreign("iptables_rule", "INPUT", "foreign", "ipv4", "nft", "filter", spec) for spec in then]
    lines = transaction_lines(plan_table(missing, table, Table(), ()), table, Table())
    assert list(lines) == [f"-A INPUT {spec}" for spec in then]


def test_nothing_is_planned_for_the_node_as_it_was(run: Run) -> None:
    draft = drafted(run.wanted, run.machine.look())
    assert (draft.steps, draft.refused, draft.added) == ([], [], {})


def test_a_virtual_server_that_is_there_keeps_what_it_has(run: Run) -> None:
    servers: list[VirtualServer] = run.machine.servers
    servers[0] = server("203.0.113.9", 6443, POD._replace(weight=9))
    assert not run.restore()["changed"]
