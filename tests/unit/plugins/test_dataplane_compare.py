# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_compare import differences
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    DROP,
    FORWARD,
    LOCAL,
    MASQUERADE_ALL,
    REJECT,
    Dataplane,
    Defect,
    Entry,
    Part,
)

WEB = (4, "10.96.0.10", "tcp", 80)
A, B, C = ("10.244.1.2", 8080), ("10.244.2.2", 8080), ("10.244.2.3", 8080)
ENTRY = Entry(WEB, FORWARD, (A, B), source="cluster_ip", service="default/web:http")


def plane(*entries: Entry, mode: str = "iptables", **rest: t.Any) -> Dataplane:
    return Dataplane(mode, {entry.key: entry for entry in entries}, **rest)


def kinds(expected: Dataplane, actual: Dataplane, excluded: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    return [(one.kind, one.object, one.detail) for one in differences(expected, actual, excluded)]


def test_equal_dataplanes_do_not_differ_whatever_they_were_read_from() -> None:
    seen = ENTRY._replace(service="", source="", evidence="iptables-save")
    assert differences(plane(ENTRY), plane(seen)) == []


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        ({"destinations": (A,)}, [("destination_missing", "10.244.2.2:8080")]),
        ({"destinations": (A, B, C)}, [("destination_stale", "10.244.2.3:8080")]),
        ({"verdict": REJECT, "destinations": ()}, [("verdict_wrong", "")]),
        ({"verdict": DROP, "destinations": (), "policy": LOCAL}, [("verdict_wrong", "")]),
        ({"policy": LOCAL}, [("policy_wrong", "")]),
        ({"affinity": 10800}, [("affinity_wrong", "")]),
        ({"masquerade": MASQUERADE_ALL}, [("masquerade_wrong", "")]),
        ({"no_hairpin": (B,)}, [("hairpin_missing", "10.244.2.2:8080")]),
        ({"destinations": (A, B, C), "no_hairpin": (C,)}, [("destination_stale", "10.244.2.3:8080")]),
        ({"source_ranges": ("10.0.0.0/8",)}, [("source_ranges_wrong", "")]),
        # None: what the kernel objects of a mode do not tell is no difference.
        ({"policy": None, "masquerade": None, "no_hairpin": None, "source_ranges": None}, []),
    ],
)
def test_what_differs_of_an_entry(seen: dict[str, t.Any], found: list[tuple[str, str]]) -> None:
    assert kinds(plane(ENTRY), plane(ENTRY._replace(**seen))) == [
        (kind, "TCP 10.96.0.10:80", detail) for kind, detail in found
    ]


def test_what_pods_and_the_node_are_sent_to_is_compared_apart() -> None:
    wanted = ENTRY._replace(destinations=(A,), short_circuit=(A, B), policy=LOCAL)
    (one,) = differences(plane(wanted), plane(wanted._replace(short_circuit=(A,))))
    assert (one.kind, one.detail) == ("destination_missing", "10.244.2.2:8080 for pods and the node")


def test_missing_and_dead() -> None:
    (missing,) = differences(plane(ENTRY), plane())
    assert (missing.kind, missing.service, missing.source) == ("vip_missing", "default/web:http", "cluster_ip")
    assert missing.expected == "sent to 10.244.1.2:8080, 10.244.2.2:8080"
    assert missing.evidence == "iptables-save | grep -e '-d 10.96.0.10/' | grep -w 'dport 80'"
    (dead,) = differences(plane(), plane(ENTRY._replace(evidence="ipvsadm -Sn")))
    assert (dead.kind, dead.service, dead.evidence) == ("vip_dead", "", "ipvsadm -Sn")
    assert "default/web:http" in dead.actual


