# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge in a real kernel, without any kube-proxy: what connections through it do. Pods and a client outside are network namespaces of the node; each pod
answers with its name and the address that it sees."""

from __future__ import annotations

import re
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as cluster_state
from tests.labkit import Node
from tests.labkit.bare import CLEAN
from tests.labkit.state import state_of
from tests.unit.plugins.kube_services import Object, endpoint, endpoint_slice, node_port, service
from tests.unit.plugins.kube_services import node as api_node

MODULE = "service_bridge"
UNIT = "netops-kube-proxy-bridge.service"
HERE, CLIENT = "10.34.0.10", "203.0.113.7"
PODS = {"pod1": "10.244.0.11", "pod2": "10.244.0.12"}
BALANCER, ELSEWHERE = "198.51.100.5", "10.244.9.9"
WEB, EMPTY, STICKY, NARROW, LOCAL = "10.96.0.11", "10.96.0.12", "10.96.0.13", "10.96.0.14", "10.96.0.15"
SERVER = """
import socketserver, sys
class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(f"{sys.argv[1]} {self.client_address[0]}".encode())
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", 8080), Answer).serve_forever()
"""
ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as found:
        print(found.recv(99).decode())
except OSError as error:
    print(type(error).__name__)
"""


def namespace(name: str, address: str, gateway: str) -> str:
    return f"""
ip netns add {name}; ip link add {name} type veth peer name eth0 netns {name}; ip link set {name} up
ip -n {name} link set lo up; ip -n {name} link set eth0 up; ip -n {name} address add {address}/32 dev eth0
ip address add {gateway}/32 dev {name}; ip route add {address}/32 dev {name}
ip -n {name} route add {gateway} dev eth0; ip -n {name} route add default via {gateway}
"""


UP = f"""
set -e
sysctl -qw net.ipv4.ip_forward=1
mkdir -p /run/bridge-test; cat > /run/bridge-test/ask.py <<'END'
{ASK}
END
cat > /run/bridge-test/server.py <<'END'
{SERVER}
END
{namespace("pod1", PODS["pod1"], "10.244.0.1")}{namespace("pod2", PODS["pod2"], "10.244.0.2")}{namespace("client", CLIENT, "203.0.113.1")}
for pod in pod1 pod2; do
  systemd-run -q --collect --unit bridge-test-$pod ip netns exec $pod python3 /run/bridge-test/server.py $pod
done
"""
DOWN = """
systemctl stop bridge-test-pod1 bridge-test-pod2 netops-kube-proxy-bridge
for name in pod1 pod2 client; do ip netns del $name; ip link del $name; done
rm -rf /run/bridge-test /run/netops-kube-proxy
"""


def services(**more: Object) -> list[Object]:
    return [
        service("default/web", clusterIP=WEB, type="NodePort", ports=[node_port(port=80, number=30080)]),
        service("default/empty", clusterIP=EMPTY),
        service("default/sticky", clusterIP=STICKY, sessionAffinity="ClientIP"),
        service(
            "default/narrow",
            clusterIP=NARROW,
            type="LoadBalancer",
            ports=[node_port(port=80, number=30081)],
            ingress=[{"ip": BALANCER}],
            loadBalancerSourceRanges=["203.0.113.0/29"],
            **more,
        ),
        service(
            "default/local",
            clusterIP=LOCAL,
            type="NodePort",
            externalTrafficPolicy="Local",
            ports=[node_port(port=80, number=30082)],
        ),
    ]


def cluster(found: t.Sequence[Object]) -> str:
    ends = [endpoint(one, "cp1") for one in PODS.values()]
    port = [{"name": "p80", "port": 8080, "protocol": "TCP"}]
    slices = [endpoint_slice(*ends, name=f"default/{name}", ports=port) for name in ("web", "sticky", "narrow")]
    slices.append(endpoint_slice(ends[0], endpoint(ELSEWHERE, "w1"), name="default/local", ports=port))
    nodes = [api_node("cp1", addresses=[HERE])]
    return cluster_state.encode(cluster_state.build(found, slices, nodes, {"clusterCIDR": "10.244.0.0/16"}, "1.37"))


STATE = cluster(services())
WANTED: Object = {"cluster": STATE, "node": "cp1", "mode": "iptables", "entering": "nftables", "metrics_address": ""}


@pytest.fixture(scope="module")
def bare(node: Node) -> t.Iterator[Node]:
    node.run(CLEAN)
    node.run(UP)
    for pod in PODS.values():
        node.wait(f"an answer of {pod}", f"python3 /run/bridge-test/ask.py {pod} 8080 | grep pod")
    yield node
    node.attempt(DOWN)
    node.run(CLEAN)


def ask(node: Node, place: str, address: str, port: int = 80) -> str:
    enter = f"ip netns exec {place} " if place else ""
    return node.run(f"{enter}python3 /run/bridge-test/ask.py {address} {port}").strip()


