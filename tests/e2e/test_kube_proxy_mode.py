# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules of the API side on a real cluster: kubectl, ipvsadm and ip are the witnesses."""

from __future__ import annotations

import json
import re
import threading
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.filter.node_virtual_servers import node_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import decode
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import NodeView, service_ports
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import bound_by
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import parse_addresses
from tests.labkit import Lab, Node, wait_for
from tests.labkit.cluster import Cluster

Object = dict[str, t.Any]

LAB = Lab("kubelab-chk", ("--workers", "0"))
# `ansible -a {}` would be no arguments but a raw text.
GATHER = {"namespace": "kube-system"}
EXCLUDED = "198.18.0.0/24"
WANTED = {"mode": "ipvs", "settings": {"ipvs": {"scheduler": "mh", "excludeCIDRs": [EXCLUDED]}}}


def endpoint(address: str, node: str | None = None, hints: dict[str, str] | None = None, **conditions: bool) -> Object:
    """C(hints) by kind (forZones, forNodes)."""
    found: Object = {"addresses": [address], "conditions": conditions}
    if node:
        found["nodeName"] = node
    if hints:
        found["hints"] = {kind: [{"name": name}] for kind, name in hints.items()}
    return found


LEAVING: Object = {"ready": False, "serving": True, "terminating": True}

# Every rule of the model that one node can show: policies, hints, terminating and unready endpoints, both families,
# external and load balancer addresses, affinity, protocols, labels that hide.
SERVICES: dict[str, Object] = {
    "plain": {"type": "NodePort", "ipFamilyPolicy": "PreferDualStack", "ports": [{"name": "http", "port": 80}]},
    "sticky": {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 77}},
        "externalIPs": ["203.0.113.7", "10.34.0.10"],
        "ports": [{"name": "a", "port": 53, "protocol": "UDP"}, {"name": "b", "port": 5353, "protocol": "SCTP"}],
    },
    "inside": {"internalTrafficPolicy": "Local", "ports": [{"port": 81}]},
    "zoned": {"ports": [{"port": 82}]},
    "noded": {"ports": [{"port": 83}]},
    "leaving": {
        "type": "NodePort",
        "internalTrafficPolicy": "Local",
        "externalTrafficPolicy": "Local",
        "ports": [{"port": 84}],
    },
    "empty": {"ports": [{"port": 85}]},
    "others": {"ports": [{"port": 86}]},
    "marked": {"ports": [{"port": 87}]},
    "headless": {"clusterIP": "None", "ports": [{"port": 88}]},
}
LABELS = {
    "others": {"service.kubernetes.io/service-proxy-name": "other"},
    "marked": {"service.kubernetes.io/headless": ""},
}
HTTP = [{"name": "http", "port": 8080}]
SLICES: list[tuple[str, list[Object], list[Object]]] = [
    (
        "plain",
        HTTP,
        [endpoint("10.244.0.5", "cp1"), endpoint("10.244.1.5", "w1", **LEAVING), endpoint("10.244.1.6", "w1")],
    ),
    ("plain", HTTP, [endpoint("fd00:10:244::5", "cp1")]),
    (
        "sticky",
        [{"name": "a", "port": 5300, "protocol": "UDP"}, {"name": "b", "port": 5301, "protocol": "SCTP"}],
        [endpoint("10.244.0.9", "cp1"), endpoint("10.244.1.9", "w1"), endpoint("10.244.1.8", "w1", ready=False)],
    ),
    ("inside", [], [endpoint("10.244.1.9", "w1")]),
    ("zoned", [], [endpoint("10.244.0.21", "w1", {"forZones": "a"}), endpoint("10.244.1.21", "w1", {"forZones": "b"})]),
    (
        "noded",
        [],
        [
            endpoint("10.244.0.22", "w1", {"forNodes": "cp1", "forZones": "b"}),
            endpoint("10.244.1.22", "w1", {"forNodes": "w1", "forZones": "a"}),
        ],
    ),
    ("leaving", [], [endpoint("10.244.0.23", "cp1", **LEAVING), endpoint("10.244.1.23", "w1")]),
    ("others", [], [endpoint("10.244.1.9")]),
    ("marked", [], [endpoint("10.244.1.9")]),
]


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    return Cluster(lab, ("cp1",))


@pytest.fixture(scope="module")
def node(cluster: Cluster) -> Node:
    return cluster.control_plane


