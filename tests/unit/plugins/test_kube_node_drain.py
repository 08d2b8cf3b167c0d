# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node cordoned, drained and uncordoned: which pods go, what a budget can hold up, and whose cordon stays."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import ApiError, TransportError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_node_drain import (
    Drain,
    DrainPlan,
    DrainWork,
    render,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_node_drain_pods import Consent
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_node_drain_work import result
from tests.unit.plugins.kube_switch_cluster import Died, SwitchCluster

Object = dict[str, t.Any]
NODE = "/api/v1/nodes/w1"
CORDONED = "kube-proxy.netops/cordoned"
REPLICA_SET = [{"kind": "ReplicaSet", "name": "web", "uid": "uid-rs", "controller": True}]
DATA = {"volumes": [{"name": "scratch", "emptyDir": {}}]}


def add(
    cluster: SwitchCluster, name: str, spec: Object | None = None, phase: str = "Running", **metadata: t.Any
) -> None:
    owners = metadata.pop("owners", REPLICA_SET)
    cluster._add(
        f"/api/v1/namespaces/shop/pods/{name}",
        {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "labels": {"app": "web"},
                "ownerReferences": owners,
                **metadata,
            },
            "spec": {"nodeName": "w1", **(spec or {})},
            "status": {"phase": phase},
        },
    )


def budget(cluster: SwitchCluster, name: str, selector: Object, namespace: str = "shop", allowed: int = 0) -> None:
    cluster._add(
        f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/{name}",
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": selector},
            "status": {"disruptionsAllowed": allowed},
        },
    )


def filled() -> SwitchCluster:
    cluster = SwitchCluster("cp1", "w1")
    add(cluster, "web-1")
    add(cluster, "web-2")
    add(cluster, "static", owners=[], annotations={"kubernetes.io/config.mirror": "x"})
    cluster.asked.clear()
    return cluster


def work(cluster: SwitchCluster, state: str, timeout: float = 60, data: bool = False, force: bool = False) -> DrainWork:
    return DrainWork(cluster.api, "w1", Drain(state, Consent(data, force)), timeout, cluster.now, cluster.sleep)


def run(cluster: SwitchCluster, state: str, check: bool = False, **options: t.Any) -> DrainPlan:
    task = work(cluster, state, **options)
    return converge(Steps(task.read, task.drain.plan, task.apply), check)


def left(cluster: SwitchCluster) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in cluster.objects if "/namespaces/shop/pods/" in path)


def is_cordoned(cluster: SwitchCluster) -> bool:
    return bool((cluster.objects[NODE].get("spec") or {}).get("unschedulable"))


def test_a_drain() -> None:
    cluster = filled()
    plan = run(cluster, "drained")
    assert plan.actions == ("cordon node w1", "evict pod shop/web-1", "evict pod shop/web-2")
    assert cluster.writes == [("PUT", "w1"), ("POST", "eviction"), ("POST", "eviction")]
    assert left(cluster) == ["static"]
    assert is_cordoned(cluster)
    assert CORDONED in cluster.objects[NODE]["metadata"]["annotations"]
    assert cluster.running()["w1"] != ""
    found = result(plan)
    assert found["cordoned"] is True
    assert found["cordoned_by_us"] is True
    assert found["evicted"] == ["shop/web-1", "shop/web-2"]
    assert found["staying"][1:] == ["shop/static"]
    assert found["staying"][0].startswith("kube-system/kube-proxy-")


@pytest.mark.parametrize(
    ("toleration", "stays"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}, True),
        ({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "node.kubernetes.io/unschedulable"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "node.kubernetes.io/unschedulable", "value": "true"}, False),
        ({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}, False),
    ],
)
def test_a_pod_that_would_come_again_stays(toleration: Object, stays: bool) -> None:
    """A cordon does not keep it from the node: the scheduler's plugin NodeUnschedulable asks for this toleration."""
    cluster = SwitchCluster("w1")
    add(cluster, "agent", {"tolerations": [toleration]})
    add(cluster, "alone", {"tolerations": [toleration]}, owners=[])
    run(cluster, "drained", force=True)
    assert left(cluster) == (["agent"] if stays else [])


def test_a_second_run_changes_nothing() -> None:
    cluster = filled()
    run(cluster, "drained")
    cluster.asked.clear()
    assert run(cluster, "drained").operations == ()
    assert run(cluster, "cordoned").operations == ()
    assert cluster.writes == []


