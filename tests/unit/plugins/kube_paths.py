# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one look at the nodes of the fixtures brought, and the Services that were there, for tests of service_path_info.

The Services are those that the READMEs of the fixtures name; the node is cp1 of a cluster with pods in 10.244.0.0/16.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import as_held, expected
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables import read_iptables
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs import read_readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables import read_nftables
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device, Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState, Member
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    IPV4,
    PERSISTENT,
    RealServer,
    ServerKey,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import parse_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_service import find, parse_wish
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import node_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_path import Trace
from tests.unit.plugins.kube_services import Object, cluster, endpoint, endpoint_slice, links, node, service
from tests.unit.plugins.test_dataplane_ipvs_structure import MEMBERS

FIXTURES = Path(__file__).parents[1] / "fixtures"
LINKS = links(lo=["127.0.0.1"], eth0=["10.34.0.10"])
HTTP = [{"name": "http", "port": 8080, "protocol": "TCP"}]


def state(*ends: Object, release: str = "1.37", **http: t.Any) -> dict[str, t.Any]:
    """The Services of the iptables fixtures; C(ends) are the endpoints of default/httpservice."""
    ends = ends or (endpoint("192.168.178.7", "cp1", "R"), endpoint("192.168.178.8", "w1"), endpoint("192.168.178.9"))
    ranges = ["203.0.113.0/25"]
    services = [
        service(
            "default/httpservice",
            type="NodePort",
            **{"clusterIP": "10.96.10.10", **http},
            ports=[{"name": "http", "port": 80, "nodePort": 30080}],
        ),
        service("default/empty", clusterIP="10.96.136.53", ports=[{"name": "http", "port": 80}]),
        service(
            "default/lb",
            type="LoadBalancer",
            clusterIP="10.96.255.214",
            externalTrafficPolicy="Local",
            sessionAffinity="ClientIP",
            loadBalancerSourceRanges=ranges,
            ingress=[{"ip": "203.0.113.200"}],
            ports=[{"port": 443, "nodePort": 30443}],
        ),
        service("default/headless", clusterIP="None"),
        service("default/by-name", type="ExternalName", clusterIP="", clusterIPs=[]),
        service("other/web", clusterIP="10.96.0.77", labels={"service.kubernetes.io/service-proxy-name": "somebody"}),
    ]
    lb = endpoint_slice(endpoint("192.168.178.7", "cp1", "R"), name="default/lb", ports=[{"name": "", "port": 8443}])
    slices = [endpoint_slice(*ends, name="default/httpservice", ports=HTTP), lb]
    config = {"clusterCIDR": "10.244.0.0/16"}
    return cluster(services, slices, config, release, [node("cp1", addresses=["10.34.0.10"])])


