# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the module C(kube_proxy_mode). Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan, Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import connect
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import (
    KEY,
    Edit,
    plan_edit,
    read_document,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_schema import check_release, leaves
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_whole import refusals
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import (
    Names,
    Surroundings,
    config_text,
    look_around,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_rollout import (
    ANNOTATE,
    NEXT,
    WAIT,
    Rollout,
    Version,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_rollout import render as render_rollout
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_rollout_work import RolloutWork
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import Finding, assess

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

ATTEMPTS = 5

WRITE = "write"


@dataclass(frozen=True)
class Wanted:
    """The mode and the settings that are asked for. Without a mode the present one stays."""

    mode: str | None
    settings: dict[str, t.Any]


@dataclass(frozen=True)
class ConfigMap:
    """kube-proxy's ConfigMap as the API server has it, and the text that counts."""

    resource: kube.Object
    text: str

    def with_text(self, text: str) -> ConfigMap:
        """Everything else stays, the resourceVersion too: the server refuses it when somebody was faster."""
        data = {**self.resource["data"], KEY: text}
        return ConfigMap({**self.resource, "data": data}, text)


@dataclass(frozen=True)
class ModeState:
    """The ConfigMap, and the pods that read it where they are to follow (None: they are not looked at)."""

    config: ConfigMap
    version: Version
    rollout: Rollout | None = None

    def render(self) -> str:
        """The ConfigMap's text; behind it a line for every pod, as YAML's comments."""
        pods = render_rollout(self.rollout, self.version) if self.rollout else ""
        newline = "\n" if pods and not self.config.text.endswith("\n") else ""
        return self.config.text + newline + "".join(f"# {line}\n" for line in pods.splitlines())


ModePlan = Plan[ModeState, str]


@dataclass(frozen=True)
class ModeWork:
    """Setting a mode in one cluster. C(rollout) is None where the pods are left alone."""

    api: kube.KubeApi
    names: Names
    wanted: Wanted
    surroundings: Surroundings
    rollout: RolloutWork | None = None

    @property
    def only_reads(self) -> bool:
        """Nothing is asked for: what there is, is reported, however wrong. The way out of it begins there."""
        return self.wanted == Wanted(None, {}) and self.rollout is None

    def read(self) -> ModeState:
        config = self._read_config()
        return ModeState(config, Version.of(config.resource), self.rollout.read() if self.rollout else None)

    def _read_config(self) -> ConfigMap:
        resource = self.api.find(self._ref())
        if resource is None:
            raise KubeProxyError(
                f"There is no {self._ref().words}",
                remedy="Name kube-proxy's with the options namespace and config_map; "
                "a lost one is made anew by 'kubeadm init phase addon kube-proxy'.",
            )
        return ConfigMap(resource, config_text(resource, KEY))

    def edit(self, before: str) -> Edit:
        return plan_edit(before, self.wanted.mode, self.wanted.settings)

    def findings(self, text: str) -> list[Finding]:
        """What the calendar says about the mode that this text sets."""
        values = read_document(text).values
        gates = values.get("featureGates")
        return assess(_mode(values), self.surroundings.releases, gates if isinstance(gates, dict) else {})

    def plan(self, before: ModeState) -> ModePlan:
        edit = self.edit(before.config.text)
        if not self.only_reads:
            self._refuse(before.config, edit)
        operations: tuple[str, ...] = (WRITE,) if edit.actions else ()
        actions = edit.actions
        version = NEXT if edit.actions else before.version
        rollout = before.rollout
        if rollout:
            more, sentences = rollout.plan(version)
            operations, actions = (*operations, *more), (*actions, *sentences)
            rollout = rollout.done(version) if more else rollout
        return Plan(before, ModeState(before.config.with_text(edit.after), version, rollout), operations, actions)

    def refuse(self, edit: Edit) -> None:
        """Raise where kube-proxy of this cluster's release would not start with the edited text."""
        problems = [finding.message for finding in self.findings(edit.after) if finding.severity == "error"]
        if problems:
            mode = self.wanted.mode or edit.mode_before
            raise InvalidInput(f"Mode {mode} is not possible in this cluster", remedy=" ".join(problems))
        wrong = refusals(read_document(edit.after).values, self.surroundings.releases)
        if wrong:
            raise InvalidInput("kube-proxy would not start with this configuration", remedy=" ".join(wrong))

    def _refuse(self, before: ConfigMap, edit: Edit) -> None:
        self.refuse(edit)
        if edit.actions and before.resource.get("immutable"):
            raise KubeProxyError(
                f"{self._ref().words} is immutable",
                remedy="Delete it and create it without 'immutable: true', then run again.",
            )

    def apply(self, plan: ModePlan) -> None:
        """The ConfigMap first, then the pods that read it; then wait for them.

        PUT with the resourceVersion that was read. On a conflict the plan is made anew from what is there now.
        """
        conflict = ""
        for _attempt in range(ATTEMPTS):
            version, conflict = self._put(plan)
            if not conflict:
                if self.rollout and WAIT in plan.operations:
                    self.rollout.wait(version)
                return
            plan = self.plan(self.read())
        raise KubeProxyError(
            conflict,
            f"something else changed it {ATTEMPTS} times at the same moment",
            "Find out what keeps changing it (its managedFields tell), then run again.",
        )

    def _put(self, plan: ModePlan) -> tuple[Version, str]:
        """The ConfigMap's version, and what could not be changed because somebody else was faster (empty: all was)."""
        version = plan.before.version
        try:
            if WRITE in plan.operations:
                version = Version.of(self.api.replace(self._ref(), plan.after.config.resource))
            if self.rollout and plan.before.rollout and ANNOTATE in plan.operations:
                self.rollout.annotate(plan.before.rollout, version)
        except kube.Conflict as error:
            return version, error.failed
        return version, ""

    def _ref(self) -> kube.Ref:
        return kube.config_map(self.names.namespace, self.names.config_map)

    def result(self, plan: ModePlan) -> dict[str, t.Any]:
        before = read_document(plan.before.config.text).values
        after = read_document(plan.after.config.text).values
        config = effective(after, min(self.surroundings.releases, default=None))
        return {
            "mode": {
                "wanted": self.wanted.mode or _mode(before),
                "before": _mode(before),
                "after": _mode(after),
            },
            "config": config,
            "should_run": {"mode": config["mode"], "settings": {"ipvs": config["ipvs"]}},
            "releases": [asdict(finding) for finding in self.findings(plan.after.config.text)],
            "versions": self.surroundings.versions,
            **self.surroundings.deployment.as_dict(),
        }


def _mode(values: t.Mapping[str, t.Any]) -> str:
    return str(values.get("mode") or "")


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Read what is deployed, refuse what is not ours to change, then converge the ConfigMap."""
    task = _task(module)
    steps = Steps(read=task.read, plan=task.plan, apply=task.apply)

    def extra(plan: ModePlan) -> dict[str, t.Any]:
        for warning in task.edit(plan.before.config.text).warnings:
            module.warn(warning)
        result = task.result(plan)
        for finding in result["releases"]:
            module.warn(finding["message"])
        return result

    return run_converging(module, steps, ModeState.render, extra)


def _task(module: AnsibleModule) -> ModeWork:
    wanted = Wanted(module.params["mode"], module.params["settings"] or {})
    leaves(wanted.settings)
    timeout = module.params["rollout_timeout"]
    if timeout <= 0:
        raise InvalidInput("rollout_timeout must be at least 1 second", str(timeout))
    api = connect(module.params)
    names = Names.of(module.params)
    surroundings = look_around(api, names)
    surroundings.deployment.refuse()
    check_release(wanted.settings, surroundings.releases)
    rollout = RolloutWork(api, names.namespace, names.daemon_set, timeout) if module.params["rollout"] else None
    return ModeWork(api, names, wanted, surroundings, rollout)
