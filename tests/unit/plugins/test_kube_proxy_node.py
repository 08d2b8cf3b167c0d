# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One node moved between the two DaemonSets of a switch: in three steps, never two kube-proxies, and from wherever a run died."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import ApiError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_mode import Wanted
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_node import Move, MoveWork, NodePlan, render
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod_work import PodWork, Restart
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch import SwitchWork
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_work import switch_work
from tests.unit.plugins.kube_switch_cluster import Died, SwitchCluster

LABEL = "kube-proxy.netops/mode"


def begun() -> SwitchCluster:
    """A cluster in which nodes can be moved."""
    cluster = SwitchCluster("cp1", "w1")
    names = Names("kube-system", "kube-proxy", "kube-proxy")
    task = switch_work(cluster.api, names, Wanted("ipvs", {}), 30)
    task = SwitchWork(task.api, task.names, task.planner, 30, cluster.now, cluster.sleep)
    converge(Steps(task.read, task.plan, task.apply), False)
    cluster.rounds(10)
    cluster.asked.clear()
    cluster.deleted.clear()
    return cluster


def work(cluster: SwitchCluster, to_second: bool, stopped: bool = False, timeout: float = 60) -> MoveWork:
    move = Move("w1", "kube-proxy", to_second, stopped)
    return MoveWork(cluster.api, "kube-system", move, timeout, cluster.now, cluster.sleep)


def run(
    cluster: SwitchCluster, to_second: bool, stopped: bool = False, check: bool = False, timeout: float = 60
) -> NodePlan:
    task = work(cluster, to_second, stopped, timeout)
    return converge(Steps(task.read, task.move.plan, task.apply), check)


def watched(cluster: SwitchCluster) -> list[tuple[str, str]]:
    """What is seen while requests come in: the node's label, and whose pods are there."""
    seen: list[tuple[str, str]] = []
    rounds = cluster.rounds

    def look(count: int) -> None:
        rounds(count)
        now = (cluster.label_of("w1"), cluster.running().get("w1", ""))
        if not seen or seen[-1] != now:
            seen.append(now)

    cluster.rounds = look  # type: ignore[method-assign]  # an instance's own, to look at each round
    return seen


def test_there_and_back_in_three_steps_each() -> None:
    cluster = begun()
    seen = watched(cluster)
    plan = run(cluster, True)
    assert plan.actions[0] == "label node w1 kube-proxy.netops/mode=switching: no kube-proxy starts there"
    assert plan.actions[1].startswith("wait until kube-proxy-")
    assert plan.actions[2:] == (
        "label node w1 kube-proxy.netops/mode=ipvs: DaemonSet kube-proxy-switch starts its pod there",
        "wait until the pod of DaemonSet kube-proxy-switch on node w1 is Ready",
    )
    assert cluster.writes == [("PUT", "w1"), ("PUT", "w1")]
    assert seen == [
        ("", "kube-proxy"),
        ("switching", "kube-proxy"),
        ("switching", ""),
        ("ipvs", "kube-proxy-switch"),
    ]
    seen.clear()
    cluster.asked.clear()
    plan = run(cluster, False)
    assert plan.actions[2] == (
        "remove the label kube-proxy.netops/mode of node w1: DaemonSet kube-proxy starts its pod there"
    )
    assert cluster.writes == [("PUT", "w1"), ("PUT", "w1")]
    assert seen == [
        ("ipvs", "kube-proxy-switch"),
        ("switching", "kube-proxy-switch"),
        ("switching", ""),
        ("", "kube-proxy"),
    ]
    assert LABEL not in cluster.objects["/api/v1/nodes/w1"]["metadata"]["labels"]


def test_a_second_run_changes_nothing() -> None:
    cluster = begun()
    run(cluster, True)
    cluster.asked.clear()
    assert run(cluster, True).operations == ()
    assert cluster.writes == []
    assert len(cluster.asked) == 4


