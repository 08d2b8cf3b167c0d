# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the kernel is set as kube-proxy's mode needs it. Pure. Private to this collection.

Sources, in 1.34 to 1.37: C(NewProxier) in C(pkg/proxy/ipvs/proxier.go) and in C(pkg/proxy/iptables/proxier.go) (what they
set when they start, and under which conditions), C(NewNodePortAddresses) in C(pkg/proxy/util/nodeport_addresses.go),
C(pkg/util/kernel/constants.go); of Linux C(Documentation/networking/ipvs-sysctl.rst), C(ip-sysctl.rst) and
C(nf_conntrack-sysctl.rst), and C(ip_vs_proto_tcp.c).
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import (
    ERROR,
    INFO,
    UNREAD,
    WARNING,
    Finding,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import DEFAULT_TIMEOUTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPTABLES, IPVS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_checks import seconds

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_model import Kernel, NodeFacts

CONNTRACK_COUNT, CONNTRACK_MAX = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"
KEEPALIVE = "net.ipv4.tcp_keepalive_time"
_FULL, _FILLING = 90, 75

# conn_reuse_mode came with 4.1, and has no use for 0 any more since 5.9 (kubernetes issue 93297).
_REUSE_FROM, _REUSE_UNTIL = (4, 1), (5, 9)

_LOOPBACK = ipaddress.ip_address("127.0.0.0")
_TIMEOUTS = ("tcpTimeout", "tcpFinTimeout", "udpTimeout")


class _Need(t.NamedTuple):
    """A sysctl, the value it has to have, and what happens without."""

    name: str
    value: int
    severity: str
    harm: str
    by_kube_proxy: bool = True
    must_exist: bool = True


def kernel_findings(facts: NodeFacts) -> t.Iterator[Finding]:
    """All about sysctls, the timeouts of IPVS and the table of connections."""
    kernel = facts.kernel
    if kernel is None:
        yield unread("the kernel's settings", "nobody read them", "sysctl -a --pattern 'net.(ipv4|netfilter|bridge)'")
        return
    yield from (unread("the kernel's settings", sentence) for sentence in kernel.unread)
    for need in _needs(facts, kernel):
        yield from _sysctl(kernel, need)
    yield from _reuse(facts, kernel)
    yield from _timeouts(facts, kernel)
    yield from _conntrack(kernel)


def unread(what: str, why: str, evidence: str = "") -> Finding:
    """Something that is not known, and so not good either."""
    return Finding(
        INFO, UNREAD, what, actual=why, evidence=evidence, remedy="Have it readable: until then it is not checked."
    )


def _needs(facts: NodeFacts, kernel: Kernel) -> t.Iterator[_Need]:
    ipvs = facts.mode == IPVS
    if 4 in facts.families:
        yield _Need("net.ipv4.ip_forward", 1, ERROR, "Nothing is forwarded to pods.", by_kube_proxy=ipvs)
    if 6 in facts.families:
        yield _Need("net.ipv6.conf.all.forwarding", 1, ERROR, "No IPv6 is forwarded to pods.", by_kube_proxy=False)
    for family, name in ((4, "net.bridge.bridge-nf-call-iptables"), (6, "net.bridge.bridge-nf-call-ip6tables")):
        if family in facts.families:
            harm = "Answers between pods on one bridge pass by the address translation, and the client drops them."
            yield _Need(name, 1, WARNING, harm, by_kube_proxy=False, must_exist=False)
    if ipvs:
        yield from _ipvs_needs(facts, kernel)
    if facts.mode == IPTABLES and 4 in facts.families and _serves_localhost(facts):
        harm = "NodePorts do not answer on 127.0.0.1 (iptables.localhostNodePorts)."
        yield _Need("net.ipv4.conf.all.route_localnet", 1, WARNING, harm)


def _ipvs_needs(facts: NodeFacts, kernel: Kernel) -> t.Iterator[_Need]:
    yield _Need("net.ipv4.vs.conntrack", 1, ERROR, "Connections through IPVS are not masqueraded.")
    dead = "Packets of connections to an endpoint that is gone are dropped in silence, and clients hang."
    yield _Need("net.ipv4.vs.expire_nodest_conn", 1, WARNING, dead)
    sticky = "Session affinity keeps sending clients to an endpoint of weight 0."
    yield _Need("net.ipv4.vs.expire_quiescent_template", 1, WARNING, sticky)
    version = kernel.version
    if version is not None and _REUSE_FROM <= version < _REUSE_UNTIL:
        harm = "New connections from a port that was just used wait a second, or fail while endpoints go away."
        yield _Need("net.ipv4.vs.conn_reuse_mode", 0, WARNING, harm)
    if facts.setting("ipvs", "strictARP"):
        harm = "The node answers ARP for every address on kube-ipvs0 (ipvs.strictARP)."
        yield _Need("net.ipv4.conf.all.arp_ignore", 1, ERROR, harm)
        yield _Need("net.ipv4.conf.all.arp_announce", 2, ERROR, harm)


def _serves_localhost(facts: NodeFacts) -> bool:
    """C(ContainsIPv4Loopback): without a network of this family, every address counts."""
    if not facts.setting("iptables", "localhostNodePorts"):
        return False
    given = [str(one) for one in (facts.config or {}).get("nodePortAddresses") or ()]
    if "localhost" in given or "all" in given:
        return True
    networks = [one for one in map(_network, given) if one is not None and one.version == 4]
    if networks:
        return any(one.is_loopback or _LOOPBACK in one for one in networks)
    # The keyword is the node's own address, which is no loopback one.
    return "primary" not in given


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _sysctl(kernel: Kernel, need: _Need) -> t.Iterator[Finding]:
    evidence = f"sysctl {need.name}"
    seen = kernel.sysctls.get(need.name)
    if seen is None:
        if need.must_exist and not kernel.unread:
            yield unread(need.name, "this kernel does not have it, or nobody read it", evidence)
    elif seen.strip() != str(need.value):
        cause, remedy = _who_sets(need) if need.by_kube_proxy else _who_prepares(need)
        yield Finding(
            need.severity,
            "sysctl_wrong",
            need.name,
            expected=str(need.value),
            actual=seen.strip(),
            evidence=evidence,
            cause=f"{need.harm} {cause}",
            remedy=remedy,
        )


def _who_sets(need: _Need) -> tuple[str, str]:
    cause = "kube-proxy sets it when it starts, so something set it back since."
    places = f"Look for {need.name} in /etc/sysctl.d and in other agents"
    return cause, f"{places}, then delete the node's kube-proxy pod (module netops.kube_proxy.kube_proxy_pod)."


def _who_prepares(need: _Need) -> tuple[str, str]:
    cause = "kube-proxy does not set it: who prepares the node does."
    by_hand = f"sysctl -w {need.name}={need.value} and the same in /etc/sysctl.d"
    return cause, f"Run the role netops.kube_proxy.node (node_sysctls), or {by_hand}."


def _reuse(facts: NodeFacts, kernel: Kernel) -> t.Iterator[Finding]:
    if facts.mode == IPVS and kernel.version is None:
        yield unread(
            "net.ipv4.vs.conn_reuse_mode", "it depends on the kernel's release, which is not known", "uname -r"
        )


def _timeouts(facts: NodeFacts, kernel: Kernel) -> t.Iterator[Finding]:
    if facts.mode != IPVS:
        return
    evidence = "ipvsadm -L --timeout"
    if kernel.timeouts is None:
        if not kernel.unread:
            yield unread("the timeouts of IPVS", "ip_vs is not in the kernel", evidence)
        return
    for name, actual in zip(_TIMEOUTS, kernel.timeouts):
        wanted = int(seconds(facts.setting("ipvs", name)) or 0)
        if wanted > 0 and wanted != actual:
            yield Finding(
                WARNING,
                "ipvs_timeout_wrong",
                f"ipvs.{name}",
                expected=f"{wanted} s",
                actual=f"{actual} s",
                evidence=evidence,
                cause="The configuration was changed after this kube-proxy started, or something set the timeout since.",
                remedy="Delete the node's kube-proxy pod (module netops.kube_proxy.kube_proxy_pod): it sets them when it starts.",
            )
    yield from _against_keepalive(kernel, kernel.timeouts.tcp, evidence)


def _against_keepalive(kernel: Kernel, timeout: int, evidence: str) -> t.Iterator[Finding]:
    keepalive = kernel.number(KEEPALIVE)
    if keepalive is None:
        if not kernel.unread:
            yield unread(KEEPALIVE, "this kernel does not have it, or nobody read it", f"sysctl {KEEPALIVE}")
    elif timeout < keepalive:
        default = ", the kernel's own default" if timeout == DEFAULT_TIMEOUTS.tcp else ""
        yield Finding(
            WARNING,
            "ipvs_timeout_below_keepalive",
            "ipvs.tcpTimeout",
            expected=f"more than {keepalive} s ({KEEPALIVE})",
            actual=f"{timeout} s{default}",
            evidence=f"{evidence}; sysctl {KEEPALIVE}",
            cause=f"IPVS forgets a TCP connection that is idle for {timeout} s, and the first keepalive comes after {keepalive} s: "
            "the next packet is answered with a reset. (Pods have a keepalive time of their own.)",
            remedy=f"Set ipvs.tcpTimeout above {keepalive} s (module netops.kube_proxy.kube_proxy_mode, settings: "
            f"{{ipvs: {{tcpTimeout: {keepalive + 60}s}}}}), or have clients send keepalives within {timeout} s.",
        )


def _conntrack(kernel: Kernel) -> t.Iterator[Finding]:
    count, limit = kernel.number(CONNTRACK_COUNT), kernel.number(CONNTRACK_MAX)
    evidence = f"sysctl {CONNTRACK_COUNT} {CONNTRACK_MAX}"
    if count is None or limit is None:
        if not kernel.unread:
            yield unread("the table of connections", "nf_conntrack is not in the kernel, or nobody read it", evidence)
        return
    share = count * 100 // limit if limit else 0
    if share < _FILLING:
        return
    yield Finding(
        ERROR if share >= _FULL else WARNING,
        "conntrack_full",
        "nf_conntrack",
        expected=f"less than {_FILLING} % of {limit} connections",
        actual=f"{count} connections, {share} %",
        evidence=evidence,
        cause="A full table drops every new connection, to Services or not.",
        remedy="Raise conntrack.maxPerCore or conntrack.min of kube-proxy (module netops.kube_proxy.kube_proxy_mode), or find who "
        "opens so many: conntrack -L.",
    )
