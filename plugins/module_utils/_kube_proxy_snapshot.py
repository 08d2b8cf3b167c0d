# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy's ConfigMap and DaemonSet as a snapshot keeps them. Pure. Private to this collection.

Sources: C(daemonSetStrategy.PrepareForUpdate) in C(pkg/registry/apps/daemonset/strategy.go) (status and
C(deprecated.daemonset.template.generation) are the server's), C(KubeProxyConfigMap19) in
C(cmd/kubeadm/app/phases/addons/proxy/manifests.go) of 1.31 to 1.37 (kubeadm's C(kubeconfig.conf) names the file of a token and
holds none).
"""

from __future__ import annotations

import copy
import hashlib
import json
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import KEY, read_document
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import (
    Object,
    annotations_of,
    labels_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import LABEL, NOTE
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_snapshot import CLUSTER, FORMAT, require

CONFIG_MAP, DAEMON_SET = "config_map", "daemon_set"
KINDS = {CONFIG_MAP: ("v1", "ConfigMap"), DAEMON_SET: ("apps/v1", "DaemonSet")}
# The API server's own.
GENERATION = "deprecated.daemonset.template.generation"

Body = t.Dict[str, t.Any]


@dataclass(frozen=True)
class Objects:
    """Both objects as the API server has them (None: there is none), and what tells of a switch node by node.

    :param cluster: the uid of the Namespace kube-system, which is another one in every cluster
    :param switch: what there is of a switch, in words
    """

    config_map: Object | None
    daemon_set: Object | None
    cluster: str
    switch: tuple[str, ...] = ()

    def get(self, what: str) -> Object | None:
        found: Object | None = getattr(self, what)
        return found


def snapshot_of(objects: Objects) -> Body:
    """What is kept of a cluster.

    :raises KubeProxyError: when one of the objects is not there
    """
    found: Body = {"format": FORMAT, "kind": CLUSTER, "cluster": objects.cluster}
    for what, (_version, kind) in KINDS.items():
        obj = objects.get(what)
        if obj is None:
            raise KubeProxyError(
                f"There is no {kind} of kube-proxy to keep", remedy="Name its objects with the options of this module."
            )
        found[what] = bare(what, obj)
    return found


def bare(what: str, obj: Object) -> Body:
    """An object as it was made: without its status and without what the API server keeps in it."""
    version, kind = KINDS[what]
    metadata = obj["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
    annotations = {key: value for key, value in annotations_of(obj).items() if key != GENERATION}
    body: Body = {"apiVersion": version, "kind": kind, "metadata": {**kept, "labels": dict(labels_of(obj))}}
    body["metadata"]["annotations"] = annotations
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return {**body, **copy.deepcopy(rest)}


def checked(snapshot: t.Any) -> Object:
    """A cluster's snapshot.

    :raises InvalidInput: for anything else, and for one that was taken in the middle of a switch
    """
    found = require(snapshot, CLUSTER)
    if any(not isinstance(found.get(what), dict) for what in KINDS) or KEY not in (found[CONFIG_MAP].get("data") or {}):
        raise InvalidInput("This snapshot lacks kube-proxy's ConfigMap or DaemonSet", remedy="Give an unchanged one.")
    if NOTE in annotations_of(found[DAEMON_SET]):
        raise InvalidInput(
            "This snapshot was taken in the middle of a switch, and is none to go back to",
            f"its DaemonSet has the annotation {NOTE}",
            "Give the one that the run has made which began the switch.",
        )
    return found


def mode_in(config_map: Object | None) -> str:
    """The mode that a ConfigMap names; empty for none."""
    text = str(((config_map or {}).get("data") or {}).get(KEY) or "")
    return str(read_document(text).values.get("mode") or "") if text else ""


def switch_marks(daemon_set: Object | None, second: t.Iterable[Object | None], nodes: t.Iterable[Object]) -> list[str]:
    """What there is of a switch node by node, in words."""
    noted = daemon_set is not None and NOTE in annotations_of(daemon_set)
    found = [f"annotation {NOTE} of DaemonSet {name_of(daemon_set)}"] if daemon_set and noted else []
    found += [f"{one.get('kind') or 'object'} {name_of(one)}" for one in second if one is not None]
    return found + [f"label {LABEL} of node {name_of(node)}" for node in nodes if LABEL in labels_of(node)]


def render(objects: Objects) -> str:
    """For the diff. Of a ConfigMap's other texts only a sum is shown: one that is not kubeadm's may hold a secret."""
    config_map, daemon_set = objects.config_map, objects.daemon_set
    if config_map is None:
        text = "--- no ConfigMap\n"
    else:
        shown = bare(CONFIG_MAP, config_map)
        data = dict(shown.pop("data", None) or {})
        config = str(data.pop(KEY, ""))
        shown["data"] = {
            key: f"sha256:{hashlib.sha256(str(value).encode()).hexdigest()}" for key, value in data.items()
        }
        text = f"{_json(shown)}--- {KEY}\n{config.rstrip(chr(10))}\n"
    return text + (_json(bare(DAEMON_SET, daemon_set)) if daemon_set is not None else "--- no DaemonSet\n")


def _json(value: t.Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
