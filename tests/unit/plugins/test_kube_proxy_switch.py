# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The second pair: how it is made, that nothing restarts, and that a run which died is finished by the next."""

from __future__ import annotations

import copy
import json
import time
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_switch_model as model
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import ApiError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_mode import ModeWork, Wanted
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_node import Move, MoveWork
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names, look_around
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch import SwitchPlan, SwitchWork
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_report import render
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_work import (
    result,
    switch_work,
    warnings,
)
from tests.unit.plugins.kube_switch_cluster import Died, SwitchCluster

Object = dict[str, t.Any]
NAMES = Names("kube-system", "kube-proxy", "kube-proxy")
LABEL = "kube-proxy.netops/mode"
GUARD = {"key": LABEL, "operator": "DoesNotExist"}


def work(cluster: SwitchCluster, mode: str | None = "ipvs", **settings: t.Any) -> SwitchWork:
    task = switch_work(cluster.api, NAMES, Wanted(mode, settings), 30)
    return SwitchWork(task.api, task.names, task.planner, 30, cluster.now, cluster.sleep)


def undoing(cluster: SwitchCluster) -> SwitchWork:
    return SwitchWork(cluster.api, NAMES, None, 30, cluster.now, cluster.sleep)


def run(task: SwitchWork, check: bool = False) -> SwitchPlan:
    return converge(Steps(task.read, task.plan, task.apply), check)


def present(cluster: SwitchCluster, mode: str | None = "ipvs", check: bool = False, **settings: t.Any) -> SwitchPlan:
    return run(work(cluster, mode, **settings), check)


def absent(cluster: SwitchCluster, check: bool = False) -> SwitchPlan:
    return run(undoing(cluster), check)


def move(cluster: SwitchCluster, name: str, to_second: bool) -> None:
    task = MoveWork(cluster.api, "kube-system", Move(name, "kube-proxy", to_second), 60, cluster.now, cluster.sleep)
    converge(Steps(task.read, task.move.plan, task.apply), False)


def essence(cluster: SwitchCluster) -> str:
    """The original pair without what the server keeps, as canonical JSON."""
    daemon_set, config = copy.deepcopy(cluster.daemon_set()), copy.deepcopy(cluster.config())
    annotations = daemon_set["metadata"].get("annotations") or {}
    labels = daemon_set["metadata"].get("labels")
    return json.dumps([daemon_set["spec"], annotations, labels, config["data"]], sort_keys=True)


def test_the_note_names_the_mode_that_an_empty_one_stood_for() -> None:
    cluster = SwitchCluster()
    data = cluster.config()["data"]
    data["config.conf"] = data["config.conf"].replace("mode: iptables", 'mode: ""')
    assert 'mode: ""' in cluster.config()["data"]["config.conf"]
    present(cluster)
    assert (
        json.loads(cluster.daemon_set()["metadata"]["annotations"]["kube-proxy.netops/switch"])["modeBefore"]
        == "iptables"
    )


def test_requests_in_order() -> None:
    cluster = SwitchCluster()
    before = copy.deepcopy(cluster.daemon_set())
    bodies: list[Object] = []
    task = work(cluster)
    plan = task.plan(task.read())
    cluster.asked.clear()
    task.apply(plan)
    assert [op.words for op in plan.operations] == [
        "let DaemonSet kube-system/kube-proxy restart nothing by itself (OnDelete), and note in it how it was",
        "keep DaemonSet kube-system/kube-proxy off nodes with the label kube-proxy.netops/mode",
        "make ConfigMap kube-proxy-switch, with mode ipvs",
        "make DaemonSet kube-proxy-switch for nodes with the label kube-proxy.netops/mode=ipvs",
    ]
    # What the controller does in between may cost a PUT a second attempt.
    assert list(dict.fromkeys(cluster.writes)) == [
        ("PUT", "kube-proxy"),
        ("POST", "configmaps"),
        ("POST", "daemonsets"),
    ]
    bodies = [dict(op.body) for op in plan.operations]
    assert bodies[0]["spec"]["template"] == before["spec"]["template"]
    assert bodies[0]["spec"]["updateStrategy"] == {"type": "OnDelete"}
    note = json.loads(cluster.daemon_set()["metadata"]["annotations"]["kube-proxy.netops/switch"])
    assert note.pop("revision")
    assert note.pop("configHash")
    assert note == {
        "mode": "ipvs",
        "modeBefore": "iptables",
        "updateStrategy": before["spec"]["updateStrategy"],
        "affinity": None,
        "configVersion": cluster.config()["metadata"]["resourceVersion"],
    }
    assert cluster.daemon_set()["spec"]["template"]["spec"]["affinity"] == {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [GUARD]}]}
        }
    }
    cluster.rounds(10)
    assert cluster.deleted == []


