# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose things in the kernel are. Expected values: kube-proxy's source and iptables-save of real nodes, written out by hand."""

from __future__ import annotations

import socket
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _inventory as inventory
from ansible_collections.netops.kube_proxy.plugins.module_utils import _inventory_owners as owners
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device, Ownership, Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_read import Look
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    FORWARD_METHODS,
    IPV4,
    IPV6,
    RealServer,
    ServerKey,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import NftChain, NftSet, NftTable

FIXTURES = Path(__file__).parents[1] / "fixtures" / "iptables"
Row = dict[str, t.Any]


def tables(fixture: str, backend: str = "nft", family: str = "ipv4") -> dict[Location, Table]:
    text = (FIXTURES / fixture).read_text(encoding="utf-8")
    return {Location(backend, family, name): table for name, table in parse_save(text).items()}


def rows(readings: Readings, mode: str | None, kind: str = "", node_ports: range | None = None) -> list[Row]:
    found = inventory.report(readings, mode, node_ports)["artifacts"]
    return [row for row in found if kind in ("", row["kind"])]


def names(found: t.Iterable[Row], **wanted: t.Any) -> set[str]:
    chosen = [row for row in found if all(row[key] == value for key, value in wanted.items())]
    return {f"{row['table']} {row['name']}" for row in chosen}


# What CleanupLeftovers of iptables mode would remove and ipvs mode does not write (iptables and ipvs proxier.go of 1.37).
LEFT_BY_IPTABLES_MODE = {
    "mangle KUBE-PROXY-CANARY",
    "filter KUBE-EXTERNAL-SERVICES",
    "filter KUBE-NODEPORTS",
    "filter KUBE-PROXY-CANARY",
    "filter KUBE-SERVICES",
    "nat KUBE-EXT-7TVXROIT6UXCX2AG",
    "nat KUBE-EXT-PZZOH4GMXQXQLAH7",
    "nat KUBE-FW-7TVXROIT6UXCX2AG",
    "nat KUBE-NODEPORTS",
    "nat KUBE-PROXY-CANARY",
    "nat KUBE-SEP-DCGS2R5SJGMP23PH",
    "nat KUBE-SEP-FULDAPSGTTK4VIQJ",
    "nat KUBE-SEP-RWO7TIJ7ZXLAS5CA",
    "nat KUBE-SEP-SHRHPIF6JJVVZWAJ",
    "nat KUBE-SEP-YTJXM33X3RGCRQRW",
    "nat KUBE-SVC-7TVXROIT6UXCX2AG",
    "nat KUBE-SVC-NPX46M4PTMTKRN6Y",
    "nat KUBE-SVC-PZZOH4GMXQXQLAH7",
    "nat KUBE-SVL-7TVXROIT6UXCX2AG",
}
IPVS_ONLY = {
    "filter KUBE-IPVS-FILTER",
    "filter KUBE-IPVS-OUT-FILTER",
    "filter KUBE-NODE-PORT",
    "filter KUBE-SOURCE-RANGES-FIREWALL",
    "nat KUBE-LOAD-BALANCER",
    "nat KUBE-NODE-PORT",
}
SHARED = {
    "filter KUBE-FORWARD",
    "filter KUBE-PROXY-FIREWALL",
    "nat KUBE-MARK-MASQ",
    "nat KUBE-POSTROUTING",
    "nat KUBE-SERVICES",
}
KUBELETS = {
    "mangle KUBE-IPTABLES-HINT",
    "mangle KUBE-KUBELET-CANARY",
    "filter KUBE-FIREWALL",
    "filter KUBE-KUBELET-CANARY",
    "nat KUBE-KUBELET-CANARY",
}
AFTER = Readings(tables=tables("kube-proxy-1.37.2-ipvs-after-iptables-ipv4.txt"))


