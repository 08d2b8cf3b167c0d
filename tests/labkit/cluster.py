# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kubeadm cluster in a lab, as seen from its control plane with kubectl."""

from __future__ import annotations

import json
import shlex
import typing as t
from dataclasses import dataclass
from pathlib import Path

from tests.labkit import Lab, Node, wait_for

MANIFESTS = Path(__file__).with_name("manifests")


@dataclass(frozen=True)
class Cluster:
    lab: Lab
    names: tuple[str, ...]

    @property
    def control_plane(self) -> Node:
        return self.lab.node(self.names[0])

    @property
    def nodes(self) -> list[Node]:
        return [self.lab.node(name) for name in self.names]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.control_plane.run(
            shlex.join(["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", *arguments]), stdin
        )

    def get(self, *arguments: str) -> t.Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, manifest: str) -> None:
        """Apply one of the manifests beside this file; IMAGE in it is the test workload's image that the nodes have."""
        image = self.control_plane.run("ctr -n k8s.io images ls -q | grep /agnhost: | head -1").strip()
        text = (MANIFESTS / manifest).read_text(encoding="utf-8").replace("IMAGE", image)
        self.kubectl("apply", "-f", "-", stdin=text)

    def wait_for_pods(self, app: str, count: int, seconds: float = 600) -> list[dict[str, t.Any]]:
        def ready() -> list[dict[str, t.Any]] | None:
            pods = [
                p for p in self.get("pods", "-l", f"app={app}")["items"] if "deletionTimestamp" not in p["metadata"]
            ]
            good = [p for p in pods if _is_ready(p)]
            return good if len(good) == count == len(pods) else None

        return wait_for(f"{count} ready pods {app}", ready, seconds)

    def from_pod(self, node: Node, command: str) -> str:
        """Run a command in the client pod on that node."""
        pod = next(p for p in self.get("pods", "-l", "app=client")["items"] if p["spec"]["nodeName"] == node.name)
        return self.kubectl("exec", pod["metadata"]["name"], "--", *shlex.split(command))

    def service(self, name: str, namespace: str = "default") -> dict[str, t.Any]:
        found: dict[str, t.Any] = self.get("service", "-n", namespace, name)
        return found

    def endpoints(self, name: str, namespace: str = "default") -> list[str]:
        """Addresses of the ready endpoints."""
        slices = self.get("endpointslices", "-n", namespace, "-l", f"kubernetes.io/service-name={name}")["items"]
        found = [e for s in slices for e in s.get("endpoints") or [] if e["conditions"].get("ready")]
        return sorted(e["addresses"][0] for e in found)

    def wait_for_dns(self) -> None:
        """Every pod of the cluster's DNS ready and known to each node's kernel: nothing then changes by itself."""
        self.kubectl("rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=10m")
        count = self.get("deployment", "-n", "kube-system", "coredns")["status"]["replicas"]

        def known() -> list[str] | None:
            found = self.endpoints("kube-dns", "kube-system")
            return found if len(found) == count else None

        for address in wait_for(f"{count} DNS pods in their EndpointSlice", known):
            for node in self.nodes:
                held = "iptables-save -t nat; ipvsadm -Ln; nft list ruleset"
                node.wait(f"{address} in the kernel of {node.name}", f"{{ {held}; }} 2>&1 | grep -F {address}:53")

    def kube_proxy_pods(self) -> list[dict[str, t.Any]]:
        pods: list[dict[str, t.Any]] = self.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-proxy")["items"]
        return pods

    def restart_kube_proxy(self) -> None:
        """All at once, as the tutorial does it."""
        before = {p["metadata"]["uid"] for p in self.kube_proxy_pods()}
        self.kubectl("delete", "pods", "-n", "kube-system", "-l", "k8s-app=kube-proxy")

        def again() -> bool:
            pods = self.kube_proxy_pods()
            return len(pods) == len(self.names) and all(
                p["metadata"]["uid"] not in before and _is_ready(p) for p in pods
            )

        wait_for("kube-proxy to run again", again)

    def mode_text(self) -> str:
        """The mode that the ConfigMap names."""
        text: str = self.get("configmap", "-n", "kube-system", "kube-proxy")["data"]["config.conf"]
        return next(line.split()[1] for line in text.splitlines() if line.startswith("mode: "))

    def set_mode_text(self, old: str, new: str) -> None:
        """Edit the ConfigMap by hand, as the tutorial does it."""
        config_map = self.get("configmap", "-n", "kube-system", "kube-proxy")
        text = config_map["data"]["config.conf"]
        if f"mode: {old}" not in text:
            raise AssertionError(f"the ConfigMap has no 'mode: {old}':\n{text}")
        config_map["data"]["config.conf"] = text.replace(f"mode: {old}", f"mode: {new}")
        self.kubectl("replace", "-f", "-", stdin=json.dumps(config_map))

    def wait_for_mode(self, mode: str) -> None:
        for node in self.nodes:
            node.wait(f"kube-proxy in {mode} mode", f'test "$(curl -s 127.0.0.1:10249/proxyMode)" = {mode}')


def _is_ready(pod: dict[str, t.Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
