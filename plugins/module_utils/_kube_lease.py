# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Lease that keeps a second operator out. Pure. Private to this collection.

Clocks: nobody's own is used. What is written as C(renewTime) is the API server's time (the header C(Date)), and a Lease ends
C(leaseDurationSeconds) after the API server last took a change of it (its C(managedFields)), whatever the holder's clock has put
into C(renewTime); only where that is not recorded does C(renewTime) count. So operators whose clocks differ agree, without waiting
for the whole duration to see that nothing moves, as client-go's leader election does.
Source: C(LeaseSpec) in C(staging/src/k8s.io/api/coordination/v1/types.go), and C(release) in
C(staging/src/k8s.io/client-go/tools/leaderelection/leaderelection.go) (a released Lease stays, with an empty holder).
"""

from __future__ import annotations

import copy
import typing as t
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError

Object = t.Mapping[str, t.Any]

CREATE = "create"
WRITE = "write"

# Shorter ones could end while a request is on its way.
MINIMUM_SECONDS = 15


@dataclass(frozen=True)
class LeaseState:
    """The Lease as the API server has it (None: there is none), at a moment of the API server's clock."""

    resource: Object | None
    now: datetime

    @property
    def _spec(self) -> Object:
        found: Object = (self.resource or {}).get("spec") or {}
        return found

    @property
    def holder(self) -> str:
        return str(self._spec.get("holderIdentity") or "")

    @property
    def seconds(self) -> int:
        return int(self._spec.get("leaseDurationSeconds") or 0)

    @property
    def transitions(self) -> int:
        return int(self._spec.get("leaseTransitions") or 0)

    @property
    def since(self) -> str:
        return str(self._spec.get("acquireTime") or "") if self.holder else ""

    @property
    def renewed(self) -> datetime | None:
        """When it was last changed, by the API server's clock."""
        fields = ((self.resource or {}).get("metadata") or {}).get("managedFields") or []
        seen = [when for when in (_time(one.get("time")) for one in fields) if when]
        return max(seen) if seen else _time(self._spec.get("renewTime"))

    @property
    def until(self) -> datetime | None:
        renewed = self.renewed
        if renewed is None or not self.holder or not self.seconds:
            return None
        return renewed + timedelta(seconds=self.seconds)

    @property
    def is_free(self) -> bool:
        """Nobody holds it: released, or its time is over. One without a time or a duration has none that could be over."""
        return not self.holder or (self.until is not None and self.until <= self.now)


LeasePlan = Plan[LeaseState, str]


@dataclass(frozen=True)
class Claim:
    """A Lease that shall be held (or not) by someone."""

    namespace: str
    name: str
    holder: str
    seconds: int
    held: bool = True

    def plan(self, before: LeaseState) -> LeasePlan:
        return self._hold(before) if self.held else self._release(before)

    def _hold(self, before: LeaseState) -> LeasePlan:
        ours = before.holder == self.holder
        if ours and before.seconds == self.seconds and not self._is_worn(before):
            return Plan(before, before)
        if not ours and not before.is_free:
            raise self._refused(before)
        words = f"renew Lease {self} of {self.holder}" if ours else self._take_words(before)
        spec: dict[str, t.Any] = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.seconds,
            "renewTime": _micro(before.now),
        }
        if not ours:
            spec["acquireTime"] = _micro(before.now)
            spec["leaseTransitions"] = before.transitions + (1 if before.resource is not None else 0)
        return self._written(before, spec, words)

    def _is_worn(self, state: LeaseState) -> bool:
        """Half of its time is over. Renewing it each time would make every run a change."""
        return state.until is None or state.until - state.now < timedelta(seconds=self.seconds / 2)

    def _take_words(self, before: LeaseState) -> str:
        over = f" (that of {before.holder} ended {_text(before.until)})" if before.holder else ""
        return f"take Lease {self} for {self.holder}, for {self.seconds} s{over}"

    def _release(self, before: LeaseState) -> LeasePlan:
        if before.holder != self.holder:
            return Plan(before, before)
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro(before.now)}
        return self._written(before, spec, f"release Lease {self} of {self.holder}")

    def _written(self, before: LeaseState, spec: Object, words: str) -> LeasePlan:
        body: dict[str, t.Any] = copy.deepcopy(dict(before.resource or {}))
        if not body:
            metadata = {"name": self.name, "namespace": self.namespace}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        # The server keeps its own record of who wrote when; what is written now counts from now.
        body["metadata"].pop("managedFields", None)
        body["spec"] = {**(body.get("spec") or {}), **spec}
        operation = CREATE if before.resource is None else WRITE
        return Plan(before, replace(before, resource=body), (operation,), (words,))

    def _refused(self, before: LeaseState) -> KubeProxyError:
        end = _text(before.until) if before.until else "it is released: it names no time"
        return KubeProxyError(
            f"Lease {self} is held by {before.holder}; nothing was changed",
            f"since {before.since or 'an unknown time'}, until {end} (by the API server's clock, where it is {_text(before.now)})",
            f"Wait for {before.holder} to finish, or until then. If {before.holder} is gone for good: "
            f"kubectl -n {self.namespace} delete lease {self.name}",
            facts(before),
        )

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def facts(state: LeaseState) -> dict[str, t.Any]:
    """Who holds it and until when, as return values."""
    return {
        "held_by": state.holder,
        "acquired_at": state.since,
        "expires_at": _text(state.until) if state.until else "",
        "transitions": state.transitions,
    }


def render(state: LeaseState) -> str:
    """For the diff. Its times are those of one run: check mode has others."""
    return f"holder: {state.holder or 'nobody'}\nduration: {state.seconds} s\n" if state.resource else "no Lease\n"


def _time(text: t.Any) -> datetime | None:
    """RFC 3339 in UTC, with or without a fraction, as the API server writes it."""
    whole = str(text or "").partition(".")[0].rstrip("Z")
    try:
        return datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _micro(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ") if when else ""
