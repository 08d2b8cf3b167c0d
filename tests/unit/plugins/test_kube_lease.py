# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Lease that keeps a second operator out: who gets it, by whose clock it ends, and what is said to the other one."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import ApiError, KubeApi
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_lease import Claim, LeasePlan, facts, render
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_lease_work import LeaseWork
from tests.unit.plugins.kube_switch_cluster import LEASES, Died, SwitchCluster

NAME = "netops-kube-proxy-switch"
PATH = f"{LEASES}/{NAME}"


def work(cluster: SwitchCluster, holder: str, held: bool = True, seconds: int = 60) -> LeaseWork:
    return LeaseWork(cluster.api, Claim("kube-system", NAME, holder, seconds, held))


def run(cluster: SwitchCluster, holder: str, held: bool = True, seconds: int = 60, check: bool = False) -> LeasePlan:
    task = work(cluster, holder, held, seconds)
    return converge(Steps(task.read, task.claim.plan, task.apply), check)


def spec(cluster: SwitchCluster) -> dict[str, t.Any]:
    found: dict[str, t.Any] = cluster.objects[PATH]["spec"]
    return found


def test_a_free_lease_is_taken_with_the_servers_time() -> None:
    cluster = SwitchCluster()
    plan = run(cluster, "ann@a")
    assert plan.actions == (f"take Lease kube-system/{NAME} for ann@a, for 60 s",)
    assert cluster.writes == [("POST", "leases")]
    assert cluster.objects[PATH]["kind"] == "Lease"
    assert spec(cluster) == {
        "holderIdentity": "ann@a",
        "leaseDurationSeconds": 60,
        "acquireTime": "2026-11-22T19:00:00.000000Z",
        "renewTime": "2026-11-22T19:00:00.000000Z",
        "leaseTransitions": 0,
    }
    assert facts(work(cluster, "ann@a").read()) == {
        "held_by": "ann@a",
        "acquired_at": "2026-11-22T19:00:00.000000Z",
        "expires_at": "2026-11-22T19:01:00Z",
        "transitions": 0,
    }


def test_check_mode_takes_nothing_and_says_the_same() -> None:
    cluster = SwitchCluster()
    checked = run(cluster, "ann@a", check=True)
    assert cluster.writes == []
    applied = run(cluster, "ann@a")
    assert checked.actions == applied.actions
    assert render(checked.after) == render(applied.after) == "holder: ann@a\nduration: 60 s\n"
    assert facts(checked.after) == facts(work(cluster, "ann@a").read())


def test_ours_is_renewed_when_half_of_its_time_is_over() -> None:
    cluster = SwitchCluster()
    run(cluster, "ann@a")
    cluster.time = 30
    assert run(cluster, "ann@a").operations == ()
    cluster.time = 31
    assert run(cluster, "ann@a").actions == (f"renew Lease kube-system/{NAME} of ann@a",)
    assert spec(cluster)["renewTime"] == "2026-11-22T19:00:31.000000Z"
    assert spec(cluster)["acquireTime"] == "2026-11-22T19:00:00.000000Z"
    assert spec(cluster)["leaseTransitions"] == 0
    assert run(cluster, "ann@a", seconds=90).actions == (f"renew Lease kube-system/{NAME} of ann@a",)
    assert spec(cluster)["leaseDurationSeconds"] == 90


@pytest.mark.parametrize("check", [True, False])
def test_anothers_is_refused_with_its_name_and_times(check: bool) -> None:
    cluster = SwitchCluster()
    run(cluster, "ann@a")
    cluster.time = 59
    cluster.asked.clear()
    with pytest.raises(KubeProxyError) as caught:
        run(cluster, "bob@b", check=check)
    assert "is held by ann@a; nothing was changed" in str(caught.value)
    assert "since 2026-11-22T19:00:00.000000Z, until 2026-11-22T19:01:00Z" in str(caught.value)
    assert "where it is 2026-11-22T19:00:59Z" in str(caught.value)
    assert f"kubectl -n kube-system delete lease {NAME}" in str(caught.value)
    assert caught.value.details["held_by"] == "ann@a"
    assert cluster.writes == []


def test_one_that_is_over_changes_hands() -> None:
    cluster = SwitchCluster()
    run(cluster, "ann@a")
    cluster.time = 60
    plan = run(cluster, "bob@b")
    assert plan.actions == (
        f"take Lease kube-system/{NAME} for bob@b, for 60 s (that of ann@a ended 2026-11-22T19:01:00Z)",
    )
    assert spec(cluster)["leaseTransitions"] == 1
    assert spec(cluster)["acquireTime"] == "2026-11-22T19:01:00.000000Z"
    with pytest.raises(KubeProxyError, match="is held by bob@b"):
        run(cluster, "ann@a")


