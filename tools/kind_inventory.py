# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kind cluster as an Ansible inventory: what `inventory/kind/nodes` prints.

Whoever made the cluster: its nodes are the containers that carry kind's labels. API work is done on the controller, as a node has no Python client;
the kubeconfig for that is kind's admin.conf with the address at which Docker publishes the API server, written anew each time.

Runs with whatever python3 there is, on the standard library alone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "kind"
# sigs.k8s.io/kind/pkg/cluster/constants and pkg/cluster/internal/providers/docker: labels, roles, the API server's port inside a node.
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
CONTROL_PLANE, WORKER, LOAD_BALANCER = "control-plane", "worker", "external-load-balancer"
API_PORT = "6443/tcp"
ADMIN_CONF = "/etc/kubernetes/admin.conf"
SERVER = re.compile(r"^(\s*server:\s*)https://\S+$", flags=re.MULTILINE)
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class KindError(Exception):
    """What is missing, and the way out."""


@dataclass(frozen=True)
class Container:
    """A container of a kind cluster."""

    name: str
    role: str
    runs: bool
    api: str = ""
    """Where Docker publishes the API server, as `address:port`."""


def cluster_name(environment: t.Mapping[str, str]) -> str:
    """The cluster that is meant, by kind's own variable.

    :raises KindError: when no kind cluster can be called so
    """
    name = environment.get("KIND_CLUSTER_NAME") or "kind"
    if not re.fullmatch(r"[a-z0-9.-]+", name) or not name.strip("."):
        raise KindError(
            f"KIND_CLUSTER_NAME is {name!r}, and kind's names are of lower-case letters, digits, dots and dashes"
        )
    return name


def docker(*arguments: str) -> str:
    """What a docker command prints.

    :raises KindError: when there is no docker, or it fails
    """
    try:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise KindError(
            f"docker could not be run ({error.strerror}): kind's nodes are Docker's containers; install Docker and make a cluster (make kind-cluster)"
        ) from error
    if done.returncode:
        raise KindError(
            f"docker {arguments[0]} failed: {' '.join(done.stderr.split())} (The daemon has to run, and you have to be in the group docker, or root; "
            "DOCKER_HOST names a daemon elsewhere.)"
        )
    return done.stdout


def choose(listing: str, cluster: str) -> list[str]:
    """The ids of a cluster's containers, from a list of all kind clusters' (`id cluster`, line by line).

    :raises KindError: when the cluster has none
    """
    rows = [line.split(maxsplit=1) for line in listing.splitlines() if line.strip()]
    ids = [row[0] for row in rows if row[1] == cluster]
    if not ids:
        others = ", ".join(sorted({row[1] for row in rows})) or "none"
        raise KindError(
            f"there is no kind cluster {cluster}: make it (make kind-cluster), or name one in KIND_CLUSTER_NAME; there are: {others}"
        )
    return ids


def read_containers(inspected: t.Sequence[t.Mapping[str, t.Any]]) -> list[Container]:
    """The containers that `docker inspect` tells of, in kind's own order."""
    found = [
        Container(
            each["Name"].lstrip("/"),
            each["Config"]["Labels"].get(ROLE_LABEL, ""),
            each["State"]["Running"],
            published(each["NetworkSettings"]["Ports"]),
        )
        for each in inspected
    ]
    # kind-worker, kind-worker2, ..., kind-worker10
    return sorted(found, key=lambda container: (len(container.name), container.name))


def published(ports: t.Mapping[str, t.Any] | None) -> str:
    """Where a client on Docker's host reaches the API server; empty when nowhere."""
    for binding in (ports or {}).get(API_PORT) or ():
        address = ANY_ADDRESS.get(binding["HostIp"], binding["HostIp"])
        return f"[{address}]:{binding['HostPort']}" if ":" in address else f"{address}:{binding['HostPort']}"
    return ""


def endpoint(containers: t.Sequence[Container]) -> str:
    """The cluster's API server: behind the load balancer where several control planes have one.

    :raises KindError: when Docker publishes none
    """
    balancers = [each for each in containers if each.role == LOAD_BALANCER]
    for each in (*balancers, *(each for each in containers if each.role == CONTROL_PLANE)):
        if each.api:
            return each.api
    raise KindError(
        f"Docker publishes no API server of this cluster ({API_PORT} of a control plane): does it run (docker start {containers[0].name})?"
    )


def kubeconfig(admin_conf: str, api: str) -> str:
    """A node's admin.conf for a client outside the cluster's network."""
    return SERVER.sub(rf"\g<1>https://{api}", admin_conf)


def inventory(cluster: str, containers: t.Sequence[Container], config: Path) -> dict[str, t.Any]:
    """What `ansible-inventory --list` expects of a script."""
    names = {role: [each.name for each in containers if each.role == role] for role in (CONTROL_PLANE, WORKER)}
    return {
        "_meta": {"hostvars": {name: {} for name in (*names[CONTROL_PLANE], *names[WORKER])}},
        "all": {"children": ["kube_cluster"], "vars": {"kind_cluster": cluster, "kind_kubeconfig": str(config)}},
        "kube_cluster": {"children": ["kube_control_plane", "kube_worker"]},
        "kube_control_plane": {"hosts": names[CONTROL_PLANE]},
        "kube_worker": {"hosts": names[WORKER]},
    }


def write_private(path: Path, text: str) -> None:
    """Have a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(0o600)
    fresh.write_text(text, "utf-8")
    fresh.replace(path)


def read_cluster(cluster: str) -> dict[str, t.Any]:
    """The inventory of a cluster that is there; its kubeconfig is written on the way.

    :raises KindError: when it cannot be reached
    """
    listing = docker(
        "ps", "--all", "--filter", f"label={CLUSTER_LABEL}", "--format", f'{{{{.ID}}}} {{{{.Label "{CLUSTER_LABEL}"}}}}'
    )
    containers = read_containers(json.loads(docker("inspect", *choose(listing, cluster))))
    running = [each.name for each in containers if each.role == CONTROL_PLANE and each.runs]
    if not running:
        names = " ".join(each.name for each in containers)
        raise KindError(f"no control plane of the kind cluster {cluster} runs: docker start {names}")
    config = CACHE / cluster / "kubeconfig"
    write_private(config, kubeconfig(docker("exec", running[0], "cat", ADMIN_CONF), endpoint(containers)))
    return inventory(cluster, containers, config)


def main() -> int:
    """Print the inventory; the arguments that Ansible gives do not matter, as all hosts' variables are in it."""
    try:
        print(json.dumps(read_cluster(cluster_name(os.environ)), indent=1))
    except KindError as error:
        print(f"kind: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
