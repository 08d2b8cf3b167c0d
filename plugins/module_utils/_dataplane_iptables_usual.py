# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chains of a Service port in the form that nearly all have, matched as a whole. Pure. Private to this collection.

Without session affinity kube-proxy writes one rule that asks for a new source, then a share for each endpoint, whose own chain
has two rules. Whatever is written otherwise, or is wrong, is left to L(_dataplane_iptables_balance), which takes it apart.

Source: C(writeServiceToEndpointRules) and C(syncProxyRules) in C(pkg/proxy/iptables/proxier.go), 1.34 to 1.37.
"""

from __future__ import annotations

import re
import typing as t
from functools import lru_cache

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_shares import are_even

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination

Match = t.Callable[[str], t.Optional["re.Match[str]"]]

_MOST = 16
"""Endpoints: a pattern for more takes longer to compile than it saves."""

_TWO_EACH = {2}
_UNNAMED = r'(?:-m comment --comment "[^"\\\n]*" )?'
_ADDRESS, _PORT = r"((?:[0-9]{1,3}\.){3}[0-9]{1,3})", "([0-9]{1,5})"
_MASQUERADE = (
    rf'(?:! (-s [^\s"]+) )?-d {_ADDRESS}/32 -p (tcp|udp|sctp) {_UNNAMED}-m \3 --dport {_PORT} -j KUBE-MARK-MASQ\n'
)
_SHARE = rf"{_UNNAMED}-m statistic --mode random --probability ([0-9.]+) -j (KUBE-SEP-[A-Z0-9]+)\n"
_REST = rf"{_UNNAMED}-j (KUBE-SEP-[A-Z0-9]+)"


class Usual(t.NamedTuple):
    """What such chains do.

    :param masqueraded: address, protocol and port of packets that get a new source
    :param pods: the match for those that keep theirs; empty: none does
    :param destinations: sorted; each is masqueraded to itself
    """

    masqueraded: tuple[str, str, int]
    pods: str
    destinations: tuple[Destination, ...]


def usual(chains: t.Mapping[str, t.Sequence[str]], chain: str, protocol: str) -> Usual | None:
    """What the chain KUBE-SVC or KUBE-SVL does to packets of a protocol; None where it has to be taken apart."""
    rules = chains.get(chain, ())
    count = len(rules) - 1
    found = _shared_by(count)("\n".join(rules)) if 0 < count <= _MOST else None
    if found is None:
        return None
    pods, address, named, port, *shares = found.groups()
    names = (*shares[1::2], shares[-1])
    ends = [chains.get(name, ()) for name in names]
    if len(set(names)) < count or set(map(len, ends)) != _TWO_EACH or not are_even((*shares[:-1:2], "")):
        return None
    led = _ending_in(count, protocol)("\n".join(map("\n".join, ends)))
    if led is None:
        return None
    places = led.groups()
    destinations = sorted(set(zip(places[::2], map(int, places[1::2]))))
    return Usual((address, named, int(port)), pods or "", tuple(destinations))


@lru_cache(maxsize=None)
def _shared_by(count: int) -> Match:
    return re.compile(_MASQUERADE + _SHARE * (count - 1) + _REST).fullmatch


@lru_cache(maxsize=None)
def _ending_in(count: int, protocol: str) -> Match:
    ends = (
        rf"-s {_ADDRESS}/32 {_UNNAMED}-j KUBE-MARK-MASQ\n"
        rf"-p {protocol} {_UNNAMED}-m {protocol} -j DNAT --to-destination \{2 * number + 1}:{_PORT}"
        for number in range(count)
    )
    return re.compile("\n".join(ends)).fullmatch