def config_map(cluster: Cluster) -> dict[str, t.Any]:
    found: dict[str, t.Any] = cluster.get("configmap", "-n", "kube-system", "kube-proxy")
    return found


def edit(cluster: Cluster, old: str, new: str) -> str:
    """What a person does with kubectl edit; the text before."""
    found = config_map(cluster)
    text: str = found["data"]["config.conf"]
    assert old in text
    found["data"]["config.conf"] = text.replace(old, new)
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(found))
    return text


def the_pod(cluster: Cluster) -> str:
    (pod,) = [one for one in cluster.kube_proxy_pods() if "deletionTimestamp" not in one["metadata"]]
    uid: str = pod["metadata"]["uid"]
    return uid


def uids_of(cluster: Cluster) -> set[str]:
    pods = [one["metadata"] for one in cluster.kube_proxy_pods()]
    return {one["uid"] for one in pods if "deletionTimestamp" not in one}


def test_a_cluster(lab: Lab, cluster: Cluster) -> None:
    run = lab.playbook("playbooks/create_cluster.yml")
    assert run.rc == 0, run.output
    cluster.wait_for_mode("iptables")
    edit(cluster, "mode: iptables", "mode: iptables # by hand\nfuture: [1, 2]")


def test_the_mode_check_apply_check_apply(cluster: Cluster, node: Node) -> None:
    before = config_map(cluster)
    checked = node.module("kube_proxy_mode", WANTED, check=True)
    assert config_map(cluster) == before
    applied = node.module("kube_proxy_mode", WANTED)
    assert checked["changed"]
    assert applied["changed"]
    assert checked["diff"] == applied["diff"]
    after = config_map(cluster)
    text = after["data"]["config.conf"]
    assert "mode: ipvs # by hand\nfuture: [1, 2]\n" in text
    assert "\n  scheduler: mh\n" in text
    assert len(text.splitlines()) == len(before["data"]["config.conf"].splitlines())
    assert after["data"]["kubeconfig.conf"] == before["data"]["kubeconfig.conf"]
    assert after["metadata"].get("annotations") == before["metadata"].get("annotations")
    for check in (True, False):
        again = node.module("kube_proxy_mode", WANTED, check=check)
        assert not again["changed"]
        assert again["diff"]["before"] == again["diff"]["after"]
    assert config_map(cluster)["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    assert applied["deployment"]["kind"] == "kubeadm"
    assert applied["versions"]["api_server"] == applied["versions"]["daemon_sets"]["kube-proxy"]


def test_a_colleague_who_edits_at_the_same_time_loses_nothing(cluster: Cluster, node: Node) -> None:
    annotate = "kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system annotate cm kube-proxy --overwrite"
    script = f"for i in $(seq 40); do {annotate} colleague/edit$((i % 8))=$i; done"
    colleague = threading.Thread(target=node.run, args=(script,))
    colleague.start()
    for number in range(3):
        node.module("kube_proxy_mode", {"settings": {"oomScoreAdj": -900 - number}})
    colleague.join()
    found = config_map(cluster)
    assert "oomScoreAdj: -902\n" in found["data"]["config.conf"]
    notes = {key: value for key, value in found["metadata"]["annotations"].items() if key.startswith("colleague/")}
    assert sorted(map(int, notes.values())) == list(range(33, 41))


def test_the_pod_check_apply_check_apply(cluster: Cluster, node: Node) -> None:
    uid = the_pod(cluster)
    node.run("ipvsadm -A -t 198.18.0.1:80; ipvsadm -A -t 198.19.0.1:80; ipvsadm -A -f 7")
    wanted = {"node": "cp1", "unless_uid": uid}
    checked = node.module("kube_proxy_pod", wanted, check=True)
    assert the_pod(cluster) == uid
    applied = node.module("kube_proxy_pod", wanted)
    assert checked["changed"]
    assert applied["changed"]
    assert checked["diff"] == applied["diff"]
    assert applied["uid"] == the_pod(cluster) != uid
    assert applied["log_tail"]
    for check in (True, False):
        again = node.module("kube_proxy_pod", wanted, check=check)
        assert not again["changed"]
        assert again["uid"] == applied["uid"]
    cluster.wait_for_mode("ipvs")


def _apply_services(cluster: Cluster) -> None:
    services = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "labels": LABELS.get(name, {})},
            "spec": spec,
        }
        for name, spec in SERVICES.items()
    ]
    slices = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{number}", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv6" if ":" in endpoints[0]["addresses"][0] else "IPv4",
            "ports": ports or [{"name": "", "port": 8181}],
            "endpoints": endpoints,
        }
        for number, (name, ports, endpoints) in enumerate(SLICES)
    ]
    items = {"apiVersion": "v1", "kind": "List", "items": [*services, *slices]}
    cluster.kubectl("label", "node", "cp1", "topology.kubernetes.io/zone=a")
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(items))
    ingress = (
        '{"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.8"}, {"ip": "203.0.113.9", "ipMode": "Proxy"}]}}}'
    )
    cluster.kubectl("patch", "service", "sticky", "--subresource=status", "--type=merge", "-p", ingress)


