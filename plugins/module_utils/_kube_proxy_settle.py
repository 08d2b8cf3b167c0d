# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether kube-proxy has caught up with what the API said a moment ago. Private to this collection.

Sources: C(Sync) and C(syncProxyRules) of the three proxiers in C(pkg/proxy), which keep the gauges of the last queued and the
last finished sync and count the finished ones, and C(BoundedFrequencyRunner) in C(pkg/proxy/runner), 1.34 to 1.37.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status import (
    LAST_QUEUED,
    LAST_SYNC,
    Sample,
    family_of,
)

_FINISHED = "kubeproxy_sync_proxy_rules_duration_seconds_count"

Syncs = t.Mapping[str, int]
"""Finished syncs since kube-proxy's start, by family."""


class Progress(t.NamedTuple):
    """How far one family is: finished syncs, and when one was last asked for and last finished (seconds since the epoch)."""

    finished: int = 0
    queued: float = 0.0
    done: float = 0.0


def read_progress(samples: t.Iterable[Sample]) -> dict[str, Progress]:
    """From kube-proxy's metrics; empty when they do not tell."""
    fields = {_FINISHED: "finished", LAST_QUEUED: "queued", LAST_SYNC: "done"}
    found: dict[str, dict[str, t.Any]] = {}
    for sample in samples:
        name = fields.get(sample.name)
        if name:
            value = int(sample.value) if name == "finished" else sample.value
            found.setdefault(family_of(sample), {})[name] = value
    return {family: Progress(**values) for family, values in found.items()}


def finished(progress: t.Mapping[str, Progress]) -> dict[str, int]:
    """What a later look is compared with."""
    return {family: one.finished for family, one in progress.items()}


class Settling:
    """Watches kube-proxy until what the API had said before C(since) was counted must be in the kernel.

    Each family has finished two syncs since (the first may have been on its way already), or has nothing to do: nothing was
    queued after its last sync, for longer than kube-proxy puts a queued sync off (C(minSyncPeriod), in seconds).
    """

    def __init__(self, since: Syncs, longest_delay: float) -> None:
        self._since = since
        self._delay = longest_delay
        self._idle: dict[str, tuple[int, float]] = {}

    def is_settled(self, progress: t.Mapping[str, Progress], now: float) -> bool:
        """C(now): seconds of any clock that only goes forward."""
        verdicts = [self._family(family, one, now) for family, one in progress.items()]
        return all(verdicts)

    def _family(self, family: str, one: Progress, now: float) -> bool:
        since = self._since.get(family, 0)
        # A kube-proxy that counts fewer was started anew: its first sync is a full one.
        done = one.finished - since if one.finished >= since else one.finished + 1
        if one.queued > one.done:
            self._idle.pop(family, None)
            return done >= 2
        finished_then, began = self._idle.setdefault(family, (one.finished, now))
        if finished_then != one.finished:
            self._idle[family] = (one.finished, now)
            return done >= 2
        return done >= 2 or now - began > self._delay


def wait(
    settling: Settling,
    look: t.Callable[[], t.Mapping[str, Progress]],
    limit: float,
    clock: t.Callable[[], float] = time.monotonic,
    pause: t.Callable[[float], None] = time.sleep,
) -> bool | None:
    """Look again and again until it is settled.

    :param limit: seconds
    :returns: None when the metrics do not tell, False when the limit was reached
    """
    end = clock() + limit
    while True:
        progress = look()
        if not progress:
            return None
        now = clock()
        if settling.is_settled(progress, now):
            return True
        if now > end:
            return False
        pause(0.5)
