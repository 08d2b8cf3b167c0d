# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The timeouts that IPVS has for all connections."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import render_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_session import Session
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import wanted_from_options
from tests.unit.plugins.ipvs_kernel import FakeKernel


def run(kernel: FakeKernel, table: Path, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
    session = Session(wanted_from_options(params), lambda: Ipvs(lambda: kernel), str(table))
    plan = converge(session.steps(), check)
    texts = (render_table(plan.before), render_table(plan.after))
    return {"actions": list(plan.actions), "diff": texts, **session.result(plan)}


@pytest.fixture
def loaded(tmp_path: Path) -> Path:
    (tmp_path / "ip_vs").touch()
    return tmp_path / "ip_vs"


def test_the_quartet(loaded: Path) -> None:
    kernel = FakeKernel()
    foreseen = run(kernel, loaded, True, timeouts={"tcp": 3600, "udp": 300})
    assert kernel.timeouts == [900, 120, 300]
    done = run(kernel, loaded, timeouts={"tcp": 3600, "udp": 300})
    assert done == foreseen
    assert done["actions"] == ["set timeouts: tcp 900 -> 3600"]
    assert done["diff"] == ("--set 900 120 300\n", "--set 3600 120 300\n")
    assert done["timeouts"] == {"tcp": 3600, "tcp_fin": 120, "udp": 300}
    assert kernel.timeouts == [3600, 120, 300]
    for check in (True, False):
        again = run(kernel, loaded, check, timeouts={"tcp": 3600, "udp": 300})
        assert (again["actions"], again["diff"], again["timeouts"]) == ([], ("", ""), done["timeouts"])


def test_they_come_with_virtual_servers_and_without_being_asked_for_are_not_read(loaded: Path) -> None:
    kernel = FakeKernel()
    web = {"address": "10.96.0.1", "port": 80, "real_servers": []}
    done = run(kernel, loaded, virtual_servers=[web], timeouts={"tcp_fin": 60})
    assert done["actions"] == [
        "set timeouts: tcp_fin 120 -> 60",
        "add TCP 10.96.0.1:80 with scheduler rr and 0 real servers",
    ]
    assert kernel.timeouts == [900, 60, 300]
    assert "timeouts" not in run(kernel, loaded, virtual_servers=[web])
    gone = run(kernel, loaded, virtual_servers=[web], state="absent", timeouts={"tcp_fin": 61})
    assert gone["timeouts"]["tcp_fin"] == 61
    assert not kernel.services


def test_without_ip_vs_they_are_those_that_it_starts_with(tmp_path: Path) -> None:
    def connect() -> Ipvs:
        raise AssertionError("a socket was opened, which loads ip_vs")

    for wish, actions in (({"udp": 300}, []), ({"udp": 30}, ["set timeouts: udp 300 -> 30"])):
        session = Session(wanted_from_options({"timeouts": wish}), connect, str(tmp_path / "ip_vs"))
        plan = converge(session.steps(), True)
        assert list(plan.actions) == actions
        assert session.result(plan)["timeouts"] == {"tcp": 900, "tcp_fin": 120, "udp": wish["udp"]}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"timeouts": {"tcp": 0}}, "timeouts.tcp: 0 is not a number from 1 to 2678400"),
        ({"timeouts": {"udp": 2678401}}, "timeouts.udp: 2678401 is not a number from 1 to 2678400"),
        ({"timeouts": {"tcp": 1}, "purge_cidrs": ["10.0.0.0/8"]}, "nothing is listed. Give virtual_servers; an empty"),
        (
            {"virtual_servers": [], "drain_timeout": 5},
            "drain_timeout means nothing without draining. Set unlisted_real",
        ),
        (
            {"virtual_servers": [], "drain_timeout": -1, "unlisted_real_servers": "drain"},
            "drain_timeout: -1 is not a number from 0 to 2678400",
        ),
    ],
)
def test_what_cannot_be_meant(params: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        wanted_from_options(params)
    assert words in str(error.value)