Virtual = tuple[str, str, str, frozenset[str]]


def kernels(node: Node) -> set[Virtual]:
    """What ipvsadm says: address with protocol, scheduler with flags, persistence, destinations."""
    found: dict[str, list[t.Any]] = {}
    for line in node.run("ipvsadm -Sn").splitlines():
        server = re.match(r"-A (-t|-u|--sctp-service|-f) (\S+) -s (\S+)(?: -p (\d+))?(?: -b (\S+))?", line)
        if server:
            protocol, address, scheduler, timeout, flags = server.groups()
            found[f"{protocol} {address}"] = [f"{scheduler} {flags or ''}", timeout or "0", set()]
            continue
        real = re.match(r"-a (-t|-u|--sctp-service) (\S+) -r (\S+) -m -w 1$", line)
        assert real, line
        found[f"{real[1]} {real[2]}"][2].add(real[3])
    return {(key, how, timeout, frozenset(reals)) for key, (how, timeout, reals) in found.items()}


def expected(node: Node) -> set[Virtual]:
    cluster_state = node.module("cluster_services_info", GATHER)
    servers = node_virtual_servers(cluster_state["state"], "cp1", json.loads(node.run("ip -j address show")))
    letters = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
    return {
        (
            f"{letters[one['protocol']]} {joined(one)}",
            f"{one['scheduler']} {','.join(one['flags'])}",
            str(one["persistence_timeout"]),
            frozenset(joined(real) for real in one["real_servers"]),
        )
        for one in servers
    }


def joined(place: dict[str, t.Any]) -> str:
    address = f"[{place['address']}]" if ":" in place["address"] else place["address"]
    return f"{address}:{place['port']}"


def agree(node: Node) -> None:
    # Two virtual servers are not Kubernetes': the one that excludeCIDRs covers, and the one of a firewall mark.
    others: set[Virtual] = {("-t 198.18.0.1:80", "wlc ", "0", frozenset()), ("-f 7", "wlc ", "0", frozenset())}
    wait_for("kernel and API to agree", lambda: kernels(node) == expected(node) | others, 120)
    addresses = json.loads(node.run("ip -j address show"))
    held = [one["local"] for link in addresses if link["ifname"] == "kube-ipvs0" for one in link["addr_info"]]
    ports = service_ports(decode(node.module("cluster_services_info", GATHER)["state"]), NodeView(""))
    assert {one for one in held if not one.startswith("fe80")} == bound_by(ports, parse_addresses(addresses)).keys()


def test_the_model_is_what_kube_proxy_does(cluster: Cluster, node: Node) -> None:
    _apply_services(cluster)
    agree(node)
    assert len(expected(node)) > 30


def test_the_model_with_primary_node_ports_and_no_local_endpoints(cluster: Cluster, node: Node) -> None:
    cluster.kubectl("label", "node", "cp1", "topology.kubernetes.io/zone-")
    name = next(
        one["metadata"]["name"]
        for one in cluster.get("endpointslices", "-l", "kubernetes.io/service-name=sticky")["items"]
    )
    cluster.kubectl("patch", "endpointslice", name, "--type=json", "-p", '[{"op": "remove", "path": "/endpoints/0"}]')
    settings = {"nodePortAddresses": ["primary"], "ipvs": {"scheduler": "lc"}}
    node.module("kube_proxy_mode", {"mode": "ipvs", "settings": settings})
    node.module("kube_proxy_pod", {"node": "cp1"})
    cluster.wait_for_mode("ipvs")
    agree(node)


