# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ipvs_virtual_server on a real kernel. Witnesses: ipvsadm, /proc/net/ip_vs, lsmod."""

from __future__ import annotations

import typing as t
from contextlib import contextmanager

import pytest

from tests.labkit import Node

CLEAN = (
    "ipvsadm -C 2>/dev/null; rm -f /etc/modprobe.d/test-ipvs.conf;"
    " for module in $(lsmod | awk '/^ip_vs_/ {print $1}') ip_vs; do rmmod $module 2>/dev/null; done; true"
)

#: One of everything that the kernel has, and what ipvsadm has to say of it.
EVERYTHING: list[dict[str, t.Any]] = [
    {
        "address": "10.99.0.1",
        "port": 443,
        "real_servers": [{"address": "10.0.0.1", "port": 6443}, {"address": "10.0.0.2", "port": 6443}],
    },
    {
        "address": "10.99.0.1",
        "port": 53,
        "protocol": "udp",
        "scheduler": "wrr",
        "flags": ["one-packet"],
        "real_servers": [],
    },
    {
        "address": "10.99.0.2",
        "port": 80,
        "protocol": "sctp",
        "scheduler": "sh",
        "flags": ["sh-port", "sh-fallback"],
        "real_servers": [{"address": "10.0.0.1", "weight": 0, "upper_threshold": 100, "lower_threshold": 50}],
    },
    {
        "address": "10.99.0.3",
        "port": 0,
        "scheduler": "mh",
        "flags": ["mh-port"],
        "persistence_timeout": 600,
        "persistence_netmask": "24",
        "real_servers": [{"address": "10.0.0.1", "forward_method": "direct"}],
    },
    {
        "address": "10.99.0.4",
        "port": 80,
        "real_servers": [
            {"address": "10.0.0.1", "forward_method": "tunnel"},
            {
                "address": "10.0.0.2",
                "forward_method": "tunnel",
                "tunnel_type": "gue",
                "tunnel_port": 6080,
                "tunnel_flags": "csum",
            },
            {"address": "10.0.0.3", "forward_method": "tunnel", "tunnel_type": "gre"},
            {"address": "fd00::4", "forward_method": "tunnel"},
        ],
    },
    {
        "address": "fd00:99::1",
        "port": 443,
        "persistence_timeout": 10800,
        "persistence_netmask": "64",
        "real_servers": [{"address": "fd00::1", "port": 6443, "weight": 7}],
    },
    {"fwmark": 7, "scheduler": "lc", "real_servers": [{"address": "10.0.0.1"}]},
    {"fwmark": 7, "family": "ipv6", "real_servers": [{"address": "fd00::1", "port": 80}]},
    {
        "address": "10.99.0.5",
        "port": 5060,
        "protocol": "udp",
        "persistence_timeout": 60,
        "persistence_engine": "sip",
        "real_servers": [],
    },
]


@pytest.fixture
def bare(node: Node) -> t.Iterator[Node]:
    node.run(CLEAN)
    yield node
    node.run(CLEAN)


def ipvsadm(node: Node) -> list[str]:
    return sorted(line.strip() for line in node.run("ipvsadm -Sn").splitlines())


def web(*weights: int, **options: t.Any) -> dict[str, t.Any]:
    reals = [{"address": f"10.0.0.{last}", "port": 8080, "weight": weight} for last, weight in enumerate(weights, 1)]
    return {"address": "10.99.0.1", "port": 80, "real_servers": reals, **options}


def test_check_mode_without_ip_vs_predicts_and_loads_nothing(bare: Node) -> None:
    assert bare.attempt("test -e /proc/net/ip_vs").rc == 1
    foreseen = bare.module("ipvs_virtual_server", web(1), check=True)
    assert foreseen["changed"]
    assert not bare.module("ipvs_virtual_server", {**web(1), "state": "absent"})["changed"]
    assert "ip_vs" not in bare.run("lsmod")
    done = bare.module("ipvs_virtual_server", web(1))
    assert (done["diff"], done["actions"]) == (foreseen["diff"], foreseen["actions"])
    assert ipvsadm(bare) == ["-A -t 10.99.0.1:80 -s rr", "-a -t 10.99.0.1:80 -r 10.0.0.1:8080 -m -w 1"]


