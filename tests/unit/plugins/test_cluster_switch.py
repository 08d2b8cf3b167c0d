# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What in the API decides how a cluster takes another mode. The objects are cut down from the manifests that Calico 3.31,
flannel 0.26, kubernetes/dns 1.26, MetalLB 0.15 and kube-vip 0.8 publish."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_switch as told
from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_switch_read import ClusterLook
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import ApiError, TransportError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names
from ansible_collections.netops.kube_proxy.plugins.module_utils._label_selector import selects
from tests.unit.plugins.kube_api_server import CONFIG_MAP, DAEMON_SET, FakeServer, kubeadm_objects, node

NAMES = Names("kube-system", "kube-proxy", "kube-proxy")
Object = dict[str, t.Any]
FELIX, L2 = "/apis/crd.projectcalico.org/v1/felixconfigurations", "/apis/metallb.io/v1beta1/l2advertisements"
FELIX_V3 = "/apis/projectcalico.org/v3/felixconfigurations"
BUDGETS, PODS = "/apis/policy/v1/poddisruptionbudgets", "/api/v1/pods"
FLANNEL = "/api/v1/namespaces/kube-flannel/configmaps/kube-flannel-cfg"


def daemon_set(name: str, namespace: str, volumes: t.Sequence[Object] = (), **container: t.Any) -> Object:
    spec = {"containers": [{"name": name, **container}], "volumes": list(volumes)}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"template": {"spec": spec}}}


def pod(name: str, node_name: str, namespace: str = "default", owner: str = "ReplicaSet", **more: t.Any) -> Object:
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": more.get("labels", {"app": name}),
        "annotations": more.get("annotations", {}),
        "ownerReferences": [{"kind": owner, "controller": True}],
    }
    return {"metadata": metadata, "spec": {"nodeName": node_name}, "status": {"phase": more.get("phase", "Running")}}


def budget(name: str, allowed: int, selector: Object | None, namespace: str = "default") -> Object:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed},
    }


def server(*daemon_sets: Object) -> FakeServer:
    found = FakeServer()
    found.lists["/apis/apps/v1/daemonsets"] = [kubeadm_objects()[DAEMON_SET], *daemon_sets]
    found.lists["/api/v1/namespaces/kube-system/pods"] = []
    return found


CALICO = daemon_set("calico-node", "calico-system", image="quay.io/calico/node:v3.31.0")
FLANNEL_SET = daemon_set("kube-flannel-ds", "kube-flannel", [{"configMap": {"name": "kube-flannel-cfg"}}])
NODE_LOCAL = daemon_set(
    "node-local-dns",
    "kube-system",
    image="registry.k8s.io/dns/k8s-dns-node-cache:1.26.4",
    args=["-localip", "169.254.20.10,10.96.0.10", "-conf", "/etc/Corefile", "-upstreamsvc", "kube-dns-upstream"],
)
SPEAKER = daemon_set("speaker", "metallb-system", image="quay.io/metallb/speaker:v0.15.2")
KUBE_VIP = {
    "image": "ghcr.io/kube-vip/kube-vip:v0.8.9",
    "args": ["manager"],
    "env": [{"name": "vip_arp", "value": "true"}, {"name": "port", "value": "6443"}],
}


def test_a_plain_cluster_costs_four_requests() -> None:
    api = server()
    facts = ClusterLook(api.api, NAMES).facts(drain=False)
    assert len(api.asked) == len(set(api.asked)) == 4
    assert api.writes == []
    assert facts["kube_proxy"] == {
        "image": "registry.k8s.io/kube-proxy:v1.37.2",
        "releases": ["1.37"],
        "update_strategy": "RollingUpdate",
        "skips_kernel_check": False,
        "owner": "",
        "mark": "",
    }
    assert facts["config_map"] == {"managers": [], "owner": "", "mark": "", "feature_gates": {}}
    assert [one["name"] for one in facts["nodes"]] == ["cp1"]
    parts = ("calico", "flannel", "node_local_dns", "l2_announcers", "blocking_budgets")
    assert [facts[part] for part in parts] == [None, None, None, [], None]
    assert facts["unread"] == {}


def test_everything_is_listed_once() -> None:
    api = server(CALICO, FLANNEL_SET, NODE_LOCAL, SPEAKER)
    api.lists.update({FELIX: [], L2: [], BUDGETS: [], PODS: []})
    api.objects[FLANNEL] = {"data": {}}
    facts = ClusterLook(api.api, NAMES).facts(drain=True)
    assert len(api.asked) == len(set(api.asked)) == 8
    assert facts["unread"] == {}


