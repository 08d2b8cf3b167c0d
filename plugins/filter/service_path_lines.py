# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways to a Service on several nodes, for people."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.netops.kube_proxy.plugins.module_utils._path_table import report

_NEEDED = ("node", "mode", "reason", "paths", "lines")
_NARROWEST = 20


def service_path_lines(results: t.Any, width: int = 56) -> list[str]:
    """The results of service_path_info as lines of text."""
    if not isinstance(results, (list, tuple)):
        raise AnsibleFilterError("service_path_lines takes a list of results of service_path_info.")
    for one in results:
        lacking = [key for key in _NEEDED if not isinstance(one, t.Mapping) or key not in one]
        if lacking:
            raise AnsibleFilterError(f"This is no result of service_path_info: it has no {', '.join(lacking)}.")
    if width < _NARROWEST:
        raise AnsibleFilterError(f"width must be {_NARROWEST} or more: it is {width}.")
    return report(results, width)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"service_path_lines": service_path_lines}
