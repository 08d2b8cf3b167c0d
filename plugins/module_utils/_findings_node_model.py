# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of a node, beside its Services, when it is judged. Private to this collection.

None always means: nobody could read it.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import (
    Release,
    effective_mode,
    parse_release,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import Timeouts

Object = t.Mapping[str, t.Any]


class Kernel(t.NamedTuple):
    """The kernel's settings and counters.

    :param release: as C(uname -r) says it; empty when it is not known
    :param sysctls: by name, as the kernel prints them; those that this kernel does not have are missing
    :param timeouts: of IPVS; None too when ip_vs is not in the kernel
    :param unread: sentences: what could not be read, and why
    """

    release: str = ""
    sysctls: t.Mapping[str, str] = {}
    timeouts: Timeouts | None = None
    unread: tuple[str, ...] = ()

    @property
    def version(self) -> tuple[int, int] | None:
        """The first two numbers of the release."""
        numbers = self.release.split("-", 1)[0].split(".")[:2]
        return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 and all(map(str.isdecimal, numbers)) else None

    def number(self, name: str) -> int | None:
        """A sysctl that is a number; None when it is not there, or none."""
        text = str(self.sysctls.get(name, ""))
        return int(text) if text.isdecimal() else None


@dataclass(frozen=True)
class NodeFacts:
    """One node.

    :param configured_mode: as it is written in the configuration; empty means what the release makes of that
    :param config: the effective KubeProxyConfiguration
    :param config_map: the name of the ConfigMap in which it is
    :param asked: whether kube-proxy was asked at all: its metrics may be off on purpose
    :param status: what C(_kube_proxy_status_report.report) returned
    :param release: a version that the API gives for kube-proxy, for when it does not answer
    :param inventory: what C(_inventory.report) returned
    :param virtual_servers: those in the kernel, as C(_ipvs_render.as_options) writes them
    :param expected_servers: those that the Services make in ipvs mode, in the same form
    :param bound: addresses of kube-ipvs0
    :param families: those of the Services that kube-proxy serves
    :param pods: how many pods of kube-proxy are on this node
    """

    configured_mode: str | None = None
    config: Object | None = None
    config_map: str = "kube-proxy"
    asked: bool = True
    status: Object | None = None
    release: str = ""
    inventory: Object | None = None
    kernel: Kernel | None = None
    virtual_servers: t.Sequence[Object] | None = None
    expected_servers: t.Sequence[Object] | None = None
    bound: t.Sequence[str] = ()
    families: t.Sequence[int] = (4, 6)
    pods: int | None = None

    def said(self, name: str) -> t.Any:
        """What kube-proxy says of itself; None when it does not."""
        return (self.status or {}).get(name)

    @property
    def running_mode(self) -> str | None:
        """The mode that kube-proxy says it runs in."""
        mode = self.said("running_mode")
        return None if mode is None else str(mode)

    @property
    def kube_proxy(self) -> Release | None:
        """The release of kube-proxy."""
        return parse_release(str(self.said("version") or "")) or parse_release(self.release)

    @property
    def intended_mode(self) -> str | None:
        """What this release makes of the configured mode."""
        return None if self.configured_mode is None else effective_mode(self.configured_mode, self.kube_proxy)

    @property
    def mode(self) -> str | None:
        """The mode that the node is judged by: the running one, else the intended one."""
        return self.running_mode or self.intended_mode

    def setting(self, section: str, name: str) -> t.Any:
        """A field of a section of the configuration; None when that is not known."""
        values = (self.config or {}).get(section)
        return values.get(name) if isinstance(values, t.Mapping) else None
