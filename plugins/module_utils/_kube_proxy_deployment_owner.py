# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who would put a changed object back. Pure. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import (
    Object,
    annotations_of,
    labels_of,
)


@dataclass(frozen=True)
class Owner:
    """What manages an object, and the mark that tells."""

    name: str
    mark: str


# Labels and annotations.
_MARKS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "objectset.rio.cattle.io/id": "Rancher Fleet",
    "meta.helm.sh/release-name": "Helm",
    "addonmanager.kubernetes.io/mode": "the addon manager",
}
_MANAGERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "fleetagent": "Rancher Fleet",
    "eks": "EKS",
}


def owner_of(obj: Object) -> Owner | None:
    """The manager of an object, known by its marks or as the owner of fields; None when people manage it."""
    marks: dict[str, t.Any] = {**labels_of(obj), **annotations_of(obj)}
    for mark, name in _MARKS.items():
        if mark in marks:
            return Owner(name, f"{mark}: {marks[mark]}")
    for fields in (obj.get("metadata") or {}).get("managedFields") or []:
        manager = str(fields.get("manager"))
        if manager in _MANAGERS:
            return Owner(_MANAGERS[manager], f"field manager {manager}")
    return None
