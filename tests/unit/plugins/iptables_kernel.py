# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's iptables for tests: tables that obey the kernel's rules, behind the commands that the node has.

The rules of refusal are those seen of iptables 1.8.9, nft and legacy: C(-D) needs an equal rule, C(-N) a free name,
C(-F) and C(-X) a chain, C(-X) one that is empty and that no rule leads to; a transaction happens as a whole or not at all.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table, target_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import parse_save

FAMILY = {"iptables": "ipv4", "ip6tables": "ipv6"}
NFT_FAMILY = {"ip": "ipv4", "ip6": "ipv6"}


class Refused(Exception):
    """What the kernel does not do, with the number of the line."""


def apply_text(chains: t.Mapping[str, tuple[str, ...]], text: str) -> dict[str, tuple[str, ...]]:
    """What a table holds after an input of iptables-restore --noflush."""
    after = {name: list(rules) for name, rules in chains.items()}
    lines = text.splitlines()
    if not lines[0].startswith("*") or lines[-1] != "COMMIT" or not text.endswith("\n"):
        raise Refused("not one whole table")
    for number, line in enumerate(lines[1:-1], start=2):
        command, name, *rest = line.split(" ", 2)
        try:
            _one(after, command, name, "".join(rest))
        except (KeyError, ValueError) as error:
            raise Refused(f"line {number} failed") from error
    for rules in after.values():
        if any(target.startswith("KUBE-") and target not in after for target in map(target_of, rules)):
            raise Refused("line 3: CHAIN_DEL failed (Device or resource busy)")
    return {name: tuple(rules) for name, rules in after.items()}


def _one(chains: dict[str, list[str]], command: str, name: str, spec: str) -> None:
    if command == "-N":
        if name in chains:
            raise ValueError(name)
        chains[name] = []
    elif command == "-D":
        chains[name].remove(spec)
    elif command == "-I":
        chains[name].insert(0, spec)
    elif command == "-F":
        chains[name].clear()
    elif command == "-X":
        if chains.pop(name):
            raise ValueError(name)
    else:
        raise ValueError(command)


class FakeNode:
    """Answers iptables and nft commands: C(saved) are outputs by (backend, family), C(version) what plain iptables says.

    A rule's handle is its place in its chain, times ten: what the kernel says is made from the tables at that moment.
    """

    def __init__(self, saved: t.Mapping[tuple[str, str], str], version: str = "iptables v1.8.11 (nf_tables)\n") -> None:
        self.tables = {
            Location(backend, family, name): table
            for (backend, family), text in saved.items()
            for name, table in parse_save(text).items()
        }
        self.version = version
        self.missing: set[str] = set()
        self.without_files = False
        self.calls: list[str] = []
        self.before_restore: list[t.Callable[[], None]] = []

    def __call__(self, argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        path = argv[2] if argv[1:2] == ["-f"] and "save" in argv[0] else ""
        self.calls.append(" ".join([argv[0], *argv[3:]] if path else argv))
        if argv[0] in self.missing:
            return CommandResult(127, "", f"{argv[0]}: command not found")
        if argv[1:] == ["--version"]:
            return CommandResult(0, self.version, "")
        if argv[0] == "nft":
            return self._nft_script(stdin or "")
        if "-S" in argv:
            at = Location("nft", FAMILY[argv[0].split("-")[0]], argv[2])
            return CommandResult(0, "".join(f"-A {argv[4]} {spec}\n" for spec in self.tables[at].chains[argv[4]]), "")
        base, *middle, verb = argv[0].split("-")
        plain = "nft" if "nf_tables" in self.version else "legacy"
        backend = middle[0] if middle else plain
        if verb == "save":
            return self._saved(self.save(backend, FAMILY[base]), path)
        return self._restore(backend, FAMILY[base], stdin or "")

    def handles(self, family: str, table: str, chain: str) -> list[int]:
        """What the kernel says over netlink."""
        self.calls.append(f"handles of {table} {chain}")
        rules = self.tables[Location("nft", family, table)].chains[chain]
        return [10 * place for place in range(1, len(rules) + 1)]

    def _nft_script(self, script: str) -> CommandResult:
        """The same as lines of iptables-restore, so that both obey one kernel."""
        lines: list[str] = []
        at = Location("", "", "")
        for command in script.splitlines():
            verb, kind, family, table, chain, *rest = command.split()
            at = Location("nft", NFT_FAMILY[family], table)
            if kind == "rule":
                lines.append(f"-D {chain} {self.tables[at].chains[chain][int(rest[1]) // 10 - 1]}")
            else:
                lines.append(f"-{'F' if verb == 'flush' else 'X'} {chain}")
        return self._restore("nft", at.family, "\n".join((f"*{at.table}", *lines, "COMMIT", "")))

    def _saved(self, text: str, path: str) -> CommandResult:
        if not path:
            return CommandResult(0, text, "")
        if self.without_files:
            return CommandResult(1, "", "iptables-save: invalid option -- 'f'\n")
        Path(path).write_text(text, encoding="utf-8")
        return CommandResult(0, "", "")

    def save(self, backend: str, family: str) -> str:
        """The tables of a backend and a family, as iptables-save prints them."""
        return "".join(
            _table_text(at.table, table)
            for at, table in self.tables.items()
            if (at.backend, at.family) == (backend, family)
        )

    def _restore(self, backend: str, family: str, text: str) -> CommandResult:
        if self.before_restore:
            self.before_restore.pop(0)()
        at = Location(backend, family, text[1 : text.index("\n")])
        table = self.tables.get(at, Table())
        try:
            self.tables[at] = Table(apply_text(table.chains, text), table.builtin)
        except Refused as refused:
            return CommandResult(1, "", f"iptables-{backend}-restore: {refused}\n")
        return CommandResult(0, "", "")


def _table_text(name: str, table: Table) -> str:
    chains = [f":{chain} {'ACCEPT' if chain in table.builtin else '-'} [0:0]" for chain in table.chains]
    rules = [f"-A {chain} {spec}" for chain, specs in table.chains.items() for spec in specs]
    return "\n".join((f"*{name}", *chains, *rules, "COMMIT", ""))
