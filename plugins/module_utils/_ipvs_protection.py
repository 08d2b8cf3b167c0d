# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether this node's kube-proxy would delete the virtual servers that a task makes. Private to this collection.

Which ones it deletes is decided by C(_service_model_ipvs.foreign); here kube-proxy itself is asked how it runs.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    ServerKey,
    address_text,
    protocol_name,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import Wanted
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status import parse_mapping, parse_mode
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_config import read_configz
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import (
    METRICS_PORT,
    Endpoint,
    Get,
    get,
    parse_endpoint,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_read import read_ipvs_devices
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_ipvs import foreign

_NAMED = 5
_WHEN = {
    "ipvs": (
        "at its next sync",
        "Cover their addresses by ipvs.excludeCIDRs (netops.kube_proxy.kube_proxy_mode) and restart kube-proxy",
    ),
    "nftables": ("whenever it starts", "Run this again after each start of kube-proxy"),
}


class Unprotected(KubeProxyError):
    """kube-proxy would delete virtual servers that are to be there."""


def heed(params: t.Mapping[str, t.Any], wanted: Wanted, warn: t.Callable[[str], None]) -> None:
    """Do what the option C(unprotected) says about virtual servers that kube-proxy would delete.

    :raises Unprotected: when it says C(fail)
    """
    metrics = parse_endpoint("metrics_address", params["metrics_address"], METRICS_PORT)
    if params["unprotected"] == "ignore" or not wanted.present:
        return
    for danger in find_unprotected(tuple(wanted.servers), metrics, get, _held_by_kube_proxy):
        if params["unprotected"] == "fail":
            raise danger
        warn(str(danger))


def _held_by_kube_proxy() -> list[str]:
    return [address for device in read_ipvs_devices(Files()) for address in device["addresses"]]


def find_unprotected(
    servers: t.Sequence[ServerKey], metrics: Endpoint | None, get: Get, bound: t.Callable[[], t.Iterable[str]]
) -> list[Unprotected]:
    """Which of the virtual servers kube-proxy would delete, as one error; none when it would delete none or does not answer.

    :param metrics: where kube-proxy says how it runs; None: it is not asked
    :param bound: gives the addresses that kube-proxy holds itself; its own virtual servers are not in danger
    """
    mode = _running_mode(metrics, get) if servers else None
    if metrics is None or mode not in _WHEN:
        return []
    excluded = _excluded(metrics, get) if mode == "ipvs" else []
    if excluded is None:
        return []
    lost = foreign([_as_item(key) for key in servers], [], mode, excluded, bound())
    return [_error(mode, [item["name"] for item in lost])] if lost else []


def _as_item(key: ServerKey) -> dict[str, t.Any]:
    if key.fwmark:
        return {"name": str(key), "fwmark": key.fwmark}
    return {
        "name": str(key),
        "address": address_text(key.address),
        "port": key.port,
        "protocol": protocol_name(key.protocol),
    }


def _running_mode(metrics: Endpoint | None, get: Get) -> str | None:
    answer = get(metrics, "/proxyMode") if metrics else None
    return parse_mode(answer.body) if answer and answer.ok else None


def _excluded(metrics: Endpoint, get: Get) -> list[str] | None:
    """C(ipvs.excludeCIDRs) of the running kube-proxy; None when it does not say."""
    answer = get(metrics, "/configz")
    running = read_configz(parse_mapping(answer.body)) if answer.ok else None
    return None if running is None else list((running.get("ipvs") or {}).get("excludeCIDRs") or [])


def _error(mode: str, lost: t.Sequence[str]) -> Unprotected:
    when, remedy = _WHEN[mode]
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    return Unprotected(
        f"kube-proxy runs in {mode} mode and deletes {len(lost)} of the virtual servers listed {when}",
        ", ".join(lost[:_NAMED]) + more,
        f"{remedy}, or set unprotected=ignore.",
    )