def test_everything_check_apply_check_apply(bare: Node) -> None:
    arguments = {"virtual_servers": EVERYTHING}
    foreseen = bare.module("ipvs_virtual_server", arguments, check=True)
    done = bare.module("ipvs_virtual_server", arguments)
    assert foreseen["changed"]
    assert (done["diff"], done["actions"], done["virtual_servers"]) == (
        foreseen["diff"],
        foreseen["actions"],
        foreseen["virtual_servers"],
    )
    assert ipvsadm(bare) == EXPECTED
    # ipvsadm -S leaves the thresholds out, our lines have them.
    assert sorted(done["diff"]["after"].replace(" -x 100 -y 50", "").splitlines()) == EXPECTED
    assert "10.0.0.1:80 100 50 " in " ".join(bare.run("ipvsadm -Ln --thresholds").split())
    for check in (True, False):
        again = bare.module("ipvs_virtual_server", {"virtual_servers": list(reversed(EVERYTHING))}, check=check)
        assert (again["changed"], again["actions"], again["diff"]) == (False, [], {"before": "", "after": ""})
    assert not bare.module("ipvs_virtual_server", {"virtual_servers": done["virtual_servers"]})["changed"]
    gone = bare.module("ipvs_virtual_server", {**arguments, "state": "absent"})
    assert gone["changed"]
    assert ipvsadm(bare) == []


EXPECTED = sorted(
    """\
-A -t 10.99.0.1:443 -s rr
-a -t 10.99.0.1:443 -r 10.0.0.1:6443 -m -w 1
-a -t 10.99.0.1:443 -r 10.0.0.2:6443 -m -w 1
-A -t 10.99.0.3:0 -s mh -p 600 -M 255.255.255.0 -b mh-port
-a -t 10.99.0.3:0 -r 10.0.0.1:0 -g -w 1
-A -t 10.99.0.4:80 -s rr
-a -t 10.99.0.4:80 -r [fd00::4]:80 -i -w 1 --tun-type ipip
-a -t 10.99.0.4:80 -r 10.0.0.1:80 -i -w 1 --tun-type ipip
-a -t 10.99.0.4:80 -r 10.0.0.2:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-a -t 10.99.0.4:80 -r 10.0.0.3:80 -i -w 1 --tun-type gre --tun-nocsum
-A -u 10.99.0.1:53 -s wrr -o
-A -u 10.99.0.5:5060 -s rr -p 60 --pe sip
-A --sctp-service 10.99.0.2:80 -s sh -b sh-fallback,sh-port
-a --sctp-service 10.99.0.2:80 -r 10.0.0.1:80 -m -w 0
-A -t [fd00:99::1]:443 -s rr -p 10800 -M 64
-a -t [fd00:99::1]:443 -r [fd00::1]:6443 -m -w 7
-A -f 7 -s lc
-a -f 7 -r 10.0.0.1:0 -m -w 1
-A -f 7 -6 -s rr
-a -f 7 -6 -r [fd00::1]:80 -m -w 1
""".splitlines()
)


def test_edits_are_made_in_place_and_foreign_servers_stay(bare: Node) -> None:
    bare.run("ipvsadm -A -t 203.0.113.9:6443 -s wlc; ipvsadm -a -t 203.0.113.9:6443 -r 10.0.0.9:6443 -m")
    bare.run("ipvsadm -A -t 10.99.0.1:80 -s rr -p 300; ipvsadm -a -t 10.99.0.1:80 -r 10.0.0.1:8080 -m -w 5")
    bare.run("ipvsadm -a -t 10.99.0.1:80 -r 10.0.0.9:8080 -m")
    done = bare.module("ipvs_virtual_server", web(2, 3, scheduler="mh", flags=["mh-fallback"]))
    assert done["actions"] == [
        (
            "edit TCP 10.99.0.1:80: scheduler rr -> mh, flags none -> mh-fallback, persistence_timeout 300 -> none,"
            " persistence_netmask 255.255.255.255 -> none"
        ),
        "edit real server 10.0.0.1:8080 of TCP 10.99.0.1:80: weight 5 -> 2",
        "add real server 10.0.0.2:8080 to TCP 10.99.0.1:80 with weight 3",
        "remove real server 10.0.0.9:8080 from TCP 10.99.0.1:80",
    ]
    assert ipvsadm(bare) == [
        "-A -t 10.99.0.1:80 -s mh -b mh-fallback",
        "-A -t 203.0.113.9:6443 -s wlc",
        "-a -t 10.99.0.1:80 -r 10.0.0.1:8080 -m -w 2",
        "-a -t 10.99.0.1:80 -r 10.0.0.2:8080 -m -w 3",
        "-a -t 203.0.113.9:6443 -r 10.0.0.9:6443 -m -w 1",
    ]
    kept = bare.module(
        "ipvs_virtual_server", web(2, scheduler="mh", flags=["mh-fallback"], unlisted_real_servers="keep")
    )
    assert not kept["changed"]
    purged = bare.module("ipvs_virtual_server", {"virtual_servers": [], "purge_cidrs": ["10.99.0.0/16"]})
    assert purged["actions"] == ["remove TCP 10.99.0.1:80"]
    assert [line for line in ipvsadm(bare) if line.startswith("-A")] == ["-A -t 203.0.113.9:6443 -s wlc"]


