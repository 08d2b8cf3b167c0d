# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node, beside the collection's code: how long a bridge takes from the state of the cluster to the kernel, and how long C(nft -f) alone
takes for the same tables.

C(compare STATE ROUNDS) measures both in turn. C(put-up STATE) is the process that is measured.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import typing as t
from pathlib import Path

TABLES = "/run/bench-bridge.nft"


def put_up(path: str) -> dict[str, float]:
    """From the packed state to tables in the kernel."""
    from ansible_collections.netops.kube_proxy.plugins.module_utils import (
        _cluster_state,
    )  # only in the measured process
    from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_expected import bridge_of  # the same
    from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_render import render  # the same
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import served_ports  # the same
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import (
        read_node_addresses,
    )  # the same
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files  # the same
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import node_with  # the same

    packed = Path(path).read_text(encoding="utf-8")
    begun = time.perf_counter()
    state = _cluster_state.decode(packed)
    node = node_with(state, "cp1", read_node_addresses(Files())).in_mode("iptables")
    text = render(bridge_of(served_ports(state, node), node, "iptables"))
    rendered = time.perf_counter() - begun
    subprocess.run(["nft", "-f", "-"], input=text.encode(), check=True)
    taken = time.perf_counter() - begun
    Path(TABLES).write_text(text, encoding="utf-8")
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": taken, "rendered": rendered, "megabytes": megabytes}


def load() -> float:
    """Seconds that nft takes for the tables."""
    begun = time.perf_counter()
    subprocess.run(["nft", "-f", TABLES], check=True)
    return time.perf_counter() - begun


def compare(path: str, rounds: int) -> dict[str, t.Any]:
    """The best of each, as other work on the machine only ever adds. Each replaces the tables that are there."""
    ours, alone = [], []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, __file__, "put-up", path], stdout=subprocess.PIPE, check=True)
        ours.append(json.loads(done.stdout))
        alone.append(load())
    best = min(ours, key=lambda one: one["seconds"])
    return {**best, "nft": min(alone), "megabytes": max(one["megabytes"] for one in ours)}


def main() -> None:
    found = put_up(sys.argv[2]) if sys.argv[1] == "put-up" else compare(sys.argv[2], int(sys.argv[3]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
