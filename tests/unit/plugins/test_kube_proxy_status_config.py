# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running against wanted configuration. Expected values: defaults.go, conversion.go and types.go of kube-proxy."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_config import (
    checked_settings,
    differences,
    read_configz,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import Release

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kube_proxy"

# As 1.37 shows it in ipvs mode: periods and masqueradeAll of the other modes are gone (conversion.go).
RUNNING: dict[str, t.Any] = {
    "kind": "KubeProxyConfiguration",
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "clientConnection": {
        "kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf",
        "acceptContentTypes": "",
        "contentType": "application/vnd.kubernetes.protobuf",
        "qps": 5,
        "burst": 10,
    },
    "logging": {
        "format": "text",
        "flushFrequency": "5s",
        "verbosity": 0,
        "options": {"text": {"infoBufferSize": "0"}, "json": {"infoBufferSize": "0"}},
    },
    "hostnameOverride": "worker-1",
    "bindAddress": "0.0.0.0",
    "healthzBindAddress": "0.0.0.0:10256",
    "metricsBindAddress": "127.0.0.1:10249",
    "bindAddressHardFail": False,
    "enableProfiling": False,
    "showHiddenMetricsForVersion": "",
    "mode": "ipvs",
    "iptables": {
        "masqueradeBit": 14,
        "masqueradeAll": True,
        "localhostNodePorts": True,
        "syncPeriod": "0s",
        "minSyncPeriod": "0s",
    },
    "ipvs": {
        "syncPeriod": "30s",
        "minSyncPeriod": "0s",
        "scheduler": "",
        "excludeCIDRs": None,
        "strictARP": True,
        "tcpTimeout": "15m0s",
        "tcpFinTimeout": "0s",
        "udpTimeout": "0s",
    },
    "nftables": {"masqueradeBit": 14, "masqueradeAll": False, "syncPeriod": "0s", "minSyncPeriod": "0s"},
    "winkernel": {
        "networkName": "",
        "sourceVip": "",
        "enableDSR": False,
        "rootHnsEndpointName": "",
        "forwardHealthCheckVip": False,
    },
    "detectLocalMode": "ClusterCIDR",
    "detectLocal": {"bridgeInterface": "", "interfaceNamePrefix": ""},
    "clusterCIDR": "10.244.0.0/16",
    "nodePortAddresses": None,
    "oomScoreAdj": -999,
    "conntrack": {
        "maxPerCore": 0,
        "min": 131072,
        "tcpEstablishedTimeout": "24h0m0s",
        "tcpCloseWaitTimeout": "1h0m0s",
        "tcpBeLiberal": False,
        "udpTimeout": "0s",
        "udpStreamTimeout": "0s",
    },
    "configSyncPeriod": "15m0s",
    "portRange": "",
}

# The same as 1.35 and older show it: the internal type, no JSON names (pkg/proxy/apis/config/types.go).
INTERNAL: dict[str, t.Any] = json.loads((FIXTURES / "configz-1.35.4-ipvs.json").read_text())["kubeproxy.config.k8s.io"]


def configz(config: dict[str, t.Any]) -> dict[str, t.Any]:
    found = read_configz({"kubeproxy.config.k8s.io": config})
    assert found is not None
    return found


def compare(
    settings: dict[str, t.Any], config: dict[str, t.Any] = RUNNING, mode: str | None = None
) -> list[dict[str, t.Any]]:
    running = configz(config)
    return differences(mode, checked_settings(settings), running["mode"], running)


def test_the_internal_form_becomes_v1alpha1() -> None:
    internal, external = configz(INTERNAL), configz(RUNNING)
    for name in (
        "ipvs",
        "conntrack",
        "clientConnection",
        "logging",
        "clusterCIDR",
        "mode",
        "oomScoreAdj",
        "configSyncPeriod",
        "detectLocal",
    ):
        assert internal[name] == external[name], name
    assert internal["iptables"] == {"masqueradeBit": 14, "masqueradeAll": True, "localhostNodePorts": True}
    assert "linux" not in internal
    assert internal["windowsRunAsService"] is False


def test_the_internal_form_in_nftables_mode() -> None:
    internal = configz({**INTERNAL, "Mode": "nftables"})
    assert internal["nftables"] == {
        "masqueradeBit": 14,
        "masqueradeAll": True,
        "syncPeriod": "30s",
        "minSyncPeriod": "0s",
    }


@pytest.mark.parametrize("answer", [None, {}, {"kubeproxy.config.k8s.io": None}, {"other": {}}])
def test_no_configuration(answer: dict[str, t.Any] | None) -> None:
    assert read_configz(answer) is None


