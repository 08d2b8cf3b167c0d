# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of ipvs_virtual_server: what they become, and every way in which they can be wrong."""

from __future__ import annotations

import socket
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    IPV4,
    IPV6,
    RealServer,
    ServerKey,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import as_options, render
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import Wanted, wanted_from_options


def wanted(*items: t.Any, **params: t.Any) -> Wanted:
    return wanted_from_options({"virtual_servers": list(items), **params})


def one(**item: t.Any) -> VirtualServer:
    (server,) = wanted(item).servers.values()
    return server


WEB = {"address": "10.96.0.1", "port": 443}


def real(**options: t.Any) -> VirtualServer:
    return one(**WEB, real_servers=[{"address": "10.0.0.1", **options}])


def test_defaults() -> None:
    assert one(**WEB, real_servers=[{"address": "10.0.0.1"}]) == VirtualServer(
        ServerKey(IPV4, 6, b"\x0a\x60\0\1", 443, 0), "rr", 0, 0, 0xFFFFFFFF, "", (RealServer(b"\x0a\0\0\1", 443, 1, 0),)
    )


def test_everything() -> None:
    server = one(
        address="fd00::1",
        port="0",
        protocol="udp",
        scheduler="sh",
        flags=["sh-port", "one-packet"],
        persistence_timeout=600,
        persistence_netmask="/64",
        persistence_engine="sip",
        real_servers=[
            {
                "address": "10.0.0.1",
                "weight": 0,
                "forward_method": "tunnel",
                "upper_threshold": "10",
                "lower_threshold": 5,
                "tunnel_type": "gue",
                "tunnel_port": 6080,
                "tunnel_flags": "remcsum",
            }
        ],
    )
    assert server == VirtualServer(
        ServerKey(IPV6, 17, socket.inet_pton(IPV6, "fd00::1"), 0, 0),
        "sh",
        0x1 | 0x4 | 0x10,
        600,
        64,
        "sip",
        (RealServer(b"\x0a\0\0\1", 0, 0, 2, 10, 5, 1, 6080, 2),),
    )


@pytest.mark.parametrize(
    ("given", "mask"),
    [("24", 0xFFFFFF00), ("/8", 0xFF000000), ("255.255.0.0", 0xFFFF0000), (32, 0xFFFFFFFF), (None, 0xFFFFFFFF)],
)
def test_netmask(given: str | int | None, mask: int) -> None:
    assert one(**WEB, persistence_timeout=1, persistence_netmask=given).netmask == mask


def test_a_firewall_mark_is_ipv4_unless_said_otherwise() -> None:
    assert one(fwmark=7).key == ServerKey(IPV4, 0, b"", 0, 7)
    server = one(fwmark=7, family="ipv6", real_servers=[{"address": "fd00::9"}])
    assert server.key.family == IPV6
    assert server.real_servers[0].port == 0


def test_the_short_form_is_one_item() -> None:
    params = {"virtual_servers": None, "scheduler": None, "state": "present", **WEB, "real_servers": []}
    assert list(wanted_from_options(params).servers.values()) == [one(**WEB, real_servers=[])]


def test_left_out_real_servers_are_not_looked_at() -> None:
    assert wanted(WEB).keep == set(wanted(WEB).servers)
    assert wanted({**WEB, "real_servers": []}).keep == frozenset()
    assert wanted({**WEB, "real_servers": []}, unlisted_real_servers="keep").keep == set(wanted(WEB).servers)


