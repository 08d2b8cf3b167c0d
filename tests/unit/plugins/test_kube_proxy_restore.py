# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy's objects kept and put back: on an API server with a DaemonSet controller, with kubeadm's own manifests."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_restore import RestorePlan
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_restore_work import ObjectsWork, RestoreWork
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_snapshot import (
    checked,
    render,
    snapshot_of,
)
from tests.unit.plugins.kube_api_server import CONFIG_MAP, DAEMON_SET
from tests.unit.plugins.kube_switch_cluster import NODES, SHORT, SwitchCluster

Object = dict[str, t.Any]

NAMES = Names("kube-system", "kube-proxy", "kube-proxy")
SYSTEM = "/api/v1/namespaces/kube-system"
GENERATION = "deprecated.daemonset.template.generation"


def a_cluster() -> SwitchCluster:
    cluster = SwitchCluster()
    cluster.objects[SYSTEM] = {"metadata": {"name": "kube-system", "uid": "1f0c2a9b-7d52"}}
    # What an API server fills in.
    cluster.objects[DAEMON_SET]["metadata"].setdefault("annotations", {})[GENERATION] = "1"
    cluster.objects[DAEMON_SET]["spec"]["revisionHistoryLimit"] = 10
    return cluster


def objects(cluster: SwitchCluster) -> ObjectsWork:
    return ObjectsWork(cluster.api, NAMES)


def keep(cluster: SwitchCluster) -> Object:
    return copy.deepcopy(snapshot_of(objects(cluster).read()))


def work(cluster: SwitchCluster, snapshot: Object) -> RestoreWork:
    return RestoreWork(objects(cluster), checked(snapshot))


def restore(cluster: SwitchCluster, snapshot: Object, check: bool = False) -> RestorePlan:
    task = work(cluster, snapshot)
    cluster.asked.clear()
    return converge(Steps(task.objects.read, task.plan, task.apply), check)


def edit(cluster: SwitchCluster, path: str, change: t.Callable[[Object], None]) -> None:
    """What a colleague with kubectl does."""
    body = copy.deepcopy(cluster.objects[path])
    change(body)
    cluster._put(path, body)


def to_ipvs(config_map: Object) -> None:
    config_map["data"]["config.conf"] = SHORT.replace("mode: iptables", "mode: ipvs")


