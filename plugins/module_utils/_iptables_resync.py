# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Have a running kube-proxy write its chains again, and wait until it did. Private to this collection.

In iptables mode kube-proxy looks every C(syncPeriod) (30 s unless configured) whether its canary is still in table mangle,
and makes a full sync when it is not; it makes the canary anew when that sync is done (C(Monitor) in pkg/util/iptables,
started by C(NewProxier) in pkg/proxy/iptables). In ipvs mode every periodic sync is a full one. In nftables mode nothing
asks for one before the hour is over.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Tables, Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_write import apply_plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPTABLES, NFTABLES, NONE
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status import (
    parse_metrics,
    parse_mode,
    read_sync,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import Endpoint, Get

CANARY = "KUBE-PROXY-CANARY"
_SECONDS_BETWEEN_LOOKS = 1.0
_METRICS_WAY_OUT = "Start kube-proxy, or set metrics_address to its metricsBindAddress."


@dataclass(frozen=True)
class Wait:
    """The second half of a rebuild: kube-proxy's own work. C(canaries): where its canary has to be again."""

    canaries: tuple[Location, ...] = ()


Operation = t.Union[Transaction, Wait]


@dataclass(frozen=True)
class Clock:
    """Time, for tests to replace."""

    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class KubeProxy:
    """The kube-proxy of this node, behind its metrics address; without one it says nothing."""

    endpoint: Endpoint | None
    get: Get

    def running_mode(self, said: str) -> str:
        """The mode in which it runs; what the user said counts where it does not answer.

        :raises InvalidInput: when it answers something else than was said
        :raises KubeProxyError: when nobody says
        """
        answer = self.get(self.endpoint, "/proxyMode") if self.endpoint else None
        mode = parse_mode(answer.body) if answer and answer.ok else None
        if mode is None and not said:
            raise KubeProxyError(
                "Nobody says in which mode kube-proxy runs",
                answer.problem if answer else "metrics_address is empty",
                _METRICS_WAY_OUT,
            )
        if mode and said and mode != said:
            raise InvalidInput(
                f"kube-proxy cannot be made to write the chains of {said} mode",
                seen=f"it runs in {mode} mode",
                remedy="Switch it first, or name the mode it runs in.",
            )
        return mode or said

    def last_sync(self, families: t.Sequence[str]) -> dict[str, float]:
        """When each family was last synced, in seconds since the epoch; 0 for never.

        :raises KubeProxyError: when the metrics do not say
        """
        answer = self.get(self.endpoint, "/metrics") if self.endpoint else None
        found = read_sync(parse_metrics(answer.body), required=families).last_sync if answer and answer.ok else None
        if not found:
            raise KubeProxyError(
                "kube-proxy does not say when it last wrote its rules",
                answer.problem or f"GET {answer.url}: no such metric" if answer else "metrics_address is empty",
                _METRICS_WAY_OUT,
            )
        return {family: moment or 0.0 for family, moment in found.items()}


class Resync:
    """Plan and apply for C(resync=true): the first plan asks kube-proxy, those after it ask what is still missing."""

    def __init__(  # what is wanted, and the hands it takes
        self, wanted: WantedChains, node: NodeTables, runner: Runner, proxy: KubeProxy, clock: Clock | None = None
    ) -> None:
        self._wanted = wanted
        self._node = node
        self._runner = runner
        self._proxy = proxy
        self._clock = clock or Clock()
        self._asked = False
        self._mode = _checked(proxy.running_mode(wanted.running_mode or "".join(wanted.modes)))

    def plan(self, tables: Tables) -> Plan[Tables, Operation]:
        missing = plan_chains(self._wanted, tables)
        if self._asked:
            return Plan(missing.before, missing.after, missing.operations, missing.actions)
        if self._mode != IPTABLES:
            return Plan(
                tables, missing.after, (Wait(),), ("Wait for kube-proxy's next periodic sync", *missing.actions)
            )
        canaries = _canaries(tables)
        actions = (
            f"Remove chain {CANARY} from {one.location}, so that kube-proxy writes all its chains again"
            for one in canaries
        )
        wait = Wait(tuple(one.location for one in canaries))
        return Plan(tables, missing.after, (*canaries, wait), (*actions, "Wait until kube-proxy has", *missing.actions))

    def changes(self, plan: Plan[Tables, Operation]) -> bool:
        """Whether something is changed, by us or by kube-proxy; waiting is not."""
        return any(isinstance(one, Transaction) for one in plan.operations) or plan.before != plan.after

    def apply(self, plan: Plan[Tables, Operation], read: t.Callable[[], Tables], seconds: float) -> None:
        """Ask, and wait until the sync that answers is done and all that is wanted is there.

        :raises KubeProxyError: when that takes longer than C(seconds)
        """
        families = sorted({at.family for at in plan.before})
        before = {} if self._mode == IPTABLES else self._proxy.last_sync(families)
        removal = Plan(plan.before, plan.after, tuple(one for one in plan.operations if isinstance(one, Transaction)))
        apply_plan(self._runner, removal, lambda: self._removal(read()))
        self._asked = True
        waits = [one for one in plan.operations if isinstance(one, Wait)]
        canaries = [at for one in waits for at in one.canaries]
        deadline = self._clock.now() + seconds
        while True:
            left = self._left(canaries, families, before, read)
            if not left:
                return
            if self._clock.now() >= deadline:
                raise _late(seconds, left)
            self._clock.sleep(_SECONDS_BETWEEN_LOOKS)

    def _removal(self, tables: Tables) -> Plan[Tables, Transaction]:
        return Plan(tables, tables, _canaries(tables))

    def _left(  # what is waited for, from the cheapest question to the dearest
        self, canaries: list[Location], families: list[str], before: dict[str, float], read: t.Callable[[], Tables]
    ) -> list[str]:
        """What is not yet as it has to be, as sentences."""
        away = [f"{CANARY} is not back in {at}" for at in canaries if not self._node.has_chain(at, CANARY)]
        if away:
            return away
        if self._mode != IPTABLES:
            after = self._proxy.last_sync(families)
            away = [f"no sync of {name} since" for name, moment in after.items() if moment <= before.get(name, 0.0)]
        return away or list(plan_chains(self._wanted, read()).actions)


def _canaries(tables: Tables) -> tuple[Transaction, ...]:
    return tuple(
        Transaction(at, (f"-F {CANARY}", f"-X {CANARY}"))
        for at, table in tables.items()
        if at.table == "mangle" and CANARY in table.chains
    )


def _checked(mode: str) -> str:
    if mode == NFTABLES:
        raise InvalidInput(
            "kube-proxy in nftables mode cannot be made to write its rules again",
            seen="it has no canary there, and a full sync comes once an hour",
            remedy="Restart it on this node (netops.kube_proxy.kube_proxy_pod).",
        )
    if mode == NONE:
        raise InvalidInput("resync=true needs a running kube-proxy", "running_mode is none", "Leave resync out.")
    return mode


def _late(seconds: float, left: list[str]) -> KubeProxyError:
    return KubeProxyError(
        f"kube-proxy did not write its chains again within {seconds:.0f} s",
        seen="still to come: " + "; ".join(left[:10]),
        remedy="Look at its log (kubectl -n kube-system logs); give families that it does serve, or a longer resync_timeout.",
        details={"left": left},
    )