@pytest.mark.parametrize("state", ["cordoned", "drained", "uncordoned"])
def test_check_mode_says_the_same(state: str) -> None:
    cluster = filled()
    if state == "uncordoned":
        run(cluster, "cordoned")
        cluster.asked.clear()
    checked = run(cluster, state, check=True)
    assert cluster.writes == []
    applied = run(cluster, state)
    assert checked.actions == applied.actions
    assert checked.actions
    assert [render(one) for one in (checked.before, checked.after)] == [
        render(one) for one in (applied.before, applied.after)
    ]


def test_a_node_found_cordoned_stays_so() -> None:
    cluster = filled()
    cluster.objects[NODE]["spec"] = {"unschedulable": True, "podCIDR": "10.244.1.0/24"}
    plan = run(cluster, "drained")
    assert plan.actions == ("evict pod shop/web-1", "evict pod shop/web-2")
    assert result(plan)["cordoned_by_us"] is False
    assert run(cluster, "uncordoned").operations == ()
    assert cluster.objects[NODE]["spec"] == {"unschedulable": True, "podCIDR": "10.244.1.0/24"}


def test_ours_is_uncordoned_as_if_nothing_had_been() -> None:
    cluster = filled()
    cluster.objects[NODE]["spec"] = {"podCIDR": "10.244.1.0/24"}
    run(cluster, "cordoned")
    assert cluster.objects[NODE]["spec"] == {"podCIDR": "10.244.1.0/24", "unschedulable": True}
    run(cluster, "uncordoned")
    assert cluster.objects[NODE]["spec"] == {"podCIDR": "10.244.1.0/24"}
    assert CORDONED not in cluster.objects[NODE]["metadata"]["annotations"]
    assert run(cluster, "uncordoned").operations == ()


# What is on the node, what is agreed to, and the words of the refusal (empty: it is drained).
LOSSES: list[tuple[Object, bool, bool, str]] = [
    ({"owners": []}, False, False, "nothing would make these pods anew: shop/odd"),
    ({"owners": []}, False, True, ""),
    ({"owners": [{"kind": "ReplicaSet", "name": "x", "uid": "u"}]}, False, False, "nothing would make these pods anew"),
    ({"spec": DATA}, False, False, "these pods have data in an emptyDir volume: shop/odd"),
    ({"spec": DATA}, True, False, ""),
    ({"spec": DATA, "owners": []}, True, False, "nothing would make these pods anew"),
    ({"spec": DATA, "owners": []}, False, False, "force=true and delete_empty_dir_data=true"),
    ({"spec": DATA, "owners": [], "phase": "Succeeded"}, False, False, ""),
]


@pytest.mark.parametrize(("pod", "data", "force", "words"), LOSSES)
def test_what_would_be_lost_needs_consent(pod: Object, data: bool, force: bool, words: str) -> None:
    cluster = filled()
    add(cluster, "odd", **pod)
    if not words:
        run(cluster, "drained", data=data, force=force)
        assert left(cluster) == ["static"]
        return
    for check in (True, False):
        with pytest.raises(KubeProxyError, match=words):
            run(cluster, "drained", data=data, force=force, check=check)
    assert cluster.writes == []


def test_pods_of_daemon_sets_stay_but_finished_ones_go() -> None:
    cluster = filled()
    own = [{"kind": "DaemonSet", "name": "agent", "uid": "uid-agent", "controller": True}]
    add(cluster, "agent-1", spec=DATA, owners=own)
    add(cluster, "agent-0", spec=DATA, owners=own, phase="Failed")
    run(cluster, "drained")
    assert left(cluster) == ["agent-1", "static"]


def test_a_budget_that_lets_go_after_a_while() -> None:
    cluster = filled()
    cluster.refused = {"web-1": 3}
    run(cluster, "drained")
    assert left(cluster) == ["static"]
    # Asked every five seconds, as kubectl does it.
    assert 15 <= cluster.time <= 22
    assert cluster.writes.count(("POST", "eviction")) == 5


def test_a_budget_that_never_lets_go_is_named() -> None:
    cluster = filled()
    cluster.refused = {"web-1": 10**6}
    budget(cluster, "web", {"matchLabels": {"app": "web"}})
    budget(cluster, "others", {"matchLabels": {"app": "db"}})
    budget(cluster, "elsewhere", {}, namespace="kube-system")
    with pytest.raises(KubeProxyError) as caught:
        run(cluster, "drained")
    assert "Node w1 is not drained after 60 s: pod shop/web-1 is not evicted" in str(caught.value)
    assert "held by PodDisruptionBudget shop/web (allows 0 more)" in str(caught.value)
    assert "would violate the pod's disruption budget" in str(caught.value)
    assert "state=uncordoned" in str(caught.value)
    assert caught.value.details == {"left": ["shop/web-1"], "budgets": ["shop/web (allows 0 more)"]}
    assert is_cordoned(cluster)
    assert left(cluster) == ["static", "web-1"]
    assert run(cluster, "uncordoned").actions == ("uncordon node w1",)