@pytest.mark.parametrize("to_second", [True, False])
def test_check_mode_says_the_same(to_second: bool) -> None:
    cluster = begun()
    if not to_second:
        run(cluster, True)
        cluster.asked.clear()
    checked = run(cluster, to_second, check=True)
    assert cluster.writes == []
    applied = run(cluster, to_second)
    assert checked.actions == applied.actions
    assert [render(one) for one in (checked.before, checked.after)] == [
        render(one) for one in (applied.before, applied.after)
    ]
    assert render(checked.after).startswith(f"label {LABEL}: {'ipvs' if to_second else 'none'}\npod (a new one)")


def test_only_stopped() -> None:
    cluster = begun()
    plan = run(cluster, True, stopped=True)
    assert cluster.running() == {"cp1": "kube-proxy"}
    assert cluster.label_of("w1") == "switching"
    assert len(plan.actions) == 2
    assert render(plan.after) == f"label {LABEL}: switching\nno pod\n"
    cluster.asked.clear()
    assert run(cluster, True, stopped=True).operations == ()
    assert run(cluster, False, stopped=True).operations == ()
    assert cluster.writes == []
    assert run(cluster, True).actions == (
        "label node w1 kube-proxy.netops/mode=ipvs: DaemonSet kube-proxy-switch starts its pod there",
        "wait until the pod of DaemonSet kube-proxy-switch on node w1 is Ready",
    )
    assert cluster.running()["w1"] == "kube-proxy-switch"


def requests(to_second: bool) -> list[int]:
    cluster = begun()
    if not to_second:
        run(cluster, True)
        cluster.asked.clear()
    run(cluster, to_second)
    return list(range(len(cluster.asked)))


@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("then", [True, False], ids=["finished", "undone"])
@pytest.mark.parametrize("number", requests(True))
def test_killed_at_every_request(number: int, then: bool, after: bool) -> None:
    cluster = begun()
    uid = cluster.uids()["w1"]
    cluster.die_at, cluster.die_after = number, after
    with pytest.raises(Died):
        run(cluster, True)
    cluster.die_at = -1
    cluster.asked.clear()
    seen = watched(cluster)
    run(cluster, then)
    assert cluster.running()["w1"] == ("kube-proxy-switch" if then else "kube-proxy")
    assert cluster.label_of("w1") == ("ipvs" if then else "")
    assert "+" not in str(seen)
    assert len(cluster.writes) <= 2
    if not then and cluster.deleted == []:
        assert cluster.uids()["w1"] == uid


@pytest.mark.parametrize("number", requests(False))
def test_killed_on_the_way_back(number: int) -> None:
    cluster = begun()
    run(cluster, True)
    cluster.asked.clear()
    cluster.die_at = number
    with pytest.raises(Died):
        run(cluster, False)
    cluster.die_at = -1
    seen = watched(cluster)
    run(cluster, False)
    assert cluster.running()["w1"] == "kube-proxy"
    assert "+" not in str(seen)


def test_the_kubelet_is_faster_now_and_then() -> None:
    cluster = begun()
    cluster.conflicts = 3
    run(cluster, True)
    assert cluster.label_of("w1") == "ipvs"
    cluster = begun()
    cluster.conflicts = 100
    with pytest.raises(KubeProxyError, match="Could not label node w1"):
        run(cluster, True)


def test_somebody_else_labels() -> None:
    cluster = begun()
    task = work(cluster, True)
    plan = task.move.plan(task.read())
    cluster.label("w1", "nftables")
    with pytest.raises(KubeProxyError, match="Somebody else labels node w1"):
        task.apply(plan)


def test_the_api_server_is_away_while_it_waits() -> None:
    cluster = begun()
    task = work(cluster, True)
    plan = task.move.plan(task.read())
    cluster.stuck.add("none")
    cluster.away = (1.0, 6.0)
    task.apply(plan)
    assert cluster.running()["w1"] == "kube-proxy-switch"
    cluster = begun()
    cluster.away = (0.0, 100.0)
    with pytest.raises(ApiError, match="does not answer"):
        run(cluster, True)


