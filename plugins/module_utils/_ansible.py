# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only part that knows Ansible. Private to this collection."""

from __future__ import annotations

import os
import subprocess
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan, Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

State = t.TypeVar("State")
Operation = t.TypeVar("Operation")


@dataclass(frozen=True)
class CommandResult:
    """What a command left: its exit status and its two streams as text."""

    rc: int
    out: str
    err: str


class Runner(t.Protocol):
    """Runs a command in the C locale; never through a shell."""

    def __call__(self, argv: t.Sequence[str], stdin: str | None = None) -> CommandResult: ...


def command_runner(module: AnsibleModule) -> Runner:
    """A runner that finds programs as Ansible does."""
    return runner(module.get_bin_path)


def runner(find: t.Callable[[str], str | None]) -> Runner:
    """A runner that finds programs by C(find): a missing binary is C(rc=127), one that cannot be run C(rc=126).

    C(AnsibleModule.run_command) has a hook run in each child, which makes Python copy the page tables of this process: to start
    a program beside 100 MB of values then takes ten times as long.
    """

    def run(argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        program = find(argv[0])
        if program is None:
            return CommandResult(127, "", f"{argv[0]}: command not found")
        try:
            done = subprocess.run(
                [program, *argv[1:]],
                input=stdin or "",
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                env={**os.environ, "LC_ALL": "C", "LANGUAGE": "C"},
                check=False,
            )
        except OSError as error:
            return CommandResult(126, "", f"{program}: {error.strerror}")
        return CommandResult(done.returncode, done.stdout, done.stderr)

    return run


def result_of(plan: Plan[State, Operation], render: t.Callable[[State], str]) -> dict[str, t.Any]:
    """C(changed), C(actions) and C(diff): all three from the plan, so that they cannot disagree."""
    return {
        "changed": bool(plan.operations),
        "actions": list(plan.actions),
        "diff": {"before": render(plan.before), "after": render(plan.after)},
    }


def run_converging(
    module: AnsibleModule,
    steps: Steps[State, Operation],
    render: t.Callable[[State], str],
    extra: t.Callable[[Plan[State, Operation]], dict[str, t.Any]],
) -> dict[str, t.Any]:
    """Converge and build the module's result. C(extra) adds the module's own return values."""
    plan = converge(steps, module.check_mode)
    return {**result_of(plan, render), **extra(plan)}


def require_root() -> None:
    """Refuse to start work that would fail half-way without root's rights.

    :raises KubeProxyError: when the effective user is not root
    """
    if os.geteuid() != 0:
        raise KubeProxyError(
            "This module needs root on the node", seen=f"it runs as uid {os.geteuid()}", remedy="Set become: true."
        )


def run(module: AnsibleModule, work: t.Callable[[AnsibleModule], dict[str, t.Any]]) -> None:
    """Do the module's work and end it: with its result, or with one C(fail_json) for any error of the domain."""
    try:
        result = work(module)
    except KubeProxyError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(**result)
