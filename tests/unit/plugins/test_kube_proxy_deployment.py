# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How kube-proxy is deployed: what is recognised, by what, and what is left alone."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import (
    Observed,
    classify,
    image_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import argv_of
from tests.unit.plugins.kube_api_server import CONFIG_MAP, DAEMON_SET, kubeadm_objects, node

Object = dict[str, t.Any]


def kubeadm() -> tuple[Object, Object]:
    objects = kubeadm_objects()
    return objects[DAEMON_SET], objects[CONFIG_MAP]


def pod_spec(daemon_set: Object) -> Object:
    spec: Object = daemon_set["spec"]["template"]["spec"]
    return spec


def named(name: str, namespace: str = "kube-system") -> Object:
    return {"metadata": {"name": name, "namespace": namespace}}


def test_kubeadms_own() -> None:
    daemon_set, config_map = kubeadm()
    found = classify(Observed(daemon_set, config_map, "kube-proxy", [node("cp1")]))
    assert (found.kind, found.supported) == ("kubeadm", True)
    assert image_of(daemon_set) == "registry.k8s.io/kube-proxy:v1.37.2"
    found.refuse()


def _shell(spec: Object) -> None:
    container = spec["containers"][0]
    container["command"] = ["/bin/sh", "-c", "exec kube-proxy --config=/var/lib/kube-proxy/config.conf --v=2 2>&1"]


def _two_words(spec: Object) -> None:
    spec["containers"][0]["command"] = ["/usr/local/bin/kube-proxy"]
    spec["containers"][0]["args"] = ["--config", "/var/lib/kube-proxy/config.conf", "--proxy-mode=iptables"]


def _renamed_key(spec: Object) -> None:
    spec["containers"][0]["command"] = ["kube-proxy", "--config=/etc/kp/kp.yaml"]
    spec["containers"][0]["volumeMounts"] = [{"name": "kube-proxy", "mountPath": "/etc/kp/"}]
    spec["volumes"] = [
        {
            "name": "kube-proxy",
            "configMap": {"name": "kube-proxy", "items": [{"key": "config.conf", "path": "kp.yaml"}]},
        }
    ]


def _sub_path(spec: Object) -> None:
    spec["containers"][0]["command"] = ["kube-proxy", "--config=/etc/kp.yaml"]
    spec["containers"][0]["volumeMounts"] = [
        {"name": "other", "mountPath": "/etc"},
        {"name": "kube-proxy", "mountPath": "/etc/kp.yaml", "subPath": "config.conf"},
    ]


def _sidecar_first(spec: Object) -> None:
    spec["containers"].insert(0, {"name": "metrics", "image": "rbac-proxy:v9", "command": ["rbac-proxy"]})


@pytest.mark.parametrize("change", [_shell, _two_words, _renamed_key, _sub_path, _sidecar_first])
def test_hand_made_ones_of_the_same_layout(change: t.Callable[[Object], None]) -> None:
    daemon_set, config_map = kubeadm()
    change(pod_spec(daemon_set))
    del config_map["metadata"]["labels"]
    found = classify(Observed(daemon_set, config_map, "kube-proxy"))
    assert (found.kind, found.supported) == ("daemonset", True)


def test_a_flag_that_counts_for_nothing_is_mentioned() -> None:
    daemon_set, config_map = kubeadm()
    _two_words(pod_spec(daemon_set))
    assert (
        "kube-proxy ignores --proxy-mode=iptables beside --config"
        in classify(Observed(daemon_set, config_map, "kube-proxy")).seen
    )


def test_only_flags_that_kube_proxy_ignores_are_mentioned() -> None:
    daemon_set, config_map = kubeadm()
    # Options.Complete and AddFlags in cmd/kube-proxy/app/options.go: with a file, these two are not looked at.
    ignored = ["--config-sync-period=5m", "--feature-gates=KubeProxyIPVS=true"]
    kept = [
        "--hostname-override=x",
        "--v=2",
        "--vmodule=a=1",
        "--logging-format=json",
        "--log-flush-frequency=5s",
        "--master=y",
    ]
    pod_spec(daemon_set)["containers"][0]["command"][2:] = [*kept, *ignored]
    seen = classify(Observed(daemon_set, config_map, "kube-proxy")).seen
    assert seen.endswith(f"; kube-proxy ignores {' '.join(ignored)} beside --config")


