# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab as an Ansible inventory."""

from __future__ import annotations

import shlex
import typing as t

from kubelab import network
from kubelab.options import CONTROL_PLANE

if t.TYPE_CHECKING:
    from kubelab.options import Node
    from kubelab.state import Folder, State


def inventory(folder: Folder, state: State) -> dict[str, t.Any]:
    """What `ansible-inventory --list` expects of a script."""
    return {
        "_meta": {"hostvars": {node.name: _host(node) for node in state.nodes}},
        "all": {"children": ["kube_cluster"], "vars": _facts(folder, state)},
        "kube_cluster": {"children": ["kube_control_plane", "kube_worker"]},
        "kube_control_plane": {"hosts": [CONTROL_PLANE]},
        "kube_worker": {"hosts": [node.name for node in state.nodes if node.name != CONTROL_PLANE]},
    }


def _host(node: Node) -> dict[str, str]:
    return {
        "ansible_host": network.management(node),
        "lab_cluster_address": network.cluster(node),
        "lab_cluster_address6": network.cluster6(node),
    }


def _facts(folder: Folder, state: State) -> dict[str, t.Any]:
    return {
        "ansible_user": "root",
        "ansible_ssh_common_args": f"-F {shlex.quote(str(folder.ssh_config))}",
        # Nodes of two labs have the same addresses: a shared connection must not lead from one lab into the other.
        "ansible_control_path_dir": str(folder.ssh_config.with_name("cp")),
        "lab_name": folder.name,
        "lab_namespace": folder.name,
        "lab_kubernetes_version": state.options.kubernetes,
        "lab_images": list(state.images),
        "lab_workload_image": next(image for image in state.images if "/agnhost:" in image),
    }