def cluster_of_nft() -> dict[str, t.Any]:
    """The Services of C(tests/labkit/manifests/inventory.yaml), which the fixture of nftables mode has."""
    lb_ports = [{"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30702}]
    services = [
        service(
            "default/httpservice",
            type="NodePort",
            clusterIP="10.96.14.237",
            ports=[{"name": "http", "port": 80, "nodePort": 30080}],
        ),
        service("default/empty", clusterIP="10.96.105.97", ports=[{"port": 81}]),
        service(
            "default/lb",
            type="LoadBalancer",
            clusterIP="10.96.90.135",
            externalTrafficPolicy="Local",
            sessionAffinity="ClientIP",
            loadBalancerSourceRanges=["198.51.100.0/24"],
            externalIPs=["203.0.113.7"],
            ingress=[{"ip": "203.0.113.20"}],
            ports=lb_ports,
        ),
    ]
    web = [endpoint("192.0.2.11", "cp1", "R"), endpoint("192.0.2.12"), endpoint("192.0.2.13")]
    slices = [
        endpoint_slice(*web, name="default/httpservice", ports=HTTP),
        endpoint_slice(
            endpoint("192.0.2.21", "cp1", "R"),
            endpoint("192.0.2.22"),
            name="default/lb",
            ports=[{"name": "dns", "port": 53, "protocol": "UDP"}],
        ),
    ]
    config = {"clusterCIDR": "10.244.0.0/16"}
    return cluster(services, slices, config, "1.37", [node("cp1", addresses=["10.34.0.10"])])


def tables(name: str, family: str = "ipv4") -> dict[Location, Table]:
    text = (FIXTURES / "iptables" / f"kube-proxy-1.37.2-{name}-{family}.txt").read_text(encoding="utf-8")
    return {Location("nft", family, table): one for table, one in parse_save(text).items()}


def edited(of: dict[Location, Table], table: str, chain: str, change: t.Callable[[list[str]], object]) -> Readings:
    """With one chain changed."""
    at = Location("nft", "ipv4", table)
    rules = list(of[at].chains[chain])
    change(rules)
    return Readings(tables={**of, at: replace(of[at], chains={**of[at].chains, chain: tuple(rules)})})


def nft_readings(change: t.Callable[[str], str] = str) -> Readings:
    text = (FIXTURES / "nft" / "kube-proxy-1.37.2-ip.json").read_text(encoding="utf-8")
    return Readings(nft=(parse_table(change(text), "ip", "kube-proxy"),))


def real(address: str, port: int, weight: int = 1, connections: int = 0) -> RealServer:
    return RealServer(ipaddress.ip_address(address).packed, port, weight, connections=connections)


def virtual(address: str, port: int, *reals: RealServer, scheduler: str = "rr", sticky: int = 0) -> VirtualServer:
    key = ServerKey(IPV4, 6, ipaddress.ip_address(address).packed, port, 0)
    return VirtualServer(key, scheduler, flags=PERSISTENT if sticky else 0, timeout=sticky, real_servers=tuple(reals))


def ipvs_readings(*servers: VirtualServer, bound: t.Sequence[str] = ("10.96.10.10", "203.0.113.200")) -> Readings:
    return Readings(
        tables=tables("ipvs-after-iptables"),
        ipsets=tuple(
            IpSetState(name, "", "ipv4", members=tuple(map(_member, members))) for name, members in MEMBERS[4].items()
        ),
        virtual_servers=servers,
        device=Device("kube-ipvs0", "dummy", tuple(bound)),
        node_addresses=frozenset({"10.34.0.10"}),
    )


def _member(text: str) -> Member:
    """From what C(ipset save) prints."""
    first, *rest = text.split(",")
    if first.isdigit():
        return Member(port=int(first))
    protocol, _colon, port = rest[0].partition(":") if rest else ("", "", "")
    second, _slash, length = rest[1].partition("/") if len(rest) > 1 else ("", "", "")
    return Member(first, None, protocol, int(port) if port else None, second, int(length) if length else None)


def trace(
    asked: str, mode: str, readings: Readings, of: dict[str, t.Any] | None = None, counters: t.Any = None
) -> dict[str, t.Any]:
    """What the module returns."""
    of = of or state()
    the_node = node_of(of, "cp1", LINKS)
    if mode == "nftables":
        actual = read_nftables(readings.nft, (4,))
    elif mode == "iptables":
        actual = read_iptables(readings.tables, "nft", (4,))
    else:
        actual = read_readings(readings, "nft", (4,))
    wanted = as_held(expected(of, the_node, mode), actual)
    sight: t.Any = SimpleNamespace(readings=readings)
    found = Trace(find(of, parse_wish(asked, None)), of, the_node, mode, "nft", actual, wanted, sight)
    return found.answer(lambda _family, _chains: counters or {})


def path_of(answer: dict[str, t.Any], address: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = next(one for one in answer["paths"] if one["address"] == address)
    return found


def hops(path: dict[str, t.Any]) -> list[str]:
    """Each hop in one line, a person can check it against the fixture."""
    return [_hop(one) for one in path["hops"]]


def _hop(one: dict[str, t.Any]) -> str:
    share = "" if one["share"] is None else f"{one['share']:.3f}"
    where = f"{one['address']}:{one['port']}" if one["address"] else ""
    clients = "" if one["clients"] == "all" else one["clients"]
    words = (one["place"], one["does"], one["target"], one["condition"], where, share, clients)
    return f"{one['depth']} " + " | ".join(filter(None, words))


def ends(path: dict[str, t.Any]) -> list[str]:
    """Each destination in one line."""
    return [
        f"{one['clients']} {one['address']}:{one['port']} {one['node'] or '-'} "
        f"{'-' if one['share'] is None else format(one['share'], '.2f')} {one['state']}"
        for one in path["destinations"]
    ]
