# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How kube-proxy is deployed in a cluster, told from API objects. Pure. Private to this collection.

Only one layout is changed by this collection: a DaemonSet that reads C(config.conf) from a ConfigMap which nobody else
puts back. Everything else is recognised, named, and left alone.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_deployment_layout as layout
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import KEY
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import Object
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_owner import owner_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import NOTE

KUBEADM = "kubeadm"
DAEMON_SET = "daemonset"


@dataclass(frozen=True)
class Deployment:
    """What was recognised. C(supported) is whether its mode can be set here.

    :param kind: C(kubeadm), C(daemonset) (of the same layout), or one of the kinds that are left alone: C(k3s),
        C(rke2), C(static_pod), C(replaced), C(gitops), C(flags), C(other_config), C(missing)
    :param seen: the evidence, a clause
    :param remedy: what the user can do, for a kind that is left alone
    """

    kind: str
    seen: str
    remedy: str = ""

    @property
    def supported(self) -> bool:
        return self.kind in (KUBEADM, DAEMON_SET)

    def refuse(self) -> None:
        """Raise when the mode of this kube-proxy cannot be set here."""
        if not self.supported:
            raise KubeProxyError(
                "The mode of this cluster's kube-proxy cannot be set here; nothing was changed",
                self.seen,
                self.remedy,
                self.as_dict(),
            )

    def as_dict(self) -> dict[str, t.Any]:
        return {"deployment": {"kind": self.kind, "supported": self.supported, "seen": self.seen}}


@dataclass(frozen=True)
class Observed:
    """The API objects to judge by. C(daemon_sets) and C(pods) are needed only when there is no usable DaemonSet."""

    daemon_set: Object | None
    config_map: Object | None
    config_map_name: str
    nodes: t.Sequence[Object] = ()
    daemon_sets: t.Sequence[Object] = ()
    pods: t.Sequence[Object] = ()


def is_running(daemon_set: Object | None) -> bool:
    """Whether a DaemonSet wants pods anywhere. Calico's documentation switches kube-proxy off with a nodeSelector.

    A DaemonSet that its controller has not looked at yet (its status is of an older generation) counts as running, and so
    does one whose nodes a switch has moved to a second DaemonSet for a while.
    """
    if daemon_set is None:
        return False
    if NOTE in layout.annotations_of(daemon_set):
        return True
    status = daemon_set.get("status") or {}
    is_current = (status.get("observedGeneration") or 0) >= ((daemon_set.get("metadata") or {}).get("generation") or 1)
    return not is_current or bool(status.get("desiredNumberScheduled", 1))


def classify(observed: Observed) -> Deployment:
    """Recognise the deployment. The first that fits, most specific first."""
    if not is_running(observed.daemon_set):
        return _distribution(observed.nodes) or _static_pod(observed.pods) or _replaced(observed) or _missing(observed)
    daemon_set = observed.daemon_set or {}
    return (
        _layout(daemon_set, observed.config_map_name)
        or _gitops(observed.config_map)
        or _fits(daemon_set, observed.config_map)
    )


def name_of(obj: Object) -> str:
    metadata = obj.get("metadata") or {}
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}".lstrip("/")


def image_of(daemon_set: Object) -> str:
    """The image of the container that is kube-proxy, empty when there is none."""
    container = layout.container_of(layout.pod_spec(daemon_set))
    return str(container.get("image") or "") if container else ""