def test_the_second_pair_differs_in_what_it_must() -> None:
    cluster = SwitchCluster()
    template = copy.deepcopy(cluster.daemon_set()["spec"]["template"])
    data = dict(cluster.config()["data"])
    cluster.daemon_set()["spec"]["template"]["metadata"]["annotations"] = {"netops.kube-proxy/config-version": "7"}
    present(cluster, "ipvs", ipvs={"scheduler": "lc"})
    second, config = cluster.daemon_set("kube-proxy-switch"), cluster.config("kube-proxy-switch")
    template["metadata"]["labels"] = {"kube-proxy.netops/switch": "ipvs"}
    template["spec"]["nodeSelector"][LABEL] = "ipvs"
    template["spec"]["volumes"][0]["configMap"]["name"] = "kube-proxy-switch"
    assert second["spec"]["template"] == template
    assert second["spec"]["selector"] == {"matchLabels": {"kube-proxy.netops/switch": "ipvs"}}
    assert second["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert second["metadata"]["labels"] == {"kube-proxy.netops/switch": "ipvs"}
    assert config["data"]["kubeconfig.conf"] == data["kubeconfig.conf"]
    edited = data["config.conf"].replace("mode: iptables", "mode: ipvs").replace('scheduler: ""', "scheduler: lc")
    assert config["data"]["config.conf"] == edited
    assert cluster.config()["data"] == data


AFFINITIES: list[tuple[Object | None, Object]] = [
    (None, {"nodeAffinity": {model.REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [GUARD]}]}}}),
    ({}, {"nodeAffinity": {model.REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [GUARD]}]}}}),
    (
        {"podAffinity": {"x": 1}, "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}},
        {
            "podAffinity": {"x": 1},
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}],
                model.REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [GUARD]}]},
            },
        },
    ),
    # Terms are alternatives: the guard goes into each. An empty term matches no node and must not begin to.
    (
        {
            "nodeAffinity": {
                model.REQUIRED: {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w1"]}]},
                        {},
                    ]
                }
            }
        },
        {
            "nodeAffinity": {
                model.REQUIRED: {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "a", "operator": "Exists"}, GUARD]},
                        {
                            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w1"]}],
                            "matchExpressions": [GUARD],
                        },
                        {},
                    ]
                }
            }
        },
    ),
]


@pytest.mark.parametrize(("before", "after"), AFFINITIES)
def test_the_guard_joins_an_affinity_that_is_there(before: Object | None, after: Object) -> None:
    kept = copy.deepcopy(before)
    assert model.guarded(before) == after
    assert model.guarded(after) == after
    assert before == kept
    assert model.has_guard(after)
    assert not model.has_guard(before)
    assert model.without_guard(after) == (before or None)


@pytest.mark.parametrize("affinity", [affinity for affinity, _after in AFFINITIES if affinity != {}])
def test_there_and_back_with_a_node_that_ran_on_the_second_pair(affinity: Object | None) -> None:
    cluster = SwitchCluster("cp1", "w1")
    if affinity is not None:
        # One of its terms matches, so that the pods are there.
        for name in ("cp1", "w1"):
            cluster.objects[f"/api/v1/nodes/{name}"]["metadata"]["labels"]["a"] = ""
        cluster.daemon_set()["spec"]["template"]["spec"]["affinity"] = copy.deepcopy(affinity)
        cluster.daemon_set()["metadata"]["generation"] += 1
        cluster.rounds(30)
        cluster.deleted.clear()
    before, uids = essence(cluster), cluster.uids()
    present(cluster)
    assert cluster.uids() == uids
    move(cluster, "w1", True)
    assert cluster.running() == {"cp1": "kube-proxy", "w1": "kube-proxy-switch"}
    move(cluster, "w1", False)
    assert cluster.running() == {"cp1": "kube-proxy", "w1": "kube-proxy"}
    back = cluster.uids()
    assert back["cp1"] == uids["cp1"]
    assert back["w1"] != uids["w1"]
    plan = absent(cluster)
    assert essence(cluster) == before
    cluster.rounds(20)
    assert cluster.uids() == back
    assert any(action.startswith("mark as pods of the pod template") for action in plan.actions)
    assert cluster.deleted == ["w1", "w1"]
    assert "kube-proxy-switch" not in str(list(cluster.objects))