def test_a_pod_that_does_not_end_is_named() -> None:
    cluster = filled()
    cluster.stuck.add("web-2")
    with pytest.raises(KubeProxyError, match=r"pod shop/web-2 is ending \(it has until 2026"):
        run(cluster, "drained")


def test_one_on_its_way_out_is_waited_for() -> None:
    cluster = filled()
    cluster.end("/api/v1/namespaces/shop/pods/web-1")
    cluster.objects["/api/v1/namespaces/shop/pods/web-1"]["metadata"]["left"] = 8
    plan = run(cluster, "drained")
    assert "wait until pod shop/web-1 has ended" in plan.actions
    assert cluster.writes.count(("POST", "eviction")) == 1


class Answers:
    """A server that answers evictions of one pod in its own way."""

    def __init__(self, cluster: SwitchCluster, name: str, answer: bytes | TransportError) -> None:
        self.cluster, self.name, self.answer = cluster, name, answer

    def __call__(self, method: str, path: str, query: t.Any, body: t.Any) -> bytes:
        if path.endswith(f"/{self.name}/eviction"):
            if isinstance(self.answer, TransportError):
                raise self.answer
            return self.answer
        return self.cluster(method, path, query, body)


def drained_by(cluster: SwitchCluster, answer: bytes | TransportError) -> DrainWork:
    task = work(cluster, "drained")
    object.__setattr__(task.api, "transport", Answers(cluster, "web-1", answer))
    return DrainWork(task.api, "w1", task.drain, 60, cluster.now, cluster.sleep)


TWO_BUDGETS = (
    b'{"kind": "Status", "status": "Failure", "code": 500, "message": "This pod has more than one PodDisruptionBudget"}'
)
ANSWERS: list[tuple[bytes | TransportError, str]] = [
    # The API server says so inside of an answer of 201 (Create in pkg/registry/core/pod/storage/eviction.go).
    (TWO_BUDGETS, "says 500 This pod has more than one PodDisruptionBudget"),
    (TransportError(500, "etcd"), "pod shop/web-1 is not evicted"),
    (TransportError(403, "cannot create resource pods/eviction"), "Could not create the eviction of Pod shop/web-1"),
    (TransportError(403, "unable to create: namespace shop is being terminated"), "shop is being terminated"),
]


@pytest.mark.parametrize(("answer", "words"), ANSWERS)
def test_evictions_that_fail(answer: bytes | TransportError, words: str) -> None:
    cluster = filled()
    task = drained_by(cluster, answer)
    with pytest.raises(KubeProxyError, match=words):
        converge(Steps(task.read, task.drain.plan, task.apply), False)
    assert "web-1" in left(cluster)


def test_a_pod_that_is_another_one_by_now() -> None:
    cluster = filled()
    task = drained_by(cluster, TransportError(409, "the UID in the precondition does not match"))
    plan = task.drain.plan(task.read())
    del cluster.objects["/api/v1/namespaces/shop/pods/web-1"]
    task.apply(plan)
    assert left(cluster) == ["static"]


@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("number", range(9))
def test_killed_at_every_request_of_a_drain(number: int, after: bool) -> None:
    cluster = filled()
    cluster.die_at, cluster.die_after = number, after
    with pytest.raises(Died):
        run(cluster, "drained")
    cluster.die_at = -1
    run(cluster, "drained")
    assert left(cluster) == ["static"]
    run(cluster, "uncordoned")
    assert not is_cordoned(cluster)


def test_the_api_server_is_away() -> None:
    cluster = filled()
    task = work(cluster, "drained")
    plan = task.drain.plan(task.read())
    cluster.objects[NODE]["spec"] = {"unschedulable": True}
    cluster.away = (1.0, 8.0)
    cluster.refused = {"web-1": 1}
    task.apply(plan)
    assert left(cluster) == ["static"]
    cluster.away = (0.0, 1000.0)
    with pytest.raises(ApiError, match="does not answer"):
        run(cluster, "drained")


def test_the_kubelet_is_faster_now_and_then() -> None:
    cluster = filled()
    cluster.conflicts = 3
    run(cluster, "cordoned")
    assert is_cordoned(cluster)
    cluster.conflicts = 100
    with pytest.raises(KubeProxyError, match="Could not change node w1"):
        run(cluster, "uncordoned")
