# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy's ConfigMap and DaemonSet as they were, and the way back to them. Pure. Private to this collection.

Source for what restarts pods: C(rollingUpdate) in pkg/controller/daemon/update.go of release 1.37. Under RollingUpdate the
controller replaces every pod that is not of the newest template; under OnDelete it replaces none.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_rollout import CONFIG_VERSION
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import NOTE, ON_DELETE
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import FORMAT, check_format, wrong

Object = t.Dict[str, t.Any]

CONFIG_MAP, DAEMON_SET = "ConfigMap", "DaemonSet"
# Of the pod template: they ask for a restart and say nothing else. Written back, they would be the cause of one.
_RESTARTS = (CONFIG_VERSION, "kubectl.kubernetes.io/restartedAt")
_DATA = ("data", "binaryData")

ROLLS_AGAIN = (
    "The DaemonSet's updateStrategy is OnDelete, so that no pod restarts by itself. Restart kube-proxy on one node after the other "
    "(netops.kube_proxy.kube_proxy_pod), then run this again: it puts RollingUpdate back."
)
READ_AT_START = (
    "kube-proxy reads its ConfigMap only when it starts. Restart it on one node after the other (netops.kube_proxy.kube_proxy_pod), and "
    "have what another mode left removed (netops.kube_proxy.kube_proxy_cleanup)."
)


@dataclass(frozen=True)
class Objects:
    """The two objects as the API server has them (None: there is none).

    :param cluster: the uid of the namespace kube-system, by which clusters are told apart
    :param second: whether a second pair of a switch is there
    """

    config_map: Object | None
    daemon_set: Object | None
    cluster: str = ""
    second: bool = False

    def render(self) -> str:
        """What a restore is about: the ConfigMap's texts, and the DaemonSet's specification."""
        texts = [
            f"# {CONFIG_MAP} {key} {name}\n{text}\n"
            for key in _DATA
            for name, text in sorted(((self.config_map or {}).get(key) or {}).items())
        ]
        spec = (self.daemon_set or {}).get("spec")
        return "".join(texts) + (f"# {DAEMON_SET}\n{json.dumps(spec, indent=2, sort_keys=True)}\n" if spec else "")

    def as_value(self, taken_at: str) -> Object:
        """For a file."""
        return {
            "format": FORMAT,
            "taken_at": taken_at,
            "cluster": self.cluster,
            "config_map": self.config_map,
            "daemon_set": self.daemon_set,
        }


def objects_of(value: t.Any, namespace: str, config_map: str, daemon_set: str) -> Objects:
    """What C(Objects.as_value) made of them.

    :raises InvalidInput: for anything else, and for a snapshot of other objects
    """
    check_format(value, "a cluster")
    names = ((CONFIG_MAP, "config_map", config_map), (DAEMON_SET, "daemon_set", daemon_set))
    found = [_object(value, kind, key, namespace, name) for kind, key, name in names]
    texts = [(found[0].get(key) or {}) for key in _DATA]
    if not all(isinstance(x, dict) and all(isinstance(one, str) for one in x.values()) for x in texts):
        raise wrong("config_map", texts)
    if not isinstance((found[1].get("spec") or {}).get("template"), dict):
        raise wrong("daemon_set", found[1].get("spec"))
    if NOTE in (found[1]["metadata"].get("annotations") or {}):
        raise InvalidInput(
            "This snapshot was taken while a switch of mode was in progress",
            f"its DaemonSet has the annotation {NOTE}",
            "Use the one that was taken before the switch.",
        )
    return Objects(found[0], found[1], str(value.get("cluster") or ""))


def _object(value: Object, kind: str, key: str, namespace: str, name: str) -> Object:
    found = value.get(key)
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise wrong(key, found)
    seen = f"{found['metadata'].get('namespace')}/{found['metadata'].get('name')}"
    if seen != f"{namespace}/{name}":
        raise InvalidInput(
            f"The snapshot is of another {kind}",
            f"it has {seen}, and {namespace}/{name} is meant",
            "Name it with the options namespace, config_map and daemon_set.",
        )
    return found


def plan_objects(then: Objects, now: Objects) -> tuple[Plan[Objects, str], tuple[str, ...]]:
    """What is written, by kind, and what is to be done by people afterwards.

    :raises KubeProxyError: where it cannot be written, or must not be now
    """
    _refuse(then, now)
    after = replace(now, config_map=_config_map(then.config_map or {}, now.config_map))
    actions, later = [], []
    if after.config_map != now.config_map:
        actions.append(
            f"{'Put back the data of' if now.config_map else 'Create'} {CONFIG_MAP} {_name(then.config_map)}"
        )
        later.append(READ_AT_START)
    daemon_set, sentence = _daemon_set(then.daemon_set or {}, now.daemon_set)
    after = replace(after, daemon_set=daemon_set)
    if after.daemon_set != now.daemon_set:
        actions.append(
            f"{'Put back the spec of' if now.daemon_set else 'Create'} {DAEMON_SET} {_name(then.daemon_set)}"
        )
    later += [sentence] if sentence else []
    changed = [kind for kind, old, new in _pairs(now, after) if old != new]
    return Plan(now, after, tuple(changed), tuple(actions)), tuple(later)


