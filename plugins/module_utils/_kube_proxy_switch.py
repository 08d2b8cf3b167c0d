# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(kube_proxy_switch). Private to this collection."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_switch_steps as steps
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_switch_undo as undo
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import KEY, Edit
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import Object
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_mode import ATTEMPTS, ModeWork
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names, config_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import SUFFIX
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_report import (
    facts,
    refuse_absent,
    refuse_present,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_state import SwitchState
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_steps import Op, Step
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import effective_mode

POLL_SECONDS = 1.0

SwitchPlan = Plan[SwitchState, Op]


@dataclass(frozen=True)
class SwitchWork:
    """The second pair of one cluster. C(now) and C(sleep) are injected by tests.

    :param planner: what C(kube_proxy_mode) would do with a text; None: the pair shall be gone
    :param timeout: how long to wait for the DaemonSet controller, in seconds
    """

    api: kube.KubeApi
    names: Names
    planner: ModeWork | None
    timeout: float
    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep

    def read(self) -> SwitchState:
        state = SwitchState(
            original=self.api.get(self._original()),
            config=self.api.get(kube.config_map(self.names.namespace, self.names.config_map)),
            second=self.api.find(self._ref(steps.SECOND)),
            second_config=self.api.find(self._ref(steps.SECOND_CONFIG)),
            nodes=tuple(self.api.list_all(kube.NODES)),
            pods=(),
            revisions=(),
        )
        config_text(dict(state.config), KEY)
        return self._with_pods(state)

    def _with_pods(self, state: SwitchState) -> SwitchState:
        """Its pods and revisions as they are now. They are read after the DaemonSet, so they are not older than it."""
        uid = state.original["metadata"].get("uid")
        revisions = self.api.list_all(kube.controller_revisions(self.names.namespace))
        return replace(
            state,
            pods=tuple(self.api.list_all(kube.pods(self.names.namespace))),
            revisions=tuple(one for one in revisions if _is_owned_by(one, uid)),
        )

    def plan(self, before: SwitchState) -> SwitchPlan:
        try:
            wanted = self._present(before) if self.planner else self._absent(before)
        except KubeProxyError as error:
            error.details.update(facts(before))
            raise
        after, operations = before, []
        for step in wanted:
            found = step(after)
            while found is not None:
                operation, after = found
                operations.append(operation)
                found = step(after)
        return Plan(before, after, tuple(operations), tuple(one.words for one in operations))

    def _present(self, before: SwitchState) -> t.Sequence[t.Callable[[SwitchState], Step | None]]:
        edit, mode = self.edit(before), self.mode(before)
        refuse_present(before, mode)
        mode_before = edit.mode_before
        if self.planner:
            self.planner.refuse(edit)
            mode_before = effective_mode(mode_before, min(self.planner.surroundings.releases, default=None))
        name = self.names.config_map + SUFFIX
        return (
            lambda state: steps.note_step(state, mode, mode_before),
            steps.guard_step,
            lambda state: steps.config_step(state, name, mode, edit.after),
            lambda state: steps.second_step(state, name, mode),
        )

    def _absent(self, before: SwitchState) -> t.Sequence[t.Callable[[SwitchState], Step | None]]:
        refuse_absent(before)
        return (
            undo.delete_second_step,
            undo.delete_config_step,
            undo.revert_step,
            undo.observe_step,
            undo.adopt_step,
            undo.count_step,
            undo.restore_step,
        )

    def mode(self, state: SwitchState) -> str:
        """The mode of the second pair that is asked for."""
        return (self.planner.wanted.mode if self.planner else None) or state.mode

    def edit(self, state: SwitchState) -> Edit:
        """What the second ConfigMap shall hold: its own text with the mode and the settings, or else the original's."""
        source = state.second_config if state.second_config is not None else state.config
        return self.edit_of(state, config_text(dict(source), KEY))

    def edit_of(self, state: SwitchState, text: str) -> Edit:
        if self.planner is None:
            return Edit(text, text, "")
        wanted = replace(self.planner.wanted, mode=self.mode(state) or None)
        return replace(self.planner, wanted=wanted).edit(text)

    def apply(self, plan: SwitchPlan) -> None:
        """One request after the other; before each the plan is made anew from what the last one brought."""
        state, conflicts = plan.before, 0
        while plan.operations:
            try:
                state = self._carry_out(state, plan.operations[0])
                conflicts = 0
            except (kube.Conflict, kube.NotFound) as error:
                conflicts += 1
                if conflicts >= ATTEMPTS:
                    raise KubeProxyError(
                        error.failed,
                        f"something else changed it {ATTEMPTS} times at the same moment",
                        "Find out what keeps changing it (its managedFields tell), then run again: this goes on where it ended.",
                    ) from error
                state = self.read()
            plan = self.plan(state)

    def _carry_out(self, state: SwitchState, op: Op) -> SwitchState:
        if op.kind == steps.WAIT_OBSERVED:
            return self._wait(state, lambda seen: seen.is_observed, op)
        if op.kind == steps.WAIT_COUNTED:
            return self._wait(state, lambda seen: seen.is_counted or bool(seen.stale_pods()), op)
        if op.what == steps.PODS:
            return self._mark(state, op.pods)
        ref = self._ref(op.what)
        if op.kind == steps.DELETE:
            self.api.delete(ref, op.body["metadata"]["uid"])
            return state.having(op.what, None)
        write = self.api.create if op.kind == steps.CREATE else self.api.replace
        return state.having(op.what, write(ref, dict(op.body)))

    def _mark(self, state: SwitchState, pods: t.Sequence[Object]) -> SwitchState:
        """One that somebody else has changed or deleted does not hold up the others."""
        answers: dict[str, Object] = {}
        problem: kube.ApiError | None = None
        for pod in pods:
            metadata = pod["metadata"]
            try:
                answers[metadata["uid"]] = self.api.replace(kube.pod(self.names.namespace, metadata["name"]), dict(pod))
            except (kube.Conflict, kube.NotFound) as error:
                problem = error
        if problem is not None:
            raise problem
        return replace(state, pods=tuple(answers.get(pod["metadata"]["uid"], pod) for pod in state.pods))

    def _wait(self, state: SwitchState, is_done: t.Callable[[SwitchState], bool], op: Op) -> SwitchState:
        """The API server may be away in between: it is asked again."""
        end = self.now() + self.timeout
        while True:
            problem = "its status is not of the present DaemonSet"
            try:
                state = self._with_pods(replace(state, original=self.api.get(self._original())))
                if is_done(state):
                    return state
            except kube.NotFound:
                raise
            except kube.ApiError as error:
                problem = str(error)
            if self.now() >= end:
                raise KubeProxyError(
                    f"The DaemonSet controller has not looked at {name_of(op.body)} after {self.timeout:g} s",
                    problem,
                    "Look at kube-controller-manager, then run again: this goes on where it ended.",
                )
            self.sleep(POLL_SECONDS)

    def restarted(self, before: SwitchState) -> list[str]:
        """Nodes whose pod is another one now, once the controller has looked at what was written last."""
        op = Op(steps.WAIT_OBSERVED, steps.ORIGINAL, before.original, "")
        seen = self._wait(self.read(), lambda state: state.is_observed, op)
        left = {pod["metadata"]["uid"] for pod in seen.own_pods()}
        gone = [pod for pod in before.own_pods() if pod["metadata"]["uid"] not in left]
        return sorted(str((pod.get("spec") or {}).get("nodeName")) for pod in gone)

    def _original(self) -> kube.Ref:
        return self._ref(steps.ORIGINAL)

    def _ref(self, what: str) -> kube.Ref:
        namespace = self.names.namespace
        if what == steps.SECOND_CONFIG:
            return kube.config_map(namespace, self.names.config_map + SUFFIX)
        return kube.daemon_set(namespace, self.names.daemon_set + (SUFFIX if what == steps.SECOND else ""))


def _is_owned_by(obj: kube.Object, uid: t.Any) -> bool:
    owners = (obj.get("metadata") or {}).get("ownerReferences") or []
    return any(owner.get("uid") == uid for owner in owners)
