# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at a node: its kernel, its kube-proxy, its addresses. Nothing is changed or loaded. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_read import read_kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_read import Look
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import read_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_settle import Progress, read_progress
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status import parse_metrics
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import (
    HEALTHZ_PORT,
    METRICS_PORT,
    Endpoint,
    get,
    parse_endpoint,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_link import read_addresses
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_read import read_node_name
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_report import Wanted, ask, report
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import parse_ip
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import DUMMY, NodeAddresses

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_model import Kernel
    from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

Object = t.Mapping[str, t.Any]

_DISABLE_IPV6 = "/proc/sys/net/ipv6/conf/all/disable_ipv6"


class KubeProxy(t.NamedTuple):
    """Where kube-proxy answers; None: that is off."""

    metrics: Endpoint | None
    healthz: Endpoint | None

    def progress(self) -> dict[str, Progress]:
        """How far its syncs are, by family; empty when it does not tell."""
        answer = get(self.metrics, "/metrics") if self.metrics else None
        return read_progress(parse_metrics(answer.body)) if answer and answer.ok else {}

    def status(self, wanted: Wanted) -> dict[str, t.Any]:
        """What it says of itself, against what it should run."""
        return report(ask(self.metrics, self.healthz, get), wanted)


def kube_proxy_at(metrics: str | None, healthz: str | None, config: Object) -> KubeProxy:
    """Where kube-proxy answers.

    :param metrics: as the user says; None: as the effective configuration says; so for C(healthz)
    :raises InvalidInput: when it is no address
    """
    return KubeProxy(
        parse_endpoint("metrics_address", config["metricsBindAddress"] if metrics is None else metrics, METRICS_PORT),
        parse_endpoint("healthz_address", config["healthzBindAddress"] if healthz is None else healthz, HEALTHZ_PORT),
    )


def own_name(files: Files) -> str:
    """The node's name in the API.

    :raises KubeProxyError: when nothing on the node tells it
    """
    name = read_node_name(files)
    if not name:
        raise KubeProxyError(
            "The name of this node in the API is not known",
            "there is no client certificate of a kubelet",
            "Set the option node.",
        )
    return name


@dataclass(frozen=True)
class Sight:
    """What one look brought. C(asked): whether kube-proxy's metrics are on, so that it could be asked."""

    asked: bool
    readings: Readings
    kernel: Kernel
    status: Object


def read_node_addresses(files: Files) -> NodeAddresses:
    """Every address of the node, those of kube-proxy's own device apart.

    :raises KubeProxyError: when the kernel does not give them
    """
    index = int(files.text(f"/sys/class/net/{DUMMY}/ifindex") or 0)
    pairs = [(owner, parse_ip(text)) for owner, text in read_addresses()]
    own = tuple(address for owner, address in pairs if address and owner != index)
    bound = tuple(address for owner, address in pairs if address and owner == index)
    return NodeAddresses(own, bound, (files.text(_DISABLE_IPV6) or "").strip() == "1")


def read_objects(runner: Runner, files: Files) -> Readings:
    """All that may be kube-proxy's in the kernel.

    :raises KubeProxyError: when the virtual servers cannot be read; what else cannot be read is told in C(Readings.unread)
    """
    readings = Look(runner, files).readings((), to_compare=True)
    return replace(readings, virtual_servers=read_virtual_servers())


def look(kube_proxy: KubeProxy, wanted: Wanted, files: Files, readings: Readings) -> Sight:
    """Look at everything else, too."""
    return Sight(kube_proxy.metrics is not None, readings, read_kernel(files), kube_proxy.status(wanted))
