# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the per-Service chains that kube-proxy writes in iptables mode. Private to this collection.

Source: C(portProtoHash) and C(servicePortEndpointChainName) in pkg/proxy/iptables/proxier.go, equal in every release
since 1.1. C(KUBE-XLB-) is what C(KUBE-EXT-) was called until 1.23.
"""

from __future__ import annotations

import base64
import hashlib

SERVICE_KINDS = ("SVC", "SVL", "EXT", "FW", "XLB")
"""Kinds of chain that exist once per Service port: they share the same 16 characters."""

SERVICE_CHAIN_PATTERN = "KUBE-(?:SVC|SVL|SEP|EXT|FW|XLB)-[A-Z2-7]{16}"
"""What such a name looks like, as a regular expression for the whole name."""


def service_port_name(namespace: str, name: str, port_name: str = "") -> str:
    """C(namespace/name:port), or C(namespace/name) without a colon for a port that has no name."""
    return f"{namespace}/{name}:{port_name}" if port_name else f"{namespace}/{name}"


def join_host_port(address: str, port: int) -> str:
    """An endpoint as Go's C(net.JoinHostPort) writes it: IPv6 addresses in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def service_chain(kind: str, port: str, protocol: str) -> str:
    """The name of a chain that exists once per Service port.

    :param kind: one of :data:`SERVICE_KINDS`
    :param port: what :func:`service_port_name` returned
    :param protocol: C(tcp), C(udp) or C(sctp) in any case: kube-proxy hashes the lower case
    """
    return f"KUBE-{kind}-{_suffix(port + protocol.lower())}"


def endpoint_chain(port: str, protocol: str, endpoint: str) -> str:
    """The name of the chain of one endpoint of a Service port.

    :param endpoint: what :func:`join_host_port` returned; the port is the EndpointSlice's, not the Service's
    """
    return f"KUBE-SEP-{_suffix(port + protocol.lower() + endpoint)}"


def _suffix(text: str) -> str:
    # 16 characters of base32 are 10 bytes: the rest of the digest need not be encoded.
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return base64.b32encode(digest[:10]).decode("ascii")
