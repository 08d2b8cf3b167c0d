# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handles of rules: bytes written by hand after include/uapi/linux/netfilter/nf_tables.h, and bytes of no sense."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_handles import rule_handles

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


class Kernel:
    """Answers each send with one buffer."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    def send(self, data: bytes, /) -> int:
        self.asked.append(data)
        return len(data)

    def recv(self, bufsize: int, /) -> bytes:
        return self.answer[:bufsize]

    def close(self) -> None:
        pass


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def rule(table: bytes, chain: bytes, handle: bytes) -> bytes:
    body = b"\x02\0\0\0" + attribute(1, table) + attribute(2, chain) + attribute(3, handle) + attribute(5, b"userdata")
    return struct.pack("=IHHII", 16 + len(body), 0x0A06, 2, 1, 0) + body


def test_handles_come_in_the_order_of_the_rules() -> None:
    kernel = Kernel(
        rule(b"nat\0", b"OUTPUT\0", bytes([0, 0, 0, 0, 0, 0, 1, 2]))
        + rule(b"nat\0", b"INPUT\0", bytes(8))
        + rule(b"nat\0", b"OUTPUT\0", bytes([0, 0, 0, 0, 0, 0, 0, 9]))
        + DONE
    )
    assert rule_handles("ipv4", "nat", "OUTPUT", lambda: kernel) == [258, 9]
    assert kernel.asked == [
        struct.pack("=IHHII", 40, 0x0A07, 0x301, 1, 0) + b"\x02\0\0\0\x08\0\x01\0nat\0\x0b\0\x02\0OUTPUT\0\0"
    ]


@pytest.mark.parametrize("handle", [b"", b"\0\0\0\1"])
def test_a_rule_without_a_handle_is_an_error(handle: bytes) -> None:
    with pytest.raises(KubeProxyError, match="without a handle"):
        rule_handles("ipv6", "nat", "OUTPUT", lambda: Kernel(rule(b"nat\0", b"OUTPUT\0", handle) + DONE))


def test_the_kernels_no_is_an_error() -> None:
    refused = struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -1) + bytes(16)
    with pytest.raises(KubeProxyError, match=r"chain OUTPUT.*not permitted"):
        rule_handles("ipv4", "nat", "OUTPUT", lambda: Kernel(refused))


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    try:
        rule_handles("ipv4", "nat", "OUTPUT", lambda: Kernel(noise + DONE))
    except KubeProxyError:
        pass
