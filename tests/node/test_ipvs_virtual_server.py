# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ipvs_virtual_server on a real kernel. Witnesses: ipvsadm, /proc/net/ip_vs, lsmod."""

from __future__ import annotations

import typing as t

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


def test_a_draining_destination_stays_and_a_listed_one_gets_its_weight(bare: Node) -> None:
    """One connection through the virtual server is held open by a process on the node."""
    hold = (
        "import socket,sys,time; s=socket.create_server(('127.0.0.1', 8099)); c=socket.create_connection(('10.99.0.1', 80));"
        " a=s.accept(); open('/tmp/held','w').close(); time.sleep(120)"
    )
    bare.run(
        "rm -f /tmp/held; ip address replace 10.99.0.1/32 dev lo; sysctl -qw net.ipv4.vs.conntrack=0 2>/dev/null || true"
    )
    real = {"address": "127.0.0.1", "port": 8099}
    server = {"address": "10.99.0.1", "port": 80}
    try:
        bare.module("ipvs_virtual_server", {**server, "real_servers": [real]})
        bare.run(f'nohup python3 -c "{hold}" >/dev/null 2>&1 & echo $! >/tmp/holder')
        bare.wait("the connection", "test -e /tmp/held", 30)
        drained = bare.module("ipvs_virtual_server", {**server, "real_servers": [{**real, "weight": 0}]})
        assert drained["changed"]
        assert " 0      1 " in bare.run("ipvsadm -Ln")
        for check in (True, False):
            assert not bare.module("ipvs_virtual_server", {**server, "real_servers": []}, check=check)["changed"]
        listed = bare.module("ipvs_virtual_server", {**server, "real_servers": [real]})
        assert listed["actions"] == ["edit real server 127.0.0.1:8099 of TCP 10.99.0.1:80: weight 0 -> 1"]
        gone = bare.module("ipvs_virtual_server", {**server, "real_servers": []})
        assert gone["actions"] == ["remove real server 127.0.0.1:8099 from TCP 10.99.0.1:80"]
    finally:
        bare.run("kill $(cat /tmp/holder); ip address delete 10.99.0.1/32 dev lo")


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
