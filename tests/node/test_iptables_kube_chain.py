# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""iptables_kube_chain on a real kernel, both backends. Witnesses: iptables-save, iptables -C, lsmod, /proc."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest

from tests.labkit import Node

FIXTURES = Path(__file__).parents[1] / "unit" / "fixtures" / "iptables"
MODULE = "iptables_kube_chain"
SAVED = (FIXTURES / "ipvs-after-iptables-nft.txt").read_text(encoding="utf-8")
SWITCHED = {"mode": "iptables", "running_mode": "ipvs", "state": "absent"}
BACKENDS = ("nft", "legacy")

HASH_IP_PORT = ("CLUSTER-IP", "LOAD-BALANCER", "EXTERNAL-IP", "EXTERNAL-IP-LOCAL", "LOAD-BALANCER-FW")
SETS = "".join(f"create KUBE-{name} hash:ip,port\n" for name in HASH_IP_PORT) + (
    "create KUBE-LOOP-BACK hash:ip,port,ip\n"
    "create KUBE-LOAD-BALANCER-SOURCE-CIDR hash:ip,port,net\n"
    "create KUBE-IPVS-IPS hash:ip\n"
    "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535\n"
    "create KUBE-HEALTH-CHECK-NODE-PORT bitmap:port range 0-65535\n"
)
EMPTY = "".join(
    f"for t in nat filter mangle; do {tool}-{backend} -t $t -F; {tool}-{backend} -t $t -X; done;"
    for backend in BACKENDS
    for tool in ("iptables", "ip6tables")
)
# What is iptables mode's only, told from the words of the rules: the test's own knowledge.
LEAVING = re.compile(
    r"KUBE-(SVC|SVL|SEP|EXT|FW|XLB)-|KUBE-NODEPORTS|KUBE-EXTERNAL-SERVICES|KUBE-PROXY-CANARY"
    r"|kubernetes load balancer firewall|ctstate NEW -m comment --comment \"kubernetes service portals\"|has no endpoints"
)


@pytest.fixture
def tables(node: Node) -> t.Iterator[Node]:
    node.run(EMPTY)
    node.run("ipset -exist restore", stdin=SETS)
    yield node
    node.run(EMPTY)
    node.run("ipset destroy")


def rules(node: Node, backend: str, tool: str = "iptables") -> list[str]:
    """Everything but counters and dates, table by table, in its order."""
    found: list[str] = []
    table = ""
    for line in node.run(f"{tool}-{backend}-save").splitlines():
        table = line[1:] if line.startswith("*") else table
        if line.startswith((":", "-A")):
            found.append(f"{table} {line.partition(' [')[0]}")
    return found


def stays(line: str) -> bool:
    return not LEAVING.search(line) and line != "filter :KUBE-SERVICES -"


