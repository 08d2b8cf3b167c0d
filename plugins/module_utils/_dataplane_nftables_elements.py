# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Elements of kube-proxy's maps in nftables, as C(nft -j) lists them. Pure. Private to this collection.

Source: libnftables-json(5); C(servicePortChainNameBase) in C(pkg/proxy/nftables/proxier.go) for the names of chains.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import DROP, REJECT
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import HAIRPINS
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_rules import expression
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import service_port_name

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Key
    from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import NftTable

# What nft prints where the system does not name its protocols.
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
_NAME = re.compile("[a-z]+-[A-Z2-7]{8}-([^/]+)/([^/]+)/[^/]+/([^/_]*)(?:__.*)?")


class Element(t.NamedTuple):
    """An element of a verdict map.

    :param map_name: of its map
    :param key: None where it is of no known shape
    :param verdict: its kind (C(goto), C(drop)), and C(target) the chain that it leads to
    :param text: of its key, as nft takes it
    """

    map_name: str
    key: Key | None
    verdict: str
    target: str
    comment: str
    text: str

    @property
    def action(self) -> str:
        """What it does, as nft writes it."""
        return f"{self.verdict} {self.target}".rstrip()

    @property
    def refusal(self) -> str | None:
        """In which way it refuses packets; None where it does not."""
        return {"goto reject-chain": REJECT, "drop": DROP}.get(self.action)

    def evidence(self, family: str) -> str:
        """The command that shows it.

        :param family: nft's word for it
        """
        if self.key is None:
            return f"nft list map {family} kube-proxy {self.map_name}"
        return f"nft get element {family} kube-proxy {self.map_name} '{{ {self.text} }}'"


def elements_of(table: NftTable, name: str) -> list[Element]:
    """Those of the map of that name."""
    family = 6 if table.family == "ip6" else 4
    return [_element(name, family, one) for one in table.maps[name].elements]


def _element(name: str, family: int, raw: t.Any) -> Element:
    left, right = raw if isinstance(raw, list) and len(raw) == 2 else (raw, None)
    comment = ""
    inner = left.get("elem") if isinstance(left, dict) else None
    if isinstance(inner, dict):
        left, comment = inner.get("val"), str(inner.get("comment", ""))
    kind, body = next(iter(right.items())) if isinstance(right, dict) and len(right) == 1 else ("", None)
    target = body.get("target") if isinstance(body, dict) else None
    leads_to = target if isinstance(target, str) else ""
    return Element(name, _key(family, left), kind, leads_to, comment, expression(left))


def _key(family: int, value: t.Any) -> Key | None:
    parts = value.get("concat") if isinstance(value, dict) else None
    if not isinstance(parts, list) or len(parts) not in (2, 3):
        return None
    address, protocol, port = parts if len(parts) == 3 else ("", *parts)
    if isinstance(protocol, int):
        protocol = _PROTOCOLS.get(protocol)
    if not isinstance(address, str) or protocol not in _PROTOCOLS.values() or not isinstance(port, int):
        return None
    return family, address, protocol, port


def service_of(chain: str) -> str:
    """The Service port that a chain's name says; empty when it says none."""
    found = _NAME.fullmatch(chain)
    return service_port_name(*found.groups()) if found else ""


def hairpins_of(table: NftTable) -> frozenset[tuple[str, str, int]]:
    """From 1.36 on: address, protocol and port of endpoints that are masqueraded to themselves."""
    found: set[tuple[str, str, int]] = set()
    elements = table.sets[HAIRPINS].elements if HAIRPINS in table.sets else ()
    for one in elements:
        parts = one.get("concat") if isinstance(one, dict) else None
        if isinstance(parts, list) and len(parts) == 4 and parts[0] == parts[1]:
            found.add((str(parts[0]), str(parts[2]), parts[3] if isinstance(parts[3], int) else 0))
    return frozenset(found)