def _flags(spec: Object) -> None:
    spec["containers"][0]["command"] = ["/bin/sh", "-c", "kube-proxy --proxy-mode=ipvs --cluster-cidr=10.0.0.0/8"]


def _eks(spec: Object) -> None:
    spec["containers"][0]["command"] = ["kube-proxy", "--v=2", "--config=/var/lib/kube-proxy-config/config"]
    spec["containers"][0]["volumeMounts"].append({"name": "config", "mountPath": "/var/lib/kube-proxy-config/"})
    spec["volumes"].append({"name": "config", "configMap": {"name": "kube-proxy-config"}})


def _host_path(spec: Object) -> None:
    spec["containers"][0]["command"] = ["kube-proxy", "--config=/etc/kubernetes/kube-proxy.yaml"]
    spec["containers"][0]["volumeMounts"].append({"name": "etc", "mountPath": "/etc/kubernetes"})
    spec["volumes"].append({"name": "etc", "hostPath": {"path": "/etc/kubernetes"}})


def _other_program(spec: Object) -> None:
    spec["containers"][0].update(name="pause", command=["/pause"])


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (_flags, "flags", "configures kube-proxy by flags (--proxy-mode=ipvs, --cluster-cidr=10.0.0.0/8)"),
        (_eks, "other_config", "key config of ConfigMap kube-proxy-config"),
        (_host_path, "other_config", "reads /etc/kubernetes/kube-proxy.yaml, which is no ConfigMap"),
        (_other_program, "missing", "no container of DaemonSet kube-system/kube-proxy runs kube-proxy"),
    ],
)
def test_layouts_that_are_left_alone(change: t.Callable[[Object], None], kind: str, words: str) -> None:
    daemon_set, config_map = kubeadm()
    change(pod_spec(daemon_set))
    refused(Observed(daemon_set, config_map, "kube-proxy"), kind, words)


def refused(observed: Observed, kind: str, words: str) -> None:
    found = classify(observed)
    assert found.kind == kind
    with pytest.raises(KubeProxyError, match="nothing was changed") as caught:
        found.refuse()
    assert words in str(caught.value)
    assert caught.value.details["deployment"]["kind"] == kind


MIRROR: Object = {
    "metadata": {
        "name": "kube-proxy-w1",
        "namespace": "kube-system",
        "annotations": {"kubernetes.io/config.mirror": "x"},
    },
    "spec": {"containers": [{"name": "kube-proxy", "command": ["kube-proxy", "--proxy-mode=iptables"]}]},
}
ETCD: Object = {
    "metadata": {"name": "etcd-cp1", "namespace": "kube-system", "annotations": {"kubernetes.io/config.mirror": "x"}},
    "spec": {"containers": [{"name": "etcd", "command": ["etcd"]}]},
}
ABSENT: list[tuple[dict[str, t.Any], str, str]] = [
    ({"nodes": [node("n1", "v1.34.1+k3s1")]}, "k3s", "node n1 is a k3s node (kubelet v1.34.1+k3s1)"),
    ({"nodes": [node("n1", "v1.34.1+rke2r1")], "pods": [MIRROR]}, "rke2", "kube-proxy-arg"),
    ({"nodes": [node("n1", **{"node.kubernetes.io/instance-type": "k3s"})]}, "k3s", "/etc/rancher/k3s/config.yaml"),
    ({"pods": [ETCD, MIRROR]}, "static_pod", "kube-system/kube-proxy-w1 is the mirror of a static pod"),
    (
        {"daemon_sets": [named("coredns"), named("cilium")]},
        "replaced",
        "Cilium is there (DaemonSet kube-system/cilium), and there is no kube-proxy",
    ),
    (
        {"daemon_sets": [named("calico-node", "calico-system")]},
        "replaced",
        "Calico is there (DaemonSet calico-system/calico-node)",
    ),
    ({"daemon_sets": [named("antrea-agent")]}, "replaced", "Antrea carries the Services itself"),
    ({"daemon_sets": [named("kube-router")]}, "replaced", "kube-router carries the Services itself"),
    ({"pods": [ETCD]}, "missing", "there is no kube-proxy DaemonSet"),
]


