# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which pods of a node a drain evicts, which it leaves, and what stands in the way. Pure. Private to this collection.

Source: C(makeFilters) in C(k8s.io/kubectl/pkg/drain/filters.go) with C(--ignore-daemonsets), and
C(getPodDisruptionBudgets) in C(pkg/registry/core/pod/storage/eviction.go) of release 1.37 (which budgets an eviction asks). Beyond
kubectl, pods stay that tolerate a cordon (C(pkg/scheduler/framework/plugins/nodeunschedulable)): what takes their place may come at once.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import (
    Object,
    annotations_of,
    labels_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._label_selector import selects

_MIRROR = "kubernetes.io/config.mirror"
_CORDON = "node.kubernetes.io/unschedulable"
# How many pods are named in a message.
_NAMED = 20


@dataclass(frozen=True)
class Consent:
    """What may be lost: C(kubectl drain)'s C(--delete-emptydir-data) and C(--force)."""

    empty_dir_data: bool
    unmanaged: bool


def evictable(pods: t.Iterable[Object]) -> list[Object]:
    """The pods that have to go: not those that would come again, as pods of DaemonSets do, and not mirrors of static pods."""
    return [pod for pod in pods if not _stays(pod)]


def staying(pods: t.Iterable[Object]) -> list[Object]:
    return [pod for pod in pods if _stays(pod)]


def _stays(pod: Object) -> bool:
    return _MIRROR in annotations_of(pod) or (_comes_again(pod) and not _is_over(pod))


def _comes_again(pod: Object) -> bool:
    owner = _controller(pod)
    if owner is None:
        return False
    tolerations = (pod.get("spec") or {}).get("tolerations") or []
    return owner.get("kind") == "DaemonSet" or any(map(_tolerates_a_cordon, tolerations))


def _tolerates_a_cordon(toleration: Object) -> bool:
    """The taint has no value, and the effect NoSchedule."""
    of_key = toleration.get("key") == _CORDON and not toleration.get("value")
    of_any = not toleration.get("key") and toleration.get("operator") == "Exists"
    return (of_key or of_any) and toleration.get("effect") in (None, "", "NoSchedule")


def _controller(pod: Object) -> Object | None:
    owners = (pod.get("metadata") or {}).get("ownerReferences") or []
    return next((one for one in owners if one.get("controller")), None)


def _is_over(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_leaving(pod: Object) -> bool:
    return bool((pod.get("metadata") or {}).get("deletionTimestamp"))


def refuse(node: str, pods: t.Iterable[Object], consent: Consent) -> None:
    """Raise when a pod would be lost, or its data, and nobody has agreed to that."""
    problems = []
    alive = [pod for pod in pods if not _is_over(pod) and not is_leaving(pod)]
    unmanaged = [name_of(pod) for pod in alive if _controller(pod) is None]
    if unmanaged and not consent.unmanaged:
        problems.append((f"nothing would make these pods anew: {_list(unmanaged)}", "force=true"))
    local = [name_of(pod) for pod in alive if _has_empty_dir(pod)]
    if local and not consent.empty_dir_data:
        problems.append((f"these pods have data in an emptyDir volume: {_list(local)}", "delete_empty_dir_data=true"))
    if problems:
        raise KubeProxyError(
            f"Node {node} cannot be drained without loss",
            "; ".join(seen for seen, _option in problems),
            f"Move them elsewhere, or agree to the loss with {' and '.join(option for _seen, option in problems)}.",
            {"unmanaged": unmanaged, "with_data": local},
        )


def _has_empty_dir(pod: Object) -> bool:
    volumes = (pod.get("spec") or {}).get("volumes") or []
    return any(volume.get("emptyDir") is not None for volume in volumes)


def _list(names: t.Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(sorted(names)[:_NAMED]) + more


def budgets_of(pod: Object, budgets: t.Iterable[Object]) -> list[str]:
    """The PodDisruptionBudgets that an eviction of a pod asks, with what they allow now.

    One whose selector is not understood counts: it may be the one.
    """
    namespace = (pod.get("metadata") or {}).get("namespace")
    return [
        f"{name_of(one)} (allows {(one.get('status') or {}).get('disruptionsAllowed', 0)} more)"
        for one in budgets
        if (one.get("metadata") or {}).get("namespace") == namespace
        and selects((one.get("spec") or {}).get("selector"), labels_of(pod)) is not False
    ]


def in_the_way(pod: Object, refusal: str, budgets: t.Iterable[Object]) -> str:
    """A pod that is still there, and why."""
    if is_leaving(pod):
        since = (pod.get("metadata") or {}).get("deletionTimestamp")
        return f"pod {name_of(pod)} is ending (it has until {since})"
    asked = budgets_of(pod, budgets)
    by = f", held by PodDisruptionBudget {', '.join(asked)}" if asked else ""
    return f"pod {name_of(pod)} is not evicted{by}{f': {refusal}' if refusal else ''}"