HOLD = """\
import socket, sys, time
server = socket.create_server(('127.0.0.1', 8099))
client = socket.create_connection(('10.99.0.1', 80))
accepted, _address = server.accept()
open('/tmp/held', 'w').close()
time.sleep(300)
"""


@pytest.fixture
def held(bare: Node) -> t.Iterator[Node]:
    """One connection through the virtual server 10.99.0.1:80, held open by a process on the node."""
    bare.run("rm -f /tmp/held; ip address replace 10.99.0.1/32 dev lo; cat >/tmp/hold.py", stdin=HOLD)
    bare.module("ipvs_virtual_server", {**HELD, "real_servers": [LOCAL]})
    bare.run("nohup python3 /tmp/hold.py >/dev/null 2>&1 & echo $! >/tmp/holder")
    bare.wait("the connection", "test -e /tmp/held", 30)
    # The kernel adds up its per-CPU statistics every two seconds or later (ip_vs_est.c), and shows the sum.
    bare.wait("the connection in the statistics", f'test "$({TOTAL})" = 1', 120)
    yield bare
    bare.run("kill $(cat /tmp/holder); ip address delete 10.99.0.1/32 dev lo")


HELD = {"address": "10.99.0.1", "port": 80}
LOCAL = {"address": "127.0.0.1", "port": 8099}


TOTAL = "ipvsadm -Ln --stats --exact | awk '/->/ && /127.0.0.1/ {print $3}'"


def counters(node: Node) -> list[str]:
    """Weight, active and inactive connections of the destination, and the connections it ever had."""
    weight, active, inactive = node.run("ipvsadm -Ln | awk '/->/ && /127.0.0.1/ {print $4, $5, $6}'").split()
    (total,) = node.run(TOTAL).split()
    return [weight, active, inactive, total]


def test_a_draining_destination_stays_and_a_listed_one_gets_its_weight(held: Node) -> None:
    """Edits keep the connection and its counters: pyroute2's update deletes and adds, which loses both."""
    assert counters(held) == ["1", "1", "0", "1"]
    edited = held.module("ipvs_virtual_server", {**HELD, "scheduler": "wlc", "real_servers": [{**LOCAL, "weight": 0}]})
    assert edited["changed"]
    assert counters(held) == ["0", "1", "0", "1"]
    for check in (True, False):
        left = held.module("ipvs_virtual_server", {**HELD, "scheduler": "wlc", "real_servers": []}, check=check)
        assert not left["changed"]
        assert left["draining"] == [
            {
                "virtual_server": "TCP 10.99.0.1:80",
                "real_server": "127.0.0.1:8099",
                "connections": 1,
                "removed": False,
            }
        ]
    listed = held.module("ipvs_virtual_server", {**HELD, "scheduler": "wlc", "real_servers": [LOCAL]})
    assert listed["actions"] == ["edit real server 127.0.0.1:8099 of TCP 10.99.0.1:80: weight 0 -> 1"]
    assert counters(held) == ["1", "1", "0", "1"]
    gone = held.module("ipvs_virtual_server", {**HELD, "scheduler": "wlc", "real_servers": []})
    assert gone["actions"] == ["remove real server 127.0.0.1:8099 from TCP 10.99.0.1:80"]


def test_drain_leaves_what_has_connections_and_at_the_limit_cuts_it_off(held: Node) -> None:
    drained = {**HELD, "real_servers": [{"address": "10.0.0.1", "port": 80}], "unlisted_real_servers": "drain"}
    foreseen = held.module("ipvs_virtual_server", drained, check=True)
    assert counters(held) == ["1", "1", "0", "1"]
    done = held.module("ipvs_virtual_server", drained)
    assert (done["diff"], done["actions"], done["draining"]) == (
        foreseen["diff"],
        foreseen["actions"],
        foreseen["draining"],
    )
    assert "drain real server 127.0.0.1:8099 of TCP 10.99.0.1:80: weight 1 -> 0" in done["actions"]
    assert [(one["real_server"], one["connections"]) for one in done["draining"]] == [("127.0.0.1:8099", 1)]
    assert counters(held) == ["0", "1", "0", "1"]
    assert not held.module("ipvs_virtual_server", drained)["changed"]
    cut = held.module("ipvs_virtual_server", {**drained, "drain_timeout": 1})
    assert cut["actions"] == ["drain and remove real server 127.0.0.1:8099 of TCP 10.99.0.1:80"]
    assert [(one["connections"], one["removed"]) for one in cut["draining"]] == [(1, True)]
    assert ipvsadm(held) == ["-A -t 10.99.0.1:80 -s rr", "-a -t 10.99.0.1:80 -r 10.0.0.1:80 -m -w 1"]