def test_released_it_is_free_at_once() -> None:
    cluster = SwitchCluster()
    run(cluster, "ann@a")
    assert run(cluster, "ann@a", held=False).actions == (f"release Lease kube-system/{NAME} of ann@a",)
    assert run(cluster, "ann@a", held=False).operations == ()
    assert facts(work(cluster, "ann@a").read())["held_by"] == ""
    run(cluster, "bob@b")
    assert spec(cluster)["leaseTransitions"] == 1


def test_only_ours_is_released() -> None:
    cluster = SwitchCluster()
    assert run(cluster, "ann@a", held=False).operations == ()
    run(cluster, "bob@b")
    assert run(cluster, "ann@a", held=False).operations == ()
    assert spec(cluster)["holderIdentity"] == "bob@b"


# renewTime as some other program's clock had it, the server's record of the last write, and whether it is over at 19:02:00.
CLOCKS = [
    ("2026-11-22T23:00:00.000000Z", "2026-11-22T19:00:30Z", True),
    ("2026-11-22T12:00:00.000000Z", "2026-11-22T19:01:30Z", False),
    ("2026-11-22T19:01:00.000001Z", None, True),
    ("2026-11-22T19:01:30Z", None, False),
    (None, None, False),
    ("yesterday", "", False),
]


@pytest.mark.parametrize(("renewed", "written", "over"), CLOCKS)
def test_whose_clock_counts(renewed: str | None, written: str | None, over: bool) -> None:
    cluster = SwitchCluster()
    run(cluster, "carol")
    spec(cluster)["renewTime"] = renewed
    fields = [] if written is None else [{"time": "2026-11-22T18:00:00Z"} if written else {}, {"time": written}]
    cluster.objects[PATH]["metadata"]["managedFields"] = fields
    cluster.time = 120
    if over:
        run(cluster, "ann@a")
        assert spec(cluster)["holderIdentity"] == "ann@a"
    else:
        with pytest.raises(KubeProxyError, match="is held by carol"):
            run(cluster, "ann@a")


def test_one_without_a_duration_never_ends() -> None:
    cluster = SwitchCluster()
    run(cluster, "carol")
    del spec(cluster)["leaseDurationSeconds"]
    cluster.time = 1e6
    with pytest.raises(KubeProxyError, match="until it is released"):
        run(cluster, "ann@a")


@pytest.mark.parametrize("exists", [True, False])
def test_of_two_at_the_same_moment_one_gets_it(exists: bool) -> None:
    cluster = SwitchCluster()
    if exists:
        run(cluster, "ann@a")
        run(cluster, "ann@a", held=False)
    task = work(cluster, "ann@a")
    plan = task.claim.plan(task.read())
    run(cluster, "bob@b")
    with pytest.raises(KubeProxyError, match="is held by bob@b"):
        task.apply(plan)
    assert spec(cluster)["holderIdentity"] == "bob@b"


@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("number", range(3))
def test_killed_at_every_request(number: int, held: bool, after: bool) -> None:
    cluster = SwitchCluster()
    if not held:
        run(cluster, "ann@a")
        cluster.asked.clear()
    cluster.die_at, cluster.die_after = number, after
    with pytest.raises(Died):
        run(cluster, "ann@a", held)
    cluster.die_at = -1
    run(cluster, "ann@a", held)
    assert facts(work(cluster, "ann@a").read())["held_by"] == ("ann@a" if held else "")


def test_after_five_conflicts_it_gives_up() -> None:
    cluster = SwitchCluster()
    run(cluster, "ann@a")
    cluster.time = 50
    cluster.conflicts = 100
    with pytest.raises(KubeProxyError, match="changed it 5 times"):
        run(cluster, "ann@a")


def test_no_server_no_lease() -> None:
    cluster = SwitchCluster()
    cluster.away = (0, 10)
    with pytest.raises(ApiError, match="does not answer"):
        run(cluster, "ann@a")


@pytest.mark.parametrize("header", ["", "yesterday"])
def test_an_answer_without_a_time_is_an_error(header: str) -> None:
    cluster = SwitchCluster()
    api = KubeApi(cluster, date=lambda: header)
    with pytest.raises(ApiError, match="Could not read the API server's clock"):
        LeaseWork(api, Claim("kube-system", NAME, "ann@a", 60)).read()