BAD = [
    ({}, "virtual_servers[1].address: missing. Give address and port, or fwmark."),
    ({"address": "10.0.0.1"}, "virtual_servers[1].port: missing. Give a number from 0 to 65535."),
    ({**WEB, "port": 65536}, "virtual_servers[1].port: 65536 is not a number from 0 to 65535."),
    ({**WEB, "port": "http"}, "virtual_servers[1].port: 'http' is not a number from 0 to 65535."),
    ({**WEB, "port": True}, "virtual_servers[1].port: True is not a number"),
    ({**WEB, "port": 1.5}, "virtual_servers[1].port: 1.5 is not a number"),
    ({**WEB, "port": 0}, "virtual_servers[1].port: 0 stands for every port, which only a persistent virtual server"),
    ({**WEB, "address": "10.0.0.256"}, "virtual_servers[1].address: '10.0.0.256' is not an address."),
    ({**WEB, "address": "10.0.0.0/8"}, "without a prefix length"),
    ({**WEB, "address": "fe80::1%eth0"}, "virtual_servers[1].address: 'fe80::1%eth0' is not an address."),
    ({**WEB, "address": ["10.0.0.1"]}, "virtual_servers[1].address: ['10.0.0.1'] is not an address."),
    ({**WEB, "address": 7}, "virtual_servers[1].address: 7 is not an address."),
    ({**WEB, "fwmark": 1}, "virtual_servers[1].address: a virtual server has either a fwmark or an address"),
    ({"fwmark": 0}, "virtual_servers[1].fwmark: 0 is not a number from 1 to 4294967295."),
    ({"fwmark": 1, "protocol": "tcp"}, "virtual_servers[1].protocol: a virtual server has either a fwmark or"),
    ({**WEB, "family": "ipv6"}, "virtual_servers[1].family: ipv6 does not fit the address 10.96.0.1. Leave it out."),
    ({"fwmark": 1, "family": "inet"}, "virtual_servers[1].family: 'inet' is not known. Use one of these: ipv4, ipv6."),
    ({**WEB, "protocol": "TCP"}, "virtual_servers[1].protocol: 'TCP' is not known. Use one of these: tcp, udp, sctp."),
    (
        {**WEB, "scheduler": "roundrobin"},
        "virtual_servers[1].scheduler: 'roundrobin' is not known. Use one of these: rr,",
    ),
    ({**WEB, "flags": ["fast"]}, "virtual_servers[1].flags: 'fast' is not a flag. Use any of these: one-packet,"),
    ({**WEB, "flags": [["fast"]]}, "virtual_servers[1].flags: ['fast'] is not a flag."),
    ({**WEB, "flags": "mh-port"}, "virtual_servers[1].flags: 'mh-port' is not a list."),
    (
        {**WEB, "flags": ["mh-port"]},
        "virtual_servers[1].flags: mh-port is a flag of the scheduler mh, and the scheduler is rr.",
    ),
    ({**WEB, "flags": ["one-packet"]}, "virtual_servers[1].flags: one-packet is possible for UDP only."),
    (
        {**WEB, "persistence_netmask": "24"},
        "virtual_servers[1].persistence_netmask: means nothing without persistence.",
    ),
    ({**WEB, "persistence_engine": "sip"}, "virtual_servers[1].persistence_engine: means nothing without persistence."),
    ({**WEB, "persistence_timeout": 9, "persistence_engine": "a b"}, "'a b' is not a name of letters"),
    ({**WEB, "persistence_timeout": 9, "persistence_engine": "a" * 16}, "is not a name of up to 15 characters"),
    ({**WEB, "persistence_timeout": 9, "persistence_netmask": "33"}, "'33' is not a netmask. Give a mask like"),
    (
        {**WEB, "persistence_timeout": -1},
        "virtual_servers[1].persistence_timeout: -1 is not a number from 0 to 2678400.",
    ),
    ({**WEB, "adress": "x"}, "virtual_servers[1].adress: there is no such key. There are these: address, family,"),
    ({**WEB, "real_servers": [{"address": "10.0.0.1"}, {}]}, "virtual_servers[1].real_servers[1].address: missing."),
    ({**WEB, "real_servers": ["10.0.0.1"]}, "virtual_servers[1].real_servers[0]: '10.0.0.1' is not a mapping."),
    (
        {**WEB, "real_servers": {"address": "10.0.0.1"}},
        "virtual_servers[1].real_servers: {'address': '10.0.0.1'} is not a list.",
    ),
    ("10.0.0.1:80", "virtual_servers[1]: '10.0.0.1:80' is not a mapping."),
]

BAD_REAL = [
    ({"port": 70000}, "port: 70000 is not a number from 0 to 65535."),
    ({"wieght": 3}, "wieght: there is no such key."),
    ({"weight": -1}, "weight: -1 is not a number from 0 to 2147483647."),
    ({"forward_method": "nat"}, "forward_method: 'nat' is not known. Use one of these: masquerade, tunnel, direct."),
    ({"forward_method": "direct", "port": 80}, "port: only masquerade changes the port: it has to be 443 here."),
    ({"lower_threshold": 1}, "lower_threshold: 1 is above the upper_threshold 0."),
    (
        {"address": "fd00::1"},
        "address: fd00::1 is of the other address family. Only forward_method=tunnel carries one in",
    ),
    ({"tunnel_type": "gre"}, "tunnel_type: is for forward_method=tunnel only."),
    (
        {"forward_method": "tunnel", "tunnel_type": "gue"},
        "tunnel_port: a tunnel_type of gue has one, the others have none.",
    ),
    (
        {"forward_method": "tunnel", "tunnel_port": 6080},
        "tunnel_port: a tunnel_type of gue has one, the others have none.",
    ),
    ({"forward_method": "tunnel", "tunnel_flags": "csum"}, "tunnel_flags: the tunnel_type ipip has none."),
    (
        {"forward_method": "tunnel", "tunnel_type": "gre", "tunnel_flags": "remcsum"},
        "tunnel_flags: only the tunnel_type gue has remcsum.",
    ),
]


