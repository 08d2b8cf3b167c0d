# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(kube_proxy_cleanup). Private to this collection."""

from __future__ import annotations

import gc
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import (
    command_runner,
    require_root,
    run_converging,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_model import Cleanup, Step, wanted_cleanup
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_plan import plan_cleanup
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_report import kept_rows, listing, removed_rows
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_write import Edges, Failed, carry_out
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan, Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_read import Look
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import FAMILIES, Tables, Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import Operation
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import read_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPVS

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer

_NAMED = 10


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Turn the options into what is to go, and the node into one without it."""
    wanted = wanted_cleanup(module.params)
    require_root()
    # Some hundred thousand values and no cycle: looking for one takes a fifth of the run.
    gc.disable()
    session = Session(wanted, command_runner(module), Files())
    result = run_converging(module, session.steps(), lambda readings: listing(wanted, readings), session.report)
    for sentence in session.passed_over:
        module.warn(sentence)
    return result


class Session:
    """One run. C(passed_over): what could not be read and concerns no mode that was asked for."""

    def __init__(
        self, wanted: Cleanup, runner: Runner, files: Files, read: t.Callable[[], Readings] | None = None
    ) -> None:
        self._wanted = wanted
        self._runner = runner
        self._files = files
        self._read = read or self._look
        self.passed_over: dict[str, None] = {}

    def steps(self) -> Steps[Readings, Step]:
        return Steps(self._read, self._plan, self._apply)

    def report(self, plan: Plan[Readings, Step]) -> dict[str, t.Any]:
        """The module's own return values."""
        return {
            "removed": removed_rows(self._wanted, plan.before, plan.after),
            "kept": kept_rows(self._wanted, plan.before),
        }

    def _look(self) -> Readings:
        servers: tuple[VirtualServer, ...] = ()
        try:
            servers = read_virtual_servers()
        except KubeProxyError as error:
            if IPVS in self._wanted.modes:
                raise
            self.passed_over[str(error)] = None
        return Look(self._runner, self._files).readings(servers)

    def _plan(self, readings: Readings) -> Plan[Readings, Step]:
        plan = plan_cleanup(self._wanted, readings)
        self.passed_over.update(dict.fromkeys(readings.unread))
        return plan

    def _apply(self, plan: Plan[Readings, Step]) -> None:
        failed = carry_out(Edges(self._runner, self._replan), plan)
        if not failed:
            return
        now = self._read()
        # What another removed meanwhile has failed and is done.
        open_ends = {_target(step) for step in self._plan(now).operations}
        failed = [one for one in failed if _target(one.step) in open_ends]
        if failed:
            raise self._error(failed, plan, now)

    def _replan(self) -> Plan[Tables, Transaction]:
        return plan_chains(self._wanted.chains, NodeTables(self._runner, self._files).read(FAMILIES, "both"))

    def _error(self, failed: t.Sequence[Failed], plan: Plan[Readings, Step], now: Readings) -> KubeProxyError:
        sentences = [str(one) for one in failed]
        more = f"; and {len(sentences) - _NAMED} more" if sentences[_NAMED:] else ""
        return KubeProxyError(
            f"{len(failed)} of {len(plan.operations)} steps failed, the others were carried out",
            seen="; ".join(sentences[:_NAMED]) + more,
            remedy="Remove the cause and run again: the next run does what is left.",
            details={
                "failed": sentences,
                "removed": removed_rows(self._wanted, plan.before, now),
                "kept": kept_rows(self._wanted, now),
                "actions": list(plan.actions),
            },
        )


def _target(step: Step) -> t.Any:
    """What a step is about, whatever is to be done to it."""
    if isinstance(step, Transaction):
        return step.location
    return step.server.key if isinstance(step, Operation) else step
