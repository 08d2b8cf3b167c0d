# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The readings of a preflight for a healthy cluster of two nodes, to be changed in one place by each test."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight import judge, read_case
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import Check
from tests.unit.plugins import kube_services as kube

Object = dict[str, t.Any]

NODES = ("cp1", "w1")
ADDRESSES = {"cp1": "192.0.2.10", "w1": "192.0.2.11"}
PRIVATE = {"cp1": "10.9.0.10", "w1": "10.9.0.11"}
CONFIG: Object = {"mode": "iptables", "clusterCIDR": "10.244.0.0/16"}
WEB = kube.service("default/web", type="NodePort", clusterIP="10.96.0.20", ports=[kube.node_port(number=30080)])
DNS = kube.service("kube-system/kube-dns", clusterIP="10.96.0.10")


def state(config: Object | None = None, services: t.Sequence[Object] = (WEB, DNS), release: str = "1.37") -> str:
    """C(state) as cluster_services_info returns it."""
    nodes = [kube.node(name, addresses=[ADDRESSES[name]]) for name in NODES]
    return state_of.encode(state_of.build(services, [], nodes, config, release))


def api_nodes(**changes: Object) -> list[Object]:
    """C(nodes) of cluster_services_info."""
    rows = {name: {"name": name, "ready": True, "runs_kube_proxy": True} for name in NODES}
    for name, change in changes.items():
        rows.setdefault(name, {"name": name, "ready": True, "runs_kube_proxy": True}).update(change)
    return list(rows.values())


def switch(**changes: t.Any) -> Object:
    """What cluster_switch_info returns."""
    node = {"ready": True, "unschedulable": False, "mode_label": "", "pod_cidrs": ["10.244.0.0/24"]}
    return {
        "config_map": {"managers": ["kubeadm"], "owner": "", "mark": "", "feature_gates": {}},
        "kube_proxy": {
            "image": "registry.k8s.io/kube-proxy:v1.37.2",
            "releases": ["1.37"],
            "skips_kernel_check": False,
        },
        "nodes": [{"name": name, **node} for name in NODES],
        "calico": None,
        "flannel": None,
        "node_local_dns": None,
        "l2_announcers": [],
        "blocking_budgets": None,
        "unread": {},
        **changes,
    }


def facts(name: str = "cp1", **changes: t.Any) -> Object:
    """What node_switch_info returns."""
    return {
        "kernel_release": "6.12.0-1-amd64",
        "nft": {"host": "1.0.6", "kube_proxy": "1.0.6.1", "sets": []},
        "forward_policies": [
            {"backend": "nft", "family": "ipv4", "table": "filter", "chain": "FORWARD", "policy": "ACCEPT"},
        ],
        "firewalls": [],
        "cni": [
            {"file": "/etc/cni/net.d/10.conflist", "name": "k8s", "plugins": ["bridge", "portmap"], "mark_chain": ""}
        ],
        "addresses": [
            {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]},
            {"ifname": "eth0", "addr_info": [{"local": ADDRESSES.get(name, "192.0.2.99")}]},
            {"ifname": "cni0", "addr_info": [{"local": "10.244.0.1"}]},
        ],
        "counters": {"localhost_node_ports_accepted": 0, "invalid_packets_dropped": 0},
        "tcp_be_liberal": False,
        "unread": {},
        **changes,
    }


def info(name: str = "cp1", **changes: t.Any) -> Object:
    """What kube_proxy_info returns."""
    return {
        "reachable": True,
        "running_mode": "iptables",
        "node_name": name,
        "virtual_servers": [],
        "inventory": {"artifacts": [], "iptables": {"kube_proxy": ["nft"]}, "unread": []},
        **changes,
    }


def look(*findings: Object, node: str = "cp1") -> Object:
    """What service_dataplane_info returns."""
    return {"node": node, "findings": list(findings)}


def readings(config: Object | None = None, **changes: t.Any) -> Object:
    """All of them. A change names a part with two underscores (C(cluster__switch)); C(node__...) changes the first node."""
    found: Object = {
        "run": {"settings": {}, "absent_nodes": [], "drain": False},
        "cluster": {
            "plan": {
                "config": {},
                "deployment": {"seen": "DaemonSet kube-system/kube-proxy reads config.conf of its ConfigMap"},
            },
            "services": {"state": state(CONFIG if config is None else config), "nodes": api_nodes()},
            "switch": switch(),
        },
        "nodes": [
            {
                "host": f"host-{name}",
                "info": info(name),
                "looks": [look(node=name)],
                "modules": {"modules": [{"name": "nf_tables"}], "actions": []},
                "facts": facts(name),
                "bridge": {"kept": 0, "ending": [], "unread": ""},
            }
            for name in NODES
        ],
    }
    for path, value in changes.items():
        part, _underscores, name = path.partition("__")
        place = found["nodes"][0] if part == "node" else found[part]
        place[name] = copy.deepcopy(value)
    return found


def checks(target: str, given: Object, node: str = "cp1", override: t.Sequence[str] = ()) -> dict[str, Check]:
    """What all checks say of the cluster and of a node, by their names."""
    matrix = judge(read_case(given, target), override)
    row = next(row for row in matrix.rows if row.node.shown == node)
    return {one.id: one for one in (*matrix.cluster, *row.checks)}
