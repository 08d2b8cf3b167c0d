# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module kube_proxy_info returns, from its options. Private to this collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory import report as inventory_report
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_read import Look
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import as_options, read_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_presence import read_states
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_config import checked_settings
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import (
    HEALTHZ_PORT,
    METRICS_PORT,
    get,
    parse_endpoint,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_read import (
    read_ipvs_devices,
    read_node_name,
    read_sysctls,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_report import Wanted, ask, report

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import Endpoint

#: What the modes need; schedulers of IPVS come as they are loaded.
_MODULES = ("br_netfilter", "dummy", "ip6_tables", "ip_set", "ip_tables", "ip_vs", "nf_conntrack", "nf_tables")
#: What the API server gives to NodePorts unless it is told otherwise (C(DefaultServiceNodePortRange) in pkg/kubeapiserver/options).
DEFAULT_NODE_PORTS = "30000-32767"
_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")


class Question(t.NamedTuple):
    """The module's options, checked."""

    metrics: Endpoint | None
    healthz: Endpoint | None
    wanted: Wanted
    gather: frozenset[str]
    node_ports: range | None


def question(params: t.Mapping[str, t.Any]) -> Question:
    """The module's options as values.

    :raises InvalidInput: naming the option
    """
    wanted = params["wanted"] or {}
    return Question(
        parse_endpoint("metrics_address", params["metrics_address"], METRICS_PORT),
        parse_endpoint("healthz_address", params["healthz_address"], HEALTHZ_PORT),
        Wanted(wanted.get("mode"), checked_settings(wanted.get("settings")), tuple(params["families"])),
        frozenset(params["gather"]),
        parse_port_range(params["node_port_range"]),
    )


def parse_port_range(text: str | None) -> range | None:
    """Ports as the API server's C(--service-node-port-range) has them; None when not given.

    :raises InvalidInput: for anything else
    """
    if text is None:
        return None
    found = _RANGE.fullmatch(text.strip())
    first, last = (int(found.group(1)), int(found.group(2))) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise InvalidInput(f"node_port_range: {text!r} is not a range of ports", remedy="Write it as 30000-32767.")
    return range(first, last + 1)


def answer(asked: Question, runner: Runner, files: Files) -> dict[str, t.Any]:
    """Ask kube-proxy, read what is wanted of the node.

    :raises KubeProxyError: when a part of the node that was asked for cannot be read
    """
    status = report(ask(asked.metrics, asked.healthz, get), asked.wanted)
    node, servers, inventory = (part in asked.gather for part in ("node", "virtual_servers", "inventory"))
    found: tuple[VirtualServer, ...] = read_virtual_servers() if servers or inventory else ()
    result = {**status, **(_node(files) if node else {})}
    if servers:
        result["virtual_servers"] = [as_options(server) for server in found]
    if inventory:
        readings = Look(runner, files).readings(found)
        result["inventory"] = inventory_report(readings, status["running_mode"], asked.node_ports)
    return result


def _node(files: Files) -> dict[str, t.Any]:
    return {
        "node_name": read_node_name(files),
        "ipvs_devices": read_ipvs_devices(files),
        "modules": read_states(files, _MODULES, "ip_vs_"),
        "sysctls": read_sysctls(files),
    }
