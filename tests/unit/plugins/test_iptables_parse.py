# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading iptables-save: captured outputs, rules with users' words in them, and garbage."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import (
    Table,
    same_rule,
    target_of,
    tokens,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save

FIXTURES = Path(__file__).parents[1] / "fixtures" / "iptables"


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.txt")), ids=lambda path: path.stem)
def test_a_capture_is_read_without_loss(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tables = parse_save(text)
    rules = [
        f"-A {chain} {rule}" for table in tables.values() for chain, specs in table.chains.items() for rule in specs
    ]
    chains = [name for table in tables.values() for name in table.chains]
    lines = text.splitlines()
    assert sorted(rules) == sorted(line for line in lines if line.startswith("-A"))
    assert sorted(chains) == sorted(line[1:].split()[0] for line in lines if line.startswith(":"))
    assert sorted(tables) == ["filter", "mangle", "nat"]
    assert tables["filter"].builtin == {"INPUT", "FORWARD", "OUTPUT"}


def test_counters_are_left_out() -> None:
    text = "*nat\n:OUTPUT ACCEPT [7:420]\n:KUBE-X - [0:0]\n[3:180] -A OUTPUT -j KUBE-X\nCOMMIT\n"
    assert parse_save(text) == {"nat": Table({"OUTPUT": ("-j KUBE-X",), "KUBE-X": ()}, frozenset({"OUTPUT"}))}


@given(st.lists(st.text(st.characters(exclude_characters="\n")), max_size=5))
def test_counters_make_no_difference(specs: list[str]) -> None:
    """Rules without them are read on a shorter way."""
    head = "*nat\n:OUTPUT ACCEPT [0:0]\n:X - [0:0]\n"
    plain = "".join(f"-A X {spec}\n" for spec in specs)
    counted = "".join(f"[3:180] -A X {spec}\n" for spec in specs)
    assert parse_save(f"{head}{plain}COMMIT\n") == parse_save(f"{head}{counted}COMMIT\n")
    assert parse_save(f"{head}{plain}COMMIT\n")["nat"].chains["X"] == tuple(specs)


def test_a_rule_without_anything() -> None:
    assert parse_save("*raw\n:OUTPUT ACCEPT\n-A OUTPUT\nCOMMIT\n")["raw"].chains == {"OUTPUT": ("",)}


def test_nothing_is_no_tables() -> None:
    assert parse_save("") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("garbage\n", "line 1 is 'garbage'"),
        ("*nat\n:OUTPUT ACCEPT [0:0]\n", "*nat without COMMIT"),
        ("*nat\n-A OUTPUT -j X\nCOMMIT\n", "line 2 is '-A OUTPUT -j X'"),
        ("*nat\n:OUTPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n", "line 3"),
        ("*nat\nCOMMIT\n*nat\nCOMMIT\n", "line 3 is '*nat'"),
        ("*nat\nCOMMIT\nCOMMIT\n", "line 3 is 'COMMIT'"),
        ("*nat\n*filter\nCOMMIT\n", "line 2 is '*filter'"),
        ("*nat\n:OUTPUT\nCOMMIT\n", "line 2 is ':OUTPUT'"),
        ("# Table `nat' is incompatible, use 'nft' tool.\n", "Table nat cannot be read through iptables"),
    ],
)
def test_what_iptables_save_would_not_print_is_our_error(text: str, words: str) -> None:
    with pytest.raises(KubeProxyError) as raised:
        parse_save(text)
    assert words in str(raised.value)


@given(
    st.lists(st.sampled_from(["*nat", ":A - [0:0]", "-A A -j B", "COMMIT", "", "# x", "[1:2] -A A", ":", "-A", "\x00"]))
)
def test_shuffled_lines_are_read_or_refused(lines: list[str]) -> None:
    try:
        parse_save("\n".join(lines))
    except KubeProxyError:
        pass


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_save(text)
    except KubeProxyError:
        pass
    target_of(text)
    tokens(text)


@pytest.mark.parametrize(
    ("spec", "target"),
    [
        ("-j KUBE-SERVICES", "KUBE-SERVICES"),
        ("-d 10.96.0.1/32 -p tcp -m tcp --dport 443 -g KUBE-SVC-NPX46M4PTMTKRN6Y", "KUBE-SVC-NPX46M4PTMTKRN6Y"),
        ("-p tcp -j DNAT --to-destination 10.0.0.1:80", "DNAT"),
        ('-m comment --comment "say -j KUBE-SERVICES" -j ACCEPT', "ACCEPT"),
        ('-m comment --comment "a \\" -j KUBE-SERVICES \\\\" -j DROP', "DROP"),
        ("-m comment --comment -j -j DROP", "DROP"),
        ("-m comment --comment other", ""),
        ('-m comment --comment "x -j y"', ""),
        ('-j LOG --log-prefix "x -j KUBE-SERVICES "', "LOG"),
        ("", ""),
    ],
)
def test_where_a_rule_leads(spec: str, target: str) -> None:
    assert target_of(spec) == target


def saved(comment: str) -> str:
    """A comment as iptables prints it (C(xtables_save_string)): bare, or quoted with its quotes and backslashes escaped."""
    escaped = re.sub(r"([\"'\\])", r"\\\1", comment)
    return comment if re.fullmatch("[-_0-9A-Za-z]+", comment) else f'"{escaped}"'


COMMENTS = st.text(st.sampled_from("abj-g \"'\\"), max_size=12).map(lambda text: f"-m comment --comment {saved(text)} ")


@given(
    st.sampled_from(["", "-s 10.0.0.0/8 -p tcp "]),
    COMMENTS,
    st.sampled_from(
        [
            "KUBE-SERVICES",
            "DNAT --to-destination 10.0.0.1:80",
            "LOG --log-prefix -j --log-uid",
            'LOG --log-prefix "-j A "',
            "",
        ]
    ),
)
def test_no_comment_hides_where_a_rule_leads(match: str, comment: str, target: str) -> None:
    spec = f"{match}{comment}{f'-j {target}' if target else ''}".rstrip()
    assert target_of(spec) == target.partition(" ")[0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            '-m conntrack --ctstate NEW -m comment --comment "a b" -j X',
            '-m comment --comment "a b" -m conntrack --ctstate NEW -j X',
            True,
        ),
        ('-m comment --comment "ab" -j X', "-m comment --comment ab -j X", True),
        ("-m comment --comment ab -j X", "-m comment --comment ab -j Y", False),
        ("-m comment --comment ab -j X", "-s 10.0.0.0/8 -m comment --comment ab -j X", False),
        ("-m comment --comment ab -j X", "-m comment --comment ab -m conntrack --ctstate NEW -j X", False),
        ("-j X", "-g X", False),
    ],
)
def test_whether_two_texts_are_one_rule(one: str, other: str, same: bool) -> None:
    assert same_rule(one, other) is same
