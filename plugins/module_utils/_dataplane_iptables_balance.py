# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a KUBE-SVC, KUBE-SVL or KUBE-SEP chain of kube-proxy's iptables mode spreads packets. Pure. Private to this collection.

Source: C(writeServiceToEndpointRules) and the per-endpoint chains of C(syncProxyRules) in C(pkg/proxy/iptables/proxier.go), 1.34
to 1.37.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_rules import (
    INTERFACE,
    PROBABILITY,
    PROTOCOL,
    RECENT,
    SOCKET,
    SOURCE,
    Rule,
    end_of,
    endpoint,
    host,
    number,
    parse_rule,
    share_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_shares import (
    Flaw,
    forgetful,
    unfair,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_usual import usual
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    CLUSTER,
    LOCAL,
    MASQUERADE_ALL,
    MASQUERADE_OUTSIDE,
    Defect,
    Destination,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_structure import Scene

MARK_MASQ = "KUBE-MARK-MASQ"
LOCAL_CHAINS = "KUBE-SVL-"
_ENDPOINTS = "KUBE-SEP-"
# These targets neither keep a packet from the rules behind them nor change it.
_HARMLESS = ("", "LOG", "NFLOG", "ULOG", "AUDIT", "TRACE")

Port = t.Tuple[str, str, int]
"""Address, protocol and port."""


class Lead(t.NamedTuple):
    """What a chain does with a packet; fields as in an Entry.

    :param masquerade: for packets to these ports; C(None) is for all others
    :param chains: those that were walked, but the endpoints' own
    :param flaws: what is wrong with how packets are shared out: that follows from a missing destination, too
    :param broken: a defect tells already that the chain does not do its work
    """

    destinations: tuple[Destination, ...] = ()
    short_circuit: tuple[Destination, ...] | None = None
    affinity: int = 0
    policy: str = CLUSTER
    masquerade: t.Mapping[Port | None, str] = {}
    no_hairpin: tuple[Destination, ...] = ()
    source_ranges: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    flaws: tuple[Defect, ...] = ()
    broken: bool = False


class End(t.NamedTuple):
    """Where an endpoint's chain leads.

    :param hairpin: whether the endpoint's own packets get a new source
    :param remembers: whether clients are noted, for session affinity
    """

    destination: Destination
    hairpin: bool
    remembers: bool


class Asked(t.NamedTuple):
    """For whom a chain is followed."""

    service: str
    protocol: str


class Nat:
    """Table nat of one family, and what is noted while its chains are followed: C(defects), and in C(detectors) the matches by
    which pods are told from others, with the first chain of each and how many have it."""

    def __init__(self, scene: Scene, chains: t.Mapping[str, t.Sequence[str]]) -> None:
        self.scene = scene
        self.chains = chains
        self.defects: list[Defect] = []
        self.detectors: dict[str, tuple[str, int]] = {}

    def rules(self, chain: str) -> t.Iterator[Rule]:
        """The rules of a chain, taken apart; none where there is no such chain."""
        return map(parse_rule, self.chains.get(chain, ()))

    def tell(self, kind: str, chain: str, flaw: Flaw, service: str = "", table: str = "nat") -> None:
        """Note a defect."""
        scene = self.scene
        self.defects.append(Defect(kind, scene.label(table, chain), *flaw, scene.evidence(table, chain), service))

    def foreign(self, chain: str, rule: Rule, service: str = "", table: str = "nat") -> None:
        """Note a rule that is not kube-proxy's, or not any more; unless it does nothing to packets."""
        if rule.target not in _HARMLESS:
            self.tell("rule_wrong", chain, ("only kube-proxy's own rules", f"'{rule.text}'"), service, table)

    def nowhere(self, chain: str, service: str) -> Lead:
        """Note a chain that leads to no endpoint."""
        rules = self.chains.get(chain)
        actual = "no rule of it does" if rules else "the chain is empty" if rules == () else "there is no such chain"
        self.tell("element_broken", chain, ("rules that lead to an endpoint", actual), service)
        return Lead(chains=(chain,), broken=True)

    def detects(self, chain: str, match: str) -> None:
        """Note by what pods are told from others."""
        first, count = self.detectors.get(match, (chain, 0))
        self.detectors[match] = first, count + 1

    def end(self, chain: str, asked: Asked) -> End | None:
        """Where an endpoint's chain leads; None when it does not, which is told."""
        plain = end_of(self.chains.get(chain, ()))
        if plain and plain[1] == asked.protocol:
            return End(plain[0], hairpin=True, remembers=False)
        sources = []
        actual = "no such rule"
        for rule in self.rules(chain):
            if rule.target == MARK_MASQ and rule.has == SOURCE:
                sources.append(host(rule.source))
            elif rule.target == "DNAT":
                found = endpoint(rule.to)
                if found and rule.has in (PROTOCOL, PROTOCOL | RECENT) and rule.protocol == asked.protocol:
                    return End(found, found[0] in sources, rule.recent == "--set" and rule.list_name == chain)
                actual = f"'{rule.text}'"
                break
            else:
                self.foreign(chain, rule, asked.service)
        self.tell("element_broken", chain, (f"a {asked.protocol} DNAT rule to one endpoint", actual), asked.service)
        return None


def balance(nat: Nat, chain: str, asked: Asked) -> Lead:
    """Where KUBE-SVC or KUBE-SVL leads."""
    policy = LOCAL if chain.startswith(LOCAL_CHAINS) else CLUSTER
    plain = usual(nat.chains, chain, asked.protocol)
    if plain is not None:
        if plain.pods:
            nat.detects(chain, plain.pods)
        new_source = MASQUERADE_OUTSIDE if plain.pods else MASQUERADE_ALL
        return Lead(plain.destinations, policy=policy, masquerade={plain.masqueraded: new_source}, chains=(chain,))
    return _taken_apart(nat, chain, asked, policy)


def _taken_apart(nat: Nat, chain: str, asked: Asked, policy: str) -> Lead:
    masquerade: dict[Port | None, str] = {}
    sticky: dict[str, str] = {}
    shares: list[tuple[str, str]] = []
    for text in nat.chains.get(chain, ()):
        share = share_of(text)
        if share is not None:
            shares.append(share)
            continue
        rule = parse_rule(text)
        if rule.target[:9] == _ENDPOINTS and rule.has in (0, PROBABILITY):
            shares.append((rule.target, rule.probability))
        elif rule.target[:9] == _ENDPOINTS and _finds_again(rule):
            sticky[rule.target] = rule.seconds
        elif shares and not shares[-1][1]:
            break
        elif sticky or shares or not _marks(nat, chain, rule, masquerade):
            nat.foreign(chain, rule, asked.service)
    if not shares:
        return nat.nowhere(chain, asked.service)
    ends = {name: nat.end(name, asked) for name, _share in shares}
    found = [one for one in ends.values() if one is not None]
    flaws: list[Flaw] = [*unfair(shares), *(forgetful(sticky, ends) if sticky else ())]
    return Lead(
        tuple(sorted({one.destination for one in found})),
        affinity=number(next(iter(sticky.values()), "")) or 0,
        policy=policy,
        masquerade=masquerade,
        no_hairpin=tuple(sorted({one.destination for one in found if not one.hairpin})),
        chains=(chain,),
        flaws=tuple(_shares_wrong(nat, chain, flaw, asked.service) for flaw in flaws),
        broken=len(found) < len(ends),
    )


def _shares_wrong(nat: Nat, chain: str, flaw: Flaw, service: str) -> Defect:
    return Defect("shares_wrong", nat.scene.label("nat", chain), *flaw, nat.scene.evidence("nat", chain), service)


def told_by(rule: Rule) -> str:
    """The match by which a rule tells pods from others."""
    return (f"-s {rule.source}" if rule.source else f"-i {rule.interface}").replace("! ", "")


def _finds_again(rule: Rule) -> bool:
    return rule.has == RECENT and rule.recent == "--rcheck" and rule.list_name == rule.target


def _marks(nat: Nat, chain: str, rule: Rule, masquerade: dict[Port | None, str]) -> bool:
    """Note for which packets to which port a rule asks for a new source; false when it is not kube-proxy's."""
    port = number(rule.port)
    if rule.target != MARK_MASQ or rule.has & SOCKET != SOCKET or port is None:
        return False
    key = host(rule.destination), rule.protocol, port
    if rule.has == SOCKET:
        masquerade[key] = MASQUERADE_ALL
    elif rule.has in (SOCKET | SOURCE, SOCKET | INTERFACE) and (rule.source or rule.interface)[0] == "!":
        masquerade.setdefault(key, MASQUERADE_OUTSIDE)
        nat.detects(chain, told_by(rule))
    else:
        return False
    return True
