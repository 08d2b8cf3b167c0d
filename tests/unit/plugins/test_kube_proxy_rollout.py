# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy restarted everywhere: when it is, when it is not, and what is said about nodes that are late."""

from __future__ import annotations

import copy
import re
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import TransportError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_mode import ModePlan, ModeWork, Wanted
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names, look_around
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_rollout_work import RolloutWork
from tests.unit.plugins.kube_api_server import CONFIG_MAP, DAEMON_SET, FakeServer, node

Object = dict[str, t.Any]
PODS = "/api/v1/namespaces/kube-system/pods"
VERSION = "netops.kube-proxy/config-version"
NODES = ("cp1", "w1", "w2")
CRASHED = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}}
RUNNING = {"running": {"startedAt": "2026-11-22T19:00:00Z"}}


class Cluster:
    """An API server with the DaemonSet's controller behind it, on test time: a pod is replaced every two seconds.

    C(hangs) are nodes whose new pod never is Ready, C(crashes) those whose new pod keeps ending, C(empty) get none.
    """

    def __init__(self) -> None:
        self.server = FakeServer()
        self.daemon_set["metadata"]["resourceVersion"] = "3"
        self.daemon_set["status"] = {"observedGeneration": 1, "desiredNumberScheduled": len(NODES)}
        self.server.lists["/api/v1/nodes"] = [node(name) for name in NODES]
        self.server.lists[PODS] = [self.pod(name, "old") for name in NODES]
        self.time = 0.0
        self.hangs: set[str] = set()
        self.crashes: set[str] = set()
        self.empty: set[str] = set()
        self.away: tuple[float, float] = (-1.0, -1.0)
        self.seen = self.template
        self.began = 0.0
        self.interfere: t.Callable[[str, str], None] = lambda _method, _path: None
        self.server.before = self._tick

    @property
    def daemon_set(self) -> Object:
        return self.server.objects[DAEMON_SET]

    @property
    def template(self) -> Object:
        found: Object = copy.deepcopy(self.daemon_set["spec"]["template"]["metadata"].get("annotations") or {})
        return found

    def pod(self, name: str, uid: str, state: Object | None = None, restarts: int = 0) -> Object:
        state = state or RUNNING
        self.server.logs[f"{PODS}/kube-proxy-{name}-{uid}/log"] = f"{name} speaks\nsecond line\n"
        return {
            "metadata": {
                "name": f"kube-proxy-{name}-{uid}",
                "namespace": "kube-system",
                "uid": f"{name}-{uid}",
                "annotations": self.template,
                "ownerReferences": [{"kind": "DaemonSet", "name": "kube-proxy"}],
            },
            "spec": {"nodeName": name, "containers": [{"name": "kube-proxy"}]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True" if "running" in state else "False"}],
                "containerStatuses": [{"name": "kube-proxy", "state": state, "restartCount": restarts}],
            },
        }

    def _tick(self, _server: FakeServer, method: str, path: str) -> None:
        if self.away[0] <= self.time < self.away[1]:
            raise TransportError(0, "Connection refused")
        self.interfere(method, path)
        if self.template != self.seen:
            self.seen, self.began = self.template, self.time
            self.daemon_set["metadata"]["generation"] += 1
        if self.time - self.began >= 1:
            self.daemon_set["status"]["observedGeneration"] = self.daemon_set["metadata"]["generation"]
        self._replace_pods()

    def _replace_pods(self) -> None:
        """One after the other, and none while a new one is not Ready (maxUnavailable is 1)."""
        pods: list[Object] = []
        for number, pod in enumerate(self.server.lists[PODS]):
            stuck = any(one["status"]["conditions"][0]["status"] != "True" for one in pods)
            due = self.time - self.began >= 2 * (number + 1) and pod["metadata"]["annotations"] != self.template
            pods += self._next(pod["spec"]["nodeName"]) if due and not stuck else [pod]
        self.server.lists[PODS] = pods

    def _next(self, name: str) -> list[Object]:
        uid = f"g{self.daemon_set['metadata']['generation']}"
        if name in self.crashes:
            return [self.pod(name, uid, CRASHED, 3)]
        if name in self.hangs:
            return [self.pod(name, uid, {"waiting": {"reason": "ContainerCreating"}})]
        return [] if name in self.empty else [self.pod(name, uid)]

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def run(self, mode: str | None = None, check: bool = False, **settings: t.Any) -> ModePlan:
        names = Names("kube-system", "kube-proxy", "kube-proxy")
        api = self.server.api
        rollout = RolloutWork(
            api, "kube-system", "kube-proxy", 60, lambda: self.time, self.sleep, lambda: "2026-11-24T04:00:00Z"
        )
        task = ModeWork(api, names, Wanted(mode, settings), look_around(api, names), rollout)
        return converge(Steps(task.read, task.plan, task.apply), check)

    def fails(self, mode: str | None = None, check: bool = False) -> KubeProxyError:
        with pytest.raises(KubeProxyError) as caught:
            self.run(mode, check)
        return caught.value

    @property
    def uids(self) -> list[str]:
        return [pod["metadata"]["uid"] for pod in self.server.lists[PODS]]


