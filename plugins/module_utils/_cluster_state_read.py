# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(cluster_services_info). Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import KEY, read_document
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_schema import ill_typed
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import image_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import (
    Names,
    config_text,
    releases_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import is_kube_proxy, is_owned_by
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import SUFFIX, is_moved, pair

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def work(module: AnsibleModule) -> dict[str, t.Any]:
    return gather(connect(module.params), Names.of(module.params))


def gather(api: kube.KubeApi, names: Names) -> dict[str, t.Any]:
    """Each kind of object is listed once. Services come before their slices: a new Service without its endpoints is
    a state that kube-proxy sees too, endpoints without their Service are not."""
    daemon_set = api.find(kube.daemon_set(names.namespace, names.daemon_set))
    nodes = api.list_all(kube.NODES)
    pods = api.list_all(kube.pods(names.namespace)) if daemon_set else []
    services = api.list_all(kube.SERVICES)
    slices = api.list_all(kube.ENDPOINT_SLICES)
    releases = releases_of(image_of(daemon_set) if daemon_set else "", nodes)
    config, problem = _config(api, names)
    second, second_problem = _second_config(api, names, nodes)
    own = pair(names.daemon_set)
    uids = state_of.uids_by_node([pod for pod in pods if is_owned_by(pod, own)])
    release = str(min(releases)) if releases else ""
    running = [pod for pod in pods if is_owned_by(pod, own) or is_kube_proxy(pod)]
    counts = state_of.count_by_node(running) if daemon_set else None
    state = state_of.build(services, slices, nodes, config, release, _service_cidrs(api))
    return {
        "changed": False,
        "state": state_of.encode({**state, **second, "kube_proxy_pods": counts}),
        "nodes": [state_of.describe_node(node, uids) for node in nodes],
        "config": effective(config, min(releases, default=None)) if config is not None else {},
        "config_problem": " ".join(filter(None, (problem, second_problem))),
        "kubernetes_service": state_of.kubernetes_service(services),
        "counts": {
            "services": len(services),
            "endpoint_slices": len(slices),
            "nodes": len(nodes),
            "kube_proxy_pods": len(uids),
        },
    }


def _service_cidrs(api: kube.KubeApi) -> list[kube.Object]:
    """None on API servers before 1.33, and where the gate MultiCIDRServiceAllocator is off."""
    try:
        return api.list_all(kube.SERVICE_CIDRS)
    except kube.NotFound:
        return []


def _second_config(api: kube.KubeApi, names: Names, nodes: t.Sequence[kube.Object]) -> tuple[dict[str, t.Any], str]:
    """What the nodes read that a switch has moved; nothing is asked for where there are none."""
    if not any(is_moved(node) for node in nodes):
        return {}, ""
    config, problem = _config(api, replace(names, config_map=names.config_map + SUFFIX))
    return {"second_config": config}, problem


def _config(api: kube.KubeApi, names: Names) -> tuple[dict[str, t.Any] | None, str]:
    """The configuration, or why there is none. This module only looks: a broken ConfigMap is a finding, not a failure."""
    ref = kube.config_map(names.namespace, names.config_map)
    config_map = api.find(ref)
    if config_map is None:
        return None, f"There is no {ref.words}."
    try:
        values = read_document(config_text(config_map, KEY)).values
    except kube.ApiError:
        raise
    except KubeProxyError as error:
        return None, str(error)
    wrong = ill_typed(values)
    return (None, f"kube-proxy cannot read {ref.words}: {' '.join(wrong)}") if wrong else (values, "")
