# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to a Service in words: a sentence for each address, and lines for the screen. Pure. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import DROP, REJECT, key_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_answer import (
    DEAD,
    DRAINING,
    INSIDE,
    MISSING,
    STALE,
    UNUSED,
    USED,
    End,
    Path,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_model import (
    ACCEPTS,
    ALL,
    DROPS,
    HOLDS,
    LEADS,
    MARKS,
    MASQUERADES,
    NOTES,
    NOTHING,
    OUTSIDE,
    REJECTS,
    RETURNS,
    REWRITES,
    SCHEDULES,
    UNMARKS,
    Hop,
)

SOURCES = {
    "cluster_ip": "ClusterIP",
    "external_ip": "external IP",
    "load_balancer_ip": "load balancer IP",
    "node_port": "NodePort",
}
_DOES = {
    LEADS: "on to {target}",
    MARKS: "mark for a new source",
    REWRITES: "rewrite to {where}",
    SCHEDULES: "send to {where}",
    MASQUERADES: "give the node's address as source",
    REJECTS: "REJECT",
    DROPS: "DROP",
    RETURNS: "no more of this chain",
    ACCEPTS: "no more of this table",
    NOTES: "note the client",
    HOLDS: "the address is the node's own",
    UNMARKS: "take the mark off",
    NOTHING: "nothing",
}
_STATES = {
    DEAD: "DEAD: the API has no such endpoint",
    STALE: "STALE: the API does not mean it to be used now",
    MISSING: "MISSING: the API has it, the kernel does not send there",
    UNUSED: "not used",
    DRAINING: "draining: no new connections",
}
_GROUPS = {ALL: "", OUTSIDE: "others", INSIDE: "pods and the node itself"}


def share_words(share: float | None) -> str:
    """A share for people: C(1/3), else in percent."""
    if not share:
        return "" if share is None else "0 %"
    if share > 0.9999:
        return "all"
    parts = 1 / share
    return f"1/{round(parts)}" if abs(parts - round(parts)) < 0.001 else f"{share * 100:.1f} %"


def sentence(path: Path) -> str:
    """What becomes of a new connection to the address, and what is wrong about it."""
    what = key_text(path.entry.key)
    if path.held is None:
        missing = "" if path.claim is None else ", though the API asks for it"
        return f"The kernel has nothing for {what}{missing}: a connection is not sent to any endpoint."
    if path.rival:
        return f"The kernel has {what} for {path.rival}, which asks for the same address."
    parts = [_goes(path, what), *_extras(path), *_wrong(path)]
    return " ".join(parts)


def _goes(path: Path, what: str) -> str:
    held = path.held
    groups = [one for one in (ALL, OUTSIDE, INSIDE) if _taken(path, one)]
    if not groups:
        why = {REJECT: "is refused", DROP: "is dropped without an answer"}.get(held.verdict if held else "", "")
        return f"A new connection to {what} {why or 'finds no endpoint'}: there is no endpoint for it on this way."
    told = []
    if INSIDE in groups and OUTSIDE not in groups:
        verb = {REJECT: "refused", DROP: "dropped"}.get(held.verdict if held else "", "sent to no endpoint")
        told.append(f"A new connection to {what} from elsewhere is {verb}.")
    for group in groups:
        who = {ALL: "", OUTSIDE: " from elsewhere", INSIDE: " from a pod or the node itself"}[group]
        told.append(f"A new connection to {what}{who} goes to {_one_of(_taken(path, group))}.")
    return " ".join(told)


def _taken(path: Path, group: str) -> list[End]:
    return [one for one in path.ends if one.clients == group and one.state in (USED, DEAD, STALE)]


def _one_of(ends: t.Sequence[End]) -> str:
    names = ", ".join(end_name(one) for one in ends)
    if len(ends) == 1:
        return names
    shares = sorted({share_words(one.share) for one in ends})
    alike = f", {shares[0]} each" if shares[0] else ", chosen by the scheduler"
    each = ", by chance in unlike shares" if len(shares) > 1 else alike
    return f"one of {len(ends)} endpoints{each}: {names}"


def end_name(one: End) -> str:
    """Address, port and node."""
    where = join_host_port(one.address, one.port)
    return f"{where} on {one.node}" if one.node else where


def _extras(path: Path) -> t.Iterator[str]:
    held = path.held
    if held is None or not path.ends:
        return
    if path.source_ranges:
        yield f"Only {', '.join(path.source_ranges)} may connect."
    elif path.source_ranges is not None:
        yield "Nobody may connect: the rules for source ranges let no network in."
    if path.masquerade == "none":
        yield "Packets keep their source."
    elif any(_taken(path, one) for one in (ALL, OUTSIDE, INSIDE)):
        yield f"The node's address becomes the source of {path.masquerade}."
    if held.affinity:
        yield f"A client stays with its endpoint for {held.affinity} s."


def _wrong(path: Path) -> t.Iterator[str]:
    for hop in path.hops:
        if hop.does == NOTHING and not hop.rule and not hop.depth:
            yield f"But {hop.place}: {hop.condition}."
    for state in (DEAD, STALE, MISSING):
        found = list(dict.fromkeys(end_name(one) for one in path.ends if one.state == state))
        if found:
            yield f"{', '.join(found)}: {_STATES[state].partition(': ')[2]} ({state})."


def lines(paths: t.Sequence[Path]) -> list[str]:
    """All of it for the screen."""
    found: list[str] = []
    for path in paths:
        where = f" (answers on {', '.join(path.answers_on)})" if path.answers_on else ""
        source = SOURCES.get(path.source, "")
        head = f"{key_text(path.entry.key)}  {path.service} {source}".rstrip()
        found += ["", f"{head}{where}"]
        before = ""
        for hop in path.hops:
            indent = "  " * (hop.depth + 1)
            if hop.place != before:
                found.append(f"{indent}{hop.place}")
            before = hop.place
            found += [f"{indent}    {hop.rule}"] if hop.rule else []
            found.append(f"{indent}    => {hop_words(hop)}")
        found += [f"  {one}" for one in end_lines(path)]
        found.append(f"  {sentence(path)}")
    return found


def hop_words(hop: Hop) -> str:
    """What a hop does, for whom, how often."""
    where = join_host_port(*hop.destination) if hop.destination else ""
    parts = [_DOES[hop.does].format(target=hop.target, where=where)]
    if hop.does == NOTHING and not hop.rule:
        return hop.condition
    if hop.condition:
        parts.append(hop.condition)
    if hop.does == LEADS and where:
        parts.append(where)
    if hop.probability:
        parts.append(f"probability {hop.probability}")
    if hop.share is not None:
        parts.append(f"share {share_words(hop.share)}")
    if hop.weight is not None:
        parts.append(f"weight {hop.weight}, {hop.connections} connections")
    if hop.counted is not None:
        parts.append(f"{hop.counted[0]} packets, {hop.counted[1]} bytes")
    return "; ".join(parts)


def end_lines(path: Path) -> list[str]:
    """A line for each destination."""
    rows = []
    for one in path.ends:
        ready = "not in the API" if one.ready is None else "ready" if one.ready else "not ready"
        more = ["serving" if one.serving else "not serving", "terminating"] if one.terminating else []
        weight = "" if one.weight is None else f"weight {one.weight}"
        told = [_GROUPS[one.clients], share_words(one.share), weight, ready, *more, _STATES.get(one.state, "")]
        rows.append(f"{end_name(one)}: {', '.join(filter(None, told))}")
    return rows