def test_the_configmap_then_the_annotations_then_every_node() -> None:
    cluster = Cluster()
    plan = cluster.run("ipvs")
    assert cluster.server.writes == [("PUT", CONFIG_MAP), ("PUT", DAEMON_SET)]
    assert plan.actions == (
        'set mode from "iptables" to "ipvs"',
        "restart kube-proxy on cp1, w1, w2: annotate the pod template of DaemonSet kube-system/kube-proxy",
    )
    # kubectl's own annotation for a restart (kubectl rollout restart).
    assert cluster.template["kubectl.kubernetes.io/restartedAt"] == "2026-11-24T04:00:00Z"
    # What the API server takes as a key (its own words in a 422).
    subdomain = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
    assert all(re.fullmatch(subdomain, key.partition("/")[0]) for key in cluster.template)
    assert cluster.uids == ["cp1-g2", "w1-g2", "w2-g2"]
    # Three pods, two seconds each, and some time in which the last one could have ended again.
    assert 9 <= cluster.time <= 12
    second = cluster.run("ipvs")
    assert (second.operations, second.before.render()) == ((), second.after.render())
    assert len(cluster.server.writes) == 2


def test_check_mode_says_the_same_and_writes_nothing() -> None:
    cluster = Cluster()
    before = copy.deepcopy(cluster.server.objects)
    checked = cluster.run("ipvs", check=True)
    assert cluster.server.objects == before
    applied = cluster.run("ipvs")
    assert checked.actions == applied.actions
    assert checked.before.render() == applied.before.render()
    assert checked.after.render() == applied.after.render()
    assert "\n# kube-proxy on cp1: Ready" in checked.before.render()
    assert "# kube-proxy on w1: Ready, started before this ConfigMap, or it is not known\n" in checked.before.render()
    assert "# kube-proxy on w1: Ready, started with this ConfigMap\n" in checked.after.render()


def test_pods_that_may_have_read_something_else_are_restarted_once() -> None:
    cluster = Cluster()
    cluster.run("iptables")
    assert cluster.server.writes == [("PUT", DAEMON_SET)]
    assert cluster.run("iptables").operations == ()


def test_what_somebody_wrote_into_the_configmap_is_rolled_out() -> None:
    cluster = Cluster()
    cluster.run("iptables")
    cluster.server.edit_config(cluster.server.config.replace("mode: iptables", "mode: ipvs"))
    plan = cluster.run()
    assert plan.operations == ("annotate", "wait")
    assert cluster.template[VERSION] == cluster.server.objects[CONFIG_MAP]["metadata"]["resourceVersion"]
    assert cluster.uids == ["cp1-g3", "w1-g3", "w2-g3"]


