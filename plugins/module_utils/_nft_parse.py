# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What C(nft -j list) prints, read. Pure; private to this collection.

Source: libnftables-json(5). Rules and elements are kept as nft gives them: what they mean is the business of who asks.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError

_Object = t.Dict[str, t.Any]


class UnreadableNft(KubeProxyError):
    """The output of nft is not what nft prints."""


@dataclass(frozen=True)
class NftChain:
    """A chain: the hook of a base chain (else empty), and each rule's list of statements. C(type), C(priority) and C(policy)
    are a base chain's, too."""

    hook: str = ""
    rules: tuple[list[t.Any], ...] = ()
    type: str = ""
    priority: int = 0
    policy: str = ""


@dataclass(frozen=True)
class NftSet:
    """A set or map. C(type): of the key, its parts joined by C( . ); C(data): of a map's values, empty for a set;
    C(timeout): the seconds after which an element goes, 0 for never."""

    type: str = ""
    data: str = ""
    elements: tuple[t.Any, ...] = ()
    timeout: int = 0


@dataclass(frozen=True)
class NftTable:
    """A table. C(family) is nft's word for it (C(ip), C(ip6), C(inet), ...); C(counters) are named ones. C(flags): of a
    dormant table no packet sees anything. nft 1.0.6 writes something else for C(dormant), but it writes something."""

    family: str
    name: str
    chains: t.Mapping[str, NftChain] = field(default_factory=dict)
    sets: t.Mapping[str, NftSet] = field(default_factory=dict)
    maps: t.Mapping[str, NftSet] = field(default_factory=dict)
    counters: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


def parse_base_chains(text: str) -> tuple[tuple[str, str, str, NftChain], ...]:
    """Family, table and name of each base chain in C(nft -j list chains), and the chain without its rules.

    :raises UnreadableNft: for anything else
    """
    return tuple(
        (*_place(body), _chain(body))
        for kind, body in _objects(text)
        if kind == "chain" and body.get("hook") is not None
    )


def parse_sets(text: str) -> tuple[tuple[str, str, str], ...]:
    """Family, table and name of each named set or map in C(nft -j list sets) or C(nft -j list maps).

    :raises UnreadableNft: for anything else
    """
    return tuple(_place(body) for kind, body in _objects(text) if kind in ("set", "map"))


def _place(body: _Object) -> tuple[str, str, str]:
    return _text(body, "family"), _text(body, "table"), _text(body, "name")


def parse_table(text: str, family: str, name: str) -> NftTable:
    """The table of that name in C(nft -j list table).

    :raises UnreadableNft: for anything else, and for an output without that table
    """
    found = _Found()
    there = False
    for kind, body in _objects(text):
        if kind == "table" and (body.get("family"), body.get("name")) == (family, name):
            there = True
            found.flags = _texts(body, "flags")
        elif (body.get("family"), body.get("table")) == (family, name):
            found.take(kind, body)
    if not there:
        raise _unreadable(f"it has no table {family} {name}")
    chains = {chain: replace(one, rules=tuple(found.rules.get(chain, ()))) for chain, one in found.chains.items()}
    return NftTable(family, name, chains, found.sets, found.maps, tuple(found.counters), found.flags)


class _Found:
    """The parts of one table, while its objects come by."""

    def __init__(self) -> None:
        self.chains: dict[str, NftChain] = {}
        self.rules: dict[str, list[list[t.Any]]] = {}
        self.sets: dict[str, NftSet] = {}
        self.maps: dict[str, NftSet] = {}
        self.counters: list[str] = []
        self.flags: tuple[str, ...] = ()

    def take(self, kind: str, body: _Object) -> None:
        if kind == "chain":
            self.chains[_text(body, "name")] = _chain(body)
        elif kind == "rule":
            self.rules.setdefault(_text(body, "chain"), []).append(_list(body, "expr"))
        elif kind == "set":
            self.sets[_text(body, "name")] = _set(body)
        elif kind == "map":
            self.maps[_text(body, "name")] = _set(body)
        elif kind == "counter":
            self.counters.append(_text(body, "name"))


def _objects(text: str) -> t.Iterator[tuple[str, _Object]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it is not JSON ({error})") from None
    listed = value.get("nftables") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise _unreadable("it has no list 'nftables'")
    for entry in listed:
        if not isinstance(entry, dict) or not all(isinstance(body, dict) for body in entry.values()):
            raise _unreadable("an entry of it is no object of objects")
        yield from entry.items()


def _text(body: _Object, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise _unreadable(f"an entry of it has no {key}")
    return value


def _list(body: _Object, key: str) -> list[t.Any]:
    value = body.get(key, [])
    if not isinstance(value, list):
        raise _unreadable(f"{key} of an entry is no list")
    return value


def _texts(body: _Object, key: str) -> tuple[str, ...]:
    """Of what nft writes as one text or as a list of them."""
    value = body.get(key, [])
    return tuple(str(one) for one in (value if isinstance(value, list) else [value]))


def _number(body: _Object, key: str) -> int:
    value = body.get(key, 0)
    if not isinstance(value, int):
        raise _unreadable(f"{key} of an entry is no number")
    return value


def _chain(body: _Object) -> NftChain:
    hook, kind, policy = (_text(body, key) if key in body else "" for key in ("hook", "type", "policy"))
    return NftChain(hook, (), kind, _number(body, "prio"), policy)


def _type(value: t.Any) -> str:
    parts = value if isinstance(value, list) else [value]
    # A set may be declared by an expression (typeof) instead of by the names of types.
    return " . ".join(part if isinstance(part, str) else "typeof" for part in parts)


def _set(body: _Object) -> NftSet:
    return NftSet(
        _type(body.get("type", "")), _type(body.get("map", "")), tuple(_list(body, "elem")), _number(body, "timeout")
    )


def _unreadable(seen: str) -> UnreadableNft:
    return UnreadableNft(
        "The output of nft was not understood", seen=seen, remedy="Run nft -j list tables by hand to see what it says."
    )