@pytest.mark.parametrize("config", [RUNNING, INTERNAL])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ipvs": {"scheduler": "rr"}},
        {"ipvs": {"scheduler": "", "excludeCIDRs": [], "strictARP": True}},
        {"ipvs": {"tcpTimeout": "15m"}},
        {
            "ipvs": {
                "tcpTimeout": "900s",
                "udpTimeout": "0",
                "tcpFinTimeout": "0s",
                "syncPeriod": "0s",
                "minSyncPeriod": "0ms",
            }
        },
        {"conntrack": {"maxPerCore": 0, "min": None, "tcpEstablishedTimeout": "24h"}},
        {"iptables": {"masqueradeAll": True, "syncPeriod": "10s"}, "nftables": {"masqueradeAll": True}},
        {"nodePortAddresses": None, "featureGates": {}, "clusterCIDR": "10.244.0.0/16"},
        {"hostnameOverride": "", "logging": {"flushFrequency": 0, "verbosity": 0}},
        {
            "clientConnection": {
                "qps": 0,
                "burst": 0,
                "contentType": "",
                "kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf",
            }
        },
        {"clientConnection": {"qps": 5.0}},
        {"bindAddress": "0.0.0.0", "healthzBindAddress": "", "metricsBindAddress": "127.0.0.1"},
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "",
            "configSyncPeriod": "0s",
        },
    ],
)
def test_alike(settings: dict[str, t.Any], config: dict[str, t.Any]) -> None:
    assert compare(settings, config) == []


@pytest.mark.parametrize("config", [RUNNING, INTERNAL])
@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"ipvs": {"scheduler": "wrr"}}, [("ipvs.scheduler", "wrr", "")]),
        ({"ipvs": {"tcpTimeout": "10m"}}, [("ipvs.tcpTimeout", "10m", "15m0s")]),
        (
            {"ipvs": {"strictARP": False, "excludeCIDRs": ["10.0.0.0/8"]}},
            [("ipvs.excludeCIDRs", ["10.0.0.0/8"], []), ("ipvs.strictARP", False, True)],
        ),
        ({"conntrack": {"maxPerCore": 32768}}, [("conntrack.maxPerCore", 32768, 0)]),
        ({"iptables": {"masqueradeAll": False}}, [("iptables.masqueradeAll", False, True)]),
        ({"featureGates": {"KubeProxyIPVS": True}}, [("featureGates.KubeProxyIPVS", True, None)]),
        ({"metricsBindAddress": "0.0.0.0:10249"}, [("metricsBindAddress", "0.0.0.0:10249", "127.0.0.1:10249")]),
    ],
)
def test_different(settings: dict[str, t.Any], config: dict[str, t.Any], found: list[tuple[str, t.Any, t.Any]]) -> None:
    assert [(item["field"], item["wanted"], item["running"]) for item in compare(settings, config)] == found


def test_a_real_configuration_equals_itself_as_kubeadm_writes_it() -> None:
    running = configz(json.loads((FIXTURES / "configz-1.37.2-iptables.json").read_text())["kubeproxy.config.k8s.io"])
    # kubeadm 1.37 marshals zero values: they mean the defaults.
    written = {
        "clientConnection": {**running["clientConnection"], "contentType": "", "burst": 0, "qps": 0},
        "clusterCIDR": running["clusterCIDR"],
        "configSyncPeriod": "0s",
        "conntrack": {**running["conntrack"], "min": None, "tcpCloseWaitTimeout": None, "tcpEstablishedTimeout": None},
        "detectLocal": running["detectLocal"],
        "detectLocalMode": "",
        "healthzBindAddress": "",
        "hostnameOverride": "",
        "iptables": {"localhostNodePorts": None, "masqueradeBit": None, "minSyncPeriod": "0s", "syncPeriod": "0s"},
        "ipvs": {"scheduler": "", "syncPeriod": "0s"},
        "metricsBindAddress": "",
        "oomScoreAdj": None,
        "winkernel": running["winkernel"],
    }
    assert differences("iptables", checked_settings(written), "iptables", running, Release(1, 37)) == []


def test_mode_comes_first_in_meaning() -> None:
    assert compare({}, mode="nftables") == [{"field": "mode", "wanted": "nftables", "running": "ipvs"}]
    assert differences("ipvs", {}, None, None) == []
    assert differences("ipvs", {}, "iptables", None) == [{"field": "mode", "wanted": "ipvs", "running": "iptables"}]


def test_nftables_listens_on_primary_addresses_by_default() -> None:
    running = {**RUNNING, "mode": "nftables", "nodePortAddresses": ["primary"]}
    assert differences("nftables", {"nodePortAddresses": []}, "nftables", running, Release(1, 37)) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ipvs": {"schedular": "rr"}}, "ipvs.schedular is not a field.*Did you mean ipvs.scheduler"),
        ({"ipvs": {"tcpTimeout": "15 minutes"}}, "ipvs.tcpTimeout must be a duration"),
        ({"ipvs": {"tcpTimeout": 900}}, "ipvs.tcpTimeout must be a duration"),
        ({"ipvs": {"strictARP": "yes"}}, "ipvs.strictARP must be true or false"),
        ({"ipvs": "rr"}, "ipvs must be a mapping"),
    ],
)
def test_bad_settings(settings: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        checked_settings(settings)