@pytest.mark.parametrize(("item", "words"), BAD)
def test_bad_virtual_server(item: t.Any, words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        wanted({"fwmark": 99}, item)
    assert words in str(error.value)
    assert str(error.value).startswith("virtual_servers[1]")


@pytest.mark.parametrize(("options", "words"), BAD_REAL)
def test_bad_real_server(options: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        real(**options)
    assert str(error.value).startswith("virtual_servers[0].real_servers[0]." + words)


def test_bad_in_the_short_form_names_the_key_alone() -> None:
    with pytest.raises(InvalidInput, match=r"^port: 65536 is not a number"):
        wanted_from_options({**WEB, "port": 65536})
    with pytest.raises(InvalidInput, match=r"^real_servers\[0\]\.weight: 'x' is not a number"):
        wanted_from_options({**WEB, "real_servers": [{"address": "10.0.0.1", "weight": "x"}]})


def test_duplicates_name_both() -> None:
    with pytest.raises(
        InvalidInput,
        match=r"virtual_servers\[2\] and virtual_servers\[0\] are the same virtual server: TCP 10.96.0.1:443\.",
    ):
        wanted(WEB, {"fwmark": 1}, {**WEB, "scheduler": "wrr"})
    with pytest.raises(
        InvalidInput, match=r"virtual_servers\[0\]\.real_servers: 10.0.0.1:443 is listed twice. Take item 1 away\."
    ):
        one(**WEB, real_servers=[{"address": "10.0.0.1"}, {"address": "10.0.0.1", "port": 443, "weight": 2}])


def test_purge() -> None:
    with pytest.raises(InvalidInput, match=r"purge_cidrs\[1\]: 10.0.0.1/8 has host bits set"):
        wanted(purge_cidrs=["10.0.0.0/8", "10.0.0.1/8"])
    with pytest.raises(InvalidInput, match="state=absent"):
        wanted(purge_cidrs=["10.0.0.0/8"], state="absent")


ADDRESSES4 = st.binary(min_size=4, max_size=4)
ADDRESSES6 = st.binary(min_size=16, max_size=16)
PORTS = st.integers(1, 65535)


@st.composite
def real_servers(draw: st.DrawFn, key: ServerKey) -> RealServer:
    method = draw(st.sampled_from([0, 2, 3]))
    mixed = method == 2 and draw(st.booleans())
    address = draw(ADDRESSES4 if (key.family == IPV4) != mixed else ADDRESSES6)
    port = draw(PORTS) if method == 0 or key.fwmark else key.port
    upper = draw(st.integers(0, 2**31 - 1))
    tunnel = (0, 0, 0)
    if method == 2:
        kind = draw(st.sampled_from([0, 1, 2]))
        tunnel = (kind, draw(PORTS) if kind == 1 else 0, draw(st.integers(0, [0, 2, 1][kind])))
    return RealServer(
        address, port, draw(st.integers(0, 2**31 - 1)), method, upper, draw(st.integers(0, upper)), *tunnel
    )


@st.composite
def virtual_servers(draw: st.DrawFn) -> VirtualServer:
    family = draw(st.sampled_from([IPV4, IPV6]))
    key = ServerKey(family, 0, b"", 0, draw(st.integers(1, 2**32 - 1)))
    if draw(st.booleans()):
        address = draw(ADDRESSES4 if family == IPV4 else ADDRESSES6)
        key = ServerKey(family, draw(st.sampled_from([6, 17, 132])), address, draw(PORTS), 0)
    flags = draw(st.sampled_from([0, 8, 16, 24, 32, 56]))
    timeout = draw(st.sampled_from([0, 300, 10800]))
    netmask, engine = (0xFFFFFFFF if family == IPV4 else 128), ""
    if timeout:
        flags |= 1
        netmask = draw(st.integers(0, 2**32 - 1) if family == IPV4 else st.integers(1, 128))
        engine = draw(st.sampled_from(["", "sip"]))
    if key.protocol in (0, 17) and draw(st.booleans()):
        flags |= 4
    reals = draw(st.lists(real_servers(key), max_size=3, unique_by=lambda one: one.identity))
    scheduler = draw(st.sampled_from(["rr", "sh", "mh", "none"]))
    return VirtualServer(key, scheduler, flags, timeout, netmask, engine, tuple(sorted(reals)))


@given(virtual_servers())
def test_what_as_options_gives_is_what_the_module_takes(server: VirtualServer) -> None:
    assert one(**as_options(server)) == server


@given(virtual_servers(), virtual_servers())
def test_different_servers_have_different_lines(first: VirtualServer, second: VirtualServer) -> None:
    texts = [render({server.key: server}) for server in (first, second)]
    assert (texts[0] == texts[1]) == (first == second)
