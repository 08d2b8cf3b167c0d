# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of chains against those computed by kube-proxy: its own tests' expectations and dumps of real clusters."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import (
    SERVICE_CHAIN_PATTERN,
    SERVICE_KINDS,
    endpoint_chain,
    join_host_port,
    service_chain,
    service_port_name,
)


@pytest.mark.parametrize(
    ("namespace", "name", "port", "protocol", "chain"),
    [
        ("default", "httpservice", "http", "tcp", "KUBE-SVC-PZZOH4GMXQXQLAH7"),
        ("default", "kubernetes", "https", "tcp", "KUBE-SVC-NPX46M4PTMTKRN6Y"),
        ("kube-system", "kube-dns", "dns", "udp", "KUBE-SVC-TCOU7JCQXEZGVUNU"),
        ("kube-system", "kube-dns", "dns-tcp", "tcp", "KUBE-SVC-ERIFXISQEP7F7OF4"),
        ("kube-system", "kube-dns", "metrics", "tcp", "KUBE-SVC-JD5MR3NA4I4DYORP"),
        ("default", "nginx", "", "tcp", "KUBE-SVC-2CMXP7HKUVJN7L6M"),
        # TestOverallIPTablesRules of Kubernetes 1.37.2
        ("ns1", "svc1", "p80", "tcp", "KUBE-SVC-XPGD46QRK7WJZT7O"),
        ("ns2", "svc2", "p80", "tcp", "KUBE-EXT-GNZBNJ2PO5MGZ6GT"),
        ("ns5", "svc5", "p80", "tcp", "KUBE-FW-NUKIZ6OKUXPJNT4C"),
        # The API writes TCP, kube-proxy hashes tcp.
        ("default", "kubernetes", "https", "TCP", "KUBE-SVC-NPX46M4PTMTKRN6Y"),
    ],
)
def test_chain_of_a_service_port(namespace: str, name: str, port: str, protocol: str, chain: str) -> None:
    kind = chain.split("-")[1]
    assert service_chain(kind, service_port_name(namespace, name, port), protocol) == chain


@pytest.mark.parametrize(
    ("port", "protocol", "address", "number", "chain"),
    [
        ("default/httpservice:http", "tcp", "192.168.178.7", 8080, "KUBE-SEP-SHRHPIF6JJVVZWAJ"),
        ("default/httpservice:http", "tcp", "fd00:10:244::7", 8080, "KUBE-SEP-BVDIN6GFO72DY3DB"),
        ("ns1/svc1:p80", "tcp", "10.180.0.1", 80, "KUBE-SEP-SXIVWICOYRO3J4NJ"),
        ("ns4/svc4:p80", "TCP", "10.180.0.5", 80, "KUBE-SEP-C6EBXVWJJZMIWKLZ"),
    ],
)
def test_chain_of_an_endpoint(port: str, protocol: str, address: str, number: int, chain: str) -> None:
    assert endpoint_chain(port, protocol, join_host_port(address, number)) == chain


@given(st.sampled_from(SERVICE_KINDS), st.text(), st.text(), st.text(), st.sampled_from(["tcp", "udp", "sctp"]))
def test_every_name_has_the_shape_and_fits_into_a_chain_name(
    kind: str, namespace: str, name: str, port: str, protocol: str
) -> None:
    chain = service_chain(kind, service_port_name(namespace, name, port), protocol)
    assert re.fullmatch(SERVICE_CHAIN_PATTERN, chain)
    assert len(chain) <= 28
