# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node for tests of snapshots: what its tools print, and what they do with what a restore gives them.

The rules of refusal are those of the tools: C(-N) needs a free name, C(-A) and C(-I) a chain that is there and a target that is,
C(create) of ipset and nft a free name; a transaction happens as a whole or not at all.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device, Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import target_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import Answer, Endpoint
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_foreign import Present
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_read import Camera, Edges

BUILTIN = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
}
FAMILIES = {"iptables": "ipv4", "ip6tables": "ipv6"}
Chains = dict[str, list[str]]
METRICS = Endpoint("127.0.0.1", 10249)


def applied(chains: Chains, lines: t.Iterable[str], table: str) -> Chains:
    """A table after lines of iptables-restore --noflush.

    :raises ValueError: for a line that it refuses
    """
    after = {**{name: [] for name in BUILTIN[table]}, **{name: list(rules) for name, rules in chains.items()}}
    for line in lines:
        verb, name, *rest = line.split(" ", 2)
        spec = rest[0] if rest else ""
        if verb == "-N":
            if name in after:
                raise ValueError(line)
            after[name] = []
        elif verb == "-A":
            after[name].append(spec)
        elif verb == "-I":
            place, spec = spec.split(" ", 1)
            if not 1 <= int(place) <= len(after[name]) + 1:
                raise ValueError(line)
            after[name].insert(int(place) - 1, spec)
        else:
            raise ValueError(line)
        if (
            verb != "-N"
            and target_of(spec).isupper()
            and target_of(spec) not in {*after, "ACCEPT", "DROP", "RETURN", "DNAT"}
        ):
            raise ValueError(line)
    return after


class Machine:
    """C(tables) are chains by backend, family and table; C(asked) what was run, C(given) what it was given."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tables: dict[tuple[str, str, str], Chains] = {}
        self.nft: dict[tuple[str, str], str] = {}
        self.sets: dict[str, list[str]] = {}
        self.servers: list[VirtualServer] = []
        self.device: Device | None = None
        self.mode: str | None = "iptables"
        self.asked: list[str] = []
        self.given: list[str] = []
        self.missing: set[str] = set()
        # What iptables-nft-save says in place of a table that it cannot show.
        self.hidden: dict[tuple[str, str], str] = {}
        self.unread: tuple[str, ...] = ()
        for path in ("sys/module/nf_tables", "proc/net", "proc/sys/kernel"):
            (root / path).mkdir(parents=True, exist_ok=True)
        (root / "proc/modules").write_text("nf_tables 1 0 - Live 0x0\n", encoding="utf-8")
        (root / "proc/net/ip_vs").touch()
        (root / "proc/net/ip_tables_names").write_text("nat\n", encoding="utf-8")
        (root / "proc/sys/kernel/osrelease").write_text("6.1.0\n", encoding="utf-8")

    def sysctl(self, name: str, value: str | None = None) -> str:
        path = self.root / "proc/sys" / name.replace(".", "/")
        if value is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n", encoding="utf-8")
        return path.read_text(encoding="utf-8").strip()

    @property
    def files(self) -> Files:
        return Files(str(self.root))

    def look(self) -> Present:
        edges = Edges(self._ask, lambda: tuple(self.servers), lambda _run, _files: self, self._states)  # type: ignore[arg-type,return-value]  # stands in for Look
        return Camera(self, self.files, edges).take(METRICS, range(30000, 32768))

    def outline(self, servers: tuple[VirtualServer, ...]) -> Readings:
        return Readings(
            ipsets=self._states(self.files, False),
            nft_tables=tuple(self.nft),
            virtual_servers=servers,
            device=self.device,
            unread=self.unread,
        )

    def _ask(self, _endpoint: Endpoint | None, path: str) -> Answer:
        return Answer(path, 200, self.mode) if self.mode else Answer(path, error="Connection refused")

    def _states(self, _files: Files, _with_members: bool) -> tuple[IpSetState, ...]:
        families = {"inet": "ipv4", "inet6": "ipv6"}
        return tuple(
            IpSetState(
                name,
                (words := lines[0].split())[2],
                families.get(words[4] if "family" in words else "", ""),
                members=(),
            )
            for name, lines in self.sets.items()
        )

    def save(self, backend: str, family: str) -> str:
        text = self.hidden.get((backend, family), "")
        for (of, for_, table), chains in self.tables.items():
            if (of, for_) == (backend, family):
                heads = [f":{name} {'ACCEPT' if name in BUILTIN[table] else '-'} [3:180]" for name in chains]
                rules = [f"-A {name} {spec}" for name, specs in chains.items() for spec in specs]
                text += "\n".join((f"# Generated\n*{table}", *heads, *rules, "COMMIT", ""))
        return text

    def __call__(self, argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        self.asked.append(" ".join(argv[:1]))
        tool = argv[0]
        if tool in self.missing:
            return CommandResult(127, "", "")
        if stdin is not None:
            self.given.append(stdin)
        try:
            return self._tables(argv, stdin) if "tables" in tool else self._other(argv, stdin or "")
        except (ValueError, KeyError) as error:
            return CommandResult(1, "", f"{tool}: {error}\n")

    def _tables(self, argv: t.Sequence[str], stdin: str | None) -> CommandResult:
        if argv[1:] == ["--version"]:
            return CommandResult(0, "iptables v1.8.9 (nf_tables)\n", "")
        base, backend, verb = argv[0].split("-")
        if verb == "save":
            Path(argv[2]).write_text(self.save(backend, FAMILIES[base]), encoding="utf-8")
            return CommandResult(0, "", "")
        head, *lines, commit = (stdin or "").splitlines()
        if commit != "COMMIT" or not head.startswith("*"):
            raise ValueError("not one table")
        key = (backend, FAMILIES[base], head[1:])
        self.tables[key] = applied(self.tables.get(key, {}), lines, head[1:])
        return CommandResult(0, "", "")

    def _other(self, argv: t.Sequence[str], stdin: str) -> CommandResult:
        if argv == ["ipset", "save"]:
            return CommandResult(0, "".join(f"{line}\n" for lines in self.sets.values() for line in lines), "")
        if argv == ["ipset", "restore"]:
            for line in stdin.splitlines():
                verb, name, _rest = line.split(" ", 2)
                if (verb == "create") == (name in self.sets):
                    raise ValueError(line)
                self.sets.setdefault(name, []).append(line)
            return CommandResult(0, "", "")
        if argv[:4] == ["nft", "-s", "list", "table"]:
            return CommandResult(0, self.nft[argv[4], argv[5]], "")
        if argv == ["nft", "-f", "-"]:
            first, text = stdin.split("\n", 1)
            _create, _table, family, name, *_own = first.split()
            if (family, name) in self.nft:
                raise ValueError("File exists")
            self.nft[family, name] = text
            return CommandResult(0, "", "")
        raise ValueError(" ".join(argv))
