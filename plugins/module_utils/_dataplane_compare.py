# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel holds against what the API asks for: set arithmetic over two dataplanes. Pure. Private to this collection.

Nothing is judged here: C(_findings_dataplane) says how bad a difference is and what to do about it.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    DROP,
    FORWARD,
    Dataplane,
    Destination,
    Entry,
    Key,
    Part,
    key_text,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port


class Difference(t.NamedTuple):
    """One thing that is not as it should be.

    :param kind: C(vip_missing), C(vip_dead), C(verdict_wrong), C(destination_missing), C(destination_stale), C(policy_wrong),
        C(affinity_wrong), C(masquerade_wrong), C(hairpin_missing), C(source_ranges_wrong), C(scheduler_wrong),
        C(member_missing), C(member_stale), or a kind of defect of the readers
    :param object: the key of an entry for people, the name of a part, or what a defect is about
    :param detail: which destination or member of it; part of what makes two differences the same
    :param service: the Service port that asks for it; empty when none does
    :param source: as in an entry; empty for what is none
    """

    kind: str
    object: str
    detail: str
    service: str
    expected: str
    actual: str
    evidence: str
    source: str = ""

    @property
    def identity(self) -> tuple[str, str, str]:
        """What is the same difference when it is seen again."""
        return self.kind, self.object, self.detail


def differences(expected: Dataplane, actual: Dataplane, excluded: t.Sequence[str] = ()) -> list[Difference]:
    """What separates the two, entries first. Of a layout that is not known only the defects are told, and where a defect says
    all about something (C(Dataplane.told)) what follows from it is not.

    :param excluded: networks whose surplus entries are somebody else's (C(ipvs.excludeCIDRs))
    """
    found = [
        Difference(one.kind, one.object, "", one.service, one.expected, one.actual, one.evidence)
        for one in actual.defects
    ]
    if not actual.layout_known:
        return found
    entries = [*_missing(expected, actual), *_dead(expected, actual, excluded), *_changed(expected, actual)]
    return [*entries, *_members(expected, actual), *found]


def _missing(expected: Dataplane, actual: Dataplane) -> t.Iterator[Difference]:
    for key, entry in expected.entries.items():
        if key not in actual.entries and not actual.told & {key, key[0]}:
            missing = _about(entry, "vip_missing", "", _words(entry), "nothing is programmed for it")
            yield missing._replace(evidence=_entry_evidence(key, actual.mode))


def _dead(expected: Dataplane, actual: Dataplane, excluded: t.Sequence[str]) -> t.Iterator[Difference]:
    networks = [ipaddress.ip_network(text, strict=False) for text in excluded]
    own = _bound(actual)
    for key, entry in actual.entries.items():
        if key in expected.entries or not _is_kube_proxys(entry, actual.mode, own, networks):
            continue
        named = f" (the kernel names {entry.service})" if entry.service else ""
        gone = entry._replace(service="")
        yield _about(gone, "vip_dead", "", "no Service asks for it", f"{_words(entry)}{named}", entry)


def _bound(actual: Dataplane) -> frozenset[str]:
    return frozenset(
        member for part, members in actual.parts.items() if part.kind == "device_addresses" for member in members
    )


def _is_kube_proxys(entry: Entry, mode: str, own: frozenset[str], networks: t.Sequence[t.Any]) -> bool:
    """In ipvs mode a surplus virtual server is kube-proxy's own only where kube-ipvs0 holds its address: all others are
    somebody else's, and C(_findings_node) tells who is at risk. The other modes have tables of their own."""
    if mode != "ipvs":
        return True
    address = ipaddress.ip_address(entry.key[1])
    return entry.key[1] in own and not any(address.version == one.version and address in one for one in networks)


def _changed(expected: Dataplane, actual: Dataplane) -> t.Iterator[Difference]:
    for key, wanted in expected.entries.items():
        seen = actual.entries.get(key)
        if seen is not None and wanted.compared != seen.compared and not actual.told & {key, key[0]}:
            yield from _of_entry(wanted, seen)


def _of_entry(wanted: Entry, seen: Entry) -> t.Iterator[Difference]:
    if wanted.verdict != seen.verdict:
        yield _about(wanted, "verdict_wrong", "", _words(wanted), _words(seen), seen)
    else:
        yield from _of_destinations(wanted, seen, wanted.destinations, seen.destinations, "")
    if wanted.short_circuit is not None and seen.short_circuit is not None:
        where = "for pods and the node"
        yield from _of_destinations(wanted, seen, wanted.short_circuit, seen.short_circuit, where)
    if seen.no_hairpin:
        for one in sorted((set(seen.no_hairpin) & set(_all_destinations(wanted))) - set(wanted.no_hairpin or ())):
            text = join_host_port(*one)
            missing = "its packets keep their source"
            yield _about(wanted, "hairpin_missing", text, f"{text} is masqueraded to itself", missing, seen)
    for kind, one, other in _settings(wanted, seen):
        # None: the kernel objects of this mode do not tell. A refused packet gets no new source either.
        if one is not None and other is not None and one != other:
            yield _about(wanted, kind, "", _setting_words(kind, one), _setting_words(kind, other), seen)


