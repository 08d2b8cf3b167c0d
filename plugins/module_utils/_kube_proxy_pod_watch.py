# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a kube-proxy pod that is Ready and stays so. Private to this collection."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import ProxyPod

LOG_LINES = 20
POLL_SECONDS = 1.0
# kube-proxy has no readiness probe: Ready means started. One that refuses its configuration says so and is gone within
# seconds, so it counts as started when it has said something and was still there a little later.
SETTLE_SECONDS = 3.0
SILENT_SECONDS = 15.0
# Two restarts are a crash loop: the third start comes only after 20 seconds of back-off.
CRASHES = 2


@dataclass(frozen=True)
class Life:
    """Since when a pod has been Ready, and since when its log has lines."""

    ready_since: float | None = None
    spoken_since: float | None = None

    def seen(self, now: float, ready: ProxyPod | None, speaks: t.Callable[[ProxyPod], bool]) -> Life:
        if ready is None:
            return Life()
        spoken = self.spoken_since if self.spoken_since is not None else (now if speaks(ready) else None)
        return Life(now if self.ready_since is None else self.ready_since, spoken)

    def has_settled(self, now: float) -> bool:
        spoken = self.spoken_since is not None and now - self.spoken_since >= SETTLE_SECONDS
        return spoken or (self.ready_since is not None and now - self.ready_since >= SILENT_SECONDS)


@dataclass(frozen=True)
class Watch:
    """Watching one node's pod. C(now) and C(sleep) are injected by tests.

    :param timeout: how long one wait may take, in seconds
    """

    api: kube.KubeApi
    node: str
    timeout: float
    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep

    def until_settled(self, look: t.Callable[[], ProxyPod | None], is_new: t.Callable[[ProxyPod], bool]) -> None:
        """Until the new pod has been Ready for a while. The API server may be away in between: it is asked again.

        :raises KubeProxyError: when it keeps crashing, or is late; with the last lines of its log
        """
        end = self.now() + self.timeout
        life = Life()
        problem: object = "no pod has been made yet"
        while True:
            pod, unreachable = _look(look)
            new = pod if pod and is_new(pod) else None
            life = life.seen(self.now(), new if new and new.ready else None, self._speaks)
            if life.has_settled(self.now()):
                return
            problem = unreachable or pod or problem
            if new and new.restarts >= CRASHES:
                raise self._late(new, "keeps crashing")
            if self.now() >= end:
                raise self._late(problem, f"is not Ready after {self.timeout:g} s")
            self.sleep(POLL_SECONDS)

    def _speaks(self, pod: ProxyPod) -> bool:
        return bool(last_words(self.api, pod))

    def _late(self, problem: object, how: str) -> KubeProxyError:
        pod = problem if isinstance(problem, ProxyPod) else None
        log = last_words(self.api, pod) if pod else []
        last = f" Its last log lines: {' | '.join(log[-5:])}" if log else ""
        return KubeProxyError(
            f"kube-proxy on node {self.node} {how}",
            f"{problem}.{last}",
            "Correct what it complains about (kubectl describe pod tells more), then run again.",
            {"uid": pod.uid if pod else "", "started_at": pod.started_at if pod else "", "log_tail": log},
        )


def _look(look: t.Callable[[], ProxyPod | None]) -> tuple[ProxyPod | None, kube.ApiError | None]:
    try:
        return look(), None
    except kube.ApiError as error:
        return None, error


def last_words(api: kube.KubeApi, pod: ProxyPod) -> list[str]:
    """The last lines of a pod's log, of the container's last life when this one has said nothing yet."""
    ref = kube.pod(pod.namespace, pod.name)
    lives = (False, True) if pod.restarts else (False,)
    for previous in lives:
        try:
            lines = api.log(ref, pod.container, LOG_LINES, previous)
        except kube.ApiError:
            continue  # no log is no reason to hide what is known
        if lines:
            return lines
    return []
