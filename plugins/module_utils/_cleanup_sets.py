# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which ipsets can be destroyed. Pure; private to this collection.

The kernel counts what uses a set and destroys none that is in use (C(ip_set_destroy) in C(net/netfilter/ipset/ip_set_core.c)).
Every use by a rule of iptables is one; others (another set's member, a rule in table raw, of a traffic filter) are only counted.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import KUBE_PROXY
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import chain_owner, ipset_owner
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Tables, tokens

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_model import Cleanup
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState

_OPTIONS = ("--match-set", "--add-set", "--del-set", "--map-set")


class Use(t.NamedTuple):
    """A rule that uses a set. C(foreign): the chain it stands in is not kube-proxy's."""

    rule: str
    foreign: bool


class Sets(t.NamedTuple):
    """The sets that can go, and by name why others stay. C(foreign): the uses among these that are somebody else's."""

    going: tuple[IpSetState, ...]
    kept: t.Mapping[str, str]
    foreign: tuple[str, ...]


def assess_sets(wanted: Cleanup, ipsets: t.Iterable[IpSetState], before: Tables, after: Tables) -> Sets:
    """Judge the sets that are to go.

    :param after: the tables once what goes of them has gone
    """
    found, left = set_uses(before), set_uses(after)
    going: list[IpSetState] = []
    kept: dict[str, str] = {}
    foreign: list[str] = []
    for one in ipsets:
        if not wanted.takes(ipset_owner(one)):
            continue
        uses = left.get(one.name, [])
        unexplained = one.references - len(found.get(one.name, ()))
        if uses:
            kept[one.name] = uses[0].rule + (f", and {len(uses) - 1} more" if uses[1:] else "")
            foreign.extend(f"{use.rule} (ipset {one.name})" for use in uses if use.foreign)
        elif unexplained > 0:
            kept[one.name] = (
                f"{unexplained} use(s) that no rule in the tables filter, nat and mangle explains: by another set, or by a rule elsewhere"
            )
            foreign.append(f"{unexplained} use(s) of ipset {one.name} by another set, or by a rule in another table")
        else:
            going.append(one)
    return Sets(tuple(going), kept, tuple(foreign))


def set_uses(tables: Tables) -> dict[str, list[Use]]:
    """By set the rules that use it, one entry for each use."""
    found: dict[str, list[Use]] = {}
    for location, table in tables.items():
        for chain, rules in table.chains.items():
            for spec in rules:
                if "-set " in spec:
                    for name in _sets_in(spec):
                        foreign = chain_owner(location.table, chain).owner != KUBE_PROXY
                        found.setdefault(name, []).append(Use(f"rule -A {chain} {spec} in {location}", foreign))
    return found


def _sets_in(spec: str) -> list[str]:
    words = tokens(spec)
    return [value for option, value in zip(words, words[1:]) if option in _OPTIONS]
