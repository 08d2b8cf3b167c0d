# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one path of every changing module. Private to this collection.

    read -> plan (pure, raises before anything is touched) -> apply unless check mode -> read again, plan again

Check mode withholds C(apply) and nothing else, so its prediction cannot differ from what a run does.
A run is confirmed by planning anew from what is there afterwards: that plan must be empty.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import NotConverged

State = t.TypeVar("State")
Operation = t.TypeVar("Operation")


@dataclass(frozen=True)
class Plan(t.Generic[State, Operation]):
    """What has to be done to a state, and what it will be then.

    C(operations) is for the writer, C(actions) the same in sentences for people, C(after) the state expected afterwards.
    """

    before: State
    after: State
    operations: tuple[Operation, ...] = ()
    actions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Steps(t.Generic[State, Operation]):
    """The four parts that a module supplies."""

    read: t.Callable[[], State]
    plan: t.Callable[[State], Plan[State, Operation]]
    apply: t.Callable[[Plan[State, Operation]], None]


def converge(steps: Steps[State, Operation], check_mode: bool) -> Plan[State, Operation]:
    """Bring the state to what is planned and return the plan that was carried out (or would be, in check mode).

    :raises NotConverged: when the state read after C(apply) still asks for operations
    """
    plan = steps.plan(steps.read())
    if not plan.operations or check_mode:
        return plan
    steps.apply(plan)
    left = steps.plan(steps.read())
    if left.operations:
        raise NotConverged(
            "What was applied did not last",
            seen="still to do afterwards: " + "; ".join(left.actions[:10]),
            remedy="Something else changes the same objects: stop it, or run again.",
            details={"actions": list(plan.actions), "left": list(left.actions)},
        )
    return plan
