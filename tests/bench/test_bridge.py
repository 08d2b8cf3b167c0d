# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge for many Services, beside what nft alone takes for the same tables."""

from __future__ import annotations

import ipaddress
import json
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as cluster_state
from tests.labkit import Node
from tests.labkit.on_node import send_code
from tests.labkit.tables import Table, seconds
from tests.unit.plugins.kube_services import endpoint, endpoint_slice, service
from tests.unit.plugins.kube_services import node as api_node

SIZES = (1000, 2000, 10000)
ENDPOINTS = 4
ROUNDS = 3
PROGRAM, STATE = "bridge_timer.py", "state.txt"
COLUMNS = ("Services", "nft -f alone", "Rendered and loaded", "Ratio", "Of that rendered", "Memory")


@pytest.fixture(scope="module")
def rows(table: t.Callable[..., Table]) -> Table:
    return table(f"A bridge, Services with {ENDPOINTS} endpoints each", *COLUMNS)


def cluster(size: int) -> str:
    addresses = map(str, ipaddress.ip_network("10.96.0.0/16").hosts())
    pods = map(str, ipaddress.ip_network("10.128.0.0/14").hosts())
    services = [service(f"default/bench-{number}", clusterIP=next(addresses)) for number in range(size)]
    slices = [
        endpoint_slice(*(endpoint(next(pods), "cp1") for _ in range(ENDPOINTS)), name=f"default/bench-{number}")
        for number in range(size)
    ]
    config = {"clusterCIDR": "10.128.0.0/14", "detectLocalMode": "ClusterCIDR"}
    return cluster_state.encode(
        cluster_state.build(services, slices, [api_node("cp1", addresses=["10.34.0.10"])], config, "1.37")
    )


@pytest.mark.parametrize("size", SIZES)
def test_a_bridge_is_put_up(node: Node, rows: Table, size: int) -> None:
    folder = send_code(node, PROGRAM)
    node.run(f"cat > {folder}/{STATE}", cluster(size))
    try:
        found = json.loads(node.run(f"cd {folder} && python3 {PROGRAM} compare {STATE} {ROUNDS}"))
        names = node.run("nft -t list table ip netops-kube-proxy-bridge | grep -c 'chain service-'").strip()
    finally:
        node.attempt("nft delete table ip netops-kube-proxy-bridge; nft delete table ip6 netops-kube-proxy-bridge")
        node.run(f"rm -rf {folder}")
    ratio = found["seconds"] / found["nft"]
    rows.add(
        *(f"{size:,}", seconds(found["nft"]), seconds(found["seconds"]), f"{ratio:.2f}"),
        *(seconds(found["rendered"]), f"{found['megabytes']:.0f} MB"),
    )
    assert int(names) == size
    if size == max(SIZES):
        assert ratio < 1.5
