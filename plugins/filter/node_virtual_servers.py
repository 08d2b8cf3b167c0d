# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virtual servers that a node should have."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import decode
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import node_of

MODES = ("iptables", "ipvs", "nftables")


def node_virtual_servers(state: str, node: str, links: t.Any, mode: str = "ipvs") -> list[dict[str, t.Any]]:
    """What kube-proxy should have programmed into IPVS on that node: nothing unless its mode is ipvs."""
    if mode not in MODES:
        raise AnsibleFilterError(f"mode must be one of {', '.join(MODES)}: it is {mode!r}.")
    try:
        cluster = decode(state)
        return virtual_servers(cluster, node_of(cluster, node, links)) if mode == "ipvs" else []
    except KubeProxyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"node_virtual_servers": node_virtual_servers}
