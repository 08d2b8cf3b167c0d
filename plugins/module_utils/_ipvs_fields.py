# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single values out of a mapping that a user wrote. Private to this collection.

A value of C(None) counts as left out, as Ansible has it. Numbers may be text: a template makes text.
"""

from __future__ import annotations

import socket
import typing as t

Value = t.TypeVar("Value")
Item = t.Mapping[str, t.Any]


class BadField(Exception):
    """A value that cannot be meant; C(key) says where, relative to the mapping."""

    def __init__(self, key: str, seen: str, remedy: str = "") -> None:
        self.key = key
        self.seen = seen
        self.remedy = remedy
        super().__init__(key, seen, remedy)

    def inside(self, place: str) -> BadField:
        return BadField(f"{place}.{self.key}" if self.key else place, self.seen, self.remedy)


def refuse_unknown(item: t.Any, known: frozenset[str]) -> None:
    """The item has to be a mapping that has no other keys than the known ones."""
    if not isinstance(item, dict):
        raise BadField("", f"{item!r} is not a mapping", f"Give one with keys of these: {', '.join(sorted(known))}.")
    unknown = item.keys() - known
    if unknown:
        raise BadField(
            str(min(unknown, key=str)), "there is no such key", f"There are these: {', '.join(sorted(known))}."
        )


def number_of(item: Item, key: str, default: int | None, low: int, high: int) -> int:
    """A number from C(low) to C(high). Without a default it has to be there."""
    value = item.get(key)
    if value is None:
        if default is None:
            raise BadField(key, "missing", f"Give a number from {low} to {high}.")
        return default
    number = value
    if isinstance(value, bool) or not isinstance(value, int):
        number = int(value) if isinstance(value, str) and value.strip().isdigit() and value.isascii() else None
    if number is None or not low <= number <= high:
        raise BadField(key, f"{value!r} is not a number from {low} to {high}")
    return int(number)


def choice_of(item: Item, key: str, choices: t.Mapping[str, Value], default: Value) -> Value:
    value = item.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or value not in choices:
        raise BadField(key, f"{value!r} is not known", f"Use one of these: {', '.join(choices)}.")
    return choices[value]


def text_of(item: Item, key: str, default: str, longest: int) -> str:
    """A name for the kernel: letters, digits, C(_) and C(-)."""
    value = item.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > longest or not value.isascii():
        raise BadField(key, f"{value!r} is not a name of up to {longest} characters")
    if not value.replace("_", "").replace("-", "").isalnum():
        raise BadField(key, f"{value!r} is not a name of letters, digits, - and _")
    return value


def list_of(item: Item, key: str) -> t.Sequence[t.Any]:
    value = item.get(key)
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise BadField(key, f"{value!r} is not a list")
    return value


def address_of(item: Item, key: str) -> bytes:
    """An IPv4 or IPv6 address as 4 or 16 bytes."""
    value = item.get(key)
    if value is None:
        raise BadField(key, "missing", "Give an IPv4 or IPv6 address.")
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in value else socket.AF_INET, value)
    except (OSError, TypeError, ValueError):
        raise BadField(
            key, f"{value!r} is not an address", "Give an IPv4 or IPv6 address without a prefix length."
        ) from None
