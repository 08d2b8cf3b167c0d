# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube-proxy restarted on every node by its DaemonSet: which pods run with which ConfigMap. Pure. Private to this collection.

kube-proxy reads its configuration when it starts, and nothing in the API tells what it has read. Two things prove that a
pod has read what the ConfigMap holds: it was made after the ConfigMap's last change (both by the API server's clock), or
it carries the ConfigMap's present resourceVersion, which the template got when that version was there already. A hash of
the text would not do: a text that was changed and changed back has the old hash, and a pod made in between another text.
"""

from __future__ import annotations

import copy
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
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import NOTE

CONFIG_VERSION = "netops.kube-proxy/config-version"
# What `kubectl rollout restart` sets, so that people find this restart where they look for theirs.
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"

ANNOTATE = "annotate"
WAIT = "wait"


@dataclass(frozen=True)
class Version:
    """One state of the ConfigMap: its resourceVersion, and when it was last changed (empty: not known)."""

    resource: str
    changed: str = ""

    @classmethod
    def of(cls, config_map: Object) -> Version:
        metadata = config_map.get("metadata") or {}
        times = [str(fields.get("time") or "") for fields in metadata.get("managedFields") or []]
        return cls(str(metadata.get("resourceVersion") or ""), max(times, default=""))


# The one that writing will bring: its number is not known before.
NEXT = Version("next")


@dataclass(frozen=True)
class Member:
    """One node's kube-proxy pod, the ConfigMap's version in its template, and when it was made."""

    pod: ProxyPod
    version: str
    created: str = ""

    def has_read(self, config: Version) -> bool:
        # Times have whole seconds: of two in one second nobody knows which was first.
        return self.version == config.resource or bool(config.changed and self.created > config.changed)

    def runs(self, config: Version) -> bool:
        return self.pod.ready and self.has_read(config)


@dataclass(frozen=True)
class Rollout:
    """The DaemonSet and its pods that are not on their way out."""

    daemon_set: Object
    members: tuple[Member, ...]

    @classmethod
    def of(cls, daemon_set: Object, pods: t.Iterable[Object]) -> Rollout:
        name = str((daemon_set.get("metadata") or {}).get("name"))
        alive = [pod for pod in pods if is_alive(pod) and is_owned_by(pod, (name,))]
        members = [
            Member(parse_pod(pod), _version_of(pod), str((pod.get("metadata") or {}).get("creationTimestamp") or ""))
            for pod in alive
        ]
        return cls(daemon_set, tuple(sorted(members, key=lambda member: member.pod.node)))

    @property
    def template_version(self) -> str:
        return _version_of((self.daemon_set.get("spec") or {}).get("template") or {})

    @property
    def missing(self) -> int:
        """How many nodes should have a pod and have none."""
        status = self.daemon_set.get("status") or {}
        return max(0, int(status.get("desiredNumberScheduled") or 0) - len(self.members))

    def late(self, config: Version) -> list[Member]:
        return [member for member in self.members if not member.runs(config)]

    def is_done(self, config: Version) -> bool:
        """Whether every node's kube-proxy is Ready and was started with this configuration."""
        metadata, status = self.daemon_set.get("metadata") or {}, self.daemon_set.get("status") or {}
        seen = int(status.get("observedGeneration") or 0) >= int(metadata.get("generation") or 0)
        return seen and not self.missing and not self.late(config)

    def annotated(self, config: Version, now: str) -> dict[str, t.Any]:
        """The DaemonSet with the annotations that make its controller replace the pods."""
        body = copy.deepcopy(dict(self.daemon_set))
        metadata = body["spec"]["template"].setdefault("metadata", {})
        metadata["annotations"] = {
            **(metadata.get("annotations") or {}),
            CONFIG_VERSION: config.resource,
            RESTARTED_AT: now,
        }
        return body

    def done(self, config: Version) -> Rollout:
        """As it will be; the next pods' names cannot be known."""
        pods = (replace(member.pod, ready=True) for member in self.members)
        return Rollout(self.daemon_set, tuple(Member(pod, config.resource) for pod in pods))

    def refuse(self) -> None:
        """Raise where an annotation would restart nothing, or would not stay.

        :raises KubeProxyError: for the strategy OnDelete, and for a DaemonSet that something else puts back
        """
        strategy = ((self.daemon_set.get("spec") or {}).get("updateStrategy") or {}).get("type")
        if NOTE in annotations_of(self.daemon_set):
            raise KubeProxyError(
                f"DaemonSet {name_of(self.daemon_set)} restarts nothing by itself; nothing was changed",
                "a switch to another mode, node by node, is in progress",
                "Finish or undo it first (kube_proxy_switch tells how), or set rollout to false.",
            )
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

    def plan(self, config: Version) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Operations and sentences. Pods that are being replaced already are waited for, not restarted again."""
        if self.is_done(config):
            return (), ()
        self.refuse()
        nodes = ", ".join(member.pod.node for member in self.late(config)) or "all nodes"
        if self.template_version == config.resource:
            return (WAIT,), (f"wait until kube-proxy has restarted on {nodes}",)
        nodes = ", ".join(member.pod.node for member in self.members) or "all nodes"
        name = name_of(self.daemon_set)
        return (ANNOTATE, WAIT), (f"restart kube-proxy on {nodes}: annotate the pod template of DaemonSet {name}",)


def _version_of(obj: Object) -> str:
    return str(annotations_of(obj).get(CONFIG_VERSION) or "")


def render(rollout: Rollout, config: Version) -> str:
    """One line a node, for the diff."""
    lines = (
        f"kube-proxy on {member.pod.node}: {'Ready' if member.pod.ready else 'not Ready'}, started "
        f"{'with this ConfigMap' if member.has_read(config) else 'before this ConfigMap, or it is not known'}\n"
        for member in rollout.members
    )
    return "".join(lines)