def test_surplus_virtual_servers_are_kube_proxys_only_on_its_own_device() -> None:
    device = {Part("device_addresses", 4): {"10.96.0.10": "", "10.96.0.11": ""}}
    others = [ENTRY._replace(key=(4, address, "tcp", 80)) for address in ("10.96.0.11", "203.0.113.9")]
    actual = plane(ENTRY, *others, mode="ipvs", parts=device)
    expected = plane(ENTRY, mode="ipvs", parts=device)
    assert kinds(expected, actual) == [("vip_dead", "TCP 10.96.0.11:80", "")]
    assert kinds(expected, actual, ("10.96.0.11/32", "fd00::/64")) == []


def test_members_of_parts() -> None:
    ipset, device = Part("ipset", 4, "KUBE-CLUSTER-IP"), Part("device_addresses", 6)
    expected = plane(parts={ipset: {"10.96.0.10,tcp:80": "default/web:http"}, device: {"fd00::1": "default/web:http"}})
    actual = plane(parts={ipset: {"10.96.0.9,tcp:80": ""}})
    assert [(one.kind, one.object, one.detail, one.service) for one in differences(expected, actual)] == [
        ("member_missing", "addresses of kube-ipvs0 (IPv6)", "fd00::1", "default/web:http"),
        ("member_missing", "ipset KUBE-CLUSTER-IP (IPv4)", "10.96.0.10,tcp:80", "default/web:http"),
        ("member_stale", "ipset KUBE-CLUSTER-IP (IPv4)", "10.96.0.9,tcp:80", ""),
    ]


def test_of_a_layout_that_is_not_known_only_the_defect_is_told() -> None:
    unknown = Defect("layout_unknown", "table ip kube-proxy", "a known layout", "chain dispatch-1", "nft list table")
    actual = plane(mode="nftables", defects=(unknown,), layout_known=False)
    assert kinds(plane(ENTRY, mode="nftables"), actual) == [("layout_unknown", "table ip kube-proxy", "")]
    known = replace(actual, layout_known=True)
    assert kinds(plane(ENTRY, mode="nftables"), known)[0][0] == "vip_missing"


@pytest.mark.parametrize("told", [4, WEB])
def test_what_follows_from_a_defect_is_not_told_once_more(told: t.Any) -> None:
    flushed = Defect("flushed", "nat table (ipv4)", "kube-proxy's rules", "none", "iptables-save -t nat")
    part = Part("node_port_addresses", 4)
    expected = plane(ENTRY, parts={part: {"local": ""}})
    actual = plane(defects=(flushed,), told=frozenset([told, part]))
    assert [kind for kind, _object, _detail in kinds(expected, actual)] == ["flushed"]
    other = plane(ENTRY._replace(destinations=(A,)), defects=(flushed,), told=frozenset([told, 4]))
    assert [kind for kind, _object, _detail in kinds(expected, other)] == ["flushed"]


def test_an_ipv6_node_port_and_a_long_list_in_words() -> None:
    key = (6, "", "udp", 30053)
    many = tuple((f"fd00::{number}", 53) for number in range(1, 8))
    (one,) = differences(plane(Entry(key, FORWARD, many)), plane())
    assert one.object == "UDP *:30053 (IPv6)"
    assert one.expected.endswith("[fd00::5]:53 and 2 more")


destinations = st.lists(st.sampled_from([A, B, C]), unique=True).map(sorted).map(tuple)
entries = st.builds(
    Entry,
    st.sampled_from([(4, "10.96.0.10", "tcp", 1), (6, "fd00::10", "tcp", 1), (4, "", "tcp", 1), (6, "", "tcp", 1)]),
    st.sampled_from([FORWARD, REJECT, DROP]),
    destinations,
    st.none() | destinations,
    st.sampled_from([0, 10800]),
)
planes = st.lists(entries, max_size=6).map(lambda found: plane(*found))


@given(planes)
def test_a_dataplane_equals_itself(one: Dataplane) -> None:
    assert differences(one, one) == []


@given(planes, planes)
def test_differences_are_told_once_each(expected: Dataplane, actual: Dataplane) -> None:
    found = [one.identity for one in differences(expected, actual)]
    assert len(found) == len(set(found))
