# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore wants, and what it does, as values. Pure. Private to this collection.

What a snapshot says is checked here, before anything of it becomes a line that a tool is given.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import FOREIGN
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import ipset_owner, is_iptables_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_fields import BadField
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_options import virtual_server_from_options
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_iptables import is_in_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_foreign import (
    Present,
    Seen,
    is_plain,
    table_owner,
    taken_apart,
    words_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import Foreign, Snapshot, wrong


class SetSysctl(t.NamedTuple):
    """Write a sysctl."""

    name: str
    value: str


class AddSets(t.NamedTuple):
    """Make ipsets with their members, in this order."""

    lines: tuple[str, ...]


class AddTable(t.NamedTuple):
    """Make a table of nftables."""

    family: str
    name: str
    text: str


class AddServers(t.NamedTuple):
    """Add virtual servers with their real servers."""

    servers: tuple[VirtualServer, ...]


Step = t.Union[SetSysctl, AddSets, Transaction, AddTable, AddServers]
RestorePlan = Plan[Present, Step]


@dataclass(frozen=True)
class Wanted:
    """A snapshot that is to be put back, taken apart.

    :param unknown: whether virtual servers come back, too, of which the node alone did not tell whose they are
    """

    snapshot: Snapshot
    seen: Seen
    servers: tuple[tuple[Foreign, VirtualServer], ...] = ()
    unknown: bool = False

    def of(self, *kinds: str) -> list[Foreign]:
        return [one for one in self.snapshot.foreign if one.kind in kinds]


@dataclass
class Draft:
    """A plan in the making.

    :param before: what the diff shows on its two sides
    :param refused: what stays missing, and why
    :param added: by part of the node the lines that come to it
    """

    steps: list[Step] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    restored: list[Foreign] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    added: dict[str, list[str]] = field(default_factory=dict)

    def refuse(self, what: str, why: str) -> None:
        """Something stays missing."""
        self.refused.append((what, why))

    def add(self, part: str, lines: t.Iterable[str], title: str = "") -> None:
        """Lines that a part of the node gets."""
        found = list(lines)
        self.added.setdefault(part, []).extend(found)
        self.after += [f"# {title}", *found] if title else found


def wanted_restore(snapshot: Snapshot, unknown: bool = False) -> Wanted:
    """The snapshot, with everything checked that may become a line.

    :raises InvalidInput: when it holds what this collection never writes into one
    """
    seen = taken_apart(snapshot)
    servers = []
    for one in snapshot.foreign:
        if one.kind == "virtual_server":
            try:
                servers.append((one, virtual_server_from_options(one.definition)))
            except BadField as error:
                raise wrong(f"virtual server {one.name}, {error.key}", error.seen) from error
        elif not _is_right(one, seen):
            raise wrong("foreign", words_of(one))
    return Wanted(snapshot, seen, tuple(servers), unknown)


def _is_right(one: Foreign, seen: Seen) -> bool:
    """Whether the list says no more than the texts beside it, and this release judges as the one that wrote it."""
    if one.kind == "ipset":
        right = one.name in seen.sets and ipset_owner(set_of(seen.sets[one.name])).owner == FOREIGN
    elif one.kind == "nft_table":
        right = (one.family, one.name) in seen.nft and table_owner(one.family, one.name) == FOREIGN
        right = right and not is_iptables_table(one.family, one.name)
    else:
        right = is_in_table(one, seen.tables.get(Location(one.backend, one.family, one.table)))
    return right and one.owner == FOREIGN and is_plain(one, seen)


def set_of(lines: t.Sequence[str]) -> IpSetState:
    """The head of an ipset from the lines that make it."""
    words = lines[0].split(" ")
    family = words[words.index("family") + 1] if "family" in words[:-1] else ""
    return IpSetState(words[1], words[2], {"inet": "ipv4", "inet6": "ipv6"}.get(family, ""))
