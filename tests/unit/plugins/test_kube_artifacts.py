# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory against kube-proxy's source, copied here by hand from Kubernetes 1.37.2."""

from __future__ import annotations

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import (
    CHAIN_MODES,
    CHAINS,
    IP_SETS,
    IPTABLES,
    IPVS,
    JUMPS,
    fixed_chains,
    jumps_to,
    owner_of,
    shape_of,
)

NEW = "-m conntrack --ctstate NEW "

# pkg/proxy/iptables/proxier.go, iptablesJumpChains: table, source, destination, comment, whether for state NEW only.
IPTABLES_JUMPS = {
    ("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", "kubernetes externally-visible service portals", True),
    ("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", "kubernetes externally-visible service portals", True),
    ("filter", "INPUT", "KUBE-NODEPORTS", "kubernetes health check service ports", False),
    ("filter", "FORWARD", "KUBE-SERVICES", "kubernetes service portals", True),
    ("filter", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals", True),
    ("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules", False),
    ("filter", "INPUT", "KUBE-PROXY-FIREWALL", "kubernetes load balancer firewall", True),
    ("filter", "OUTPUT", "KUBE-PROXY-FIREWALL", "kubernetes load balancer firewall", True),
    ("filter", "FORWARD", "KUBE-PROXY-FIREWALL", "kubernetes load balancer firewall", True),
    ("nat", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals", False),
    ("nat", "PREROUTING", "KUBE-SERVICES", "kubernetes service portals", False),
    ("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules", False),
}

# pkg/proxy/ipvs/proxier.go, iptablesJumpChain.
IPVS_JUMPS = {
    ("nat", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals", False),
    ("nat", "PREROUTING", "KUBE-SERVICES", "kubernetes service portals", False),
    ("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules", False),
    ("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules", False),
    ("filter", "INPUT", "KUBE-NODE-PORT", "kubernetes health check rules", False),
    ("filter", "INPUT", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules", False),
    ("filter", "FORWARD", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules", False),
    ("filter", "INPUT", "KUBE-IPVS-FILTER", "kubernetes ipvs access filter", False),
    ("filter", "OUTPUT", "KUBE-IPVS-OUT-FILTER", "kubernetes ipvs access filter", False),
}

# pkg/proxy/iptables/cleanup.go (without the canaries) and pkg/proxy/ipvs/proxier.go, iptablesCleanupChains.
FIXED = {
    IPTABLES: {
        ("nat", "KUBE-SERVICES"),
        ("nat", "KUBE-NODEPORTS"),
        ("nat", "KUBE-POSTROUTING"),
        ("nat", "KUBE-MARK-MASQ"),
        ("filter", "KUBE-SERVICES"),
        ("filter", "KUBE-EXTERNAL-SERVICES"),
        ("filter", "KUBE-FORWARD"),
        ("filter", "KUBE-NODEPORTS"),
        ("filter", "KUBE-PROXY-FIREWALL"),
    },
    IPVS: {
        ("nat", "KUBE-SERVICES"),
        ("nat", "KUBE-POSTROUTING"),
        ("nat", "KUBE-NODE-PORT"),
        ("nat", "KUBE-LOAD-BALANCER"),
        ("nat", "KUBE-MARK-MASQ"),
        ("filter", "KUBE-FORWARD"),
        ("filter", "KUBE-NODE-PORT"),
        ("filter", "KUBE-PROXY-FIREWALL"),
        ("filter", "KUBE-SOURCE-RANGES-FIREWALL"),
        ("filter", "KUBE-IPVS-FILTER"),
        ("filter", "KUBE-IPVS-OUT-FILTER"),
    },
}


@pytest.mark.parametrize(("mode", "expected"), [(IPTABLES, IPTABLES_JUMPS), (IPVS, IPVS_JUMPS)])
def test_jumps_of_a_mode_are_those_of_its_source(mode: str, expected: set[tuple[str, str, str, str, bool]]) -> None:
    today = [jump for jump in JUMPS if mode in jump.modes and not jump.until]
    assert {(j.table, j.source, j.chain, j.comment, j.new_only) for j in today} == expected
    assert len(today) == len(expected)


@pytest.mark.parametrize("mode", CHAIN_MODES)
def test_fixed_chains_of_a_mode_are_those_its_cleanup_removes(mode: str) -> None:
    assert set(fixed_chains(mode)) == FIXED[mode]


def test_a_jump_is_written_as_iptables_save_prints_it() -> None:
    texts = {(jump.source, jump.spec) for jump in jumps_to("filter", "KUBE-PROXY-FIREWALL")}
    assert ("INPUT", '-m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL') in texts
    assert ("OUTPUT", NEW + '-m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL') in texts


def test_every_jump_leads_to_a_chain_of_its_modes() -> None:
    for jump in JUMPS:
        shape = shape_of(jump.table, jump.chain)
        assert shape is not None
        assert set(jump.modes) <= set(shape.modes)


def test_no_name_has_two_shapes() -> None:
    for one in CHAINS:
        assert [two for two in CHAINS if two.matches(one.table, one.pattern)] in ([one], [])


@pytest.mark.parametrize(
    ("table", "name", "owner"),
    [
        ("filter", "KUBE-FIREWALL", "kubelet"),
        ("nat", "KUBE-FIREWALL", "kubelet"),
        ("mangle", "KUBE-IPTABLES-HINT", "kubelet"),
        ("nat", "KUBE-KUBELET-CANARY", "kubelet"),
        ("nat", "KUBE-MARK-DROP", "kubelet"),
        ("filter", "KUBE-ROUTER-INPUT", "kube-router"),
        ("filter", "KUBE-POD-FW-ZZZ3JPVQXWGHAY2L", "kube-router"),
        ("filter", "KUBE-NWPLCY-DEFAULT", "kube-router"),
        ("nat", "CNI-HOSTPORT-SETMARK", "portmap"),
        ("filter", "cali-FORWARD", "Calico"),
        ("nat", "POSTROUTING", "the kernel"),
        ("nat", "KUBE-SVC-tooshort", ""),
        ("filter", "KUBE-SVC-PZZOH4GMXQXQLAH7", ""),
        ("nat", "KUBE-SVC-PZZOH4GMXQXQLAH78", ""),
        ("nat", "KUBE-SVC-PZZOH4GMXQXQLAH7\n", ""),
        ("nat", "KUBE-SERVICESX", ""),
        ("mangle", "KUBE-SERVICES", ""),
    ],
)
def test_what_is_not_ours(table: str, name: str, owner: str) -> None:
    assert shape_of(table, name) is None
    assert owner in owner_of(table, name)


def test_the_17_ipsets_and_the_two_old_ones() -> None:
    assert len([ipset for ipset in IP_SETS if not ipset.until]) == 17
    assert [ipset.name for ipset in IP_SETS if ipset.until] == ["KUBE-NODE-PORT-SCTP", "KUBE-NODE-PORT-LOCAL-SCTP"]


@pytest.mark.parametrize(
    ("name", "name6"),
    [
        ("KUBE-LOOP-BACK", "KUBE-6-LOOP-BACK"),
        ("KUBE-LOAD-BALANCER-SOURCE-CIDR", "KUBE-6-LOAD-BALANCER-SOURCE-CID"),
        ("KUBE-NODE-PORT-LOCAL-SCTP-HASH", "KUBE-6-NODE-PORT-LOCAL-SCTP-HAS"),
        ("KUBE-HEALTH-CHECK-NODE-PORT", "KUBE-6-HEALTH-CHECK-NODE-PORT"),
    ],
)
def test_ipv6_names_of_ipsets(name: str, name6: str) -> None:
    (ipset,) = [ipset for ipset in IP_SETS if ipset.name == name]
    assert ipset.name6 == name6
    assert len(name6) <= 31
