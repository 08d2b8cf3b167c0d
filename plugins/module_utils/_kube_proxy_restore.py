# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back to what a snapshot has of kube-proxy's ConfigMap and DaemonSet. Pure. Private to this collection."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import (
    Object,
    annotations_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_owner import owner_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_rollout import CONFIG_VERSION, RESTARTED_AT
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_snapshot import (
    CONFIG_MAP,
    DAEMON_SET,
    GENERATION,
    KINDS,
    Body,
    Objects,
    bare,
)

# When pods were started, and not how kube-proxy is: to put these back would restart every pod for nothing.
_OF_RESTARTS = (CONFIG_VERSION, RESTARTED_AT)
_NAMED = 10


class Put(t.NamedTuple):
    """One request to the API server. C(is_new): there is no such object."""

    what: str
    body: Body
    is_new: bool


RestorePlan = Plan[Objects, Put]


def plan_restore(snapshot: Object, before: Objects) -> RestorePlan:
    """What has to be written.

    :raises KubeProxyError: while a switch is under way, for another cluster, and where something else would undo it
    """
    _refuse(snapshot, before)
    puts, actions, after = [], [], {}
    for what in KINDS:
        there, body = before.get(what), _body(what, snapshot[what], before.get(what))
        after[what] = body
        changed = [] if there is None else _changed(bare(what, there), bare(what, body))
        if there is not None and not changed:
            continue
        _refuse_owner(there)
        puts.append(Put(what, body, there is None))
        actions.append(_words(what, body, changed, there is None))
    return Plan(before, Objects(after[CONFIG_MAP], after[DAEMON_SET], before.cluster), tuple(puts), tuple(actions))


def must_restart(plan: RestorePlan) -> bool:
    """Whether every kube-proxy has to start anew: what it reads, or how it is run, becomes another."""
    before, after = plan.before.daemon_set, plan.after.daemon_set
    templates = [_template(one) for one in (before, after) if one is not None]
    return any(put.what == CONFIG_MAP for put in plan.operations) or bool(_changed(templates[0], templates[-1]))


def _template(daemon_set: Object) -> t.Any:
    return daemon_set["spec"]["template"]


def _body(what: str, saved: Object, there: Object | None) -> Body:
    """The saved object; of the one that is there stays what the server keeps in it, and who owns it."""
    body = copy.deepcopy(dict(saved))
    if what == DAEMON_SET:
        _keep_restarts(body, there)
    if there is None:
        return body
    kept = {key: value for key, value in there["metadata"].items() if key not in ("labels", "annotations")}
    marks = {key: value for key, value in annotations_of(there).items() if key == GENERATION}
    metadata = body["metadata"]
    body["metadata"] = {**kept, "labels": metadata.get("labels") or {}}
    body["metadata"]["annotations"] = {**(metadata.get("annotations") or {}), **marks}
    return {**body, **({"status": there["status"]} if "status" in there else {})}


def _keep_restarts(body: Body, there: Object | None) -> None:
    now = annotations_of(there["spec"]["template"]) if there is not None else {}
    metadata = body["spec"]["template"].setdefault("metadata", {})
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _OF_RESTARTS}
    annotations.update({key: now[key] for key in _OF_RESTARTS if key in now})
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations


def _refuse(snapshot: Object, before: Objects) -> None:
    if snapshot.get("cluster") != before.cluster:
        raise KubeProxyError(
            "This is the snapshot of another cluster; nothing was changed",
            f"Namespace kube-system had the uid {snapshot.get('cluster')}, and has {before.cluster} here",
            "Give one of this cluster's, or another kubeconfig.",
        )
    if before.switch:
        raise KubeProxyError(
            "A switch node by node is under way; nothing was changed",
            "; ".join(before.switch),
            "Finish it (run the switch again), or undo it (-e switch_action=rollback), then restore.",
        )


def _refuse_owner(there: Object | None) -> None:
    owner = owner_of(there) if there is not None else None
    if there is not None and owner is not None:
        raise KubeProxyError(
            f"{there.get('kind') or 'Object'} {name_of(there)} is managed by {owner.name}; nothing was changed",
            owner.mark,
            f"{owner.name} would undo it: put it back there.",
        )
    if there is not None and there.get("immutable"):
        raise KubeProxyError(
            f"ConfigMap {name_of(there)} is immutable",
            remedy="Delete it, then run again: it is made anew.",
        )


def _words(what: str, body: Body, changed: t.Sequence[str], is_new: bool) -> str:
    name = f"{KINDS[what][1]} {name_of(body)}"
    if is_new:
        return f"make {name} anew"
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    restarts = ""
    rolling = what == DAEMON_SET and (body["spec"].get("updateStrategy") or {}).get("type") != "OnDelete"
    if rolling and any(path.startswith("spec.template") for path in changed):
        restarts = ", upon which its controller restarts kube-proxy on every node"
    return f"put back {name}: {', '.join(changed[:_NAMED])}{more}{restarts}"


def _changed(there: t.Any, wanted: t.Any, path: str = "") -> list[str]:
    """The paths at which two values differ; nulls and what is empty count as nothing."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = sorted({*there, *wanted})
        found = (_changed(there.get(key), wanted.get(key), f"{path}.{key}" if path else str(key)) for key in keys)
        return [one for several in found for one in several]
    if isinstance(there, list) and isinstance(wanted, list) and len(there) == len(wanted):
        pairs = enumerate(zip(there, wanted))
        return [one for number, (a, b) in pairs for one in _changed(a, b, f"{path}[{number}]")]
    return [] if there == wanted or (_is_nothing(there) and _is_nothing(wanted)) else [path]


def _is_nothing(value: t.Any) -> bool:
    return value is None or value in ({}, [])
