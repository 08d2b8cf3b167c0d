# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The second pair of a switch taken away without a restart: which request comes next. Pure. Private to this collection.

A pod that was made while the guard was in the template carries the mark of another revision, and RollingUpdate would replace it
although it differs in nothing: the controller had put the node's name in the guard's place. So the template goes back first, under
OnDelete; then such pods get the mark of the template as it is now; and RollingUpdate returns when the controller knows that.
"""

from __future__ import annotations

import copy
import typing as t
from dataclasses import replace

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_switch_model as model
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import Object
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_state import SwitchState
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_steps import (
    DELETE,
    ORIGINAL,
    PODS,
    REPLACE,
    SECOND,
    SECOND_CONFIG,
    WAIT_COUNTED,
    WAIT_OBSERVED,
    Op,
    Step,
)


def delete_second_step(state: SwitchState) -> Step | None:
    if state.second is None:
        return None
    return Op(DELETE, SECOND, state.second, f"delete DaemonSet {name_of(state.second)}"), replace(state, second=None)


def delete_config_step(state: SwitchState) -> Step | None:
    found = state.second_config
    if found is None:
        return None
    return Op(DELETE, SECOND_CONFIG, found, f"delete ConfigMap {name_of(found)}"), replace(state, second_config=None)


def revert_step(state: SwitchState) -> Step | None:
    """The original's pod template as it was, still under OnDelete."""
    note = state.note
    if note is None or not state.is_guarded:
        return None
    body = copy.deepcopy(dict(state.original))
    body["spec"]["template"] = state.original_template
    after = copy.deepcopy(body)
    after["metadata"]["generation"] = int(after["metadata"].get("generation") or 0) + 1
    words = f"give DaemonSet {name_of(state.original)} its pod template back; no pod restarts"
    return Op(REPLACE, ORIGINAL, body, words), replace(state, original=after)


def observe_step(state: SwitchState) -> Step | None:
    note = state.note
    if note is None or state.is_observed:
        return None
    newest = max((int(one.get("revision") or 0) for one in state.revisions), default=0)
    # What the controller will find: the template is one that it has had before.
    revision = {"metadata": {"labels": {model.REVISION: note.revision}}, "revision": newest + 1}
    after = _with_status(state, observedGeneration=state.original["metadata"]["generation"])
    words = f"wait until the DaemonSet controller has looked at {name_of(state.original)}"
    return Op(WAIT_OBSERVED, ORIGINAL, state.original, words), replace(after, revisions=(*state.revisions, revision))


def adopt_step(state: SwitchState) -> Step | None:
    """The pods that were made while the guard was there, with the mark of the template as it is."""
    stale = state.stale_pods() if state.note else []
    if not stale:
        return None
    marked = {str(pod["metadata"]["uid"]): _marked(pod, state.revision) for pod in stale}
    names = ", ".join(sorted(name_of(pod) for pod in stale))
    words = f"mark as pods of the pod template, so that they are not restarted: {names}"
    pods = tuple(marked.get(str(pod["metadata"]["uid"]), pod) for pod in state.pods)
    return Op(REPLACE, PODS, state.original, words, tuple(marked.values())), replace(state, pods=pods)


def _marked(pod: Object, revision: str) -> dict[str, t.Any]:
    body = copy.deepcopy(dict(pod))
    body["metadata"]["labels"][model.REVISION] = revision
    return body


def count_step(state: SwitchState) -> Step | None:
    if state.note is None or state.is_counted:
        return None
    after = _with_status(state, updatedNumberScheduled=len(state.own_pods()))
    words = f"wait until the DaemonSet controller knows the pods of {name_of(state.original)}"
    return Op(WAIT_COUNTED, ORIGINAL, state.original, words), after


def restore_step(state: SwitchState) -> Step | None:
    note = state.note
    if note is None:
        return None
    body = copy.deepcopy(dict(state.original))
    annotations = {key: value for key, value in body["metadata"]["annotations"].items() if key != model.NOTE}
    body["metadata"]["annotations"] = annotations
    body["spec"]["updateStrategy"] = copy.deepcopy(dict(note.update_strategy))
    kind = note.update_strategy.get("type")
    words = f"give DaemonSet {name_of(state.original)} its updateStrategy back ({kind}); no pod restarts"
    return Op(REPLACE, ORIGINAL, body, words), replace(state, original=body)


def _with_status(state: SwitchState, **values: t.Any) -> SwitchState:
    original = copy.deepcopy(dict(state.original))
    original["status"] = {**(original.get("status") or {}), **values}
    return replace(state, original=original)