@pytest.mark.parametrize(
    ("mode", "kept", "left"),
    [
        ("ipvs", IPVS_ONLY | SHARED, LEFT_BY_IPTABLES_MODE),
        ("iptables", LEFT_BY_IPTABLES_MODE | SHARED, IPVS_ONLY),
        ("nftables", set(), LEFT_BY_IPTABLES_MODE | IPVS_ONLY | SHARED),
    ],
)
def test_what_a_mode_keeps_and_what_another_left(mode: str, kept: set[str], left: set[str]) -> None:
    found = rows(AFTER, mode, "iptables_chain")
    assert names(found, belongs=True) == kept
    assert names(found, belongs=False) == left
    assert names(found, belongs=None) == names(found, owner="kubelet") == KUBELETS


def test_jumps_of_both_modes_to_one_chain_are_told_apart() -> None:
    found = rows(AFTER, "ipvs", "iptables_jump")
    firewall = {row["name"]: row["belongs"] for row in found if row["name"].endswith("-j KUBE-PROXY-FIREWALL")}
    words = sorted((name.split('"')[1], belongs) for name, belongs in firewall.items())
    assert words == [("kube-proxy firewall rules", True)] * 2 + [("kubernetes load balancer firewall", False)] * 3
    assert len(firewall) == 5


def test_nobody_knows_where_kube_proxy_is_down() -> None:
    assert {row["belongs"] for row in rows(AFTER, None)} == {None}


def test_a_real_node_in_iptables_mode() -> None:
    for family in ("ipv4", "ipv6"):
        readings = Readings(tables=tables(f"kube-proxy-1.37.2-iptables-{family}.txt", "nft", family))
        found = rows(readings, "iptables")
        assert {row["belongs"] for row in found if row["owner"] == "kube-proxy"} == {True}
        assert {row["owner"] for row in found} == {"kube-proxy", "kubelet"}
        assert {row["family"] for row in found} == {family}


@pytest.mark.parametrize(
    ("table", "name", "owner"),
    [
        ("nat", "KUBE-SVC-FOO", "foreign"),
        ("nat", "KUBE-SVC-NPX46M4PTMTKRN6YA", "foreign"),
        ("filter", "KUBE-SVC-NPX46M4PTMTKRN6Y", "foreign"),
        ("mangle", "KUBE-SERVICES", "foreign"),
        ("nat", "KUBE-", "foreign"),
        ("filter", "KUBE-ROUTER-INPUT", "kube-router or k3s (network policy)"),
        ("filter", "cali-FORWARD", "Calico"),
        ("nat", "DOCKER", "Docker"),
        ("filter", "KUBE-FIREWALL", "kubelet"),
        ("nat", "KUBE-SEP-SHRHPIF6JJVVZWAJ", "kube-proxy"),
    ],
)
def test_names_are_exact(table: str, name: str, owner: str) -> None:
    assert owners.chain_owner(table, name).owner == owner


def test_chains_of_1_23_belong_to_no_mode_of_today() -> None:
    old = Table({"KUBE-XLB-PZZOH4GMXQXQLAH7": (), "KUBE-SVC-PZZOH4GMXQXQLAH7": ()})
    readings = Readings(tables={Location("legacy", "ipv4", "nat"): old})
    assert [row["belongs"] for row in rows(readings, "iptables")] == [False, True]
    assert inventory.report(readings, "iptables", None)["iptables"] == {
        "default": None,
        "kubelet": [],
        "kube_proxy": ["legacy"],
    }


def test_a_rule_of_the_users_that_leads_to_kube_proxys_chain() -> None:
    rules = ("-s 192.0.2.1/32 -j KUBE-FORWARD", "-j ACCEPT")
    table = Table({"FORWARD": rules, "KUBE-FORWARD": ()}, frozenset({"FORWARD"}))
    found = rows(Readings(tables={Location("nft", "ipv4", "filter"): table}), "iptables", "iptables_jump")
    assert [(row["name"], row["owner"], row["belongs"]) for row in found] == [
        ("-A FORWARD -s 192.0.2.1/32 -j KUBE-FORWARD", "foreign", None)
    ]


