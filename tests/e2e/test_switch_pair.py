# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The second pair of a switch on a real cluster: made, a worker moved there and back, taken away, and nothing else restarts.

kubectl, /proxyMode and the kernel's own device are the witnesses.
"""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.labkit import Lab, Node, wait_for
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import verdict, wrong

Object = dict[str, t.Any]

pytestmark = pytest.mark.proof
LAB = Lab("kubelab-e2e", ("--workers", "1"))
SYSTEM = ("-n", "kube-system")
PRESENT = {"mode": "ipvs", "settings": {"ipvs": {"scheduler": "lc"}}}
LEASE = """
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: netops-kube-proxy-switch, namespace: kube-system}
spec: {holderIdentity: ann@laptop, leaseDurationSeconds: 3600, renewTime: "2020-01-01T00:00:00.000000Z"}
"""


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    made = Cluster(lab, ("cp1", "w1"))
    if made.control_plane.attempt("ls /etc/kubernetes/admin.conf").rc != 0:
        run = lab.playbook("playbooks/create_cluster.yml")
        assert run.rc == 0, run.output
    return made


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Node:
    return cluster.control_plane


@pytest.fixture(scope="module")
def original(cluster: Cluster) -> str:
    """The pair as it was before anything was done."""
    return essence(cluster)


def essence(cluster: Cluster) -> str:
    """Data of the ConfigMap and spec of the DaemonSet, with the annotations and labels that people make."""
    config_map = cluster.get("configmap", *SYSTEM, "kube-proxy")
    daemon_set = cluster.get("daemonset", *SYSTEM, "kube-proxy")
    kept = [config_map["data"], daemon_set["spec"]]
    for one in (config_map, daemon_set):
        annotations = dict(one["metadata"].get("annotations") or {})
        # The server counts the changes of the template here.
        annotations.pop("deprecated.daemonset.template.generation", None)
        kept += [annotations, one["metadata"].get("labels")]
    return json.dumps(kept, sort_keys=True)


def pods(cluster: Cluster) -> dict[str, tuple[str, str, int]]:
    """The kube-proxy of each node: its DaemonSet, its pod's uid and how often its container restarted. Two are an error."""
    found: dict[str, tuple[str, str, int]] = {}
    for pod in cluster.get("pods", *SYSTEM)["items"]:
        if pod["spec"]["containers"][0]["name"] == "kube-proxy":
            name, metadata = pod["spec"]["nodeName"], pod["metadata"]
            assert name not in found, f"two kube-proxies on {name}"
            restarts = pod["status"]["containerStatuses"][0]["restartCount"]
            found[name] = (metadata["ownerReferences"][0]["name"], metadata["uid"], restarts)
    return found


def revisions(cluster: Cluster) -> dict[str, str]:
    label = "controller-revision-hash"
    found = cluster.kube_proxy_pods()
    return {pod["spec"]["nodeName"]: pod["metadata"]["labels"][label] for pod in found}


def everything(cluster: Cluster) -> str:
    """What check mode may not change; without the status that kubelets and controllers write by themselves."""
    found = []
    for one in cluster.get("configmaps,daemonsets,pods,leases,nodes", *SYSTEM)["items"]:
        metadata = one["metadata"]
        shown = [
            metadata["name"],
            metadata["uid"],
            metadata.get("labels"),
            metadata.get("annotations"),
            one.get("data"),
        ]
        # Those who elect a leader renew their Leases all the time.
        found.append(shown if one["kind"] == "Lease" else [*shown, one.get("spec")])
    return json.dumps(sorted(found, key=str), sort_keys=True)


def settled(cluster: Cluster) -> bool:
    """The DaemonSet controller has seen the DaemonSet as it is, and has no pod to replace."""
    daemon_set = cluster.get("daemonset", *SYSTEM, "kube-proxy")
    status = daemon_set["status"]
    seen = status["observedGeneration"] == daemon_set["metadata"]["generation"]
    counts = [status.get(key, 0) for key in ("updatedNumberScheduled", "desiredNumberScheduled", "numberAvailable")]
    return bool(seen and len(set(counts)) == 1)


def checked(api: Node, cluster: Cluster, module: str, arguments: dict[str, t.Any]) -> Object:
    """Check mode, then the run, then again: the same actions, nothing before, nothing left to do after."""
    before = everything(cluster)
    told = api.module(module, arguments, check=True)
    assert everything(cluster) == before
    done = api.module(module, arguments)
    assert told["actions"] == done["actions"]
    assert told["diff"] == done["diff"]
    again = api.module(module, arguments)
    assert again["changed"] is False
    assert again["actions"] == []
    return done


