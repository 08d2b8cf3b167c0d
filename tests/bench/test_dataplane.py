# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel against API with many Services, beside the dumps that the field's own tools make of the same mode.

Measured inside the module, on a node where the real kube-proxy has programmed every Service: what Ansible takes to start any
module and to carry its arguments is left out. The tools write to files. kube-proxy and the API server share the node's one processor.
"""

from __future__ import annotations

import json
import os
import typing as t
from collections import Counter

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import decode, encode
from tests.labkit import Lab
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import state, wrong
from tests.labkit.modes import ADMIN, MODES, ManyServices
from tests.labkit.on_node import send_code
from tests.labkit.tables import Table, seconds

# A lab named so keeps its cluster and its Services for the next run.
KEPT = os.environ.get("DATAPLANE_LAB", "")
LAB = Lab(KEPT or "kubelab-dataplane", ("--workers", "0", "--memory-control-plane", "6144"))
SIZES = (1000, 2000, 5000)
ENDPOINTS = 4
ROUNDS = 5
# Of the cluster itself: kubernetes, and three of its DNS.
OTHERS = 4
PROGRAM = "dataplane_timer.py"
STATE, MOVED = "state.txt", "moved.txt"
COLUMNS = (
    "Services",
    "Mode",
    "All dumps of the mode",
    "The module",
    "Ratio",
    "Its memory",
    "Every endpoint is wrong: the module",
    "Its memory",
)

Figures = dict[str, t.Any]


@pytest.fixture(scope="module")
def services() -> t.Iterator[ManyServices]:
    if KEPT:
        LAB.up()
    else:
        LAB.bare()
    cluster = Cluster(LAB, ("cp1",))
    if cluster.control_plane.attempt(f"test -e {ADMIN}").rc != 0:
        done = LAB.playbook("playbooks/create_cluster.yml")
        assert done.rc == 0, done.output
        cluster.wait_for_dns()
    made = ManyServices(cluster, cluster.control_plane)
    made.prepare()
    yield made
    if not KEPT:
        LAB.down()


@pytest.fixture(scope="module")
def rows(table: t.Callable[..., Table]) -> Table:
    return table(f"service_dataplane_info, Services with {ENDPOINTS} endpoints each", *COLUMNS)


@pytest.fixture(scope="module")
def seen() -> dict[tuple[int, str], Figures]:
    """What was measured, by number of Services and mode."""
    return {}


def with_other_endpoints(text: str) -> str:
    """The state of a cluster in which no endpoint of our Services is one that the kernel knows."""
    found = decode(text)
    for one in found["slices"]:
        if one["service"].startswith("bench-"):
            one["endpoints"] = [f"198.51.100.{number}" for number in range(1, ENDPOINTS + 1)]
    return encode(found)


def measure(services: ManyServices, mode: str) -> Figures:
    node, text = services.node, state(services.cluster)
    folder = send_code(node, PROGRAM)
    node.run(f"cat > {folder}/{STATE}", text)
    node.run(f"cat > {folder}/{MOVED}", with_other_endpoints(text))
    try:
        found: Figures = json.loads(node.run(f"cd {folder} && python3 {PROGRAM} compare {mode} {STATE} {ROUNDS}"))
        found["moved"] = json.loads(node.run(f"cd {folder} && python3 {PROGRAM} look {MOVED}"))
    finally:
        node.run(f"rm -rf {folder}")
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_a_look(
    services: ManyServices, rows: Table, seen: dict[tuple[int, str], Figures], size: int, mode: str
) -> None:
    services.stop()
    services.grow(size, "fill", ENDPOINTS)
    services.start(mode)
    found = seen[size, mode] = measure(services, mode)
    dumps, taken, moved = sum(found["dumps"].values()), found["seconds"], found["moved"]
    rows.add(
        *(f"{size:,}", mode, seconds(dumps), seconds(taken), f"{taken / dumps:.2f}", memory(found)),
        *(seconds(moved["seconds"]), memory(moved)),
    )

    for result in found["results"]:
        assert wrong(result) == []
        assert (result["checked_mode"], result["running_mode"], result["kernel_modes"]) == (mode, mode, [mode])
        assert result["service_ports"] == size + OTHERS
    kinds = Counter(one["kind"] for one in moved["result"]["findings"])
    assert kinds["destination_missing"] == kinds["destination_stale"] == ENDPOINTS * size
    assert max(found["megabytes"], moved["megabytes"]) < 200
    if size == max(SIZES):
        # With few Services it is the start of the programs, Ansible and kube-proxy's own answers that take the time.
        assert taken <= 1.5 * dumps


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("few", "many"), [(1000, 2000), (2000, 5000), (1000, 5000)])
def test_the_cost_grows_linearly(seen: dict[tuple[int, str], Figures], mode: str, few: int, many: int) -> None:
    assert seen[many, mode]["seconds"] <= 1.2 * many / few * seen[few, mode]["seconds"]


def memory(figures: Figures) -> str:
    return f"{figures['megabytes']:.0f} MB"
