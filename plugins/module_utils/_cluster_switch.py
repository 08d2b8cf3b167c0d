# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What in the API decides how a cluster takes another mode of kube-proxy, told from its objects. Pure. Private to this
collection.

Sources: C(NFTablesMode) in C(api/pkg/apis/projectcalico/v3/felixconfig.go) and C(useNftables) in C(felix/dataplane/linux/int_dataplane.go)
of Calico 3.29 to 3.32 (unset is Disabled, Auto follows kube-proxy, the environment beats the resource), C(EnableNFTables) in
C(net-conf.json) of flannel 0.26, the flags of C(cmd/node-cache/main.go) in kubernetes/dns, C(vip_arp) of kube-vip 0.8,
C(l2advertisements) of MetalLB 0.13 and later, C(filterPods) in C(k8s.io/kubectl/pkg/drain/filters.go) (which pods a drain evicts).
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import (
    annotations_of,
    flag,
    labels_of,
    pod_spec,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_owner import owner_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._label_selector import selects

Object = t.Mapping[str, t.Any]
Row = t.Dict[str, t.Any]

MODE_LABEL = "kube-proxy.netops/mode"
SKIPS_KERNEL = "KUBE_PROXY_NFTABLES_SKIP_KERNEL_VERSION_CHECK"
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_TRUE = ("1", "true", "yes", "on")


def name_of(obj: Object) -> str:
    """C(namespace/name)."""
    metadata = obj.get("metadata") or {}
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}".lstrip("/")


def short_name(obj: Object) -> str:
    """The name alone."""
    return str((obj.get("metadata") or {}).get("name") or "")


def describe_config_map(config_map: Object) -> Row:
    """Who has written the ConfigMap, and who of them would put it back."""
    fields = (config_map.get("metadata") or {}).get("managedFields") or []
    return {"managers": sorted({str(one.get("manager") or "") for one in fields}), **describe_owner(config_map)}


def describe_owner(obj: Object) -> Row:
    """Who would put an object back, and what tells; empty for nobody."""
    owner = owner_of(obj)
    return {"owner": owner.name if owner else "", "mark": owner.mark if owner else ""}


def describe_node(node: Object) -> Row:
    """A node, as far as a switch cares."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    conditions = {one.get("type"): one.get("status") for one in status.get("conditions") or []}
    labels = labels_of(node)
    return {
        "name": short_name(node),
        "ready": conditions.get("Ready") == "True",
        "unschedulable": bool(spec.get("unschedulable")),
        "control_plane": _CONTROL_PLANE in labels,
        "mode_label": str(labels.get(MODE_LABEL) or ""),
        "kubelet_version": str((status.get("nodeInfo") or {}).get("kubeletVersion") or ""),
        "pod_cidrs": [str(one) for one in spec.get("podCIDRs") or []],
    }


def skips_kernel_check(daemon_set: Object) -> bool:
    """Whether kube-proxy is told to start in nftables mode on any kernel."""
    return any(bool(_environment(one).get(SKIPS_KERNEL)) for one in _containers(pod_spec(daemon_set)))


def find_daemon_set(daemon_sets: t.Iterable[Object], *names: str, image: str = "") -> Object | None:
    """The first one of these names, or with a container whose image has this word in it."""
    for one in daemon_sets:
        images = (str(container.get("image") or "") for container in _containers(pod_spec(one)))
        if short_name(one) in names or (image and any(image in found for found in images)):
            return one
    return None


def describe_calico(daemon_set: Object, configurations: t.Iterable[Object]) -> Row:
    """Calico's part: the mode of Felix by C(FelixConfiguration), its nodes' own, and the environment that beats both."""
    specs = {short_name(one): one.get("spec") or {} for one in configurations}
    given = [_environment(one) for one in _containers(pod_spec(daemon_set))]
    environment = next((str(one["FELIX_NFTABLESMODE"]) for one in given if one.get("FELIX_NFTABLESMODE")), "")
    by_node = {
        name[len("node.") :]: str(spec["nftablesMode"])
        for name, spec in specs.items()
        if name.startswith("node.") and spec.get("nftablesMode")
    }
    return {
        "daemon_set": name_of(daemon_set),
        "nftables_mode": environment or str(specs.get("default", {}).get("nftablesMode") or ""),
        "nftables_mode_by_node": {} if environment else by_node,
        "bpf_enabled": bool(specs.get("default", {}).get("bpfEnabled")),
    }


def flannel_config_map(daemon_set: Object) -> tuple[str, str] | None:
    """Namespace and name of the ConfigMap that flannel reads."""
    for volume in pod_spec(daemon_set).get("volumes") or []:
        name = (volume.get("configMap") or {}).get("name")
        if name:
            return str((daemon_set.get("metadata") or {}).get("namespace") or ""), str(name)
    return None


def describe_flannel(daemon_set: Object, config_map: Object | None) -> Row:
    """Flannel's part; C(enable_nftables) is null when its ConfigMap does not tell."""
    text = ((config_map or {}).get("data") or {}).get("net-conf.json")
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    enabled = bool(value.get("EnableNFTables")) if isinstance(value, dict) else None
    return {"daemon_set": name_of(daemon_set), "enable_nftables": enabled}