def test_a_text_that_was_changed_and_changed_back_in_between_is_rolled_out() -> None:
    cluster = Cluster()
    cluster.run("iptables")
    text = cluster.server.config
    cluster.server.edit_config(text.replace("mode: iptables", "mode: ipvs"))
    # A node is rebooted now: its pod has read ipvs, and it has the template's version.
    cluster.server.lists[PODS][1] = cluster.pod("w1", "rebooted")
    cluster.server.edit_config(text)
    assert cluster.run("iptables").operations == ("annotate", "wait")


CHANGED = [
    {"manager": "kubeadm", "time": "2026-11-24T03:00:00Z"},
    {"manager": "kubectl-edit", "time": "2026-11-24T03:30:00Z"},
]


@pytest.mark.parametrize(
    ("created", "restarts"),
    [("2026-11-24T03:30:01Z", False), ("2026-11-24T03:30:00Z", True), ("2026-11-24T03:29:59Z", True)],
)
def test_a_pod_that_was_made_after_the_last_change_has_read_it(created: str, restarts: bool) -> None:
    cluster = Cluster()
    cluster.server.objects[CONFIG_MAP]["metadata"]["managedFields"] = CHANGED
    for pod in cluster.server.lists[PODS]:
        pod["metadata"]["creationTimestamp"] = "2026-11-24T03:45:00Z"
    cluster.server.lists[PODS][1]["metadata"]["creationTimestamp"] = created
    plan = cluster.run("iptables", check=True)
    assert bool(plan.operations) == restarts
    # The next change is later than all of them.
    assert cluster.run("ipvs", check=True).operations == ("write", "annotate", "wait")


def test_an_interrupted_rollout_is_waited_for() -> None:
    cluster = Cluster()
    cluster.away = (3, 90)
    assert "does not answer" in str(cluster.fails("ipvs"))
    cluster.away = (-1, -1)
    cluster.time = cluster.began + 5
    cluster.server.asked.clear()
    plan = cluster.run("ipvs", check=True)
    assert plan.actions == ("wait until kube-proxy has restarted on w2",)
    cluster.run("ipvs")
    assert cluster.server.writes == []
    assert cluster.uids == ["cp1-g2", "w1-g2", "w2-g2"]


def test_the_api_server_may_be_away_for_a_while() -> None:
    cluster = Cluster()
    cluster.away = (3, 20)
    cluster.run("ipvs")
    assert cluster.uids == ["cp1-g2", "w1-g2", "w2-g2"]


def test_what_was_seen_before_the_api_server_went_away_proves_nothing() -> None:
    cluster = Cluster()
    # At six seconds all are Ready, for how long nobody can see.
    cluster.away = (7, 40)
    cluster.run("ipvs")
    assert cluster.time >= 40


def test_a_status_from_before_the_last_change_proves_nothing() -> None:
    cluster = Cluster()
    cluster.run("ipvs")
    cluster.daemon_set["metadata"]["generation"] += 1
    cluster.time = cluster.began
    assert cluster.run("ipvs", check=True).operations == ("wait",)


def test_a_node_that_is_late_is_named_with_its_last_words() -> None:
    cluster = Cluster()
    cluster.hangs = {"w1"}
    error = cluster.fails("ipvs")
    assert str(error).startswith(
        "kube-proxy has not restarted everywhere after 60 s: node w1 is not Ready: kube-system/kube-proxy-w1-g2 is Running, "
        "container waiting: ContainerCreating, 0 restarts. Its last log lines: w1 speaks | second line"
    )
    assert "run again: this finishes what was begun" in str(error)
    assert "; node w2 still runs as before: kube-system/kube-proxy-w2-old is Running, 0 restarts" in str(error)
    assert error.details["late_nodes"] == ["w1", "w2"]
    assert error.details["log_tails"] == {name: [f"{name} speaks", "second line"] for name in ("w1", "w2")}


