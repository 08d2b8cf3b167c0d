# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who uses a kernel module without being one: the virtual servers of IPVS. Pure. Private to this collection."""

from __future__ import annotations

import ipaddress

_PREFIX = "ip_vs"


def parse_ip_vs(text: str) -> tuple[tuple[str, str], ...]:
    """C(/proc/net/ip_vs) as (scheduler, virtual server as people write it). Other lines are passed over.

    A virtual server is C(TCP  C0000201:0050 rr), C(UDP  [2001:0db8:...]:0035 sh) or C(FWM  00000007 wlc); ports and
    IPv4 addresses in hex (C(ip_vs_info_seq_show) in C(net/netfilter/ipvs/ip_vs_ctl.c)).
    """
    rows = (line.split() for line in text.splitlines())
    return tuple(
        (row[2], f"{row[0].lower()} {_place(row[1])}")
        for row in rows
        if len(row) >= 3 and row[0] in ("TCP", "UDP", "SCTP", "FWM")
    )


def _place(text: str) -> str:
    address, colon, port = text.rpartition(":")
    try:
        if not colon:
            return str(int(text, 16))
        if address.startswith("["):
            return f"[{ipaddress.IPv6Address(address[1:-1])}]:{int(port, 16)}"
        return f"{ipaddress.IPv4Address(int(address, 16))}:{int(port, 16)}"
    except ValueError:
        return text


def users_of(name: str, virtual_servers: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The virtual servers that keep a module in the kernel: all of them for ip_vs, those that it schedules for a scheduler."""
    return tuple(words for scheduler, words in virtual_servers if name in (_PREFIX, f"{_PREFIX}_{scheduler}"))