@pytest.mark.parametrize(
    ("where", "resources", "environment", "expected"),
    [
        (FELIX, [{"metadata": {"name": "default"}, "spec": {"nftablesMode": "Auto"}}], [], ("Auto", {}, False)),
        (
            FELIX,
            [
                {"metadata": {"name": "default"}, "spec": {"bpfEnabled": True}},
                {"metadata": {"name": "node.w1"}, "spec": {"nftablesMode": "Enabled"}},
            ],
            [],
            ("", {"w1": "Enabled"}, True),
        ),
        (
            FELIX,
            [{"metadata": {"name": "default"}, "spec": {}}],
            [{"name": "FELIX_NFTABLESMODE", "value": "Enabled"}],
            ("Enabled", {}, False),
        ),
        (
            FELIX_V3,
            [{"metadata": {"name": "default"}, "spec": {"nftablesMode": "Enabled"}}],
            [],
            ("Enabled", {}, False),
        ),
        ("/nowhere", [], [], ("", {}, False)),
    ],
)
def test_calico(where: str, resources: list[Object], environment: list[Object], expected: tuple[t.Any, ...]) -> None:
    api = server(daemon_set("calico-node", "calico-system", env=environment))
    api.lists[where] = resources
    found = ClusterLook(api.api, NAMES).facts(drain=False)["calico"]
    assert (found["nftables_mode"], found["nftables_mode_by_node"], found["bpf_enabled"]) == expected


@pytest.mark.parametrize(
    ("data", "enabled"),
    [
        (
            {"net-conf.json": '{"Network": "10.244.0.0/16", "EnableNFTables": false, "Backend": {"Type": "vxlan"}}'},
            False,
        ),
        ({"net-conf.json": '{"EnableNFTables": true}'}, True),
        ({"net-conf.json": '{"Network": "10.244.0.0/16"}'}, False),
        ({"net-conf.json": "{"}, None),
        ({"net-conf.json": "[1]"}, None),
        ({}, None),
    ],
)
def test_flannel(data: Object, enabled: bool | None) -> None:
    api = server(FLANNEL_SET)
    api.objects[FLANNEL] = {"data": data}
    assert ClusterLook(api.api, NAMES).facts(drain=False)["flannel"]["enable_nftables"] is enabled


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["-localip", "169.254.20.10,10.96.0.10"], (["169.254.20.10", "10.96.0.10"], True)),
        (["--localip=169.254.20.10"], (["169.254.20.10"], True)),
        (["-localip", "169.254.20.10", "-setupiptables=false"], (["169.254.20.10"], False)),
        ([], ([], True)),
    ],
)
def test_node_local_dns(args: list[str], expected: tuple[list[str], bool]) -> None:
    found = told.describe_node_local_dns(daemon_set("node-local-dns", "kube-system", args=args))
    assert (found["local_ips"], found["setup_iptables"]) == expected


@pytest.mark.parametrize(
    ("spec", "by_arp"),
    [
        ({"containers": [KUBE_VIP]}, True),
        ({"containers": [{**KUBE_VIP, "env": [{"name": "vip_arp", "value": "false"}]}]}, False),
        ({"containers": [{"image": "kube-vip", "args": ["manager", "--arp"]}]}, True),
        ({"containers": [{"image": "nginx", "env": [{"name": "vip_arp", "value": "true"}]}]}, False),
        ({}, False),
    ],
)
def test_kube_vip(spec: Object, by_arp: bool) -> None:
    assert told.is_kube_vip_by_arp(spec) is by_arp


def test_announcers() -> None:
    api = server(SPEAKER)
    api.lists[L2] = [{"metadata": {"name": "default", "namespace": "metallb-system"}}]
    api.lists["/api/v1/namespaces/kube-system/pods"] = [
        {"metadata": {"name": "kube-vip-cp1"}, "spec": {"containers": [KUBE_VIP]}}
    ]
    assert ClusterLook(api.api, NAMES).facts(drain=False)["l2_announcers"] == [
        {"name": "MetalLB", "seen": "L2Advertisement metallb-system/default"},
        {"name": "kube-vip", "seen": "Pod kube-vip-cp1"},
    ]


def test_metallb_without_an_l2_advertisement_announces_by_bgp() -> None:
    api = server(SPEAKER)
    api.lists[L2] = []
    assert ClusterLook(api.api, NAMES).facts(drain=False)["l2_announcers"] == []


def test_what_may_not_be_read_is_said() -> None:
    def forbid(_server: FakeServer, _method: str, path: str) -> None:
        if path in (FELIX, L2, BUDGETS):
            raise TransportError(403, "forbidden")

    api = server(CALICO, SPEAKER)
    api.lists[PODS] = []
    api.before = forbid
    facts = ClusterLook(api.api, NAMES).facts(drain=True)
    assert [facts[part] for part in ("calico", "l2_announcers", "blocking_budgets")] == [None, None, None]
    assert sorted(facts["unread"]) == ["blocking_budgets", "calico", "l2_announcers"]
    assert "403" in facts["unread"]["calico"]


