# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restarting one node's pod: what is deleted, what is waited for, and what is said when it does not come."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import TransportError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import parse_pod
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod_work import (
    PodPlan,
    PodWork,
    Restart,
    render,
)
from tests.unit.plugins.kube_api_server import FakeServer

PODS = "/api/v1/namespaces/kube-system/pods"
RUNNING = {"running": {"startedAt": "2026-11-22T19:00:00Z"}}
CRASHED = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}}


def pod(uid: str, state: dict[str, t.Any] | None = None, restarts: int = 0, **metadata: t.Any) -> dict[str, t.Any]:
    state = RUNNING if state is None else state
    return {
        "metadata": {
            "name": f"kube-proxy-{uid}",
            "namespace": "kube-system",
            "uid": uid,
            "labels": {"k8s-app": "kube-proxy"},
            "ownerReferences": [{"kind": "DaemonSet", "name": "kube-proxy"}],
            **metadata,
        },
        "spec": {"nodeName": "w1", "containers": [{"name": "kube-proxy"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if "running" in state else "False"}],
            "containerStatuses": [{"name": "kube-proxy", "state": state, "restartCount": restarts}],
        },
    }


class Node:
    """A node with a kubelet that runs on test time: C(after) are changes of its pods, by seconds since the delete."""

    def __init__(self, *pods: dict[str, t.Any]) -> None:
        self.server = FakeServer()
        self.server.lists[PODS] = list(pods)
        self.server.logs[f"{PODS}/kube-proxy-b/log"] = "starting\n"
        self.time = 0.0
        self.deleted_at: float | None = None
        self.after: dict[float, list[dict[str, t.Any]]] = {}
        self.away: tuple[float, float] = (-1.0, -1.0)
        self.server.before = self._tick

    def _tick(self, server: FakeServer, method: str, _path: str) -> None:
        if self.away[0] <= self.time < self.away[1]:
            raise TransportError(0, "Connection refused")
        if method == "DELETE":
            self.deleted_at = self.time
        if self.deleted_at is not None:
            due = [when for when in self.after if when <= self.time - self.deleted_at]
            if due:
                server.lists[PODS] = self.after[max(due)]

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def work(self, old_uid: str, timeout: float = 60) -> PodWork:
        restart = Restart("w1", old_uid)
        return PodWork(self.server.api, "kube-system", "kube-proxy", restart, timeout, lambda: self.time, self.sleep)

    def restart(self, old_uid: str, check: bool = False, timeout: float = 60) -> PodPlan:
        work = self.work(old_uid, timeout)
        return converge(Steps(work.read, work.restart.plan, work.apply), check)

    @property
    def deleted(self) -> list[str]:
        return [path.rsplit("/", 1)[1] for method, path in self.server.asked if method == "DELETE"]


def test_a_restart() -> None:
    node = Node(pod("a"))
    node.after = {1: [pod("b", {"waiting": {"reason": "ContainerCreating"}})], 4: [pod("b")]}
    plan = node.restart("a")
    assert node.deleted == ["kube-proxy-a"]
    assert plan.actions == ("delete pod kube-system/kube-proxy-a on node w1", "wait until the next one is Ready")
    assert 7 <= node.time <= 9
    assert node.server.queries[0]["fieldSelector"] == "spec.nodeName=w1"


def test_check_mode_says_the_same_and_deletes_nothing() -> None:
    node = Node(pod("a"))
    node.after = {1: [pod("b")]}
    checked = node.restart("a", check=True)
    assert node.deleted == []
    applied = node.restart("a")
    assert checked.actions == applied.actions
    assert [render(one) for one in (checked.before, checked.after)] == [
        render(one) for one in (applied.before, applied.after)
    ]


def test_a_pod_of_another_uid_counts_as_restarted() -> None:
    node = Node(pod("b"))
    assert node.restart("a").operations == ()
    assert node.server.writes == []


def test_a_restart_that_was_interrupted_is_waited_for() -> None:
    node = Node()
    node.deleted_at = 0.0
    node.after = {3: [pod("b")]}
    plan = node.restart("a")
    assert plan.actions == ("wait until kube-proxy on node w1 is Ready",)
    assert node.deleted == []