def _pairs(now: Objects, after: Objects) -> tuple[tuple[str, Object | None, Object | None], ...]:
    return ((CONFIG_MAP, now.config_map, after.config_map), (DAEMON_SET, now.daemon_set, after.daemon_set))


def _refuse(then: Objects, now: Objects) -> None:
    if then.cluster != now.cluster:
        raise InvalidInput(
            "The snapshot is of another cluster",
            f"its namespace kube-system has the uid {then.cluster or 'unknown'}, and here it is {now.cluster or 'unknown'}",
            "Name the right kubeconfig, or the right snapshot.",
        )
    if now.second or NOTE in ((now.daemon_set or {}).get("metadata", {}).get("annotations") or {}):
        raise KubeProxyError(
            "A switch of mode is in progress, and kube-proxy's objects are not put back in the middle of it",
            remedy="Finish it by running its playbook again, or undo it, then run this again.",
        )
    if now.daemon_set and now.daemon_set["spec"].get("selector") != (then.daemon_set or {})["spec"].get("selector"):
        raise KubeProxyError(
            "The DaemonSet's selector is another one than in the snapshot, and the API server lets nobody change it",
            remedy="Delete the DaemonSet (its pods go with it), then run this again: it is created as it was.",
        )


def _name(obj: Object | None) -> str:
    metadata = (obj or {}).get("metadata") or {}
    return f"{metadata.get('namespace')}/{metadata.get('name')}"


def _created(obj: Object, *keys: str) -> Object:
    """As it can be given to the API server anew: without what that server adds."""
    kept = {
        key: value for key, value in obj["metadata"].items() if key in ("name", "namespace", "labels", "annotations")
    }
    return {**{key: obj[key] for key in ("apiVersion", "kind", *keys) if key in obj}, "metadata": kept}


def _config_map(then: Object, now: Object | None) -> Object:
    if now is None:
        return _created(then, *_DATA, "immutable")
    if all((then.get(key) or {}) == (now.get(key) or {}) for key in _DATA):
        return now
    if now.get("immutable"):
        raise KubeProxyError(
            f"{CONFIG_MAP} {_name(now)} is immutable",
            remedy="Delete it, then run this again: it is created as it was.",
        )
    rest = {key: value for key, value in now.items() if key not in _DATA}
    return {**rest, **{key: then[key] for key in _DATA if then.get(key)}}


def _daemon_set(then: Object, now: Object | None) -> tuple[Object, str]:
    """The DaemonSet that is written, and what is to be done for the rest. Its pods are left alone in any case."""
    if now is None:
        return _created(then, "spec"), ""
    wanted = {**then["spec"], "template": _keeping_restarts(then["spec"]["template"], now["spec"]["template"])}
    if _bare(wanted) == _bare(now["spec"]):
        return now, ""
    rolls = (wanted.get("updateStrategy") or {}).get("type", "RollingUpdate") != ON_DELETE["type"]
    same_template = _bare(wanted["template"]) == _bare(now["spec"]["template"])
    if not rolls or (same_template and _is_rolled_out(now)):
        return {**now, "spec": wanted}, ""
    held = {**wanted, "updateStrategy": dict(ON_DELETE)}
    return (now if _bare(held) == _bare(now["spec"]) else {**now, "spec": held}), ROLLS_AGAIN


def _is_rolled_out(daemon_set: Object) -> bool:
    """Whether every pod is of the present template."""
    status, generation = daemon_set.get("status") or {}, daemon_set["metadata"].get("generation") or 0
    seen = int(status.get("observedGeneration") or 0) >= int(generation)
    return seen and int(status.get("updatedNumberScheduled") or 0) >= int(status.get("desiredNumberScheduled") or 0)


def _keeping_restarts(then: Object, now: Object) -> Object:
    """The template with today's marks of restarts."""
    metadata = dict(then.get("metadata") or {})
    present = (now.get("metadata") or {}).get("annotations") or {}
    annotations = {
        key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key not in _RESTARTS
    }
    annotations.update({key: present[key] for key in _RESTARTS if key in present})
    return {**then, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}


def _bare(value: t.Any) -> t.Any:
    """Without what is null or empty: releases differ in whether they write it."""
    if isinstance(value, dict):
        found = {key: _bare(inner) for key, inner in value.items()}
        return {key: inner for key, inner in found.items() if inner not in (None, {}, [])}
    return [_bare(inner) for inner in value] if isinstance(value, list) else value
