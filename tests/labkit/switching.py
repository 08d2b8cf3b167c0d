# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other people's things on a node, and whether a switch has left them, and nothing of the old mode or of its own."""

from __future__ import annotations

import json
import re
import typing as t

from tests.labkit import Lab, Node, Run
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import verdict, with_catalogue, wrong
from tests.labkit.state import state_of
from tests.labkit.tutorial import KUBE_SVC

# Somebody else's balancer. kube-proxy lets it live in ipvs mode only where it is excluded, and never in nftables mode.
SERVER = "198.18.0.9:6443"
EXCLUDED = {"ipvs": {"excludeCIDRs": ["198.18.0.0/24"]}}
# A user's chains, sets and table, and what the CNI plugin portmap makes for a hostPort.
FOREIGN = f"""
iptables -t nat -N MY-CHAIN; iptables -t nat -A MY-CHAIN -s 10.9.0.0/16 -j RETURN; iptables -t nat -I PREROUTING -j MY-CHAIN
ip6tables -t filter -N KUBE-SVC-FOO; ip6tables -I INPUT -j KUBE-SVC-FOO
ipset create MY-SET hash:ip; ipset add MY-SET 192.0.2.7; iptables -I INPUT -m set --match-set MY-SET src -j ACCEPT
iptables -t nat -N CNI-HOSTPORT-DNAT; iptables -t nat -N CNI-DN-0123456789abcdef01234
iptables -t nat -A CNI-DN-0123456789abcdef01234 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 10.244.0.99:80
iptables -t nat -A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 8081 -j CNI-DN-0123456789abcdef01234
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
nft add table inet mine; nft add chain inet mine hook '{{ type filter hook input priority 10 ; }}'
ipvsadm -A -t {SERVER} -s wlc; ipvsadm -a -t {SERVER} -r 198.18.0.10:6443 -g -w 7
"""
MINE = ("MY-CHAIN", "KUBE-SVC-FOO", "MY-SET", "CNI-", "inet mine", SERVER)
LISTING = "iptables-save; ip6tables-save; ipset save; nft list tables; ipvsadm -Sn"
# What facts 4.6 names, for the node's own tools.
OF_IPTABLES = ("KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-CANARY", "KUBE-SEP-")
OF_IPVS = ("KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-IPVS", "KUBE-LOOP-BACK", "KUBE-6-", "KUBE-CLUSTER-IP")
OF_BOTH = ("KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", "KUBE-FORWARD", "KUBE-PROXY-FIREWALL")
SYSTEM = ("-n", "kube-system")


def with_others(lab: Lab, names: tuple[str, ...]) -> Cluster:
    """A dual-stack cluster in iptables mode with what a switch is tried with: Services of every kind, other people's things, pods that ask."""
    found = with_catalogue(lab, names)
    found.apply("httpservice.yaml")
    found.apply("nodeport.yaml")
    found.wait_for_pods("http", 3)
    found.wait_for_pods("client", len(names))
    found.wait_for_mode("iptables")
    found.wait_for_dns()
    for node in found.nodes:
        node.run(FOREIGN)
    return found


def switch(lab: Lab, mode: str, strategy: str = "rolling", **options: t.Any) -> Run:
    """Into a mode, with that balancer excluded where kube-proxy would take it away."""
    settings: dict[str, t.Any] = {"switch_settings": EXCLUDED} if mode == "ipvs" else {}
    return lab.playbook(f"playbooks/switch_to_{mode}.yml", switch_strategy=strategy, **settings, **options)


def mine(node: Node) -> list[str]:
    return [line for line in node.run(LISTING).splitlines() if any(name in line for name in MINE)]


def left_of_others(node: Node, mode: str) -> list[str]:
    """What there is of other modes than this one, or of a bridge, by the node's own tools."""
    names = {
        "iptables": OF_IPVS,
        "ipvs": OF_IPTABLES,
        "nftables": (*OF_IPTABLES, *OF_IPVS, *OF_BOTH),
    }[mode]
    lines = [line for line in node.run(LISTING).splitlines() if not any(name in line for name in MINE)]
    found = [line for line in lines if any(name in line for name in names)]
    if mode != "iptables":
        found += [line for line in lines if KUBE_SVC.search(line)]
    if mode != "ipvs":
        found += [line for line in lines if re.match(r"-[aA] -[tuf] ", line)]
        found += node.run("ip -o link show kube-ipvs0 2>/dev/null || true").splitlines()
    if mode != "nftables":
        found += [line for line in lines if re.match("table ip6? kube-proxy", line)]
    return found + [line for line in lines if "netops-kube-proxy-bridge" in line]


def is_right(
    cluster: Cluster,
    mode: str,
    before: t.Sequence[t.Sequence[str]],
    order: t.Callable[[list[str]], list[str]] = list,
) -> None:
    """C(order): C(sorted) where a user has put rules back that now stand elsewhere among the others."""
    assert [order(mine(node)) for node in cluster.nodes] == before
    for node in cluster.nodes:
        assert node.run("curl -s 127.0.0.1:10249/proxyMode") == mode
        assert left_of_others(node, mode) == []
        inventory = node.module("kube_proxy_info", {"gather": ["inventory"]})["inventory"]
        assert [row for row in inventory["artifacts"] if row["belongs"] is False] == []
        found = verdict(cluster, node)
        assert wrong(found) == []
        assert found["kernel_modes"] == [mode]


def procedure(cluster: Cluster) -> list[str]:
    """What there is of a switch node by node in the API: labels, cordons, annotations, the second pair, a Lease that is held."""
    found = []
    for node in cluster.get("nodes")["items"]:
        metadata = node["metadata"]
        marks = {**metadata.get("labels", {}), **metadata.get("annotations", {})}
        found += [f"{metadata['name']} {key}={value}" for key, value in marks.items() if "kube-proxy.netops" in key]
        found += [f"{metadata['name']} cordoned"] if node["spec"].get("unschedulable") else []
    for kind in ("configmap", "daemonset"):
        for one in cluster.get(kind, *SYSTEM)["items"]:
            name, notes = one["metadata"]["name"], one["metadata"].get("annotations", {})
            found += [f"{kind} {name}"] if name == "kube-proxy-switch" else []
            found += [f"{kind} {name} {key}" for key in notes if "kube-proxy.netops" in key]
    for one in cluster.get("lease", *SYSTEM)["items"]:
        holder = one["spec"].get("holderIdentity")
        found += [f"lease of {holder}"] if one["metadata"]["name"] == "netops-kube-proxy-switch" and holder else []
    return found


def states(cluster: Cluster) -> list[str]:
    """What check mode may not change: every node, and what the API holds of kube-proxy and of a switch."""
    pods = sorted(pod["metadata"]["uid"] for pod in cluster.kube_proxy_pods())
    held = [
        (one["metadata"]["name"], one["data"])
        for one in cluster.get("configmap", *SYSTEM)["items"]
        if one["metadata"]["name"].startswith("kube-proxy")
    ]
    return [*(state_of(node) for node in cluster.nodes), json.dumps([pods, held, procedure(cluster)])]


def modes(cluster: Cluster) -> dict[str, str]:
    """The mode that each node's kube-proxy says."""
    return {node.name: node.run("curl -s 127.0.0.1:10249/proxyMode") for node in cluster.nodes}
