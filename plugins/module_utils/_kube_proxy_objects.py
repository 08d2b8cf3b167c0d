# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy's own objects in the API: which they are, and what they say together. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import (
    Deployment,
    Observed,
    classify,
    image_of,
    is_running,
    name_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import (
    Release,
    parse_release,
    release_of_image,
    tag_of,
)

OBJECT_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "namespace": {"type": "str", "default": "kube-system"},
    "config_map": {"type": "str", "default": "kube-proxy"},
    "daemon_set": {"type": "str", "default": "kube-proxy"},
}


@dataclass(frozen=True)
class Names:
    """What kube-proxy's objects are called."""

    namespace: str
    config_map: str
    daemon_set: str

    @classmethod
    def of(cls, params: t.Mapping[str, t.Any]) -> Names:
        return cls(params["namespace"], params["config_map"], params["daemon_set"])


@dataclass(frozen=True)
class Surroundings:
    """How kube-proxy is deployed, and in which releases. C(releases) is empty when nothing tells them."""

    deployment: Deployment
    releases: tuple[Release, ...]
    versions: dict[str, t.Any]


def look_around(api: kube.KubeApi, names: Names) -> Surroundings:
    """Four requests in the usual case; two more when there is no running DaemonSet, to name what is there instead."""
    daemon_set = api.find(kube.daemon_set(names.namespace, names.daemon_set))
    nodes = api.list_all(kube.NODES)
    running = is_running(daemon_set)
    observed = Observed(
        daemon_set=daemon_set,
        config_map=api.find(kube.config_map(names.namespace, names.config_map)) if running else None,
        config_map_name=names.config_map,
        nodes=nodes,
        daemon_sets=() if running else api.list_all(kube.DAEMON_SETS),
        pods=() if running else api.list_all(kube.pods(names.namespace)),
    )
    image = image_of(daemon_set) if daemon_set else ""
    versions = {
        "daemon_sets": {names.daemon_set: tag_of(image) or image} if daemon_set else {},
        "api_server": str(api.get(kube.VERSION).get("gitVersion") or ""),
    }
    return Surroundings(classify(observed), releases_of(image, nodes), versions)


def releases_of(image: str, nodes: t.Sequence[kube.Object]) -> tuple[Release, ...]:
    """The release that the image's tag names; for a digest or a name of one's own, those that the nodes report."""
    named = release_of_image(image)
    if named:
        return (named,)
    reported = (node_release(node) for node in nodes)
    return tuple(sorted({release for release in reported if release}))


def node_release(node: kube.Object) -> Release | None:
    """The release of a node's kube-proxy as its kubelet tells it. From 1.33 on kubelets leave C(kubeProxyVersion) empty."""
    info = (node.get("status") or {}).get("nodeInfo") or {}
    return parse_release(str(info.get("kubeProxyVersion") or info.get("kubeletVersion") or ""))


def config_text(config_map: kube.Object, key: str) -> str:
    """The text of a ConfigMap's key. Raises a C(KubeProxyError) that names the keys when it is not there."""
    data = config_map.get("data") or {}
    if key not in data:
        raise KubeProxyError(
            f"ConfigMap {name_of(config_map)} has no key {key}",
            f"its keys are {', '.join(sorted(data)) or 'none'}",
            "Name kube-proxy's ConfigMap with the option config_map.",
        )
    return str(data[key])
