# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy restarted on every node by its DaemonSet: which pods run with which configuration. Pure. Private to this collection.

A pod carries the annotations of the template that it was made from. So the template gets the hash of the configuration,
and a pod with that hash was started after the ConfigMap held it. Nothing else in the API tells what a pod has read.
"""

from __future__ import annotations

import copy
import hashlib
import json
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import name_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import annotations_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_owner import owner_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod import (
    Object,
    ProxyPod,
    is_alive,
    is_owned_by,
    parse_pod,
)

CONFIG_HASH = "netops.kube_proxy/config-hash"
# What `kubectl rollout restart` sets, so that people find this restart where they look for theirs.
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"

ANNOTATE = "annotate"
WAIT = "wait"


def config_hash(values: t.Mapping[str, t.Any]) -> str:
    """A name for what a configuration says: comments, order and layout make no difference."""
    text = json.dumps(_in_order(values), default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def _in_order(value: t.Any) -> t.Any:
    """The same whatever the order of keys, which may be of any type in YAML."""
    if isinstance(value, dict):
        return {
            "mapping": sorted(((repr(key), _in_order(inner)) for key, inner in value.items()), key=lambda pair: pair[0])
        }
    return [_in_order(inner) for inner in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Member:
    """One node's kube-proxy pod, and the hash of the configuration that it was started with (empty: not known)."""

    pod: ProxyPod
    config: str

    def runs(self, config: str) -> bool:
        return self.pod.ready and self.config == config


@dataclass(frozen=True)
class Rollout:
    """The DaemonSet and its pods that are not on their way out."""

    daemon_set: Object
    members: tuple[Member, ...]

    @classmethod
    def of(cls, daemon_set: Object, pods: t.Iterable[Object]) -> Rollout:
        name = str((daemon_set.get("metadata") or {}).get("name"))
        alive = [pod for pod in pods if is_alive(pod) and is_owned_by(pod, name)]
        members = [Member(parse_pod(pod), str(annotations_of(pod).get(CONFIG_HASH) or "")) for pod in alive]
        return cls(daemon_set, tuple(sorted(members, key=lambda member: member.pod.node)))

    @property
    def template_config(self) -> str:
        return str(annotations_of(self._template).get(CONFIG_HASH) or "")

    @property
    def _template(self) -> Object:
        template: Object = (self.daemon_set.get("spec") or {}).get("template") or {}
        return template

    @property
    def missing(self) -> int:
        """How many nodes should have a pod and have none."""
        status = self.daemon_set.get("status") or {}
        return max(0, int(status.get("desiredNumberScheduled") or 0) - len(self.members))

    def late(self, config: str) -> list[Member]:
        return [member for member in self.members if not member.runs(config)]

    def is_done(self, config: str) -> bool:
        """Whether every node's kube-proxy is Ready and was started with this configuration."""
        metadata, status = self.daemon_set.get("metadata") or {}, self.daemon_set.get("status") or {}
        seen = int(status.get("observedGeneration") or 0) >= int(metadata.get("generation") or 0)
        return seen and self.template_config == config and not self.missing and not self.late(config)

    def annotated(self, config: str, now: str) -> dict[str, t.Any]:
        """The DaemonSet with the annotations that make its controller replace the pods."""
        body = copy.deepcopy(dict(self.daemon_set))
        metadata = body["spec"]["template"].setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), CONFIG_HASH: config, RESTARTED_AT: now}
        return body

    def done(self, config: str) -> Rollout:
        """As it will be; the next pods' names cannot be known."""
        pods = (replace(member.pod, ready=True) for member in self.members)
        return Rollout(self.daemon_set, tuple(Member(pod, config) for pod in pods))

    def refuse(self) -> None:
        """Raise where an annotation would restart nothing, or would not stay.

        :raises KubeProxyError: for the strategy OnDelete, and for a DaemonSet that something else puts back
        """
        strategy = ((self.daemon_set.get("spec") or {}).get("updateStrategy") or {}).get("type")
        if strategy == "OnDelete":
            raise KubeProxyError(
                f"DaemonSet {name_of(self.daemon_set)} restarts nothing by itself; nothing was changed",
                "its updateStrategy is OnDelete",
                "Set rollout to false and restart its pods node by node (kube_proxy_pod), or set RollingUpdate.",
            )
        owner = owner_of(self.daemon_set)
        if owner is not None:
            raise KubeProxyError(
                f"DaemonSet {name_of(self.daemon_set)} is managed by {owner.name}; nothing was changed",
                owner.mark,
                f"{owner.name} would take the annotation of a rollout away: restart it there, or set rollout to false.",
            )

    def plan(self, config: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Operations and sentences. Pods that are being replaced already are waited for, not restarted again."""
        if self.is_done(config):
            return (), ()
        self.refuse()
        nodes = ", ".join(member.pod.node for member in self.late(config)) or "all nodes"
        if self.template_config == config:
            return (WAIT,), (f"wait until kube-proxy has restarted on {nodes}",)
        nodes = ", ".join(member.pod.node for member in self.members) or "all nodes"
        name = name_of(self.daemon_set)
        return (ANNOTATE, WAIT), (f"restart kube-proxy on {nodes}: annotate the pod template of DaemonSet {name}",)


def render(rollout: Rollout) -> str:
    """One line a node, for the diff."""
    lines = (
        f"kube-proxy on {member.pod.node}: configuration {member.config or 'not known'}, {'Ready' if member.pod.ready else 'not Ready'}\n"
        for member in rollout.members
    )
    return "".join(lines)
