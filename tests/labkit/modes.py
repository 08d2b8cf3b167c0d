# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many Services, programmed by the real kube-proxy in one mode after the other on one node of a cluster.

Between two modes kube-proxy is stopped and all that it wrote is removed, so that no mode pays for another one's leftovers; Services are
added while it is stopped.
"""

from __future__ import annotations

import json
import re
import shlex
import typing as t
from dataclasses import dataclass
from pathlib import Path

from tests.labkit import Node, wait_for
from tests.labkit.cluster import Cluster

ADMIN = "/etc/kubernetes/admin.conf"
MODES = ("iptables", "ipvs", "nftables")
_CLIENT = Path(__file__).with_name("modes_client.py")
# What the modes leave beside their iptables chains.
_REMOVE = (
    "ipvsadm -C; ip link del kube-ipvs0; ipset destroy; nft delete table ip kube-proxy; nft delete table ip6 kube-proxy;"
    " conntrack -F; true"
)
_LEFT = "iptables-save | grep -e '-[AN] KUBE-S' -e '^:KUBE-S'; ipvsadm -Sn; nft list tables | grep kube-proxy; ip -br link show kube-ipvs0"
_METRIC = re.compile(
    r'^(kubeproxy_sync_proxy_rules_\w+)\{ip_family="IPv4"\} (\S+)$|^(process_start_time_seconds) (\S+)$', re.MULTILINE
)


@dataclass
class ManyServices:
    """A cluster whose Services C(bench-NUMBER) grow in number. C(node) is the one that has kube-proxy."""

    cluster: Cluster
    node: Node
    services: int = 0

    def prepare(self) -> None:
        """Put the client program on every node, and see what an earlier run has made."""
        for node in self.cluster.nodes:
            node.run("cat > /root/modes_client.py", stdin=_CLIENT.read_text(encoding="utf-8"))
        self.services = len(re.findall("service/bench-", self.cluster.kubectl("get", "services", "-o", "name")))

    def client(self, node: Node, *arguments: object, enter: str = "") -> t.Any:
        """Run the client program on a node. C(enter): a command in front of it."""
        return json.loads(node.run(f"{enter}python3 /root/modes_client.py {shlex.join(map(str, arguments))}"))

    def grow(self, size: int, action: str, *rest: object) -> None:
        """Have that many Services.

        :param action: of the client program, C(create) or C(fill), and C(rest) what it is told behind the numbers
        """
        if size > self.services:
            self.client(self.cluster.control_plane, action, ADMIN, self.services, size, *rest)
            self.services = size

    def stop(self) -> None:
        """No kube-proxy, and nothing that it wrote."""
        self._select({"bench": "none"}, 0)
        for mode in ("iptables", "ipvs"):
            self.node.module(
                "iptables_kube_chain", {"mode": mode, "running_mode": "none", "state": "absent"}, diff=False
            )
        self.node.run(_REMOVE)
        left = self.node.run(f"{_LEFT}; true")
        assert left == "", f"something is left of the mode before: {left[:1000]}"

    def start(self, mode: str) -> float:
        """kube-proxy in that mode; the seconds that its first sync took."""
        text = self.cluster.get("configmap", "-n", "kube-system", "kube-proxy")["data"]["config.conf"]
        found = re.search(r"^mode: (\S+)$", text, re.MULTILINE)
        assert found, text
        self.cluster.set_mode_text(found[1], mode)
        self._select({"bench": None, "kubernetes.io/hostname": self.node.name}, 1)
        self.node.wait(f"{mode} mode", f'test "$(curl -s 127.0.0.1:10249/proxyMode)" = {mode}')
        return wait_for("the first sync", self._first_sync, 1800)

    def _select(self, selector: dict[str, str | None], pods: int) -> None:
        """Have kube-proxy on the nodes that the selector means, and nowhere else."""
        patch = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
        self.cluster.kubectl("-n", "kube-system", "patch", "daemonset", "kube-proxy", "-p", json.dumps(patch))
        wait_for(f"{pods} kube-proxy pods", lambda: len(self.cluster.kube_proxy_pods()) == pods)

    def _first_sync(self) -> float | None:
        found = self.node.attempt("curl -s 127.0.0.1:10249/metrics").out
        values = {name or plain: float(value or other) for name, value, plain, other in _METRIC.findall(found)}
        last = values.get("kubeproxy_sync_proxy_rules_last_timestamp_seconds", 0.0)
        if last <= values.get("process_start_time_seconds", last):
            return None
        prefix = "kubeproxy_sync_proxy_rules_duration_seconds"
        return values[f"{prefix}_sum"] / values[f"{prefix}_count"]
