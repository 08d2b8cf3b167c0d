# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""iptables_kube_chain on a real kernel, both backends. Witnesses: iptables-save, iptables -C, python-iptables, lsmod, /proc."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest

from tests.labkit import INVENTORY, Node, run_ansible
from tests.labkit.kube_rules import hashed, nat_table

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
# In an order in which each can go.
UNLOADED = (
    "nft_chain_nat xt_statistic xt_recent xt_nat xt_MASQUERADE ipt_REJECT xt_set xt_mark xt_addrtype xt_tcpudp xt_conntrack"
    " xt_comment nft_compat nf_tables ip6table_mangle ip6table_filter ip6table_nat ip6_tables iptable_mangle iptable_filter"
    " iptable_nat ip_tables"
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


def test_what_iptables_mode_left_goes_from_both_backends(tables: Node) -> None:
    wanted = {**SWITCHED, "backend": "both"}
    before = {backend: fill(tables, backend) for backend in BACKENDS}
    expected = {backend: [line for line in lines if stays(line)] for backend, lines in before.items()}
    assert len(before["nft"]) - len(expected["nft"]) > 60

    predicted = tables.module(MODULE, wanted, check=True)
    assert predicted["changed"]
    assert {backend: rules(tables, backend) for backend in BACKENDS} == before

    done = tables.module(MODULE, wanted)
    assert done["changed"]
    assert (done["diff"], done["actions"], done["chains"]) == (
        predicted["diff"],
        predicted["actions"],
        predicted["chains"],
    )
    assert done["kept"] == []
    assert {chain["backend"] for chain in done["chains"]} == set(BACKENDS)
    assert {backend: rules(tables, backend) for backend in BACKENDS} == expected

    for check in (True, False):
        again = tables.module(MODULE, wanted, check=check)
        assert not again["changed"]
        assert again["diff"] == {"before": "", "after": ""}
        assert again["chains"] == []


def test_auto_finds_kubelets_backend_and_foreign_rules_keep_what_they_use(tables: Node) -> None:
    assert "nf_tables" in tables.run("iptables --version")
    fill(tables, "legacy")
    tables.run(
        "iptables-legacy -t nat -N CNI-HOSTPORT-SETMARK;"
        " iptables-legacy -t nat -A CNI-HOSTPORT-SETMARK -m mark --mark 0x2000/0x2000 -j KUBE-MARK-MASQ;"
        " iptables-legacy -A INPUT -m comment --comment 'say -j KUBE-SERVICES' -j ACCEPT"
    )
    tables.module(MODULE, {"mode": "iptables", "running_mode": "none", "state": "absent"})
    done = tables.module(MODULE, {"mode": "ipvs", "running_mode": "none", "state": "absent"})
    assert {chain["name"]: chain["reason"] for chain in done["kept"]} == {
        "KUBE-MARK-MASQ": "rule -A CNI-HOSTPORT-SETMARK -m mark --mark 0x2000/0x2000 -j KUBE-MARK-MASQ",
        "KUBE-POSTROUTING": "KUBE-MARK-MASQ, which stays, needs it",
    }
    left = rules(tables, "legacy")
    assert {line.split()[1][1:] for line in left if " :KUBE-" in line} == {
        "KUBE-MARK-MASQ",
        "KUBE-POSTROUTING",
        "KUBE-FIREWALL",
        "KUBE-KUBELET-CANARY",
        "KUBE-IPTABLES-HINT",
    }
    assert 'filter -A INPUT -m comment --comment "say -j KUBE-SERVICES" -j ACCEPT' in left
    assert 'nat -A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING' in left


def test_present_check_apply_check_apply(tables: Node) -> None:
    backend = "nft"
    wanted = {"mode": "ipvs"}
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
    by_name = {"name": ["KUBE-IPVS-FILTER"], "table": "filter"}
    assert tables.module(MODULE, by_name)["changed"]
    assert len([line for line in rules(tables, backend) if line.endswith("-j KUBE-IPVS-FILTER")]) == 1
    assert tables.module(MODULE, {**by_name, "state": "absent"})["changed"]
    for tool in ("iptables", "ip6tables"):
        assert [line for line in rules(tables, backend, tool) if "KUBE-IPVS-FILTER" in line] == []


def test_looking_loads_no_module_and_makes_no_table(tables: Node) -> None:
    tables.run(f"nft flush ruleset; rmmod {UNLOADED} 2>/dev/null; true")
    seen = "lsmod | cut -d' ' -f1 | sort; cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>&1; true"
    before = tables.run(seen)
    assert not {"nf_tables", "ip_tables", "ip6_tables"} & set(before.split())
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


SERVICES = 300
REMOVED = {"mode": "iptables", "running_mode": "none", "state": "absent", "backend": "nft"}


def test_thousands_of_lines_go_through_nft_beside_another_writer(tables: Node) -> None:
    """More than 1,000 lines in one transaction: the way by nft, which removes the jumps by handle."""
    many = nat_table(SERVICES)
    tables.run("cat > /run/many.txt", stdin=many)
    edit = "iptables-nft -t nat -I PREROUTING -m comment --comment edit-$i -j RETURN"
    tables.run(
        f"rm -f /run/edits-done; nohup sh -c 'for i in $(seq 200); do {edit}; done; touch /run/edits-done' >/dev/null 2>&1 &"
    )
    rounds = 0
    while tables.attempt("test -e /run/edits-done").rc != 0 or rounds == 0:
        tables.run("iptables-nft-restore --noflush /run/many.txt")
        done = tables.module(MODULE, REMOVED, diff=False)
        assert done["changed"]
        assert (
            f"Remove {SERVICES * 3} chains of single Services (KUBE-SEP, KUBE-SVC) from table nat (ipv4, nft)"
            in done["actions"]
        )
        rounds += 1
    left = [line for line in rules(tables, "nft") if line.startswith("nat ")]
    assert [line for line in left if "KUBE" in line] == []
    edits = [line for line in left if "edit-" in line]
    assert [line.split("edit-")[1].split()[0] for line in edits] == [str(number) for number in range(200, 0, -1)]
    assert not tables.module(MODULE, REMOVED, diff=False)["changed"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_on_foreign(tables: Node, backend: str) -> None:
    fill(tables, backend)
    tables.run(f"iptables-{backend} -N MINE && iptables-{backend} -A MINE -s 10.9.0.0/16 -j KUBE-EXTERNAL-SERVICES")
    tables.run(f"iptables-{backend} -A MINE -j RETURN")
    before = rules(tables, backend)
    mine = "-A MINE -s 10.9.0.0/16 -j KUBE-EXTERNAL-SERVICES"
    wanted = {**SWITCHED, "backend": backend, "families": ["ipv4"]}
    for check in (True, False):
        message = tables.module_fails(MODULE, {**wanted, "on_foreign": "fail"}, check=check)
        assert f"{mine} in table filter (ipv4, {backend})" in message
    assert rules(tables, backend) == before
    done = tables.module(MODULE, wanted)
    assert done["kept"] == [
        {
            "family": "ipv4",
            "backend": backend,
            "table": "filter",
            "name": "KUBE-EXTERNAL-SERVICES",
            "reason": f"rule {mine}",
        }
    ]
    assert f"filter {mine}" in rules(tables, backend)
    done = tables.module(MODULE, {**wanted, "on_foreign": "remove_jump"})
    assert f"Remove the foreign rule {mine} from table filter (ipv4, {backend})" in done["actions"]
    assert done["kept"] == []
    assert rules(tables, backend) == [line for line in before if stays(line) and mine not in line]


def iptc_chains(node: Node) -> dict[str, list[str]]:
    """Chains of table nat with the targets of their rules, as python-iptables reads them from the kernel's legacy tables."""
    program = (
        "import iptc, json; table = iptc.Table(iptc.Table.NAT);"
        "print(json.dumps({chain.name: [rule.target.name for rule in chain.rules] for chain in table.chains}))"
    )
    found: dict[str, list[str]] = json.loads(node.run(["python3", "-c", program]))
    return found


def test_a_service_in_the_legacy_backend(tables: Node) -> None:
    tables.run("iptables-legacy-restore", stdin=nat_table(3))
    tables.run("iptables-legacy -t mangle -N KUBE-IPTABLES-HINT")
    before = iptc_chains(tables)
    name = "ns1/service-1:http"
    own = {hashed("SVC", f"{name}tcp"), *(hashed("SEP", f"{name}tcp10.244.0.{last}:8080") for last in (2, 3))}
    assert own <= set(before)
    wanted = {"service": [{"name": name}], "running_mode": "nftables", "state": "absent", "families": ["ipv4"]}
    predicted = tables.module(MODULE, wanted, check=True)
    assert {chain["name"] for chain in predicted["chains"]} == own
    for chain in predicted["chains"]:
        assert chain["service"] == {"namespace": "ns1", "name": "service-1", "port": "http", "protocol": "tcp"}
        assert chain["rule_count"] == len(chain["rules"]) == len(before[chain["name"]])
        assert chain["references"] == sum(targets.count(chain["name"]) for targets in before.values())
    assert predicted["kubelet_backend"] == "legacy"
    assert iptc_chains(tables) == before
    done = tables.module(MODULE, wanted)
    assert (done["diff"], done["chains"]) == (predicted["diff"], predicted["chains"])
    expected = {
        chain: [target for target in targets if target not in own]
        for chain, targets in before.items()
        if chain not in own
    }
    assert iptc_chains(tables) == expected
    for check in (True, False):
        assert not tables.module(MODULE, wanted, check=check)["changed"]


def test_leftovers_in_the_other_backend_are_reported(tables: Node) -> None:
    fill(tables, "nft")
    tables.run("iptables-legacy -t nat -N KUBE-SERVICES; iptables-legacy -t nat -N MINE")
    # With tables in both backends iptables-nft warns on stderr; that is no error, and no part of what it prints.
    assert (
        "iptables-legacy"
        in tables.attempt("iptables-nft-save >/dev/null").err + tables.attempt("iptables-nft -S 2>&1").out
    )
    done = tables.module(MODULE, {**SWITCHED, "backend": "auto"}, check=True)
    assert done["kubelet_backend"] == "nft"
    assert done["elsewhere"] == [{"family": "ipv4", "backend": "legacy", "table": "nat", "names": ["KUBE-SERVICES"]}]
    assert {chain["backend"] for chain in done["chains"]} == {"nft"}


def test_what_the_fields_tools_get_wrong(tables: Node) -> None:
    """A chain that is not there, and a chain that is emptied for ever."""
    wanted = {
        "name": ["KUBE-NODEPORTS"],
        "table": "nat",
        "running_mode": "ipvs",
        "state": "absent",
        "backend": "nft",
        "families": ["ipv4"],
    }
    tables.run("iptables-nft -t nat -N KUBE-SERVICES")
    missing = tables.attempt("iptables-nft -t nat -S KUBE-NODEPORTS")
    assert missing.rc != 0
    done = tables.module(MODULE, wanted)
    assert (done["changed"], done["chains"]) == (False, [])
    tables.run("iptables-nft -t nat -N KUBE-NODEPORTS")
    arguments = json.dumps({"table": "nat", "chain": "KUBE-NODEPORTS", "flush": True})
    changed = [
        run_ansible(
            tables.lab, "ansible", tables.name, "-i", str(INVENTORY), "-m", "ansible.builtin.iptables", "-a", arguments
        )
        .results[0]
        .changed
        for _ in range(2)
    ]
    assert changed == [True, True]
    assert [tables.module(MODULE, wanted)["changed"] for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": ["INPUT"], "table": "filter", "state": "absent"}, "a built-in chain"),
        ({"name": ["KUBE-SERVICES"]}, "missing parameter(s) required by 'name': table"),
        ({"mode": "userspace", "state": "absent"}, "value of mode must be one of"),
        ({"mode": "iptables", "service": [{"name": "a/b"}]}, "parameters are mutually exclusive"),
        ({"service": [{"name": "A/b"}], "state": "absent", "running_mode": "none"}, "'A' is not a namespace"),
        (
            {"mode": "ipvs", "resync": True, "metrics_address": "nowhere"},
            "metrics_address: 'nowhere' is not an address",
        ),
        ({"mode": "ipvs", "resync": True, "resync_timeout": 0}, "resync_timeout must be at least 1 second"),
    ],
)
def test_bad_input(node: Node, arguments: dict[str, t.Any], words: str) -> None:
    assert words in node.module_fails(MODULE, arguments)