@pytest.mark.parametrize(
    ("name", "kind", "family", "owner"),
    [
        ("KUBE-CLUSTER-IP", "hash:ip,port", "ipv4", Ownership("kube-proxy", ("ipvs",))),
        ("KUBE-CLUSTER-IP", "hash:ip,port", "ipv6", Ownership("foreign")),
        ("KUBE-CLUSTER-IP", "hash:net", "ipv4", Ownership("foreign")),
        ("KUBE-6-CLUSTER-IP", "hash:ip,port", "ipv6", Ownership("kube-proxy", ("ipvs",))),
        ("KUBE-6-LOAD-BALANCER-SOURCE-CID", "hash:ip,port,net", "ipv6", Ownership("kube-proxy", ("ipvs",))),
        ("KUBE-NODE-PORT-TCP", "bitmap:port", "", Ownership("kube-proxy", ("ipvs",))),
        ("KUBE-6-NODE-PORT-TCP", "bitmap:port", "", Ownership("kube-proxy", ("ipvs",))),
        ("KUBE-NODE-PORT-SCTP", "bitmap:port", "", Ownership("kube-proxy", ("ipvs",), retired=True)),
        ("KUBE-MINE", "hash:ip", "ipv4", Ownership("foreign")),
        ("cali40masq-ipam-pools", "hash:net", "ipv4", Ownership("Calico")),
        ("KUBE-SRC-ABCDEFGHIJKLMNOP", "hash:ip", "ipv4", Ownership("kube-router or k3s (network policy)")),
    ],
)
def test_ipsets(name: str, kind: str, family: str, owner: Ownership) -> None:
    assert owners.ipset_owner(IpSetState(name, kind, family)) == owner


# Names of upstream's own comments and tests (pkg/proxy/nftables/proxier.go and its test).
@pytest.mark.parametrize(
    ("kind", "name", "known"),
    [
        ("nft_chain", "service-ULMVA6XW-ns1/svc1/tcp/p80", True),
        ("nft_chain", "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80", True),
        ("nft_chain", "endpoint-XPLVYXDY-default/httpservice/tcp/http__fd00.10.244..7/8080", True),
        ("nft_chain", "service-ECO34HEO-default/nginx/tcp/", True),
        ("nft_set", "affinity-GMJEKAYC-ns5/svc5/tcp/p80__10.180.0.3/80", True),
        ("nft_map", "no-endpoint-nodeports", True),
        ("nft_set", "service-ips", False),
        ("nft_chain", "service-mine", False),
        ("nft_chain", "dispatch-1", False),
        ("nft_counter", "localhost-nodeport-rejected-udp", True),
    ],
)
def test_names_in_kube_proxys_own_table(kind: str, name: str, known: bool) -> None:
    expected = Ownership("kube-proxy", ("nftables",)) if known else Ownership(None)
    assert owners.nft_owner(kind, name) == expected


def test_tables_of_nftables() -> None:
    table = NftTable(
        "ip6",
        "kube-proxy",
        {"nat-output": NftChain("output", ([{}],)), "mine": NftChain()},
        {"cluster-ips": NftSet("ipv6_addr", "", ("fd00::1",))},
        {"service-ips": NftSet("ipv6_addr . inet_proto . inet_service", "verdict")},
    )
    listed = (("ip", "nat"), ("ip6", "filter"), ("ip6", "kube-proxy"), ("inet", "kube-proxy"), ("inet", "nat"))
    found = rows(Readings(nft_tables=listed, nft=(table,)), "nftables")
    assert [(r["kind"], r["name"], r["family"], r["type"], r["size"], r["owner"], r["belongs"]) for r in found] == [
        ("nft_table", "kube-proxy", "ipv6", "ip6", None, "kube-proxy", True),
        ("nft_table", "kube-proxy", None, "inet", None, "foreign", None),
        ("nft_table", "nat", None, "inet", None, "foreign", None),
        ("nft_chain", "nat-output", "ipv6", "output", 1, "kube-proxy", True),
        ("nft_chain", "mine", "ipv6", None, 0, None, None),
        ("nft_set", "cluster-ips", "ipv6", "ipv6_addr", 1, "kube-proxy", True),
        ("nft_map", "service-ips", "ipv6", "ipv6_addr . inet_proto . inet_service : verdict", 0, "kube-proxy", True),
    ]


