# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virtual servers that kube-proxy would destroy."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import foreign
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import parse_addresses

MODES = ("iptables", "ipvs", "nftables")


def foreign_virtual_servers(
    actual: list[dict[str, t.Any]],
    expected: list[dict[str, t.Any]],
    excluded_cidrs: t.Sequence[str] = (),
    links: t.Any = (),
    mode: str = "ipvs",
) -> list[dict[str, t.Any]]:
    """Virtual servers of a node's kernel that are no Service's and that kube-proxy in C(mode) would remove."""
    if mode not in MODES:
        raise AnsibleFilterError(f"mode must be one of {', '.join(MODES)}: it is {mode!r}.")
    try:
        return foreign(actual, expected, mode, excluded_cidrs, map(str, parse_addresses(links).bound))
    except KubeProxyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"foreign_virtual_servers": foreign_virtual_servers}