def _all_destinations(entry: Entry) -> tuple[Destination, ...]:
    return (*entry.destinations, *(entry.short_circuit or ()))


def _settings(wanted: Entry, seen: Entry) -> t.Iterator[tuple[str, t.Any, t.Any]]:
    if wanted.verdict == seen.verdict:
        yield "policy_wrong", wanted.policy, seen.policy
    if wanted.verdict == seen.verdict == FORWARD:
        yield "affinity_wrong", wanted.affinity, seen.affinity
        yield "masquerade_wrong", wanted.masquerade, seen.masquerade
    yield "source_ranges_wrong", wanted.source_ranges, seen.source_ranges
    yield "scheduler_wrong", wanted.scheduler, seen.scheduler


def _setting_words(kind: str, value: t.Any) -> str:
    if kind == "affinity_wrong":
        return f"ClientIP for {value} s" if value else "no session affinity"
    if kind == "source_ranges_wrong":
        return ", ".join(value) if value else "open to every source"
    return str(value)


def _of_destinations(
    wanted: Entry, seen: Entry, should: t.Sequence[t.Any], are: t.Sequence[t.Any], where: str
) -> t.Iterator[Difference]:
    behind = f" {where}" if where else ""
    for one in sorted(set(should) - set(are)):
        text = join_host_port(*one) + behind
        yield _about(wanted, "destination_missing", text, f"{text} gets its share", "no packet is sent there", seen)
    for one in sorted(set(are) - set(should)):
        text = join_host_port(*one) + behind
        yield _about(wanted, "destination_stale", text, f"nothing is sent to {text}", "it gets its share", seen)


def _members(expected: Dataplane, actual: Dataplane) -> t.Iterator[Difference]:
    for part in sorted(expected.parts.keys() | actual.parts.keys()):
        if actual.told & {part, part.family}:
            continue
        should, are = expected.parts.get(part, {}), actual.parts.get(part, {})
        name, evidence = part.words, _part_evidence(part, actual.mode)
        for member in sorted(should.keys() - are.keys()):
            yield Difference(
                "member_missing", name, member, should[member], f"{member} is in it", "it is not", evidence
            )
        for member in sorted(are.keys() - should.keys()):
            yield Difference("member_stale", name, member, "", f"{member} is not in it", "it is", evidence)


def _part_evidence(part: Part, mode: str) -> str:
    six = "6" if part.family == 6 else ""
    commands = {
        "ipset": f"ipset list {part.name}",
        "device_addresses": f"ip -{part.family} address show dev kube-ipvs0",
        "nft_set": f"nft list set ip{six} kube-proxy {part.name}",
        "health_check_ports": f"ip{six}tables-save -t filter | grep KUBE-NODEPORTS",
        "node_port_addresses": f"nft list chain ip{six} kube-proxy services"
        if mode == "nftables"
        else f"ip{six}tables-save -t nat | grep KUBE-NODEPORTS",
    }
    return commands.get(part.kind, "")


def _entry_evidence(key: Key, mode: str) -> str:
    """The command whose output lacks the entry."""
    family, address, _protocol, port = key
    six = "6" if family == 6 else ""
    if mode == "ipvs":
        return f"ipvsadm -Ln | grep -F '{join_host_port(address, port)}'"
    if mode == "nftables":
        name = "service-ips" if address else "service-nodeports"
        return f"nft list map ip{six} kube-proxy {name} | grep -w {port}"
    where = f"-e '-d {address}/'" if address else "-e KUBE-NODEPORTS"
    return f"ip{six}tables-save | grep {where} | grep -w 'dport {port}'"


def _about(entry: Entry, kind: str, detail: str, should: str, actual: str, seen: Entry | None = None) -> Difference:
    evidence = seen.evidence if seen else ""
    return Difference(kind, key_text(entry.key), detail, entry.service, should, actual, evidence, entry.source)


def _words(entry: Entry) -> str:
    if entry.verdict != FORWARD:
        return "dropped" if entry.verdict == DROP else "rejected"
    if not entry.destinations:
        return "no destination"
    shown = ", ".join(join_host_port(*one) for one in entry.destinations[:5])
    rest = len(entry.destinations) - 5
    return f"sent to {shown}" + (f" and {rest} more" if rest > 0 else "")