@pytest.mark.parametrize("status", [401, 500, 0])
def test_a_server_that_fails_is_no_answer(status: int) -> None:
    def fail(_server: FakeServer, _method: str, _path: str) -> None:
        raise TransportError(status, "no")

    api = server()
    api.before = fail
    with pytest.raises(ApiError):
        ClusterLook(api.api, NAMES).facts(drain=False)


def test_a_cluster_without_kube_proxy_says_so() -> None:
    api = server()
    api.lists["/apis/apps/v1/daemonsets"] = []
    del api.objects[CONFIG_MAP]
    facts = ClusterLook(api.api, NAMES).facts(drain=False)
    assert (facts["kube_proxy"], facts["config_map"]) == (None, None)
    assert sorted(facts["unread"]) == ["config_map", "kube_proxy"]


def test_a_manager_that_would_put_the_config_map_back() -> None:
    fields = [{"manager": "kubeadm"}, {"manager": "argocd-controller"}, {"manager": "kubectl-edit"}]
    found = told.describe_config_map({"metadata": {"managedFields": fields}})
    assert found == {
        "managers": ["argocd-controller", "kubeadm", "kubectl-edit"],
        "owner": "Argo CD",
        "mark": "field manager argocd-controller",
    }


def test_gates_and_the_kernel_check() -> None:
    api = server()
    api.edit_config(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nfeatureGates:\n  KubeProxyIPVS: true\n"
    )
    ours = api.lists["/apis/apps/v1/daemonsets"][0]
    ours["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": told.SKIPS_KERNEL, "value": "1"})
    facts = ClusterLook(api.api, NAMES).facts(drain=False)
    assert facts["config_map"]["feature_gates"] == {"KubeProxyIPVS": True}
    assert facts["kube_proxy"]["skips_kernel_check"] is True


def test_a_config_map_that_is_broken() -> None:
    api = server()
    api.edit_config("{")
    facts = ClusterLook(api.api, NAMES).facts(drain=False)
    assert facts["config_map"]["feature_gates"] is None
    assert "config_map.feature_gates" in facts["unread"]


def test_a_node() -> None:
    cordoned = node("w1", "v1.37.2", **{told.MODE_LABEL: "nftables"})
    cordoned["spec"] = {"unschedulable": True, "podCIDRs": ["10.244.1.0/24"]}
    assert told.describe_node(cordoned) == {
        "name": "w1",
        "ready": True,
        "unschedulable": True,
        "control_plane": False,
        "mode_label": "nftables",
        "kubelet_version": "v1.37.2",
        "pod_cidrs": ["10.244.1.0/24"],
    }


WEB = {"matchLabels": {"app": "web"}}


@pytest.mark.parametrize(
    ("budgets", "pods", "expected"),
    [
        (
            [budget("b", 0, WEB)],
            [pod("web", "w1"), pod("web", "w2"), pod("db", "w3")],
            [("default/b", ["w1", "w2"], 2)],
        ),
        ([budget("b", 1, WEB)], [pod("web", "w1")], []),
        ([budget("b", 0, {})], [pod("db", "w1"), pod("web", "w1", "other")], [("default/b", ["w1"], 1)]),
        ([budget("b", 0, None)], [pod("db", "w1")], [("default/b", [], 0)]),
        (
            [budget("b", 0, WEB)],
            [
                pod("web", "w1", owner="DaemonSet"),
                pod("web", "w2", annotations={"kubernetes.io/config.mirror": "x"}),
                pod("web", "w3", phase="Succeeded"),
                pod("web", ""),
            ],
            [("default/b", [], 1)],
        ),
        (
            [budget("b", 0, {"matchExpressions": [{"key": "app", "operator": "Gt"}]})],
            [pod("web", "w1")],
            [("default/b", ["w1"], 1)],
        ),
        ([{"metadata": {"name": "b", "namespace": "default"}, "spec": {"selector": {}}}], [pod("web", "w1")], []),
    ],
)
def test_budgets(budgets: list[Object], pods: list[Object], expected: list[tuple[str, list[str], int]]) -> None:
    assert [(one["name"], one["nodes"], one["pods"]) for one in told.blocking_budgets(budgets, pods)] == expected


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (None, {}, False),
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Like"}]}, {"a": "1"}, None),
    ],
)
def test_selectors(selector: Object | None, labels: dict[str, str], expected: bool | None) -> None:
    assert selects(selector, labels) is expected


@given(st.lists(st.text(max_size=30), max_size=6))
def test_any_arguments_are_read(args: list[str]) -> None:
    told.describe_node_local_dns(daemon_set("node-local-dns", "kube-system", args=args))
    told.describe_flannel(FLANNEL_SET, {"data": {"net-conf.json": "".join(args)}})