def test_without_the_marks_rolling_update_restarts_the_node() -> None:
    """What the marks are for: the cluster of these tests does what the real controller does."""
    cluster = SwitchCluster("cp1", "w1")
    present(cluster)
    move(cluster, "w1", True)
    move(cluster, "w1", False)
    uids = cluster.uids()
    daemon_set = cluster.daemon_set()
    del daemon_set["spec"]["template"]["spec"]["affinity"]
    daemon_set["spec"]["updateStrategy"] = {"type": "RollingUpdate"}
    cluster.rounds(20)
    assert cluster.uids()["w1"] != uids["w1"]
    assert cluster.uids()["cp1"] == uids["cp1"]


def test_check_mode_writes_nothing_and_says_the_same() -> None:
    cluster = SwitchCluster()
    checked = present(cluster, check=True)
    assert cluster.writes == []
    applied = present(cluster)
    assert checked.actions == applied.actions
    assert [render(one) for one in (checked.before, checked.after)] == [
        render(one) for one in (applied.before, applied.after)
    ]
    move(cluster, "w1", True)
    move(cluster, "w1", False)
    cluster.asked.clear()
    checked = absent(cluster, check=True)
    assert cluster.writes == []
    applied = absent(cluster)
    assert checked.actions == applied.actions
    assert render(checked.after) == render(applied.after)


def test_a_second_run_changes_nothing() -> None:
    cluster = SwitchCluster()
    present(cluster)
    cluster.asked.clear()
    assert present(cluster).operations == ()
    assert present(cluster, None).operations == ()
    absent(cluster)
    cluster.asked.clear()
    assert absent(cluster).operations == ()
    assert cluster.writes == []


def lives(
    action: t.Callable[[SwitchCluster], t.Any], prepare: t.Callable[[SwitchCluster], t.Any], writes: bool = False
) -> list[int]:
    """The numbers of the requests of one run, or of those that change something."""
    cluster = SwitchCluster("cp1", "w1", "w2")
    prepare(cluster)
    cluster.asked.clear()
    action(cluster)
    return [number for number, (method, _path) in enumerate(cluster.asked) if method != "GET" or not writes]


def moved_and_back_of(cluster: SwitchCluster, *names: str) -> None:
    present(cluster)
    for name in names:
        move(cluster, name, True)
        move(cluster, name, False)


def moved_and_back(cluster: SwitchCluster) -> None:
    moved_and_back_of(cluster, "w1", "w2")


@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("number", lives(present, lambda _cluster: None))
def test_present_killed_at_every_request(number: int, after: bool) -> None:
    whole = SwitchCluster("cp1", "w1", "w2")
    present(whole)
    cluster = SwitchCluster("cp1", "w1", "w2")
    uids = cluster.uids()
    cluster.die_at, cluster.die_after = number, after
    with pytest.raises(Died):
        present(cluster)
    cluster.die_at = -1
    cluster.rounds(20)
    present(cluster)
    assert essence(cluster) == essence(whole)
    assert cluster.daemon_set("kube-proxy-switch")["spec"] == whole.daemon_set("kube-proxy-switch")["spec"]
    assert cluster.config("kube-proxy-switch")["data"] == whole.config("kube-proxy-switch")["data"]
    cluster.rounds(20)
    assert cluster.uids() == uids


@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("number", lives(present, lambda _cluster: None, writes=True))
def test_present_killed_at_every_write_and_undone(number: int, after: bool) -> None:
    cluster = SwitchCluster("cp1", "w1", "w2")
    before, uids = essence(cluster), cluster.uids()
    cluster.die_at, cluster.die_after = number, after
    with pytest.raises(Died):
        present(cluster)
    cluster.die_at = -1
    cluster.rounds(20)
    absent(cluster)
    cluster.rounds(20)
    assert essence(cluster) == before
    assert cluster.uids() == uids


