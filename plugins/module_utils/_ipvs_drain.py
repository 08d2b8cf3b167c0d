# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking destinations away when their connections have ended. Private to this collection.

They have weight 0 already, so that no new client comes; taking one away that still has connections cuts these off.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import Operation, RealServer, ServerKey
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_plan import RealKey

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Failure, Ipvs

#: Seconds between two looks. The shortest timeout of the kernel that ends a connection, a closed one's, is 10 seconds.
POLL_SECONDS = 2.0


@dataclass
class Drain:
    """Removes destinations as they become idle. C(now) and C(sleep) are injected by tests.

    :param limit: seconds to wait for connections; after them the destinations go in any case. 0: nobody waits
    """

    limit: float
    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep
    #: What had connections at the end: removed with them at the limit, or left because nobody waits.
    busy: dict[RealKey, RealServer] = field(default_factory=dict)

    def carry_out(self, ipvs: Ipvs, removals: t.Sequence[Operation]) -> list[Failure]:
        """Remove what is idle, wait for the rest, and return what the kernel refused."""
        failures: list[Failure] = []
        deadline = self.now() + self.limit
        while removals:
            self.busy = self._busy(ipvs, removals)
            failures += ipvs.apply([one for one in removals if key_of(one) not in self.busy])
            removals = [one for one in removals if key_of(one) in self.busy]
            left = deadline - self.now()
            if not self.limit or not removals:
                break
            if left <= 0:
                return failures + ipvs.apply(removals)
            self.sleep(min(left, POLL_SECONDS))
        return failures

    @staticmethod
    def _busy(ipvs: Ipvs, removals: t.Sequence[Operation]) -> dict[RealKey, RealServer]:
        concerned = {key_of(one) for one in removals}
        servers: list[ServerKey] = sorted({one.server.key for one in removals})
        found = {
            (key, real.address, real.port): real
            for key in servers
            for real in ipvs.read_real_servers(key)
            if real.connections
        }
        return {key: real for key, real in found.items() if key in concerned}


def key_of(removal: Operation) -> RealKey:
    """The destination that an operation is about."""
    if removal.real is None:
        raise ValueError(f"{removal} is about no real server")
    return (removal.server.key, *removal.real.identity)
