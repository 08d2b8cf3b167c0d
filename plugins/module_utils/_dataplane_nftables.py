# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Service dataplane of nftables mode, from kube-proxy's tables. Pure. Private to this collection.

Source: C(syncProxyRules) in C(pkg/proxy/nftables/proxier.go), 1.31 to 1.37; see C(_dataplane_nftables_layout) for what is
known and C(_dataplane_nftables_structure) for what has to be there whatever Services there are.

The kernel rewrites a destination before it refuses one: an address is refused only where no rule rewrites it.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_expected_policy import LOCAL_EXCEPT_LOOPBACK
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    Dataplane,
    Defect,
    Entry,
    Key,
    Part,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_entries import Entries
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import (
    Layout,
    Settings,
    unknown_parts,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_rules import expression
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_structure import (
    is_flushed,
    structure_defects,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import NFT_TABLES, NFTABLES

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Told
    from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import NftTable

_NOTHING_KNOWN = Settings()


def read_nftables(
    tables: t.Sequence[NftTable],
    families: t.Sequence[int],
    settings: Settings = _NOTHING_KNOWN,
    names: t.Sequence[tuple[str, str]] = NFT_TABLES,
) -> Dataplane:
    """The dataplane.

    Of a flushed table there are no entries: no packet comes to its maps. With a table of an unknown layout there are none
    at all.

    :param families: those that kube-proxy serves; what there is of others is not looked at
    :param settings: what the configuration says, where it is known: it tells a rule that is missing from one that is not meant
    :param names: nft's word for the family and the name of the table, of IPv4 and of IPv6
    """
    there = {(one.family, one.name): one for one in tables}
    found = _Found()
    unknown: list[Defect] = []
    for family in families:
        name = names[0 if family == 4 else 1]
        table = there.get(name)
        if table is None or not (table.chains or table.maps or table.sets):
            found.flushed(name, family, "there is no such table" if table is None else "it is empty")
            continue
        layout = Layout(table, settings)
        reasons = unknown_parts(layout) or found.take(layout)
        if reasons:
            unknown.append(_unknown(layout, reasons))
    if unknown:
        return Dataplane(NFTABLES, defects=tuple(unknown), layout_known=False)
    return Dataplane(NFTABLES, found.entries, found.parts, tuple(found.defects), told=frozenset(found.told))


class _Found:
    """What the tables say, one after the other."""

    def __init__(self) -> None:
        self.entries: dict[Key, Entry] = {}
        self.parts: dict[Part, dict[str, str]] = {}
        self.defects: list[Defect] = []
        self.told: set[Told] = set()

    def flushed(self, name: tuple[str, str], family: int, actual: str) -> None:
        what = " ".join(name)
        expected = "kube-proxy's chains and rules"
        self.defects.append(Defect("flushed", f"table {what}", expected, actual, f"nft list table {what}"))
        self.told.add(family)

    def take(self, layout: Layout) -> list[str]:
        """Put what a table says where it belongs; what comes back says that its layout is unknown."""
        self.parts[Part("nft_set", layout.family, "cluster-ips")] = _members(layout, "cluster-ips")
        addresses = {LOCAL_EXCEPT_LOOPBACK: ""} if layout.all_node_ports else _members(layout, "nodeport-ips")
        self.parts[Part("node_port_addresses", layout.family)] = addresses
        if is_flushed(layout):
            self.flushed((layout.ip, layout.table.name), layout.family, "no rule in any base chain")
            return []
        entries = Entries(layout)
        self.entries.update(entries.entries)
        self.defects += [*structure_defects(layout, entries.pods), *entries.defects()]
        self.told.update(entries.told)
        return entries.strange()


def _unknown(layout: Layout, reasons: t.Sequence[str]) -> Defect:
    more = f", and {len(reasons) - 5} more" if len(reasons) > 5 else ""
    what = f"table {layout.ip} {layout.table.name}"
    known = "a layout of kube-proxy 1.31 to 1.37"
    return Defect("layout_unknown", what, known, ", ".join(reasons[:5]) + more, layout.evidence())


def _members(layout: Layout, name: str) -> dict[str, str]:
    return {expression(one): "" for one in layout.table.sets[name].elements}
