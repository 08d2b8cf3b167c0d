# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Service dataplane of a node in its normal form, the same for every mode and family. Private to this collection.

One builder fills it from the API (C(_dataplane_expected)), three readers from the kernel (C(_dataplane_iptables),
C(_dataplane_ipvs), C(_dataplane_nftables)). Audit, trace and switch compare and show nothing else.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port

Key = t.Tuple[int, str, str, int]
"""IP version (4 or 6), address, protocol in lower case, port. The address is empty for a NodePort of a mode that matches
the node's addresses by one rule for all NodePorts: which they are, is the part C(node_port_addresses)."""

Destination = t.Tuple[str, int]
"""Address and port of an endpoint."""

FORWARD, REJECT, DROP = "forward", "reject", "drop"
CLUSTER, LOCAL = "cluster", "local"
SOURCES = ("cluster_ip", "external_ip", "load_balancer_ip", "node_port")

MASQUERADE_ALL = "all"
MASQUERADE_OUTSIDE = "outside_pods"
MASQUERADE_NODE = "node"
MASQUERADE_NONE = "none"
"""Whose packets get a new source on the way to an entry: everybody's; those that do not come from a pod (by the
detectLocalMode); only the node's own; nobody's. Hairpin traffic is apart: C(Entry.no_hairpin)."""


class Entry(t.NamedTuple):
    """What happens to packets for one address and port. None: the kernel objects of this mode do not tell.

    :param verdict: what a client outside the cluster and off the node gets: L(FORWARD), L(REJECT) or L(DROP). ipvs mode
        has only L(FORWARD), with no destinations where the others refuse
    :param destinations: those which such a client is sent to, sorted
    :param short_circuit: those which pods and the node itself are sent to where that is decided apart (external traffic
        policy Local in iptables and nftables mode), sorted; None where it is not
    :param affinity: seconds of ClientIP session affinity; 0 without it
    :param policy: L(CLUSTER) or L(LOCAL), whichever the destinations were chosen by
    :param masquerade: L(MASQUERADE_ALL), L(MASQUERADE_OUTSIDE), L(MASQUERADE_NODE) or L(MASQUERADE_NONE)
    :param no_hairpin: destinations whose own connections through this entry are not masqueraded, sorted; in what is
        expected those that need not be
    :param source_ranges: the only networks that may connect, sorted; empty: everybody may
    :param scheduler: of IPVS, with its flags behind it (C(mh mh-port)); None in other modes
    :param source: one of L(SOURCES); empty when the kernel does not tell. Never compared
    :param service: the Service port (C(namespace/name:port name)) that it is for, or that the kernel objects name; empty
        when they name none. Never compared
    :param evidence: where it was read from: chains and rules, the map and its element, or the virtual server. Empty in
        what is expected. Never compared
    """

    key: Key
    verdict: str
    destinations: tuple[Destination, ...] = ()
    short_circuit: tuple[Destination, ...] | None = None
    affinity: int | None = 0
    policy: str | None = CLUSTER
    masquerade: str | None = MASQUERADE_OUTSIDE
    no_hairpin: tuple[Destination, ...] | None = ()
    source_ranges: tuple[str, ...] | None = ()
    scheduler: str | None = None
    source: str = ""
    service: str = ""
    evidence: str = ""

    @property
    def compared(self) -> tuple[t.Any, ...]:
        """Everything between the key and what is never compared."""
        return self[1:10]


class Part(t.NamedTuple):
    """A set beside the entries that the mode needs, too.

    :param kind: C(ipset), C(device_addresses) (kube-ipvs0), C(nft_set), C(health_check_ports) or C(node_port_addresses)
    :param family: IP version
    :param name: of the kernel object (C(KUBE-CLUSTER-IP), C(cluster-ips)); empty when the kind says it all
    """

    kind: str
    family: int
    name: str = ""

    @property
    def words(self) -> str:
        """What it is, for people."""
        words = {
            "ipset": f"ipset {self.name}",
            "device_addresses": "addresses of kube-ipvs0",
            "nft_set": f"nft set {self.name}",
            "health_check_ports": "open health-check ports",
            "node_port_addresses": "addresses that NodePorts answer on",
        }
        return f"{words.get(self.kind, self.kind)} (IPv{self.family})"


class Defect(t.NamedTuple):
    """Something about the structure of the dataplane that is wrong whatever Services there are.

    :param kind: C(jump_missing), C(jump_twice), C(chain_missing), C(rule_missing), C(rule_wrong), C(layout_unknown),
        C(flushed) or C(element_broken)
    :param object: what it is about, such as C(nat PREROUTING -> KUBE-SERVICES (ipv4))
    :param evidence: the command that shows it
    :param service: the Service port that it concerns; empty when it concerns all
    """

    kind: str
    object: str
    expected: str
    actual: str
    evidence: str
    service: str = ""


Members = t.Mapping[str, str]
"""Members of a part by their text in the field's own notation, each with the Service port that it is for (empty in what was
read)."""


Told = t.Union[int, Key, Part]
"""An IP version with all that it has, an entry's key, or a part."""


@dataclass(frozen=True)
class Dataplane:
    """What a node serves, or should serve, in one mode.

    C(defects) are those of a reader; what is expected has none. With C(layout_known) false the entries and parts are
    not to be trusted and not compared: a release of kube-proxy that this collection does not know wrote them.
    C(contested) is for what is expected: keys that several Services ask for, with all that may be there. Which of them
    wins is chance in kube-proxy; C(entries) has one of them, and C(_dataplane_expected.as_held) takes the one that is there.
    C(told) is for what was read: what a defect says all about already, such as the whole family after a flush. Not compared.
    """

    mode: str
    entries: t.Mapping[Key, Entry] = field(default_factory=dict)
    parts: t.Mapping[Part, Members] = field(default_factory=dict)
    defects: tuple[Defect, ...] = ()
    layout_known: bool = True
    contested: t.Mapping[Key, tuple[Entry, ...]] = field(default_factory=dict)
    told: frozenset[Told] = frozenset()


def key_text(key: Key) -> str:
    """A key for people: C(TCP 10.96.0.1:443). A NodePort without an address names its family."""
    family, address, protocol, port = key
    where = join_host_port(address or "*", port)
    return f"{protocol.upper()} {where}" if address else f"{protocol.upper()} {where} (IPv{family})"