def server(address: str, port: int, *real_servers: RealServer, fwmark: int = 0) -> VirtualServer:
    family = IPV6 if ":" in address else IPV4
    if fwmark:
        return VirtualServer(ServerKey(IPV4, 0, b"", 0, fwmark))
    return VirtualServer(
        ServerKey(family, socket.IPPROTO_TCP, socket.inet_pton(family, address), port, 0), real_servers=real_servers
    )


POD = RealServer(socket.inet_aton("10.244.0.5"), 8080)
DEVICE = Device("kube-ipvs0", "dummy", ("10.96.0.1", "fd00:10:96::1"))
NODE = frozenset({"192.0.2.10", "2001:db8::10"})
PORTS = range(30000, 32768)
OURS, UNKNOWN, FOREIGN = Ownership("kube-proxy", ("ipvs",)), Ownership(None), Ownership("foreign")


@pytest.mark.parametrize(
    ("one", "with_device", "without_device"),
    [
        (server("10.96.0.1", 443, POD), OURS, UNKNOWN),
        (server("fd00:10:96::1", 443), OURS, UNKNOWN),
        (server("192.0.2.10", 30080, POD), OURS, OURS),
        (server("2001:db8::10", 30080, POD._replace(weight=0)), OURS, OURS),
        (server("192.0.2.10", 443, POD), UNKNOWN, UNKNOWN),
        (server("192.0.2.10", 30080, POD._replace(weight=5)), FOREIGN, FOREIGN),
        (server("192.0.2.10", 30080, POD._replace(forward_method=FORWARD_METHODS["direct"])), FOREIGN, FOREIGN),
        (server("203.0.113.9", 6443, POD), FOREIGN, UNKNOWN),
        (server("203.0.113.9", 30080, POD), FOREIGN, UNKNOWN),
        (server("", 0, fwmark=7), FOREIGN, FOREIGN),
        (server("198.51.100.0", 20000), Ownership("kube-proxy", ("ipvs",), True), OURS._replace(retired=True)),
    ],
)
def test_virtual_servers(one: VirtualServer, with_device: Ownership, without_device: Ownership) -> None:
    assert owners.server_owner(one, DEVICE, NODE, PORTS) == with_device
    assert owners.server_owner(one, None, NODE, PORTS) == without_device


def test_node_ports_are_unknown_without_their_range() -> None:
    assert owners.server_owner(server("192.0.2.10", 30080, POD), DEVICE, NODE, None) == UNKNOWN


def test_a_device_of_another_kind_is_somebody_elses() -> None:
    other = DEVICE._replace(kind="bridge")
    readings = Readings(device=other, virtual_servers=(server("10.96.0.1", 443, POD),))
    assert [(row["kind"], row["owner"]) for row in rows(readings, "ipvs")] == [
        ("device", "foreign"),
        ("address", "foreign"),
        ("address", "foreign"),
        ("virtual_server", None),
    ]
    ours = rows(replace(readings, device=DEVICE), "iptables")
    assert [(r["kind"], r["name"], r["family"], r["type"], r["size"], r["belongs"]) for r in ours] == [
        ("device", "kube-ipvs0", None, "dummy", 2, False),
        ("address", "10.96.0.1", "ipv4", None, None, False),
        ("address", "fd00:10:96::1", "ipv6", None, None, False),
        ("virtual_server", "10.96.0.1:443", "ipv4", "tcp", 1, False),
    ]


def test_counts_add_up() -> None:
    found = inventory.report(AFTER, "ipvs", None)
    assert {"kind": "iptables_chain", "owner": "kubelet", "belongs": None, "count": 5} in found["counts"]
    assert {"kind": "iptables_chain", "owner": "kube-proxy", "belongs": False, "count": 19} in found["counts"]
    assert sum(row["count"] for row in found["counts"]) == len(found["artifacts"])


