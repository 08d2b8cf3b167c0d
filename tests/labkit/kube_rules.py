# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Table nat as kube-proxy writes it in iptables mode for many Services, with names hashed here and not by the collection.

Followed: C(syncProxyRules) and C(writeServiceToEndpointRules) in pkg/proxy/iptables/proxier.go of 1.37. Above 1,000
endpoints kube-proxy is in its large-cluster mode, and rules of endpoints carry no comment.
"""

from __future__ import annotations

import base64
import hashlib

PORTALS = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
FIXED = ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", "KUBE-PROXY-CANARY")
BEGIN = (
    f"-A PREROUTING {PORTALS}",
    f"-A OUTPUT {PORTALS}",
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    "-A KUBE-POSTROUTING -m mark ! --mark 0x00004000/0x00004000 -j RETURN",
    "-A KUBE-POSTROUTING -j MARK --xor-mark 0x00004000",
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    "-A KUBE-MARK-MASQ -j MARK --or-mark 0x00004000",
)
END = (
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"'
    " -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
)
LARGE = 1000


def hashed(kind: str, text: str) -> str:
    """A chain's name as kube-proxy makes it of a port's name, its protocol and, for an endpoint, its address."""
    return f"KUBE-{kind}-{base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]}"


def port_name(number: int) -> str:
    return f"ns{number % 50}/service-{number}:http"


def nat_table(services: int, endpoints: int = 2) -> str:
    """Input of iptables-restore: C(services) ClusterIPs with C(endpoints) endpoints each."""
    commented = services * endpoints <= LARGE
    chains = [f":{name} - [0:0]" for name in FIXED]
    rules = list(BEGIN)
    for number in range(services):
        address = f"10.{96 + (number >> 14)}.{number >> 6 & 255}.{(number & 63) + 1}"
        service = hashed("SVC", f"{port_name(number)}tcp")
        chains.append(f":{service} - [0:0]")
        match = f'-m comment --comment "{port_name(number)} cluster IP" -m tcp -p tcp -d {address} --dport 80'
        rules.append(f"-A KUBE-SERVICES {match} -j {service}")
        rules.append(f"-A {service} {match} ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ")
        for index in range(endpoints):
            serial = number * endpoints + index
            pod = f"10.{244 + (serial >> 16)}.{serial >> 8 & 255}.{serial & 255}"
            name = hashed("SEP", f"{port_name(number)}tcp{pod}:8080")
            chains.append(f":{name} - [0:0]")
            to = f'-m comment --comment "{port_name(number)} -> {pod}:8080" ' if commented else ""
            own = f'-m comment --comment "{port_name(number)}" ' if commented else ""
            left = endpoints - index
            chance = f"-m statistic --mode random --probability {1 / left:.10f} " if left > 1 else ""
            rules.append(f"-A {service} {to}{chance}-j {name}")
            rules.append(f"-A {name} {own}-s {pod} -j KUBE-MARK-MASQ")
            rules.append(f"-A {name} {own}-m tcp -p tcp -j DNAT --to-destination {pod}:8080")
    builtin = [f":{name} ACCEPT [0:0]" for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")]
    return "\n".join(("*nat", *builtin, *chains, *rules, END, "COMMIT", ""))
