# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(cluster_switch_info). Private to this collection.

Each kind is listed at most once, and only where something else says that it is there.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_switch as told
from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import KEY, read_document
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import image_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import pod_spec
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import (
    Names,
    config_text,
    releases_of,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

FELIX = kube.Ref("/apis/crd.projectcalico.org/v1/felixconfigurations", "the FelixConfigurations of Calico")
# Calico 3.32 can do without its own group: the resources are then in the group that its API server had.
FELIX_V3 = kube.Ref("/apis/projectcalico.org/v3/felixconfigurations", "the FelixConfigurations of Calico")
L2 = kube.Ref("/apis/metallb.io/v1beta1/l2advertisements", "the L2Advertisements of MetalLB")
BUDGETS = kube.Ref("/apis/policy/v1/poddisruptionbudgets", "the PodDisruptionBudgets")
ALL_PODS = kube.Ref("/api/v1/pods", "the pods")

_FORBIDDEN = 403
Value = t.TypeVar("Value")


def work(module: AnsibleModule) -> dict[str, t.Any]:
    return {
        "changed": False,
        **ClusterLook(connect(module.params), Names.of(module.params)).facts(module.params["drain"]),
    }


class ClusterLook:
    """Reads kind by kind, and remembers what this user may not read."""

    def __init__(self, api: kube.KubeApi, names: Names) -> None:
        self._api = api
        self._names = names
        self._unread: dict[str, str] = {}

    def facts(self, drain: bool) -> dict[str, t.Any]:
        """Everything, as the module returns it.

        :param drain: whether nodes will be drained, so that disruption budgets matter
        """
        nodes = self._try("nodes", lambda: self._api.list_all(kube.NODES))
        sets = self._try("daemon_sets", lambda: self._api.list_all(kube.DAEMON_SETS))
        pods = self._pods(drain)
        return {
            "config_map": self._try("config_map", self._config_map),
            "kube_proxy": self._kube_proxy(sets, nodes or []),
            "nodes": None if nodes is None else [told.describe_node(one) for one in nodes],
            "calico": self._calico(sets),
            "flannel": self._flannel(sets),
            "node_local_dns": self._node_local_dns(sets),
            "l2_announcers": self._announcers(sets, pods),
            "blocking_budgets": self._budgets(pods) if drain else None,
            "unread": self._unread,
        }

    def _try(self, name: str, read: t.Callable[[], Value]) -> Value | None:
        """None where this user has no right to it. A kind that the server does not know is the caller's business."""
        try:
            return read()
        except kube.ApiError as error:
            if error.status != _FORBIDDEN:
                raise
            self._unread[name] = str(error)
            return None

    def _list_if_known(self, ref: kube.Ref, *instead: kube.Ref) -> list[kube.Object]:
        try:
            return self._api.list_all(ref)
        except kube.NotFound:
            return self._list_if_known(*instead) if instead else []

    def _pods(self, drain: bool) -> list[kube.Object] | None:
        """kube-vip is often a static pod, which no DaemonSet tells of."""
        ref = ALL_PODS if drain else kube.pods(self._names.namespace)
        return self._try("pods", lambda: self._api.list_all(ref))

    def _config_map(self) -> dict[str, t.Any] | None:
        found = self._api.find(kube.config_map(self._names.namespace, self._names.config_map))
        if found is None:
            self._unread["config_map"] = f"There is no ConfigMap {self._names.namespace}/{self._names.config_map}."
            return None
        return {**told.describe_config_map(found), "feature_gates": self._gates(found)}

    def _gates(self, config_map: kube.Object) -> dict[str, t.Any] | None:
        try:
            gates = read_document(config_text(config_map, KEY)).values.get("featureGates") or {}
        except KubeProxyError as error:
            self._unread["config_map.feature_gates"] = str(error)
            return None
        return gates if isinstance(gates, dict) else None

    def _kube_proxy(self, sets: list[kube.Object] | None, nodes: list[kube.Object]) -> dict[str, t.Any] | None:
        ours = f"{self._names.namespace}/{self._names.daemon_set}"
        found = next((one for one in sets or () if told.name_of(one) == ours), None)
        if found is None:
            self._unread.setdefault("kube_proxy", self._unread.get("daemon_sets") or f"There is no DaemonSet {ours}.")
            return None
        image = image_of(found)
        return {
            "image": image,
            "releases": [str(one) for one in releases_of(image, nodes)],
            "update_strategy": str(((found.get("spec") or {}).get("updateStrategy") or {}).get("type") or ""),
            "skips_kernel_check": told.skips_kernel_check(found),
            **told.describe_owner(found),
        }

    def _calico(self, sets: list[kube.Object] | None) -> dict[str, t.Any] | None:
        found = told.find_daemon_set(sets or (), "calico-node")
        if found is None:
            return None
        configurations = self._try("calico", lambda: self._list_if_known(FELIX, FELIX_V3))
        return None if configurations is None else told.describe_calico(found, configurations)

    def _flannel(self, sets: list[kube.Object] | None) -> dict[str, t.Any] | None:
        found = told.find_daemon_set(sets or (), "kube-flannel-ds", "kube-flannel")
        if found is None:
            return None
        place = told.flannel_config_map(found)
        config_map = self._try("flannel", lambda: self._api.find(kube.config_map(*place))) if place else None
        return told.describe_flannel(found, config_map)

    def _node_local_dns(self, sets: list[kube.Object] | None) -> dict[str, t.Any] | None:
        found = told.find_daemon_set(sets or (), "node-local-dns", image="k8s-dns-node-cache")
        return told.describe_node_local_dns(found) if found is not None else None

    def _announcers(
        self, sets: list[kube.Object] | None, pods: list[kube.Object] | None
    ) -> list[dict[str, t.Any]] | None:
        if sets is None:
            return None
        found = []
        speaker = told.find_daemon_set(sets, "speaker", "metallb-speaker", image="metallb/speaker")
        if speaker is not None:
            advertised = self._try("l2_announcers", lambda: self._list_if_known(L2))
            if advertised is None:
                return None
            if advertised:
                found.append({"name": "MetalLB", "seen": f"L2Advertisement {told.name_of(advertised[0])}"})
        vips = [("DaemonSet", one, pod_spec(one)) for one in sets]
        vips += [("Pod", one, one.get("spec") or {}) for one in pods or ()]
        for kind, one, spec in vips:
            if told.is_kube_vip_by_arp(spec):
                found.append({"name": "kube-vip", "seen": f"{kind} {told.name_of(one)}"})
                break
        return found

    def _budgets(self, pods: list[kube.Object] | None) -> list[dict[str, t.Any]] | None:
        budgets = self._try("blocking_budgets", lambda: self._api.list_all(BUDGETS))
        if pods is None:
            self._unread.setdefault("blocking_budgets", self._unread["pods"])
        return None if budgets is None or pods is None else told.blocking_budgets(budgets, pods)