@given(st.text(max_size=40), st.sampled_from(["nat", "filter", "mangle", "raw"]))
def test_any_name_has_an_owner(name: str, table: str) -> None:
    assert owners.chain_owner(table, name).owner
    assert owners.ipset_owner(IpSetState(name, "hash:ip", "ipv4")).owner
    for kind in ("nft_chain", "nft_set", "nft_map", "nft_counter"):
        owners.nft_owner(kind, name)


class Node:
    """A node's binaries by name; what is not there is not found."""

    def __init__(self, **outputs: CommandResult) -> None:
        self.outputs = outputs
        self.calls: list[str] = []

    def __call__(self, argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        assert stdin is None
        self.calls.append(" ".join(argv))
        result = self.outputs.get(argv[0].replace("-", "_"), CommandResult(127, "", f"{argv[0]}: command not found"))
        if result.rc == 0 and "-f" in argv:
            Path(argv[argv.index("-f") + 1]).write_text(result.out, encoding="utf-8")
        return result


def bare(root: Path, **contents: str) -> Files:
    """A node with modules and none loaded, and these files: two underscores stand for a slash."""
    for name, text in {"proc__modules": "", "proc__sys__kernel__osrelease": "6.1\n", **contents}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Files(str(root))


def test_a_bare_node_is_asked_nothing(tmp_path: Path) -> None:
    node = Node()
    found = Look(node, bare(tmp_path)).readings(())
    assert (found.ipsets, found.nft_tables, found.device, found.unread) == ((), (), None, ())
    assert all(not table.chains for table in found.tables.values())
    assert node.calls == ["iptables --version"]


@pytest.mark.parametrize("mode", ["iptables", "ipvs", "nftables", None])
def test_the_outline_lacks_only_what_belongs(mode: str | None) -> None:
    whole = inventory.report(AFTER, mode, None)
    found = inventory.outline(AFTER, mode, None)
    assert found["artifacts"] == [row for row in whole["artifacts"] if row["belongs"] is not True]
    assert (found["iptables"], found["unread"]) == (whole["iptables"], whole["unread"])
    assert found["modes"] == ["iptables", "ipvs"]
    assert mode != "ipvs" or names(found["artifacts"], belongs=False, kind="iptables_chain") >= LEFT_BY_IPTABLES_MODE


def test_the_outline_of_two_backends_lacks_nothing() -> None:
    """What belongs to the mode, but lies in the backend that is not in use, has to be named."""
    both = replace(AFTER, tables={**AFTER.tables, **tables("kube-proxy-1.37.2-ipvs-after-iptables-ipv4.txt", "legacy")})
    found = inventory.outline(both, "ipvs", None)
    assert found["artifacts"] == rows(both, "ipvs")


def test_one_tool_missing_leaves_the_rest(tmp_path: Path) -> None:
    files = bare(tmp_path, sys__module__nf_tables__x="", proc__net__ip_tables_names="nat\n")
    save = (FIXTURES / "kube-proxy-1.37.2-iptables-ipv4.txt").read_text(encoding="utf-8")
    node = Node(
        iptables=CommandResult(0, "iptables v1.8.11 (nf_tables)\n", ""),
        iptables_nft_save=CommandResult(0, save, ""),
        ip6tables_nft_save=CommandResult(0, "", ""),
    )
    found = Look(node, files, lambda _files: (("ip", "filter"), ("ip", "kube-proxy"))).readings(())
    assert [text.split(":")[0] for text in found.unread] == ["iptables-legacy-save was not found", "nft was not found"]
    report = inventory.report(found, "iptables", None)
    assert report["unread"] == list(found.unread)
    assert report["iptables"] == {"default": "nft", "kubelet": ["nft"], "kube_proxy": ["nft"]}
    # By which a cleanup knows that it must not guess.
    assert list(found.unread_modes.values()) == [("iptables", "ipvs"), ("nftables",)]
    assert tuple(found.unread_modes) == found.unread
