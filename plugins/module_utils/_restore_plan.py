# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is put back of a snapshot: sysctls that differ, and foreign objects that are missing. Pure. Private to this collection.

Nothing that is there is changed but a sysctl, and nothing is removed.
"""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table, Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer, address_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import server_lines
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPTABLES, IPVS
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_iptables import (
    missing_in,
    plan_table,
    transaction_lines,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_model import (
    AddServers,
    AddSets,
    AddTable,
    Draft,
    RestorePlan,
    SetSysctl,
    Wanted,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_foreign import Present, words_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import SYSCTLS, Snapshot

# What kube-proxy sets in a mode and needs as long as it runs in it.
_NEEDED = {IPVS: ("net.ipv4.vs.", "net.ipv4.conf.all.arp_"), IPTABLES: ("net.ipv4.conf.all.route_localnet",)}


def drafted(wanted: Wanted, present: Present) -> Draft:
    """Everything that is to be done.

    :raises KubeProxyError: when a part of the node could not be read, for then nothing tells what is missing in it
    """
    if present.blind:
        raise KubeProxyError(
            "What is missing on this node cannot be told, and nothing was touched",
            seen=" ".join(present.blind),
            remedy="Once that can be read, run again.",
            details={"unread": list(present.blind)},
        )
    draft = Draft()
    _sysctls(draft, wanted, present.snapshot)
    _sets(draft, wanted, present)
    _tables_of_iptables(draft, wanted, present)
    _tables_of_nftables(draft, wanted, present)
    _servers(draft, wanted, present)
    return draft


def plan_restore(wanted: Wanted, present: Present) -> RestorePlan:
    """As a plan; C(shown) is what its two sides show."""
    draft = drafted(wanted, present)
    shown = ["".join(f"{line}\n" for line in lines) for lines in (draft.before, draft.after)]
    before, after = (replace(present, shown=text) for text in shown)
    return Plan(before, after, tuple(draft.steps), tuple(draft.actions))


def _sysctls(draft: Draft, wanted: Wanted, now: Snapshot) -> None:
    needed = _NEEDED.get(now.running_mode or "", ()) if now.running_mode != wanted.snapshot.running_mode else ()
    for name in SYSCTLS:
        value, present = wanted.snapshot.sysctls.get(name), now.sysctls.get(name)
        if value is None or value == present:
            continue
        what = f"sysctl {name} = {value}"
        if present is None:
            draft.refuse(what, "the kernel does not have it now")
        elif name.startswith(needed):
            draft.refuse(what, f"kube-proxy runs in {now.running_mode} mode now and may need it to be {present}")
        else:
            draft.steps.append(SetSysctl(name, value))
            draft.actions.append(f"Set sysctl {name}: {present} -> {value}")
            draft.before.append(f"{name} = {present}")
            draft.add("sysctls", [f"{name} = {value}"])


def _sets(draft: Draft, wanted: Wanted, present: Present) -> None:
    missing = {one.name: one for one in wanted.of("ipset") if one.name not in present.set_names}
    there = set(present.set_names)
    lines: list[str] = []
    # In the order of ipset save: a list of sets comes behind its members.
    for name, own in wanted.seen.sets.items():
        if name not in missing:
            continue
        needs = {line.split(" ")[2] for line in own[1:]} - there if own[0].split(" ")[2] == "list:set" else set()
        if not wanted.snapshot.whole_ipsets:
            draft.refuse(words_of(missing[name]), "its options are not in the snapshot: there was no ipset on the node")
        elif needs:
            draft.refuse(words_of(missing[name]), f"its member {min(needs)} is not there")
        else:
            there.add(name)
            lines += own
            draft.restored.append(missing[name])
            draft.actions.append(f"Add ipset {name} with {len(own) - 1} member(s)")
    if lines:
        draft.steps.append(AddSets(tuple(lines)))
        draft.add("ipsets", lines)


def _tables_of_iptables(draft: Draft, wanted: Wanted, present: Present) -> None:
    foreign = wanted.of("iptables_chain", "iptables_rule")
    for (backend, family), why in present.seen.broken.items():
        if any((one.backend, one.family) == (backend, family) for one in foreign):
            draft.refuse(f"chains and rules of iptables ({family}, {backend})", why)
    readable = [one for one in foreign if (one.backend, one.family) not in present.seen.broken]
    sets = present.set_names.union(one.name for one in draft.restored if one.kind == "ipset")
    for at, missing in missing_in(readable, present.seen.tables).items():
        then, now = wanted.seen.tables[at], present.seen.tables.get(at, Table())
        plan = plan_table(missing, then, now, sets)
        for one, why in plan.refused.items():
            draft.refuse(words_of(one), why)
        done = [one for one in missing if one not in plan.refused]
        if not done:
            continue
        lines = transaction_lines(plan, then, now)
        draft.steps.append(Transaction(at, lines))
        draft.restored += done
        draft.actions += [f"Add {words_of(one)}" for one in done]
        added = [f":{name} -" for name in plan.chains]
        added += [f"-A {name} {spec}" for name, rules in plan.chains.items() for spec in rules]
        draft.add(part_of(at), (*added, *(f"-A {one.name} {one.rule}" for one in plan.placed)), str(at))


def part_of(at: Location) -> str:
    """What the part is called that one table of iptables is."""
    return f"iptables {at.backend} {at.family} {at.table}"


def _tables_of_nftables(draft: Draft, wanted: Wanted, present: Present) -> None:
    for one in wanted.of("nft_table"):
        key = (one.family, one.name)
        if key not in present.table_names:
            text = wanted.seen.nft[key]
            draft.steps.append(AddTable(*key, text))
            draft.restored.append(one)
            draft.actions.append(f"Add {words_of(one)}")
            draft.add(f"nftables {one.family} {one.name}", text.splitlines())


def _servers(draft: Draft, wanted: Wanted, present: Present) -> None:
    going: list[VirtualServer] = []
    for one, server in wanted.servers:
        address = address_text(server.key.address) if server.key.address else ""
        if server.key in present.servers:
            continue
        if one.owner is None and not wanted.unknown:
            draft.refuse(f"virtual server {server.key}", "the node alone does not tell whether it was kube-proxy's")
        elif address and address in present.snapshot.addresses:
            draft.refuse(f"virtual server {server.key}", "kube-proxy has its address on kube-ipvs0 now")
        else:
            going.append(server)
            draft.restored.append(one)
            draft.actions.append(f"Add virtual server {server.key} with {len(server.real_servers)} real server(s)")
    if going:
        draft.steps.append(AddServers(tuple(going)))
        draft.add("ipvs", (line for server in going for line in server_lines(server)))
