# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the modules C(kube_proxy_objects_info) and C(kube_proxy_objects). Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan, Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_backup import (
    CONFIG_MAP,
    DAEMON_SET,
    Objects,
    objects_of,
    plan_objects,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import pair

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

ATTEMPTS = 5
_SYSTEM = kube.Ref("/api/v1/namespaces/kube-system", "Namespace kube-system")


@dataclass(frozen=True)
class BackupWork:
    """kube-proxy's objects in one cluster."""

    api: kube.KubeApi
    names: Names

    def read(self) -> Objects:
        """As they are now: four requests."""
        second = kube.daemon_set(self.names.namespace, pair(self.names.daemon_set)[1])
        return Objects(
            self.api.find(self._ref(CONFIG_MAP)),
            self.api.find(self._ref(DAEMON_SET)),
            str((self.api.get(_SYSTEM).get("metadata") or {}).get("uid") or ""),
            self.api.find(second) is not None,
        )

    def take(self) -> dict[str, t.Any]:
        """Both objects, which have to be there.

        :raises KubeProxyError: when one of them is not
        """
        found = self.read()
        for kind, obj in ((CONFIG_MAP, found.config_map), (DAEMON_SET, found.daemon_set)):
            if obj is None:
                raise KubeProxyError(
                    f"There is no {self._ref(kind).words}",
                    remedy="Name kube-proxy's with the options namespace, config_map and daemon_set.",
                )
        return found.as_value(self.api.now().strftime("%Y-%m-%dT%H:%M:%SZ"))

    def write(self, plan: Plan[Objects, str], replan: t.Callable[[Objects], Plan[Objects, str]]) -> None:
        """PUT with the resourceVersion that was read. On a conflict the plan is made anew from what is there now.

        :raises KubeProxyError: when it is refused, or changes all the time
        """
        conflict = ""
        for _attempt in range(ATTEMPTS):
            conflict = self._written(plan)
            if not conflict:
                return
            plan = replan(self.read())
        raise KubeProxyError(
            conflict,
            f"something else changed it {ATTEMPTS} times at the same moment",
            "Find out what keeps changing it (its managedFields tell), then run again.",
        )

    def _written(self, plan: Plan[Objects, str]) -> str:
        """What could not be written because somebody else was faster; empty when all was."""
        objects = {
            CONFIG_MAP: (plan.before.config_map, plan.after.config_map),
            DAEMON_SET: (plan.before.daemon_set, plan.after.daemon_set),
        }
        try:
            for kind in plan.operations:
                before, after = objects[kind]
                (self.api.create if before is None else self.api.replace)(self._ref(kind), after or {})
        except kube.Conflict as error:
            return error.failed
        return ""

    def _ref(self, kind: str) -> kube.Ref:
        if kind == CONFIG_MAP:
            return kube.config_map(self.names.namespace, self.names.config_map)
        return kube.daemon_set(self.names.namespace, self.names.daemon_set)


def take(module: AnsibleModule) -> dict[str, t.Any]:
    """The work of C(kube_proxy_objects_info)."""
    return {"changed": False, "snapshot": BackupWork(connect(module.params), Names.of(module.params)).take()}


def restore(module: AnsibleModule) -> dict[str, t.Any]:
    """The work of C(kube_proxy_objects)."""
    names = Names.of(module.params)
    then = objects_of(module.params["snapshot"], names.namespace, names.config_map, names.daemon_set)
    return restored(module, BackupWork(connect(module.params), names), then)


def restored(module: AnsibleModule, work: BackupWork, then: Objects) -> dict[str, t.Any]:
    """Bring the objects back to what they were, and say what is left to do."""

    def plan(now: Objects) -> Plan[Objects, str]:
        return plan_objects(then, now)[0]

    steps = Steps(work.read, plan, lambda planned: work.write(planned, plan))
    return run_converging(
        module, steps, Objects.render, lambda planned: {"next_steps": list(plan_objects(then, planned.before)[1])}
    )
