# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node by its name in the API. Private to this collection."""

from __future__ import annotations

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of


def require_node(api: kube.KubeApi, name: str) -> None:
    """Raise with the names that there are when there is no such node."""
    if api.find(kube.node(name)) is None:
        names = ", ".join(sorted(name_of(one) for one in api.list_all(kube.NODES)))
        raise InvalidInput(
            f"There is no node {name}", f"the cluster's nodes are {names}", "Use a Node's name in the API."
        )