@pytest.mark.parametrize(("others", "kind", "words"), ABSENT)
def test_a_cluster_without_its_daemonset(others: dict[str, t.Any], kind: str, words: str) -> None:
    refused(Observed(None, None, "kube-proxy", **others), kind, words)


def test_calicos_way_of_switching_kube_proxy_off() -> None:
    daemon_set, config_map = kubeadm()
    daemon_set["status"] = {"observedGeneration": 1, "desiredNumberScheduled": 0}
    pod_spec(daemon_set)["nodeSelector"] = {"non-calico": "true"}
    refused(
        Observed(daemon_set, config_map, "kube-proxy", daemon_sets=[named("calico-node")]),
        "replaced",
        "Calico is there (DaemonSet kube-system/calico-node), and DaemonSet kube-system/kube-proxy matches no node",
    )
    refused(Observed(daemon_set, config_map, "kube-proxy"), "missing", "nodeSelector {'non-calico': 'true'}")


def test_a_daemonset_that_was_just_made_counts() -> None:
    daemon_set, config_map = kubeadm()
    daemon_set["status"] = {"desiredNumberScheduled": 0}
    assert classify(Observed(daemon_set, config_map, "kube-proxy")).kind == "kubeadm"


MANAGED: list[tuple[dict[str, t.Any], str]] = [
    (
        {"annotations": {"argocd.argoproj.io/tracking-id": "proxy:/ConfigMap:kube-system/kube-proxy"}},
        "managed by Argo CD (argocd.argoproj.io/tracking-id",
    ),
    ({"labels": {"argocd.argoproj.io/instance": "proxy"}}, "Argo CD"),
    (
        {"labels": {"kustomize.toolkit.fluxcd.io/name": "infra"}},
        "managed by Flux (kustomize.toolkit.fluxcd.io/name: infra)",
    ),
    ({"labels": {"helm.toolkit.fluxcd.io/name": "x"}}, "Flux"),
    ({"annotations": {"meta.helm.sh/release-name": "x"}}, "Helm would put the old mode back"),
    (
        {"managedFields": [{"manager": "kubeadm"}, {"manager": "argocd-controller"}]},
        "Argo CD (field manager argocd-controller)",
    ),
    ({"managedFields": [{"manager": "kustomize-controller"}]}, "Flux"),
    ({"managedFields": [{"manager": "eks"}]}, "EKS"),
]


@pytest.mark.parametrize(("metadata", "words"), MANAGED)
def test_a_configmap_that_something_puts_back(metadata: dict[str, t.Any], words: str) -> None:
    daemon_set, config_map = kubeadm()
    config_map["metadata"].update(metadata)
    refused(Observed(daemon_set, config_map, "kube-proxy"), "gitops", words)


def test_people_and_kubeadm_are_no_managers() -> None:
    daemon_set, config_map = kubeadm()
    config_map["metadata"]["managedFields"] = [
        {"manager": name} for name in ("kubeadm", "kubectl-edit", "OpenAPI-Generator")
    ]
    config_map["metadata"]["annotations"] = {"kubeadm.kubernetes.io/component-config.hash": "sha256:0"}
    assert classify(Observed(daemon_set, config_map, "kube-proxy")).supported


def test_objects_are_only_looked_at() -> None:
    daemon_set, config_map = kubeadm()
    before = copy.deepcopy((daemon_set, config_map))
    classify(Observed(daemon_set, config_map, "kube-proxy"))
    assert (daemon_set, config_map) == before


@pytest.mark.parametrize("text", ["kube-proxy 'unclosed", "  ", "a b kube-proxyx --config=x"])
def test_odd_commands_do_not_fail(text: str) -> None:
    assert argv_of({"containers": [{"name": "x", "command": ["sh", "-c", text]}]}) in (None, ["'unclosed"])
