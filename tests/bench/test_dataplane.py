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

import pytest

from tests.labkit import Lab
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import state, wrong
from tests.labkit.modes import MODES, ManyServices
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
STATE = "state.txt"
COLUMNS = ("Services", "Mode", "All dumps of the mode", "The module", "Ratio", "Memory of the module")

Figures = dict[str, t.Any]


@pytest.fixture(scope="module")
def services() -> t.Iterator[ManyServices]:
    if KEPT:
        LAB.up()
    else:
        LAB.bare()
    done = LAB.playbook("playbooks/create_cluster.yml")
    assert done.rc == 0, done.output
    cluster = Cluster(LAB, ("cp1",))
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


def measure(services: ManyServices, mode: str) -> Figures:
    node = services.node
    folder = send_code(node, PROGRAM)
    node.run(f"cat > {folder}/{STATE}", state(services.cluster))
    try:
        found: Figures = json.loads(node.run(f"cd {folder} && python3 {PROGRAM} compare {mode} {STATE} {ROUNDS}"))
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
    dumps = sum(found["dumps"].values())
    taken, memory = found["seconds"], found["megabytes"]
    rows.add(f"{size:,}", mode, seconds(dumps), seconds(taken), f"{taken / dumps:.2f}", f"{memory:.0f} MB")

    for result in found["results"]:
        assert wrong(result) == []
        assert (result["checked_mode"], result["running_mode"], result["kernel_modes"]) == (mode, mode, [mode])
        assert result["service_ports"] == size + OTHERS
    assert memory < 200
    assert taken <= 1.5 * dumps


@pytest.mark.parametrize("mode", MODES)
def test_the_cost_grows_linearly(seen: dict[tuple[int, str], Figures], mode: str) -> None:
    """Five times as many Services: a little more than five times the time is what the garbage collector and the caches take."""
    assert seen[5000, mode]["seconds"] <= 6.5 * seen[1000, mode]["seconds"]
