# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tutorial that everyone follows by hand, walked on a real cluster: each point is shown and asserted.

C(make demo) prints the walk; C(tests/e2e) runs the same functions as tests. What a point looks at comes from kubectl and the nodes' own tools.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from tests.labkit import Node, Run, wait_for
from tests.labkit.cluster import Cluster

# base32(sha256("default/httpservice:http" + "tcp"))[:16], the same on every cluster
CHAIN = "KUBE-SVC-PZZOH4GMXQXQLAH7"
# 1/3, 1/2 and the rest, as the kernel stores them in 31 bits
PROBABILITIES = ["0.33333333349", "0.50000000000"]
Say = t.Callable[[str], None]


def claim(fact: bool, text: str) -> None:
    if not fact:
        raise AssertionError(text)


@dataclass(frozen=True)
class Tutorial:
    cluster: Cluster
    say: Say

    @property
    def node(self) -> Node:
        return self.cluster.nodes[-1]

    def show(self, node: Node, command: str) -> str:
        """Type a command on a node, for the reader to see what it prints."""
        self.say(f"\n{node.name}# {command}")
        out = node.run(command)
        self.say(out.rstrip())
        return out

    def address(self, service: str = "httpservice") -> str:
        found: str = self.cluster.service(service)["spec"]["clusterIP"]
        return found

    def start(self) -> None:
        """The tutorial's cluster: C(mode: ""), which means iptables, with a Service over three pods."""
        self.cluster.set_mode_text("iptables", '""')
        self.cluster.restart_kube_proxy()
        self.cluster.apply("httpservice.yaml")
        self.cluster.wait_for_pods("http", 3)
        self.cluster.wait_for_pods("client", len(self.cluster.names))
        self.cluster.wait_for_mode("iptables")
        for node in self.cluster.nodes:
            node.wait("three endpoints", f"test $(iptables-save -t nat | grep -c -- '-A {CHAIN} .*-j KUBE-SEP') = 3")

    def point_1_iptables_chains(self) -> None:
        self.say("\n1. iptables mode: the Service is a chain, each pod a chain with a probability")
        rules = self.show(
            self.node, "iptables-save -t nat | grep -e httpservice -e '-A KUBE-MARK-MASQ' -e '-j KUBE-SERVICES'"
        )
        claim("-A PREROUTING" in rules and "-j KUBE-SERVICES" in rules, "PREROUTING does not jump to KUBE-SERVICES")
        entry = rf"-A KUBE-SERVICES -d {self.address()}/32 -p tcp .*--dport 80 -j {CHAIN}"
        claim(re.search(entry, rules) is not None, f"no rule leads from KUBE-SERVICES to {CHAIN}")
        balanced = [line for line in rules.splitlines() if re.match(rf"-A {CHAIN} .*-j KUBE-SEP-", line)]
        seen = [m[1] for line in balanced if (m := re.search(r"--probability (\S+)", line))]
        claim(seen == PROBABILITIES, f"probabilities are {seen}")
        chains = [line.split()[-1] for line in balanced]
        targets = sorted(
            m[1] for c in chains if (m := re.search(rf"-A {c} .*-j DNAT --to-destination (\S+):8080", rules))
        )
        claim(targets == self.cluster.endpoints("httpservice"), f"KUBE-SEP chains lead to {targets}")
        claim(
            re.search(rf"-A {CHAIN} ! -s \S+ .*-j KUBE-MARK-MASQ", rules) is not None,
            "no masquerade mark for outsiders",
        )
        claim(re.search(r"-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000", rules) is not None, "no mark 0x4000")

    def point_1_masquerade(self) -> None:
        """What KUBE-MARK-MASQ does: outsiders arrive with the node's address, pods with their own."""
        self.say("\n   KUBE-MARK-MASQ: whom does a pod behind the Service see?")
        url = f"http://{self.address()}/clientip"
        self.node.run(_OUTSIDER_UP)
        try:
            outside = self.show(self.node, f"ip netns exec outsider curl -s -m 10 {url}").rsplit(":", 1)[0]
        finally:
            self.node.run(_OUTSIDER_DOWN)
        own = self.node.run("hostname -I").split()
        claim(outside in own, f"a client outside the pod network is seen as {outside}, the node has {own}")
        inside = self.cluster.from_pod(self.node, f"curl -s -m 10 {url}").rsplit(":", 1)[0]
        pods = {p["status"]["podIP"] for p in self.cluster.get("pods", "-l", "app=client")["items"]}
        self.say(f"a pod is seen with its own address: {inside}")
        claim(inside in pods, f"a pod is seen as {inside}, client pods are {pods}")

    def point_4_switched(self, run: Run) -> None:
        self.say("\n4. the ConfigMap, as the run changed it, and what kube-proxy says")
        difference = [line for line in run.output.splitlines() if re.match(r"^\s*[+-]\s*mode:", line)]
        self.say("\n".join(difference))
        claim(len(difference) == 2, f"the diff of the ConfigMap is {difference}")
        claim("ipvs" in difference[1], f"the diff of the ConfigMap is {difference}")
        for pod in self.cluster.kube_proxy_pods():
            name = pod["metadata"]["name"]
            log = self.cluster.kubectl("logs", "-n", "kube-system", name)
            line = next((text for text in log.splitlines() if "Using ipvs Proxier" in text), "")
            self.say(f"{pod['spec']['nodeName']}: {line}")
            claim(bool(line), f"{name} does not say that it uses the ipvs proxier")
        self.cluster.wait_for_mode("ipvs")

    def point_3_modules(self) -> None:
        self.say("\n3. the modules, loaded and there again after a boot")
        loaded = self.show(self.node, "lsmod | grep -e ^ip_vs -e ^nf_conntrack").split()
        for module in ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack"):
            claim(module in loaded, f"{module} is not loaded")
        kept = self.show(self.node, "grep -h ^ip_vs /etc/modules-load.d/*")
        claim("ip_vs_rr" in kept.split(), "ip_vs_rr is not loaded at boot")

    def point_5_ipvs(self) -> None:
        self.say("\n5. ipvs mode: a dummy device with every Service address, a virtual server with three real servers")
        addresses = self.show(self.node, "ip -br address show kube-ipvs0")
        claim(f"{self.address()}/32" in addresses, "kube-ipvs0 lacks the Service's address")
        listing = self.show(self.node, f"ipvsadm -Ln -t {self.address()}:80")
        claim(f"{self.address()}:80 rr" in listing, "no virtual server with scheduler rr")
        servers = sorted(m[1] for m in re.finditer(r"-> (\S+):8080\s+Masq", listing))
        claim(servers == self.cluster.endpoints("httpservice"), f"real servers are {servers}")
        claim(KUBE_SVC.search(self.node.run("iptables-save")) is None, "chains of iptables mode are left")
        self.answers()

    def answers(self) -> None:
        url = f"http://{self.address()}/hostname"
        for node in self.cluster.nodes:
            name = self.show(node, f"curl -s -m 10 {url}")
            claim(name.startswith("http-"), f"{node.name} got {name!r} through the Service")

    def point_6_node_port(self) -> None:
        self.say("\n6. NodePort: one more virtual server for every address of the node, 127.0.0.1 not among them")
        self.cluster.kubectl("patch", "service", "httpservice", "-p", '{"spec": {"type": "NodePort"}}')
        port = self.cluster.service("httpservice")["spec"]["ports"][0]["nodePort"]
        own = sorted(self.node.run(_ADDRESSES).split())
        listing = ""

        def programmed() -> bool:
            nonlocal listing
            listing = self.node.run(f"ipvsadm -Ln | grep :{port} || true")
            return sorted(m[1] for m in re.finditer(rf"TCP\s+(\S+):{port}", listing)) == own

        wait_for(f"a virtual server on each of {own}; there is:\n{listing}", programmed)
        self.say(listing)
        claim(len(own) >= 4, f"the node should have two cards, an overlay device and the pod bridge, but has {own}")
        for address in own:
            name = self.node.run(f"curl -s -m 10 http://{address}:{port}/hostname")
            self.say(f"{address}:{port} {name}")
            claim(name.startswith("http-"), f"got {name!r} from {address}:{port}")
        refused = self.node.attempt(f"curl -s -m 10 http://127.0.0.1:{port}/hostname")
        claim(refused.rc != 0, f"127.0.0.1:{port} answers in ipvs mode: {refused.out}")

    def point_5_flush(self) -> None:
        self.say("\n   iptables -t nat -F in ipvs mode: the few rules that match ipsets come back, the Service answers")
        self.node.run("iptables -t nat -F")
        for rule in FLUSHED_AND_BACK:
            self.node.wait(f"the rule {rule}", f"iptables-save -t nat | grep -e '{rule}'")
        self.show(self.node, "iptables-save -t nat | grep -e match-set")
        self.answers()


KUBE_SVC = re.compile(r"KUBE-(SVC|SEP|SVL|EXT|FW|XLB)-[A-Z2-7]{16}")
FLUSHED_AND_BACK = [
    "-A KUBE-SERVICES .*--match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ",
    "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
    "-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT",
]
# kube-ipvs0 holds Service addresses, not the node's; lo is left out by kube-proxy.
_ADDRESSES = (
    'ip -4 -j address show | jq -r \'.[] | select(.ifname != "lo" and .ifname != "kube-ipvs0") | .addr_info[].local\''
)
_OUTSIDER_UP = (
    "ip netns add outsider && ip link add outsider0 type veth peer name eth0 netns outsider && "
    "ip address add 172.30.0.1/24 dev outsider0 && ip link set outsider0 up && "
    "ip -n outsider address add 172.30.0.2/24 dev eth0 && ip -n outsider link set eth0 up && "
    "ip -n outsider route add default via 172.30.0.1"
)
_OUTSIDER_DOWN = "ip link del outsider0; ip netns del outsider"
