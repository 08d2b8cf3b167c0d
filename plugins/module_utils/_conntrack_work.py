# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(service_conntrack_cleanup). Private to this collection."""

from __future__ import annotations

import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of
from ansible_collections.netops.kube_proxy.plugins.module_utils import _conntrack_read as conntrack
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import require_root, run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_codec import Flow, Wanted
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_stale import (
    Flows,
    Services,
    destinations,
    plan_removal,
    row,
    udp_services,
    words,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan, Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import own_name, read_node_addresses
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_change import in_words
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import node_with

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

Remove = t.Callable[[t.Mapping[str, Flow]], t.Dict[str, str]]


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Take stale flows away from this node."""
    state = state_of.decode(module.params["state"])
    require_root()
    files = Files()
    node = node_with(state, module.params["node"] or own_name(files), read_node_addresses(files))
    mode = module.params["mode"] or node.config["mode"]
    session = Session(udp_services(state, node, mode), mode, partial(conntrack.read_flows, files, protocol="udp"))
    result = run_converging(module, session.steps(), render, session.report)
    unread = conntrack.why_unreadable(files)
    if unread:
        module.warn(unread)
    return {**result, "node": node.view.name, "mode": mode, "unread": unread}


def render(flows: Flows) -> str:
    """Flows as lines for C(diff)."""
    return "".join(f"udp {words(flow)}, answers from {join_host_port(*flow.answers)}\n" for flow in flows)


class Session:
    """One run: flows to these Services are read once, and those that were stale then are removed.

    A flow that is stale by the look afterwards and was not there before is none that the old mode left: traffic goes on meanwhile.
    """

    def __init__(
        self,
        services: Services,
        mode: str,
        read: t.Callable[[int, Wanted], list[Flow]],
        remove: Remove = conntrack.remove_flows,
    ) -> None:
        self._services = services
        self._mode = mode
        self._read_family = read
        self._remove = remove
        self._first: frozenset[Flow] | None = None

    def steps(self) -> Steps[Flows, Flow]:
        return Steps(self._read, self._plan, self._apply)

    def report(self, plan: Plan[Flows, Flow]) -> dict[str, t.Any]:
        """The module's own return values."""
        return {"removed": [row(flow, self._services, self._mode) for flow in plan.operations]}

    def _read(self) -> Flows:
        wanted = {family: destinations(self._services, family) for family in (4, 6)}
        found = [flow for family, ends in wanted.items() if ends for flow in self._read_family(family, ends)]
        return tuple(sorted(found))

    def _plan(self, flows: Flows) -> Plan[Flows, Flow]:
        if self._first is None:
            self._first = frozenset(flows)
        return plan_removal(tuple(one for one in flows if one in self._first), self._services, self._mode)

    def _apply(self, plan: Plan[Flows, Flow]) -> None:
        failed = self._remove({f"{number} {words(flow)}": flow for number, flow in enumerate(plan.operations)})
        if failed:
            raise KubeProxyError(
                f"{len(failed)} of {len(plan.operations)} UDP flows could not be removed",
                in_words(failed),
                "Remove the cause and run again.",
                {"actions": list(plan.actions)},
            )
