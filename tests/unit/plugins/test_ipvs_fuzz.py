# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a kernel answers, reading and applying end with a result or with our own error."""

from __future__ import annotations

import errno
import struct
import typing as t
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _ipvs_codec as codec
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    IPV4,
    Operation,
    RealServer,
    ServerKey,
    Verb,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Failure, Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import as_options, render
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import MalformedReply, Message
from tests.unit.plugins.ipvs_kernel import pack

FIXTURE = Path(__file__).parents[1] / "fixtures" / "ipvs" / "everything.netlink"
ANSWERS = [bytes.fromhex(line[5:]) for line in FIXTURE.read_text("utf-8").splitlines() if line.startswith("recv ")]
#: The first two say which number the family has, and that this is all.
OPENING = 2


class Answers:
    """A socket that answers whatever it is asked from a list, and then no more."""

    def __init__(self, answers: t.Sequence[bytes]) -> None:
        self.left = list(answers)

    def send(self, data: bytes) -> int:
        return len(data)

    def recv_into(self, buffer: bytearray, _size: int, _flags: int) -> int:
        if not self.left:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        data = self.left.pop(0)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        pass


def read(answers: t.Sequence[bytes]) -> None:
    try:
        with Ipvs(lambda: Answers(answers)) as ipvs:
            servers = ipvs.read()
            ipvs.timeouts()
    except KubeProxyError:
        return
    # What was accepted can be shown.
    render(servers)
    for server in servers.values():
        as_options(server)


def apply(answers: t.Sequence[bytes]) -> None:
    server = VirtualServer(ServerKey(IPV4, 6, bytes(4), 80, 0))
    operations = [Operation(Verb.ADD_SERVER, server), Operation(Verb.ADD_REAL, server, RealServer(bytes(4), 80))]
    try:
        with Ipvs(lambda: Answers(answers)) as ipvs:
            assert all(isinstance(failure, Failure) for failure in ipvs.apply(operations))
    except KubeProxyError:
        pass


@settings(deadline=None, max_examples=400)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), max_size=4))
@example([(0, 29, b"\x00\x00\x00\t")])  # a longer number of the family
def test_a_damaged_conversation(damages: list[tuple[int, int, bytes]]) -> None:
    answers = [bytearray(answer) for answer in ANSWERS]
    for which, where, what in damages:
        answer = answers[which % len(answers)]
        place = where % len(answer)
        answer[place : place + len(what)] = what
    read([bytes(answer) for answer in answers])


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(ANSWERS) - 1), st.integers(0, 4096))
def test_a_cut_conversation(which: int, size: int) -> None:
    read([*ANSWERS[:which], ANSWERS[which][:size], *ANSWERS[which + 1 :]])


#: A netlink header that is in order, so that what follows is looked at.
HEADED = st.builds(
    lambda kind, flags, sequence, body: struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body,
    st.sampled_from([2, 3, 0x10, 0x1C, 0xFFFF]),
    st.sampled_from([0, 2, 0x10, 0x100, 0x200, 0x300, 0xFFFF]),
    st.integers(0, 5),
    st.binary(max_size=80),
)


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from([1, 2]),
    st.lists(st.tuples(st.integers(1, 15), st.sampled_from([0, 1, 2, 3, 4, 5, 8, 15, 16, 20])), max_size=14),
    st.sampled_from([0, 2, 10, 0xFFFF]),
)
def test_members_of_any_size(kind: int, members: list[tuple[int, int]], family: int) -> None:
    """One of a virtual server or a destination, with the family that decides about much of the rest."""
    inner = pack([(1, struct.pack("=H", family)), *((number, b"\xff" * size) for number, size in members)])
    body = b"\1\1\0\0" + pack([(kind, inner)])
    answer = struct.pack("=IHHII", 16 + len(body), 0x1C, 2, 2, 0) + body
    read([*ANSWERS[:OPENING], answer, struct.pack("=IHHIIi", 20, 3, 2, 2, 0, 0)])
    message = Message(0x1C, 2, 2, 0, len(body))
    for one in (codec.read_server, lambda buffer, message: codec.read_real_server(buffer, message, IPV4)):
        try:
            one(body, message)
        except MalformedReply:
            pass


@settings(deadline=None, max_examples=400)
@given(st.lists(st.one_of(st.binary(max_size=80), HEADED), max_size=6), st.booleans())
def test_any_answers(random: list[bytes], opened: bool) -> None:
    answers = [*(ANSWERS[:OPENING] if opened else []), *random]
    read(answers)
    apply(answers)