def test_the_old_pod_on_its_way_out_is_not_there_any_more() -> None:
    node = Node(pod("a", deletionTimestamp="2026-11-22T19:00:00Z"), pod("b"))
    assert node.restart("a").operations == ()


def test_a_pod_that_somebody_else_deleted_meanwhile() -> None:
    node = Node(pod("a"))
    work = node.work("a")
    plan = work.restart.plan(work.read())
    node.server.lists[PODS] = [pod("b", name="kube-proxy-a")]
    work.apply(plan)
    assert node.server.lists[PODS][0]["metadata"]["uid"] == "b"


def test_an_api_server_that_is_away_for_a_while_is_asked_again() -> None:
    node = Node(pod("a"))
    node.after = {1: [pod("b")]}
    node.away = (1.0, 6.0)
    node.restart("a")
    assert node.time >= 9


LATE: list[tuple[dict[float, list[dict[str, t.Any]]], list[str]]] = [
    ({0: []}, ["kube-proxy on node w1 is not Ready after 60 s", "no pod has been made yet"]),
    (
        {1: [pod("b", {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})]},
        [
            "is not Ready after 60 s",
            "kube-system/kube-proxy-b is Running, container waiting: ImagePullBackOff no such image, 0 restarts",
        ],
    ),
    (
        {1: [pod("b", CRASHED, 2)]},
        ["kube-proxy on node w1 keeps crashing", "CrashLoopBackOff", "2 restarts", "can't use the IPVS proxier"],
    ),
]


@pytest.mark.parametrize(("after", "words"), LATE)
def test_a_pod_that_does_not_become_ready(after: dict[float, list[dict[str, t.Any]]], words: list[str]) -> None:
    node = Node(pod("a"))
    node.after = after
    node.server.logs[f"{PODS}/kube-proxy-b/log"] = (
        "starting\nError: can't use the IPVS proxier: no such file or directory\n"
    )
    with pytest.raises(KubeProxyError) as caught:
        node.restart("a")
    assert all(word in str(caught.value) for word in words)
    assert node.time <= 61


def test_one_that_says_nothing_is_watched_longer() -> None:
    node = Node(pod("a"))
    node.after = {1: [pod("b")]}
    del node.server.logs[f"{PODS}/kube-proxy-b/log"]
    node.restart("a")
    assert 16 <= node.time <= 17


def test_one_that_starts_and_dies_again_is_not_ready() -> None:
    node = Node(pod("a"))
    node.after = {
        1: [pod("b")],
        2: [pod("b", {"terminated": {"exitCode": 1, "reason": "Error"}})],
        30: [pod("b", None, 1)],
    }
    node.restart("a")
    assert node.time >= 33


def test_two_kube_proxies_on_a_node() -> None:
    other = pod("z", ownerReferences=[{"kind": "DaemonSet", "name": "kube-proxy-second"}])
    node = Node(pod("a"), other)
    with pytest.raises(KubeProxyError, match="more than one kube-proxy on node w1: kube-proxy-a, kube-proxy-z"):
        node.restart("a")
    assert node.deleted == []


def test_a_kube_proxy_of_somebody_else() -> None:
    node = Node(pod("z", ownerReferences=[{"kind": "Node", "name": "w1"}]))
    with pytest.raises(KubeProxyError, match="is not of DaemonSet kube-proxy: it is pod kube-proxy-z"):
        node.restart("")


def test_other_pods_of_the_namespace_do_not_count() -> None:
    dns = pod("d", labels={"k8s-app": "kube-dns"}, ownerReferences=[{"kind": "ReplicaSet", "name": "coredns"}])
    dns["spec"]["containers"] = [{"name": "coredns"}]
    node = Node(dns, pod("b"))
    assert node.restart("a").operations == ()


def test_a_log_of_the_last_life_when_this_one_is_silent() -> None:
    node = Node()
    node.server.logs[f"{PODS}/kube-proxy-b/log"] = ""
    assert node.work("a").log(parse_pod(pod("b", CRASHED, 1))) == []
    assert [query["previous"] for query in node.server.queries] == ["false", "true"]


@pytest.mark.parametrize(
    "obj", [{}, {"metadata": {}, "status": {"containerStatuses": None}}, {"spec": {"containers": []}}]
)
def test_half_a_pod_is_parsed(obj: dict[str, t.Any]) -> None:
    assert parse_pod(obj).ready is False
