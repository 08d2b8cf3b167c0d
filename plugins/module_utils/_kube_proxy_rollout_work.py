# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a rollout of kube-proxy, and waiting for its end. Private to this collection."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import labels_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import ProxyPod
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod_watch import (
    CRASHES,
    POLL_SECONDS,
    Life,
    last_words,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_rollout import Member, Rollout, Version
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import LABEL

# How many late nodes are described; the rest are named.
_DESCRIBED = 3


def utc_now() -> str:
    """As kubectl writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@dataclass(frozen=True)
class RolloutWork:
    """A rollout in one cluster. C(now), C(sleep) and C(clock) are injected by tests.

    :param timeout: how long it may take, in seconds
    """

    api: kube.KubeApi
    namespace: str
    daemon_set: str
    timeout: float
    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep
    clock: t.Callable[[], str] = utc_now

    def read(self) -> Rollout:
        daemon_set = self.api.get(self._ref())
        return Rollout.of(daemon_set, self.api.list_all(kube.pods(self.namespace)))

    def annotate(self, rollout: Rollout, config: Version) -> None:
        """Raises C(Conflict) when the DaemonSet is not the one that was read."""
        self.api.replace(self._ref(), rollout.annotated(config, self.clock()))

    def wait(self, config: Version) -> None:
        """Until every pod has been Ready with this configuration for a while.

        The API server may be away in between: it is asked again.
        """
        end = self.now() + self.timeout
        rollout: Rollout | None = None
        lives: dict[str, Life] = {}
        while True:
            rollout, unreachable = self._look(rollout)
            if rollout and not unreachable and self._has_settled(rollout, config, lives):
                return
            crashing = [member for member in rollout.members if _crashes(member, config)] if rollout else []
            if crashing:
                raise self._error(f"kube-proxy on node {crashing[0].pod.node} keeps crashing", crashing, 0)
            if self.now() >= end:
                raise self._late(rollout, config, unreachable)
            self.sleep(POLL_SECONDS)

    def _look(self, before: Rollout | None) -> tuple[Rollout | None, kube.ApiError | None]:
        try:
            return self.read(), None
        except kube.ApiError as error:
            return before, error

    def _has_settled(self, rollout: Rollout, config: Version, lives: dict[str, Life]) -> bool:
        now = self.now()
        for member in rollout.members:
            ready = member.pod if member.runs(config) else None
            lives[member.pod.uid] = lives.get(member.pod.uid, Life()).seen(now, ready, self._speaks)
        settled = all(lives[member.pod.uid].has_settled(now) for member in rollout.members)
        return settled and rollout.is_done(config)

    def _speaks(self, pod: ProxyPod) -> bool:
        return bool(last_words(self.api, pod))

    def _late(self, rollout: Rollout | None, config: Version, unreachable: kube.ApiError | None) -> KubeProxyError:
        failed = f"kube-proxy has not restarted everywhere after {self.timeout:g} s"
        if rollout is None or unreachable is not None:
            return KubeProxyError(failed, str(unreachable), "Run again: this finishes what was begun.")
        return self._error(failed, rollout.late(config), rollout.missing)

    def _error(self, failed: str, late: t.Sequence[Member], missing: int) -> KubeProxyError:
        logs = {member.pod.node: last_words(self.api, member.pod) for member in late[:_DESCRIBED]}
        seen = [_described(member, logs[member.pod.node]) for member in late[:_DESCRIBED]]
        seen += [f"node {member.pod.node} is late too" for member in late[_DESCRIBED:]]
        seen += [f"{missing} nodes have no pod yet{self._without_pod(missing)}"] if missing else []
        return KubeProxyError(
            failed,
            "; ".join(seen)
            or "its pods are not Ready for long enough, or their controller has not looked at the DaemonSet",
            "Correct what it complains about (kubectl describe pod tells more), then run again: this finishes what was begun.",
            {"late_nodes": [member.pod.node for member in late], "log_tails": logs},
        )

    def _without_pod(self, missing: int) -> str:
        """The nodes without a pod, where these are all the missing ones: others may be none of the DaemonSet's."""
        try:
            # A node with the label is the second pair's while a switch lasts.
            names = {name_of(node) for node in self.api.list_all(kube.NODES) if LABEL not in labels_of(node)}
            names -= {member.pod.node for member in self.read().members}
        except kube.ApiError:
            return ""
        return f" ({', '.join(sorted(names))})" if len(names) == missing else ""

    def _ref(self) -> kube.Ref:
        return kube.daemon_set(self.namespace, self.daemon_set)


def _crashes(member: Member, config: Version) -> bool:
    # One that is Ready may have had its restarts long ago.
    return member.has_read(config) and not member.pod.ready and member.pod.restarts >= CRASHES


def _described(member: Member, log: t.Sequence[str]) -> str:
    what = "still runs as before" if member.pod.ready else "is not Ready"
    words = f" Its last log lines: {' | '.join(log[-5:])}" if log else ""
    return f"node {member.pod.node} {what}: {member.pod}.{words}"
