# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a snapshot of a node is: its parts, their form, and how to know one again. Pure. Private to this collection.

Texts of rulesets are kept as the node's own tools print them, without what changes by itself (counters, dates, the age of
elements), so that two snapshots of an unchanged node are equal.

Sources for the sysctls: C(NewProxier) in C(pkg/proxy/ipvs/proxier.go) and C(pkg/proxy/iptables/proxier.go), C(setSysctls) in
C(pkg/proxy/conntrack/sysctls.go) of 1.37. C(EnsureSysctl) keeps no record of what there was before.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput

FORMAT = 1
NODE = "node"
CLUSTER = "cluster"

SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.vs.conntrack",
    "net.ipv4.vs.conn_reuse_mode",
    "net.ipv4.vs.expire_nodest_conn",
    "net.ipv4.vs.expire_quiescent_template",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_udp_timeout",
    "net.netfilter.nf_conntrack_udp_timeout_stream",
)
"""What kube-proxy sets in one of its modes, or by its C(conntrack) settings; all of them are whole numbers."""

_COUNTERS = re.compile(r" \[\d+:\d+\]$")
_AGE = re.compile(r" expires [0-9a-z]+")

Object = t.Mapping[str, t.Any]


def sysctl_path(name: str) -> str:
    """The file of a sysctl."""
    return "/proc/sys/" + name.replace(".", "/")


def ruleset_of(lines: t.Iterable[str]) -> str:
    """What iptables-save prints, without the dates and the counters of chains.

    The line by which iptables-nft-save says that it cannot show a table stays.
    """
    kept = (line.rstrip("\n") for line in lines)
    return "".join(
        f"{_COUNTERS.sub('', line) if line.startswith(':') else line}\n"
        for line in kept
        if line and (not line.startswith("#") or line.startswith("# Table `"))
    )


def nft_text_of(text: str) -> str:
    """What C(nft -s list table) prints, without the age of elements."""
    return _AGE.sub("", text)


def require(value: t.Any, kind: str) -> Object:
    """A snapshot of this kind.

    :raises InvalidInput: for anything else
    """
    remedy = f"Give a file of a folder that the role switch has made in switch_snapshot_dir ({kind}'s snapshot)."
    if not isinstance(value, t.Mapping) or value.get("kind") not in (NODE, CLUSTER):
        raise InvalidInput("This is not a snapshot", remedy=remedy)
    if value["kind"] != kind:
        raise InvalidInput(f"This is the snapshot of a {value['kind']}, and not of a {kind}", remedy=remedy)
    if value.get("format") != FORMAT:
        raise InvalidInput(
            "This snapshot is of another release of this collection",
            f"its format is {value.get('format')!r}, and this release reads format {FORMAT}",
            "Restore it with the release that made it.",
        )
    return value
