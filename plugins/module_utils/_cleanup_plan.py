# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done to remove what modes of kube-proxy left. Pure; private to this collection.

The order is one in which every run can be interrupted, and the next one finishes: chains, since no set goes that a rule uses;
tables of nftables; virtual servers before the device, since its addresses say that they are kube-proxy's; the device; sets.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_model import (
    Cleanup,
    DeleteDevice,
    DeleteTable,
    DestroySet,
    Step,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_sets import Sets, assess_sets
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory import owned_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device, Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import device_owner, nft_table_owner
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import ForeignRules, plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    IPV6,
    Operation,
    Verb,
    VirtualServer,
    protocol_name,
)


def plan_cleanup(wanted: Cleanup, readings: Readings) -> Plan[Readings, Step]:
    """Plan everything.

    :raises KubeProxyError: when something that concerns the modes asked for was not read
    :raises ForeignRules: with C(on_foreign=fail), when a rule of somebody else uses what is to go
    """
    _refuse_unread(wanted, readings)
    chains = plan_chains(wanted.chains, readings.tables)
    sets = assess_sets(wanted, readings.ipsets, readings.tables, chains.after)
    _refuse_foreign(wanted, sets)
    tables = [key for key in readings.nft_tables if wanted.takes(nft_table_owner(*key))]
    servers = [one for one, owner in owned_servers(readings, wanted.node_ports) if wanted.takes(owner)]
    device = readings.device if readings.device and wanted.takes(device_owner(readings.device)) else None
    gone = {one.key for one in servers}
    after = replace(
        readings,
        tables=chains.after,
        nft_tables=tuple(key for key in readings.nft_tables if key not in tables),
        nft=tuple(table for table in readings.nft if (table.family, table.name) not in tables),
        virtual_servers=tuple(one for one in readings.virtual_servers if one.key not in gone),
        device=None if device else readings.device,
        ipsets=tuple(one for one in readings.ipsets if one not in sets.going),
    )
    operations: list[Step] = [
        *chains.operations,
        *(DeleteTable(*key) for key in tables),
        *(Operation(Verb.REMOVE_SERVER, one) for one in servers),
        *([DeleteDevice(device.name)] if device else []),
        *(DestroySet(one.name) for one in sets.going),
    ]
    sentences = [*chains.actions, *_sentences(operations, device)]
    return Plan(readings, after, tuple(operations), tuple(sentences))


def _refuse_unread(wanted: Cleanup, readings: Readings) -> None:
    missing = [why for why, modes in readings.unread_modes.items() if not set(modes).isdisjoint(wanted.modes)]
    if missing:
        raise KubeProxyError(
            f"What {' and '.join(wanted.modes)} mode left cannot be told from what was read, and nothing was touched",
            seen=" ".join(missing),
            remedy="Once that can be read, run again.",
            details={"unread": missing},
        )


def _refuse_foreign(wanted: Cleanup, sets: Sets) -> None:
    if wanted.on_foreign == "fail" and sets.foreign:
        raise ForeignRules(
            "Somebody else uses ipsets that were to be destroyed, and nothing was touched",
            seen="; ".join(sets.foreign[:10]),
            remedy="Remove these rules yourself, or set on_foreign=keep to leave those sets.",
            details={"foreign": list(sets.foreign)},
        )


def _sentences(operations: t.Iterable[Step], device: Device | None) -> t.Iterator[str]:
    """What is done beside iptables. Virtual servers are those of Services: of many, only how many."""
    servers = [step.server for step in operations if isinstance(step, Operation)]
    many = len(servers) > 1
    for step in operations:
        if isinstance(step, Operation):
            if not many:
                yield f"Remove virtual server {step.server.key}"
            elif step.server is servers[0]:
                yield f"Remove {len(servers)} virtual servers ({_counted(servers)})"
        elif isinstance(step, DeleteDevice) and device is not None:
            yield f"Remove {step} with its {len(device.addresses)} address(es)"
        elif not isinstance(step, Transaction):
            yield f"Remove {step}"


def _counted(servers: t.Iterable[VirtualServer]) -> str:
    found = Counter(
        f"{'IPv6 ' if one.key.family == IPV6 else ''}{protocol_name(one.key.protocol).upper()}" for one in servers
    )
    return ", ".join(f"{count} {what}" for what, count in sorted(found.items()))