@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("number", lives(absent, moved_and_back))
def test_absent_killed_at_every_request(number: int, after: bool) -> None:
    cluster = SwitchCluster("cp1", "w1", "w2")
    before = essence(cluster)
    moved_and_back(cluster)
    uids = cluster.uids()
    cluster.asked.clear()
    cluster.die_at, cluster.die_after = number, after
    with pytest.raises(Died):
        absent(cluster)
    cluster.die_at = -1
    cluster.rounds(20)
    absent(cluster)
    cluster.rounds(20)
    assert essence(cluster) == before
    assert cluster.uids() == uids
    assert "kube-proxy-switch" not in str(list(cluster.objects))


@pytest.mark.parametrize("action", [present, absent])
def test_somebody_was_faster(action: t.Callable[[SwitchCluster], SwitchPlan]) -> None:
    cluster = SwitchCluster()
    before = essence(cluster)
    if action is absent:
        present(cluster)
    cluster.conflicts = 3
    action(cluster)
    assert cluster.conflicts == 0
    assert (essence(cluster) == before) == (action is absent)


def test_after_five_conflicts_it_gives_up_and_the_next_run_goes_on() -> None:
    cluster = SwitchCluster()
    cluster.conflicts = 100
    with pytest.raises(KubeProxyError, match="changed it 5 times at the same moment"):
        present(cluster)
    cluster.conflicts = 0
    present(cluster)
    assert "kube-proxy-switch" in str(list(cluster.objects))


def test_the_api_server_is_away() -> None:
    cluster = SwitchCluster()
    cluster.away = (0.0, 1.0)
    with pytest.raises(ApiError, match="does not answer"):
        present(cluster)


def test_a_controller_that_does_not_look_is_named() -> None:
    cluster = SwitchCluster()
    present(cluster)
    cluster.rounds(10)
    cluster.controller = False
    with pytest.raises(KubeProxyError, match="controller has not looked at kube-system/kube-proxy after 30 s"):
        absent(cluster)
    cluster.controller = True
    absent(cluster)
    assert "kube-proxy.netops/switch" not in json.dumps(cluster.daemon_set()["metadata"])


def test_absent_is_refused_while_nodes_are_moved() -> None:
    cluster = SwitchCluster("cp1", "w1")
    present(cluster)
    move(cluster, "w1", True)
    with pytest.raises(KubeProxyError, match=r"nodes with the label kube-proxy\.netops/mode: w1") as caught:
        absent(cluster)
    assert caught.value.details["phase"] == "ready"
    assert caught.value.details["mode"] == {"before": "iptables", "after": "ipvs", "configured": "iptables"}
    shown = {one["name"]: (one["label"], one["daemon_set"], one["ready"]) for one in caught.value.details["nodes"]}
    assert shown == {"cp1": ("", "kube-proxy", True), "w1": ("ipvs", "kube-proxy-switch", True)}


def test_absent_is_refused_while_a_pod_is_ending() -> None:
    cluster = SwitchCluster("cp1", "w1")
    present(cluster)
    move(cluster, "w1", True)
    second = next(one for path, one in cluster.objects.items() if "/pods/kube-proxy-switch" in path)
    cluster.stuck.add(second["metadata"]["name"])
    cluster.label("w1", "")
    cluster.rounds(10)
    with pytest.raises(KubeProxyError, match="Pods of DaemonSet kube-proxy-switch are still there"):
        absent(cluster)


def test_another_switch_is_in_progress() -> None:
    cluster = SwitchCluster("cp1", "w1")
    present(cluster)
    move(cluster, "w1", True)
    cluster.asked.clear()
    with pytest.raises(KubeProxyError, match="A switch to ipvs is in progress") as caught:
        present(cluster, "nftables")
    assert "run again with mode ipvs" in str(caught.value)
    assert "state=absent" in str(caught.value)
    assert "w1" in str(caught.value)
    assert cluster.writes == []


