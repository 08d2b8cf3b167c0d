# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ipsets from netlink bytes. Expected values: ip_set.h of the kernel (the numbers in the bytes) and the text of ipset save."""

from __future__ import annotations

import ipaddress
import struct
import typing as t
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState, Member
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_read import read_ipsets
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

NESTED, NET = 0x8000, 0x4000
LIST = 6 << 8 | 7


def attr(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def nl(kind: int, body: bytes, flags: int = 2) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def ip(kind: int, text: str) -> bytes:
    value = ipaddress.ip_address(text)
    return attr(kind | NESTED, attr((1 if value.version == 4 else 2) | NET, value.packed))


def member(*attributes: bytes) -> bytes:
    return attr(7 | NESTED, b"".join(attributes))


def port(number: int) -> bytes:
    return attr(4 | NET, struct.pack(">H", number))


def protocol(number: int) -> bytes:
    return attr(7, bytes([number]))


def answer(name: str, kind: str = "", family: int = 2, count: int = 0, members: t.Sequence[bytes] = ()) -> bytes:
    head = attr(1, b"\x06") + attr(2, name.encode() + b"\0")
    if kind:
        data = attr(24 | NET, struct.pack(">I", count)) + attr(25 | NET, struct.pack(">I", 3))
        head += attr(3, kind.encode() + b"\0") + attr(5, bytes([family])) + attr(4, b"\x05") + attr(7 | NESTED, data)
    body = attr(8 | NESTED, b"".join(members)) if members else b""
    return nl(LIST, struct.pack("=BBH", 2, 0, 0) + head + body)


DONE = nl(3, struct.pack("=i", 0))


class FakeSocket:
    sent = b""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)

    def send(self, data: bytes, /) -> int:
        FakeSocket.sent = data
        return len(data)

    def recv(self, bufsize: int, /) -> bytes:
        assert bufsize >= 1 << 15
        return self.replies.pop(0) if self.replies else DONE

    def close(self) -> None:
        pass


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A node with ip_set loaded."""
    (tmp_path / "sys/module/ip_set").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/modules").write_text("ip_set 65536 0 - Live 0x0\n")
    return Files(str(tmp_path))


def read(files: Files, *replies: bytes, members: bool = False) -> tuple[IpSetState, ...]:
    return read_ipsets(files, members, lambda: FakeSocket(*replies))


def test_headers_alone(files: Files) -> None:
    found = read(
        files,
        answer("KUBE-CLUSTER-IP", "hash:ip,port", count=4) + answer("KUBE-6-IPVS-IPS", "hash:ip", 10),
        answer("KUBE-NODE-PORT-TCP", "bitmap:port", 0, 2) + DONE,
    )
    assert found == (
        IpSetState("KUBE-6-IPVS-IPS", "hash:ip", "ipv6", 0, 3),
        IpSetState("KUBE-CLUSTER-IP", "hash:ip,port", "ipv4", 4, 3),
        IpSetState("KUBE-NODE-PORT-TCP", "bitmap:port", "", 2, 3),
    )
    # IPSET_ATTR_FLAGS (6, in network order) with IPSET_FLAG_LIST_HEADER (4): the kernel leaves the members out
    assert FakeSocket.sent[4:8] == struct.pack("=HH", LIST, 0x301)
    assert FakeSocket.sent.endswith(b"\x08\x00\x06\x40\x00\x00\x00\x04")


@pytest.mark.parametrize(
    ("kind", "attributes", "text"),
    [
        ("hash:ip", ip(1, "10.96.0.1"), "10.96.0.1"),
        ("hash:ip,port", ip(1, "10.96.0.1") + port(443) + protocol(6), "10.96.0.1,tcp:443"),
        ("hash:ip,port", ip(1, "fd00::1") + port(53) + protocol(17), "fd00::1,udp:53"),
        ("hash:ip,port", ip(1, "10.0.0.1") + port(7) + protocol(132), "10.0.0.1,sctp:7"),
        (
            "hash:ip,port,ip",
            ip(1, "10.1.0.2") + port(8080) + protocol(6) + ip(20, "10.1.0.3"),
            "10.1.0.2,tcp:8080,10.1.0.3",
        ),
        (
            "hash:ip,port,net",
            ip(1, "192.0.2.1") + port(80) + protocol(6) + ip(20, "198.51.100.0") + attr(21, b"\x18"),
            "192.0.2.1,tcp:80,198.51.100.0/24",
        ),
        ("hash:net", ip(1, "198.51.100.0") + attr(3, b"\x18"), "198.51.100.0/24"),
        ("hash:net", ip(1, "198.51.100.7") + attr(3, b"\x20"), "198.51.100.7"),
        ("bitmap:port", port(30080), "30080"),
    ],
)
def test_members_as_ipset_prints_them(files: Files, kind: str, attributes: bytes, text: str) -> None:
    (found,) = read(files, answer("x", kind, members=[member(attributes)]), DONE, members=True)
    assert found.members is not None
    assert [str(one) for one in found.members] == [text]
    assert found.count == 1


def test_a_set_in_several_answers(files: Files) -> None:
    parts = [
        answer("a", "bitmap:port", 0, 3, [member(port(1)), member(port(2))]),
        answer("a", members=[member(port(3))]) + answer("b", "hash:ip"),
        DONE,
    ]
    found = read(files, *parts, members=True)
    assert [(one.name, one.count) for one in found] == [("a", 3), ("b", 0)]
    assert found[0].members == (Member(port=1), Member(port=2), Member(port=3))


def test_it_is_not_looked_where_that_would_load_ip_set(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/modules").write_text("")

    def never() -> FakeSocket:
        raise AssertionError("a message to the kernel")

    assert read_ipsets(Files(str(tmp_path)), connect=never) == ()


def test_the_kernels_no_is_one_clear_error(files: Files) -> None:
    with pytest.raises(KubeProxyError, match="Cannot read the ipsets: Operation not permitted"):
        read(files, nl(2, struct.pack("=i", -1) + bytes(16)))
    with pytest.raises(KubeProxyError, match="members of ipset b before its type"):
        read(files, answer("b", members=[member(port(3))]) + DONE)


def test_a_real_kube_proxys_sets_as_ipset_save_has_them(files: Files) -> None:
    folder = Path(__file__).parents[1] / "fixtures" / "ipset"
    saved = (folder / "kube-proxy-1.37.2.txt").read_text(encoding="utf-8")
    expected: dict[tuple[str, str], set[str]] = {}
    types: dict[str, str] = {}
    for line in saved.splitlines():
        verb, name, what = line.split(maxsplit=2)
        if verb == "create":
            types[name] = what.split()[0]
            expected[name, types[name]] = set()
        else:
            expected[name, types[name]].add(what)
    found = read(files, (folder / "kube-proxy-1.37.2.netlink").read_bytes(), members=True)
    assert {(one.name, one.type): {str(member) for member in one.members or ()} for one in found} == expected
    assert len(found) == 34
    families = {
        line.split()[1]: "ipv6" if "inet6" in line else "ipv4" for line in saved.splitlines() if "family" in line
    }
    assert {one.name: one.family for one in found if one.family} == families


@given(st.binary())
def test_any_bytes_are_our_own_error(data: bytes) -> None:
    root = Files("/nonexistent")  # without /proc/modules looking can load nothing
    good = answer("a", "hash:ip,port", members=[member(ip(1, "10.0.0.1"))])
    for replies in (
        (data, DONE),
        (good, nl(LIST, data), DONE),
        (nl(LIST, struct.pack("=BBH", 2, 0, 0) + attr(2, b"a\0") + attr(3, b"t\0") + data), DONE),
        (good, nl(LIST, struct.pack("=BBH", 2, 0, 0) + attr(2, b"a\0") + attr(8, attr(7, data))), DONE),
        (nl(2, data), DONE),
    ):
        for members in (False, True):
            try:
                read_ipsets(root, members, partial(FakeSocket, *replies))
            except KubeProxyError:
                pass