def test_nodes_and_pods_are_named(cluster: Cluster, node: Node) -> None:
    found = node.module("cluster_services_info", GATHER)
    (one,) = found["nodes"]
    assert one["runs_kube_proxy"]
    assert one["ready"]
    assert one["kube_proxy_uid"] == the_pod(cluster)
    assert one["internal_ips"] == ["10.34.0.10"]
    assert found["kubernetes_service"]["address"] == cluster.service("kubernetes")["spec"]["clusterIP"]
    assert found["counts"]["services"] == len(cluster.get("services", "-A")["items"])


def test_a_kube_proxy_that_crashes_is_reported_with_its_last_words(cluster: Cluster, node: Node) -> None:
    edit(cluster, "mode: ipvs", "mode: quantum")
    message = node.module_fails("kube_proxy_pod", {"node": "cp1", "timeout": 240})
    assert "keeps crashing" in message
    assert 'Invalid value: \\"quantum\\"' in message
    node.module("kube_proxy_mode", {"mode": "ipvs"})
    node.module("kube_proxy_pod", {"node": "cp1"})
    cluster.wait_for_mode("ipvs")


def daemon_set(cluster: Cluster) -> dict[str, t.Any]:
    found: dict[str, t.Any] = cluster.get("daemonset", "-n", "kube-system", "kube-proxy")
    return found


def running_scheduler(node: Node) -> str:
    """What kube-proxy itself says that it reads."""
    found = re.search(
        r'"scheduler":"([a-z]*)"', node.run("curl -s 127.0.0.1:10249/configz").replace(" ", ""), re.IGNORECASE
    )
    return found[1] if found else ""


def rolled(scheduler: str, timeout: int = 300) -> dict[str, t.Any]:
    return {"settings": {"ipvs": {"scheduler": scheduler}}, "rollout": True, "rollout_timeout": timeout}


def test_a_rollout_check_apply_check_apply(cluster: Cluster, node: Node) -> None:
    uids, template = uids_of(cluster), daemon_set(cluster)["spec"]["template"]
    checked = node.module("kube_proxy_mode", rolled("wlc"), check=True)
    assert (uids_of(cluster), daemon_set(cluster)["spec"]["template"]) == (uids, template)
    applied = node.module("kube_proxy_mode", rolled("wlc"))
    assert (checked["diff"], checked["actions"]) == (applied["diff"], applied["actions"])
    assert not uids_of(cluster) & uids
    # kubectl finds the rollout at its end, and its own annotation.
    cluster.kubectl("rollout", "status", "-n", "kube-system", "daemonset/kube-proxy", "--timeout=1s")
    assert "kubectl.kubernetes.io/restartedAt" in daemon_set(cluster)["spec"]["template"]["metadata"]["annotations"]
    assert {running_scheduler(one) for one in cluster.nodes} == {"wlc"}
    uids = uids_of(cluster)
    for check in (True, False):
        again = node.module("kube_proxy_mode", rolled("wlc"), check=check)
        assert not again["changed"]
        assert again["diff"]["before"] == again["diff"]["after"]
    assert uids_of(cluster) == uids


def test_a_rollout_that_was_interrupted_is_finished(cluster: Cluster, node: Node) -> None:
    message = node.module_fails("kube_proxy_mode", rolled("sed", timeout=1))
    assert "kube-proxy has not restarted everywhere after 1 s" in message
    generation = daemon_set(cluster)["metadata"]["generation"]
    node.module("kube_proxy_mode", rolled("sed"))
    assert daemon_set(cluster)["metadata"]["generation"] == generation
    assert {running_scheduler(one) for one in cluster.nodes} == {"sed"}
    assert not node.module("kube_proxy_mode", rolled("sed"))["changed"]


def test_a_daemonset_that_restarts_nothing_is_left_alone(cluster: Cluster, node: Node) -> None:
    patch = '{"spec": {"updateStrategy": {"type": "%s"%s}}}'
    cluster.kubectl(
        "patch", "ds", "-n", "kube-system", "kube-proxy", "-p", patch % ("OnDelete", ', "rollingUpdate": null')
    )
    before = config_map(cluster), daemon_set(cluster)["metadata"]["generation"], uids_of(cluster)
    for check in (True, False):
        message = node.module_fails("kube_proxy_mode", rolled("rr"), check=check)
        assert "its updateStrategy is OnDelete" in message
    assert (config_map(cluster), daemon_set(cluster)["metadata"]["generation"], uids_of(cluster)) == before
    cluster.kubectl("patch", "ds", "-n", "kube-system", "kube-proxy", "-p", patch % ("RollingUpdate", ""))


