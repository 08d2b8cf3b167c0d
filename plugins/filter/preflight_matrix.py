# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a cluster can go to another mode of kube-proxy, and what that would do."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight import (
    NOT_READINGS,
    REMEDY,
    judge,
    read_case,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_report import (
    as_json,
    bridged,
    failures,
    foreign,
    lines,
    plan_lines,
    settings,
)

OUTPUTS: dict[str, t.Callable[..., t.Any]] = {
    "lines": lines,
    "failures": failures,
    "json": as_json,
    "plan": plan_lines,
    "settings": settings,
    "foreign": foreign,
    "bridged": bridged,
}


def preflight_matrix(
    results: dict[str, t.Any], output: str = "lines", mode: str = "", override: t.Sequence[str] = ()
) -> t.Any:
    """The readings of a preflight, judged for a mode, in a form of the report."""
    if output not in OUTPUTS:
        raise AnsibleFilterError(f"output must be one of {', '.join(OUTPUTS)}: it is {output!r}.")
    try:
        return OUTPUTS[output](judge(read_case(results, mode), [str(one) for one in override]))
    except KubeProxyError as error:
        raise AnsibleFilterError(str(error)) from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # Somewhere in the readings is something of another type than its module returns.
        raise AnsibleFilterError(f"{NOT_READINGS}: {error!r}. {REMEDY}") from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"preflight_matrix": preflight_matrix}