def fill(node: Node, backend: str) -> list[str]:
    node.run(f"iptables-{backend}-restore", stdin=SAVED)
    return rules(node, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_iptables_mode_left_goes(tables: Node, backend: str) -> None:
    before = fill(tables, backend)
    leaving = [line for line in before if not stays(line)]
    assert len(leaving) > 60

    predicted = tables.module(MODULE, SWITCHED, check=True)
    assert predicted["changed"]
    assert rules(tables, backend) == before

    done = tables.module(MODULE, SWITCHED)
    assert done["changed"]
    assert (done["diff"], done["actions"], done["chains"]) == (
        predicted["diff"],
        predicted["actions"],
        predicted["chains"],
    )
    assert done["kept"] == []
    assert {chain["backend"] for chain in done["chains"]} == {backend}
    assert rules(tables, backend) == [line for line in before if stays(line)]

    for check in (True, False):
        again = tables.module(MODULE, SWITCHED, check=check)
        assert not again["changed"]
        assert again["diff"] == {"before": "", "after": ""}
        assert again["chains"] == []


def test_both_backends_at_once(tables: Node) -> None:
    expected = {backend: [line for line in fill(tables, backend) if stays(line)] for backend in BACKENDS}
    assert tables.module(MODULE, {**SWITCHED, "backend": "both"})["changed"]
    assert {backend: rules(tables, backend) for backend in BACKENDS} == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_foreign_rules_keep_what_they_use(tables: Node, backend: str) -> None:
    fill(tables, backend)
    tables.run(
        f"iptables-{backend} -t nat -N CNI-HOSTPORT-SETMARK;"
        f" iptables-{backend} -t nat -A CNI-HOSTPORT-SETMARK -m mark --mark 0x2000/0x2000 -j KUBE-MARK-MASQ;"
        f" iptables-{backend} -A INPUT -m comment --comment 'say -j KUBE-SERVICES' -j ACCEPT"
    )
    tables.module(MODULE, {"mode": "iptables", "running_mode": "none", "state": "absent"})
    done = tables.module(MODULE, {"mode": "ipvs", "running_mode": "none", "state": "absent"})
    assert {chain["name"]: chain["reason"] for chain in done["kept"]} == {
        "KUBE-MARK-MASQ": "rule -A CNI-HOSTPORT-SETMARK -m mark --mark 0x2000/0x2000 -j KUBE-MARK-MASQ",
        "KUBE-POSTROUTING": "KUBE-MARK-MASQ, which stays, needs it",
    }
    left = rules(tables, backend)
    chains = {line.split()[1][1:] for line in left if " :KUBE-" in line}
    assert chains == {
        "KUBE-MARK-MASQ",
        "KUBE-POSTROUTING",
        "KUBE-FIREWALL",
        "KUBE-KUBELET-CANARY",
        "KUBE-IPTABLES-HINT",
    }
    assert 'filter -A INPUT -m comment --comment "say -j KUBE-SERVICES" -j ACCEPT' in left
    assert 'nat -A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING' in left


@pytest.mark.parametrize("backend", BACKENDS)
def test_present_check_apply_check_apply(tables: Node, backend: str) -> None:
    wanted = {"mode": "ipvs", "backend": backend}
    predicted = tables.module(MODULE, wanted, check=True)
    for tool in ("iptables", "ip6tables"):
        assert [line for line in rules(tables, backend, tool) if "KUBE" in line] == []
    done = tables.module(MODULE, wanted)
    assert (done["diff"], done["chains"]) == (predicted["diff"], predicted["chains"])
    for tool in ("iptables", "ip6tables"):
        own = [line for line in rules(tables, backend, tool) if "KUBE" in line]
        assert len([line for line in own if " :" in line]) == 11
        assert len([line for line in own if " -A " in line]) == 9
        tables.run(
            f"{tool}-{backend} -C INPUT -m comment --comment 'kubernetes ipvs access filter' -j KUBE-IPVS-FILTER"
        )
        tables.run(
            f"{tool}-{backend} -t nat -C OUTPUT -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES"
        )
    for check in (True, False):
        assert not tables.module(MODULE, wanted, check=check)["changed"]

    tables.run(f"iptables-{backend} -A INPUT -m comment --comment 'kubernetes ipvs access filter' -j KUBE-IPVS-FILTER")
    by_name = {"name": ["KUBE-IPVS-FILTER"], "table": "filter", "backend": backend}
    assert tables.module(MODULE, by_name)["changed"]
    assert len([line for line in rules(tables, backend) if line.endswith("-j KUBE-IPVS-FILTER")]) == 1
    assert tables.module(MODULE, {**by_name, "state": "absent"})["changed"]
    for tool in ("iptables", "ip6tables"):
        assert [line for line in rules(tables, backend, tool) if "KUBE-IPVS-FILTER" in line] == []


def test_looking_loads_no_module_and_makes_no_table(tables: Node) -> None:
    tables.run("rmmod nft_compat nf_tables iptable_nat iptable_filter iptable_mangle ip_tables 2>/dev/null; true")
    seen = "lsmod | sort; cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>&1; ls /sys/module | sort"
    before = tables.run(seen)
    for backend in ("auto", "both"):
        assert not tables.module(MODULE, {**SWITCHED, "backend": backend}, check=True)["changed"]
    assert tables.run(seen) == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_lost_beside_another_writer(tables: Node, backend: str) -> None:
    fill(tables, backend)
    tables.run(
        f"rm -f /run/edits-done; nohup sh -c 'for i in $(seq 200); do iptables-{backend} -w 30 -A FORWARD -m comment --comment edit-$i -j RETURN;"
        " done; touch /run/edits-done' >/dev/null 2>&1 &"
    )
    while tables.attempt("test -e /run/edits-done").rc != 0:
        tables.module(MODULE, {"mode": "ipvs", "backend": backend})
        tables.module(MODULE, {**SWITCHED, "backend": backend})
        tables.module(MODULE, {"mode": "ipvs", "running_mode": "none", "state": "absent", "backend": backend})
    edits = [line for line in rules(tables, backend) if "edit-" in line]
    assert [line.split("edit-")[1].split()[0] for line in edits] == [str(number) for number in range(1, 201)]


def test_the_lock_is_waited_for_and_named(tables: Node) -> None:
    before = fill(tables, "legacy")
    tables.run("nohup flock /run/xtables.lock sleep 45 >/dev/null 2>&1 &")
    message = tables.module_fails(MODULE, {**SWITCHED, "backend": "legacy"})
    assert "/run/xtables.lock was held by another process for 30 seconds" in message
    assert rules(tables, "legacy") == before
    tables.wait("the lock to be free", "flock -n /run/xtables.lock true", 60)
    assert tables.module(MODULE, {**SWITCHED, "backend": "legacy"})["changed"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": ["INPUT"], "table": "filter", "state": "absent"}, "a built-in chain"),
        ({"name": ["KUBE-FIREWALL"], "table": "filter", "state": "absent"}, "it belongs to kubelet"),
        ({"name": ["KUBE-SERVICES"]}, "missing parameter(s) required by 'name': table"),
        ({"mode": "iptables", "state": "absent"}, "needs running_mode"),
        ({"mode": "userspace", "state": "absent"}, "value of mode must be one of"),
        ({}, "one of the following is required: name, mode"),
    ],
)
def test_bad_input(node: Node, arguments: dict[str, t.Any], words: str) -> None:
    assert words in node.module_fails(MODULE, arguments)
