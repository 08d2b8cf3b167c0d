# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API asks kube-proxy to serve, before any mode makes kernel objects of it. Pure. Private to this collection.

A C(ServicePort) is one port of one Service in one IP family, with the endpoints that this node may send to: the data
that the three proxiers of kube-proxy share. Projections (C(_service_model_ipvs) and later ones) turn it into entries
C((family, address, protocol, port) -> destinations).

Sources, in kube-proxy 1.34 to 1.37: C(newBaseServiceInfo) in C(pkg/proxy/serviceport.go), C(ShouldSkipService) and
C(GetClusterIPByFamily) in C(pkg/proxy/util/utils.go), the label selectors in C(cmd/kube-proxy/app/server.go).
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import HEADLESS, PROXY_NAME
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import service_port_name
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import Release, parse_release
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import (
    Categorized,
    Endpoint,
    Policy,
    address_of,
    categorize,
    merge_slices,
    parse_ip,
)

Object = t.Mapping[str, t.Any]

IPV4, IPV6 = 4, 6
_FAMILY_NAMES = {IPV4: "IPv4", IPV6: "IPv6"}
# Before 1.36 both labels hid Services and EndpointSlices alike; since then each hides one kind.
_SPLIT_SELECTORS = Release(1, 36)
_NODE_HINTS = Release(1, 34)
_EVERYTHING_IS_NO_RANGE = Release(1, 34)


class ServicePort(t.NamedTuple):
    """One port of a Service in one family, as this node sees it.

    :param name: C(namespace/name:port name), as kube-proxy writes it
    :param affinity: seconds of ClientIP session affinity, None without it
    :param endpoints: what kube-proxy's C(CategorizeEndpoints) makes of the Service's endpoints on this node
    :param known: all endpoints, those that nothing is sent to among them
    """

    name: str
    family: int
    protocol: str
    cluster_ip: str
    port: int
    node_port: int
    external_ips: tuple[str, ...]
    load_balancer_ips: tuple[str, ...]
    source_ranges: tuple[str, ...]
    health_check_node_port: int
    affinity: int | None
    policy: Policy
    endpoints: Categorized
    known: tuple[Endpoint, ...] = ()


class NodeView(t.NamedTuple):
    """The node that looks: its name as in the API, and its zone."""

    name: str
    zone: str = ""


def node_view(state: Object, name: str) -> NodeView:
    """The node of that name. Raises C(InvalidInput) when the API has none."""
    for node in state["nodes"]:
        if node["name"] == name:
            return NodeView(name, node.get("zone") or "")
    known = ", ".join(sorted(str(node["name"]) for node in state["nodes"]))
    raise InvalidInput(f"The cluster has no node {name!r}", f"its nodes are {known}", "Use a Node's name in the API.")


class _Ways(t.NamedTuple):
    """What releases and feature gates of kube-proxy do differently. Unknown releases do what the newest does."""

    release: Release | None
    node_hints: bool
    external_ips: bool

    @classmethod
    def of(cls, state: Object, gates: Object | None) -> _Ways:
        release = parse_release(state.get("release") or "")
        given = (state.get("config") or {}).get("featureGates") if gates is None else gates
        known = given if isinstance(given, dict) else {}
        hints = known.get("PreferSameTrafficDistribution", release is None or release >= _NODE_HINTS)
        return cls(release, bool(hints), known.get("AllowServiceExternalIPs") is not False)


def service_ports(state: Object, view: NodeView, gates: Object | None = None) -> list[ServicePort]:
    """Every Service port of every family that kube-proxy serves, in the order of the API's list.

    :param gates: the feature gates of kube-proxy, when they are not those in the state's configuration
    """
    ways = _Ways.of(state, gates)
    hidden_slices, hidden_services = _hiding_labels(ways.release)
    slices = (one for one in state["slices"] if one.get("service") and _is_seen(one, hidden_slices))
    endpoints = merge_slices(slices, view.name, ways.node_hints)
    services = [one for one in state["services"] if _is_served(one) and _is_seen(one, hidden_services)]
    return [
        port
        for family in (IPV4, IPV6)
        for service in services
        for port in _ports_of(service, family, endpoints, view, ways)
    ]


def _hiding_labels(release: Release | None) -> tuple[frozenset[str], frozenset[str]]:
    """The labels with which kube-proxy does not see a slice, and those with which it does not see a Service."""
    both = frozenset((PROXY_NAME, HEADLESS))
    if release is None or release >= _SPLIT_SELECTORS:
        return frozenset((HEADLESS,)), frozenset((PROXY_NAME,))
    return both, both


