# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The second pair of a switch, made and taken away: which request comes next. Pure. Private to this collection.

Each step looks at the objects as they are and says what it would write, so that an interrupted run is taken up where it ended.
"""

from __future__ import annotations

import copy
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_switch_model as model
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import KEY
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import Object
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_rollout import CONFIG_VERSION
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import Note
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_state import SwitchState

CREATE = "create"
REPLACE = "replace"
DELETE = "delete"
WAIT_OBSERVED = "wait until the controller has looked at it"
WAIT_COUNTED = "wait until the controller knows its pods"

ORIGINAL = "original"
SECOND_CONFIG = "second_config"
SECOND = "second"
PODS = "pods"


@dataclass(frozen=True)
class Op:
    """One request (or one wait): the object as it shall be. C(pods) are many of one kind, a request each."""

    kind: str
    what: str
    body: Object
    words: str
    pods: tuple[Object, ...] = ()


Step = t.Tuple[Op, SwitchState]


def note_step(state: SwitchState, mode: str, mode_before: str) -> Step | None:
    """OnDelete and the note, with the template as it is: from here on nothing restarts by itself."""
    note = state.note
    if note is None:
        config = state.config
        note = Note(
            mode=mode,
            mode_before=mode_before,
            update_strategy=state.original["spec"].get("updateStrategy") or {},
            affinity=model.without_guard(model.affinity_of(state.template)),
            revision=state.revision,
            config_version=str(config["metadata"].get("resourceVersion") or ""),
            config_hash=model.hash_of(str(config["data"][KEY])),
        )
    elif state.original["spec"].get("updateStrategy") == model.ON_DELETE:
        return None
    body = copy.deepcopy(dict(state.original))
    body["metadata"]["annotations"] = {**(body["metadata"].get("annotations") or {}), model.NOTE: note.text()}
    body["spec"]["updateStrategy"] = dict(model.ON_DELETE)
    words = f"let DaemonSet {name_of(state.original)} restart nothing by itself (OnDelete), and note in it how it was"
    return Op(REPLACE, ORIGINAL, body, words), replace(state, original=body)


def guard_step(state: SwitchState) -> Step | None:
    if state.is_guarded:
        return None
    body = copy.deepcopy(dict(state.original))
    body["spec"]["template"] = model.with_affinity(state.template, model.guarded(model.affinity_of(state.template)))
    words = f"keep DaemonSet {name_of(state.original)} off nodes with the label {model.LABEL}"
    return Op(REPLACE, ORIGINAL, body, words), replace(state, original=body)


def config_step(state: SwitchState, name: str, mode: str, text: str) -> Step | None:
    """C(text) is what the second pair's kube-proxy shall read."""
    words = f"ConfigMap {name}"
    found = state.second_config
    if found is None:
        namespace = state.config["metadata"]["namespace"]
        body: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, "labels": {model.MARK: mode}},
            "data": {**state.config["data"], KEY: text},
        }
        return Op(CREATE, SECOND_CONFIG, body, f"make {words}, with mode {mode}"), replace(state, second_config=body)
    if (found.get("data") or {}).get(KEY) == text:
        return None
    body = {**found, "data": {**(found.get("data") or {}), KEY: text}}
    return Op(REPLACE, SECOND_CONFIG, body, f"change {words}"), replace(state, second_config=body)


def second_step(state: SwitchState, config_name: str, mode: str) -> Step | None:
    """The second DaemonSet: the original's pods with another ConfigMap, another label, on nodes with the mode's label."""
    name = state.name + model.SUFFIX
    spec = {
        "selector": {"matchLabels": {model.MARK: mode}},
        "template": _second_template(state, config_name, mode),
        "updateStrategy": dict(model.ON_DELETE),
    }
    found = state.second
    if found is None:
        metadata = {"name": name, "namespace": state.original["metadata"]["namespace"], "labels": {model.MARK: mode}}
        body: Object = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec}
        words = f"make DaemonSet {name} for nodes with the label {model.LABEL}={mode}"
        return Op(CREATE, SECOND, body, words), replace(state, second=body)
    if {key: found["spec"].get(key) for key in spec} == spec:
        return None
    body = {**found, "spec": {**found["spec"], **spec}}
    return Op(REPLACE, SECOND, body, f"change DaemonSet {name}; no pod restarts"), replace(state, second=body)


def _second_template(state: SwitchState, config_name: str, mode: str) -> dict[str, t.Any]:
    template = state.original_template
    own = (state.original["spec"].get("selector") or {}).get("matchLabels") or {}
    metadata = template["metadata"] = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key not in own}
    metadata["labels"] = {**labels, model.MARK: mode}
    annotations = metadata.pop("annotations", None) or {}
    kept = {key: value for key, value in annotations.items() if key != CONFIG_VERSION}
    metadata.update({"annotations": kept} if kept else {})
    spec = template["spec"]
    spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), model.LABEL: mode}
    for volume in spec.get("volumes") or []:
        if (volume.get("configMap") or {}).get("name") == state.config["metadata"]["name"]:
            volume["configMap"]["name"] = config_name
    return template