def test_drain_waits_for_connections_and_not_for_what_remembers_a_client(bare: Node) -> None:
    """A UDP connection ends by its timeout, here 4 seconds after its only datagram; the persistence of 300 seconds stays."""
    server = {"address": "10.99.0.1", "port": 53, "protocol": "udp", "persistence_timeout": 300}
    both = {**server, "real_servers": [{"address": "127.0.0.1", "port": 8053}], "timeouts": {"udp": 4}}
    bare.run("ip address replace 10.99.0.1/32 dev lo")
    try:
        bare.module("ipvs_virtual_server", both)
        bare.run("printf x >/dev/udp/10.99.0.1/53")
        done = bare.module(
            "ipvs_virtual_server",
            {**server, "real_servers": [], "unlisted_real_servers": "drain", "drain_timeout": 120},
        )
        assert (done["actions"], done["draining"]) == (
            ["drain and remove real server 127.0.0.1:8053 of UDP 10.99.0.1:53"],
            [],
        )
        assert ipvsadm(bare) == ["-A -u 10.99.0.1:53 -s rr -p 300"]
        # The template is all that is left of it.
        assert [line.split()[2] for line in bare.run("ipvsadm -Lnc").splitlines() if "UDP" in line] == ["NONE"]
    finally:
        bare.run("ip address delete 10.99.0.1/32 dev lo")


def test_timeouts(bare: Node) -> None:
    foreseen = bare.module("ipvs_virtual_server", {"timeouts": {"tcp": 3600, "udp": 30}}, check=True)
    assert "ip_vs" not in bare.run("lsmod")
    done = bare.module("ipvs_virtual_server", {"timeouts": {"tcp": 3600, "udp": 30}})
    assert (done["diff"], done["actions"], done["timeouts"]) == (
        foreseen["diff"],
        foreseen["actions"],
        foreseen["timeouts"],
    )
    assert done["actions"] == ["set timeouts: tcp 900 -> 3600, udp 300 -> 30"]
    assert bare.run("ipvsadm -L --timeout").split(":")[1].split() == ["3600", "120", "30"]
    assert not bare.module("ipvs_virtual_server", {"timeouts": done["timeouts"]})["changed"]
    bare.run("ipvsadm --set 0 77 0")
    again = bare.module("ipvs_virtual_server", {"timeouts": {"tcp_fin": 60}, **web(1)})
    assert again["actions"][0] == "set timeouts: tcp_fin 77 -> 60"
    assert bare.run("ipvsadm -L --timeout").split(":")[1].split() == ["3600", "60", "30"]


KUBE_PROXY = """\
import http.server, json, sys
mode, excluded = sys.argv[1], sys.argv[2:]
config = {'kind': 'KubeProxyConfiguration', 'mode': mode, 'ipvs': {'excludeCIDRs': excluded or None}}
answers = {'/proxyMode': mode, '/configz': json.dumps({'kubeproxy.config.k8s.io': config})}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answers[self.path].encode())


http.server.HTTPServer(('127.0.0.1', 10249), Handler).serve_forever()
"""


@contextmanager
def kube_proxy(node: Node, *arguments: str) -> t.Iterator[None]:
    """Something that answers as kube-proxy does: a bare node has none. tests/e2e has real ones."""
    node.run("cat >/tmp/kube_proxy.py", stdin=KUBE_PROXY)
    node.run(f"nohup python3 /tmp/kube_proxy.py {' '.join(arguments)} >/dev/null 2>&1 & echo $! >/tmp/kube_proxy.pid")
    try:
        node.wait("an answer", "curl -sf http://127.0.0.1:10249/proxyMode", 60)
        yield
    finally:
        node.run("kill $(cat /tmp/kube_proxy.pid)")


