# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draining: what is quiesced, what is removed, when, and what is said about it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import NotConverged
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_drain import Drain
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import read_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import render, render_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_session import Session
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import wanted_from_options
from tests.unit.plugins.ipvs_kernel import FakeKernel

STAYS, GOES = {"address": "10.0.0.1"}, {"address": "10.0.0.2"}
GOES_PACKED = bytes([10, 0, 0, 2])
WEB: dict[str, t.Any] = {"address": "10.96.0.1", "port": 80}
BOTH = {**WEB, "real_servers": [STAYS, GOES]}
ONE = {**WEB, "real_servers": [STAYS]}


class Clock:
    """Time that passes by sleeping only; something may happen at each waking."""

    def __init__(self, *events: t.Callable[[], None]) -> None:
        self.time = 100.0
        self.slept: list[float] = []
        self.events = list(events)

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        if self.events:
            self.events.pop(0)()


class Case:
    """One kernel, and runs of the module on it."""

    def __init__(self, folder: Path) -> None:
        self.kernel = FakeKernel()
        self.table = str(folder / "ip_vs")
        (folder / "ip_vs").touch()
        self.clock = Clock()
        self.run(BOTH)

    def run(self, item: t.Any, check: bool = False, mode: str = "exact", timeout: int = 0) -> dict[str, t.Any]:
        params = {"virtual_servers": [item], "unlisted_real_servers": mode, "drain_timeout": timeout}
        drain = Drain(timeout, self.clock.now, self.clock.sleep)
        session = Session(wanted_from_options(params), lambda: Ipvs(lambda: self.kernel), self.table, drain)
        plan = converge(session.steps(), check)
        texts = {"before": render_table(plan.before), "after": render_table(plan.after)}
        return {"actions": list(plan.actions), **texts, **session.result(plan)}

    def drain(self, check: bool = False, timeout: int = 0) -> dict[str, t.Any]:
        return self.run(ONE, check, "drain", timeout)

    def weights(self) -> dict[str, str]:
        servers = {one.key: one for one in read_virtual_servers(lambda: Ipvs(lambda: self.kernel), self.table)}
        lines = [line.split() for line in render(servers).splitlines() if line.startswith("-a")]
        return {words[4].partition(":")[0]: words[-1] for words in lines}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_an_idle_one_is_removed_at_once(case: Case) -> None:
    foreseen = case.drain(check=True)
    assert case.weights() == {"10.0.0.1": "1", "10.0.0.2": "1"}
    done = case.drain()
    assert done == foreseen
    assert done["actions"] == ["drain and remove real server 10.0.0.2:80 of TCP 10.96.0.1:80"]
    assert (done["draining"], case.weights(), case.clock.slept) == ([], {"10.0.0.1": "1"}, [])


def test_it_is_quiesced_before_it_is_removed(case: Case) -> None:
    """A client that comes between the reading and the message keeps its connection."""
    kernel, real_send = case.kernel, case.kernel.send

    def send(data: bytes) -> int:
        if data[16] == 6:
            kernel.connect(GOES_PACKED, 1)
        return real_send(data)

    kernel.send = send  # type: ignore[method-assign]  # a client that comes at the worst moment
    done = case.drain()
    assert case.weights() == {"10.0.0.1": "1", "10.0.0.2": "0"}
    assert done["draining"] == [
        {"virtual_server": "TCP 10.96.0.1:80", "real_server": "10.0.0.2:80", "connections": 1, "removed": False}
    ]


def test_a_client_that_comes_and_leaves_while_the_module_runs(case: Case) -> None:
    """What had a connection when it was to be removed stays until a later run, and that is no failure."""
    kernel, real_send = case.kernel, case.kernel.send
    looks: list[int] = []

    def send(data: bytes) -> int:
        size = real_send(data)
        if data[16] == 6:
            kernel.connect(GOES_PACKED, 1)
            looks.append(0)
        elif data[16] == 8 and looks:
            kernel.connect(GOES_PACKED, 0)
        return size

    kernel.send = send  # type: ignore[method-assign]  # a client that comes and leaves
    case.drain()
    assert case.weights() == {"10.0.0.1": "1", "10.0.0.2": "0"}


