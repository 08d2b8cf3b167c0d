# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of a node: everything that was read, with its owner. Pure; private to this collection."""

from __future__ import annotations

import typing as t
from collections import Counter

from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import (
    KUBE_PROXY,
    Artifact,
    Ownership,
    Readings,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import (
    OF_A_SERVICE,
    chain_owner,
    device_owner,
    ipset_owner,
    is_iptables_table,
    jump_owner,
    nft_owner,
    nft_table_owner,
    server_name,
    server_owner,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import BACKENDS, target_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import IPV4, protocol_name

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Table
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer

_NFT_FAMILIES = {"ip": "ipv4", "ip6": "ipv6"}
_HINT = "KUBE-IPTABLES-HINT"


def artifacts(readings: Readings, node_ports: range | None, each: bool = True) -> list[Artifact]:
    """Everything that was read, built-in chains and iptables-nft's own tables left out.

    :param each: false: of the chains of Services only the first in each table
    """
    return [
        *_chains(readings, each),
        *_ipsets(readings),
        *_nft(readings),
        *_device(readings),
        *_virtual_servers(readings, node_ports),
    ]


def report(readings: Readings, running_mode: str | None, node_ports: range | None) -> dict[str, t.Any]:
    """The module's return value C(inventory)."""
    found = artifacts(readings, node_ports)
    rows = [row_of(artifact, running_mode) for artifact in found]
    return {
        "artifacts": rows,
        "counts": _counts(rows),
        "iptables": _backends(readings, found),
        "unread": list(readings.unread),
    }


def outline(readings: Readings, running_mode: str | None, node_ports: range | None) -> dict[str, t.Any]:
    """As L(report), but of the artifacts without those that belong: a busy node has tens of thousands, and nobody asks about them.

    C(modes) are those that something belongs to which no other mode makes.
    """
    found = artifacts(readings, node_ports, each=False)
    iptables = _backends(readings, found)
    # Of two backends one is the wrong one, with all that is in it.
    whole = len(iptables["kube_proxy"]) > 1
    owned = {one.ownership for one in found}
    if OF_A_SERVICE in owned and (whole or OF_A_SERVICE.belongs(running_mode) is not True):
        found = artifacts(readings, node_ports)
    return {
        "artifacts": [row_of(one, running_mode) for one in found if whole or one.belongs(running_mode) is not True],
        "iptables": iptables,
        "unread": list(readings.unread),
        "modes": sorted({one.modes[0] for one in owned if one.owner == KUBE_PROXY and len(one.modes) == 1}),
    }


def _chains(readings: Readings, each: bool) -> t.Iterator[Artifact]:
    for at, table in readings.tables.items():
        told = False
        for chain, rules in table.chains.items():
            if chain not in table.builtin:
                ownership = chain_owner(at.table, chain)
                if ownership is OF_A_SERVICE:
                    if told:
                        continue
                    told = not each
                yield Artifact("iptables_chain", chain, ownership, at.family, at.backend, at.table, None, len(rules))
        for source in sorted(table.builtin):
            for spec in table.chains[source]:
                target = target_of(spec)
                if _is_kube_proxys(table, at.table, target):
                    ownership = jump_owner(at.table, source, target, spec)
                    yield Artifact("iptables_jump", f"-A {source} {spec}", ownership, at.family, at.backend, at.table)


def _is_kube_proxys(table: Table, name: str, chain: str) -> bool:
    there = chain in table.chains and chain not in table.builtin
    return there and chain_owner(name, chain).owner == KUBE_PROXY


def _ipsets(readings: Readings) -> t.Iterator[Artifact]:
    for one in readings.ipsets:
        yield Artifact("ipset", one.name, ipset_owner(one), one.family or None, type=one.type, size=one.count)


def _nft(readings: Readings) -> t.Iterator[Artifact]:
    for nft_family, name in readings.nft_tables:
        if not is_iptables_table(nft_family, name):
            ownership = nft_table_owner(nft_family, name)
            yield Artifact("nft_table", name, ownership, _NFT_FAMILIES.get(nft_family), type=nft_family)
    for table in readings.nft:
        parts: list[tuple[str, str, str | None, int | None]] = [
            *(("nft_chain", name, chain.hook or None, len(chain.rules)) for name, chain in table.chains.items()),
            *(("nft_set", name, one.type, len(one.elements)) for name, one in table.sets.items()),
            *(("nft_map", name, f"{one.type} : {one.data}", len(one.elements)) for name, one in table.maps.items()),
            *(("nft_counter", name, None, None) for name in table.counters),
        ]
        family = _NFT_FAMILIES.get(table.family)
        for kind, name, type_, size in parts:
            yield Artifact(kind, name, nft_owner(kind, name), family, table=table.name, type=type_, size=size)


def _device(readings: Readings) -> t.Iterator[Artifact]:
    device = readings.device
    if device is not None:
        ownership = device_owner(device)
        yield Artifact("device", device.name, ownership, type=device.kind, size=len(device.addresses))
        for address in device.addresses:
            yield Artifact("address", address, ownership, "ipv6" if ":" in address else "ipv4")


def owned_servers(readings: Readings, node_ports: range | None) -> t.Iterator[tuple[VirtualServer, Ownership]]:
    """Every virtual server and whose it is."""
    device = readings.device
    # Thousands of addresses are asked for thousands of times.
    device = device and device._replace(addresses=frozenset(device.addresses))
    for server in readings.virtual_servers:
        yield server, server_owner(server, device, readings.node_addresses, node_ports)


def _virtual_servers(readings: Readings, node_ports: range | None) -> t.Iterator[Artifact]:
    for server, ownership in owned_servers(readings, node_ports):
        family = "ipv4" if server.key.family == IPV4 else "ipv6"
        protocol = None if server.key.fwmark else protocol_name(server.key.protocol)
        size = len(server.real_servers)
        yield Artifact("virtual_server", server_name(server), ownership, family, type=protocol, size=size)


def row_of(artifact: Artifact, running_mode: str | None) -> dict[str, t.Any]:
    """An artifact as a return value."""
    owner, modes, _retired = artifact.ownership
    return {
        "kind": artifact.kind,
        "name": artifact.name,
        "family": artifact.family,
        "backend": artifact.backend,
        "table": artifact.table,
        "type": artifact.type,
        "size": artifact.size,
        "owner": owner,
        "modes": list(modes),
        "belongs": artifact.belongs(running_mode),
    }


def _counts(rows: t.Iterable[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    counted = Counter((row["kind"], row["owner"], row["belongs"]) for row in rows)
    return [
        {"kind": kind, "owner": owner, "belongs": belongs, "count": count}
        for (kind, owner, belongs), count in sorted(counted.items(), key=lambda item: str(item[0]))
    ]


def _backends(readings: Readings, found: t.Iterable[Artifact]) -> dict[str, t.Any]:
    """Which of iptables' two backends is whose: kube-proxy uses the one that has kubelet's hint (KEP-3178)."""
    chains = [one for one in found if one.kind == "iptables_chain"]
    kubelet = {one.backend for one in chains if (one.table, one.name) == ("mangle", _HINT)}
    kube_proxy = {one.backend for one in chains if one.ownership.owner == KUBE_PROXY}
    return {
        "default": readings.default_backend or None,
        "kubelet": [backend for backend in BACKENDS if backend in kubelet],
        "kube_proxy": [backend for backend in BACKENDS if backend in kube_proxy],
    }
