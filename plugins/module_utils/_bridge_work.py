# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(service_bridge). Private to this collection."""

from __future__ import annotations

import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils import _bridge_watch
from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import (
    command_runner,
    require_root,
    run_converging,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_carried import (
    read_served,
    words,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_expected import Bridge, bridge_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_kept import Place
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_kernel import Kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_plan import (
    BridgePlan,
    Limits,
    plan_absent,
    plan_present,
    render_state,
    services,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_codec import End
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_read import why_unreadable
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_addresses import answers_on
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected import served_ports
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import own_name, read_node_addresses
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._program import packed
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node, node_with

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Have a bridge on this node, or none."""
    files, params = Files(), module.params
    if params["state"] == "absent":
        require_root()
        kernel = Kernel(command_runner(module), files)
        return run_converging(module, Steps(kernel.read, plan_absent, kernel.apply), render_state, _report)
    state = state_of.decode(params["cluster"])
    require_root()
    _require_tools(module)
    node = node_with(state, params["node"] or own_name(files), read_node_addresses(files)).in_mode(params["mode"])
    bridge, limits = bridge_of(served_ports(state, node), node, params["mode"]), _limits(params, node)
    unread = _have_flows_readable(module, files) if read_served() else ""
    kernel = Kernel(
        command_runner(module),
        files,
        bridge,
        _places(bridge, node),
        frozenset(map(str, node.addresses.bound)),
        partial(packed, _bridge_watch),
    )
    steps = Steps(kernel.read, partial(plan_present, bridge, limits), partial(kernel.apply, limits=limits))
    return {**run_converging(module, steps, render_state, _report_present), "node": node.view.name, "unread": unread}


def _require_tools(module: AnsibleModule) -> None:
    for tool, package in (("nft", "nftables"), ("systemd-run", "systemd")):
        if not module.get_bin_path(tool):
            raise KubeProxyError(
                f"{tool} was not found",
                "a bridge is loaded by nft, and systemd takes it away when nobody else does",
                f"Install the distribution's {package} package, or do without a bridge.",
            )


def _places(bridge: Bridge, node: Node) -> frozenset[Place]:
    return frozenset(
        (entry.key[2], End(address, entry.key[3]))
        for entry in bridge.plane.entries.values()
        for address in answers_on(entry, bridge.plane, node)
    )


def _have_flows_readable(module: AnsibleModule, files: Files) -> str:
    """Why the connections that IPVS carries cannot be told, and so not kept; empty when they can. A module of the kernel that this
    needs is loaded, but for check mode."""
    if why_unreadable(files) and not module.check_mode:
        command_runner(module)(["modprobe", "-q", "nf_conntrack_netlink"])
    unread = why_unreadable(files)
    if unread and not module.check_mode:
        module.warn(f"{unread} No connection that IPVS carries can be kept.")
    return unread


def _limits(params: t.Mapping[str, t.Any], node: Node) -> Limits:
    soft, hard = params["soft_limit"], params["hard_limit"]
    if not 0 < soft <= hard:
        raise InvalidInput("soft_limit must be above 0 and not above hard_limit", f"they are {soft} and {hard} seconds")
    given = params["metrics_address"]
    metrics = node.config["metricsBindAddress"] if given is None else given
    _bridge_watch.asker(metrics)
    return Limits(params["entering"], metrics, soft, hard)


def _report(plan: BridgePlan) -> dict[str, t.Any]:
    plane = plan.after.plane
    return {"services": services(plane), "addresses": len(plane.entries), "kept": len(plan.after.kept)}


def _report_present(plan: BridgePlan) -> dict[str, t.Any]:
    ending = [{"connection": words(one), "reason": reason} for one, reason in sorted(plan.before.ending.items())]
    return {**_report(plan), "ending": ending}
