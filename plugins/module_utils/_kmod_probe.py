# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a kernel has inside, where no list says it. Pure. Private to this collection.

A kernel without loadable modules often comes without /lib/modules, and a container sees the host's kernel but not its
files. What works is there, and so is what has left its code. Only files are read, so that looking loads nothing.
"""

from __future__ import annotations

import typing as t

# Files that the code itself makes: its presence in action.
_TRACES = {
    "br_netfilter": "/proc/sys/net/bridge",
    "ip_vs": "/proc/net/ip_vs",
    "nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_max",
}

# Functions that start a module, where its name does not tell theirs (from the kernel's sources, 5.10 to 7.2).
_STARTERS = {
    "dummy": "dummy_init_module",
    "ip6t_REJECT": "reject_tg6_init",
    "ipt_REJECT": "reject_tg_init",
    "nf_conntrack": "nf_conntrack_standalone_init",
    "nft_fib_ipv4": "nft_fib4_module_init",
    "nft_fib_ipv6": "nft_fib6_module_init",
    "nft_numgen": "nft_ng_module_init",
    "overlay": "ovl_init",
    "xt_MASQUERADE": "masquerade_tg_init",
}


def starters_of(name: str) -> frozenset[str]:
    """The functions of which a kernel that has this module inside has at least one."""
    found = {f"{name}_init", f"{name}_module_init"}
    if name in _STARTERS:
        found.add(_STARTERS[name])
    if name.startswith("ip_set_"):
        found.add(f"{name[len('ip_set_') :]}_init")
    if name.startswith("xt_"):
        found.add(f"{name[len('xt_') :]}_mt_init")
    return frozenset(found)


def parse_kallsyms(text: str) -> frozenset[str]:
    """Names of C(/proc/kallsyms): C(ffffffff81000000 T _stext), behind it C([module]) for code that was loaded."""
    rows = (line.split() for line in text.splitlines())
    return frozenset(row[2] for row in rows if len(row) == 3)


def is_inside(name: str, exists: t.Callable[[str], bool], symbols: t.Callable[[], frozenset[str]]) -> bool:
    """Whether the kernel itself does what this module would do.

    :param exists: whether the node has a file
    :param symbols: the kernel's own symbols; read only when no file tells
    """
    trace = _TRACES.get(name)
    return (trace is not None and exists(trace)) or not starters_of(name).isdisjoint(symbols())