@pytest.mark.parametrize(("active", "inactive"), [(2, 0), (0, 2), (1, 1)])
def test_one_with_connections_stays_with_weight_0_and_is_reported(case: Case, active: int, inactive: int) -> None:
    case.kernel.connect(GOES_PACKED, active, inactive)
    foreseen = case.drain(check=True)
    done = case.drain()
    assert done == foreseen
    assert done["actions"] == ["drain real server 10.0.0.2:80 of TCP 10.96.0.1:80: weight 1 -> 0"]
    assert done["draining"] == [
        {"virtual_server": "TCP 10.96.0.1:80", "real_server": "10.0.0.2:80", "connections": 2, "removed": False}
    ]
    for check in (True, False):
        again = case.drain(check)
        assert (again["actions"], again["draining"]) == ([], done["draining"])
    assert case.weights() == {"10.0.0.1": "1", "10.0.0.2": "0"}
    case.kernel.connect(GOES_PACKED, 0)
    later = case.drain()
    assert later["actions"] == ["remove real server 10.0.0.2:80 from TCP 10.96.0.1:80"]
    assert (later["draining"], case.weights()) == ([], {"10.0.0.1": "1"})


def test_what_only_remembers_a_client_does_not_count(case: Case) -> None:
    case.kernel.connect(GOES_PACKED, 0, 0, persistent=7)
    assert case.drain()["draining"] == []
    assert case.weights() == {"10.0.0.1": "1"}


def test_waiting_ends_with_the_last_connection(case: Case) -> None:
    case.kernel.connect(GOES_PACKED, 2)
    foreseen = case.drain(check=True, timeout=60)
    assert (case.clock.slept, case.weights()) == ([], {"10.0.0.1": "1", "10.0.0.2": "1"})
    case.clock.events = [lambda: case.kernel.connect(GOES_PACKED, 1), lambda: case.kernel.connect(GOES_PACKED, 0)]
    done = case.drain(timeout=60)
    assert done == foreseen
    assert done["actions"] == ["drain and remove real server 10.0.0.2:80 of TCP 10.96.0.1:80"]
    assert (len(case.clock.slept), done["draining"], case.weights()) == (2, [], {"10.0.0.1": "1"})
    assert case.drain(timeout=60)["actions"] == []


def test_at_the_limit_it_goes_with_its_connections(case: Case) -> None:
    case.kernel.connect(GOES_PACKED, 3)
    done = case.drain(timeout=5)
    assert sum(case.clock.slept) == 5
    assert done["draining"] == [
        {"virtual_server": "TCP 10.96.0.1:80", "real_server": "10.0.0.2:80", "connections": 3, "removed": True}
    ]
    assert case.weights() == {"10.0.0.1": "1"}


def test_with_a_limit_what_drains_already_is_waited_for_too(case: Case) -> None:
    case.kernel.connect(GOES_PACKED, 1)
    case.drain()
    case.clock.events = [lambda: case.kernel.connect(GOES_PACKED, 0)]
    assert case.drain(timeout=60)["actions"] == ["drain and remove real server 10.0.0.2:80 of TCP 10.96.0.1:80"]
    assert case.weights() == {"10.0.0.1": "1"}


def test_connections_that_end_meanwhile_leave_the_rest_to_a_later_run(case: Case) -> None:
    """Else a run would do what it did not announce."""
    kernel, real_send = case.kernel, case.kernel.send
    kernel.connect(GOES_PACKED, 1)

    def send(data: bytes) -> int:
        size = real_send(data)
        if data[16] == 6:
            kernel.connect(GOES_PACKED, 0)
        return size

    kernel.send = send  # type: ignore[method-assign]  # a client that leaves while the module runs
    done = case.drain()
    assert done["actions"] == ["drain real server 10.0.0.2:80 of TCP 10.96.0.1:80: weight 1 -> 0"]
    assert case.weights() == {"10.0.0.1": "1", "10.0.0.2": "0"}
    assert case.drain()["actions"] == ["remove real server 10.0.0.2:80 from TCP 10.96.0.1:80"]


def test_a_listed_one_gets_its_weight_back(case: Case) -> None:
    case.kernel.connect(GOES_PACKED, 1)
    case.drain()
    assert case.run(BOTH, mode="drain")["actions"] == [
        "edit real server 10.0.0.2:80 of TCP 10.96.0.1:80: weight 0 -> 1"
    ]


def test_exact_reports_what_others_drain(case: Case) -> None:
    case.kernel.connect(GOES_PACKED, 4)
    case.drain()
    done = case.run(ONE)
    assert (done["actions"], [one["connections"] for one in done["draining"]]) == ([], [4])


def test_somebody_who_gives_the_weight_back_is_named(case: Case) -> None:
    kernel, real_send = case.kernel, case.kernel.send
    kernel.connect(GOES_PACKED, 1)

    def send(data: bytes) -> int:
        if data[16] == 6:
            data = data.replace(bytes.fromhex("0800040000000000"), bytes.fromhex("0800040005000000"))
        return real_send(data)

    kernel.send = send  # type: ignore[method-assign]  # somebody else sets it to 5 at the same time
    with pytest.raises(NotConverged, match=r"drain real server 10\.0\.0\.2:80 of TCP 10\.96\.0\.1:80: weight 5 -> 0"):
        case.drain()
