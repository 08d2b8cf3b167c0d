# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between two snapshots of a node."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_snapshot import NODE, require
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_snapshot_diff import differences


def snapshot_differences(saved: t.Any, present: t.Any) -> list[str]:
    """Lines of one snapshot that are not in the other."""
    try:
        return differences(require(saved, NODE), require(present, NODE))
    except KubeProxyError as error:
        raise AnsibleFilterError(str(error)) from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # Somebody has changed the file.
        raise AnsibleFilterError(f"This is not a snapshot that node_snapshot_info has made: {error!r}.") from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"snapshot_differences": snapshot_differences}
