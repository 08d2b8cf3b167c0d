# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a check of the nodes found, for people and for machines."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.netops.kube_proxy.plugins.module_utils._check_report_formats import (
    as_json,
    as_junit,
    as_prometheus,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._check_report_lines import failures, lines
from ansible_collections.netops.kube_proxy.plugins.module_utils._check_report_model import Options, read_nodes
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import ERROR, SEVERITIES

OUTPUTS: dict[str, t.Callable[..., t.Any]] = {
    "lines": lines,
    "failures": failures,
    "json": as_json,
    "junit": as_junit,
    "prometheus": as_prometheus,
}


def dataplane_report(
    results: list[dict[str, t.Any]],
    output: str = "lines",
    fail_on: str = ERROR,
    services: t.Sequence[str] = (),
    limit: int = 20,
    full_list: str = "",
) -> str | list[str]:
    """The results of service_dataplane_info, by host, in a form of the report."""
    for name, value, choices in (("output", output, tuple(OUTPUTS)), ("fail_on", fail_on, SEVERITIES)):
        if value not in choices:
            raise AnsibleFilterError(f"{name} must be one of {', '.join(choices)}: it is {value!r}.")
    options = Options(fail_on, tuple(map(str, services)), limit, full_list)
    try:
        written: str | list[str] = OUTPUTS[output](read_nodes(results), options)
    except KubeProxyError as error:
        raise AnsibleFilterError(str(error)) from error
    return written


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"dataplane_report": dataplane_report}
