# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy should have programmed in ipvs mode. Pure. Private to this collection.

Source: C(syncProxyRules), C(syncService) and C(syncEndpoint) in C(pkg/proxy/ipvs/proxier.go), 1.34 to 1.37. The virtual
servers themselves are those of C(_service_model_ipvs).
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected_ipsets import ipset_parts
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Part
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import bound_by, claims_of

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Entry
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model import ServicePort
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node


def claims(ports: t.Iterable[ServicePort], node: Node) -> t.Iterator[Entry]:
    """What the Service ports ask for."""
    for port in ports:
        yield from claims_of(port, node)


def parts(ports: t.Sequence[ServicePort], node: Node) -> dict[Part, dict[str, str]]:
    """The ipsets, and the addresses of kube-ipvs0."""
    found = ipset_parts(ports, node)
    for family in node.families:
        found[Part("device_addresses", family)] = {}
    for address, service in bound_by(ports, node.addresses).items():
        found[Part("device_addresses", 6 if ":" in address else 4)][address] = service
    return found
