# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bytes of the IPVS family, derived by hand from include/uapi/linux/ip_vs.h and net/netfilter/ipvs/ip_vs_ctl.c."""

from __future__ import annotations

import socket
import sys
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _ipvs_codec as codec
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    IPV4,
    IPV6,
    Operation,
    RealServer,
    ServerKey,
    SetTimeouts,
    Timeouts,
    Verb,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import (
    MalformedReply,
    Message,
    Record,
    attribute,
    error_of,
    messages,
    status_of,
)

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the expected bytes are of a little-endian host")

WEB = ServerKey(IPV4, 6, socket.inet_aton("10.96.0.1"), 443, 0)
WEB6 = ServerKey(IPV6, 17, socket.inet_pton(IPV6, "fd00::1"), 53, 0)


def hexed(text: str) -> bytes:
    return bytes.fromhex("".join(line.partition("#")[0] for line in text.splitlines()))


def test_add_server_as_the_kernel_expects_it() -> None:
    server = VirtualServer(WEB, "rr", 0x1, 10800, 0xFFFFFF00)
    expected = hexed(
        """
        68000000 1c00 0100 07000000 00000000   01010000
        5400 0100
          0600 0100 0200 0000          # AF
          0600 0200 0600 0000          # PROTOCOL
          1400 0300 0a600001 00000000 00000000 00000000
          0600 0400 01bb 0000          # PORT in network order
          0700 0600 727200 00          # "rr" with its NUL
          0c00 0700 01000000 3d000000  # FLAGS: value, mask without HASHED (0x2)
          0800 0800 302a0000           # TIMEOUT
          0800 0900 ffffff00           # NETMASK in network order
        """
    )
    assert codec.operation_request(0x1C, 7, Operation(Verb.ADD_SERVER, server)) == expected


def test_ipv6_netmask_is_a_prefix_length_in_host_order_and_engine_is_named() -> None:
    server = VirtualServer(WEB6, "wrr", 0x1, 60, 64, "sip")
    body = codec.operation_request(0x1C, 1, Operation(Verb.EDIT_SERVER, server))
    assert hexed("0800 0900 40000000") in body
    assert hexed("0800 0b00 73697000") in body
    assert body[16] == 2


def test_a_firewall_mark_replaces_address_port_and_protocol() -> None:
    key = ServerKey(IPV6, 0, b"", 0, 7)
    body = codec.operation_request(0x1C, 1, Operation(Verb.REMOVE_SERVER, VirtualServer(key)))
    assert body[20:] == hexed("1400 0100 0600 0100 0a00 0000 0800 0500 07000000")


def test_add_real_server_with_a_gue_tunnel_has_its_port_in_network_order() -> None:
    real = RealServer(socket.inet_aton("10.0.0.9"), 443, 5, 2, 100, 50, 1, 6080, 1)
    body = codec.operation_request(0x1C, 1, Operation(Verb.ADD_REAL, VirtualServer(WEB), real))
    assert body[16] == 5
    assert body[20 + 4 + 44 :] == hexed(
        """
        6000 0200
        1400 0100 0a000009 00000000 00000000 00000000
        0600 0200 01bb 0000
        0600 0b00 0200 0000
        0800 0300 02000000
        0800 0400 05000000
        0800 0500 64000000
        0800 0600 32000000
        0500 0d00 01 000000
        0600 0e00 17c0 0000
        0600 0f00 0100 0000
        """
    )


def test_remove_real_server_only_names_it() -> None:
    real = RealServer(socket.inet_pton(IPV6, "fd00::9"), 53, 5)
    body = codec.operation_request(0x1C, 1, Operation(Verb.REMOVE_REAL, VirtualServer(WEB6), real))
    assert body[20 + 4 + 44 :] == hexed(
        "2800 0200 1400 0100 fd000000 00000000 00000000 00000009 0600 0200 0035 0000 0600 0b00 0a00 0000"
    )


def test_questions() -> None:
    assert codec.family_request(1) == hexed("20000000 1000 0500 01000000 00000000 03010000 0900 0200 4950565300 000000")
    assert codec.dump_request(0x1C, 2) == hexed("14000000 1c00 0103 02000000 00000000 04010000")
    assert codec.dump_request(0x1C, 3, WEB)[:24] == hexed("44000000 1c00 0103 03000000 00000000 08010000 3000 0100")
    assert codec.timeouts_request(0x1C, 4) == hexed("14000000 1c00 0500 04000000 00000000 0d010000")


def test_set_timeouts_sends_those_that_change() -> None:
    body = codec.operation_request(0x1C, 5, SetTimeouts(Timeouts(900, 0, 300)), 4)
    assert body == hexed("24000000 1c00 0500 05000000 00000000 0c010000 0800 0400 84030000 0800 0600 2c010000")


def reply(body: bytes) -> tuple[bytes, Message]:
    data = b"\x01\x01\0\0" + body
    return data, Message(0x1C, 2, 1, 0, len(data))


