# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both pairs of a switch as the API has them, and what follows from that. Pure. Private to this collection.

Source for what restarts pods: C(rollingUpdate), C(findUpdatedPodsOnNode), C(constructHistory) and C(updateDaemonSetStatus) in
C(pkg/controller/daemon) of release 1.37. A pod is replaced when its C(controller-revision-hash) is not that of the DaemonSet's
newest revision, and only under RollingUpdate; C(status.updatedNumberScheduled) counts the pods that the controller knows to have it.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_switch_model as model
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import Object, labels_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import is_alive, is_owned_by
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import Note


@dataclass(frozen=True)
class SwitchState:
    """The objects of both pairs as the API server has them (None: there is none).

    :param pods: of the namespace
    :param revisions: the original DaemonSet's
    """

    original: Object
    config: Object
    second: Object | None
    second_config: Object | None
    nodes: tuple[Object, ...]
    pods: tuple[Object, ...]
    revisions: tuple[Object, ...]

    def having(self, what: str, obj: Object | None) -> SwitchState:
        """With another object in the field of that name."""
        fields: dict[str, t.Any] = {what: obj}
        return replace(self, **fields)

    @property
    def name(self) -> str:
        return str(self.original["metadata"]["name"])

    @property
    def template(self) -> Object:
        found: Object = self.original["spec"]["template"]
        return found

    @property
    def note(self) -> Note | None:
        return Note.of(self.original)

    @property
    def is_guarded(self) -> bool:
        return model.has_guard(model.affinity_of(self.template))

    @property
    def mode(self) -> str:
        """The mode of the switch that is in progress; empty when none is."""
        note = self.note
        return (note.mode if note else "") or model.mark_of(self.second) or model.mark_of(self.second_config)

    @property
    def is_observed(self) -> bool:
        """Whether the DaemonSet controller has looked at the original as it is."""
        status = self.original.get("status") or {}
        return int(status.get("observedGeneration") or 0) >= int(self.original["metadata"].get("generation") or 0)

    @property
    def original_template(self) -> dict[str, t.Any]:
        """The pod template without the guard."""
        affinity = model.original_affinity(model.affinity_of(self.template), self.note)
        return model.with_affinity(self.template, affinity)

    def own_pods(self) -> list[Object]:
        return [pod for pod in self.pods if is_alive(pod) and is_owned_by(pod, (self.name,))]

    @property
    def revision(self) -> str:
        """The hash of the newest revision: the template's, once the controller has observed it."""
        newest = max(self.revisions, key=lambda one: int(one.get("revision") or 0), default={})
        return str(labels_of(newest).get(model.REVISION) or "")

    def stale_pods(self) -> list[Object]:
        """Pods that differ from the original template in nothing but the guard, which no pod keeps."""
        wanted = _bare(self.original_template)
        hashes = {
            labels_of(one).get(model.REVISION)
            for one in self.revisions
            if _is_guarded_form(_template_of(one), wanted, self.note)
        }
        return [pod for pod in self.own_pods() if labels_of(pod).get(model.REVISION) in hashes - {self.revision}]

    @property
    def is_counted(self) -> bool:
        """Whether the controller knows of every pod of the newest revision that it is one: it reads pods and
        DaemonSets apart, and would replace one that it still has in mind with the old mark."""
        nodes = {
            (pod.get("spec") or {}).get("nodeName")
            for pod in self.own_pods()
            if labels_of(pod).get(model.REVISION) == self.revision
        }
        return int((self.original.get("status") or {}).get("updatedNumberScheduled") or 0) >= len(nodes)


def _template_of(revision: Object) -> Object:
    """A ControllerRevision's pod template; the controller keeps it as a patch."""
    found = (((revision.get("data") or {}).get("spec") or {}).get("template")) or {}
    return {key: value for key, value in found.items() if key != "$patch"}


def _is_guarded_form(template: Object, wanted: t.Any, note: Note | None) -> bool:
    affinity = model.affinity_of(template)
    if not model.has_guard(affinity):
        return False
    return bool(_bare(model.with_affinity(template, model.original_affinity(affinity, note))) == wanted)


def _bare(value: t.Any) -> t.Any:
    """Without nulls: releases differ in whether they write C(creationTimestamp: null) into a template."""
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items() if inner is not None}
    return [_bare(inner) for inner in value] if isinstance(value, list) else value
