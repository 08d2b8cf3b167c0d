# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kernel's IPVS family on a table, for tests of the socket edge.

Written from net/netfilter/ipvs/ip_vs_ctl.c of Linux 7.2 (the functions named below) with its own attribute parser, so that a
mistake of our codec is not repeated here. It keeps and gives back attributes as bytes.
"""

from __future__ import annotations

import errno
import struct
import typing as t
from collections import deque

FAMILY = 0x1C
Attributes = dict[int, bytes]


def parse(data: bytes) -> Attributes:
    found = {}
    while data:
        length, kind = struct.unpack("=HH", data[:4])
        assert 4 <= length <= len(data), (length, len(data))
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) // 4 * 4 :]
    return found


def pack(attributes: t.Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(
        struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4) for kind, value in attributes
    )


class FakeKernel:
    """A socket whose other side is an IPVS table. C(schedulers) are those whose module exists."""

    def __init__(self, schedulers: t.Sequence[str] = ("rr", "wrr", "lc", "mh", "sh"), permitted: bool = True) -> None:
        self.schedulers = schedulers
        self.permitted = permitted
        self.services: dict[bytes, Attributes] = {}
        self.dests: dict[bytes, dict[bytes, Attributes]] = {}
        self.queue: deque[bytes] = deque()
        self.sends: list[int] = []
        self.timeouts = [900, 120, 300]
        self.interrupt_dumps = 0
        self.resize_lists = 0
        self.lose_answers = 0
        self.missing = False

    def close(self) -> None:
        self.queue.clear()

    def recv_into(self, buffer: bytearray, _size: int, _flags: int) -> int:
        if self.lose_answers:
            self.lose_answers -= 1
            raise OSError(errno.ENOBUFS, "No buffer space available")
        data = self.queue.popleft()
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: bytes) -> int:
        size, count = len(data), 0
        while data:
            length, family, flags, sequence, _port = struct.unpack("=IHHII", data[:16])
            command = data[16]
            self.handle(family, command, flags, sequence, parse(data[20:length]), data[:16])
            data = data[length:]
            count += 1
        self.sends.append(count)
        return size

    def handle(self, family: int, command: int, flags: int, seq: int, attrs: Attributes, head: bytes) -> None:
        if family == 0x10:
            assert (command, attrs) == (3, {2: b"IPVS\0"})
            if not self.missing:
                self.queue.append(self.message(0x10, 0, seq, pack([(1, struct.pack("=H", FAMILY)), (2, b"IPVS\0")])))
            self.answer(errno.ENOENT if self.missing else 0, flags, seq, head)
        elif not self.permitted:
            self.answer(errno.EPERM, flags, seq, head)
        elif flags & 0x300 == 0x300:
            self.dump(command, seq, attrs)
        elif command == 13:
            config = [(4 + nth, struct.pack("=I", seconds)) for nth, seconds in enumerate(self.timeouts)]
            self.queue.append(self.message(FAMILY, 0, seq, pack(config)))
            self.answer(0, flags, seq, head)
        else:
            self.answer(self.set_cmd(command, attrs), flags, seq, head)

    def answer(self, code: int, flags: int, seq: int, head: bytes) -> None:
        if code or flags & 0x4:
            self.queue.append(struct.pack("=IHHIIi", 36, 2, 0x100, seq, 0, -code) + head)

    def message(self, kind: int, flags: int, seq: int, body: bytes) -> bytes:
        return struct.pack("=IHHII", 20 + len(body), kind, flags, seq, 0) + b"\1\1\0\0" + body

    def dump(self, command: int, seq: int, attrs: Attributes) -> None:
        """ip_vs_genl_dump_services, ip_vs_genl_dump_dests"""
        flags = 0x2
        if self.interrupt_dumps:
            self.interrupt_dumps -= 1
            flags |= 0x10
        if command == 4:
            bodies = [pack([(1, pack(self.service_out(service)))]) for service in self.services.values()]
        else:
            assert command == 8
            bodies = [
                pack([(2, pack(self.dest_out(d)))]) for d in self.dests.get(self.key(parse(attrs[1])), {}).values()
            ]
        if command == 4 and self.resize_lists:
            self.resize_lists -= 1
            # The table is another one after the first answer, and as many are skipped as were told.
            bodies[3:] = (bodies[1:] + bodies[:1])[3:]
        for start in range(0, len(bodies), 3):
            self.queue.append(b"".join(self.message(FAMILY, flags, seq, body) for body in bodies[start : start + 3]))
        self.queue.append(struct.pack("=IHHIIi", 20, 3, flags, seq, 0, 0))

    def service_out(self, service: Attributes) -> t.Iterator[tuple[int, bytes]]:
        """ip_vs_genl_fill_service: the order of the attributes, the HASHED flag, statistics behind"""
        flags = struct.unpack("=I", service[7][:4])[0] | 0x2
        for kind in (1, 5) if 5 in service else (1, 2, 3, 4):
            yield kind, service[kind]
        yield 6, service[6]
        if 11 in service:
            yield 11, service[11]
        yield 7, struct.pack("=II", flags, 0xFFFFFFFF)
        yield 8, service[8]
        yield 9, service[9]
        yield 10, b"\1" * 96
        yield 12, b"\2" * 120

    def dest_out(self, dest: Attributes) -> t.Iterator[tuple[int, bytes]]:
        """ip_vs_genl_fill_dest"""
        for kind in (1, 2, 3, 4, 13, 14, 15, 5, 6):
            yield kind, dest[kind]
        for kind in (7, 8, 9):
            yield kind, dest.get(kind, b"\0\0\0\0")
        yield 11, dest[11]
        yield 10, b"\1" * 96
        yield 12, b"\2" * 120

    @staticmethod
    def key(service: Attributes) -> bytes:
        """ip_vs_genl_parse_service: what identifies a service"""
        if 5 in service:
            return service[1] + service[5]
        assert (len(service[2]), len(service[3]), len(service[4])) == (2, 16, 2)
        return service[1] + service[2] + service[3] + service[4]

    def set_cmd(self, command: int, attrs: Attributes) -> int:
        """ip_vs_genl_set_cmd"""
        if command == 12:
            return self.set_config(attrs)
        service = parse(attrs[1])
        key = self.key(service)
        if command != 1 and key not in self.services:
            return errno.ESRCH
        if command in (1, 2):
            return self.set_service(command, key, service)
        if command == 3:
            del self.services[key], self.dests[key]
            return 0
        return self.set_dest(command, key, parse(attrs[2]))

    def set_config(self, attrs: Attributes) -> int:
        """ip_vs_genl_set_config, ip_vs_set_timeout"""
        wanted = [struct.unpack("=i", attrs[kind])[0] if kind in attrs else 0 for kind in (4, 5, 6)]
        if any(not 0 <= seconds <= 2147483 for seconds in wanted):
            return errno.EINVAL
        self.timeouts = [new or old for new, old in zip(wanted, self.timeouts, strict=True)]
        return 0

    def set_service(self, command: int, key: bytes, service: Attributes) -> int:
        """ip_vs_add_service, ip_vs_edit_service"""
        if command == 1 and key in self.services:
            return errno.EEXIST
        if service[6].rstrip(b"\0").decode() not in (*self.schedulers, "none"):
            return errno.ENOENT
        if struct.unpack("=H", service[1]) == (10,) and not 1 <= struct.unpack("=I", service[9])[0] <= 128:
            return errno.EINVAL
        old = struct.unpack("=I", self.services[key][7][:4])[0] if key in self.services else 0
        flags, mask = struct.unpack("=II", service[7])
        self.services[key] = {**service, 7: struct.pack("=I", old & ~mask | flags & mask)}
        self.dests.setdefault(key, {})
        return 0

    def set_dest(self, command: int, key: bytes, dest: Attributes) -> int:
        """ip_vs_add_dest, ip_vs_edit_dest, ip_vs_del_dest"""
        dests = self.dests[key]
        identity = dest[11] + dest[1] + dest[2]
        if command == 5 and identity in dests:
            return errno.EEXIST
        if command != 5 and identity not in dests:
            return errno.ENOENT
        if command == 7:
            del dests[identity]
            return 0
        if dest[11] != key[:2] and struct.unpack("=I", dest[3])[0] & 7 != 2:
            return errno.EINVAL
        lower, upper = struct.unpack("=I", dest[6])[0], struct.unpack("=I", dest[5])[0]
        if lower > upper:
            return errno.ERANGE
        counters = {kind: value for kind, value in dests.get(identity, {}).items() if kind in (7, 8, 9)}
        dests[identity] = {**dest, **counters}
        return 0

    def connect(self, address: bytes, active: int, inactive: int = 0, persistent: int = 0) -> None:
        """Give the destinations of that address so many connections."""
        for dests in self.dests.values():
            for dest in dests.values():
                if dest[1].startswith(address):
                    counts = (active, inactive, persistent)
                    dest.update({7 + nth: struct.pack("=I", count) for nth, count in enumerate(counts)})
