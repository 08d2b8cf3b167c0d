# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual servers and their real servers (destinations) as values. Private to this collection.

Names and numbers are those of the kernel's C(include/uapi/linux/ip_vs.h). The values are named tuples, frozen like
the dataclasses elsewhere: a node with 5,000 Services has 20,000 of them, made twice a run, and a tuple is made and
compared several times as fast.
"""

from __future__ import annotations

import socket
import typing as t
from enum import IntEnum

IPV4 = int(socket.AF_INET)
IPV6 = int(socket.AF_INET6)

PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}
FORWARD_METHODS = {"masquerade": 0, "tunnel": 2, "direct": 3}
TUNNEL = FORWARD_METHODS["tunnel"]
MASQUERADE = FORWARD_METHODS["masquerade"]
TUNNEL_TYPES = {"ipip": 0, "gue": 1, "gre": 2}
TUNNEL_FLAGS = {"nocsum": 0, "csum": 1, "remcsum": 2}

PERSISTENT = 0x1
ONE_PACKET = 0x4
SCHEDULER_FLAG_1 = 0x8
SCHEDULER_FLAG_2 = 0x10
SCHEDULER_FLAG_3 = 0x20
#: The flags that are the user's. The kernel sets one more of its own, IP_VS_SVC_F_HASHED (0x2): it says nothing.
SETTABLE_FLAGS = PERSISTENT | ONE_PACKET | SCHEDULER_FLAG_1 | SCHEDULER_FLAG_2 | SCHEDULER_FLAG_3

#: C(net/netfilter/ipvs/ip_vs_*.c) of Linux 7.2; C(none) schedules nothing (since 4.2).
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos", "none")

#: The names that C(ipvsadm --sched-flags) has, and C(one-packet) for its C(--ops).
FLAGS = {
    "one-packet": ONE_PACKET,
    "flag-1": SCHEDULER_FLAG_1,
    "flag-2": SCHEDULER_FLAG_2,
    "flag-3": SCHEDULER_FLAG_3,
    "sh-fallback": SCHEDULER_FLAG_1,
    "sh-port": SCHEDULER_FLAG_2,
    "mh-fallback": SCHEDULER_FLAG_1,
    "mh-port": SCHEDULER_FLAG_2,
}

WHOLE_ADDRESS = {IPV4: 0xFFFFFFFF, IPV6: 128}


class ServerKey(t.NamedTuple):
    """What makes a virtual server the one it is: protocol, address and port, or a firewall mark.

    C(address) is packed (4 or 16 bytes). With a C(fwmark) the protocol and port are 0 and the address is empty.
    """

    family: int
    protocol: int
    address: bytes
    port: int
    fwmark: int

    def __str__(self) -> str:
        family = "IPv6 " if self.family == IPV6 else ""
        if self.fwmark:
            return f"{family}fwmark {self.fwmark}"
        return f"{protocol_name(self.protocol).upper()} {endpoint(self.address, self.port)}"


class RealServer(t.NamedTuple):
    """A destination of a virtual server.

    C(address) and C(port) identify it; C(connections) (active and inactive ones) is what was seen, not a setting.
    """

    address: bytes
    port: int
    weight: int = 1
    forward_method: int = MASQUERADE
    upper_threshold: int = 0
    lower_threshold: int = 0
    tunnel_type: int = 0
    tunnel_port: int = 0
    tunnel_flags: int = 0
    connections: int = 0

    @property
    def identity(self) -> tuple[bytes, int]:
        return self[:2]

    @property
    def settings(self) -> tuple[t.Any, ...]:
        return self[:9]

    @property
    def family(self) -> int:
        return IPV4 if len(self.address) == 4 else IPV6

    @property
    def draining(self) -> bool:
        """Gets no new connection and still has old ones: how kube-proxy and operators take a destination away."""
        return not self.weight and self.connections > 0

    def __str__(self) -> str:
        return endpoint(self.address, self.port)


class VirtualServer(t.NamedTuple):
    """A virtual server with its destinations.

    C(flags) holds only L(SETTABLE_FLAGS). C(timeout) is the persistence in seconds. C(netmask) is the mask of an IPv4
    persistence as a number, for IPv6 the length of the prefix. C(engine) is the persistence engine or empty.
    """

    key: ServerKey
    scheduler: str = "rr"
    flags: int = 0
    timeout: int = 0
    netmask: int = 0xFFFFFFFF
    engine: str = ""
    real_servers: tuple[RealServer, ...] = ()

    @property
    def settings(self) -> tuple[t.Any, ...]:
        """All that one message of the kernel sets; without persistence its timeout and mask mean nothing."""
        if self.flags & PERSISTENT:
            return self[1:6]
        return (self.scheduler, self.flags, 0, 0, self.engine)


class Verb(IntEnum):
    """What can be done to a virtual server or a destination. The numbers are the kernel's C(IPVS_CMD_*)."""

    ADD_SERVER = 1
    EDIT_SERVER = 2
    REMOVE_SERVER = 3
    ADD_REAL = 5
    EDIT_REAL = 6
    REMOVE_REAL = 7


