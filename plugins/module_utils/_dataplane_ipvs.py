# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Service dataplane of ipvs mode, from what lies in the kernel. Pure. Private to this collection.

Sources, in 1.34 to 1.37: C(syncProxyRules), C(syncService), C(syncEndpoint) and C(ipsetInfo) in
C(pkg/proxy/ipvs/proxier.go), C(graceful_termination.go), C(NewIPSet) in C(ipset.go), C(isValidForSet) in C(netlink_linux.go).
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_rules import RuleSettings
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_structure import (
    Scene,
    structure_defects,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    FORWARD,
    Dataplane,
    Defect,
    Entry,
    Key,
    Part,
    key_text,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device, Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    FORWARD_METHODS,
    IPV6,
    MASQUERADE,
    PERSISTENT,
    WHOLE_ADDRESS,
    RealServer,
    VirtualServer,
    address_text,
    flag_names,
    name_of,
    netmask_text,
    protocol_name,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import service_switch
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IP_SETS, IPVS, IPVS_DEVICE
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import address_of

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Told
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table

_FAMILIES = {4: "ipv4", 6: "ipv6"}


class Wanted(t.NamedTuple):
    """What a reading is held against where it is known.

    :param settings: of the configuration; None: the rules that are there are taken as meant
    :param expected: what the API asks for. kube-proxy writes some rules only for sets that are to have members, which is
        not the same as those that have some; and a virtual server that is not expected may be anybody's, in any form
    """

    settings: RuleSettings | None = None
    expected: Dataplane | None = None


_NOTHING_KNOWN = Wanted()


def read_ipvs(
    servers: t.Sequence[VirtualServer],
    ipsets: t.Sequence[IpSetState],
    device: Device | None,
    tables: t.Mapping[Location, Table],
    backend: str,
    families: t.Sequence[int],
) -> Dataplane:
    """The dataplane, with nothing but the kernel to go by. L(read_readings) is stricter.

    A part that is not there is one of which a defect tells that the set or device itself is missing, or no such thing.

    :param ipsets: with their members
    :param backend: of iptables, in which kube-proxy writes
    :param families: those that kube-proxy serves
    """
    readings = Readings(tables=tables, ipsets=tuple(ipsets), virtual_servers=tuple(servers), device=device)
    return read_readings(readings, backend, families)


def read_readings(
    readings: Readings, backend: str, families: t.Sequence[int], wanted: Wanted = _NOTHING_KNOWN
) -> Dataplane:
    """As L(read_ipvs), from one look at a node."""
    entries: dict[Key, Entry] = {}
    defects: list[Defect] = []
    for server in readings.virtual_servers:
        key = key_of(server)
        if key is not None and key[0] in families:
            entries[key] = _entry(key, server)
            if wanted.expected is None or key in wanted.expected.entries:
                defects += _server_defects(entries[key], server)
    parts: dict[Part, dict[str, str]] = {}
    told: set[Told] = set()
    defects += _take_device(readings.device, families, parts)
    if readings.device is None:
        told.update(Part("device_addresses", family) for family in families)
    for family in families:
        missing = _take_sets(readings.ipsets, family, parts)
        told.update(Part("ipset", family, name) for name in missing)
        scene = Scene(
            readings.tables,
            backend,
            family,
            _members(parts if wanted.expected is None else wanted.expected.parts),
            frozenset(name for name, kind in missing.items() if kind.kind == "ipset_missing"),
            wanted.settings,
        )
        defects += [*missing.values(), *structure_defects(scene)]
    return Dataplane(IPVS, entries, parts, tuple(defects), told=frozenset(told))


def key_of(server: VirtualServer) -> Key | None:
    """The key of a virtual server's entry; None for a firewall mark, which is never kube-proxy's."""
    family, protocol, address, port, fwmark = server.key
    return None if fwmark else (6 if family == IPV6 else 4, address_text(address), protocol_name(protocol), port)


def _entry(key: Key, server: VirtualServer) -> Entry:
    return Entry(
        key,
        FORWARD,
        # Weight 0 is how kube-proxy, and an operator, takes a destination away without cutting its connections.
        destinations=tuple(sorted((address_text(one.address), one.port) for one in server.real_servers if one.weight)),
        affinity=server.timeout if server.flags & PERSISTENT else 0,
        policy=None,
        masquerade=None,
        no_hairpin=None,
        source_ranges=None,
        scheduler=" ".join((server.scheduler, *flag_names(server.scheduler, server.flags))),
        evidence=f"ipvsadm -Ln {service_switch(server.key)}",
    )


def _server_defects(entry: Entry, server: VirtualServer) -> t.Iterator[Defect]:
    name = key_text(entry.key)
    if server.flags & PERSISTENT and server.netmask != WHOLE_ADDRESS[server.key.family]:
        actual = f"persistence for networks, by mask {netmask_text(server)}"
        yield Defect("element_broken", name, "persistence for each client address", actual, entry.evidence)
    if server.engine:
        yield Defect("element_broken", name, "no persistence engine", server.engine, entry.evidence)
    for real in server.real_servers:
        if real.settings[2:] != (1, MASQUERADE, 0, 0, 0, 0, 0) and real.weight:
            expected = "masqueraded, weight 1, no thresholds"
            yield Defect("element_broken", f"{name} -> {real}", expected, _real_words(real), entry.evidence)


def _real_words(real: RealServer) -> str:
    words = f"{name_of(real.forward_method, FORWARD_METHODS)}, weight {real.weight}"
    if real.upper_threshold or real.lower_threshold:
        words += f", thresholds {real.upper_threshold} and {real.lower_threshold}"
    return words


def _take_device(device: Device | None, families: t.Sequence[int], parts: dict[Part, dict[str, str]]) -> list[Defect]:
    if device is None:
        return [
            Defect(
                "device_missing", IPVS_DEVICE, "a dummy device", "no such device", f"ip address show dev {IPVS_DEVICE}"
            )
        ]
    for family in families:
        parts[Part("device_addresses", family)] = {}
    for address in map(address_of, device.addresses):
        part = Part("device_addresses", 6 if ":" in address else 4)
        if address and part in parts and not _is_skipped(address):
            parts[part][address] = ""
    if device.kind == "dummy":
        return []
    kind = device.kind or "hardware"
    return [Defect("device_wrong", IPVS_DEVICE, "a dummy device", kind, f"ip -d link show dev {IPVS_DEVICE}")]


def _is_skipped(address: str) -> bool:
    """Addresses that kube-proxy does not look at."""
    if ":" not in address:
        return address.startswith("127.")
    found = ipaddress.IPv6Address(address)
    return found.is_loopback or found.is_link_local


def _take_sets(ipsets: t.Iterable[IpSetState], family: int, parts: dict[Part, dict[str, str]]) -> dict[str, Defect]:
    """Put the sets of a family into the parts; what cannot be put there comes back by its name."""
    there = {one.name: one for one in ipsets}
    found: dict[str, Defect] = {}
    for one in IP_SETS:
        name = one.name if family == 4 else one.name6
        if one.until:
            continue
        state = there.get(name)
        if state is None:
            found[name] = _set_defect("ipset_missing", name, one.type, "no such set")
        elif state.type != one.type or state.family not in ("", _FAMILIES[family]):
            found[name] = _set_defect("ipset_wrong", name, one.type, f"{state.type} {state.family}".rstrip())
        elif state.members is None:
            found[name] = _set_defect("ipset_unread", name, "its members", "nobody read them")
        else:
            parts[Part("ipset", family, name)] = dict.fromkeys(map(str, state.members), "")
    return found


def _set_defect(kind: str, name: str, expected: str, actual: str) -> Defect:
    return Defect(kind, f"ipset {name}", expected, actual, f"ipset list {name}")


def _members(parts: t.Mapping[Part, t.Mapping[str, str]]) -> dict[str, t.Collection[str]]:
    return {part.name: members.keys() for part, members in parts.items() if part.kind == "ipset"}