SERVER = """
    0600 0100 0200 0000  0600 0200 0600 0000
    1400 0300 0a600001 00000000 00000000 00000000
    0600 0400 01bb 0000  0700 0600 6d6800 00
    0c00 0700 12000000 ffffffff  0800 0800 00000000  0800 0900 ffffffff
    0c00 0a00 0102030405060708
"""


def test_read_server_without_the_kernels_own_flag() -> None:
    server = codec.read_server(*reply(attribute(1, hexed(SERVER))))
    assert server == VirtualServer(WEB, "mh", 0x10, 0, 0xFFFFFFFF)


def test_read_server_with_a_firewall_mark_and_an_engine() -> None:
    text = """
        0600 0100 0a00 0000  0800 0500 09000000  0700 0600 727200 00  0800 0b00 73697000
        0c00 0700 03000000 ffffffff  0800 0800 2c010000  0800 0900 40000000
    """
    server = codec.read_server(*reply(attribute(1, hexed(text))))
    assert server == VirtualServer(ServerKey(IPV6, 0, b"", 0, 9), "rr", 1, 300, 64, "sip")


REAL = """
    1400 0100 0a000009 00000000 00000000 00000000  0600 0200 1f90 0000  0800 0300 00000000  0800 0400 03000000
    0500 0d00 01 000000  0600 0e00 17c0 0000  0600 0f00 0200 0000
    0800 0500 64000000  0800 0600 32000000
    0800 0700 01000000  0800 0800 02000000  0800 0900 04000000  0600 0b00 0200 0000  0c00 0a00 0102030405060708
"""


def test_read_real_server_counts_active_and_inactive_connections() -> None:
    real = codec.read_real_server(*reply(attribute(2, hexed(REAL))), IPV4)
    assert real == RealServer(socket.inet_aton("10.0.0.9"), 8080, 3, 0, 100, 50, 1, 6080, 2, 3)


def test_read_real_server_of_a_kernel_without_family_and_tunnel_attributes() -> None:
    text = """
        1400 0100 fd000000 00000000 00000000 00000009  0600 0200 1f90 0000  0800 0300 03000000  0800 0400 01000000
        0800 0500 00000000  0800 0600 00000000
    """
    real = codec.read_real_server(*reply(attribute(2, hexed(text))), IPV6)
    assert real == RealServer(socket.inet_pton(IPV6, "fd00::9"), 8080, 1, 3)


def test_read_timeouts_and_family() -> None:
    data, message = reply(hexed("0800 0400 84030000 0800 0500 78000000 0800 0600 2c010000"))
    assert codec.read_timeouts(data, message) == (900, 120, 300)
    assert codec.read_family(*reply(hexed("0600 0100 1c00 0000"))) == 0x1C


def test_error_with_the_kernels_words() -> None:
    # NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS: errno, header of the request, NLMSGERR_ATTR_MSG
    data = hexed("ea ff ff ff 20000000 1c00 0100 01000000 00000000 0c00 0100 6e6f2077 61790000")
    assert error_of(data, Message(2, 0x300, 1, 0, len(data))) == (22, "no way")
    assert error_of(data[:20], Message(2, 0x100, 1, 0, 20)) == (22, "")
    assert status_of(hexed("f0ffffff"), Message(3, 2, 1, 0, 4)) == (16, "")


def test_a_record_reads_another_layout_as_well() -> None:
    record = Record({1: "H", 2: "s", 3: "I"})
    first = attribute(1, b"\1\0") + attribute(9, b"skipped!") + attribute(2, b"ab\0")
    other = attribute(2, b"xyz\0567") + attribute(9, b"abcd") + attribute(1, b"\2\0")
    for _again in range(2):
        assert record.read(first, 0, len(first)) == (1, b"ab\0", 0)
        assert record.read(other, 0, len(other)) == (2, b"xyz\0567", 0)
        assert record.read(first, 0, 8) == (1, b"", 0)


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    def attempt(read: t.Callable[..., t.Any], *arguments: object) -> None:
        try:
            read(*arguments)
        except MalformedReply:
            pass

    attempt(lambda: list(messages(data, len(data))))
    message = Message(2, 0x300, 1, 0, len(data))
    for read in (error_of, status_of, codec.read_server, codec.read_timeouts, codec.read_family):
        attempt(read, data, message)
    attempt(codec.read_real_server, data, message, IPV4)
    for kind, read_nested in ((1, codec.read_server), (2, lambda b, m: codec.read_real_server(b, m, IPV4))):
        attempt(read_nested, *reply(attribute(kind, data)))


@settings(deadline=None)
@given(st.integers(0, 200), st.binary(min_size=1, max_size=1), st.sampled_from([SERVER, REAL]))
def test_a_broken_answer_is_read_or_refused(place: int, byte: bytes, text: str) -> None:
    good = bytearray(hexed(text))
    good[place % len(good)] = byte[0]
    try:
        codec.read_server(*reply(attribute(1, bytes(good))))
        codec.read_real_server(*reply(attribute(2, bytes(good))), IPV4)
    except MalformedReply:
        pass
