# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads how the kernel is set, without changing anything or loading a module. Private to this collection.

Sources: C(net/netfilter/nf_conntrack_standalone.c) (the count and the limit under /proc/sys), C(ip_vs_control_net_init) in
C(net/netfilter/ipvs/ip_vs_ctl.c) (/proc/net/ip_vs is there exactly while ip_vs is).
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_model import Kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import TABLE
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_read import read_sysctls

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import Timeouts
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

Value = t.TypeVar("Value")


def read_kernel(files: Files, connect: t.Callable[[], Ipvs] = Ipvs) -> Kernel:
    """The kernel's release, settings, counters and timeouts of IPVS. What could not be read is told, and missing."""
    unread: dict[str, None] = {}

    def attempt(read: t.Callable[[], Value]) -> Value | None:
        try:
            return read()
        except KubeProxyError as error:
            unread[str(error)] = None
            return None

    release = attempt(lambda: files.text("/proc/sys/kernel/osrelease")) or ""
    sysctls = attempt(lambda: read_sysctls(files)) or {}
    timeouts = attempt(lambda: _read_timeouts(files, connect))
    return Kernel(release.strip(), sysctls, timeouts, tuple(unread))


def _read_timeouts(files: Files, connect: t.Callable[[], Ipvs]) -> Timeouts | None:
    # Asking for the netlink family of IPVS would load ip_vs.
    if not files.exists(TABLE):
        return None
    with connect() as ipvs:
        return ipvs.timeouts()
