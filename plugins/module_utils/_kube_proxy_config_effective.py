# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy makes of a configuration: its defaults. Pure. Private to this collection."""

from __future__ import annotations

import copy
import ipaddress
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_checks import seconds
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import Release, effective_mode


def effective(values: t.Mapping[str, t.Any], release: Release | None = None) -> dict[str, t.Any]:
    """What kube-proxy makes of a configuration: its defaults filled in, all else as it is.

    Source: C(SetDefaults_KubeProxyConfiguration) in C(pkg/proxy/apis/config/v1alpha1/defaults.go), and
    C(platformApplyDefaults) in C(cmd/kube-proxy/app/server_linux.go) of 1.37.
    """
    config = {key: copy.deepcopy(value) for key, value in values.items() if value is not None}
    bind = config["bindAddress"] = config.get("bindAddress") or "0.0.0.0"
    ipv4 = ":" not in bind
    config["healthzBindAddress"] = _with_port(config.get("healthzBindAddress") or ("0.0.0.0" if ipv4 else "::"), 10256)
    config["metricsBindAddress"] = _with_port(
        config.get("metricsBindAddress") or ("127.0.0.1" if ipv4 else "::1"), 10249
    )
    config["mode"] = effective_mode(str(config.get("mode") or ""), release)
    config["detectLocalMode"] = config.get("detectLocalMode") or "ClusterCIDR"
    for section, defaults in _DEFAULTS.items():
        config[section] = _filled(config.get(section), defaults)
    for key, value in _TOP_DEFAULTS.items():
        config.setdefault(key, copy.deepcopy(value))
    client = config["clientConnection"] = dict(config.get("clientConnection") or {})
    for key, value in _CLIENT_DEFAULTS.items():
        client[key] = client.get(key) or value
    if seconds(config["configSyncPeriod"]) == 0:
        config["configSyncPeriod"] = _TOP_DEFAULTS["configSyncPeriod"]
    if config["mode"] == "nftables" and not config["nodePortAddresses"]:
        config["nodePortAddresses"] = ["primary"]
    return config


_SYNC = {"syncPeriod": "30s", "minSyncPeriod": "1s"}
_TOP_DEFAULTS: dict[str, t.Any] = {
    "clusterCIDR": "",
    "nodePortAddresses": [],
    "featureGates": {},
    "oomScoreAdj": -999,
    "configSyncPeriod": "15m0s",
    "bindAddressHardFail": False,
}
_CLIENT_DEFAULTS: dict[str, t.Any] = {"contentType": "application/vnd.kubernetes.protobuf", "qps": 5, "burst": 10}
_DEFAULTS: dict[str, dict[str, t.Any]] = {
    "iptables": {"masqueradeBit": 14, "masqueradeAll": False, "localhostNodePorts": True, **_SYNC},
    "ipvs": {
        "scheduler": "",
        "excludeCIDRs": [],
        "strictARP": False,
        "syncPeriod": "30s",
        "minSyncPeriod": "0s",
        "tcpTimeout": "0s",
        "tcpFinTimeout": "0s",
        "udpTimeout": "0s",
    },
    "nftables": {"masqueradeBit": 14, "masqueradeAll": False, **_SYNC},
    "conntrack": {
        "maxPerCore": 32768,
        "min": 131072,
        "tcpEstablishedTimeout": "24h0m0s",
        "tcpCloseWaitTimeout": "1h0m0s",
    },
    "detectLocal": {"bridgeInterface": "", "interfaceNamePrefix": ""},
}


def _filled(section: t.Any, defaults: dict[str, t.Any]) -> dict[str, t.Any]:
    given = {key: value for key, value in section.items() if value is not None} if isinstance(section, dict) else {}
    filled = {**copy.deepcopy(defaults), **given}
    # A period of 0 is not "always" but "the default" to kube-proxy, except where the default is 0 itself.
    for key in _SYNC.keys() & filled.keys():
        if seconds(filled[key]) == 0:
            filled[key] = defaults.get(key, filled[key])
    return filled


def _with_port(address: str, port: int) -> str:
    """C(AppendPortIfNeeded) in C(pkg/proxy/util/utils.go)."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return address
    return f"[{address}]:{port}" if version == 6 else f"{address}:{port}"
