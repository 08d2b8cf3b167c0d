# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a cluster decides what kube-proxy programs, small enough to hand to every node. Private to this collection.

The state is plain JSON: C(services), C(slices) and C(nodes) reduced to the fields that C(_service_model) reads,
C(service_cidrs) (the networks of ClusterIPs), C(config) (the KubeProxyConfiguration as written, null when there is none to
read), the C(release) of kube-proxy, and C(kube_proxy_pods) (how many each node has, null where nobody knows which they are).
C(rv) of a Service or slice is its C(resourceVersion). While a switch lasts, nodes that it has C(moved) read C(second_config).

What nearly all Services and slices have in common is left out: a node unpacks tens of thousands of values in a fraction of a
second. An endpoint of which nothing is known but an address and perhaps a node is the text C(address node).
"""

from __future__ import annotations

import typing as t
from collections import Counter

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import is_alive
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import SUFFIX, is_moved
from ansible_collections.netops.kube_proxy.plugins.module_utils._packed import pack, unpack

Object = t.Mapping[str, t.Any]
State = t.Dict[str, t.Any]

VERSION = 3

PROXY_NAME = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
SERVICE_NAME = "kubernetes.io/service-name"
ZONE = "topology.kubernetes.io/zone"


def build(
    services: t.Sequence[Object],
    slices: t.Sequence[Object],
    nodes: t.Sequence[Object],
    config: Object | None,
    release: str,
    service_cidrs: t.Sequence[Object] = (),
) -> State:
    """The state of a cluster from its API objects, without C(kube_proxy_pods)."""
    networks = {str(network) for one in service_cidrs for network in (one.get("spec") or {}).get("cidrs") or ()}
    return {
        "version": VERSION,
        "release": release,
        "config": config,
        "services": [reduce_service(one) for one in services],
        "slices": [reduce_slice(one) for one in slices],
        "nodes": [reduce_node(one) for one in nodes],
        "service_cidrs": sorted(networks),
    }


def encode(state: State) -> str:
    """The state as one line of text."""
    return pack(state)


def decode(text: str) -> State:
    """The state of C(encode). Raises C(InvalidInput) for anything else."""
    remedy = "Hand over the value 'state' that cluster_services_info of this collection returned."
    return unpack(text, "the state of a cluster", VERSION, remedy)


def config_of(state: Object, node: str) -> Object | None:
    """The configuration that the kube-proxy of that node reads, None when there is none to read."""
    found: Object | None = state.get("second_config" if _has_moved(state, node) else "config")
    return found


def config_map_of(state: Object, node: str) -> str:
    """The name of the ConfigMap with that configuration, where nobody has chosen another one than kubeadm's."""
    return "kube-proxy" + (SUFFIX if _has_moved(state, node) else "")


def _has_moved(state: Object, node: str) -> bool:
    return any(one.get("moved") for one in state["nodes"] if one["name"] == node)


def object_versions(state: Object) -> dict[str, str]:
    """Of each Service (C(namespace/name)) a text that is another one as soon as the Service or one of its EndpointSlices
    changes, comes or goes."""
    slices: dict[str, list[str]] = {}
    for one in state["slices"]:
        slices.setdefault(f"{one.get('namespace')}/{one.get('service')}", []).append(str(one.get("rv")))
    names = ((f"{one.get('namespace')}/{one.get('name')}", one) for one in state["services"])
    return {name: " ".join([str(one.get("rv")), *sorted(slices.get(name, ()))]) for name, one in names}


def reduce_service(service: Object) -> State:
    spec, metadata = _unlike(service.get("spec") or {}, _USUAL_SERVICE), service.get("metadata") or {}
    affinity = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    kept = {
        **{key: metadata.get(key) for key in ("namespace", "name")},
        "rv": metadata.get("resourceVersion"),
        **{key: spec.get(key) for key in _SERVICE_FIELDS},
        **_cluster_ips(spec),
        "labels": _labels(metadata),
        "affinity": (affinity or 10800) if spec.get("sessionAffinity") == "ClientIP" else None,
        "ports": _ports(spec, ("name", "protocol", "port", "nodePort")),
        "ingress": [_kept(one, ("ip", "ipMode")) for one in ingress if one.get("ip")],
    }
    return _told(kept)


_SERVICE_FIELDS = (
    "type",
    "clusterIP",
    "externalIPs",
    "loadBalancerSourceRanges",
    "externalTrafficPolicy",
    "internalTrafficPolicy",
    "healthCheckNodePort",
)


# As C(_service_model) takes them where nothing is said.
_USUAL_SERVICE = {"type": "ClusterIP", "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster"}
_USUAL_PORT = {"protocol": "TCP"}


def _cluster_ips(spec: Object) -> State:
    """All of a Service's addresses and their families, where they say more than its one address."""
    address, families = spec.get("clusterIP"), spec.get("ipFamilies")
    of_one = ["IPv6" if ":" in (address or "") else "IPv4"]
    if spec.get("clusterIPs") == [address] and families == of_one:
        return {}
    return {"clusterIPs": spec.get("clusterIPs"), "ipFamilies": families}


