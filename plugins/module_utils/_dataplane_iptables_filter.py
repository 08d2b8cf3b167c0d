# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What table filter does to packets for Services in kube-proxy's iptables mode. Pure. Private to this collection.

Source: C(syncProxyRules) in C(pkg/proxy/iptables/proxier.go), 1.34 to 1.37.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_rules import (
    DESTINATION_TYPE,
    PORT,
    PROTOCOL,
    SOCKET,
    Rule,
    host,
    number,
    parse_rule,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import DROP, LOCAL, REJECT, Entry, Key

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_balance import Nat

INTERNAL, EXTERNAL = "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"
FIREWALL, HEALTH_CHECKS = "KUBE-PROXY-FIREWALL", "KUBE-NODEPORTS"

_VERDICTS = {"REJECT": REJECT, "DROP": DROP}
_PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True)
class Filtered:
    """What becomes of packets that nothing was found for in table nat.

    :param refused: an entry for each key that is refused or dropped
    :param firewalled: the keys whose packets are dropped unless KUBE-FW let them through
    :param open_ports: of health checks
    """

    refused: dict[Key, Entry] = field(default_factory=dict)
    firewalled: set[Key] = field(default_factory=set)
    open_ports: dict[str, str] = field(default_factory=dict)


def key_of(rule: Rule, family: int) -> Key | None:
    """The key that a rule is for, with an empty address where it matches none; None for what no entry can be for."""
    port = number(rule.port)
    address = host(rule.destination) if rule.destination else ""
    if port is None or port > 65535 or rule.protocol not in _PROTOCOLS or (rule.destination and not address):
        return None
    return family, address, rule.protocol, port


def read_filter(nat: Nat) -> Filtered:
    """Read the four chains; what in them is not kube-proxy's is noted in C(nat.defects)."""
    table = nat.scene.table("filter")
    found = Filtered()
    for chain in (FIREWALL, INTERNAL, EXTERNAL, HEALTH_CHECKS) if table else ():
        for rule in map(parse_rule, table.chains.get(chain, ()) if table else ()):
            if not _take(found, nat, chain, rule):
                nat.foreign(chain, rule, rule.named, "filter")
    for key in found.firewalled - found.refused.keys():
        found.refused[key] = _refused(nat, key, DROP, FIREWALL, "")
    return found


def _take(found: Filtered, nat: Nat, chain: str, rule: Rule) -> bool:
    key = key_of(rule, nat.scene.family)
    if key is None:
        return False
    if chain == HEALTH_CHECKS:
        if rule.has != PROTOCOL | PORT or rule.protocol != "tcp" or rule.target != "ACCEPT":
            return False
        found.open_ports[str(key[3])] = ""
    elif chain == FIREWALL:
        if rule.has != SOCKET or rule.target != "DROP":
            return False
        found.firewalled.add(key)
    else:
        node_port = chain == EXTERNAL and rule.destination_type == "LOCAL"
        if rule.has != (DESTINATION_TYPE | PROTOCOL | PORT if node_port else SOCKET) or rule.target not in _VERDICTS:
            return False
        found.refused.setdefault(key, _refused(nat, key, _VERDICTS[rule.target], chain, rule.named))
    return True


def _refused(nat: Nat, key: Key, verdict: str, chain: str, service: str) -> Entry:
    """Only of dropped packets is known which policy they are dropped by: some other node has endpoints."""
    _family, address, protocol, port = key
    place = f"-d {address}/.* --dport {port} " if address else f"-p {protocol} .* --dport {port} "
    return Entry(
        key,
        verdict,
        affinity=None,
        policy=LOCAL if verdict == DROP else None,
        masquerade=None,
        source="" if address else "node_port",
        service=service,
        evidence=f"{nat.scene.evidence('filter')} | grep -e '^-A {chain} {place}'",
    )
