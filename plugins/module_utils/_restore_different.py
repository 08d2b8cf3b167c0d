# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What remains different between a snapshot and the node, part by part. Pure. Private to this collection.

Lines are counted, not aligned: a node with 10,000 Services has 50,000 of them, and kube-proxy writes them in any order.
"""

from __future__ import annotations

import re
import typing as t
from collections import Counter

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import Snapshot

_COUNTERS = re.compile(r" \[\d+:\d+\]$")
# What runs down, and what grows with a set.
_MOVING = re.compile(r"(?<=\S) (?:timeout|packets|bytes|hashsize|initval) \S+")

Parts = t.Dict[str, t.List[str]]


def different(
    then: Snapshot, now: Snapshot, added: t.Mapping[str, t.Sequence[str]], limit: int
) -> list[dict[str, t.Any]]:
    """Each part that differs.

    :param added: by part what is put back, so that it is no difference any more
    :param limit: how many lines of a part are given
    """
    old, new = parts_of(then), parts_of(now)
    for part, lines in added.items():
        new.setdefault(part, []).extend(_comparable(part, lines))
    # A sysctl that is set replaces what it was.
    new["sysctls"] = [f"{name} = {value}" for name, value in sorted(_sysctls_after(now, added).items())]
    found = []
    for part in dict.fromkeys((*old, *new)):
        lines = _difference(old.get(part, []), new.get(part, []), added.get(part, ()))
        if lines:
            more = len(lines) - limit
            shown = lines if more <= 0 else [*lines[:limit], f"... and {more} more"]
            found.append({"part": part, "count": len(lines), "lines": shown})
    return found


def parts_of(snapshot: Snapshot) -> Parts:
    """The lines of each part, without what moves by itself."""
    parts: Parts = {}
    for (backend, family), text in snapshot.iptables.items():
        table = ""
        for line in text.split("\n"):
            if line.startswith("*"):
                table = line[1:]
                parts[f"iptables {backend} {family} {table}"] = []
            elif line.startswith((":", "-", "[")):
                parts.setdefault(f"iptables {backend} {family} {table}", []).append(_COUNTERS.sub("", line))
    for (family, name), text in snapshot.nft.items():
        part = f"nftables {family} {name}"
        parts[part] = _comparable(part, text.split("\n"))
    for part, text in (("ipvs", snapshot.ipvs), ("ipsets", snapshot.ipsets)):
        parts[part] = _comparable(part, text.splitlines())
    parts["addresses of kube-ipvs0"] = list(snapshot.addresses)
    parts["sysctls"] = [f"{name} = {value}" for name, value in sorted(snapshot.sysctls.items())]
    parts["modules"] = list(snapshot.modules)
    parts["kernel"] = [snapshot.kernel]
    parts["mode of kube-proxy"] = [snapshot.running_mode or "unknown"]
    return parts


def _comparable(part: str, lines: t.Iterable[str]) -> list[str]:
    if part == "ipsets":
        return [_MOVING.sub("", line) for line in lines]
    return _with_blocks(lines) if part.startswith("nftables ") else list(lines)


def _with_blocks(lines: t.Iterable[str]) -> list[str]:
    """The lines of a table of nftables, each with the chain or set that it stands in."""
    found: list[str] = []
    block = ""
    for line in lines:
        text = line.strip()
        if line.startswith("\t") and not line.startswith("\t\t") and text.endswith("{"):
            block = text[:-1].strip()
        if text.strip("{}"):
            found.append(f"{block}: {text}" if line.startswith("\t\t") else text)
    return found


def _sysctls_after(now: Snapshot, added: t.Mapping[str, t.Sequence[str]]) -> dict[str, str]:
    pairs = (line.partition(" = ") for line in added.get("sysctls", ()))
    return {**now.sysctls, **{name: value for name, _sign, value in pairs}}


def _difference(old: t.Sequence[str], new: t.Sequence[str], added: t.Iterable[str]) -> list[str]:
    """C(-) what was there and is not, C(+) what is there and was not; or that only the order is another one."""
    left, come = Counter(old), Counter(new)
    if left != come:
        return [*_lines("-", old, left - come), *_lines("+", new, come - left)]
    # Where rules are put back their places are known only afterwards: the next run tells.
    touched = {line.split(" ")[1] for line in added if line.startswith("-A ")}
    return [f"the rules of {chain} are in another order" for chain in _out_of_order(old, new) if chain not in touched]


def _out_of_order(old: t.Sequence[str], new: t.Sequence[str]) -> list[str]:
    """The chains of iptables whose rules stand in other places."""
    chains: dict[str, list[list[str]]] = {}
    for side, lines in enumerate((old, new)):
        for line in lines:
            if line.startswith("-A "):
                chains.setdefault(line.split(" ")[1], [[], []])[side].append(line)
    return [name for name, (before, after) in chains.items() if before != after]


def _lines(sign: str, lines: t.Sequence[str], chosen: t.Counter[str]) -> t.Iterator[str]:
    for line in lines:
        if chosen[line] > 0:
            chosen[line] -= 1
            yield f"{sign} {line}"
