# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _findings_dataplane as findings
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_compare import Difference
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import ERROR, SEVERITIES, WARNING


def difference(kind: str, name: str = "TCP 10.96.0.10:80") -> Difference:
    return Difference(kind, name, "", "default/web:http", "this", "that", "ipvsadm -Ln")


@pytest.mark.parametrize(
    ("kind", "name", "severity", "found"),
    [
        ("vip_missing", "TCP 10.96.0.10:80", ERROR, "vip_missing"),
        ("vip_dead", "TCP 10.96.0.10:80", WARNING, "vip_dead"),
        ("shares_wrong", "nat KUBE-SVC-NPX46M4PTMTKRN6Y (ipv4)", ERROR, "shares_wrong"),
        ("jump_twice", "nat PREROUTING -> KUBE-SERVICES (ipv4)", WARNING, "jump_twice"),
        ("member_missing", "ipset KUBE-CLUSTER-IP (IPv4)", ERROR, "ipset_out_of_step"),
        ("member_stale", "nft set cluster-ips (IPv6)", ERROR, "nft_set_out_of_step"),
        ("member_missing", "addresses of kube-ipvs0 (IPv4)", ERROR, "address_missing"),
        ("member_stale", "addresses of kube-ipvs0 (IPv4)", ERROR, "address_dead"),
        ("member_stale", "addresses that NodePorts answer on (IPv4)", ERROR, "node_port_addresses_wrong"),
        ("member_missing", "open health-check ports (IPv4)", ERROR, "health_check_port_missing"),
        ("layout_unknown", "table ip kube-proxy", WARNING, "layout_unknown"),
        ("a kind of a later reader", "something", WARNING, "a kind of a later reader"),
    ],
)
def test_how_bad_a_difference_is(kind: str, name: str, severity: str, found: str) -> None:
    one = findings.judge(difference(kind, name), "iptables")
    assert (one.severity, one.kind, one.object) == (severity, found, name)
    assert (one.service, one.expected, one.actual, one.evidence) == ("default/web:http", "this", "that", "ipvsadm -Ln")
    assert one.severity in SEVERITIES
    assert one.cause.endswith(".")
    assert one.remedy.endswith(".")


def test_the_way_out_depends_on_the_mode() -> None:
    remedies = [findings.judge(difference("vip_missing"), mode).remedy for mode in ("iptables", "ipvs", "nftables")]
    assert ["resync" in remedies[0], "syncPeriod" in remedies[1], "once an hour" in remedies[2]] == [True] * 3


@pytest.mark.parametrize(("mode", "named"), [("nftables", True), ("iptables", False), ("ipvs", False)])
def test_a_restart_alone_does_not_repair_every_chain_of_nftables(mode: str, named: bool) -> None:
    """epChainSkipUpdate in pkg/proxy/nftables/proxier.go of 1.33 to 1.35."""
    assert ("nft delete table" in findings.judge(difference("hairpin_missing"), mode).remedy) is named