def _is_seen(one: Object, hiding: frozenset[str]) -> bool:
    return hiding.isdisjoint(one.get("labels") or ())


def _is_served(service: Object) -> bool:
    return (service.get("clusterIP") or "None") != "None" and service.get("type") != "ExternalName"


EndpointsByPort = t.Mapping[t.Tuple[int, str, str, str], t.Sequence[Endpoint]]


def _ports_of(
    service: Object, family: int, endpoints: EndpointsByPort, view: NodeView, ways: _Ways
) -> t.Iterator[ServicePort]:
    cluster_ip = _cluster_ip(service, family)
    if not cluster_ip:
        return
    namespaced = f"{service['namespace']}/{service['name']}"
    external, balanced = _external_ips(service, family), _load_balancer_ips(service, family)
    ranges = _source_ranges(service, family, ways.release)
    for port in service.get("ports") or ():
        port_name, protocol = port.get("name") or "", port.get("protocol") or "TCP"
        node_port = int(port.get("nodePort") or 0)
        policy = Policy(
            internal_local=service.get("internalTrafficPolicy") == "Local",
            external_local=_external_policy_local(service),
            externally_accessible=bool(node_port or external or balanced),
        )
        found = tuple(endpoints.get((family, namespaced, port_name, protocol), ()))
        yield ServicePort(
            name=service_port_name(service["namespace"], service["name"], port_name),
            family=family,
            protocol=protocol.lower(),
            cluster_ip=cluster_ip,
            port=int(port["port"]),
            node_port=node_port,
            # Where the gate is off they still make a Service "externally accessible", only without entries.
            external_ips=external if ways.external_ips else (),
            load_balancer_ips=balanced,
            source_ranges=ranges,
            health_check_node_port=_health_check_node_port(service),
            affinity=service.get("affinity"),
            policy=policy,
            endpoints=categorize(found, policy, view.name, view.zone),
            known=found,
        )


def _cluster_ip(service: Object, family: int) -> str:
    families = service.get("ipFamilies") or []
    if not families:
        only = parse_ip(service.get("clusterIP") or "")
        return str(only) if only and only.version == family else ""
    for number, name in enumerate(families):
        addresses = service.get("clusterIPs") or []
        if name == _FAMILY_NAMES[family] and number < len(addresses):
            return address_of(addresses[number])
    return ""


def _external_ips(service: Object, family: int) -> tuple[str, ...]:
    return _of_family(service.get("externalIPs") or (), family)


def _load_balancer_ips(service: Object, family: int) -> tuple[str, ...]:
    """Only addresses that packets arrive with: C(ipMode: Proxy) ones stay at the load balancer."""
    ingress = service.get("ingress") or ()
    return _of_family([one["ip"] for one in ingress if one.get("ipMode", "VIP") == "VIP"], family)


def _of_family(texts: t.Sequence[str], family: int) -> tuple[str, ...]:
    if not texts:
        return ()
    addresses = (parse_ip(text) for text in texts)
    return tuple(str(address) for address in addresses if address and address.version == family)


def _source_ranges(service: Object, family: int, release: Release | None) -> tuple[str, ...]:
    """Of this family, and none at all when one of them is everything."""
    given = service.get("loadBalancerSourceRanges")
    if not given:
        return ()
    networks = (_network(text.strip()) for text in given)
    mine = [network for network in networks if network and network.version == family]
    open_to_all = release is None or release >= _EVERYTHING_IS_NO_RANGE
    return () if open_to_all and any(network.prefixlen == 0 for network in mine) else tuple(map(str, mine))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A network as C(netutils.ParseCIDRSloppy) reads it."""
    start, _slash, length = text.partition("/")
    address = parse_ip(start)
    if address is None or not length.isdigit():
        return None
    try:
        return ipaddress.ip_network(f"{address}/{int(length)}", strict=False)
    except ValueError:
        return None


def _external_policy_local(service: Object) -> bool:
    """C(ExternalPolicyLocal) in C(pkg/api/v1/service/util.go)."""
    kind = service.get("type") or "ClusterIP"
    accessible = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(service.get("externalIPs")))
    return accessible and service.get("externalTrafficPolicy") == "Local"


def _health_check_node_port(service: Object) -> int:
    needed = service.get("type") == "LoadBalancer" and _external_policy_local(service)
    return int(service.get("healthCheckNodePort") or 0) if needed else 0
