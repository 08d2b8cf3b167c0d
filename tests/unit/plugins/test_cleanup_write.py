# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cleanup carried out: what fails, what is done all the same, and what is said of it."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cleanup_work as cleanup_work
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_model import Cleanup
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_plan import plan_cleanup
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_work import Session
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_write import Edges, carry_out
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device, Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import Operation, Verb
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from tests.unit.plugins.iptables_kernel import FakeNode
from tests.unit.plugins.ipvs_kernel import FakeKernel
from tests.unit.plugins.test_inventory import POD, server

ALL = Cleanup(("iptables", "ipvs", "nftables"), "none", node_ports=range(30000, 32768))
FIXTURE = Path(__file__).parents[1] / "fixtures" / "iptables" / "ipvs-after-iptables-nft.txt"
SAVED = FIXTURE.read_text(encoding="utf-8")
SETS = tuple(
    IpSetState(name, kind, family)
    for name, kind, family in (
        ("KUBE-CLUSTER-IP", "hash:ip,port", "ipv4"),
        ("KUBE-6-CLUSTER-IP", "hash:ip,port", "ipv6"),
        ("KUBE-IPVS-IPS", "hash:ip", "ipv4"),
    )
)


class Machine:
    """A node whose parts fail on demand. C(done) is what was asked for beside iptables, in its order."""

    def __init__(self) -> None:
        self.iptables = FakeNode({("nft", "ipv4"): SAVED, ("legacy", "ipv4"): SAVED})
        self.ipvs = FakeKernel()
        self.done: list[str] = []
        self.nft = CommandResult(0, "", "")
        self.link = ""
        self.sets: dict[str, str] = {}
        self.locked = ""
        self.connect: t.Callable[[], Ipvs] = partial(Ipvs, lambda: self.ipvs)
        self.wanted = ALL

    def run(self, argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        if argv[:2] == ["nft", "delete"]:
            self.done.append(" ".join(argv))
            return self.nft
        if self.locked and argv[0] == self.locked:
            self.done.append(argv[0])
            return CommandResult(4, "", "Another app is currently holding the xtables lock.\n")
        return self.iptables(argv, stdin)

    def edges(self) -> Edges:
        return Edges(self.run, self.replan, self.connect, self.remove_link, self.destroy_sets)

    def replan(self) -> t.Any:
        return plan_chains(self.wanted.chains, dict(self.iptables.tables))

    def remove_link(self, name: str) -> str:
        self.done.append(f"link {name}")
        return self.link

    def destroy_sets(self, names: t.Sequence[str]) -> dict[str, str]:
        self.done.extend(f"set {name}" for name in names)
        return {name: self.sets[name] for name in names if name in self.sets}

    def readings(self) -> Readings:
        return Readings(
            tables=dict(self.iptables.tables),
            ipsets=SETS,
            nft_tables=(("ip", "kube-proxy"), ("ip6", "kube-proxy")),
            virtual_servers=(server("10.96.0.1", 443, POD), server("10.96.0.10", 53)),
            device=Device("kube-ipvs0", "dummy", ("10.96.0.1", "10.96.0.10")),
        )


@pytest.fixture
def machine() -> Machine:
    found = Machine()
    with found.connect() as ipvs:
        added = [Operation(Verb.ADD_SERVER, one) for one in found.readings().virtual_servers]
        assert ipvs.apply(added) == []
    assert len(found.ipvs.services) == 2
    return found


def chains(machine: Machine, backend: str) -> set[str]:
    return {
        name
        for at, table in machine.iptables.tables.items()
        for name in table.chains
        if at.backend == backend and name.startswith("KUBE-")
    }


KUBELETS = {"KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT"}


def run(machine: Machine) -> list[str]:
    return [str(one) for one in carry_out(machine.edges(), plan_cleanup(ALL, machine.readings()))]


def test_everything_in_its_order(machine: Machine) -> None:
    assert run(machine) == []
    assert chains(machine, "nft") | chains(machine, "legacy") <= KUBELETS
    assert machine.ipvs.services == {}
    assert machine.done == [
        "nft delete table ip kube-proxy",
        "nft delete table ip6 kube-proxy",
        "link kube-ipvs0",
        "set KUBE-CLUSTER-IP",
        "set KUBE-6-CLUSTER-IP",
        "set KUBE-IPVS-IPS",
    ]


def test_a_table_that_is_refused_keeps_no_other_from_being_changed(machine: Machine) -> None:
    machine.locked = "iptables-legacy-restore"
    failed = run(machine)
    # Filter, mangle and nat, each tried once: that the lock is held is nothing that planning anew would change.
    assert len(failed) == len({one.split(":")[0] for one in failed}) == machine.done.count(machine.locked) == 3
    assert failed[0].startswith(
        "table mangle (ipv4, legacy): The table mangle (ipv4, legacy) was not changed: /run/xtables.lock was held"
    )
    assert chains(machine, "nft") <= KUBELETS
    assert "KUBE-SERVICES" in chains(machine, "legacy")
    assert machine.ipvs.services == {}
    assert "link kube-ipvs0" in machine.done


def test_a_table_that_changed_meanwhile_is_planned_anew_and_no_other_with_it(machine: Machine) -> None:
    def change() -> None:
        at = next(at for at in machine.iptables.tables if (at.backend, at.table) == ("nft", "nat"))
        table = machine.iptables.tables[at]
        new = {**table.chains, "OUTPUT": (*table.chains["OUTPUT"], "-j KUBE-SERVICES")}
        machine.iptables.tables[at] = replace(table, chains=new)

    plan = plan_cleanup(ALL, machine.readings())
    places = [str(step.location) for step in plan.operations if isinstance(step, Transaction)]
    place = places.index("table nat (ipv4, nft)")
    machine.iptables.before_restore = [lambda: None] * place + [change]
    assert run(machine) == []
    assert len([call for call in machine.iptables.calls if call.startswith("iptables-legacy-restore")]) == 3
    # The foreign rule that came keeps what it leads to.
    assert "KUBE-SERVICES" in chains(machine, "nft")
    assert chains(machine, "legacy") <= KUBELETS


def test_a_table_of_nftables_that_is_gone_is_no_failure(machine: Machine) -> None:
    machine.nft = CommandResult(
        1, "", "Error: Could not process rule: No such file or directory\ndelete table ip kube-proxy\n"
    )
    assert run(machine) == []
    machine.nft = CommandResult(1, "", "Error: Could not process rule: Operation not permitted\n")
    assert run(machine)[0] == (
        "table ip kube-proxy of nftables: nft ended with 1: Error: Could not process rule: Operation not permitted"
    )


def test_the_device_stays_while_a_virtual_server_does(machine: Machine) -> None:
    machine.ipvs.permitted = False
    failed = run(machine)
    assert [one.split(":")[0] for one in failed] == [
        "remove TCP 10.96.0.1",
        "remove TCP 10.96.0.10",
        "device kube-ipvs0",
    ]
    assert failed[-1].endswith("its addresses say whose they are")
    assert "link kube-ipvs0" not in machine.done
    assert "set KUBE-IPVS-IPS" in machine.done


def test_virtual_servers_that_somebody_else_removed_are_gone(machine: Machine) -> None:
    machine.ipvs.services.clear()
    assert run(machine) == []
    assert "link kube-ipvs0" in machine.done


def session(machine: Machine, readings: t.Sequence[Readings], monkeypatch: pytest.MonkeyPatch) -> Session:
    left = list(readings)
    monkeypatch.setattr(cleanup_work, "Edges", lambda _runner, _replan: machine.edges())
    return Session(ALL, machine.run, Files(), lambda: left.pop(0) if len(left) > 1 else left[0])


def test_what_failed_and_is_still_there_is_told_with_all_that_was_done(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.sets = {"KUBE-CLUSTER-IP": "a rule or another set still uses it", "KUBE-IPVS-IPS": "Invalid argument"}
    before = machine.readings()
    # Of the two that failed, somebody else destroyed one.
    after = Readings(ipsets=SETS[:1])
    with pytest.raises(KubeProxyError) as raised:
        converge(session(machine, [before, after], monkeypatch).steps(), check_mode=False)
    error = raised.value
    assert str(error).startswith("1 of ")
    assert (
        "steps failed, the others were carried out: ipset KUBE-CLUSTER-IP: a rule or another set still uses it. "
        in str(error)
    )
    assert error.details["failed"] == ["ipset KUBE-CLUSTER-IP: a rule or another set still uses it"]
    removed = {(row["kind"], row["name"]) for row in error.details["removed"]}
    assert ("ipset", "KUBE-IPVS-IPS") in removed
    assert ("ipset", "KUBE-CLUSTER-IP") not in removed
    assert ("device", "kube-ipvs0") in removed


def test_a_failure_that_somebody_else_made_good_is_none(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.link = "Device or resource busy"
    plan = converge(session(machine, [machine.readings(), Readings()], monkeypatch).steps(), check_mode=False)
    assert "Remove device kube-ipvs0 with its 2 address(es)" in plan.actions


def test_what_concerns_no_mode_that_was_asked_for_is_passed_over_and_told(machine: Machine) -> None:
    sentence = "Cannot read the ipsets: Operation not permitted."
    readings = Readings(unread=(sentence,), unread_modes={sentence: ("ipvs",)})
    one = Session(replace(ALL, modes=("nftables",)), machine.run, Files(), lambda: readings)
    assert converge(one.steps(), check_mode=True).operations == ()
    assert list(one.passed_over) == [sentence]


def test_without_a_connection_no_virtual_server_goes_and_no_device(machine: Machine) -> None:
    def broken() -> Ipvs:
        raise KubeProxyError("Cannot open a netlink socket", "Too many open files")

    machine.connect = broken
    failed = run(machine)
    assert [one.rpartition(": ")[2] for one in failed[:2]] == ["Too many open files."] * 2
    assert failed[2].startswith("device kube-ipvs0: not tried")
    assert len(failed) == 3
