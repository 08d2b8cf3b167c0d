# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the modules C(kube_proxy_snapshot_info) and C(kube_proxy_restore). Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import KEY, read_document
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment import image_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_deployment_layout import Object
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_mode import ATTEMPTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names, releases_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_restore import (
    Put,
    RestorePlan,
    must_restart,
    plan_restore,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_rollout import NEXT, Rollout, Version
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_snapshot import (
    CONFIG_MAP,
    DAEMON_SET,
    Objects,
    checked,
    mode_in,
    render,
    snapshot_of,
    switch_marks,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_model import pair

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# Its uid is the nearest thing to an identity that a cluster has.
_SYSTEM = "kube-system"


@dataclass(frozen=True)
class ObjectsWork:
    """kube-proxy's two objects of one cluster."""

    api: kube.KubeApi
    names: Names

    def read(self) -> Objects:
        config_map, daemon_set = (self.api.find(self.ref(what)) for what in (CONFIG_MAP, DAEMON_SET))
        second = (
            self.api.find(kube.config_map(self.names.namespace, pair(self.names.config_map)[1])),
            self.api.find(kube.daemon_set(self.names.namespace, pair(self.names.daemon_set)[1])),
        )
        marks = switch_marks(daemon_set, second, self.api.list_all(kube.NODES))
        uid = self.api.get(kube.namespace(_SYSTEM))["metadata"]["uid"]
        return Objects(config_map, daemon_set, str(uid), tuple(marks))

    def ref(self, what: str) -> kube.Ref:
        if what == CONFIG_MAP:
            return kube.config_map(self.names.namespace, self.names.config_map)
        return kube.daemon_set(self.names.namespace, self.names.daemon_set)


@dataclass(frozen=True)
class RestoreWork:
    """The way back to one snapshot."""

    objects: ObjectsWork
    snapshot: Object

    def plan(self, before: Objects) -> RestorePlan:
        return plan_restore(self.snapshot, before)

    def apply(self, plan: RestorePlan) -> None:
        """POST, or PUT with the resourceVersion that was read. Who was faster is found by planning anew."""
        conflict = ""
        for _attempt in range(ATTEMPTS):
            try:
                for put in plan.operations:
                    self._send(put)
                return
            except (kube.Conflict, kube.NotFound) as error:
                conflict = error.failed
            plan = self.plan(self.objects.read())
        raise KubeProxyError(
            conflict,
            f"something else changed it {ATTEMPTS} times at the same moment",
            "Find out what keeps changing it (its managedFields tell), then run again.",
        )

    def _send(self, put: Put) -> None:
        write = self.objects.api.create if put.is_new else self.objects.api.replace
        write(self.objects.ref(put.what), put.body)

    def result(self, plan: RestorePlan) -> dict[str, t.Any]:
        """What kube-proxy shall run, and the nodes whose pods have not read it."""
        api, after = self.objects.api, plan.after
        releases = releases_of(image_of(after.daemon_set or {}), api.list_all(kube.NODES))
        text = str((after.config_map or {})["data"][KEY])
        config = effective(read_document(text).values, min(releases, default=None))
        version = NEXT if must_restart(plan) else Version.of(plan.before.config_map or {})
        rollout = Rollout.of(after.daemon_set or {}, api.list_all(kube.pods(self.objects.names.namespace)))
        return {
            "mode": {"before": mode_in(plan.before.config_map), "after": mode_in(after.config_map)},
            "config": config,
            "should_run": {"mode": config["mode"], "settings": {"ipvs": config["ipvs"]}},
            "restart": [member.pod.node for member in rollout.members if not member.has_read(version)],
        }


def gather(module: AnsibleModule) -> dict[str, t.Any]:
    """The snapshot of the cluster."""
    found = ObjectsWork(connect(module.params), Names.of(module.params)).read()
    return {"changed": False, "snapshot": snapshot_of(found), "switch": list(found.switch)}


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Put back what the snapshot has."""
    snapshot = checked(module.params["snapshot"])
    config_map, daemon_set = snapshot[CONFIG_MAP]["metadata"], snapshot[DAEMON_SET]["metadata"]
    names = Names(str(config_map["namespace"]), str(config_map["name"]), str(daemon_set["name"]))
    task = RestoreWork(ObjectsWork(connect(module.params), names), snapshot)
    return run_converging(module, Steps(task.objects.read, task.plan, task.apply), render, task.result)
