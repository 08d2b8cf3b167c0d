# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses that kube-ipvs0 should hold."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import decode
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import bound_addresses


def ipvs_addresses(state: str, links: t.Any) -> list[str]:
    """The addresses that kube-proxy in ipvs mode should have put on kube-ipvs0 of the node with these links."""
    try:
        return bound_addresses(decode(state), links)
    except KubeProxyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"ipvs_addresses": ipvs_addresses}
