# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot: what is in it, whose the objects are, what may become a line, and a file that was changed."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_model import wanted_restore
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_checks import (
    are_set_lines,
    is_chain,
    is_nft_text,
    is_rule,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_foreign import rule_owner, taken_apart
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import READABLE, Snapshot, snapshot_of
from tests.unit.plugins.snapshot_machine import Machine
from tests.unit.plugins.test_inventory import POD, server

FIXTURES = Path(__file__).parents[1] / "fixtures"
NFT = """table inet mine {
\tset s {
\t\ttype ipv4_addr
\t\telements = { 192.0.2.1, 192.0.2.2 }
\t}

\tchain c {
\t\ttype filter hook input priority filter; policy accept;
\t\tip saddr @s tcp dport { 80, 443 } drop comment "a } b"
\t}
}
"""
SETS = {
    "MINE": [
        "create MINE hash:ip family inet hashsize 1024 maxelem 65536 comment",
        'add MINE 192.0.2.1 comment "of mine"',
    ],
    "LIST": ["create LIST list:set size 8", "add LIST MINE"],
    "KUBE-CLUSTER-IP": ["create KUBE-CLUSTER-IP hash:ip,port family inet", "add KUBE-CLUSTER-IP 10.96.0.1,tcp:443"],
}
PORTAL = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
USERS = '-s 192.0.2.0/24 -m comment --comment "mine, -j KUBE-SERVICES" -j MINE'


def filled(root: Path) -> Machine:
    """A node in iptables mode with others' things in every place."""
    machine = Machine(root)
    nat: dict[str, list[str]] = {name: [] for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")}
    machine.tables["nft", "ipv4", "nat"] = {
        **nat,
        "PREROUTING": ["-j cali-PREROUTING", USERS, PORTAL],
        "KUBE-SERVICES": ["-d 10.96.0.1/32 -j RETURN"],
        "MINE": ["-p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.7:80", "-j RETURN"],
        "cali-PREROUTING": [],
    }
    machine.tables["nft", "ipv4", "raw"] = {"PREROUTING": ["-s 192.0.2.9/32 -j DROP"], "OUTPUT": []}
    machine.tables["legacy", "ipv4", "nat"] = {**nat, "OUTPUT": ["-d 192.0.2.8/32 -j ACCEPT"]}
    machine.nft = {("inet", "mine"): NFT, ("ip", "kube-proxy"): "table ip kube-proxy {\n}\n", ("ip", "nat"): "-"}
    machine.sets = copy.deepcopy(SETS)
    machine.servers = [server("203.0.113.9", 6443, POD._replace(weight=5)), server("192.0.2.10", 6443, POD)]
    machine.sysctl("net.ipv4.ip_forward", "1")
    machine.sysctl("net.ipv4.conf.all.arp_ignore", "0")
    return machine


def test_what_is_in_it(tmp_path: Path) -> None:
    taken = filled(tmp_path).look().snapshot
    assert (taken.node, taken.kernel, taken.running_mode, taken.unread) == (None, "6.1.0", "iptables", ())
    assert set(taken.iptables) == {("nft", "ipv4"), ("legacy", "ipv4")}
    assert "*raw\n" in taken.iptables["nft", "ipv4"]
    # What iptables-nft keeps is told by iptables-save.
    assert set(taken.nft) == {("inet", "mine"), ("ip", "kube-proxy")}
    assert taken.ipvs.splitlines()[:2] == [
        "-A -t 192.0.2.10:6443 -s rr",
        "-a -t 192.0.2.10:6443 -r 10.244.0.5:8080 -m -w 1",
    ]
    assert taken.ipsets.splitlines() == [line for lines in SETS.values() for line in lines]
    assert taken.sysctls == {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.arp_ignore": "0"}
    assert taken.modules == ("nf_tables",)


def test_foreign_is_what_nobody_makes_anew(tmp_path: Path) -> None:
    found = filled(tmp_path).look().snapshot.foreign
    assert [(one.kind, one.name, one.backend, one.table, one.rule, one.owner) for one in found] == [
        ("iptables_rule", "PREROUTING", "nft", "nat", USERS, "foreign"),
        ("iptables_chain", "MINE", "nft", "nat", "", "foreign"),
        ("iptables_rule", "PREROUTING", "nft", "raw", "-s 192.0.2.9/32 -j DROP", "foreign"),
        ("iptables_rule", "OUTPUT", "legacy", "nat", "-d 192.0.2.8/32 -j ACCEPT", "foreign"),
        ("ipset", "MINE", "", "", "", "foreign"),
        ("ipset", "LIST", "", "", "", "foreign"),
        ("nft_table", "mine", "", "", "", "foreign"),
        ("virtual_server", "203.0.113.9:6443", "", "", "", "foreign"),
        # Without kube-ipvs0 the node alone does not tell.
        ("virtual_server", "192.0.2.10:6443", "", "", "", None),
    ]


@pytest.mark.parametrize(
    ("spec", "owner"),
    [
        (PORTAL, "kube-proxy"),
        ("-d 192.0.2.1/32 -j KUBE-SERVICES", "foreign"),
        ("-j KUBE-FIREWALL", "kubelet"),
        ("-j DOCKER", "Docker"),
        ('-m comment --comment "cali:S93hcgKJrXEqnTfs" -m mark --mark 0x10000/0x10000 -j ACCEPT', "Calico"),
        ("-m comment --comment \"not cali:\" -j ACCEPT", "foreign"),
        # A chain of that name is not there, so it is a target of the kernel's.
        ("-j GONE", "foreign"),
    ],
)  # fmt: skip  # rows of a table
def test_whose_a_rule_is(spec: str, owner: str) -> None:
    chains = ("PREROUTING", "KUBE-SERVICES", "KUBE-FIREWALL", "DOCKER")
    assert rule_owner("nat", chains, "PREROUTING", spec).owner == owner


def test_through_a_file_and_back(tmp_path: Path) -> None:
    taken = filled(tmp_path).look().snapshot
    assert snapshot_of(json.loads(json.dumps(taken.as_value()))) == taken
    wanted_restore(taken)


def test_a_large_node_is_kept_small(tmp_path: Path) -> None:
    machine = filled(tmp_path)
    letters = str.maketrans("0123456789", "ABCDEFGHIJ")
    names = (f"KUBE-SVC-{number:016d}".translate(letters) for number in range(20000))
    chains = {name: ["-j RETURN"] * 2 for name in names}
    machine.tables["nft", "ipv4", "nat"].update(chains)
    taken = machine.look().snapshot
    held = json.dumps(taken.as_value())
    assert len(taken.iptables["nft", "ipv4"]) > 4 * READABLE
    assert len(held) < READABLE
    assert snapshot_of(json.loads(held)) == taken


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    machine = filled(tmp_path)
    machine.unread = ("nft was not found:\n the kernel has it.",)
    machine.missing = {"iptables-legacy-save", "ipset"}
    present = machine.look()
    assert present.blind[0] == present.snapshot.unread[0] == "nft was not found: the kernel has it."
    assert any(sentence.startswith("iptables-legacy-save was not found") for sentence in present.blind)
    assert not present.snapshot.whole_ipsets
    # What is named and has no options.
    assert present.snapshot.ipsets.splitlines()[:2] == ["create MINE hash:ip family inet", "create LIST list:set"]


def test_what_no_tool_could_be_given_back_is_only_shown(tmp_path: Path) -> None:
    machine = filled(tmp_path)
    machine.nft["inet", "odd"] = "table inet odd { # progname nft\n\tflags owner\n}\n"
    taken = machine.look().snapshot
    assert taken.unread == (
        "table inet odd of nftables is in this snapshot to be seen only, and cannot be put back from it.",
    )
    assert not any(one.name == "odd" for one in taken.foreign)


@pytest.mark.parametrize(
    "name", ["iptables-mode-nft.txt", "ipvs-after-iptables-legacy.txt", "kube-proxy-1.37.2-iptables-ipv6.txt"]
)
def test_every_rule_that_iptables_save_prints_is_a_rule(name: str) -> None:
    tables = parse_save((FIXTURES / "iptables" / name).read_text(encoding="utf-8"))
    rules = [spec for table in tables.values() for rules in table.chains.values() for spec in rules]
    assert len(rules) > 20
    assert [spec for spec in rules if not is_rule(spec)] == []
    assert all(is_chain(chain) for table in tables.values() for chain in table.chains)


def test_every_set_and_table_that_the_tools_print_is_one() -> None:
    text = (FIXTURES / "ipset" / "kube-proxy-1.37.2.txt").read_text(encoding="utf-8")
    sets = taken_apart(Snapshot(None, "", "", ipsets=text)).sets
    assert len(sets) > 20
    assert [name for name, lines in sets.items() if not are_set_lines(name, lines)] == []
    for family in ("ip", "ip6"):
        table = (FIXTURES / "nft" / f"kube-proxy-1.37.2-{family}.txt").read_text(encoding="utf-8")
        assert is_nft_text(family, "kube-proxy", table)


@pytest.mark.parametrize(
    "spec",
    [
        "-j ACCEPT\n-A INPUT -j DROP", "-j ACCEPT\r-j DROP", "-j ACCEPT\0", "-M /tmp/evil -j ACCEPT", "-fM/tmp/evil", "--modprobe=/tmp/evil",
        "--modp /tmp/evil", '"--modprobe" /tmp/evil', "-t mangle -j ACCEPT", "--table mangle", "--ta=mangle", "-D INPUT 1", "--delete INPUT 1",
        "-j ACCEPT -F", "-X", "-P INPUT DROP", "--policy INPUT DROP", '-m comment --comment "x"-M /tmp/evil', '-m comment --comment x"-M /tmp/evil',
        '-m comment --comment "x', "-j ACCEPT\\", "--", "-h", "--version", " -j ACCEPT", "-j\u2028ACCEPT", "-I INPUT 1",
    ],
)  # fmt: skip  # a list of attempts
def test_what_is_more_than_one_rule_is_none(spec: str) -> None:
    assert not is_rule(spec)


@pytest.mark.parametrize(
    "spec",
    [
        "", "-j ACCEPT", '-m comment --comment "say -M \\"here\\"" -j ACCEPT', "-m comment --comment -M -j ACCEPT", "-m policy --dir in --pol ipsec -j ACCEPT",
        "-m recent --set --name ssh --mask 255.255.255.255 --rsource", '-j LOG --log-prefix "-- dropped: "', "! -s 10.0.0.0/8 -o eth0 -j MASQUERADE",
        "-m statistic --mode random --probability 0.5 -j MINE", "-m nfacct --nfacct-name  mine -j DROP", "-j TTL --ttl-set -1",
        '-m comment --comment "grün" -j ACCEPT',
    ],
)  # fmt: skip  # a list of rules as iptables-save prints them
def test_what_is_one_rule(spec: str) -> None:
    assert is_rule(spec)


@pytest.mark.parametrize(
    ("name", "right"),
    [("MINE", True), ("f2b-sshd", True), ("~log0", True), ("A B", False), ("", False), ("-X", False), ("A\nB", False),
     ('A"', False), ("A" * 32, False), (":A", False)],
)  # fmt: skip  # rows of a table
def test_names_of_chains(name: str, right: bool) -> None:
    assert is_chain(name) is right


@pytest.mark.parametrize(
    "lines",
    [
        [], ["add MINE 192.0.2.1"], ["create OTHER hash:ip"], ["create MINE"], ["create MINE hash:ip", "flush MINE"],
        ["create MINE hash:ip", "add OTHER 192.0.2.1"], ["create MINE hash:ip", "add MINE 192.0.2.1\nflush"],
        ["create MINE hash:ip", "add MINE 192.0.2.1 -f /etc/shadow"], ["create MINE hash:ip", "add MINE 192.0.2.1 -exist"],
        ["create MINE hash:ip -output plain"], ["create MINE hash:ip", 'add MINE 192.0.2.1 comment "x'], ["create MINE hash:ip\tx"],
        ["create MINE hash:ip", 'add MINE 192.0.2.1 comment "x"y'], ["create MINE ../x"], ["create MINE hash:ip", "create MINE hash:ip"],
    ],
)  # fmt: skip  # a list of attempts
def test_what_is_more_than_one_set_is_none(lines: list[str]) -> None:
    assert not are_set_lines("MINE", lines)


@pytest.mark.parametrize(
    "text",
    [
        NFT + "flush ruleset\n", NFT + NFT, NFT.replace("drop", 'drop }\n}\nflush ruleset\ntable inet x {\nchain c {'), NFT.replace("drop", '# }'),
        NFT.replace("policy accept;", 'policy accept; include "/etc/shadow"'), NFT.replace("\tset s", "\tdefine x = 1\n\tset s"), NFT.replace("@s", "$x"),
        NFT.replace("mine", "other"), NFT.replace("table inet", "table ip"), NFT.replace("\tset s", "\tflags owner\n\tset s"),
        NFT[:-2], NFT.replace("}\n}\n", "}\n"),
        "flush ruleset\n" + NFT, NFT.replace('"a } b"', '"a'), NFT.replace("drop", "drop\\"), NFT.replace("drop", "drop\r"), "", "table inet mine {\n",
    ],
)  # fmt: skip  # a list of attempts
def test_what_is_more_than_one_table_is_none(text: str) -> None:
    assert is_nft_text("inet", "mine", NFT)
    assert not is_nft_text("inet", "mine", text)


Value = dict[str, t.Any]


def _of(value: Value, kind: str) -> Value:
    found: Value = next(row for row in value["foreign"] if row["kind"] == kind)
    return found


def _in_text(old: str, new: str) -> t.Callable[[Value], None]:
    def change(value: Value) -> None:
        for row in value["iptables"]:
            row["text"] = row["text"].replace(old, new)
        for row in value["foreign"]:
            row.update({key: text.replace(old, new) for key, text in row.items() if isinstance(text, str)})

    return change


CHANGES: dict[str, t.Callable[[Value], t.Any]] = {
    "another format": lambda v: v.update(format=2),
    "a word as the format": lambda v: v.update(format="1"),
    "no format": lambda v: v.pop("format"),
    "a table of another name": lambda v: _of(v, "iptables_chain").update(table="nat\n*filter"),
    "a table that is none": _in_text("*raw", "*mine"),
    "another backend": lambda v: v["iptables"][0].update(backend="nft-restore"),
    "a rule that names a program": _in_text("-s 192.0.2.9/32 -j DROP", "-s 192.0.2.9/32 -M /tmp/evil -j DROP"),
    "a rule with a second line": lambda v: _of(v, "iptables_rule").update(rule=f"{USERS}\n-A INPUT -j ACCEPT"),
    "a rule that the tables do not have": lambda v: _of(v, "iptables_rule").update(rule="-j ACCEPT"),
    "a rule in a chain of kube-proxy's": lambda v: _of(v, "iptables_rule").update(
        name="KUBE-SERVICES", rule="-d 10.96.0.1/32 -j RETURN"
    ),
    "kube-proxy's jump": lambda v: _of(v, "iptables_rule").update(rule=PORTAL),
    "kube-proxy's chain": lambda v: _of(v, "iptables_chain").update(name="KUBE-SERVICES"),
    "a chain of Calico's": lambda v: _of(v, "iptables_chain").update(name="cali-PREROUTING"),
    "a built-in chain as a user's": lambda v: _of(v, "iptables_chain").update(name="PREROUTING"),
    "a built-in chain of a new name": _in_text("MINE -", "MINE ACCEPT"),
    "a chain whose rule is a command": _in_text("-j RETURN", "-F"),
    "a table that is cut off": lambda v: v["iptables"][0].update(text=v["iptables"][0]["text"][:-7]),
    "an ipset that empties others": lambda v: v.update(
        ipsets=v["ipsets"].replace("add MINE 192.0.2.1", "flush MINE x")
    ),
    "an ipset with an option of ipset's": lambda v: v.update(
        ipsets=v["ipsets"].replace("192.0.2.1 ", "192.0.2.1 -f /etc/shadow ")
    ),
    "an ipset of kube-proxy's": lambda v: _of(v, "ipset").update(name="KUBE-CLUSTER-IP"),
    "an ipset that is not there": lambda v: _of(v, "ipset").update(name="OTHER"),
    "a table of nftables and a command": lambda v: v["nft"][0].update(text=NFT + "flush ruleset\n"),
    "kube-proxy's table": lambda v: _of(v, "nft_table").update(family="ip", name="kube-proxy"),
    "a table of nftables that is not there": lambda v: _of(v, "nft_table").update(name="x"),
    "an owner": lambda v: _of(v, "ipset").update(owner="kube-proxy"),
    "an unknown kind": lambda v: _of(v, "ipset").update(kind="command"),
    "a virtual server of nonsense": lambda v: _of(v, "virtual_server")["definition"].update(scheduler="rr; reboot"),
    "a virtual server without itself": lambda v: _of(v, "virtual_server").pop("definition"),
    "a virtual server with more": lambda v: _of(v, "virtual_server")["definition"].update(command="reboot"),
    "a path as a sysctl": lambda v: v["sysctls"].update({"../../kernel/core_pattern": "1"}),
    "another sysctl": lambda v: v["sysctls"].update({"kernel.panic": "1"}),
    "two lines as a value": lambda v: v["sysctls"].update({"net.ipv4.ip_forward": "1\n2"}),
    "a number as a value": lambda v: v["sysctls"].update({"net.ipv4.ip_forward": 1}),
    "a list as a text": lambda v: v.update(ipvs=["-C"]),
    "a text that is not packed": lambda v: v.update(ipvs={"zlib+base64": "AAAA"}),
    "a node of two lines": lambda v: v.update(node="a\nb"),
    "another mode": lambda v: v.update(running_mode="userspace"),
    "no list of foreign objects": lambda v: v.pop("foreign"),
    "words as objects": lambda v: v.update(foreign=["MINE"]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_snapshot_that_was_changed_is_refused(tmp_path: Path, what: str) -> None:
    value = json.loads(json.dumps(filled(tmp_path).look().snapshot.as_value()))
    before = copy.deepcopy(value)
    CHANGES[what](value)
    assert value != before
    with pytest.raises(InvalidInput):
        wanted_restore(snapshot_of(value))


KEYS = st.text(max_size=5)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
)


@given(st.data())
def test_no_damage_ends_in_anything_but_words(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    value = json.loads(json.dumps(filled(tmp_path_factory.mktemp("node")).look().snapshot.as_value()))
    place: t.Any = value
    for _step in range(data.draw(st.integers(0, 3))):
        keys = list(place) if isinstance(place, dict) else range(len(place)) if isinstance(place, list) else []
        inner = [key for key in keys if isinstance(place[key], (dict, list)) and place[key]]
        if not inner:
            break
        place = place[data.draw(st.sampled_from(inner))]
    key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
    place[key] = data.draw(VALUE)
    try:
        wanted_restore(snapshot_of(value))
    except KubeProxyError:
        return


def test_the_device_tells_kube_proxys_servers(tmp_path: Path) -> None:
    machine = filled(tmp_path)
    machine.device = Device("kube-ipvs0", "dummy", ("192.0.2.10",))
    taken = machine.look().snapshot
    assert [one.name for one in taken.foreign if one.kind == "virtual_server"] == ["203.0.113.9:6443"]
    assert taken.addresses == ("192.0.2.10",)
