# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The second pair of a switch: its names, the guard that keeps the first pair off its nodes, and the note of how things were.

Pure. Private to this collection. Sources: C(ReplaceDaemonSetPodNodeNameNodeAffinity) in
C(pkg/controller/daemon/util/daemonset_util.go) (the controller puts the node's name in the place of a template's required
node affinity, so a pod made with the guard equals one made without) and C(nodeAffinity) in
C(staging/src/k8s.io/component-helpers/scheduling/corev1/nodeaffinity) (terms are alternatives; an empty one matches nothing).
"""

from __future__ import annotations

import copy
import hashlib
import json
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import (
    Object,
    annotations_of,
    labels_of,
)

# A node's label: nothing (the original pair runs it), SWITCHING (nobody does) or the mode of the second pair.
LABEL = "kube-proxy.netops/mode"
SWITCHING = "switching"
# The original DaemonSet's annotation: the note.
NOTE = "kube-proxy.netops/switch"
# The label of everything that belongs to the second pair, its pods' included: the mode.
MARK = "kube-proxy.netops/switch"
SUFFIX = "-switch"
# The DaemonSet controller's label of the template that a pod or a revision is of.
REVISION = "controller-revision-hash"

GUARD = {"key": LABEL, "operator": "DoesNotExist"}
ON_DELETE = {"type": "OnDelete"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def pair(daemon_set: str) -> tuple[str, str]:
    """The DaemonSets whose pods are kube-proxy: the original one, and the second one while a switch lasts."""
    return daemon_set, daemon_set + SUFFIX


def is_moved(node: Object) -> bool:
    """Whether the second pair runs the node."""
    return labels_of(node).get(LABEL) not in (None, "", SWITCHING)


@dataclass(frozen=True)
class Note:
    """How things were when the switch began, and where it goes. Kept in the original DaemonSet.

    :param mode: the mode of the second pair
    :param mode_before: the mode that the original ConfigMap stood for
    :param affinity: the pod template's, None when it had none
    :param revision: the C(controller-revision-hash) of the template; empty when it was not known
    :param config_version: the C(resourceVersion) of the original ConfigMap
    :param config_hash: of the text that kube-proxy reads there
    """

    mode: str
    mode_before: str
    update_strategy: t.Mapping[str, t.Any]
    affinity: t.Mapping[str, t.Any] | None
    revision: str
    config_version: str
    config_hash: str

    def text(self) -> str:
        return json.dumps({name: getattr(self, field) for name, field in _FIELDS.items()}, sort_keys=True)

    @classmethod
    def of(cls, daemon_set: Object) -> Note | None:
        """The note that a DaemonSet carries, None when it has none.

        :raises KubeProxyError: for one that this collection has not written
        """
        text = annotations_of(daemon_set).get(NOTE)
        if text is None:
            return None
        try:
            values = json.loads(text)
            return cls(**{field: values[name] for name, field in _FIELDS.items()})
        except (ValueError, KeyError, TypeError) as error:
            raise KubeProxyError(
                f"The annotation {NOTE} of kube-proxy's DaemonSet cannot be read",
                f"it is {text!r}",
                "It holds the updateStrategy and the affinity to go back to. Correct it, or remove it and set both by hand.",
            ) from error


_FIELDS = {
    "mode": "mode",
    "modeBefore": "mode_before",
    "updateStrategy": "update_strategy",
    "affinity": "affinity",
    "revision": "revision",
    "configVersion": "config_version",
    "configHash": "config_hash",
}


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def guarded(affinity: Object | None) -> dict[str, t.Any]:
    """An affinity that also keeps off every node with the label. An empty term matches no node and stays empty."""
    result: dict[str, t.Any] = copy.deepcopy(dict(affinity or {}))
    result["nodeAffinity"] = node = dict(result.get("nodeAffinity") or {})
    terms = [_guarded_term(term) for term in _terms(affinity)]
    node[REQUIRED] = {"nodeSelectorTerms": terms or [{"matchExpressions": [dict(GUARD)]}]}
    return result


def _guarded_term(term: dict[str, t.Any]) -> dict[str, t.Any]:
    expressions = term.get("matchExpressions") or []
    is_empty = not expressions and not term.get("matchFields")
    if is_empty or GUARD in expressions:
        return term
    return {**term, "matchExpressions": [*expressions, dict(GUARD)]}


def has_guard(affinity: Object | None) -> bool:
    return bool(_terms(affinity)) and guarded(affinity) == affinity


def without_guard(affinity: Object | None) -> dict[str, t.Any] | None:
    """What an affinity was before the guard, as far as it tells: what became empty is left out."""
    if affinity is None:
        return None
    result: dict[str, t.Any] = copy.deepcopy(dict(affinity))
    if not any(GUARD in (term.get("matchExpressions") or []) for term in _terms(affinity)):
        return result
    terms = []
    for term in _terms(affinity):
        left = [one for one in term.get("matchExpressions") or [] if one != GUARD]
        rest = {key: value for key, value in term.items() if key != "matchExpressions"}
        terms.append({**rest, **({"matchExpressions": left} if left else {})})
    result["nodeAffinity"] = {key: value for key, value in affinity["nodeAffinity"].items() if key != REQUIRED}
    if any(terms):
        result["nodeAffinity"][REQUIRED] = {"nodeSelectorTerms": terms}
    return {key: value for key, value in result.items() if value} or None


def _terms(affinity: Object | None) -> list[dict[str, t.Any]]:
    node = (affinity or {}).get("nodeAffinity") or {}
    terms: list[dict[str, t.Any]] = (node.get(REQUIRED) or {}).get("nodeSelectorTerms") or []
    return terms


def affinity_of(template: Object) -> t.Mapping[str, t.Any] | None:
    """A pod template's affinity; None when it has none."""
    found: t.Mapping[str, t.Any] | None = (template.get("spec") or {}).get("affinity")
    return found


def with_affinity(template: Object, affinity: Object | None) -> dict[str, t.Any]:
    """The template with this affinity and nothing else changed."""
    result = copy.deepcopy(dict(template))
    result["spec"].pop("affinity", None)
    if affinity is not None:
        result["spec"]["affinity"] = copy.deepcopy(dict(affinity))
    return result


def original_affinity(affinity: Object | None, note: Note | None) -> t.Mapping[str, t.Any] | None:
    """The affinity to go back to: the noted one, unless somebody has changed more than the guard since."""
    if note is not None and has_guard(affinity) and guarded(note.affinity) == affinity:
        return note.affinity
    return without_guard(affinity)


def mark_of(obj: Object | None) -> str:
    """The mode of the second pair that an object belongs to; empty when it is none of it."""
    return str(labels_of(obj or {}).get(MARK) or "")
