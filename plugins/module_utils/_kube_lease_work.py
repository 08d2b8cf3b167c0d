# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(kube_lease). Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_lease import (
    CREATE,
    MINIMUM_SECONDS,
    Claim,
    LeasePlan,
    LeaseState,
    facts,
    render,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

ATTEMPTS = 5


@dataclass(frozen=True)
class LeaseWork:
    """One Lease of one cluster."""

    api: kube.KubeApi
    claim: Claim

    def read(self) -> LeaseState:
        """The clock is asked first: a Lease that is changed in between is not taken for an older one."""
        now = self.api.now()
        return LeaseState(self.api.find(self._ref()), now)

    def apply(self, plan: LeasePlan) -> None:
        """POST, or PUT with the resourceVersion that was read. Who was faster is found by planning anew."""
        conflict = ""
        for _attempt in range(ATTEMPTS):
            if not plan.operations:
                return
            body = dict(plan.after.resource or {})
            try:
                if CREATE in plan.operations:
                    self.api.create(self._ref(), body)
                else:
                    self.api.replace(self._ref(), body)
                return
            except (kube.Conflict, kube.NotFound) as error:
                conflict = error.failed
            plan = self.claim.plan(self.read())
        raise KubeProxyError(conflict, f"something else changed it {ATTEMPTS} times at the same moment", "Run again.")

    def _ref(self) -> kube.Ref:
        return kube.lease(self.claim.namespace, self.claim.name)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Take, renew or release the Lease."""
    params = module.params
    if params["duration"] < MINIMUM_SECONDS:
        raise InvalidInput(f"duration must be at least {MINIMUM_SECONDS} seconds", str(params["duration"]))
    if not params["holder"].strip():
        raise InvalidInput("holder must not be empty", remedy="Name the operator, such as user@host.")
    held = params["state"] == "held"
    claim = Claim(params["namespace"], params["name"], params["holder"], params["duration"], held)
    task = LeaseWork(connect(params), claim)

    def extra(plan: LeasePlan) -> dict[str, t.Any]:
        return facts(task.read() if plan.operations and not module.check_mode else plan.after)

    return run_converging(module, Steps(task.read, task.claim.plan, task.apply), render, extra)
