# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which objects of a node are somebody's who does not make them anew. Pure. Private to this collection.

A judgement of C(_inventory_owners), and of the same kind: exact names. What a known program owns (kubelet, a CNI plugin, Docker)
is left out, for it comes back by itself, and an old form of it would be wrong.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory import owned_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import FOREIGN, KUBE_PROXY, Ownership
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import (
    chain_owner,
    ipset_owner,
    jump_owner,
    nft_table_owner,
    server_name,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, target_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_parse import UnreadableTables, parse_save
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import IPV4
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import as_options
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_checks import (
    are_set_lines,
    is_chain,
    is_nft_text,
    is_rule,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import Foreign

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Table, Tables
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import ServerKey
    from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import Side, Snapshot

# Tables of nftables that their programs make anew whenever they start.
_TABLE_OWNERS = {"firewalld": "firewalld", "calico": "Calico", "docker-bridges": "Docker"}
_CALICO = re.compile(r'(?:^| )--comment "?cali:')


def rule_owner(table: str, chains: t.Container[str], source: str, spec: str) -> Ownership:
    """Whose a rule in a built-in chain is: that of the chain it leads to, unless it is a user's own way to there.

    :param chains: those of its table
    """
    target = target_of(spec)
    owner = chain_owner(table, target) if target in chains else Ownership(FOREIGN)
    if owner.owner == KUBE_PROXY:
        return jump_owner(table, source, target, spec)
    return Ownership("Calico") if owner.owner == FOREIGN and _CALICO.search(spec) else owner


def table_owner(family: str, name: str) -> str | None:
    """Whose a table of nftables is."""
    return _TABLE_OWNERS.get(name) or nft_table_owner(family, name).owner


class Seen(t.NamedTuple):
    """What the tools printed, taken apart as far as owners need it.

    :param broken: by backend and family why their tables cannot be told from what was printed
    :param nft: the text of each table of nftables
    :param sets: of ipset by name, the lines that make it
    """

    tables: Tables
    broken: t.Mapping[Side, str]
    nft: t.Mapping[Side, str]
    sets: t.Mapping[str, t.Sequence[str]]


@dataclass(frozen=True)
class Present:
    """A snapshot of just now with what it was made of.

    :param set_names: of all ipsets that there are
    :param table_names: of all tables of nftables that there are
    :param blind: what could not be read, so that nothing is known of it
    """

    snapshot: Snapshot
    seen: Seen
    servers: frozenset[ServerKey] = frozenset()
    set_names: frozenset[str] = frozenset()
    table_names: frozenset[Side] = frozenset()
    blind: tuple[str, ...] = ()
    shown: str = ""


def taken_apart(snapshot: Snapshot) -> Seen:
    """The texts of a snapshot."""
    tables: dict[Location, Table] = {}
    broken: dict[Side, str] = {}
    for side, text in snapshot.iptables.items():
        try:
            found = parse_save(text)
        except UnreadableTables as error:
            broken[side] = str(error)
            continue
        tables.update({Location(*side, name): table for name, table in found.items()})
    return Seen(tables, broken, snapshot.nft, _sets_in(snapshot.ipsets))


def _sets_in(text: str) -> dict[str, list[str]]:
    sets: dict[str, list[str]] = {}
    for line in text.split("\n"):
        words = line.split(" ", 2)
        if len(words) == 3:
            sets.setdefault(words[1], []).append(line)
    return sets


def foreign_objects(
    readings: Readings, seen: Seen, node_ports: range | None
) -> tuple[tuple[Foreign, ...], tuple[str, ...]]:
    """All of them, and a sentence for each that no tool could be given back as it is."""
    tables, nft = seen.tables, seen.nft
    found = [
        *(one for at, table in tables.items() for one in _of_iptables(at, table)),
        *(Foreign("ipset", one.name, FOREIGN) for one in readings.ipsets if ipset_owner(one).owner == FOREIGN),
        *(Foreign("nft_table", name, FOREIGN, family) for family, name in nft if table_owner(family, name) == FOREIGN),
        *_servers(readings, node_ports),
    ]
    judged = [(one, is_plain(one, seen)) for one in found]
    odd = (words_of(one) for one, plain in judged if not plain)
    sentences = (f"{words} is in this snapshot to be seen only, and cannot be put back from it." for words in odd)
    return tuple(one for one, plain in judged if plain), tuple(dict.fromkeys(sentences))


def words_of(one: Foreign) -> str:
    """What people call it."""
    where = f" in table {one.table} ({one.family}, {one.backend})" if one.table else ""
    if one.kind == "iptables_rule":
        return f"rule -A {one.name} {one.rule}{where}"
    kind = {"iptables_chain": "chain", "nft_table": f"table {one.family}", "virtual_server": "virtual server"}
    return f"{kind.get(one.kind, one.kind)} {one.name}{where}{' of nftables' if one.kind == 'nft_table' else ''}"


def _of_iptables(at: Location, table: Table) -> t.Iterator[Foreign]:
    for chain, rules in table.chains.items():
        if chain not in table.builtin:
            if chain_owner(at.table, chain).owner == FOREIGN:
                yield Foreign("iptables_chain", chain, FOREIGN, at.family, at.backend, at.table)
            continue
        for spec in rules:
            if rule_owner(at.table, table.chains, chain, spec).owner == FOREIGN:
                yield Foreign("iptables_rule", chain, FOREIGN, at.family, at.backend, at.table, spec)


def _servers(readings: Readings, node_ports: range | None) -> t.Iterator[Foreign]:
    for server, (owner, _modes, _retired) in owned_servers(readings, node_ports):
        if owner in (FOREIGN, None):
            family = "ipv4" if server.key.family == IPV4 else "ipv6"
            yield Foreign("virtual_server", server_name(server), owner, family, definition=as_options(server))


def is_plain(one: Foreign, seen: Seen) -> bool:
    """Whether it is made of nothing but what can be given to a tool as one object."""
    if one.kind == "virtual_server":
        return True  # it becomes values, and no text
    if one.kind == "ipset":
        return are_set_lines(one.name, seen.sets.get(one.name, ()))
    if one.kind == "nft_table":
        return is_nft_text(one.family, one.name, seen.nft[one.family, one.name])
    if one.kind == "iptables_rule":
        return is_rule(one.rule)
    chain = seen.tables[Location(one.backend, one.family, one.table)].chains[one.name]
    return is_chain(one.name) and all(is_rule(spec) for spec in chain)
