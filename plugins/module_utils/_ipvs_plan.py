# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the virtual servers there are to those that are wanted. Private to this collection.

Everything but the key of a virtual server and of a destination can be changed in place (C(ip_vs_edit_service) and
C(ip_vs_edit_dest) in C(net/netfilter/ipvs/ip_vs_ctl.c)): connections survive, so nothing is ever deleted and made again.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    FORWARD_METHODS,
    PERSISTENT,
    Change,
    Operation,
    RealServer,
    ServerKey,
    Servers,
    SetTimeouts,
    Table,
    Timeouts,
    Verb,
    VirtualServer,
    flag_names,
    name_of,
    netmask_text,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import Wanted

#: A destination of a virtual server: the key of the one, the address and port of the other.
RealKey = t.Tuple[ServerKey, bytes, int]
#: Additions come first, so that no virtual server is without a destination in between.
_ORDER = (Verb.ADD_SERVER, Verb.EDIT_SERVER, Verb.ADD_REAL, Verb.EDIT_REAL, Verb.REMOVE_REAL, Verb.REMOVE_SERVER)
_REAL_FIELDS = (
    "weight",
    "forward_method",
    "upper_threshold",
    "lower_threshold",
    "tunnel_type",
    "tunnel_port",
    "tunnel_flags",
)


def plan_servers(
    wanted: Wanted, actual: Servers, draining: t.AbstractSet[RealKey] = frozenset()
) -> Plan[Servers, Operation]:
    """What has to be done. C(before) and C(after) hold only the virtual servers that change.

    :param draining: destinations that were draining earlier in this run, though their connections may have ended since
    """
    draft = _Draft()
    for server in wanted.servers.values():
        there = actual.get(server.key)
        if not wanted.present:
            if there is not None:
                draft.remove(there)
        elif there is None:
            draft.add(server)
        else:
            _change(draft, server, there, _Unlisted.under(wanted, server.key, draining))
    # Sorted: a kernel that resizes its table meanwhile says the same in another order, and the plan has to be the same.
    for key in sorted(filter(wanted.purges, actual)):
        draft.remove(actual[key])
    return draft.plan()


def plan_table(wanted: Wanted, actual: Table, draining: t.AbstractSet[RealKey] = frozenset()) -> Plan[Table, Change]:
    """As L(plan_servers), with the timeouts, which come first. They are in C(before) and C(after) where they change."""
    plan = plan_servers(wanted, actual.servers, draining)
    new = wanted.timeouts.over(actual.timeouts) if wanted.timeouts and actual.timeouts else None
    if new is None or actual.timeouts is None or new == actual.timeouts:
        return Plan(Table(plan.before), Table(plan.after), plan.operations, plan.actions)
    pairs = zip(Timeouts._fields, actual.timeouts, new)
    changes = ", ".join(f"{name} {was} -> {will}" for name, was, will in pairs if was != will)
    # Those that stay are not sent: somebody else may be changing them.
    sent = Timeouts(*(will if was != will else 0 for was, will in zip(actual.timeouts, new)))
    return Plan(
        Table(plan.before, actual.timeouts),
        Table(plan.after, new),
        (SetTimeouts(sent), *plan.operations),
        (f"set timeouts: {changes}", *plan.actions),
    )


def draining_in(wanted: Wanted, actual: Servers) -> set[RealKey]:
    """The destinations that only wait for their connections to end: those of weight 0, and with C(drain) the unlisted."""
    return {
        (server.key, real.address, real.port)
        for server in actual.values()
        for real in server.real_servers
        if real.connections and (not real.weight or (wanted.drain and is_unlisted(wanted, server.key, real)))
    }


def is_unlisted(wanted: Wanted, key: ServerKey, real: RealServer) -> bool:
    """Whether a destination of a listed virtual server is one that the task does not want."""
    server = wanted.servers.get(key)
    if server is None or not wanted.present or key in wanted.keep:
        return False
    return all(real.identity != listed.identity for listed in server.real_servers)


@dataclass(frozen=True)
class _Unlisted:
    """What becomes of a destination that is there and not listed."""

    keep: bool
    drain: bool
    wait: bool
    draining: t.AbstractSet[RealKey]

    @classmethod
    def under(cls, wanted: Wanted, key: ServerKey, draining: t.AbstractSet[RealKey]) -> _Unlisted:
        return cls(key in wanted.keep, wanted.drain, wanted.drain_timeout > 0, draining)

    def fate(self, server: VirtualServer, real: RealServer) -> tuple[bool, bool, str]:
        """Whether its weight has to become 0, whether it has to go, and both as a sentence (empty: nothing to do)."""
        busy = real.connections > 0 or (server.key, real.address, real.port) in self.draining
        if self.keep or (busy and not real.weight and not self.wait):
            return False, False, ""
        if self.drain and busy and not self.wait:
            return True, False, f"drain real server {real} of {server.key}: weight {real.weight} -> 0"
        if self.drain and (busy or real.weight):
            return bool(real.weight), True, f"drain and remove real server {real} of {server.key}"
        return False, True, f"remove real server {real} from {server.key}"


