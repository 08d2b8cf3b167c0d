# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be asked of kube-proxy's chains, and what is refused before anything is read."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import wanted_chains

DEFAULTS: dict[str, t.Any] = {
    "name": None, "table": None, "mode": None, "running_mode": None, "state": "present", "backend": "auto",
    "service": None, "on_foreign": "keep", "resync": False,
}  # fmt: skip  # one line of defaults
HTTP = {"name": "default/httpservice:http", "namespace": None, "port": "", "protocol": "tcp"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": ["INPUT"], "table": "filter", "state": "absent"}, "it belongs to the kernel (a built-in chain)"),
        ({"name": ["KUBE-FIREWALL"], "table": "filter", "state": "absent"}, "it belongs to kubelet"),
        ({"name": ["KUBE-MARK-DROP"], "table": "nat", "state": "absent"}, "it belongs to kubelet"),
        ({"name": ["KUBE-IPTABLES-HINT"], "table": "mangle"}, "it belongs to kubelet"),
        ({"name": ["KUBE-ROUTER-FORWARD"], "table": "filter", "state": "absent"}, "it belongs to kube-router"),
        ({"name": ["CNI-HOSTPORT-DNAT"], "table": "nat", "state": "absent"}, "the CNI plugin portmap"),
        ({"name": ["MY-CHAIN"], "table": "nat", "state": "absent"}, "kube-proxy makes no chain of this name"),
        ({"name": ["KUBE-SVC-PZZOH4GMXQXQLAH7\n-F INPUT"], "table": "nat"}, "kube-proxy makes no chain of this name"),
        ({"name": ["KUBE-SVC-pzzoh4gmxqxqlah7"], "table": "nat"}, "kube-proxy makes no chain of this name"),
        ({"name": ["KUBE-SVC-PZZOH4GMXQXQLAH7"], "table": "filter"}, "in table nat only"),
        ({"name": ["KUBE-SERVICES"], "table": "mangle"}, "in table filter and nat only"),
        ({"name": ["KUBE-PROXY-CANARY"], "table": "mangle"}, "cannot be made present"),
        ({"name": ["KUBE-PROXY-FIREWALL"], "table": "filter"}, "Set running_mode to say whose jumps are meant"),
        (
            {"name": ["KUBE-SERVICES"], "table": "nat", "state": "absent", "running_mode": "ipvs"},
            "kube-proxy in ipvs mode, the running mode, needs it",
        ),
        ({"mode": "iptables", "state": "absent"}, "needs running_mode"),
        ({"mode": "ipvs", "running_mode": "ipvs", "state": "absent"}, "while it is the running mode"),
        ({"mode": "ipvs", "backend": "both"}, "cannot be had with backend=both"),
        ({"name": ["KUBE-SVC-PZZOH4GMXQXQLAH7"], "table": "nat"}, "kube-proxy writes the chains of a Service"),
        ({"service": [HTTP]}, "The chains of a Service cannot be made present"),
        ({"service": [HTTP], "state": "absent"}, "Removing the chains of a Service needs running_mode"),
        (
            {"service": [HTTP], "state": "absent", "running_mode": "iptables"},
            "The chains of a Service cannot be removed while iptables mode is the running mode",
        ),
        (
            {"service": [HTTP, {**HTTP, "name": "x"}], "state": "absent", "running_mode": "ipvs"},
            "service[1] needs a namespace",
        ),
        (
            {"mode": "iptables", "state": "absent", "running_mode": "ipvs", "resync": True},
            "resync=true cannot be had with state=absent",
        ),
    ],
)
def test_what_cannot_be_meant(options: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        wanted_chains({**DEFAULTS, **options})
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("options", "comments"),
    [
        ({"running_mode": "ipvs"}, {"kube-proxy firewall rules"}),
        ({"running_mode": "iptables"}, {"kubernetes load balancer firewall"}),
    ],
)
def test_the_running_mode_says_whose_jumps_are_meant(options: dict[str, t.Any], comments: set[str]) -> None:
    wanted = wanted_chains({**DEFAULTS, "name": ["KUBE-PROXY-FIREWALL"], "table": "filter", **options})
    assert {jump.comment for jump in wanted.jumps("filter", "KUBE-PROXY-FIREWALL")} == comments


def test_a_chain_of_one_mode_needs_no_running_mode() -> None:
    wanted = wanted_chains({**DEFAULTS, "name": ["KUBE-IPVS-FILTER", "KUBE-IPVS-FILTER"], "table": "filter"})
    assert wanted.names == ("KUBE-IPVS-FILTER",)
    assert [jump.source for jump in wanted.jumps("filter", "KUBE-IPVS-FILTER")] == ["INPUT"]


def test_what_the_running_mode_needs_is_not_selected() -> None:
    wanted = wanted_chains({**DEFAULTS, "mode": "iptables", "running_mode": "ipvs", "state": "absent"})
    assert wanted.selects("filter", "KUBE-SERVICES")
    assert wanted.selects("nat", "KUBE-XLB-PZZOH4GMXQXQLAH7")
    for table, name in (("nat", "KUBE-SERVICES"), ("filter", "KUBE-FORWARD"), ("nat", "KUBE-LOAD-BALANCER")):
        assert not wanted.selects(table, name)
