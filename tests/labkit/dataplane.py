# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kernel against API on a real cluster, as the role check does it: the module's three steps, and Services that come and go."""

from __future__ import annotations

import json
import subprocess
import typing as t
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import decode, encode
from tests import labkit
from tests.labkit import ROOT, Lab, Node, wait_for
from tests.labkit.cluster import Cluster

Finding = dict[str, t.Any]
MODULE = "service_dataplane_info"
CLIENT = Path(labkit.__file__).with_name("modes_client.py")
ADMIN = "/etc/kubernetes/admin.conf"
# A file of the node over the one in kube-proxy's image. Nothing is restarted by that.
PROGRAM = "/opt/kube-proxy/kube-proxy"
PATCH: dict[str, t.Any] = {
    "spec": {
        "updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "kube-proxy",
                        "volumeMounts": [
                            {"name": "program", "mountPath": "/usr/local/bin/kube-proxy", "readOnly": True}
                        ],
                    }
                ],
                "volumes": [{"name": "program", "hostPath": {"path": PROGRAM, "type": "File"}}],
            }
        },
    }
}
# Good to know on a healthy node: the plan for IPVS, and its timeouts, which kube-proxy leaves as the kernel has them.
ADVICE = {"ipvs": {"release_calendar", "ipvs_timeout_below_keepalive"}}


FAMILIES: dict[str, t.Any] = {
    "cluster_pod_subnet": "10.244.0.0/16,fd00:10:244::/56",
    "cluster_service_subnet": "10.96.0.0/16,fd00:10:96::/112",
}


def with_catalogue(lab: Lab, names: tuple[str, ...]) -> Cluster:
    """A new dual-stack cluster with a Service for every rule, and a load balancer's addresses."""
    found = Cluster(lab, names)
    run = lab.playbook("playbooks/create_cluster.yml", **FAMILIES)
    assert run.rc == 0, run.output
    found.apply("dataplane.yaml")
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.20"}, {"ip": "2001:db8:ffff::20"}]}}}
    found.kubectl("patch", "service", "balanced", "--subresource=status", "-p", json.dumps(ingress))
    return found


def state(cluster: Cluster, release: str = "") -> str:
    """As the module brings it, but for the release if one is given: that is otherwise what the tag of kube-proxy's image says."""
    text: str = cluster.control_plane.module("cluster_services_info", {"kubeconfig": ADMIN}, diff=False)["state"]
    return encode({**decode(text), "release": release}) if release else text


def look(node: Node, text: str, **options: t.Any) -> dict[str, t.Any]:
    return node.module(MODULE, {"state": text, **options}, diff=False)


def verdict(cluster: Cluster, node: Node, **options: t.Any) -> dict[str, t.Any]:
    """The result of the first look, with the findings that all steps leave."""
    text = state(cluster)
    first = look(node, text, **options)
    if not first["suspects"]:
        return first
    second = look(node, text, step="look_again", suspects=first["suspects"], **options)
    if not second["suspects"]:
        return {**first, "findings": second["findings"]}
    left = look(node, state(cluster), step="confirm", suspects=second["suspects"], **options)
    return {**first, "findings": left["findings"]}


def wrong(found: dict[str, t.Any]) -> list[Finding]:
    """The findings without what is said of every healthy node of that mode."""
    advice = ADVICE.get(found["checked_mode"], set())
    return [one for one in found["findings"] if one["kind"] not in advice]


def kinds(found: t.Iterable[Finding]) -> set[str]:
    return {one["kind"] for one in found}


def move(cluster: Cluster, old: str, new: str) -> None:
    """By hand, as the tutorial does it; over when every family of every node is synced."""
    cluster.set_mode_text(old, new)
    restart(cluster, new)


def restart(cluster: Cluster, mode: str) -> None:
    cluster.restart_kube_proxy()
    cluster.wait_for_mode(mode)
    for node in cluster.nodes:
        wait_for(f"the first sync on {node.name}", partial(_is_synced, node))


def _is_synced(node: Node) -> bool:
    return bool(node.module("kube_proxy_info", {"gather": []}, diff=False)["synced"])


def replace_program(cluster: Cluster, release: str) -> None:
    """The kube-proxy of another release for all pods that start from now on, whatever the image's tag says."""
    lab = str(ROOT / "lab" / "lab")
    built = subprocess.run([lab, "kube-proxy", release], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    for node in cluster.nodes:
        if node.attempt([PROGRAM, "--version"]).out != f"Kubernetes v{release}\n":
            new = f"{PROGRAM}.new"
            command = f"mkdir -p {Path(PROGRAM).parent} && cat > {new} && chmod 755 {new} && mv {new} {PROGRAM}"
            with open(built, "rb") as program:
                subprocess.run(node.argv(command), stdin=program, check=True)
    cluster.kubectl("patch", "daemonset", "-n", "kube-system", "kube-proxy", "-p", json.dumps(PATCH))


@contextmanager
def churn(cluster: Cluster, count: int) -> t.Iterator[dict[str, t.Any]]:
    """Services that are made, changed and removed, up to ten changes a second. Says at the end how many it were."""
    node = cluster.control_plane
    node.run("cat > /root/modes_client.py && rm -f /root/churn.stop", stdin=CLIENT.read_text(encoding="utf-8"))
    command = f"python3 /root/modes_client.py churn {ADMIN} {count} /root/churn.stop"
    process = subprocess.Popen(
        node.argv(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    figures: dict[str, t.Any] = {}
    try:
        yield figures
    finally:
        node.run("touch /root/churn.stop")
        out, _ = process.communicate(timeout=300)
    figures.update(json.loads(out))