def test_the_second_pair_is_made_and_nothing_restarts(api: Node, cluster: Cluster, original: str) -> None:
    assert original
    wait_for("kube-proxy everywhere", lambda: len(pods(cluster)) == 2 and settled(cluster))
    before = pods(cluster)
    done = checked(api, cluster, "kube_proxy_switch", PRESENT)
    assert done["phase"] == "ready"
    assert done["mode"]["after"] == "ipvs"
    wait_for("the controller", lambda: cluster.get("daemonset", *SYSTEM, "kube-proxy-switch")["status"])
    assert pods(cluster) == before
    assert cluster.get("daemonset", *SYSTEM, "kube-proxy-switch")["status"]["desiredNumberScheduled"] == 0
    assert "is in progress" in api.module_fails("kube_proxy_switch", {"mode": "nftables"})


def test_a_worker_moves_to_the_second_pair(api: Node, cluster: Cluster, original: str) -> None:
    assert original
    before = pods(cluster)
    done = checked(api, cluster, "kube_proxy_node", {"node": "w1", "run_by": "switch"})
    after = pods(cluster)
    assert after["cp1"] == before["cp1"]
    assert after["w1"][0] == "kube-proxy-switch"
    assert after["w1"][1] == done["uid"]
    assert any("Using ipvs Proxier" in line for line in done["log_tail"])
    worker, other = cluster.lab.node("w1"), cluster.control_plane
    worker.wait("ipvs mode", 'test "$(curl -s 127.0.0.1:10249/proxyMode)" = ipvs && ip link show kube-ipvs0')
    assert "lc" in worker.wait("virtual servers", "ipvsadm -Ln | grep 10.96.0.1:443")
    assert other.run("curl -s 127.0.0.1:10249/proxyMode") == "iptables"
    shown = api.module("kube_proxy_switch", PRESENT)
    rows = {one["name"]: (one["label"], one["daemon_set"], one["ready"]) for one in shown["nodes"]}
    assert rows == {"cp1": ("", "kube-proxy", True), "w1": ("ipvs", "kube-proxy-switch", True)}


def test_each_node_is_judged_by_the_configuration_that_its_own_kube_proxy_reads(cluster: Cluster) -> None:
    """The other one's would give it a mode that is not configured, another scheduler, or Services that are not there."""
    worker = cluster.lab.node("w1")
    gone = {"mode": "iptables", "running_mode": "ipvs", "state": "absent"}
    worker.module("iptables_kube_chain", gone, diff=False)
    for node, mode in ((worker, "ipvs"), (cluster.control_plane, "iptables")):
        found = verdict(cluster, node)
        assert wrong(found) == []
        assert (found["configured_mode"], found["checked_mode"]) == (mode, mode)
        assert found["addresses"] > 0


def test_a_pod_of_the_second_pair_is_restarted_like_any(api: Node, cluster: Cluster) -> None:
    before = pods(cluster)
    done = api.module("kube_proxy_pod", {"node": "w1", "state": "restarted", "unless_uid": before["w1"][1]})
    after = pods(cluster)
    assert after["w1"][:2] == ("kube-proxy-switch", done["uid"])
    assert after["w1"][1] != before["w1"][1]
    assert after["cp1"] == before["cp1"]


def test_it_does_not_go_while_a_node_needs_it(api: Node, cluster: Cluster) -> None:
    before = everything(cluster)
    assert "nodes with the label kube-proxy.netops/mode: w1" in api.module_fails(
        "kube_proxy_switch", {"state": "absent"}
    )
    assert everything(cluster) == before


def test_the_worker_comes_back(api: Node, cluster: Cluster) -> None:
    before = pods(cluster)
    checked(api, cluster, "kube_proxy_node", {"node": "w1", "run_by": "original"})
    after = pods(cluster)
    assert after["w1"][0] == "kube-proxy"
    assert after["cp1"] == before["cp1"]
    cluster.lab.node("w1").wait("iptables mode", 'test "$(curl -s 127.0.0.1:10249/proxyMode)" = iptables')
    labels = cluster.get("node", "w1")["metadata"]["labels"]
    assert not [label for label in labels if label.startswith("kube-proxy.netops/")]