def other_image(daemon_set: Object) -> None:
    daemon_set["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/kube-proxy:v9"
    daemon_set["metadata"]["labels"]["mine"] = "yes"


def test_it_keeps_what_people_have_made_and_nothing_of_the_servers() -> None:
    cluster = a_cluster()
    found = keep(cluster)
    assert (found["format"], found["kind"], found["cluster"]) == (1, "cluster", "1f0c2a9b-7d52")
    assert found["config_map"]["data"] == cluster.objects[CONFIG_MAP]["data"]
    assert found["config_map"]["metadata"] == {
        "name": "kube-proxy",
        "namespace": "kube-system",
        "labels": {"app": "kube-proxy"},
        "annotations": {},
    }
    assert found["daemon_set"]["metadata"]["annotations"] == {}
    assert found["daemon_set"]["spec"] == cluster.objects[DAEMON_SET]["spec"]
    assert sorted(found["daemon_set"]) == ["apiVersion", "kind", "metadata", "spec"]
    assert cluster.writes == []


def test_an_edited_config_map_is_put_back_and_the_rest_of_it_stays_the_servers() -> None:
    cluster = a_cluster()
    snapshot = keep(cluster)
    uid = cluster.objects[CONFIG_MAP]["metadata"]["uid"]
    edit(cluster, CONFIG_MAP, to_ipvs)
    edit(cluster, CONFIG_MAP, lambda one: one["metadata"]["labels"].update(added="since"))
    plan = restore(cluster, snapshot)
    assert plan.actions == ("put back ConfigMap kube-system/kube-proxy: data.config.conf, metadata.labels.added",)
    assert cluster.writes == [("PUT", "kube-proxy")]
    now = cluster.objects[CONFIG_MAP]
    assert now["data"]["config.conf"] == SHORT
    assert (now["metadata"]["labels"], now["metadata"]["uid"]) == ({"app": "kube-proxy"}, uid)
    assert restore(cluster, snapshot).operations == ()
    assert cluster.writes == []


def test_check_mode_writes_nothing_and_says_the_same() -> None:
    cluster = a_cluster()
    snapshot = keep(cluster)
    edit(cluster, CONFIG_MAP, to_ipvs)
    edit(cluster, DAEMON_SET, other_image)
    checked_plan = restore(cluster, snapshot, check=True)
    assert cluster.writes == []
    applied = restore(cluster, snapshot)
    assert applied.actions == checked_plan.actions
    assert render(checked_plan.after) == render(objects(cluster).read())
    assert "mode: ipvs" in render(checked_plan.before)


def test_a_daemon_set_is_put_back_and_its_controller_restarts_the_pods() -> None:
    cluster = a_cluster()
    snapshot = keep(cluster)
    edit(cluster, DAEMON_SET, other_image)
    cluster.rounds(20)
    plan = restore(cluster, snapshot)
    (action,) = plan.actions
    assert action == (
        "put back DaemonSet kube-system/kube-proxy: metadata.labels.mine, spec.template.spec.containers[0].image, "
        "upon which its controller restarts kube-proxy on every node"
    )
    assert cluster.objects[DAEMON_SET]["metadata"]["annotations"] == {GENERATION: "1"}
    assert work(cluster, snapshot).result(plan)["restart"] == ["cp1", "w1"]
    assert restore(cluster, snapshot).operations == ()


def test_when_pods_were_restarted_is_not_put_back() -> None:
    cluster = a_cluster()
    snapshot = keep(cluster)
    marks = {"kubectl.kubernetes.io/restartedAt": "2026-11-26T07:00:00Z", "netops.kube-proxy/config-version": "9"}
    edit(cluster, DAEMON_SET, lambda one: one["spec"]["template"]["metadata"].update(annotations=marks))
    assert restore(cluster, snapshot).operations == ()
    edit(cluster, DAEMON_SET, other_image)
    restore(cluster, snapshot)
    assert cluster.objects[DAEMON_SET]["spec"]["template"]["metadata"]["annotations"] == marks


def test_what_is_not_there_any_more_is_made_anew() -> None:
    cluster = a_cluster()
    snapshot = keep(cluster)
    del cluster.objects[CONFIG_MAP], cluster.objects[DAEMON_SET]
    plan = restore(cluster, snapshot)
    assert plan.actions == (
        "make ConfigMap kube-system/kube-proxy anew",
        "make DaemonSet kube-system/kube-proxy anew",
    )
    assert cluster.objects[CONFIG_MAP]["data"]["config.conf"] == SHORT
    cluster.rounds(10)
    assert restore(cluster, snapshot).operations == ()


def test_who_was_faster_is_planned_for_anew_and_five_times_is_enough() -> None:
    cluster = a_cluster()
    snapshot = keep(cluster)
    edit(cluster, CONFIG_MAP, to_ipvs)
    cluster.conflicts = 2
    restore(cluster, snapshot)
    assert cluster.objects[CONFIG_MAP]["data"]["config.conf"] == SHORT
    edit(cluster, CONFIG_MAP, to_ipvs)
    cluster.conflicts = 99
    with pytest.raises(KubeProxyError, match="changed it 5 times at the same moment"):
        restore(cluster, snapshot)
    assert len(cluster.writes) == 5


def test_nodes_that_have_not_read_it_are_named_until_they_have() -> None:
    cluster = a_cluster()
    snapshot = keep(cluster)
    cluster.time += 100
    edit(cluster, CONFIG_MAP, to_ipvs)
    plan = restore(cluster, snapshot)
    found = work(cluster, snapshot).result(plan)
    assert found["mode"] == {"before": "ipvs", "after": "iptables"}
    assert (found["should_run"]["mode"], found["config"]["metricsBindAddress"]) == ("iptables", "127.0.0.1:10249")
    assert found["restart"] == ["cp1", "w1"]
    # A run that ended here is finished by the next one.
    again = restore(cluster, snapshot)
    assert work(cluster, snapshot).result(again)["restart"] == ["cp1", "w1"]
    cluster.time += 100
    for path in [path for path, pod in cluster._of("pods").items() if pod["spec"]["nodeName"] == "w1"]:
        cluster.end(path)
    cluster.rounds(20)
    assert work(cluster, snapshot).result(restore(cluster, snapshot))["restart"] == ["cp1"]


@pytest.mark.parametrize(
    "begin",
    [
        lambda cluster: cluster.objects[f"{NODES}/w1"]["metadata"]["labels"].update(
            {"kube-proxy.netops/mode": "switching"}
        ),
        lambda cluster: cluster.objects[DAEMON_SET]["metadata"]["annotations"].update(
            {"kube-proxy.netops/switch": "{}"}
        ),
        lambda cluster: cluster._add(f"{CONFIG_MAP}-switch", {"metadata": {"name": "kube-proxy-switch"}}),
        lambda cluster: cluster._add(
            f"{DAEMON_SET}-switch", {**copy.deepcopy(cluster.objects[DAEMON_SET]), "metadata": {"name": "x"}}
        ),
    ],
)
def test_while_a_switch_is_under_way_nothing_is_changed(begin: t.Callable[[SwitchCluster], t.Any]) -> None:
    cluster = a_cluster()
    cluster.controller = False
    snapshot = keep(cluster)
    edit(cluster, CONFIG_MAP, to_ipvs)
    begin(cluster)
    assert objects(cluster).read().switch
    for check in (True, False):
        with pytest.raises(KubeProxyError, match="A switch node by node is under way; nothing was changed"):
            restore(cluster, snapshot, check)
    assert cluster.writes == []


def test_another_clusters_snapshot_is_refused() -> None:
    cluster = a_cluster()
    snapshot = keep(cluster)
    cluster.objects[SYSTEM]["metadata"]["uid"] = "another"
    with pytest.raises(KubeProxyError, match="the snapshot of another cluster; nothing was changed"):
        restore(cluster, snapshot)


def test_what_somebody_else_would_undo_is_left_to_them() -> None:
    cluster = a_cluster()
    snapshot = keep(cluster)
    edit(cluster, CONFIG_MAP, to_ipvs)
    marks = {"argocd.argoproj.io/tracking-id": "x"}
    edit(cluster, CONFIG_MAP, lambda one: one["metadata"].update(annotations=marks))
    with pytest.raises(KubeProxyError, match="managed by Argo CD; nothing was changed"):
        restore(cluster, snapshot)
    assert cluster.writes == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one.clear(), "This is not a snapshot"),
        (lambda one: one.update(kind="node"), "the snapshot of a node, and not of a cluster"),
        (lambda one: one.update(format=9), "of another release"),
        (lambda one: one.pop("daemon_set"), "lacks kube-proxy's ConfigMap or DaemonSet"),
        (lambda one: one["config_map"]["data"].pop("config.conf"), "lacks kube-proxy's ConfigMap or DaemonSet"),
        (
            lambda one: one["daemon_set"]["metadata"]["annotations"].update({"kube-proxy.netops/switch": "{}"}),
            "in the middle of a switch",
        ),
    ],
)
def test_anything_else_is_refused(change: t.Callable[[Object], t.Any], words: str) -> None:
    snapshot = keep(a_cluster())
    change(snapshot)
    with pytest.raises(InvalidInput, match=words):
        checked(snapshot)


def test_the_diff_shows_no_text_but_kube_proxys_own() -> None:
    cluster = a_cluster()
    edit(cluster, CONFIG_MAP, lambda one: one["data"].update({"kubeconfig.conf": "token: c2VjcmV0"}))
    shown = render(objects(cluster).read())
    assert "c2VjcmV0" not in shown
    assert "mode: iptables" in shown
    assert '"kubeconfig.conf": "sha256:' in shown


def test_a_cluster_without_kube_proxy_has_nothing_to_keep() -> None:
    cluster = a_cluster()
    del cluster.objects[DAEMON_SET]
    with pytest.raises(KubeProxyError, match="There is no DaemonSet of kube-proxy to keep"):
        keep(cluster)