def _ports(spec: Object, keys: t.Iterable[str]) -> list[State]:
    return [_kept(_unlike(port, _USUAL_PORT), keys) for port in spec.get("ports") or []]


def reduce_slice(endpoint_slice: Object) -> State:
    metadata = endpoint_slice.get("metadata") or {}
    kept = {
        "namespace": metadata.get("namespace"),
        "rv": metadata.get("resourceVersion"),
        "service": (metadata.get("labels") or {}).get(SERVICE_NAME),
        "labels": _labels(metadata),
        "addressType": endpoint_slice.get("addressType"),
        "ports": _ports(endpoint_slice, ("name", "protocol", "port")),
        "endpoints": [_endpoint(one) for one in endpoint_slice.get("endpoints") or [] if one.get("addresses")],
    }
    return _told(kept)


def reduce_node(node: Object) -> State:
    metadata, status = node.get("metadata") or {}, node.get("status") or {}
    return {
        "name": metadata.get("name"),
        "zone": (metadata.get("labels") or {}).get(ZONE) or "",
        "addresses": [_kept(one, ("type", "address")) for one in status.get("addresses") or []],
        "podCIDRs": (node.get("spec") or {}).get("podCIDRs") or [],
        **({"moved": True} if is_moved(node) else {}),
    }


def describe_node(node: Object, uids: t.Mapping[str, str]) -> dict[str, t.Any]:
    """A node for people and for roles. C(uids) are those of the kube-proxy pods by node."""
    metadata, status = node.get("metadata") or {}, node.get("status") or {}
    name = str(metadata.get("name"))
    ready = {one.get("type"): one.get("status") for one in status.get("conditions") or []}.get("Ready")
    return {
        "name": name,
        "ready": ready == "True",
        "internal_ips": [one["address"] for one in status.get("addresses") or [] if one.get("type") == "InternalIP"],
        "runs_kube_proxy": name in uids,
        "kube_proxy_uid": uids.get(name, ""),
        "kubelet_version": str((status.get("nodeInfo") or {}).get("kubeletVersion") or ""),
    }


def uids_by_node(pods: t.Sequence[Object]) -> dict[str, str]:
    """The kube-proxy pods that are there, by the node they run on."""
    return {
        str((pod.get("spec") or {}).get("nodeName")): str((pod.get("metadata") or {}).get("uid"))
        for pod in pods
        if is_alive(pod) and (pod.get("spec") or {}).get("nodeName")
    }


def count_by_node(pods: t.Iterable[Object]) -> dict[str, int]:
    """How many of the pods that are there each node has."""
    return dict(Counter(str((pod.get("spec") or {}).get("nodeName")) for pod in pods if is_alive(pod)))


def kubernetes_service(services: t.Sequence[Object]) -> dict[str, t.Any]:
    """Address and port of the one Service that every cluster has: the API server's own. Empty without it."""
    for service in services:
        metadata, spec = service.get("metadata") or {}, service.get("spec") or {}
        if (metadata.get("namespace"), metadata.get("name")) == ("default", "kubernetes") and spec.get("ports"):
            return {"address": spec.get("clusterIP"), "port": spec["ports"][0].get("port")}
    return {}


# What kube-proxy takes an endpoint for that says nothing (addEndpoints in pkg/proxy/endpointslicecache.go): nearly all are so.
_USUAL = {"ready": True, "serving": True, "terminating": False}


def read_endpoint(kept: str | Object) -> Object:
    """An endpoint of a state as a mapping, in whichever way it is written."""
    if not isinstance(kept, str):
        return kept
    address, node = address_and_node(kept)
    return {"address": address, "node": node} if node else {"address": address}


def address_and_node(kept: str) -> tuple[str, str]:
    """Of an endpoint that is a text; without a node the second is empty."""
    address, _space, node = kept.partition(" ")
    return address, node


def _endpoint(endpoint: Object) -> str | State:
    hints, conditions = endpoint.get("hints") or {}, endpoint.get("conditions") or {}
    kept = {
        # kube-proxy uses the first address only (addEndpoints in pkg/proxy/endpointslicecache.go).
        "address": endpoint["addresses"][0],
        "node": endpoint.get("nodeName"),
        **{name: conditions.get(name) for name, usual in _USUAL.items() if conditions.get(name) != usual},
        "zones": [one.get("name") for one in hints.get("forZones") or []] or None,
        "nodes": [one.get("name") for one in hints.get("forNodes") or []] or None,
    }
    told = {key: value for key, value in kept.items() if value is not None}
    return told if told.keys() - {"address", "node"} else " ".join(told.values())


def _labels(metadata: Object) -> list[str]:
    labels = metadata.get("labels") or {}
    return [label for label in (PROXY_NAME, HEADLESS) if label in labels]


def _unlike(obj: Object, usual: Object) -> Object:
    return {key: value for key, value in obj.items() if value != usual.get(key)}


def _told(obj: Object) -> State:
    return {key: value for key, value in obj.items() if value not in (None, [], {})}


def _kept(obj: Object, keys: t.Iterable[str]) -> State:
    return {key: obj[key] for key in keys if obj.get(key) is not None}