def _distribution(nodes: t.Sequence[Object]) -> Deployment | None:
    """k3s and RKE2 say so in the kubelet's version (C(v1.34.1+k3s1)) and in a label of their nodes."""
    for node in nodes:
        version = str(((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion") or "")
        label = str(layout.labels_of(node).get("node.kubernetes.io/instance-type") or "")
        for kind, remedy in _DISTRIBUTIONS.items():
            if f"+{kind}" in version or label == kind:
                return Deployment(kind, f"node {name_of(node)} is a {kind} node (kubelet {version})", remedy)
    return None


_DISTRIBUTIONS = {
    "k3s": "k3s runs kube-proxy inside its own process: set kube-proxy-arg (proxy-mode=...) in /etc/rancher/k3s/config.yaml.",
    "rke2": "RKE2 runs kube-proxy as a static pod of its own: set kube-proxy-arg (proxy-mode=...) in /etc/rancher/rke2/config.yaml.",
}


def _static_pod(pods: t.Sequence[Object]) -> Deployment | None:
    for pod in pods:
        if (
            "kubernetes.io/config.mirror" in layout.annotations_of(pod)
            and layout.argv_of(pod.get("spec") or {}) is not None
        ):
            return Deployment(
                "static_pod",
                f"{name_of(pod)} is the mirror of a static pod",
                "Its settings are in a manifest on each node (often /etc/kubernetes/manifests/kube-proxy.yaml): change them there.",
            )
    return None


# DaemonSets of networks that can take kube-proxy's work over.
_REPLACEMENTS = {
    "cilium": "Cilium",
    "calico-node": "Calico",
    "antrea-agent": "Antrea",
    "kube-router": "kube-router",
    "ovnkube-node": "OVN-Kubernetes",
    "kube-ovn-cni": "Kube-OVN",
}


def _replaced(observed: Observed) -> Deployment | None:
    for daemon_set in observed.daemon_sets:
        network = _REPLACEMENTS.get((daemon_set.get("metadata") or {}).get("name", ""))
        if network:
            off = (
                f", and DaemonSet {name_of(observed.daemon_set)} matches no node"
                if observed.daemon_set
                else ", and there is no kube-proxy"
            )
            return Deployment(
                "replaced",
                f"{network} is there (DaemonSet {name_of(daemon_set)}){off}",
                f"{network} carries the Services itself: there is no mode to set. To get kube-proxy back, switch its replacement off first.",
            )
    return None


def _missing(observed: Observed) -> Deployment:
    if observed.daemon_set:
        selector = ((observed.daemon_set.get("spec") or {}).get("template") or {}).get("spec") or {}
        seen = f"DaemonSet {name_of(observed.daemon_set)} matches no node (nodeSelector {selector.get('nodeSelector')})"
        return Deployment(
            "missing",
            seen,
            "Something carries the Services instead of kube-proxy: find out what before changing anything.",
        )
    return Deployment(
        "missing",
        "there is no kube-proxy DaemonSet, no static pod and no network that is known to replace it",
        "Name its objects with the options namespace, daemon_set and config_map if they are called differently.",
    )


def _layout(daemon_set: Object, config_map_name: str) -> Deployment | None:
    """Anything but C(--config) naming the key C(config.conf) of the ConfigMap."""
    pod = layout.pod_spec(daemon_set)
    argv = layout.argv_of(pod)
    name = f"DaemonSet {name_of(daemon_set)}"
    if argv is None:
        return Deployment(
            "missing", f"no container of {name} runs kube-proxy", "Name the right DaemonSet with the option daemon_set."
        )
    path = layout.flag(argv, "config")
    if not path:
        given = ", ".join(argument for argument in argv if argument.startswith("--")) or "none"
        return Deployment(
            "flags",
            f"{name} configures kube-proxy by flags ({given})",
            "Change its flag --proxy-mode, or let it read a file with --config.",
        )
    source = layout.source(pod, path)
    if source != (config_map_name, KEY):
        where = f"key {source[1]} of ConfigMap {source[0]}" if source else "no ConfigMap"
        return Deployment(
            "other_config",
            f"{name} reads {path}, which is {where}",
            f"This collection edits key {KEY} of a ConfigMap: name the ConfigMap with the option config_map, or change the DaemonSet.",
        )
    return None


def _fits(daemon_set: Object, config_map: Object | None) -> Deployment:
    seen = f"DaemonSet {name_of(daemon_set)} reads {KEY} of its ConfigMap"
    ignored = [argument for argument in layout.argv_of(layout.pod_spec(daemon_set)) or [] if _is_ignored(argument)]
    if ignored:
        seen += f"; kube-proxy ignores {' '.join(ignored)} beside --config"
    by_kubeadm = config_map is not None and layout.labels_of(config_map).get("app") == "kube-proxy"
    return Deployment(KUBEADM if by_kubeadm else DAEMON_SET, seen)


# With --config, only these flags still count (Options.Complete in cmd/kube-proxy/app/options.go), and those of the log.
_KEPT_FLAGS = frozenset(
    {
        *("config", "hostname-override", "master", "v", "vmodule", "version", "help"),
        *("cleanup", "init-only", "write-config-to", "windows-service"),
    }
)


def _is_ignored(argument: str) -> bool:
    name = argument.lstrip("-").partition("=")[0]
    return argument.startswith("--") and name not in _KEPT_FLAGS and not name.startswith("log")


def _gitops(config_map: Object | None) -> Deployment | None:
    """A ConfigMap that something puts back."""
    owner = owner_of(config_map) if config_map is not None else None
    if config_map is None or owner is None:
        return None
    return Deployment(
        "gitops",
        f"ConfigMap {name_of(config_map)} is managed by {owner.name} ({owner.mark})",
        f"{owner.name} would put the old mode back: change it there.",
    )
