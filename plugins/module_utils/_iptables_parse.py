# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What iptables-save prints, read. Pure; private to this collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Table

_CHAIN = re.compile(r":(\S+) (\S+)(?: \[\d+:\d+\])?")
# What stands behind the name of a chain that is somebody's own, without or before any packet.
_UNSEEN = ["-", "[0:0]\n"]
_RULE = re.compile(r"(?:\[\d+:\d+\] )?-A (\S+) ?(.*)")
# Printed by iptables-nft-save in place of a table that holds what only nft could have put there.
_INCOMPATIBLE = re.compile(r"# Table `(\S+)' is incompatible, use 'nft' tool\.")
_NO_LINE = "\0"  # what none begins with


class UnreadableTables(KubeProxyError):
    """The output of iptables-save does not say what is in a table."""


def parse_save(text: str) -> dict[str, Table]:
    """The tables in an output of iptables-save, legacy or nft, with or without counters.

    :raises UnreadableTables: for anything that iptables-save would not print, a cut-off output, or a table of which
        iptables-nft-save says that it cannot show it
    """
    return parse_lines(text.split("\n"))


def parse_lines(source: t.Iterable[str]) -> dict[str, Table]:
    """The same from its lines, with or without their ends: of a large output only the rules are then ever held.

    :raises UnreadableTables: as above
    """
    tables: dict[str, Table] = {}
    lines = enumerate(source, 1)
    for number, ended in lines:
        line = ended.rstrip("\n")
        incompatible = _INCOMPATIBLE.match(line)
        if incompatible:
            raise UnreadableTables(
                f"Table {incompatible.group(1)} cannot be read through iptables",
                seen=line,
                remedy=f"Something wrote rules of its own into it with nft: move them into a table of another name "
                f"(nft list table ip {incompatible.group(1)} shows them).",
            )
        if not line or line.startswith("#"):
            continue
        if not line.startswith("*") or line[1:] in tables:
            raise _garbage(number, line)
        tables[line[1:]] = _parse_table(lines, line)
    return tables


def parse_policy(source: t.Iterable[str], chain: str) -> str:
    """The policy of a built-in chain in the lines of C(iptables-save -t); empty where that table has no such chain.

    :raises UnreadableTables: when iptables-nft-save says that it cannot show the table
    """
    for line in source:
        incompatible = _INCOMPATIBLE.match(line)
        if incompatible:
            raise UnreadableTables(f"Table {incompatible.group(1)} cannot be read through iptables", seen=line.strip())
        found = _CHAIN.fullmatch(line.rstrip("\n"))
        if found and found.group(1) == chain:
            return found.group(2)
    return ""


Counts = t.Dict[t.Tuple[str, str], t.Dict[str, t.Tuple[int, int]]]
_COUNTED = re.compile(r"\[(\d+):(\d+)\] -A (\S+) ?(.*)")


def parse_counts(source: t.Iterable[str], chains: t.Collection[str]) -> Counts:
    """From the lines of C(iptables-save -c), by table and chain, the packets and bytes that each rule has seen.

    Of equal rules of a chain the first one takes the packets. What is no rule is passed over: L(parse_lines) judges it.

    :param chains: names of those that are asked for
    """
    found: Counts = {}
    table = ""
    for line in source:
        if line.startswith("*"):
            table = line[1:].rstrip("\n")
        elif line.startswith("["):
            rule = _COUNTED.match(line.rstrip("\n"))
            if rule and rule.group(3) in chains:
                seen = int(rule.group(1)), int(rule.group(2))
                found.setdefault((table, rule.group(3)), {}).setdefault(rule.group(4), seen)
    return found


def _parse_table(lines: t.Iterator[tuple[int, str]], header: str) -> Table:
    chains: dict[str, list[str]] = {}
    builtin: set[str] = set()
    last, rules = _NO_LINE, [""]
    for number, ended in lines:
        # Nearly every line of a large table is a rule without counters or somebody's own chain, and needs no regular
        # expression; most rules stand behind another one of their chain.
        if ended.startswith(last):
            rules.append(ended[len(last) :].rstrip("\n"))
            continue
        words = ended.split(" ", 2)
        if len(words) == 3 and words[0] == "-A" and words[1] in chains:
            last, rules = f"-A {words[1]} ", chains[words[1]]
            rules.append(words[2].rstrip("\n"))
            continue
        if words[1:] == _UNSEEN and _is_new(words[0], chains):
            chains[words[0][1:]] = []
            continue
        line = ended.rstrip("\n")
        if line == "COMMIT":
            return Table(_frozen(chains), frozenset(builtin))
        rule = _RULE.fullmatch(line)
        chain = None if rule else _CHAIN.fullmatch(line)
        if rule and rule.group(1) in chains:
            chains[rule.group(1)].append(rule.group(2))
        elif chain and chain.group(1) not in chains:
            chains[chain.group(1)] = []
            if chain.group(2) != "-":
                builtin.add(chain.group(1))
        elif line and not line.startswith("#"):
            raise _garbage(number, line)
    raise UnreadableTables(
        "The output of iptables-save ends too early",
        seen=f"{header} without COMMIT",
        remedy="Run again; if it stays so, run iptables-save by hand.",
    )


def _is_new(named: str, chains: t.Container[str]) -> bool:
    return len(named) > 1 and named[0] == ":" and named[1:] not in chains


def _frozen(chains: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """One chain after the other, so that there is never all of it twice."""
    found: dict[str, t.Any] = chains
    for name, rules in found.items():
        found[name] = tuple(rules)
    return found


def _garbage(number: int, line: str) -> UnreadableTables:
    return UnreadableTables(
        "The output of iptables-save was not understood",
        seen=f"line {number} is {line[:200]!r}",
        remedy="Run iptables-save by hand: it should print *TABLE, :CHAIN, -A and COMMIT lines only.",
    )