def others(node: Node) -> str:
    """Everything but our tables, and the modules that they need."""
    text = re.sub(r"table ip6? netops-kube-proxy-bridge {\n.*?\n}\n", "", state_of(node), flags=re.DOTALL)
    return re.sub(r"== modules\n.*?(?=== )", "", text, flags=re.DOTALL)


def test_check_mode_puts_up_nothing(bare: Node) -> None:
    before = state_of(bare)
    assert bare.module(MODULE, WANTED, check=True)["changed"]
    assert state_of(bare) == before
    assert bare.attempt(["systemctl", "is-active", UNIT]).rc != 0


def test_it_is_put_up_once(bare: Node) -> None:
    before = others(bare)
    done = bare.module(MODULE, WANTED)
    assert done["changed"]
    assert done["services"] == 5
    assert "10.96.0.11:80 -> " not in done["diff"]["before"]
    assert "TCP 10.96.0.11:80, -> 10.244.0.11:8080 10.244.0.12:8080" in done["diff"]["after"]
    assert not bare.module(MODULE, WANTED)["changed"]
    assert others(bare) == before


def test_a_client_outside_is_masqueraded(bare: Node) -> None:
    seen = {ask(bare, "client", WEB) for _ in range(20)}
    assert seen == {"pod1 10.244.0.1", "pod2 10.244.0.2"}


def test_a_pod_is_not_masqueraded_but_to_itself(bare: Node) -> None:
    seen = {ask(bare, "pod1", WEB) for _ in range(20)}
    assert seen == {"pod1 10.244.0.1", f"pod2 {PODS['pod1']}"}


def test_the_node_itself_gets_through(bare: Node) -> None:
    assert ask(bare, "", WEB).split()[0] in PODS
    assert ask(bare, "", HERE, 30080).split()[0] in PODS


def test_what_has_no_endpoint_is_refused(bare: Node) -> None:
    assert ask(bare, "client", EMPTY) == "ConnectionRefusedError"
    assert ask(bare, "", EMPTY) == "ConnectionRefusedError"
    assert ask(bare, "client", WEB, 81) == "ConnectionRefusedError"


def test_affinity_keeps_a_client(bare: Node) -> None:
    assert len({ask(bare, "client", STICKY) for _ in range(10)}) == 1


def test_node_ports_answer(bare: Node) -> None:
    assert {ask(bare, "client", HERE, 30080) for _ in range(20)} == {"pod1 10.244.0.1", "pod2 10.244.0.2"}


def test_policy_local_shows_the_client_and_stays_here(bare: Node) -> None:
    assert {ask(bare, "client", HERE, 30082) for _ in range(10)} == {f"pod1 {CLIENT}"}


def test_source_ranges_let_nobody_else_in(bare: Node) -> None:
    assert ask(bare, "client", BALANCER).split()[0] in PODS
    bare.run("ip -n client address add 203.0.113.70/32 dev eth0; ip route add 203.0.113.70/32 dev client")
    bare.run("ip -n client route replace default via 203.0.113.1 src 203.0.113.70")
    try:
        assert ask(bare, "client", BALANCER) == "TimeoutError"
        assert ask(bare, "client", NARROW).split()[0] in PODS
    finally:
        bare.run(
            "ip -n client route replace default via 203.0.113.1; ip -n client address del 203.0.113.70/32 dev eth0"
        )


def test_what_changes_in_the_api_is_renewed(bare: Node) -> None:
    """And what somebody changed in the tables, too."""
    gone = {**WANTED, "cluster": cluster(services()[1:])}
    assert bare.module(MODULE, gone)["changed"]
    assert ask(bare, "client", WEB) != "pod1 10.244.0.1"
    bare.run("nft delete element ip netops-kube-proxy-bridge service-ips '{ 10.96.0.13 . tcp . 80 }'")
    done = bare.module(MODULE, gone)
    assert "10.96.0.13:80" in done["actions"][0]
    assert ask(bare, "client", STICKY).split()[0] in PODS


def test_it_leaves_nothing(bare: Node) -> None:
    before = others(bare)
    assert bare.module(MODULE, {"state": "absent"})["changed"]
    assert not bare.module(MODULE, {"state": "absent"})["changed"]
    assert others(bare) == before
    assert bare.attempt("nft list tables | grep netops").rc != 0
    assert bare.attempt(["systemctl", "is-active", UNIT]).rc != 0


def test_the_node_takes_it_away_by_itself(bare: Node) -> None:
    bare.module(MODULE, {**WANTED, "soft_limit": 1, "hard_limit": 5})
    bare.wait("the bridge to go", "! nft list tables | grep netops")
    bare.wait("its watch to end", f"! systemctl is-active {UNIT}")
    assert "it was up for 5 s, its hard limit" in bare.run(["journalctl", "-u", UNIT, "--no-pager"])


def test_wrong_limits_are_named(bare: Node) -> None:
    words = bare.module_fails(MODULE, {**WANTED, "soft_limit": 10, "hard_limit": 5})
    assert "soft_limit must be above 0 and not above hard_limit" in words