@dataclass
class _Draft:
    """A plan in the making."""

    before: dict[ServerKey, VirtualServer] = field(default_factory=dict)
    after: dict[ServerKey, VirtualServer] = field(default_factory=dict)
    steps: dict[Verb, list[Operation]] = field(default_factory=lambda: {verb: [] for verb in _ORDER})
    actions: list[str] = field(default_factory=list)

    def step(self, verb: Verb, server: VirtualServer, real: RealServer | None = None) -> None:
        self.steps[verb].append(Operation(verb, server, real))

    def add(self, server: VirtualServer) -> None:
        self.after[server.key] = server
        # Its destinations follow at once: until then it refuses connections.
        self.step(Verb.ADD_SERVER, server)
        self.steps[Verb.ADD_SERVER] += [Operation(Verb.ADD_REAL, server, real) for real in server.real_servers]
        count = len(server.real_servers)
        self.actions.append(
            f"add {server.key} with scheduler {server.scheduler} and {count} real server{'s' * (count != 1)}"
        )

    def remove(self, server: VirtualServer) -> None:
        self.before[server.key] = server
        self.step(Verb.REMOVE_SERVER, server)
        self.actions.append(f"remove {server.key}")

    def plan(self) -> Plan[Servers, Operation]:
        operations = tuple(operation for verb in _ORDER for operation in self.steps[verb])
        return Plan(self.before, self.after, operations, tuple(self.actions))


def _change(draft: _Draft, server: VirtualServer, there: VirtualServer, unlisted: _Unlisted) -> None:
    """Edit one virtual server and its destinations, each only where it differs."""
    differs = server.settings != there.settings
    if differs:
        draft.step(Verb.EDIT_SERVER, server)
        draft.actions.append(f"edit {server.key}: {_server_changes(server, there)}")
    reals = {real.identity: real for real in there.real_servers}
    after = []
    for real in server.real_servers:
        old = reals.pop(real.identity, None)
        after.append(real if old is None else real._replace(connections=old.connections))
        if old is None:
            differs = True
            draft.step(Verb.ADD_REAL, server, real)
            draft.actions.append(f"add real server {real} to {server.key} with weight {real.weight}")
        elif old.settings != real.settings:
            differs = True
            draft.step(Verb.EDIT_REAL, server, real)
            draft.actions.append(f"edit real server {real} of {server.key}: {_real_changes(real, old)}")
    for old in reals.values():
        differs |= _drop(draft, server, old, unlisted, after)
    if differs:
        draft.before[server.key] = there
        draft.after[server.key] = server._replace(real_servers=tuple(after))


def _drop(draft: _Draft, server: VirtualServer, old: RealServer, unlisted: _Unlisted, after: list[RealServer]) -> bool:
    """Take one unlisted destination away, as far as it may be; whether there is anything to do."""
    quiesce, remove, action = unlisted.fate(server, old)
    if quiesce:
        draft.step(Verb.EDIT_REAL, server, old._replace(weight=0))
    if remove:
        draft.step(Verb.REMOVE_REAL, server, old)
    else:
        after.append(old._replace(weight=0) if quiesce else old)
    if action:
        draft.actions.append(action)
    return bool(action)


def _server_changes(new: VirtualServer, old: VirtualServer) -> str:
    pairs = (
        ("scheduler", old.scheduler, new.scheduler),
        ("flags", ",".join(flag_names(old.scheduler, old.flags)), ",".join(flag_names(new.scheduler, new.flags))),
        ("persistence_timeout", old.settings[2], new.settings[2]),
        ("persistence_netmask", _mask(old), _mask(new)),
        ("persistence_engine", old.engine, new.engine),
    )
    return ", ".join(f"{name} {was or 'none'} -> {will or 'none'}" for name, was, will in pairs if was != will)


def _mask(server: VirtualServer) -> str:
    return netmask_text(server) if server.flags & PERSISTENT else ""


def _real_changes(new: RealServer, old: RealServer) -> str:
    texts = []
    for name in _REAL_FIELDS:
        was, will = getattr(old, name), getattr(new, name)
        if was != will and name == "forward_method":
            was, will = name_of(was, FORWARD_METHODS), name_of(will, FORWARD_METHODS)
        if was != will:
            texts.append(f"{name} {was} -> {will}")
    return ", ".join(texts)
