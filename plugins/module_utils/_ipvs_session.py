# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of C(ipvs_virtual_server): its read, plan and apply, and what it returns. Private to this collection."""

from __future__ import annotations

import errno
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan, Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    Operation,
    ServerKey,
    Servers,
    Verb,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import NEEDS_ROOT, Failure, Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_plan import RealKey, draining_in, plan_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import TABLE, read_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import as_options
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import Wanted

_NAMED_FAILURES = 10


class Session:
    """Holds what one run has seen: the last reading, and the destinations that were draining in any reading.

    A destination whose last connection ends while the module runs stays as well: else the confirming plan would ask
    for an operation that the first one did not have.
    """

    def __init__(self, wanted: Wanted, connect: t.Callable[[], Ipvs] = Ipvs, table: str = TABLE) -> None:
        self._wanted = wanted
        self._connect = connect
        self._table = table
        self._seen: Servers = {}
        self._draining: set[RealKey] = set()

    def steps(self) -> Steps[Servers, Operation]:
        return Steps(self._read, self._plan, self._apply)

    def result(self, plan: Plan[Servers, Operation]) -> dict[str, t.Any]:
        """The listed virtual servers as they are now, or in check mode as they would be."""
        return {"virtual_servers": [as_options(server) for server in self._listed({**self._seen, **plan.after})]}

    def _listed(self, servers: Servers) -> list[VirtualServer]:
        if not self._wanted.present:
            return []
        return [servers[key] for key in self._wanted.servers if key in servers]

    def _read(self) -> Servers:
        self._seen = read_table(self._connect, self._table)
        return self._seen

    def _plan(self, actual: Servers) -> Plan[Servers, Operation]:
        self._draining |= draining_in(actual)
        return plan_servers(self._wanted, actual, self._draining)

    def _apply(self, plan: Plan[Servers, Operation]) -> None:
        with self._connect() as ipvs:
            failures = ipvs.apply(plan.operations)
        if failures:
            # "Exists already" and "is not there" may be what was wanted: only another reading can tell.
            open_ends = {_target(operation) for operation in self._plan(self._read()).operations}
            failures = [failure for failure in _causes(failures) if _target(failure.operation) in open_ends]
        if failures:
            raise _error(failures, plan, [as_options(server) for server in self._listed(self._seen)])


def _target(operation: Operation) -> tuple[ServerKey, tuple[bytes, int] | None]:
    return operation.server.key, operation.real.identity if operation.real else None


def _causes(failures: t.Sequence[Failure]) -> list[Failure]:
    """Without those that only follow: a virtual server that could not be added takes no destinations."""
    missing = {failure.operation.server.key for failure in failures if failure.operation.verb == Verb.ADD_SERVER}
    return [
        failure for failure in failures if failure.operation.real is None or failure.operation.server.key not in missing
    ]


def _error(
    failures: t.Sequence[Failure], plan: Plan[Servers, Operation], left: list[dict[str, t.Any]]
) -> KubeProxyError:
    reasons = [f"{failure.operation}: {reason(failure)}" for failure in failures]
    more = len(reasons) - _NAMED_FAILURES
    return KubeProxyError(
        f"The kernel refused {len(failures)} of {len(plan.operations)} changes to its virtual servers",
        "; ".join(reasons[:_NAMED_FAILURES]) + (f"; and {more} more" if more > 0 else ""),
        _remedy(failures),
        {
            "changed": len(failures) < len(plan.operations),
            "failures": [{"operation": str(f.operation), "reason": reason(f)} for f in failures],
            "virtual_servers": left,
        },
    )


def reason(failure: Failure) -> str:
    """The kernel's error as what it means here (C(ip_vs_genl_set_cmd) and what it calls)."""
    operation, code, words = failure
    server = operation.server
    if words:
        return words
    if code == errno.ENOENT and operation.real is None:
        engine = f", or none of the persistence engine ip_vs_pe_{server.engine}" if server.engine else ""
        return f"the kernel has no module ip_vs_{server.scheduler} for the scheduler {server.scheduler}{engine}"
    meanings = {
        errno.ENOENT: "there is no such real server",
        errno.ESRCH: "there is no such virtual server",
        errno.EEXIST: "it exists already",
        errno.EPERM: "not permitted",
        errno.EAFNOSUPPORT: "this kernel has no IPVS for this address family, or IPv6 is off",
        errno.EINVAL: "the kernel takes no such value; the address of a real server has to be unicast or of this node",
        errno.ENOMEM: "the kernel has no memory left",
    }
    return meanings.get(code) or f"error {code} ({errno.errorcode.get(code, 'unknown')})"


def _remedy(failures: t.Sequence[Failure]) -> str:
    codes = {failure.code for failure in failures}
    if errno.EPERM in codes:
        return NEEDS_ROOT
    schedulers = {f.operation.server.scheduler for f in failures if f.code == errno.ENOENT and f.operation.real is None}
    if schedulers:
        names = ", ".join(f"ip_vs_{name}" for name in sorted(schedulers))
        return (
            f"Load {names} with netops.kube_proxy.ipvs_module_loaded, which names the package that has it,"
            " or choose another scheduler. Everything else was applied."
        )
    if codes <= {errno.EEXIST, errno.ESRCH, errno.ENOENT}:
        return "Something else changes the same virtual servers: stop it, or run again."
    return "Everything else was applied: correct these and run again."
