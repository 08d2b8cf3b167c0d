# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether kube-proxy would delete what a task makes (cleanLegacyService and CleanupLeftovers of its ipvs mode)."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import IPV4, IPV6, ServerKey
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_protection import find_unprotected
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import Answer, Endpoint

HERE = Endpoint("127.0.0.1", 10249)
OURS = ServerKey(IPV4, 6, bytes([203, 0, 113, 9]), 6443, 0)
OURS6 = ServerKey(IPV6, 17, b"\xfd" + bytes(14) + b"\x09", 53, 0)
CLUSTER_IP = ServerKey(IPV4, 6, bytes([10, 96, 0, 1]), 443, 0)
MARK = ServerKey(IPV4, 0, b"", 0, 7)
ALL = (OURS, OURS6, CLUSTER_IP, MARK)


class KubeProxy:
    """Answers as kube-proxy does; counts how often it is asked."""

    def __init__(self, mode: str, excluded: list[str] | None = None, configz: bool = True) -> None:
        config = {"kind": "KubeProxyConfiguration", "mode": mode, "ipvs": {"excludeCIDRs": excluded}}
        self.answers = {"/proxyMode": mode}
        if configz:
            self.answers["/configz"] = json.dumps({"kubeproxy.config.k8s.io": config})
        self.asked: list[str] = []

    def __call__(self, endpoint: Endpoint, path: str) -> Answer:
        assert endpoint == HERE
        self.asked.append(path)
        return Answer(path, 200, self.answers[path]) if path in self.answers else Answer(path, error="refused")


def lost(proxy: KubeProxy, servers: t.Sequence[ServerKey] = ALL) -> str:
    found = find_unprotected(servers, HERE, proxy, lambda: ["10.96.0.1"])
    return "; ".join(one.seen for one in found)


@pytest.mark.parametrize(
    ("excluded", "seen"),
    [
        (None, "TCP 203.0.113.9:6443, UDP [fd00::9]:53"),
        (["198.51.100.0/24"], "TCP 203.0.113.9:6443, UDP [fd00::9]:53"),
        (["203.0.113.0/24"], "UDP [fd00::9]:53"),
        (["203.0.113.9/32", "fd00::/8"], ""),
    ],
)
def test_ipvs_mode_spares_excluded_networks_marks_and_its_own(excluded: list[str] | None, seen: str) -> None:
    assert lost(KubeProxy("ipvs", excluded)) == seen


def test_nftables_mode_takes_everything() -> None:
    assert lost(KubeProxy("nftables", ["203.0.113.0/24"])) == "TCP 203.0.113.9:6443, UDP [fd00::9]:53, fwmark 7"


def test_iptables_mode_and_silence_give_no_reason() -> None:
    for mode in ("iptables", "", "<html>somebody else</html>"):
        assert lost(KubeProxy(mode)) == ""
    silent = KubeProxy("ipvs")
    silent.answers.clear()
    assert (lost(silent), silent.asked) == ("", ["/proxyMode"])
    assert lost(KubeProxy("ipvs", configz=False)) == ""


def test_nobody_is_asked_without_need() -> None:
    proxy = KubeProxy("ipvs")
    assert lost(proxy, ()) == ""
    assert find_unprotected(ALL, None, proxy, list) == []
    assert proxy.asked == []


def test_the_words() -> None:
    (found,) = find_unprotected([OURS], HERE, KubeProxy("ipvs"), list)
    assert str(found) == (
        "kube-proxy runs in ipvs mode and deletes 1 of the virtual servers listed at its next sync: TCP 203.0.113.9:6443."
        " Cover their addresses by ipvs.excludeCIDRs (netops.kube_proxy.kube_proxy_mode) and restart kube-proxy,"
        " or set unprotected=ignore."
    )
    many = [OURS._replace(port=port) for port in range(1, 9)]
    (found,) = find_unprotected(many, HERE, KubeProxy("nftables"), list)
    assert "deletes 8 of the virtual servers listed whenever it starts: " in str(found)
    assert "TCP 203.0.113.9:5 and 3 more. Run this again after each start" in str(found)
