# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Endpoints that come and go while something else happens."""

from __future__ import annotations

import threading
import typing as t
from contextlib import contextmanager

from tests.labkit.cluster import Cluster


@contextmanager
def pods_replaced(cluster: Cluster, app: str, count: int) -> t.Iterator[list[str]]:
    """Whenever that many pods of it are ready, the oldest one is told to go. Names those, as long as the block lasts."""
    gone: list[str] = []
    over = threading.Event()

    def replace() -> None:
        while not over.is_set():
            pods = cluster.wait_for_pods(app, count)
            oldest = min(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))["metadata"]["name"]
            cluster.kubectl("delete", "pod", "--wait=false", oldest)
            gone.append(oldest)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        yield gone
    finally:
        over.set()
        thread.join()
