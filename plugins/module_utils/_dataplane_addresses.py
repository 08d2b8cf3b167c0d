# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the entries of an expected dataplane answer on a node. Pure. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected_policy import (
    ALL_LOCAL,
    LOCAL_EXCEPT_LOOPBACK,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Part

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Dataplane, Entry
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node


def answers_on(entry: Entry, dataplane: Dataplane, node: Node) -> list[str]:
    """The addresses of an entry: its own, or for a NodePort of a mode that matches the node's addresses by one rule each of
    them that is there. Of those that a link alone knows none, see C(_dataplane_look.read_node_addresses)."""
    family, address, _protocol, _port = entry.key
    if address:
        return [address]
    members = dataplane.parts.get(Part("node_port_addresses", family), {})
    if ALL_LOCAL not in members and LOCAL_EXCEPT_LOOPBACK not in members:
        return list(members)
    everywhere = dict.fromkeys([*node.addresses.own, *node.addresses.bound])
    with_loopback = ALL_LOCAL in members
    return [str(one) for one in everywhere if one.version == family and (with_loopback or not one.is_loopback)]