def test_what_kube_proxy_would_delete_is_said(bare: Node) -> None:
    # 10.99.0.2 is on kube-ipvs0, so its virtual server is kube-proxy's own.
    servers = {"virtual_servers": [web(1), {**web(1), "address": "10.99.0.2"}]}
    said = (
        "kube-proxy runs in ipvs mode and deletes 1 of the virtual servers listed at its next sync: TCP 10.99.0.1:80."
    )
    bare.run("modprobe dummy numdummies=0; ip link add kube-ipvs0 type dummy; ip address add 10.99.0.2 dev kube-ipvs0")
    try:
        with kube_proxy(bare, "ipvs", "203.0.113.0/24"):
            assert said in bare.module_fails("ipvs_virtual_server", {**servers, "unprotected": "fail"})
            assert "ip_vs" not in bare.run("lsmod")
            assert said in "".join(warnings(bare.module("ipvs_virtual_server", servers)))
            assert warnings(bare.module("ipvs_virtual_server", {**servers, "unprotected": "ignore"})) == []
        with kube_proxy(bare, "ipvs", "10.99.0.0/31"):
            assert warnings(bare.module("ipvs_virtual_server", {**servers, "unprotected": "fail"})) == []
        with kube_proxy(bare, "nftables", "10.99.0.0/31"):
            message = bare.module_fails("ipvs_virtual_server", {**servers, "unprotected": "fail"})
        assert "runs in nftables mode and deletes 1 of the virtual servers listed whenever it starts" in message
        assert warnings(bare.module("ipvs_virtual_server", {**servers, "unprotected": "fail"})) == []
    finally:
        bare.run("ip link del kube-ipvs0")


def warnings(result: dict[str, t.Any]) -> list[str]:
    return [str(one) for one in result.get("warnings", [])]


def test_what_other_tools_get_wrong(bare: Node) -> None:
    """The port of a GUE tunnel in network order, the prefix of an IPv6 persistence in host order, a mark's family."""
    gue = {"forward_method": "tunnel", "tunnel_type": "gue", "tunnel_port": 6080}
    servers: list[dict[str, t.Any]] = [
        web(real_servers=[{"address": "10.0.0.1", **gue}]),
        {
            "address": "fd00:99::1",
            "port": 80,
            "persistence_timeout": 60,
            "persistence_netmask": "48",
            "real_servers": [],
        },
        {"fwmark": 9, "real_servers": [{"address": "10.0.0.1"}]},
    ]
    assert bare.module("ipvs_virtual_server", {"virtual_servers": servers})["changed"]
    assert ipvsadm(bare) == sorted(
        [
            "-A -t 10.99.0.1:80 -s rr",
            "-a -t 10.99.0.1:80 -r 10.0.0.1:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum",
            "-A -t [fd00:99::1]:80 -s rr -p 60 -M 48",
            "-A -f 9 -s rr",
            "-a -f 9 -r 10.0.0.1:0 -m -w 1",
        ]
    )
    assert not bare.module("ipvs_virtual_server", {"virtual_servers": servers})["changed"]


def test_what_the_kernel_refuses_is_named_and_the_rest_is_applied(bare: Node) -> None:
    bare.run("echo 'install ip_vs_twos /bin/false' >/etc/modprobe.d/test-ipvs.conf")
    servers = [
        web(1, scheduler="twos"),
        web(1, port=81),
        web(port=82, real_servers=[{"address": "255.255.255.255"}, {"address": "10.0.0.1"}]),
    ]
    message = bare.module_fails("ipvs_virtual_server", {"virtual_servers": servers})
    assert "refused 2 of 7 changes" in message
    assert "add TCP 10.99.0.1:80: the kernel has no module ip_vs_twos for the scheduler twos" in message
    assert "add real server 255.255.255.255:82 of TCP 10.99.0.1:82: the kernel takes no such value" in message
    assert "Load ip_vs_twos with netops.kube_proxy.ipvs_module_loaded" in message
    assert ipvsadm(bare) == [
        "-A -t 10.99.0.1:81 -s rr",
        "-A -t 10.99.0.1:82 -s rr",
        "-a -t 10.99.0.1:81 -r 10.0.0.1:8080 -m -w 1",
        "-a -t 10.99.0.1:82 -r 10.0.0.1:82 -m -w 1",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"virtual_servers": [web(1), web(1, port=70000)]},
            "virtual_servers[1].port: 70000 is not a number from 0 to 65535.",
        ),
        (
            {"virtual_servers": [web(1), {"address": "10.0.0.0/8", "port": 1}]},
            "virtual_servers[1].address: '10.0.0.0/8' is not an address.",
        ),
        ({"virtual_servers": [web(1), web(1, scheduler="fast")]}, "virtual_servers[1].scheduler: 'fast' is not known."),
    ],
)
def test_bad_input_touches_nothing(bare: Node, arguments: dict[str, t.Any], words: str) -> None:
    assert words in bare.module_fails("ipvs_virtual_server", arguments)
    assert "ip_vs" not in bare.run("lsmod")
