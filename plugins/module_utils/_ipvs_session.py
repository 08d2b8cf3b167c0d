# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of C(ipvs_virtual_server): its read, plan and apply, and what it returns. Private to this collection."""

from __future__ import annotations

import errno
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan, Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_drain import Drain
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    Change,
    Operation,
    RealServer,
    ServerKey,
    SetTimeouts,
    Table,
    Verb,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import NEEDS_ROOT, Failure, Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_plan import (
    RealKey,
    draining_in,
    is_unlisted,
    plan_table,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import TABLE, read_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import as_options
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import Wanted

_NAMED_FAILURES = 10


class Session:
    """Holds what one run has seen: the last reading, and the destinations that were draining in any reading.

    A destination whose last connection ends while the module runs stays as well: else the confirming plan would ask
    for an operation that the first one did not have.
    """

    def __init__(
        self,
        wanted: Wanted,
        connect: t.Callable[[], Ipvs] = Ipvs,
        table: str = TABLE,
        drain: Drain | None = None,
    ) -> None:
        self._wanted = wanted
        self._connect = connect
        self._table = table
        self._seen = Table({})
        self._draining: set[RealKey] = set()
        self._drain = drain or Drain(wanted.drain_timeout)
        self._touched: t.AbstractSet[ServerKey] | None = None

    def steps(self) -> Steps[Table, Change]:
        return Steps(self._read, self._plan, self._apply)

    def result(self, plan: Plan[Table, Change]) -> dict[str, t.Any]:
        """The listed virtual servers as they are now, or in check mode as they would be."""
        if self._touched is not None:
            return self._report(self._seen)
        return self._report(
            Table({**self._seen.servers, **plan.after.servers}, plan.after.timeouts or self._seen.timeouts)
        )

    def _report(self, table: Table) -> dict[str, t.Any]:
        listed: list[VirtualServer] = []
        if self._wanted.present:
            listed = [table.servers[key] for key in self._wanted.servers if key in table.servers]
        found = {
            "virtual_servers": [as_options(server) for server in listed],
            "draining": [*self._cut_off(), *self._still_draining(listed)],
        }
        return {**found, "timeouts": table.timeouts._asdict()} if table.timeouts else found

    def _still_draining(self, listed: t.Iterable[VirtualServer]) -> t.Iterator[dict[str, t.Any]]:
        for server in listed:
            for real in server.real_servers:
                if real.draining and is_unlisted(self._wanted, server.key, real):
                    yield _draining(server.key, real, removed=False)

    def _cut_off(self) -> t.Iterator[dict[str, t.Any]]:
        if self._wanted.drain_timeout:
            for (key, _address, _port), real in self._drain.busy.items():
                yield _draining(key, real, removed=True)

    def _read(self) -> Table:
        """Whatever matters; after C(apply) the destinations of those virtual servers only that it changed."""
        select = self._wanted.concerns if self._touched is None else self._touched.__contains__
        self._seen = read_table(
            self._connect, self._table, select, self._seen.servers, timeouts=self._wanted.timeouts is not None
        )
        return self._seen

    def _plan(self, actual: Table) -> Plan[Table, Change]:
        self._draining |= draining_in(self._wanted, actual.servers)
        return plan_table(self._wanted, actual, self._draining)

    def _apply(self, plan: Plan[Table, Change]) -> None:
        self._touched = plan.before.servers.keys() | plan.after.servers.keys()
        changes: t.Sequence[Change] = plan.operations
        removals = [change for change in changes if _is_removal_of_real(change)] if self._wanted.drain else []
        if removals:
            changes = [change for change in changes if not _is_removal_of_real(change)]
        with self._connect() as ipvs:
            failures = ipvs.apply(changes)
            failures += self._drain.carry_out(ipvs, t.cast("list[Operation]", removals))
        self._draining |= self._drain.busy.keys()
        if failures:
            # "Exists already" and "is not there" may be what was wanted: only another reading can tell.
            open_ends = {_target(change) for change in self._plan(self._read()).operations}
            failures = [failure for failure in _causes(failures) if _target(failure.operation) in open_ends]
        if failures:
            raise _error(failures, plan, self._report(self._seen))


def _is_removal_of_real(change: Change) -> bool:
    return isinstance(change, Operation) and change.verb == Verb.REMOVE_REAL


def _draining(key: ServerKey, real: RealServer, removed: bool) -> dict[str, t.Any]:
    return {
        "virtual_server": str(key),
        "real_server": str(real),
        "connections": real.connections,
        "removed": removed,
    }


def _target(change: Change) -> tuple[ServerKey, tuple[bytes, int] | None] | None:
    """What a change is about; None for the timeouts."""
    if isinstance(change, SetTimeouts):
        return None
    return change.server.key, change.real.identity if change.real else None


def _about_server(failure: Failure) -> VirtualServer | None:
    """The virtual server itself that could not be changed; None when it is about something else."""
    change = failure.operation
    return change.server if isinstance(change, Operation) and change.real is None else None


def _causes(failures: t.Sequence[Failure]) -> list[Failure]:
    """Without those that only follow: a virtual server that could not be added takes no destinations."""
    missing = {
        failure.operation.server.key
        for failure in failures
        if isinstance(failure.operation, Operation) and failure.operation.verb == Verb.ADD_SERVER
    }
    return [
        failure
        for failure in failures
        if isinstance(failure.operation, SetTimeouts)
        or failure.operation.real is None
        or failure.operation.server.key not in missing
    ]


def _error(failures: t.Sequence[Failure], plan: Plan[Table, Change], left: t.Mapping[str, t.Any]) -> KubeProxyError:
    reasons = [f"{failure.operation}: {reason(failure)}" for failure in failures]
    more = len(reasons) - _NAMED_FAILURES
    return KubeProxyError(
        f"The kernel refused {len(failures)} of {len(plan.operations)} changes to its virtual servers",
        "; ".join(reasons[:_NAMED_FAILURES]) + (f"; and {more} more" if more > 0 else ""),
        _remedy(failures),
        {
            "changed": len(failures) < len(plan.operations),
            "failures": [{"operation": str(f.operation), "reason": reason(f)} for f in failures],
            **left,
        },
    )


def reason(failure: Failure) -> str:
    """The kernel's error as what it means here (C(ip_vs_genl_set_cmd) and what it calls)."""
    code, words = failure.code, failure.words
    server = _about_server(failure)
    if words:
        return words
    if code == errno.ENOENT and server:
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
    servers = (_about_server(failure) for failure in failures if failure.code == errno.ENOENT)
    schedulers = {server.scheduler for server in servers if server}
    if schedulers:
        names = ", ".join(f"ip_vs_{name}" for name in sorted(schedulers))
        return (
            f"Load {names} with netops.kube_proxy.ipvs_module_loaded, which names the package that has it,"
            " or choose another scheduler. Everything else was applied."
        )
    if codes <= {errno.EEXIST, errno.ESRCH, errno.ENOENT}:
        return "Something else changes the same virtual servers: stop it, or run again."
    return "Everything else was applied: correct these and run again."
