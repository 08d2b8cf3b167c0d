# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the modules C(kube_proxy_snapshot_info) and C(kube_proxy_restore). Private to this collection."""

from __future__ import annotations

import gc
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import (
    command_runner,
    require_root,
    run_converging,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPVS, NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_gather import parse_port_range
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import (
    METRICS_PORT,
    parse_endpoint,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_different import different
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_model import (
    AddServers,
    RestorePlan,
    Step,
    Wanted,
    wanted_restore,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_plan import drafted, plan_restore
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_write import Edges, carry_out
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_foreign import Present
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import snapshot_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_read import Camera

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_NOT_DURABLE = {
    IPVS: "at its next sync, unless ipvs.excludeCIDRs covers them",
    NFTABLES: "at each start",
}


def take(module: AnsibleModule) -> dict[str, t.Any]:
    """Look at the node."""
    metrics = parse_endpoint("metrics_address", module.params["metrics_address"], METRICS_PORT)
    node_ports = parse_port_range(module.params["node_port_range"])
    require_root()
    gc.disable()
    snapshot = Camera(command_runner(module), Files()).take(metrics, node_ports).snapshot
    return {"changed": False, "snapshot": snapshot.as_value()}


def restore(module: AnsibleModule) -> dict[str, t.Any]:
    """Bring the node towards the snapshot."""
    metrics = parse_endpoint("metrics_address", module.params["metrics_address"], METRICS_PORT)
    if module.params["lines"] < 0:
        raise InvalidInput("lines must not be negative", str(module.params["lines"]))
    # Some hundred thousand values and no cycle: looking for one takes a fifth of the run.
    gc.disable()
    wanted = wanted_restore(snapshot_of(module.params["snapshot"]), module.params["restore_unknown"])
    require_root()
    files = Files()
    camera = Camera(command_runner(module), files)
    work = Work(wanted, lambda: camera.take(metrics, None), module.params["lines"])
    edges = Edges(command_runner(module), files, lambda: work.plan(work.read()))
    steps = Steps(work.read, work.plan, lambda plan: work.apply(edges, plan))
    result = run_converging(module, steps, lambda present: present.shown, work.report)
    for sentence in work.warnings:
        module.warn(sentence)
    return result


class Work:
    """One run. C(warnings): what is put back and will not stay."""

    def __init__(self, wanted: Wanted, look: t.Callable[[], Present], lines: int) -> None:
        self._wanted = wanted
        self._look = look
        self._lines = lines
        self.warnings: list[str] = []

    def read(self) -> Present:
        """The node as it is; it has to be the one that the snapshot is of."""
        present = self._look()
        if present.snapshot.node != self._wanted.snapshot.node:
            raise InvalidInput(
                "The snapshot is of another node",
                f"it is of {self._wanted.snapshot.node or 'a machine without a kubelet'}, and this is {present.snapshot.node or 'one'}",
                "Give each node its own file of the snapshot.",
            )
        return present

    def plan(self, present: Present) -> RestorePlan:
        return plan_restore(self._wanted, present)

    def apply(self, edges: Edges, plan: RestorePlan) -> None:
        failed = carry_out(edges, plan)
        if failed:
            raise KubeProxyError(
                f"{len(failed)} of {len(plan.operations)} steps failed, the others were carried out",
                seen=" ".join(failed[:10]),
                remedy="Remove the cause and run again: the next run does what is left.",
                details={"failed": failed, "actions": list(plan.actions)},
            )

    def report(self, plan: RestorePlan) -> dict[str, t.Any]:
        """The module's own return values."""
        draft = drafted(self._wanted, plan.before)
        then, now = self._wanted.snapshot, plan.before.snapshot
        self._warn(plan.operations, now.running_mode)
        return {
            "restored": [one.row() for one in draft.restored],
            "not_restored": [{"object": what, "reason": why} for what, why in draft.refused],
            "different": different(then, now, draft.added, self._lines),
            "taken_at": then.taken_at,
            "unread": list(then.unread),
        }

    def _warn(self, operations: t.Iterable[Step], mode: str | None) -> None:
        servers = any(isinstance(step, AddServers) for step in operations)
        if servers and mode in _NOT_DURABLE:
            self.warnings.append(f"kube-proxy in {mode} mode deletes virtual servers of others {_NOT_DURABLE[mode]}.")
