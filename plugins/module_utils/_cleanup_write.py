# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry out the removal of what modes of kube-proxy left. Private to this collection.

What fails does not keep the rest from being done, but for what comes after it: the device says which virtual servers are
kube-proxy's, so that it stays while one of them does.
"""

from __future__ import annotations

import errno
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_model import (
    DeleteDevice,
    DeleteTable,
    DestroySet,
    Step,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_write import apply_plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import Operation
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Failure, Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._netlink_change import (
    destroy_sets,
    reason_of,
    remove_link,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Tables

_NFT_GONE = "No such file or directory"


class Failed(t.NamedTuple):
    """A step that was not carried out, and why."""

    step: Step
    reason: str

    def __str__(self) -> str:
        what = self.step.location if isinstance(self.step, Transaction) else self.step
        return f"{what}: {self.reason}"


class Edges(t.NamedTuple):
    """What the steps are carried out with.

    :param replan: reads the tables of iptables and plans again
    """

    runner: Runner
    replan: t.Callable[[], Plan[Tables, Transaction]]
    connect: t.Callable[[], Ipvs] = Ipvs
    remove_link: t.Callable[[str], str] = remove_link
    destroy_sets: t.Callable[[t.Sequence[str]], t.Mapping[str, str]] = destroy_sets


def carry_out(edges: Edges, plan: Plan[Readings, Step]) -> list[Failed]:
    """Carry out every step that can be; return those that could not."""
    failed: list[Failed] = []
    servers: list[Operation] = []
    device: DeleteDevice | None = None
    sets: list[DestroySet] = []
    for step in plan.operations:
        if isinstance(step, Transaction):
            failed += _chains(edges, plan, step)
        elif isinstance(step, DeleteTable):
            failed += _table(edges, step)
        elif isinstance(step, Operation):
            servers.append(step)
        elif isinstance(step, DeleteDevice):
            device = step
        else:
            sets.append(step)
    stuck = _servers(edges, servers)
    failed += stuck
    if device is not None:
        failed += _device(edges, device, stuck)
    return failed + _sets(edges, sets)


def _chains(edges: Edges, plan: Plan[Readings, Step], step: Transaction) -> list[Failed]:
    """One table at a time: another one that is refused is no reason to leave this one as it is."""

    def again() -> Plan[Tables, Transaction]:
        new = edges.replan()
        return Plan(new.before, new.after, tuple(one for one in new.operations if one.location == step.location))

    try:
        apply_plan(edges.runner, Plan(plan.before.tables, plan.after.tables, (step,)), again)
    except KubeProxyError as error:
        return [Failed(step, str(error))]
    return []


def _table(edges: Edges, step: DeleteTable) -> list[Failed]:
    result = edges.runner(["nft", "delete", "table", step.family, step.name])
    if result.rc == 0 or _NFT_GONE in result.err:
        return []
    return [Failed(step, f"nft ended with {result.rc}: {' '.join(result.err.split())[:500]}")]


def _servers(edges: Edges, steps: t.Sequence[Operation]) -> list[Failed]:
    if not steps:
        return []
    try:
        with edges.connect() as ipvs:
            failures: t.Sequence[Failure] = ipvs.apply(steps)
    except KubeProxyError as error:
        return [Failed(step, str(error)) for step in steps]
    # C(ip_vs_genl_set_cmd): there is no such virtual server, so somebody else removed it.
    return [
        Failed(t.cast(Operation, one.operation), one.words or reason_of(one.code))
        for one in failures
        if one.code != errno.ESRCH
    ]


def _device(edges: Edges, step: DeleteDevice, stuck: t.Sequence[Failed]) -> list[Failed]:
    if stuck:
        return [Failed(step, "not tried, as virtual servers could not be removed: its addresses say whose they are")]
    reason = edges.remove_link(step.device)
    return [Failed(step, reason)] if reason else []


def _sets(edges: Edges, steps: t.Sequence[DestroySet]) -> list[Failed]:
    try:
        reasons = edges.destroy_sets([step.ipset for step in steps])
    except KubeProxyError as error:
        return [Failed(step, str(error)) for step in steps]
    return [Failed(step, reasons[step.ipset]) for step in steps if step.ipset in reasons]
