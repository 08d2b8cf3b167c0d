# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talking to the kernel's IPVS over a netlink socket. Private to this collection.

Opening a connection looks the family up, and that loads the module ip_vs where it is missing: whoever only reads goes
through C(_ipvs_read), which looks first.
"""

from __future__ import annotations

import errno
import os
import socket
import typing as t
from itertools import repeat

from ansible_collections.netops.kube_proxy.plugins.module_utils import _ipvs_codec as codec
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    Change,
    RealServer,
    ServerKey,
    Servers,
    Timeouts,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_socket import Socket, open_socket
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wire import (
    FLAG_ACK,
    FLAG_DUMP_INTERRUPTED,
    TYPE_DONE,
    TYPE_ERROR,
    Buffer,
    MalformedReply,
    Message,
    error_of,
    messages,
    status_of,
)

#: The kernel works a whole send off before it returns; this many keep its answers well inside the smallest receive buffer.
BATCH = 128
READ_ATTEMPTS = 5
LIST_ATTEMPTS = 20
#: The kernel makes no answer larger than 32 KiB (C(netlink_dump) in C(net/netlink/af_netlink.c)).
_LARGEST_ANSWER = 64 << 10

Take = t.Callable[[Buffer, Message], None]

NEEDS_ROOT = "This needs root (the capability CAP_NET_ADMIN): set become: true."
NO_IPVS = "Load the module ip_vs first: netops.kube_proxy.ipvs_module_loaded names the package that has it."


class Failure(t.NamedTuple):
    """An operation that the kernel refused: its C(errno), and its own words where it has any."""

    operation: Change
    code: int
    words: str


class Refused(Exception):
    """The kernel's answer to a question was an error."""

    def __init__(self, code: int, words: str = "") -> None:
        self.code = code
        self.words = words or os.strerror(code)
        super().__init__(self.words)


