# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies in a node's kernel, and whose it is, as values. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer
    from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import NftTable

KUBE_PROXY = "kube-proxy"
FOREIGN = "foreign"
"""Nobody's that this collection knows: a user's, or another program's. Never to be touched."""


class Ownership(t.NamedTuple):
    """Whose something is.

    :param owner: L(KUBE_PROXY), L(FOREIGN), the name of somebody known, or None when the node alone does not tell
    :param modes: the modes of kube-proxy that make it
    :param retired: kube-proxy made it once, and no mode of the releases of today (1.34 to 1.37) keeps it
    """

    owner: str | None
    modes: tuple[str, ...] = ()
    retired: bool = False

    def belongs(self, running_mode: str | None) -> bool | None:
        """Whether kube-proxy's running mode keeps this; None for what is not kube-proxy's, and for an unknown mode."""
        if self.owner != KUBE_PROXY:
            return None
        if self.retired:
            return False
        return None if running_mode is None else running_mode in self.modes

    def is_left_by(self, modes: t.Iterable[str], running_mode: str) -> bool:
        """Whether this is what these modes left: the one judgement by which anything is removed.

        What no release of today makes is nobody's any more, and left by whichever mode is asked about.
        """
        return self.belongs(running_mode) is False and (self.retired or not set(modes).isdisjoint(self.modes))


class Artifact(t.NamedTuple):
    """One object in the kernel. A node with 10,000 Services has 20,000 chains: hence a tuple.

    :param size: rules of a chain, members of a set, elements of a map, real servers of a virtual server
    """

    kind: str
    name: str
    ownership: Ownership
    family: str | None = None
    backend: str | None = None
    table: str | None = None
    type: str | None = None
    size: int | None = None

    def belongs(self, running_mode: str | None) -> bool | None:
        """As L(Ownership.belongs)."""
        return self.ownership.belongs(running_mode)


class Device(t.NamedTuple):
    """The device of ipvs mode: its kind, and all its addresses."""

    name: str
    kind: str
    addresses: t.Collection[str]


@dataclass(frozen=True)
class Readings:
    """What one look at a node brought.

    :param nft_tables: family and name of each of nftables' tables; C(nft) are kube-proxy's own with their content
    :param node_addresses: addresses of all devices but L(device), without those of the loopback network
    :param unread: sentences: what could not be read, and why; what it concerns is missing here
    :param unread_modes: for each of them the modes of kube-proxy whose objects may be among what is missing
    """

    tables: t.Mapping[Location, Table] = field(default_factory=dict)
    ipsets: tuple[IpSetState, ...] = ()
    nft_tables: tuple[tuple[str, str], ...] = ()
    nft: tuple[NftTable, ...] = ()
    virtual_servers: tuple[VirtualServer, ...] = ()
    device: Device | None = None
    node_addresses: frozenset[str] = frozenset()
    default_backend: str = ""
    unread: tuple[str, ...] = ()
    unread_modes: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)