def test_a_rollout_that_does_not_start_says_where_and_why(cluster: Cluster, node: Node) -> None:
    # Something that this collection does not judge as long as nobody asks it to write it.
    edit(cluster, "\nclusterCIDR: ", "\nclusterCIDR: banana")
    message = node.module_fails("kube_proxy_mode", rolled("rr"))
    assert "keeps crashing: node " in message
    assert "banana" in message.partition("Its last log lines:")[2]
    edit(cluster, "\nclusterCIDR: banana", "\nclusterCIDR: ")
    node.module("kube_proxy_mode", rolled("rr"))
    cluster.wait_for_mode("ipvs")


def test_a_mode_that_is_none_is_left_to_the_user(cluster: Cluster, node: Node) -> None:
    edit(cluster, "mode: ipvs", "mode: userspace")
    before = config_map(cluster), uids_of(cluster)
    assert "There is no mode 'userspace'" in node.module_fails("kube_proxy_mode", rolled("sh"))
    assert (config_map(cluster), uids_of(cluster)) == before
    node.module("kube_proxy_mode", {"mode": "ipvs"})


BAD: list[tuple[str, dict[str, t.Any], str]] = [
    ("kube_proxy_mode", {"mode": "userspace"}, "must be one of: iptables, ipvs, nftables"),
    (
        "kube_proxy_mode",
        {"mode": "ipvs", "settings": {"ipvs": {"scheduler": "best"}}},
        "ipvs.scheduler must be one of rr",
    ),
    ("kube_proxy_mode", {"mode": "ipvs", "kubeconfig": "/nowhere"}, "option kubeconfig names /nowhere"),
    ("kube_proxy_mode", {"mode": "ipvs", "kubeconfig": "/etc/hostname"}, "Could not use the kubeconfig: /etc/hostname"),
    ("kube_proxy_mode", {"mode": "ipvs", "kubeconfig": "/root/dead.conf"}, "does not answer: "),
    ("kube_proxy_mode", {"mode": "ipvs", "kubeconfig": "/root/nobody.conf"}, "401 Unauthorized"),
    ("kube_proxy_mode", {"mode": "ipvs", "kubeconfig": "/etc/kubernetes/kubelet.conf"}, "403 "),
    ("kube_proxy_mode", {"mode": "ipvs", "context": "nope"}, "nope"),
    ("kube_proxy_mode", {"mode": "ipvs", "daemon_set": "nope"}, "there is no kube-proxy DaemonSet"),
    ("kube_proxy_mode", {"mode": "ipvs", "config_map": "nope"}, "key config.conf of ConfigMap kube-proxy"),
    ("kube_proxy_pod", {"node": "w9"}, "There is no node w9: the cluster's nodes are cp1"),
]


def test_bad_input_is_one_clear_error_and_changes_nothing(cluster: Cluster, node: Node) -> None:
    node.run("sed 's/:6443/:6444/' /etc/kubernetes/admin.conf > /root/dead.conf")
    node.run(
        "sed -e 's/client-certificate-data:.*/token: abc.def/' -e '/client-key-data/d' /etc/kubernetes/admin.conf > /root/nobody.conf"
    )
    before = config_map(cluster), the_pod(cluster)
    for module, arguments, words in BAD:
        assert words in node.module_fails(module, arguments)
    assert (config_map(cluster), the_pod(cluster)) == before


def test_broken_yaml_is_left_alone(cluster: Cluster, node: Node) -> None:
    text = edit(cluster, "ipvs:\n", "ipvs: [\n")
    before = config_map(cluster)
    assert "config.conf in kube-proxy's ConfigMap is not YAML: line" in node.module_fails(
        "kube_proxy_mode", {"mode": "ipvs"}
    )
    assert "is not YAML" in node.module("cluster_services_info", GATHER)["config_problem"]
    assert config_map(cluster) == before
    before["data"]["config.conf"] = text
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(before))


def test_a_managed_configmap_is_left_alone(cluster: Cluster, node: Node) -> None:
    cluster.kubectl("-n", "kube-system", "label", "configmap", "kube-proxy", "kustomize.toolkit.fluxcd.io/name=infra")
    before = config_map(cluster)
    message = node.module_fails("kube_proxy_mode", {"mode": "iptables"})
    assert "managed by Flux (kustomize.toolkit.fluxcd.io/name: infra)" in message
    assert config_map(cluster) == before
    cluster.kubectl("-n", "kube-system", "label", "configmap", "kube-proxy", "kustomize.toolkit.fluxcd.io/name-")