class Ipvs:
    """A connection to the kernel's IPVS. Its methods raise L(KubeProxyError) only."""

    def __init__(self, connect: t.Callable[[], Socket] = open_socket) -> None:
        self._sequence = 0
        self._buffer = bytearray(_LARGEST_ANSWER)
        self._family = 0
        self._received = 0
        self._interrupted = False
        try:
            self._socket = connect()
        except OSError as error:
            raise KubeProxyError("Cannot open a netlink socket", str(error)) from error
        self._query("Cannot find IPVS in this kernel", codec.family_request, self._take_family)

    def __enter__(self) -> Ipvs:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._socket.close()

    def read(
        self, select: t.Callable[[ServerKey], bool] | None = None, known: Servers | None = None
    ) -> dict[ServerKey, VirtualServer]:
        """All virtual servers, each with its destinations.

        :param select: says whose destinations are read; those of the others are taken from C(known), an earlier reading
        """
        for _attempt in range(READ_ATTEMPTS):
            servers = self._read_once(select or (lambda _key: True), known or {})
            if servers is not None:
                return servers
        raise KubeProxyError(
            "Cannot read the virtual servers",
            f"they changed during each of {READ_ATTEMPTS} attempts",
            "Something rewrites them all the time: stop it, or run again.",
        )

    def apply(self, operations: t.Sequence[Change]) -> list[Failure]:
        """Carry out all operations in their order and return those that the kernel refused."""
        failures: list[Failure] = []
        for start in range(0, len(operations), BATCH):
            failures += self._apply_batch(operations[start : start + BATCH])
        return failures

    def timeouts(self) -> Timeouts:
        """The timeouts of all connections."""
        found: list[Timeouts] = []
        self._query(
            "Cannot read the timeouts of IPVS",
            lambda sequence: codec.timeouts_request(self._family, sequence),
            lambda buffer, message: found.append(codec.read_timeouts(buffer, message)),
        )
        return found[0] if found else Timeouts()

    def _take_family(self, buffer: Buffer, message: Message) -> None:
        self._family = codec.read_family(buffer, message)

    def _read_once(
        self, select: t.Callable[[ServerKey], bool], known: Servers
    ) -> dict[ServerKey, VirtualServer] | None:
        """The table, or nothing when it changed while it was read, so that its parts may not fit together."""
        servers: dict[ServerKey, VirtualServer] = {}
        self._interrupted = False
        for head in self._list_twice():
            if select(head.key):
                servers[head.key] = head._replace(real_servers=self.read_real_servers(head.key))
            else:
                earlier = known.get(head.key, head)
                servers[head.key] = head._replace(real_servers=earlier.real_servers)
        return None if self._interrupted else servers

    def _list_twice(self) -> list[VirtualServer]:
        """The virtual servers without their destinations.

        The kernel walks its hash table anew for each answer and skips as many as it has told already
        (C(ip_vs_genl_dump_services)). Where the table grows while it fills (seen on Linux 7.2), some are told twice and
        others not at all when that happens between two answers, and no flag says so. Hence two lists in a row that agree.
        """
        heads, in_one = self._list()
        left = LIST_ATTEMPTS
        while not in_one:
            before = {head.key for head in heads}
            heads, in_one = self._list()
            if len(heads) == len(before) and all(head.key in before for head in heads):
                break
            left -= 1
            if not left:
                self._interrupted = True
                break
        return heads

    def _list(self) -> tuple[list[VirtualServer], bool]:
        """One list, and whether it came in one answer."""
        heads: list[VirtualServer] = []
        answers: set[int] = set()

        def take(buffer: Buffer, message: Message) -> None:
            heads.append(codec.read_server(buffer, message))
            answers.add(self._received)

        self._query(
            "Cannot read the virtual servers", lambda sequence: codec.dump_request(self._family, sequence), take
        )
        return heads, len(answers) <= 1

    def read_real_servers(self, key: ServerKey) -> tuple[RealServer, ...]:
        """The destinations of one virtual server; none when there is no such one."""
        found: list[RealServer] = []
        self._query(
            f"Cannot read the real servers of {key}",
            lambda sequence: codec.dump_request(self._family, sequence, key),
            lambda buffer, message: found.append(codec.read_real_server(buffer, message, key.family)),
        )
        return tuple(found)

    def _query(self, failed: str, build: t.Callable[[int], bytes], take: Take) -> None:
        try:
            self._ask(build, take)
        except Refused as error:
            if error.code == errno.ENOENT:
                raise KubeProxyError(failed, "the module ip_vs is not loaded and could not be", NO_IPVS) from error
            raise KubeProxyError(failed, str(error), NEEDS_ROOT if error.code == errno.EPERM else "") from error
        except (OSError, MalformedReply) as error:
            raise KubeProxyError(failed, str(error)) from error

    def _ask(self, build: t.Callable[[int], bytes], take: Take) -> None:
        self._sequence += 1
        self._socket.send(build(self._sequence))
        for message in self._answers(self._sequence):
            self._interrupted |= bool(message.flags & FLAG_DUMP_INTERRUPTED)
            if message.type not in (TYPE_ERROR, TYPE_DONE):
                take(self._buffer, message)
                continue
            code, words = (status_of if message.type == TYPE_DONE else error_of)(self._buffer, message)
            if code:
                raise Refused(code, words)
            return

    def _apply_batch(self, batch: t.Sequence[Change]) -> list[Failure]:
        first = self._sequence + 1
        last = self._sequence = self._sequence + len(batch)
        failures = []
        try:
            requests = list(map(codec.operation_request, repeat(self._family), range(first, last), batch))
            requests.append(codec.operation_request(self._family, last, batch[-1], FLAG_ACK))
            self._socket.send(b"".join(requests))
            for message in self._answers(first):
                code, words = error_of(self._buffer, message)
                if code:
                    failures.append(Failure(batch[message.sequence - first], code, words))
                if message.sequence == last:
                    break
        except (OSError, MalformedReply) as error:
            # Which of them failed is not known any more: reading the state again will tell.
            code = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
            return [Failure(operation, code, f"the kernel's answer was lost ({error})") for operation in batch]
        return failures

    def _answers(self, first: int) -> t.Iterator[Message]:
        """The messages that answer requests from the sequence number C(first) on; older ones are left-overs."""
        while True:
            size = self._socket.recv_into(self._buffer, 0, socket.MSG_TRUNC)
            self._received += 1
            if size > len(self._buffer):
                raise MalformedReply(f"an answer of {size} bytes where the kernel's limit is 32 KiB")
            for message in messages(self._buffer, size):
                if first <= message.sequence <= self._sequence:
                    yield message
