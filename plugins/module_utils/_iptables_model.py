# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of iptables: tables as text rules. Private to this collection.

A rule is kept as the text that iptables-save prints behind C(-A CHAIN): only that text is sure to name the same rule
again in C(-D). It is taken apart no further than a question needs.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field
from functools import lru_cache

BACKENDS = ("nft", "legacy")
FAMILIES = ("ipv4", "ipv6")

_QUOTED = r'"(?:[^"\\]|\\.)*"'
# Words of the user, which may look like options: quoted strings, and a comment that iptables-save did not need to quote.
_WORDS = re.compile(rf"--comment (?:{_QUOTED}|\S+)|{_QUOTED}")
_TARGET = re.compile(r"(?:^| )-[jg] (\S+)")
_TOKEN = re.compile(rf"(?:{_QUOTED}|[^\s\"])+")


@dataclass(frozen=True)
class Location:
    """One table of one family in one backend: what a single transaction can change."""

    backend: str
    family: str
    table: str

    def __str__(self) -> str:
        return f"table {self.table} ({self.family}, {self.backend})"


@dataclass(frozen=True)
class Table:
    """The chains of a table in the order of iptables-save. C(builtin) are those with a policy."""

    chains: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    builtin: frozenset[str] = frozenset()


Tables = t.Mapping[Location, Table]


@dataclass(frozen=True)
class Transaction:
    """What one run of iptables-restore is given for one table: all of it happens, or nothing."""

    location: Location
    lines: tuple[str, ...]

    @property
    def only_removes(self) -> bool:
        """Whether every line deletes a rule, empties a chain or deletes one."""
        return all(line.startswith(("-D ", "-F ", "-X ")) for line in self.lines)

    @property
    def text(self) -> str:
        return "\n".join((f"*{self.location.table}", *self.lines, "COMMIT", ""))


@lru_cache(maxsize=None)
def target_of(spec: str) -> str:
    """Where a rule jumps or goes to; empty for a rule without a target.

    Remembered for each text: a table of 50,000 rules is asked about several times in a run.
    """
    # The target of nearly every rule is behind the last -j: no word of the user, where no quote follows (so that it is not
    # inside any), and no option either (so that it is no option's value).
    at = spec.rfind("-j ")
    if at == 0 or (at > 0 and spec[at - 1] == " "):
        last = spec[at + 3 :]
        if '"' not in last and last[:1].isalpha():
            return last.split(None, 1)[0]
    found = _TARGET.search(_WORDS.sub("", spec) if '"' in spec or "--comment" in spec else spec)
    return found.group(1) if found else ""


def tokens(spec: str) -> list[str]:
    """The words of a rule, quotes and their escapes taken away."""
    return [_unquote(found.group(0)) for found in _TOKEN.finditer(spec)]


def same_rule(one: str, other: str) -> bool:
    """Whether two texts mean the same rule: matches may come in any order, as releases of iptables differ in that."""
    return one == other or (rule_parts(one) == rule_parts(other))


def rule_parts(spec: str) -> list[list[str]]:
    """A rule's matches and its target, each by its words, in one order whichever they were printed in."""
    parts: list[list[str]] = [[]]
    for word in tokens(spec):
        if word in ("-m", "-j", "-g"):
            parts.append([])
        parts[-1].append(word)
    return sorted(parts)


def _unquote(word: str) -> str:
    return re.sub(r'\\(.)|"', lambda found: found.group(1) or "", word) if '"' in word else word
