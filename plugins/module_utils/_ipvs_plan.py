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
    Operation,
    RealServer,
    ServerKey,
    Servers,
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
            _change(draft, server, there, _Unlisted(server.key in wanted.keep, draining))
    for server in actual.values():
        if wanted.purge and server.key not in wanted.servers and _inside(wanted, server.key):
            draft.remove(server)
    return draft.plan()


def draining_in(actual: Servers) -> set[RealKey]:
    """The destinations that only wait for their connections to end."""
    return {
        (server.key, real.address, real.port)
        for server in actual.values()
        for real in server.real_servers
        if real.draining
    }


@dataclass(frozen=True)
class _Unlisted:
    """What becomes of a destination that is there and not listed."""

    keep: bool
    draining: t.AbstractSet[RealKey]

    def stays(self, key: ServerKey, real: RealServer) -> bool:
        if self.keep or real.draining:
            return True
        return not real.weight and (key, real.address, real.port) in self.draining


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
        if unlisted.stays(server.key, old):
            after.append(old)
            continue
        differs = True
        draft.step(Verb.REMOVE_REAL, server, old)
        draft.actions.append(f"remove real server {old} from {server.key}")
    if differs:
        draft.before[server.key] = there
        draft.after[server.key] = server._replace(real_servers=tuple(after))


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


def _inside(wanted: Wanted, key: ServerKey) -> bool:
    """Whether the address lies in one of the networks; a firewall mark has no address and never does."""
    number = int.from_bytes(key.address, "big")
    return any(
        len(network.network_address.packed) == len(key.address)
        and number & int(network.netmask) == int(network.network_address)
        for network in wanted.purge
    )