def test_an_old_pod_that_does_not_go_is_named() -> None:
    cluster = begun()
    name = next(
        one["metadata"]["name"] for one in cluster.objects.values() if one.get("spec", {}).get("nodeName") == "w1"
    )
    cluster.stuck.add(name)
    with pytest.raises(KubeProxyError) as caught:
        run(cluster, True)
    assert "The old kube-proxy on node w1 is not gone after 60 s" in str(caught.value)
    assert f"{name} is Running" in str(caught.value)
    assert "on its way out" in str(caught.value)
    assert cluster.label_of("w1") == "switching"
    assert 59 <= cluster.time <= 62
    cluster.stuck.clear()
    run(cluster, True)
    assert cluster.running()["w1"] == "kube-proxy-switch"


def test_one_that_crashes_is_told_with_its_last_words_and_can_be_undone() -> None:
    cluster = begun()
    run(cluster, True, stopped=True)
    cluster.crashing.add("w1")
    real = type(cluster).__call__

    def answer(self: SwitchCluster, method: str, path: str, query: t.Any, body: t.Any) -> bytes:
        found = real(self, method, path, query, body)
        return b"Error: can't use the IPVS proxier\n" if path.endswith("/log") else found

    speaking = type("Speaking", (SwitchCluster,), {"__call__": answer})
    cluster.__class__ = speaking
    with pytest.raises(KubeProxyError) as caught:
        run(cluster, True)
    assert "kube-proxy on node w1 keeps crashing" in str(caught.value)
    assert "CrashLoopBackOff" in str(caught.value)
    assert caught.value.details["log_tail"] == ["Error: can't use the IPVS proxier"]
    cluster.crashing.clear()
    run(cluster, False)
    assert cluster.running()["w1"] == "kube-proxy"


def test_two_kube_proxies_are_an_error_before_anything_is_written() -> None:
    cluster = begun()
    run(cluster, True)
    cluster.asked.clear()
    pod = next(one for path, one in cluster.objects.items() if "/pods/kube-proxy-switch" in path)
    other = copy.deepcopy(pod)
    other["metadata"]["ownerReferences"][0]["name"] = "kube-proxy"
    other["metadata"].update(name="kube-proxy-x", uid="uid-x")
    cluster.controller = False
    cluster.objects["/api/v1/namespaces/kube-system/pods/kube-proxy-x"] = other
    other["metadata"]["ownerReferences"][0]["uid"] = cluster.daemon_set()["metadata"]["uid"]
    with pytest.raises(KubeProxyError, match="more than one kube-proxy on node w1"):
        run(cluster, True)
    assert cluster.writes == []


@pytest.mark.parametrize(("to_second", "stopped"), [(True, False), (True, True), (False, True)])
def test_without_a_switch_nothing_is_moved(to_second: bool, stopped: bool) -> None:
    cluster = SwitchCluster("cp1", "w1")
    with pytest.raises(KubeProxyError, match="no switch is in progress"):
        run(cluster, to_second, stopped)
    assert cluster.writes == []


def test_without_a_switch_a_node_is_the_originals_already() -> None:
    cluster = SwitchCluster("cp1", "w1")
    assert run(cluster, False).operations == ()


def test_a_label_that_was_left_is_taken_away_without_a_switch() -> None:
    cluster = SwitchCluster("cp1", "w1")
    cluster.label("w1", "ipvs")
    uid = cluster.uids()["w1"]
    run(cluster, False)
    assert cluster.label_of("w1") == ""
    assert cluster.uids()["w1"] == uid


def test_a_pod_of_the_second_pair_is_restarted_like_any() -> None:
    cluster = begun()
    run(cluster, True)
    uid = cluster.uids()["w1"]
    task = PodWork(cluster.api, "kube-system", "kube-proxy", Restart("w1", uid), 60, cluster.now, cluster.sleep)
    converge(Steps(task.read, task.restart.plan, task.apply), False)
    assert cluster.running()["w1"] == "kube-proxy-switch"
    assert cluster.uids()["w1"] != uid
