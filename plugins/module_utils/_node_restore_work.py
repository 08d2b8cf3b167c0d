# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Giving a node back what a snapshot of it has: the work of the module C(node_restore). Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import ServerKey
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import TABLE, read_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_session import Session
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_restore import (
    NodePlan,
    NodeState,
    Restore,
    SetSysctl,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_snapshot import sysctl_path
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_snapshot_read import read_kube_proxy_sysctls


@dataclass(frozen=True)
class NodeWork:
    """One node. C(connect) and C(table) are injected by tests."""

    restore: Restore
    files: Files
    connect: t.Callable[[], Ipvs] = Ipvs
    table: str = TABLE

    def read(self) -> NodeState:
        return NodeState(read_kube_proxy_sysctls(self.files, self.restore.sysctls), self._servers())

    def _servers(self) -> t.Mapping[ServerKey, t.Any]:
        """Which virtual servers there are; what is behind them does not matter."""
        if not self.restore.servers.servers:
            return {}
        return read_table(self.connect, self.table, select=lambda _key: False).servers

    def apply(self, plan: NodePlan) -> None:
        """The sysctls, then the virtual servers, which are confirmed with all that is behind them."""
        for step in plan.operations:
            if isinstance(step, SetSysctl):
                write_sysctl(self.files, step)
        missing = self.restore.missing(self.read())
        if missing.servers:
            converge(Session(missing, self.connect, self.table).steps(), check_mode=False)

    def result(self, plan: NodePlan) -> dict[str, t.Any]:
        return {
            "made": [str(key) for key in plan.after.servers],
            "unknown_sysctls": self.restore.unknown(self.read()),
        }


def write_sysctl(files: Files, setting: SetSysctl) -> None:
    """Set one sysctl until the next boot, as kube-proxy does.

    :raises KubeProxyError: when the kernel refuses
    """
    path = sysctl_path(setting.name)
    try:
        with open(files.path(path), "w", encoding="ascii") as file:
            file.write(setting.value)
    except OSError as error:
        raise KubeProxyError(
            f"Cannot set {setting.name} to {setting.value}",
            error.strerror or str(error),
            f"Set it by hand (sysctl -w {setting.name}={setting.value}); in a container {path} may be read-only.",
        ) from error