def test_a_pair_without_a_note_still_tells_its_mode() -> None:
    """C(kubeadm upgrade) writes the original DaemonSet as a whole: the note and the guard go."""
    cluster = SwitchCluster("cp1", "w1")
    original = copy.deepcopy(cluster.daemon_set())
    present(cluster)
    cluster.daemon_set()["spec"] = copy.deepcopy(original["spec"])
    cluster.daemon_set()["metadata"]["annotations"] = {}
    cluster.daemon_set()["metadata"]["generation"] += 1
    with pytest.raises(KubeProxyError, match="A switch to ipvs is in progress"):
        present(cluster, "nftables")
    present(cluster)
    assert cluster.daemon_set()["spec"]["updateStrategy"] == {"type": "OnDelete"}
    absent(cluster)
    assert cluster.daemon_set()["spec"] == original["spec"]


def test_a_guard_without_a_note_is_not_guessed_about() -> None:
    cluster = SwitchCluster()
    present(cluster)
    cluster.daemon_set()["metadata"]["annotations"] = {}
    with pytest.raises(KubeProxyError, match="Run with state=present once"):
        absent(cluster)
    present(cluster)
    absent(cluster)
    assert "affinity" not in cluster.daemon_set()["spec"]["template"]["spec"]


def test_a_note_that_is_not_ours() -> None:
    cluster = SwitchCluster()
    cluster.daemon_set()["metadata"]["annotations"] = {"kube-proxy.netops/switch": "yes"}
    with pytest.raises(KubeProxyError, match="cannot be read: it is 'yes'"):
        present(cluster)


def test_an_edit_of_the_original_meanwhile_is_said() -> None:
    cluster = SwitchCluster()
    present(cluster)
    task = work(cluster)
    assert not [one for one in warnings(task, run(task)) if "edited" in one]
    cluster.edit_config("oomScoreAdj: null", "oomScoreAdj: -5")
    task = work(cluster)
    plan = run(task)
    assert plan.operations == ()
    found = warnings(task, plan)
    assert "ConfigMap kube-proxy was edited since the switch began" in found[-1]
    assert "oomScoreAdj is null in the second, -5 by the original" in found[-1]
    cluster.edit_config("oomScoreAdj: -5", "oomScoreAdj: null")
    cluster.edit_config("oomScoreAdj: null", "oomScoreAdj: -7", "kube-proxy-switch")
    task = work(cluster)
    found = warnings(task, run(task))
    assert "ConfigMap kube-proxy-switch was edited by hand" in found[-1]


def test_the_mode_in_the_original_at_the_end_is_no_difference() -> None:
    cluster = SwitchCluster()
    present(cluster)
    cluster.edit_config("mode: iptables", "mode: ipvs")
    task = work(cluster)
    plan = run(task)
    assert not [one for one in warnings(task, plan) if "edited" in one]
    assert result(task, plan)["mode"] == {"before": "iptables", "after": "ipvs", "configured": "ipvs"}


def test_settings_that_come_later_reach_the_second_pair() -> None:
    cluster = SwitchCluster()
    present(cluster)
    plan = present(cluster, "ipvs", ipvs={"scheduler": "lc"})
    assert plan.actions == ("change ConfigMap kube-proxy-switch",)
    assert "scheduler: lc" in cluster.config("kube-proxy-switch")["data"]["config.conf"]


