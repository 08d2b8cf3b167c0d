# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose chains: names from captures of real nodes, and from tables made by the test's own hash."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_services import (
    ServicePort,
    chains_of,
    parse_service,
    service_ports,
)
from tests.labkit.kube_rules import hashed, nat_table

FIXTURES = Path(__file__).parents[1] / "fixtures" / "iptables"
HTTP = ServicePort("default", "httpservice", "http")
# Told from the comments of the capture; SVC, EXT and FW of a port share their 16 characters.
REAL = {
    "KUBE-SVC-PZZOH4GMXQXQLAH7": HTTP,
    "KUBE-EXT-PZZOH4GMXQXQLAH7": HTTP,
    "KUBE-SEP-DCGS2R5SJGMP23PH": HTTP,
    "KUBE-SVC-NPX46M4PTMTKRN6Y": ServicePort("default", "kubernetes", "https"),
    "KUBE-FW-7TVXROIT6UXCX2AG": ServicePort("default", "lb"),
    "KUBE-EXT-7TVXROIT6UXCX2AG": ServicePort("default", "lb"),
    "KUBE-SEP-FULDAPSGTTK4VIQJ": ServicePort("default", "lb"),
}


def real() -> Table:
    return parse_save((FIXTURES / "kube-proxy-1.37.2-iptables-ipv4.txt").read_text("utf-8"))["nat"]


def table(text: str) -> Table:
    return parse_save(text)["nat"]


def test_every_chain_of_a_real_node_is_told() -> None:
    nat = real()
    found = service_ports(nat)
    assert {name: found[name] for name in REAL} == REAL
    assert set(found) == {
        name for name in nat.chains if name.startswith(("KUBE-SVC-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SVL-"))
    }


def test_chains_of_a_service_of_a_real_node() -> None:
    nat = real()
    mine = chains_of([HTTP], nat)
    seps = {spec.rsplit(" ", 1)[1] for spec in nat.chains["KUBE-SVC-PZZOH4GMXQXQLAH7"] if "-j KUBE-SEP-" in spec}
    assert len(seps) == 3
    assert mine == seps | {"KUBE-SVC-PZZOH4GMXQXQLAH7", "KUBE-EXT-PZZOH4GMXQXQLAH7"}


@pytest.mark.parametrize("services", [3, 600])
def test_endpoints_are_told_with_and_without_comments(services: int) -> None:
    nat = table(nat_table(services))
    found = service_ports(nat)
    for number in (0, 1, 2):
        port = ServicePort(f"ns{number}", f"service-{number}", "http")
        name = f"ns{number}/service-{number}:http"
        own = {hashed("SVC", f"{name}tcp")} | {
            hashed("SEP", f"{name}tcp10.244.0.{number * 2 + index}:8080") for index in (0, 1)
        }
        assert {chain for chain, whose in found.items() if whose == port} == own
        assert chains_of([port], nat) == own
    assert len(found) == services * 3


def test_a_comment_alone_proves_nothing() -> None:
    lie = '-p tcp -m comment --comment "other/service:http cluster IP" -j KUBE-SVC-PZZOH4GMXQXQLAH7'
    nat = Table({"KUBE-SERVICES": (lie,), "KUBE-SVC-PZZOH4GMXQXQLAH7": (), "KUBE-SEP-SHRHPIF6JJVVZWAJ": ()})
    assert service_ports(nat) == {}
    assert chains_of([ServicePort("other", "service", "http")], nat) == frozenset()


def test_a_chain_that_nothing_leads_to_is_told_by_its_own_rules() -> None:
    stale = {
        "KUBE-SEP-SHRHPIF6JJVVZWAJ": (
            '-s 192.168.178.7/32 -m comment --comment "default/httpservice:http" -j KUBE-MARK-MASQ',
            '-p tcp -m comment --comment "default/httpservice:http" -m tcp -j DNAT --to-destination 192.168.178.7:8080',
        ),
        "KUBE-SEP-BVDIN6GFO72DY3DB": (
            '-p tcp -m comment --comment "default/httpservice:http" -m tcp -j DNAT --to-destination [fd00:10:244::7]:8080',
        ),
    }
    nat = Table(stale)
    assert service_ports(nat) == dict.fromkeys(stale, HTTP)
    assert chains_of([HTTP], nat) == set(stale)


def test_a_port_without_a_name() -> None:
    name = "KUBE-SVC-2CMXP7HKUVJN7L6M"
    rule = f'-d 10.96.0.9/32 -p tcp -m comment --comment "default/nginx cluster IP" -m tcp --dport 80 -j {name}'
    assert service_ports(Table({"KUBE-SERVICES": (rule,), name: ()})) == {name: ServicePort("default", "nginx")}


@pytest.mark.parametrize(
    ("item", "port"),
    [
        ({"name": "default/httpservice:http"}, HTTP),
        ({"name": "httpservice", "namespace": "default", "port": "http"}, HTTP),
        ({"name": "kube-system/kube-dns:dns", "protocol": "udp"}, ServicePort("kube-system", "kube-dns", "dns", "udp")),
        ({"name": "default/nginx"}, ServicePort("default", "nginx")),
    ],
)
def test_both_forms_of_a_service(item: dict[str, t.Any], port: ServicePort) -> None:
    assert parse_service(0, {"namespace": None, "port": "", "protocol": "tcp", **item}) == port


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"name": "nginx"}, "service[4] needs a namespace"),
        ({"name": "default/nginx", "namespace": "default"}, "service[4]: namespace and port cannot be had beside"),
        ({"name": "default/nginx", "port": "http"}, "that name has them in it"),
        ({"name": "default/"}, "service[4] needs a name"),
        ({"name": "Default/nginx"}, "'Default' is not a namespace of a Service"),
        ({"name": "default/nginx:http:8"}, "'http:8' is not a port of a Service"),
        ({"name": "a/b:\nc"}, "is not a port of a Service"),
        ({"name": "nginx", "namespace": "default", "port": "HTTP"}, "'HTTP' is not a port of a Service"),
    ],
)
def test_what_is_no_service(item: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_service(4, {"namespace": None, "port": "", "protocol": "tcp", **item})
    assert words in str(raised.value)


WORDS = st.sampled_from(
    ["default/httpservice:http", "-j", "--comment", '"', "KUBE-SVC-PZZOH4GMXQXQLAH7", "-p", "tcp", "a/b", ""]
)


@given(st.lists(st.one_of(st.text(), st.lists(WORDS).map(" ".join)), max_size=4), st.text())
def test_any_rule_is_told_or_not(rules: list[str], name: str) -> None:
    nat = Table({"KUBE-SVC-PZZOH4GMXQXQLAH7": tuple(rules), "KUBE-SEP-SHRHPIF6JJVVZWAJ": tuple(rules)})
    assert set(service_ports(nat).values()) <= {HTTP}
    try:
        parse_service(0, {"name": name, "namespace": None, "port": "", "protocol": "tcp"})
    except KubeProxyError:
        pass