def test_a_node_without_a_pod_is_named() -> None:
    cluster = Cluster()
    cluster.empty = {"w2"}
    assert "1 nodes have no pod yet (w2)" in str(cluster.fails("ipvs"))
    # A node that the DaemonSet does not want: then nobody can say which.
    cluster.server.lists["/api/v1/nodes"].append(node("windows1"))
    assert "1 nodes have no pod yet." in str(cluster.fails("ipvs"))


def test_a_kube_proxy_that_does_not_start_ends_the_wait() -> None:
    cluster = Cluster()
    cluster.crashes = {"cp1"}
    error = cluster.fails("ipvs")
    assert str(error).startswith("kube-proxy on node cp1 keeps crashing: node cp1 is not Ready")
    assert "CrashLoopBackOff" in str(error)
    assert "Its last log lines: cp1 speaks" in str(error)
    assert cluster.time < 10


def test_restarts_of_long_ago_do_not_matter() -> None:
    cluster = Cluster()
    cluster.server.objects[CONFIG_MAP]["metadata"]["managedFields"] = CHANGED
    for pod in cluster.server.lists[PODS]:
        pod["metadata"]["creationTimestamp"] = "2026-11-24T03:29:00Z"
    cluster.server.lists[PODS][2] = cluster.pod("w2", "busy", restarts=9)
    cluster.server.lists[PODS][2]["metadata"]["creationTimestamp"] = "2026-11-24T03:45:00Z"
    cluster.run("iptables")
    assert cluster.uids == ["cp1-g2", "w1-g2", "w2-g2"]


def _on_delete(cluster: Cluster) -> None:
    cluster.daemon_set["spec"]["updateStrategy"] = {"type": "OnDelete"}


def _argo(cluster: Cluster) -> None:
    cluster.daemon_set["metadata"].setdefault("annotations", {})["argocd.argoproj.io/tracking-id"] = "infra:apps"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            _on_delete,
            "restarts nothing by itself; nothing was changed: its updateStrategy is OnDelete. Set rollout to false",
        ),
        (_argo, "is managed by Argo CD; nothing was changed: argocd.argoproj.io/tracking-id: infra:apps."),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_refused_before_anything_is_written(spoil: t.Callable[[Cluster], None], words: str, check: bool) -> None:
    cluster = Cluster()
    spoil(cluster)
    error = cluster.fails("ipvs", check)
    assert words in str(error)
    assert cluster.server.writes == []


def test_what_runs_already_is_not_refused() -> None:
    cluster = Cluster()
    cluster.run("ipvs")
    _on_delete(cluster)
    assert cluster.run("ipvs").operations == ()


def test_somebody_changed_the_daemonset_meanwhile() -> None:
    cluster = Cluster()

    def interfere(method: str, path: str) -> None:
        if (method, path) == ("PUT", DAEMON_SET):
            cluster.interfere = lambda _method, _path: None
            cluster.daemon_set["metadata"]["resourceVersion"] = "99"
            cluster.daemon_set["metadata"]["labels"]["theirs"] = "1"

    cluster.interfere = interfere
    cluster.run("ipvs")
    assert cluster.server.writes == [("PUT", CONFIG_MAP), ("PUT", DAEMON_SET), ("PUT", DAEMON_SET)]
    assert cluster.daemon_set["metadata"]["labels"]["theirs"] == "1"
    assert cluster.uids == ["cp1-g2", "w1-g2", "w2-g2"]


def test_a_daemonset_that_never_keeps_still() -> None:
    cluster = Cluster()

    def interfere(method: str, path: str) -> None:
        if (method, path) == ("PUT", DAEMON_SET):
            version = int(cluster.daemon_set["metadata"]["resourceVersion"])
            cluster.daemon_set["metadata"]["resourceVersion"] = str(version + 1)

    cluster.interfere = interfere
    error = cluster.fails("ipvs")
    assert str(error).startswith("Could not change DaemonSet kube-system/kube-proxy: something else changed it 5 times")
    assert cluster.server.writes.count(("PUT", DAEMON_SET)) == 5
