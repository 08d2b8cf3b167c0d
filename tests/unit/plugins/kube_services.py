# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API objects for tests of the model, in the shapes that the API server gives."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of

Object = dict[str, t.Any]

NODE = "testnode"


def service(
    name: str = "ns1/svc1", labels: dict[str, str] | None = None, ingress: t.Any = None, **spec: t.Any
) -> Object:
    """C(name) is C(namespace/name). Port 80 named p80, TCP, unless C(ports) says else; C(clusterIPs) follow clusterIP."""
    namespace, _slash, own = name.partition("/")
    address = spec.setdefault("clusterIP", "10.20.30.41")
    addresses = spec.setdefault("clusterIPs", [address])
    spec.setdefault("ipFamilies", ["IPv6" if ":" in one else "IPv4" for one in addresses])
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("ports", [{"name": "p80", "port": 80, "protocol": "TCP", "targetPort": 80}])
    return {
        "metadata": {"namespace": namespace, "name": own, "labels": labels or {}},
        "spec": spec,
        "status": {"loadBalancer": {"ingress": ingress} if ingress else {}},
    }


def node_port(name: str = "p80", port: int = 80, protocol: str = "TCP", number: int = 3001) -> Object:
    return {"name": name, "port": port, "protocol": protocol, "nodePort": number}


def endpoint(address: str, node: str | None = None, conditions: str = "", **hints: list[str]) -> Object:
    """C(conditions) is up to three of r, s, t (upper case: true, lower case: false); one that is not there is null."""
    found: Object = {"addresses": [address], "conditions": {}}
    for letter in conditions:
        name = {"r": "ready", "s": "serving", "t": "terminating"}[letter.lower()]
        found["conditions"][name] = letter.isupper()
    if node:
        found["nodeName"] = node
    if hints:
        found["hints"] = {
            "forZones": [{"name": one} for one in hints.get("zones", [])],
            "forNodes": [{"name": one} for one in hints.get("nodes", [])],
        }
    return found


def endpoint_slice(
    *endpoints: Object, name: str = "ns1/svc1", ports: t.Any = None, labels: dict[str, str] | None = None
) -> Object:
    namespace, _slash, own = name.partition("/")
    family = "IPv6" if endpoints and ":" in endpoints[0]["addresses"][0] else "IPv4"
    return {
        "metadata": {
            "namespace": namespace,
            "name": f"{own}-x",
            "labels": {state_of.SERVICE_NAME: own, **(labels or {})},
        },
        "addressType": family,
        "ports": [{"name": "p80", "port": 80, "protocol": "TCP"}] if ports is None else ports,
        "endpoints": list(endpoints),
    }


def node(name: str = NODE, zone: str = "", addresses: t.Sequence[str] = ()) -> Object:
    return {
        "metadata": {"name": name, "labels": {state_of.ZONE: zone} if zone else {}},
        "status": {"addresses": [{"type": "InternalIP", "address": one} for one in addresses]},
    }


def cluster(
    services: t.Sequence[Object],
    slices: t.Sequence[Object] = (),
    config: Object | None = None,
    release: str = "1.37",
    nodes: t.Sequence[Object] | None = None,
) -> state_of.State:
    """The state as it arrives at a filter: through the text."""
    state = state_of.build(services, slices, nodes or [node()], config if config is not None else {}, release)
    return state_of.decode(state_of.encode(state))


def links(**devices: list[str]) -> list[Object]:
    """C(ip -j address show), with the keys that matter. C(kube_ipvs0) stands for kube-ipvs0."""
    return [
        {
            "ifname": name.replace("_", "-"),
            "addr_info": [
                {"family": "inet6" if ":" in one else "inet", "local": one, "prefixlen": 128 if ":" in one else 32}
                for one in addresses
            ],
        }
        for name, addresses in devices.items()
    ]
