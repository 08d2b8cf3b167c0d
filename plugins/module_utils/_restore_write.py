# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out a restore. What fails does not keep the rest from being done. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Table, Tables, Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import NOT_FOUND
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_write import apply_plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import TABLE
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_session import Session
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import Wanted as WantedServers
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_model import (
    AddServers,
    AddSets,
    AddTable,
    RestorePlan,
    SetSysctl,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import SYSCTLS

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
    from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_model import Step


class Edges(t.NamedTuple):
    """What the steps are carried out with.

    :param replan: reads the node and plans again
    """

    runner: Runner
    files: Files
    replan: t.Callable[[], RestorePlan]
    connect: t.Callable[[], Ipvs] = Ipvs


def carry_out(edges: Edges, plan: RestorePlan) -> list[str]:
    """Carry out every step that can be; return a sentence for each that could not."""
    reasons = (_failure(edges, plan, step) for step in plan.operations)
    return [reason for reason in reasons if reason]


def _failure(edges: Edges, plan: RestorePlan, step: Step) -> str:
    try:
        _one(edges, plan, step)
    except KubeProxyError as error:
        return str(error)
    return ""


def _one(edges: Edges, plan: RestorePlan, step: Step) -> None:
    if isinstance(step, SetSysctl):
        _sysctl(edges.files, step)
    elif isinstance(step, AddSets):
        _tool(
            edges.runner, ["ipset", "restore"], "".join(f"{line}\n" for line in step.lines), "The ipsets were not added"
        )
    elif isinstance(step, AddTable):
        _tool(
            edges.runner,
            ["nft", "-f", "-"],
            _script(step),
            f"The nftables table {step.family} {step.name} was not added",
        )
    elif isinstance(step, AddServers):
        _servers(edges, step.servers)
    else:
        _chains(edges, plan, step)


def _script(step: AddTable) -> str:
    """C(create) fails where somebody else has made the table meanwhile: the rest would come on top. What is the table's own has to
    be there already, as nft 1.0.6 leaves it out of a table that it finds."""
    lines = (line.strip() for line in step.text.split("\n") if line.startswith(("\tflags ", "\tcomment ")))
    return f"create table {step.family} {step.name} {{ {' '.join(f'{line};' for line in lines)} }}\n{step.text}"


def _sysctl(files: Files, step: SetSysctl) -> None:
    if step.name not in SYSCTLS:
        raise KubeProxyError(f"{step.name} is no sysctl of a snapshot")
    try:
        with open(files.path("/proc/sys/" + step.name.replace(".", "/")), "w", encoding="ascii") as file:
            file.write(f"{step.value}\n")
    except OSError as error:
        raise KubeProxyError(f"Sysctl {step.name} was not set to {step.value}", error.strerror or str(error)) from None


def _tool(runner: Runner, argv: t.Sequence[str], script: str, failed: str) -> None:
    result = runner(argv, script)
    if result.rc == NOT_FOUND:
        raise KubeProxyError(failed, f"{argv[0]} was not found", f"Install the distribution's package of {argv[0]}.")
    if result.rc != 0:
        raise KubeProxyError(failed, f"{argv[0]} ended with {result.rc}: {' '.join(result.err.split())[:500]}")


def _chains(edges: Edges, plan: RestorePlan, step: Transaction) -> None:
    """One table; where it has changed since it was read, what is planned from its new state."""

    def again() -> Plan[Tables, Transaction]:
        new = edges.replan()
        same = (one for one in new.operations if isinstance(one, Transaction) and one.location == step.location)
        return Plan(new.before.seen.tables, new.before.seen.tables, tuple(same))

    tables = plan.before.seen.tables
    before = tables if step.location in tables else {**tables, step.location: Table()}
    apply_plan(edges.runner, Plan(before, before, (step,)), again)


def _servers(edges: Edges, servers: t.Sequence[VirtualServer]) -> None:
    """Whoever has made one of them meanwhile keeps his real servers."""
    keys = frozenset(server.key for server in servers)
    wanted = WantedServers({server.key: server for server in servers}, keep=keys)
    converge(Session(wanted, edges.connect, edges.files.path(TABLE)).steps(), check_mode=False)
