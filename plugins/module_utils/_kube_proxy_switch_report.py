# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of a switch: where it stands, why it is refused, what differs. Pure. Private to this collection."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_switch_model as model
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import KEY, read_document
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import Object, labels_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_owner import owner_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import (
    ProxyPod,
    is_kube_proxy,
    is_owned_by,
    is_there,
    parse_pod,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_state import SwitchState

# How many differing settings are named.
_NAMED = 10


def phase(state: SwitchState) -> str:
    """C(none), C(ready) (nodes can be moved), or C(begun): something of it is there, or still there."""
    parts = (
        state.note is not None,
        state.is_guarded,
        state.second_config is not None,
        state.second is not None,
    )
    if all(parts) and state.original["spec"].get("updateStrategy") == model.ON_DELETE:
        return "ready"
    return "begun" if any(parts) else "none"


def facts(state: SwitchState) -> dict[str, t.Any]:
    """The phase, the modes, and every node with the pod that is there."""
    note = state.note
    configured = mode_in(state.config)
    pods = _pods_by_node(state)
    return {
        "phase": phase(state),
        "mode": {
            "before": note.mode_before if note else configured,
            "after": state.mode or configured,
            "configured": configured,
        },
        "nodes": [_node_facts(node, pods.get(name_of(node), [])) for node in sorted(state.nodes, key=name_of)],
    }


def mode_in(config: Object) -> str:
    return str(read_document(config["data"][KEY]).values.get("mode") or "")


def _node_facts(node: Object, pods: t.Sequence[ProxyPod]) -> dict[str, t.Any]:
    pod = min(pods, key=lambda one: (one.leaving, not one.ready, one.name), default=None)
    return {
        "name": name_of(node),
        "label": str(labels_of(node).get(model.LABEL) or ""),
        "daemon_set": pod.daemon_set if pod else "",
        "uid": pod.uid if pod else "",
        "ready": bool(pod and pod.ready and not pod.leaving),
    }


def _pods_by_node(state: SwitchState) -> dict[str, list[ProxyPod]]:
    own = model.pair(state.name)
    found: dict[str, list[ProxyPod]] = {}
    for pod in state.pods:
        if is_there(pod) and (is_owned_by(pod, own) or is_kube_proxy(pod)):
            parsed = parse_pod(pod)
            found.setdefault(parsed.node, []).append(parsed)
    return found


def refuse_present(state: SwitchState, mode: str) -> None:
    """Raise where the second pair cannot be made, or is another mode's."""
    if not mode:
        raise InvalidInput(
            "mode is required to begin a switch",
            "no switch is in progress",
            "Name the mode to go to with the option mode.",
        )
    if state.mode and state.mode != mode:
        raise KubeProxyError(
            f"A switch to {state.mode} is in progress; nothing was changed",
            _progress(state),
            f"Finish it (run again with mode {state.mode}), or undo it: hand its nodes back (kube_proxy_node with "
            "run_by=original), then kube_proxy_switch with state=absent.",
        )
    for found in (state.second_config, state.second):
        if found is not None and not model.mark_of(found):
            raise KubeProxyError(
                f"{found.get('kind') or 'An object'} {name_of(found)} is there already, and none of a switch",
                f"it has no label {model.MARK}",
                "Remove it, or give it another name.",
            )
    owner = owner_of(state.original)
    if owner is not None:
        raise KubeProxyError(
            f"DaemonSet {name_of(state.original)} is managed by {owner.name}; nothing was changed",
            owner.mark,
            f"{owner.name} would undo what a switch node by node needs: stop it for so long, or change the mode there.",
        )
    if (state.original["spec"].get("selector") or {}).get("matchExpressions"):
        raise KubeProxyError(
            f"DaemonSet {name_of(state.original)} selects its pods by expressions; nothing was changed",
            "it could take the second DaemonSet's pods for its own",
            "Use a DaemonSet that selects by matchLabels, as kubeadm's does.",
        )


def _progress(state: SwitchState) -> str:
    moved = [name_of(node) for node in state.nodes if labels_of(node).get(model.LABEL)]
    return f"nodes moved so far: {', '.join(sorted(moved)) or 'none'}"


def refuse_absent(state: SwitchState) -> None:
    """Raise while a node depends on the second pair, and where nothing tells how things were."""
    labelled = sorted(name_of(node) for node in state.nodes if model.LABEL in labels_of(node))
    if labelled:
        raise KubeProxyError(
            "The second pair is still needed; nothing was changed",
            f"nodes with the label {model.LABEL}: {', '.join(labelled)}",
            "Hand them back first: kube_proxy_node with run_by=original.",
        )
    second = model.pair(state.name)[1]
    left = sorted(name_of(pod) for pod in state.pods if is_there(pod) and is_owned_by(pod, (second,)))
    if left:
        raise KubeProxyError(
            f"Pods of DaemonSet {second} are still there; nothing was changed",
            ", ".join(left),
            "Wait until they are gone, then run again.",
        )
    if state.is_guarded and state.note is None:
        raise KubeProxyError(
            f"Nothing tells how DaemonSet {name_of(state.original)} was before the switch; nothing was changed",
            f"its annotation {model.NOTE} is gone, its affinity still keeps it off nodes with the label {model.LABEL}",
            "Run with state=present once, which notes the affinity anew, then again. The updateStrategy is then the one that it has now.",
        )


def differences(second: str, expected: str) -> list[str]:
    """What the second pair's text says otherwise than the original's with the same mode and settings would."""
    ours, theirs = _leaves(read_document(second).values), _leaves(read_document(expected).values)
    return [
        f"{path} is {_shown(ours, path)} in the second, {_shown(theirs, path)} by the original"
        for path in sorted({*ours, *theirs})
        if ours.get(path) != theirs.get(path)
    ]


def warning(state: SwitchState, names: tuple[str, str], found: t.Sequence[str]) -> str:
    """The differences in a sentence that says whose edit they are."""
    note = state.note
    original, second = names
    is_edited = note is not None and note.config_hash != model.hash_of(str(state.config["data"][KEY]))
    who = (
        f"ConfigMap {original} was edited since the switch began"
        if is_edited
        else f"ConfigMap {second} was edited by hand"
    )
    more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (
        f"{who}; nodes of the second DaemonSet do not follow: {'; '.join(found[:_NAMED])}{more}. "
        f"Make the same edit in both, or pass it in settings."
    )


def _leaves(value: t.Any, path: str = "") -> dict[str, t.Any]:
    if not isinstance(value, dict) or not value:
        return {path: value}
    found: dict[str, t.Any] = {}
    for key, inner in value.items():
        found.update(_leaves(inner, f"{path}.{key}" if path else str(key)))
    return found


def _shown(values: t.Mapping[str, t.Any], path: str) -> str:
    return json.dumps(values[path], default=str) if path in values else "nothing"


def render(state: SwitchState) -> str:
    """What the module changes, for the diff."""
    note = state.note
    original = {
        "note": json.loads(note.text()) if note else None,
        "updateStrategy": state.original["spec"].get("updateStrategy"),
        "affinity": model.affinity_of(state.template),
    }
    second = state.second["spec"] if state.second else None
    shown = ("template", "selector", "updateStrategy")
    marks = {name_of(pod): labels_of(pod).get(model.REVISION) for pod in sorted(state.own_pods(), key=name_of)}
    text = str((state.second_config.get("data") or {}).get(KEY) or "") if state.second_config else ""
    objects = {
        f"DaemonSet {name_of(state.original)}": original,
        f"DaemonSet {name_of(state.original)}{model.SUFFIX}": {key: second.get(key) for key in shown}
        if second
        else None,
        "pods": marks,
    }
    config = f"--- second ConfigMap\n{text}" if state.second_config else "--- no second ConfigMap\n"
    return json.dumps(objects, indent=2, sort_keys=True) + "\n" + config