def test_it_goes_without_a_trace_and_nothing_restarts(api: Node, cluster: Cluster, original: str) -> None:
    before, marks = pods(cluster), revisions(cluster)
    # What the module has to mend: the worker's pod was made with the guard in the template.
    assert marks["w1"] != marks["cp1"]
    done = checked(api, cluster, "kube_proxy_switch", {"state": "absent"})
    assert done["phase"] == "none"
    assert done["restarted"] == []
    wait_for("the controller", lambda: settled(cluster))
    assert pods(cluster) == before
    assert essence(cluster) == original
    assert revisions(cluster) == {"cp1": marks["cp1"], "w1": marks["cp1"]}
    names = cluster.kubectl("get", "configmaps,daemonsets,pods", *SYSTEM, "-o", "name")
    assert "kube-proxy-switch" not in names


def test_a_rollout_afterwards_is_one_as_ever(cluster: Cluster) -> None:
    """The marked pod is replaced when the template really changes."""
    before = pods(cluster)
    cluster.kubectl("rollout", "restart", *SYSTEM, "daemonset/kube-proxy")
    cluster.kubectl("rollout", "status", *SYSTEM, "daemonset/kube-proxy", "--timeout=10m")
    after = wait_for("both pods", lambda: pods(cluster) if len(pods(cluster)) == 2 else None)
    assert {name for name in after if after[name][1] != before[name][1]} == {"cp1", "w1"}


def test_a_lease_keeps_a_second_operator_out(api: Node, cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=LEASE)
    ours = {"holder": "bob@desk", "duration": 60}
    # Its renewTime is years old; the API server knows that it was written a moment ago.
    assert "is held by ann@laptop" in api.module_fails("kube_lease", ours)
    assert api.module("kube_lease", {**ours, "state": "released"})["changed"] is False
    api.module("kube_lease", {"holder": "ann@laptop", "state": "released"})
    done = checked(api, cluster, "kube_lease", ours)
    assert done["held_by"] == "bob@desk"
    spec = cluster.get("lease", *SYSTEM, "netops-kube-proxy-switch")["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("bob@desk", 1)
    # It was written by the clock of the node that the API server runs on.
    now = int(cluster.control_plane.run("date +%s"))
    renewed = int(cluster.control_plane.run(["date", "-d", spec["renewTime"], "+%s"]))
    assert abs(now - renewed) < 120
    api.module("kube_lease", {**ours, "state": "released"})
    assert cluster.get("lease", *SYSTEM, "netops-kube-proxy-switch")["spec"]["holderIdentity"] == ""


def is_cordoned(cluster: Cluster) -> bool:
    return bool(cluster.get("node", "w1")["spec"].get("unschedulable"))


def test_a_drain_that_a_budget_never_allows(api: Node, cluster: Cluster) -> None:
    cluster.apply("held.yaml")
    (pod,) = cluster.wait_for_pods("held", 1)
    wait_for("the budget", lambda: "disruptionsAllowed" in cluster.get("pdb", "never").get("status", {}))
    cluster.kubectl("cordon", "w1")
    drained = {"node": "w1", "state": "drained", "timeout": 15, "delete_empty_dir_data": True}
    message = api.module_fails("kube_node_drain", drained)
    assert "Node w1 is not drained after 15 s" in message
    assert f"pod default/{pod['metadata']['name']} is not evicted" in message
    assert "PodDisruptionBudget default/never (allows 0 more)" in message
    # It was found cordoned, and stays so.
    assert api.module("kube_node_drain", {"node": "w1", "state": "uncordoned"})["changed"] is False
    assert is_cordoned(cluster)
    cluster.kubectl("uncordon", "w1")


def test_a_drain_and_what_it_leaves(api: Node, cluster: Cluster) -> None:
    cluster.kubectl("delete", "pdb", "never")
    uid = pods(cluster)["w1"][1]
    done = checked(api, cluster, "kube_node_drain", {"node": "w1", "state": "drained", "delete_empty_dir_data": True})
    assert any(name.startswith("default/held-") for name in done["evicted"])
    left = cluster.get("pods", "-A", "--field-selector", "spec.nodeName=w1")["items"]
    assert {one["metadata"]["ownerReferences"][0]["kind"] for one in left} == {"DaemonSet"}
    assert is_cordoned(cluster)
    assert pods(cluster)["w1"][1] == uid
    api.module("kube_node_drain", {"node": "w1", "state": "uncordoned"})
    assert not is_cordoned(cluster)
    assert "kube-proxy.netops/cordoned" not in cluster.get("node", "w1")["metadata"].get("annotations", {})
    cluster.wait_for_pods("held", 1)