class Operation(t.NamedTuple):
    """One message to the kernel. C(real) is there when the verb is about a destination."""

    verb: Verb
    server: VirtualServer
    real: RealServer | None = None

    def __str__(self) -> str:
        what = "add" if self.verb in (1, 5) else "edit" if self.verb in (2, 6) else "remove"
        if self.real is None:
            return f"{what} {self.server.key}"
        return f"{what} real server {self.real} of {self.server.key}"


Servers = t.Mapping[ServerKey, VirtualServer]


class Timeouts(t.NamedTuple):
    """Seconds without a packet after which the kernel forgets a connection: of TCP, of TCP after a FIN, of UDP.

    As a wish, 0 leaves one as it is; the kernel takes it the same way (C(ip_vs_set_timeout)).
    """

    tcp: int = 0
    tcp_fin: int = 0
    udp: int = 0

    def over(self, present: Timeouts) -> Timeouts:
        """What the kernel has after being told these."""
        return Timeouts(*(wish or seconds for wish, seconds in zip(self, present)))


#: C(tcp_timeouts) and C(udp_timeouts) in C(net/netfilter/ipvs/ip_vs_proto_*.c): what ip_vs starts with.
DEFAULT_TIMEOUTS = Timeouts(900, 120, 300)


class SetTimeouts(t.NamedTuple):
    """One message to the kernel: C(seconds) has 0 for what stays."""

    seconds: Timeouts

    def __str__(self) -> str:
        return "set timeouts"


Change = t.Union[Operation, SetTimeouts]


class Table(t.NamedTuple):
    """What IPVS holds. C(timeouts) is None where nobody asked for them."""

    servers: Servers
    timeouts: Timeouts | None = None


def address_text(address: bytes) -> str:
    return socket.inet_ntop(IPV4 if len(address) == 4 else IPV6, address)


def endpoint(address: bytes, port: int) -> str:
    """As the field writes it: C(10.96.0.1:443), C([fd00::1]:443)."""
    text = address_text(address)
    return f"{text}:{port}" if len(address) == 4 else f"[{text}]:{port}"


def name_of(number: int, names: t.Mapping[str, int]) -> str:
    """The name of a kernel number, or the number itself where a newer kernel has more than we know."""
    return next((name for name, known in names.items() if known == number), str(number))


_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


def protocol_name(number: int) -> str:
    return _PROTOCOL_NAMES.get(number) or str(number)


def flag_names(scheduler: str, flags: int) -> list[str]:
    """The set flags, in the words of their scheduler (C(mh-port) rather than C(flag-2))."""
    prefix = scheduler if scheduler in ("sh", "mh") else "flag"
    return [
        name
        for name, bit in FLAGS.items()
        if flags & bit and (bit in (ONE_PACKET, SCHEDULER_FLAG_3) or name.startswith(prefix + "-"))
    ]


def netmask_text(server: VirtualServer) -> str:
    if server.key.family == IPV6:
        return str(server.netmask)
    return socket.inet_ntoa(server.netmask.to_bytes(4, "big"))
