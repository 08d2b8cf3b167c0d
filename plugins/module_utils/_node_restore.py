# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a snapshot a node gets back: sysctls that differ, and virtual servers that are missing. Pure. Private to this collection.

A virtual server that is there is left as it is, whatever its settings and its real servers: whoever owns it may have changed it.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import Change, Servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_plan import plan_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import render as render_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import Wanted, wanted_from_options
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_snapshot import SYSCTLS

_NUMBER = re.compile(r"-?\d+")


class SetSysctl(t.NamedTuple):
    """One setting of the kernel to write."""

    name: str
    value: str


class NodeState(t.NamedTuple):
    """What the kernel has of what is asked for.

    :param sysctls: only those that the kernel has
    """

    sysctls: t.Mapping[str, str]
    servers: Servers


Step = t.Union[SetSysctl, Change]
NodePlan = Plan[NodeState, Step]


@dataclass(frozen=True)
class Restore:
    """What shall be there again."""

    sysctls: t.Mapping[str, str]
    servers: Wanted

    def plan(self, before: NodeState) -> NodePlan:
        """C(before) and C(after) hold only what changes."""
        settings = {
            name: value
            for name, value in self.sysctls.items()
            if name in before.sysctls and before.sysctls[name] != value
        }
        made = plan_servers(self.missing(before), {})
        return Plan(
            NodeState({name: before.sysctls[name] for name in settings}, {}),
            NodeState(settings, made.after),
            (*(SetSysctl(name, value) for name, value in settings.items()), *made.operations),
            (*(f"set {name}: {before.sysctls[name]} -> {value}" for name, value in settings.items()), *made.actions),
        )

    def missing(self, state: NodeState) -> Wanted:
        """The virtual servers that are not there."""
        servers = {key: server for key, server in self.servers.servers.items() if key not in state.servers}
        return replace(self.servers, servers=servers, keep=frozenset(servers))

    def unknown(self, state: NodeState) -> list[str]:
        """Sysctls that this kernel does not have (now), such as those of a module that is not loaded."""
        return sorted(name for name in self.sysctls if name not in state.sysctls)


def restore_of(params: t.Mapping[str, t.Any]) -> Restore:
    """The module's options as values.

    :raises InvalidInput: naming the option
    """
    return Restore(
        {str(name): _value(str(name), str(value)) for name, value in (params.get("sysctls") or {}).items()},
        wanted_from_options({"virtual_servers": params.get("virtual_servers") or []}),
    )


def _value(name: str, value: str) -> str:
    if name not in SYSCTLS:
        raise InvalidInput(
            f"sysctls: {name} is none that kube-proxy sets", remedy=f"Those that it sets are {', '.join(SYSCTLS)}."
        )
    if not _NUMBER.fullmatch(value.strip()):
        raise InvalidInput(f"sysctls: {name} is a whole number", repr(value))
    return value.strip()


def render(state: NodeState) -> str:
    """For the diff: sysctls as C(sysctl) prints them, virtual servers as C(ipvsadm -Sn) does."""
    settings = "".join(f"{name} = {value}\n" for name, value in sorted(state.sysctls.items()))
    return settings + render_servers(state.servers)
