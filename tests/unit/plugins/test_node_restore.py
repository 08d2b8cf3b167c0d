# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node gets back what it lost: only what is missing, and only sysctls that kube-proxy sets. The kernel is a fake that follows
ip_vs_ctl.c."""

from __future__ import annotations

import typing as t
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import as_options, read_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_restore import NodePlan, render, restore_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_restore_work import NodeWork
from tests.unit.plugins.ipvs_kernel import FakeKernel

BALANCER = {
    "address": "203.0.113.9",
    "port": 6443,
    "scheduler": "wrr",
    "real_servers": [
        {"address": "203.0.113.10", "port": 6443, "forward_method": "direct", "weight": 7},
        {"address": "203.0.113.11", "port": 6443, "forward_method": "direct", "weight": 0},
    ],
}
MARK = {"fwmark": 5, "real_servers": []}
ARP = "net.ipv4.conf.all.arp_ignore"


class Machine:
    """A node in a folder, with IPVS where C(table) is there."""

    def __init__(self, root: Path, **sysctls: str) -> None:
        self.kernel = FakeKernel()
        self.root = root
        self.table = root / "ip_vs"
        self.table.touch()
        self.connect: t.Callable[[], Ipvs] = partial(Ipvs, lambda: self.kernel)
        for name, value in sysctls.items():
            self.path(name.replace("__", ".")).parent.mkdir(parents=True, exist_ok=True)
            self.path(name.replace("__", ".")).write_text(value + "\n", encoding="ascii")

    def path(self, name: str) -> Path:
        return self.root / "proc/sys" / name.replace(".", "/")

    def work(self, **params: t.Any) -> NodeWork:
        return NodeWork(restore_of(params), Files(str(self.root)), self.connect, str(self.table))

    def run(self, check: bool = False, **params: t.Any) -> NodePlan:
        task = self.work(**params)
        return converge(Steps(task.read, task.restore.plan, task.apply), check)

    def servers(self) -> list[dict[str, t.Any]]:
        return [as_options(one) for one in read_virtual_servers(self.connect, str(self.table))]


def sysctl(value: str) -> dict[str, str]:
    return {ARP.replace(".", "__"): value}


def test_a_missing_virtual_server_comes_back_with_all_that_was_behind_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    plan = machine.run(virtual_servers=[BALANCER])
    assert plan.actions[0].startswith("add TCP 203.0.113.9:6443")
    found = machine.servers()
    assert [(one["address"], one["port"], one["scheduler"]) for one in found] == [("203.0.113.9", 6443, "wrr")]
    reals = [(one["address"], one["weight"], one["forward_method"]) for one in found[0]["real_servers"]]
    assert reals == [("203.0.113.10", 7, "direct"), ("203.0.113.11", 0, "direct")]
    assert machine.run(virtual_servers=[BALANCER]).operations == ()


def test_one_that_is_there_is_left_as_its_owner_has_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.run(virtual_servers=[{**BALANCER, "scheduler": "rr", "real_servers": []}])
    before = machine.servers()
    assert machine.run(virtual_servers=[BALANCER]).operations == ()
    machine.run(virtual_servers=[BALANCER, MARK])
    assert [one for one in machine.servers() if one.get("address")] == before
    assert [one.get("fwmark") for one in machine.servers()].count(5) == 1


def test_check_mode_says_the_same_and_does_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, **sysctl("1"))
    wanted: dict[str, t.Any] = {"virtual_servers": [BALANCER], "sysctls": {ARP: "0"}}
    checked = machine.run(check=True, **wanted)
    assert (machine.servers(), machine.path(ARP).read_text(encoding="ascii")) == ([], "1\n")
    assert machine.run(**wanted).actions == checked.actions
    assert render(checked.before) == f"{ARP} = 1\n"
    assert render(checked.after).splitlines()[:2] == [f"{ARP} = 0", "-A -t 203.0.113.9:6443 -s wrr"]
    assert machine.path(ARP).read_text(encoding="ascii") == "0"


def test_without_ip_vs_it_is_not_loaded_by_looking(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.table.unlink()
    machine.connect = partial(pytest.fail, "the kernel was asked")
    assert machine.run(check=True, virtual_servers=[BALANCER]).operations


def test_sysctls_that_this_kernel_does_not_have_are_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path, **sysctl("0"))
    wanted = {ARP: "0", "net.ipv4.vs.conntrack": "1"}
    plan = machine.run(sysctls=wanted)
    assert plan.operations == ()
    assert machine.work(sysctls=wanted).result(plan) == {"made": [], "unknown_sysctls": ["net.ipv4.vs.conntrack"]}


@pytest.mark.parametrize(
    ("name", "value"),
    [("kernel.core_pattern", "1"), ("net/ipv4/../../kernel/panic", "1"), (ARP, "1; reboot"), (ARP, "")],
)
def test_nothing_but_numbers_of_kube_proxys_own_sysctls_is_taken(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match="sysctls: "):
        restore_of({"sysctls": {name: value}})


def test_what_the_kernel_refuses_is_an_error(tmp_path: Path) -> None:
    machine = Machine(tmp_path, **sysctl("1"))
    machine.kernel.schedulers = ()
    with pytest.raises(KubeProxyError, match="no module ip_vs_wrr"):
        machine.run(virtual_servers=[BALANCER])
    machine.path(ARP).unlink()
    machine.path(ARP).mkdir()
    with pytest.raises(KubeProxyError, match="Cannot"):
        machine.run(sysctls={ARP: "0"})
