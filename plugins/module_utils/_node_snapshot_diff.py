# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies in a node's kernel now and did not when its snapshot was taken, and the other way round. Pure. Private to this collection.

Every line is the command that makes what it stands for, so that a line that is missing says how to put it back; nobody runs it but
the reader. What kube-proxy, or another program that is known, makes anew by itself is only counted.
"""

from __future__ import annotations

import difflib
import shlex
import typing as t
from collections import Counter

from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import FOREIGN, KUBE_PROXY
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import (
    chain_owner,
    ipset_owner,
    jump_owner,
    nft_table_owner,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import target_of, tokens
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_options import virtual_server_from_options
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import server_lines
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import BUILTIN_CHAINS, IPVS_DEVICE
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_snapshot import Object

Line = t.Tuple[str, str]
"""Whose it is, and the line."""

_TOOLS = {"ipv4": "iptables", "ipv6": "ip6tables"}


def differences(saved: Object, present: Object) -> list[str]:
    """The lines of both that are only in one of them: C(-) was there and is not, C(+) is there and was not."""
    found: list[str] = []
    counts: Counter[tuple[str, str]] = Counter()
    ours, theirs = _sections(saved, saved), _sections(present, saved)
    for name in {**ours, **theirs}:
        for sign, owner, line in _compare(ours.get(name, []), theirs.get(name, [])):
            if owner == FOREIGN:
                found.append(f"{sign} {line}")
            else:
                counts[owner, sign] += 1
    found += [_counted(owner, counts) for owner in sorted({owner for owner, _sign in counts})]
    found += [f"not compared: {reason}" for one in (saved, present) for reason in one.get("unread") or ()]
    return list(dict.fromkeys(found))


def _counted(owner: str, counts: t.Mapping[tuple[str, str], int]) -> str:
    gone, new = counts.get((owner, "-"), 0), counts.get((owner, "+"), 0)
    return f"of {owner}, which makes its own again: {gone} lines are gone, {new} are new"


def _compare(ours: t.Sequence[Line], theirs: t.Sequence[Line]) -> t.Iterator[tuple[str, str, str]]:
    """Of those owners whose lines are shown in their order, of the others by number alone."""
    shown = [[line for owner, line in lines if owner == FOREIGN] for lines in (ours, theirs)]
    for line in difflib.unified_diff(shown[0], shown[1], n=0, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            yield line[0], FOREIGN, line[1:]
    rest = [Counter(one for one in lines if one[0] != FOREIGN) for lines in (ours, theirs)]
    for sign, counter in (("-", rest[0] - rest[1]), ("+", rest[1] - rest[0])):
        for owner, line in counter.elements():
            yield sign, owner, line


def _sections(snapshot: Object, saved: Object) -> dict[str, list[Line]]:
    """The lines that are compared with each other, by what they are about."""
    sections = {"kernel": [(FOREIGN, f"kernel {snapshot.get('kernel_release')}")]}
    for one in snapshot.get("iptables") or ():
        sections[f"{one['backend']} {one['family']}"] = list(_ruleset(one))
    for one in snapshot.get("nft") or ():
        owner = nft_table_owner(one["family"], one["name"]).owner or FOREIGN
        lines = str(one["text"]).splitlines()
        sections[f"nft {one['family']} {one['name']}"] = [(owner, f"nft: {line}") for line in lines]
    sections["ipsets"] = [line for one in snapshot.get("ipsets") or () for line in _ipset(one)]
    sections["virtual servers"] = list(_servers(snapshot, saved))
    sections["addresses"] = [line for one in snapshot.get("addresses") or () for line in _addresses(one)]
    sections["sysctls"] = [
        (FOREIGN, f"sysctl -w {name}={value}") for name, value in sorted((snapshot.get("sysctls") or {}).items())
    ]
    sections["modules"] = [(FOREIGN, f"modprobe {name}") for name in snapshot.get("modules") or ()]
    return sections


def _command(*words: str) -> str:
    """As a shell takes it; iptables-save quotes otherwise."""
    return " ".join(map(shlex.quote, words))


def _ruleset(ruleset: Object) -> t.Iterator[Line]:
    """Chains and rules of one backend and family as the commands that make them."""
    tool, table = f"{_TOOLS[ruleset['family']]}-{ruleset['backend']}", ""
    for line in str(ruleset["text"]).splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            chain, _blank, policy = line[1:].partition(" ")
            verb = ("-N", chain) if policy == "-" else ("-P", chain, policy)
            yield _chain_owner(table, chain), _command(tool, "-t", table, *verb)
        elif line.startswith("-A "):
            chain, _blank, spec = line[3:].partition(" ")
            owner = _rule_owner(table, chain, spec)
            # Of the others, of which there may be 50,000, nobody sees the text.
            yield (
                owner,
                _command(tool, "-t", table, "-A", chain, *tokens(spec)) if owner == FOREIGN else f"{tool} {line}",
            )
        elif line.startswith("#"):
            yield FOREIGN, f"{tool}: {line}"


def _chain_owner(table: str, chain: str) -> str:
    return FOREIGN if chain in BUILTIN_CHAINS else chain_owner(table, chain).owner or FOREIGN


def _rule_owner(table: str, chain: str, spec: str) -> str:
    """A rule is its chain's owner's; in a built-in chain it is that of the chain that it leads to."""
    if chain not in BUILTIN_CHAINS:
        return _chain_owner(table, chain)
    target = target_of(spec)
    owner = _chain_owner(table, target)
    return (jump_owner(table, chain, target, spec).owner or FOREIGN) if owner == KUBE_PROXY else owner


def _ipset(one: Object) -> t.Iterator[Line]:
    """A set without its own settings (time limits, sizes), which a snapshot does not have."""
    owner = ipset_owner(IpSetState(one["name"], one["type"], one["family"])).owner or FOREIGN
    family = ("family", "inet6") if one["family"] == "ipv6" else ()
    ports = ("range", "0-65535") if one["type"] == "bitmap:port" else ()
    yield owner, _command("ipset", "create", one["name"], one["type"], *family, *ports)
    for member in one["members"]:
        yield owner, _command("ipset", "add", one["name"], member)


def _servers(snapshot: Object, saved: Object) -> t.Iterator[Line]:
    """Those that were no Service's when the snapshot was taken: only the API knew, and only then."""
    foreign = {virtual_server_from_options(one).key for one in saved.get("foreign_virtual_servers") or ()}
    for one in snapshot.get("virtual_servers") or ():
        server = virtual_server_from_options(one)
        owner = FOREIGN if server.key in foreign else KUBE_PROXY
        for line in server_lines(server):
            yield owner, f"ipvsadm {line}"


def _addresses(link: Object) -> t.Iterator[Line]:
    owner = KUBE_PROXY if link["ifname"] == IPVS_DEVICE else FOREIGN
    for address in link["addr_info"]:
        yield owner, _command("ip", "address", "add", address["local"], "dev", link["ifname"])
