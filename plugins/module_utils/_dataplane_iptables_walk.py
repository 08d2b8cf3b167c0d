# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the chains of a Service port in kube-proxy's iptables mode lead a packet. Pure. Private to this collection.

Source: C(syncProxyRules) in C(pkg/proxy/iptables/proxier.go), 1.34 to 1.37. Chains are followed from the rule that jumps there,
each once, whoever leads to it: what stands in no packet's way is not looked at.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_balance import (
    MARK_MASQ,
    Asked,
    Lead,
    Nat,
    balance,
    told_by,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_rules import (
    INTERFACE,
    SOURCE,
    SOURCE_TYPE,
    Rule,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    LOCAL,
    MASQUERADE_ALL,
    MASQUERADE_NODE,
    MASQUERADE_NONE,
)

_EVERYBODY = {4: "0.0.0.0/0", 6: "::/0"}
_ALL, _NODE, _PODS, _NOBODY_KNOWN = "all", "node", "pods", ""


class Walk:
    """Follows the chains of one family.

    C(undetecting) are the chains that tell the node itself from others, but not pods, and the Service port of each.
    """

    def __init__(self, nat: Nat) -> None:
        self._nat = nat
        self._leads: dict[str, Lead] = {}
        self.undetecting: list[tuple[str, str]] = []

    def follow(self, chain: str, asked: Asked) -> Lead | None:
        """Where a chain leads; None for a chain that is none of a Service port's."""
        found = self._leads.get(chain)
        if found is None:
            kind = chain[:9]
            if kind in ("KUBE-SVC-", "KUBE-SVL-"):
                found = balance(self._nat, chain, asked)
            elif kind == "KUBE-EXT-":
                found = self._external(chain, asked)
            elif chain[:8] == "KUBE-FW-":
                found = self._firewall(chain, asked)
            else:
                return None
            self._leads[chain] = found
        return found

    def _external(self, chain: str, asked: Asked) -> Lead:
        """Pods and the node itself may be led elsewhere than all others."""
        masquerade = MASQUERADE_NONE
        led: dict[str, Lead] = {}
        for rule in self._nat.rules(chain):
            who = _who(rule)
            if rule.target == MARK_MASQ and who == _ALL:
                masquerade = MASQUERADE_ALL
            elif rule.target == MARK_MASQ and who == _NODE and _NODE not in led:
                masquerade = MASQUERADE_NODE
            elif who and rule.target[:8] in ("KUBE-SVC", "KUBE-SVL"):
                led[who] = self.follow(rule.target, asked) or Lead()
                if who == _PODS:
                    self._nat.detects(chain, told_by(rule))
                if who == _ALL:
                    break
            else:
                self._nat.foreign(chain, rule, asked.service)
        return self._joined(chain, asked.service, led, masquerade) if led else self._nat.nowhere(chain, asked.service)

    def _joined(self, chain: str, service: str, led: t.Mapping[str, Lead], masquerade: str) -> Lead:
        """One lead from those of the three kinds of clients."""
        others = led.get(_ALL, Lead())
        apart = led.get(_NODE) or led.get(_PODS)
        policy = LOCAL if apart else others.policy
        if policy == LOCAL and _NODE not in led:
            expected = "-m addrtype --src-type LOCAL -j KUBE-SVC-... (packets of the node itself)"
            self._nat.tell("rule_missing", chain, (expected, "no such rule"), service)
        elif policy == LOCAL and _PODS not in led:
            self.undetecting.append((chain, service))
        leads = [led[who] for who in (_ALL, _NODE, _PODS) if who in led]
        return Lead(
            others.destinations,
            apart.destinations if apart else None,
            min(one.affinity for one in leads),
            policy,
            {None: masquerade},
            tuple(sorted({one for lead in leads for one in lead.no_hairpin})),
            chains=(chain, *dict.fromkeys(name for lead in leads for name in lead.chains)),
            flaws=tuple(dict.fromkeys(flaw for lead in leads for flaw in lead.flaws)),
            broken=any(one.broken for one in led.values()),
        )

    def _firewall(self, chain: str, asked: Asked) -> Lead:
        """Only some networks get through; table filter drops the packets of all others."""
        ranges: dict[str, None] = {}
        lead: Lead | None = None
        for rule in self._nat.rules(chain):
            if rule.target[:8] == "KUBE-EXT" and rule.has in (0, SOURCE) and rule.source[:1] != "!":
                lead = lead or self.follow(rule.target, asked)
                ranges[rule.source or _EVERYBODY[self._nat.scene.family]] = None
            else:
                self._nat.foreign(chain, rule, asked.service)
        if lead is None:
            return self._nat.nowhere(chain, asked.service)
        return lead._replace(source_ranges=tuple(sorted(ranges)), chains=(chain, *lead.chains))


def _who(rule: Rule) -> str:
    """Whose packets a rule of KUBE-EXT is for; empty when kube-proxy makes no such rule."""
    if not rule.has:
        return _ALL
    if rule.has == SOURCE_TYPE and rule.source_type == "LOCAL":
        return _NODE
    told = rule.source if rule.has == SOURCE else rule.interface if rule.has == INTERFACE else ""
    return _PODS if told and told[0] != "!" else _NOBODY_KNOWN
