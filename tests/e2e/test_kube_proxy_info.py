# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of a real node in all three modes, moved by hand as the tutorial does it: each leaves something behind.

Witnesses: curl, iptables-save, ipset, ipvsadm, nft, ip. Which chains the modes share stands in kube-proxy's source
(C(iptablesJumpChain) and C(iptablesChains) of pkg/proxy/ipvs).
"""

from __future__ import annotations

import json
import re
import typing as t
from collections import Counter

import pytest

from tests.labkit import Lab, Node, wait_for
from tests.labkit.cluster import Cluster

LAB = Lab("kubelab-chk", ("--workers", "0"))
INVENTORY = {"gather": ["node", "inventory"], "node_port_range": "30000-32767"}
BUILTIN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
# In ipvs mode too, with the same names.
SHARED = {
    ("nat", "KUBE-SERVICES"),
    ("nat", "KUBE-POSTROUTING"),
    ("nat", "KUBE-MARK-MASQ"),
    ("filter", "KUBE-FORWARD"),
    ("filter", "KUBE-PROXY-FIREWALL"),
}
KUBELETS = {"KUBE-FIREWALL", "KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"}
# A user's: names that begin like kube-proxy's, a set of a right name and a wrong type, a table beside kube-proxy's.
PLANT = """
iptables -t nat -N KUBE-SVC-FOO; iptables -t filter -N KUBE-SVC-NPX46M4PTMTKRN6Y; iptables -I INPUT -j KUBE-FORWARD
ipset create KUBE-MINE hash:ip; ipset create KUBE-NODE-PORT-SCTP hash:net; ipset add KUBE-MINE 192.0.2.1
nft add table inet kube-proxy; nft add chain ip kube-proxy mine 2>/dev/null; true
"""
Row = dict[str, t.Any]
Chain = tuple[str, str, str]


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    found = Cluster(lab, ("cp1",))
    if found.control_plane.attempt("ls /etc/kubernetes/admin.conf").rc != 0:
        run = lab.playbook("playbooks/create_cluster.yml")
        assert run.rc == 0, run.output
    found.apply("inventory.yaml")
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.20"}]}}}
    found.kubectl("patch", "service", "lb", "--subresource=status", "-p", json.dumps(ingress))
    found.wait_for_mode("iptables")
    found.wait_for_dns()
    found.control_plane.wait("the last Service", "iptables-save -t nat | grep -q 203.0.113.20")
    return found


def chains(node: Node) -> dict[Chain, int]:
    """Family, table and name of each chain that is not built in, with its number of rules, by iptables-save."""
    found: Counter[Chain] = Counter()
    for family, tool in (("ipv4", "iptables"), ("ipv6", "ip6tables")):
        table = ""
        for line in node.run(f"{tool}-save").splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith(":"):
                found[family, table, line[1:].split()[0]] = 0
            elif line.startswith("-A"):
                found[family, table, line.split()[1]] += 1
    return {chain: rules for chain, rules in found.items() if chain[2] not in BUILTIN}


def rows(info: Row, kind: str, **wanted: t.Any) -> list[Row]:
    return [
        row
        for row in info["inventory"]["artifacts"]
        if row["kind"] == kind and all(row[key] == value for key, value in wanted.items())
    ]


def chain_keys(found: t.Iterable[Row]) -> set[Chain]:
    return {(row["family"], row["table"], row["name"]) for row in found}


def look(node: Node) -> Row:
    """The inventory, its chains proven by iptables-save, its own counts added up."""
    info = node.module("kube_proxy_info", INVENTORY)
    assert not info["changed"]
    assert info["inventory"]["unread"] == []
    assert info["inventory"]["iptables"] == {"default": "nft", "kubelet": ["nft"], "kube_proxy": ["nft"]}
    found = {(row["family"], row["table"], row["name"]): row["size"] for row in rows(info, "iptables_chain")}
    assert found == chains(node)
    assert {row["owner"] for row in rows(info, "iptables_chain") if row["name"] in KUBELETS} == {"kubelet"}
    assert all(row["belongs"] is None for row in info["inventory"]["artifacts"] if row["owner"] != "kube-proxy")
    counts = sum(row["count"] for row in info["inventory"]["counts"])
    assert counts == len(info["inventory"]["artifacts"])
    return info


def move(cluster: Cluster, old: str, new: str) -> None:
    cluster.set_mode_text(old, new)
    cluster.restart_kube_proxy()
    cluster.wait_for_mode(new)

    def synced() -> bool:
        info = cluster.control_plane.module("kube_proxy_info", {"gather": []})
        return info["running_mode"] == new and info["synced"] is True

    wait_for(f"the first sync of {new}", synced)


def served(node: Node, port: int, path: str) -> str:
    return node.run(f"curl -s 127.0.0.1:{port}{path}")


def answers_are_kube_proxys(node: Node, info: Row) -> None:
    assert info["running_mode"] == served(node, 10249, "/proxyMode")
    assert info["configz"]["mode"] == json.loads(served(node, 10249, "/configz"))["kubeproxy.config.k8s.io"]["mode"]
    for name in ("healthz", "livez"):
        answer = json.loads(served(node, 10256, f"/{name}"))
        assert info["health"][name]["ok"]
        assert info["health"][name]["answer"].keys() == answer.keys()
    metrics = served(node, 10249, "/metrics")
    assert f'git_version="{info["version"]}"' in metrics
    counted = re.findall(
        r'^kubeproxy_sync_proxy_rules_(\w+_failures)_total\{ip_family="(\w+)"\} (\S+)', metrics, re.MULTILINE
    )
    expected: dict[str, dict[str, int]] = {}
    for name, family, value in counted:
        expected.setdefault(name, {})[family.lower()] = int(float(value))
    assert info["failures"] == expected


def test_iptables_mode(cluster: Cluster) -> None:
    node = cluster.control_plane
    info = look(node)
    answers_are_kube_proxys(node, info)
    owners = {row["owner"] for row in rows(info, "iptables_chain")}
    assert owners == {"kube-proxy", "kubelet"}
    assert all(row["belongs"] for row in info["inventory"]["artifacts"] if row["owner"] == "kube-proxy")
    assert {row["kind"] for row in info["inventory"]["artifacts"]} == {"iptables_chain", "iptables_jump"}
    loaded = set(re.findall(r"^\w+", node.run("cat /proc/modules"), re.MULTILINE))
    assert {name for name, state in info["modules"].items() if state == "loaded"} == loaded & info["modules"].keys()


@pytest.fixture(scope="module")
def of_iptables(cluster: Cluster) -> set[Chain]:
    """The chains of iptables mode, seen while it runs."""
    return {chain for chain in chains(cluster.control_plane) if chain[2] not in KUBELETS}


def test_ipvs_mode(cluster: Cluster, of_iptables: set[Chain]) -> None:
    node = cluster.control_plane
    move(cluster, "iptables", "ipvs")
    node.run(PLANT + "ipvsadm -A -f 77 -s rr\n")
    info = look(node)
    answers_are_kube_proxys(node, info)

    leftovers = rows(info, "iptables_chain", belongs=False)
    assert chain_keys(leftovers) == {chain for chain in of_iptables if chain[1:] not in SHARED}
    assert all(row["modes"] == ["iptables"] for row in leftovers)
    foreign = {("nat", "KUBE-SVC-FOO"), ("filter", "KUBE-SVC-NPX46M4PTMTKRN6Y")}
    assert {(row["table"], row["name"]) for row in rows(info, "iptables_chain", owner="foreign")} == foreign
    assert [row["name"] for row in rows(info, "iptables_jump", owner="foreign")] == ["-A INPUT -j KUBE-FORWARD"]
    left_jumps = {row["name"] for row in rows(info, "iptables_jump", belongs=False, family="ipv4")}
    saved = set(node.run("iptables-save").splitlines())
    assert left_jumps <= saved
    # iptables mode's own words; the jump with ipvs mode's comment leads to the same chain
    assert any("load balancer firewall" in name for name in left_jumps)
    assert not any("kube-proxy firewall rules" in name for name in left_jumps)

    listed = re.findall(r"^create (\S+) (\S+)", node.run("ipset save"), re.MULTILINE)
    members = Counter(re.findall(r"^add (\S+)", node.run("ipset save"), re.MULTILINE))
    found = {(row["name"], row["type"]): row["size"] for row in rows(info, "ipset")}
    assert found == {(name, kind): members[name] for name, kind in listed}
    assert {row["name"] for row in rows(info, "ipset", owner="foreign")} == {"KUBE-MINE", "KUBE-NODE-PORT-SCTP"}
    assert len(rows(info, "ipset", owner="kube-proxy", belongs=True)) == 34

    addresses = json.loads(node.run("ip -j address show dev kube-ipvs0"))[0]["addr_info"]
    assert {row["name"] for row in rows(info, "address", belongs=True)} == {one["local"] for one in addresses}
    (device,) = rows(info, "device")
    assert (device["type"], device["belongs"]) == ("dummy", True)

    by_ipvsadm = set(re.findall(r"^-A -[tu] (\S+)", node.run("ipvsadm -Sn"), re.MULTILINE))
    by_ipvsadm |= set(re.findall(r"^-A --sctp-service (\S+)", node.run("ipvsadm -Sn"), re.MULTILINE))
    assert {row["name"] for row in rows(info, "virtual_server", owner="kube-proxy", belongs=True)} == by_ipvsadm
    assert [row["name"] for row in rows(info, "virtual_server", owner="foreign")] == ["fwmark 77"]

    without = node.module("kube_proxy_info", {"gather": ["inventory"]})
    unknown = {row["name"] for row in rows(without, "virtual_server", owner=None)}
    assert unknown == {name for name in by_ipvsadm if int(name.rpartition(":")[2]) >= 30000} != set()


def nft_objects(node: Node, kind: str) -> dict[str, int]:
    """Names in the table of IPv4 with the number of their elements or rules, by nft and jq."""
    count = (
        "([$all[] | .rule | select(. != null and .chain == $name)] | length)" if kind == "chain" else "(.elem | length)"
    )
    query = f".nftables as $all | .nftables[] | .{kind} | select(. != null) | .name as $name | [$name, {count}] | @tsv"
    lines = node.run(f"nft -j list table ip kube-proxy | jq -r '{query}'").splitlines()
    return {name: int(size) for name, size in (line.split("\t") for line in lines)}


def test_nftables_mode(cluster: Cluster) -> None:
    node = cluster.control_plane
    move(cluster, "ipvs", "nftables")
    node.run("nft add chain ip kube-proxy mine")
    left = chains(node)
    info = look(node)
    answers_are_kube_proxys(node, info)

    kube_proxys = {chain for chain in left if chain[2] not in (*KUBELETS, "KUBE-SVC-FOO")}
    kube_proxys -= {("ipv4", "filter", "KUBE-SVC-NPX46M4PTMTKRN6Y")}
    assert chain_keys(rows(info, "iptables_chain", belongs=False)) == kube_proxys != set()
    assert rows(info, "iptables_chain", belongs=True) == []

    for kind in ("chain", "set", "map"):
        witness = nft_objects(node, kind)
        found = {row["name"]: row["size"] for row in rows(info, f"nft_{kind}", family="ipv4", table="kube-proxy")}
        assert found == witness
    parts = [row for kind in ("chain", "set", "map") for row in rows(info, f"nft_{kind}")]
    # nothing of this release is unknown but what was put in
    assert [row["name"] for row in parts if row["owner"] is None] == ["mine"]
    assert all(row["belongs"] for row in parts if row["name"] != "mine")
    assert {row["type"] for row in rows(info, "nft_table", belongs=True)} == {"ip", "ip6"}
    assert {(row["type"], row["name"]) for row in rows(info, "nft_table", owner="foreign")} == {("inet", "kube-proxy")}

    # all that kube-proxy's own cleanup forgets, and nothing of the user's
    sets = set(node.run("ipset list -n").split())
    assert {row["name"] for row in rows(info, "ipset", belongs=False)} == sets - {"KUBE-MINE", "KUBE-NODE-PORT-SCTP"}


def test_kube_proxy_is_down(cluster: Cluster) -> None:
    """Everything is still listed; to which mode it belongs nobody says."""
    node = cluster.control_plane
    before = look(node)
    keep_off = {"spec": {"template": {"spec": {"nodeSelector": {"no-such-label": "x"}}}}}
    cluster.kubectl("patch", "daemonset", "-n", "kube-system", "kube-proxy", "-p", json.dumps(keep_off))
    node.wait("kube-proxy to be gone", "! curl -s 127.0.0.1:10249/proxyMode")
    info = look(node)
    assert info["reachable"] is False
    assert info["problems"][0] == "GET http://127.0.0.1:10249/proxyMode: Connection refused"
    assert (info["running_mode"], info["synced"], info["failures"]) == (None, None, None)
    assert {row["belongs"] for row in info["inventory"]["artifacts"]} == {None}

    def without_verdict(found: Row) -> list[Row]:
        return [{**row, "belongs": None} for row in found["inventory"]["artifacts"]]

    assert without_verdict(info) == without_verdict(before)