def describe_node_local_dns(daemon_set: Object) -> Row:
    """What NodeLocal DNSCache is started with."""
    argv = [str(word) for one in _containers(pod_spec(daemon_set)) for word in _argv(one)]
    dashed = [f"--{word.lstrip('-')}" if word.startswith("-") else word for word in argv]
    addresses = [one.strip() for one in flag(dashed, "localip").split(",") if one.strip()]
    return {
        "daemon_set": name_of(daemon_set),
        "local_ips": addresses,
        "setup_iptables": (flag(dashed, "setupiptables") or "true").lower() in (*_TRUE, "t"),
    }


def is_kube_vip_by_arp(spec: Object) -> bool:
    """Whether a pod is kube-vip, and announces by ARP."""
    for one in _containers(spec):
        if "kube-vip" in str(one.get("image") or ""):
            given = str(_environment(one).get("vip_arp") or "").lower()
            return given in _TRUE or any(str(word).startswith("--arp") for word in _argv(one))
    return False


def blocking_budgets(budgets: t.Iterable[Object], pods: t.Sequence[Object]) -> list[Row]:
    """The disruption budgets that allow none now, with the nodes whose drain would wait for them."""
    found = []
    for budget in budgets:
        allowed = (budget.get("status") or {}).get("disruptionsAllowed")
        if allowed != 0:
            continue
        namespace = (budget.get("metadata") or {}).get("namespace")
        selector = (budget.get("spec") or {}).get("selector")
        hit = [
            str((pod.get("spec") or {}).get("nodeName") or "")
            for pod in pods
            # One that cannot be understood counts: better a node too many than a drain that hangs.
            if (pod.get("metadata") or {}).get("namespace") == namespace
            and is_evicted(pod)
            and selects(selector, labels_of(pod)) is not False
        ]
        found.append({"name": name_of(budget), "nodes": sorted({node for node in hit if node}), "pods": len(hit)})
    return found


def is_evicted(pod: Object) -> bool:
    """Whether a drain evicts a pod: not those of DaemonSets, static ones, and those that have ended."""
    owners = (pod.get("metadata") or {}).get("ownerReferences") or []
    if any(one.get("controller") and one.get("kind") == "DaemonSet" for one in owners):
        return False
    if "kubernetes.io/config.mirror" in annotations_of(pod):
        return False
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _containers(spec: Object) -> list[Object]:
    return [one for one in spec.get("containers") or [] if isinstance(one, dict)]


def _argv(container: Object) -> list[t.Any]:
    return [*(container.get("command") or []), *(container.get("args") or [])]


def _environment(container: Object) -> dict[str, t.Any]:
    return {str(one.get("name")): one.get("value") for one in container.get("env") or []}
