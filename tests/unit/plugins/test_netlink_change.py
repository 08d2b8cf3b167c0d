# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removing a device and ipsets over netlink. Expected bytes: rtnetlink.h, if_link.h, nfnetlink.h and ip_set.h of the kernel, by hand."""

from __future__ import annotations

import errno
import struct
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_change import (
    destroy_sets,
    link_removal,
    reason_of,
    remove_link,
    set_removal,
)

# IPSET_ERR_BUSY: IPSET_ERR_PRIVATE (4096), PROTOCOL, FIND_TYPE, MAX_SETS, BUSY.
BUSY = 4100


def ack(code: int, sequence: int) -> bytes:
    """NLMSG_ERROR: the negative error number, then the header of the request."""
    return (
        struct.pack("=IHHII", 36, 2, 0, sequence, 0) + struct.pack("=i", -code) + struct.pack("=IHHII", 16, 0, 0, 0, 0)
    )


class Kernel:
    """Answers each request with the next error number of its name; without one it is done."""

    def __init__(self, **codes: t.Sequence[int]) -> None:
        self.codes = {name.replace("_", "-"): list(numbers) for name, numbers in codes.items()}
        self.sent: list[bytes] = []
        self.queue: list[bytes] = []
        self.before: t.Callable[[int], bytes] = lambda _sequence: b""
        self.closed = 0

    def send(self, data: bytes, /) -> int:
        self.sent.append(data)
        sequence = struct.unpack_from("=IHHII", data)[3]
        name = next((name for name in self.codes if name.encode() + b"\0" in data), "")
        code = self.codes[name].pop(0) if name and self.codes[name] else 0
        self.queue.append(self.before(sequence) + ack(code, sequence))
        return len(data)

    def recv(self, _size: int, /) -> bytes:
        return self.queue.pop(0)

    def close(self) -> None:
        self.closed += 1


def test_the_request_for_a_device() -> None:
    kind, body = link_removal("kube-ipvs0")
    assert kind == 17  # RTM_DELLINK
    # struct ifinfomsg: family, pad, type, index, flags, change; then IFLA_IFNAME (3), 4 + 11 bytes, padded to 16.
    assert body.hex() == "00" * 16 + "0f000300" + b"kube-ipvs0\0\0".hex()


def test_the_request_for_a_set() -> None:
    kind, body = set_removal("KUBE-CLUSTER-IP")
    assert kind == 0x0603  # NFNL_SUBSYS_IPSET (6), IPSET_CMD_DESTROY (3)
    # struct nfgenmsg: AF_INET, version 0, resource 0; IPSET_ATTR_PROTOCOL (1) 6; IPSET_ATTR_SETNAME (2), 4 + 16 bytes.
    assert body.hex() == "02000000" + "0500010006000000" + "14000200" + b"KUBE-CLUSTER-IP\0".hex()


def test_a_request_without_a_name_would_destroy_all_sets() -> None:
    with pytest.raises(ValueError, match="without a name"):
        set_removal("")


def test_a_message_is_a_request_with_an_acknowledgement() -> None:
    kernel = Kernel()
    assert remove_link("kube-ipvs0", lambda: kernel) == ""
    assert destroy_sets(["A", "B"], lambda: kernel) == {}
    lengths = [struct.unpack_from("=IHHII", data) for data in kernel.sent]
    assert lengths == [(16 + 32, 17, 5, 1, 0), (16 + 20, 0x603, 5, 1, 0), (16 + 20, 0x603, 5, 2, 0)]
    assert [len(data) for data in kernel.sent] == [48, 36, 36]
    assert kernel.closed == 2


def test_what_is_not_there_is_gone() -> None:
    kernel = Kernel(A=[errno.ENOENT], dev=[errno.ENODEV])
    assert destroy_sets(["A", "B"], lambda: kernel) == {}
    assert remove_link("dev", lambda: kernel) == ""


def test_a_set_that_rules_just_let_go_of_is_asked_for_again() -> None:
    kernel, pauses = Kernel(A=[BUSY, BUSY, BUSY], B=[errno.EPERM]), []
    failed = destroy_sets(["A", "B", "C"], lambda: kernel, lambda: pauses.append(1))
    assert failed == {"B": "it needs root (the capability CAP_NET_ADMIN)"}
    assert len(pauses) == 3
    kernel = Kernel(A=[BUSY] * 1000)
    assert destroy_sets(["A"], lambda: kernel, lambda: None) == {"A": "a rule or another set still uses it"}
    # Gone in the meantime is gone.
    kernel = Kernel(A=[BUSY, errno.ENOENT])
    assert destroy_sets(["A"], lambda: kernel, lambda: None) == {}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EPERM, "it needs root (the capability CAP_NET_ADMIN)"),
        (errno.EOPNOTSUPP, "the kernel removes no device of this kind"),
        (4097, "the kernel's ipset does not speak version 6 of its protocol"),
        (errno.EINVAL, "Invalid argument"),
        (5000, "Unknown error 4095"),
    ],
)
def test_words_for_the_kernels_errors(code: int, words: str) -> None:
    assert reason_of(code) == words
    assert remove_link("x", lambda: Kernel(x=[code])) == words


def test_other_messages_are_passed_over() -> None:
    kernel = Kernel(A=[errno.EPERM])
    # A notification (RTM_DELLINK), and an answer to an earlier request.
    kernel.before = lambda sequence: struct.pack("=IHHII", 16, 17, 0, 0, 0) + ack(errno.EIO, sequence + 7)
    assert destroy_sets(["A", "B"], lambda: kernel) == {"A": "it needs root (the capability CAP_NET_ADMIN)"}


class Silent(Kernel):
    def recv(self, _size: int, /) -> bytes:
        if len(self.sent) > 1:
            raise TimeoutError("timed out")
        return super().recv(_size)


def test_after_a_lost_answer_nothing_more_is_asked() -> None:
    kernel = Silent()
    lost = "the kernel's answer was lost (timed out)"
    assert destroy_sets(["A", "B", "C"], lambda: kernel) == {"B": lost, "C": lost}
    assert (len(kernel.sent), kernel.closed) == (2, 1)


def test_no_socket() -> None:
    def none() -> t.Any:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    with pytest.raises(KubeProxyError, match=r"Cannot open a netlink socket.*Protocol not supported"):
        remove_link("kube-ipvs0", none)
    assert destroy_sets([], none) == {}


@given(st.binary(max_size=80))
def test_bytes_that_no_kernel_sends(junk: bytes) -> None:
    kernel = Kernel()
    kernel.before = lambda _sequence: junk
    assert set(destroy_sets(["A"], lambda: kernel, lambda: None)) <= {"A"}