def test_an_image_that_is_changed_meanwhile_rolls_out_at_the_end() -> None:
    cluster = SwitchCluster("cp1", "w1")
    present(cluster)
    move(cluster, "w1", True)
    template = cluster.daemon_set()["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "registry.k8s.io/kube-proxy:v1.37.3"
    cluster.daemon_set()["metadata"]["generation"] += 1
    assert present(cluster).actions == ("change DaemonSet kube-proxy-switch; no pod restarts",)
    move(cluster, "w1", False)
    uids = cluster.uids()
    task = undoing(cluster)
    plan = run(task)
    cluster.rounds(20)
    assert cluster.uids()["w1"] == uids["w1"]
    assert cluster.uids()["cp1"] != uids["cp1"]
    assert task.restarted(plan.before) == ["cp1"]


def test_all_nodes_on_the_second_pair() -> None:
    """The original then wants no pod anywhere, and is kube-proxy all the same: its ConfigMap can be edited."""
    cluster = SwitchCluster("cp1", "w1")
    present(cluster)
    for name in ("cp1", "w1"):
        move(cluster, name, True)
    assert cluster.daemon_set()["status"]["desiredNumberScheduled"] == 0
    surroundings = look_around(cluster.api, NAMES)
    surroundings.deployment.refuse()
    task = ModeWork(cluster.api, NAMES, Wanted("ipvs", {}), surroundings)
    converge(Steps(task.read, task.plan, task.apply), False)
    assert "mode: ipvs" in cluster.config()["data"]["config.conf"]
    assert present(cluster).operations == ()


def test_phases() -> None:
    cluster = SwitchCluster()
    task = work(cluster)
    assert result(task, run(task, check=True))["phase"] == "ready"
    with pytest.raises(KubeProxyError) as caught:
        present(cluster, None)
    assert isinstance(caught.value, InvalidInput)
    assert caught.value.details["phase"] == "none"
    present(cluster)
    del cluster.objects["/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy-switch"]
    with pytest.raises(KubeProxyError) as caught:
        present(cluster, "nftables")
    assert caught.value.details["phase"] == "begun"
    found = result(undoing(cluster), absent(cluster))
    assert found["phase"] == "none"
    assert found["mode"] == {"before": "iptables", "after": "iptables", "configured": "iptables"}


def _foreign_config(cluster: SwitchCluster) -> None:
    present(cluster)
    absent(cluster)
    config = copy.deepcopy(cluster.config())
    config["metadata"]["name"] = "kube-proxy-switch"
    cluster.objects["/api/v1/namespaces/kube-system/configmaps/kube-proxy-switch"] = config


def _managed(cluster: SwitchCluster) -> None:
    cluster.daemon_set()["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "x"}


def _by_expressions(cluster: SwitchCluster) -> None:
    cluster.daemon_set()["spec"]["selector"]["matchExpressions"] = [{"key": "k8s-app", "operator": "Exists"}]


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_foreign_config, "is there already, and none of a switch"),
        (_managed, "is managed by Argo CD"),
        (_by_expressions, "selects its pods by expressions"),
    ],
)
def test_refused_before_anything_is_written(prepare: t.Callable[[SwitchCluster], None], words: str) -> None:
    cluster = SwitchCluster()
    prepare(cluster)
    cluster.asked.clear()
    with pytest.raises(KubeProxyError, match=words):
        present(cluster)
    assert cluster.writes == []


def test_the_planner_of_the_mode_refuses() -> None:
    cluster = SwitchCluster()
    with pytest.raises(KubeProxyError, match="would not start with this configuration"):
        present(cluster, "ipvs", ipvs={"minSyncPeriod": "60s", "syncPeriod": "5s"})
    assert cluster.writes == []


def test_a_thousand_nodes_that_have_all_been_moved() -> None:
    """One step marks all pods: a plan for each would take the square of their number."""
    cluster = SwitchCluster("cp1", "w1")
    moved_and_back_of(cluster, "w1")
    state = undoing(cluster).read()
    stale = [pod for pod in state.own_pods() if pod["spec"]["nodeName"] == "w1"]
    many = tuple(
        {**stale[0], "metadata": {**stale[0]["metadata"], "name": f"kube-proxy-{number}", "uid": f"many-{number}"}}
        for number in range(1000)
    )
    started = time.process_time()
    plan = undoing(cluster).plan(replace(state, pods=(*state.pods, *many)))
    assert time.process_time() - started < 5
    assert [len(op.pods) for op in plan.operations if op.pods] == [1001]


def test_a_pod_that_goes_while_it_is_marked() -> None:
    cluster = SwitchCluster("cp1", "w1", "w2")
    before = essence(cluster)
    moved_and_back_of(cluster, "w1", "w2")
    task = undoing(cluster)
    plan = task.plan(task.read())
    gone = next(path for path, one in cluster.objects.items() if (one.get("spec") or {}).get("nodeName") == "w1")
    cluster.end(gone)
    task.apply(plan)
    cluster.rounds(20)
    assert essence(cluster) == before
    assert cluster.running() == {"cp1": "kube-proxy", "w1": "kube-proxy", "w2": "kube-proxy"}
    assert cluster.deleted.count("w2") == 2
