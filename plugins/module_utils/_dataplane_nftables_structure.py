# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in kube-proxy's nftables tables whatever Services there are, and whether it does. Pure. Private to this
collection.

Source: C(nftablesBaseChains), C(nftablesJumpChains) and C(setupNFTables) in C(pkg/proxy/nftables/proxier.go) of 1.31, 1.33,
1.34, 1.35, 1.36 and 1.37.
"""

from __future__ import annotations

import re
import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import (
    MASQUERADE_ALL,
    MASQUERADE_NONE,
    MASQUERADE_OUTSIDE,
    Defect,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import (
    HAIRPINS,
    LOCAL_REJECT_CHAINS,
    LOCAL_REJECTS,
    MARK_CHAIN,
    Layout,
)


class _Base(t.NamedTuple):
    kind: str
    hook: str
    priority: int
    rules: tuple[str, ...]

    def settings(self, ahead: int) -> str:
        return f"type {self.kind} hook {self.hook} priority {self.priority - ahead}; policy accept"


class _Wanted(t.NamedTuple):
    text: str
    required: bool = True

    @property
    def pattern(self) -> re.Pattern[str]:
        """An asterisk is any text, or none."""
        return re.compile("(?: .+)?".join(map(re.escape, self.text.split(" *"))))


def _base(kind: str, hook: str, priority: int, *chains: str) -> _Base:
    condition = "ct state new " if kind == "filter" else ""
    return _Base(kind, hook, priority, tuple(f"{condition}jump {chain}" for chain in chains))


_NAT_BASES = {
    "nat-prerouting": _base("nat", "prerouting", -100, "services"),
    "nat-output": _base("nat", "output", -100, "services"),
    "nat-postrouting": _base("nat", "postrouting", 100, "masquerading"),
}
_BASES = {
    "filter-prerouting-pre-dnat": _base("filter", "prerouting", -110, "firewall-check"),
    "filter-output-pre-dnat": _base("filter", "output", -110, "firewall-check"),
    "filter-input": _base("filter", "input", 0, "nodeport-endpoints-check", "service-endpoints-check"),
    "filter-forward": _base("filter", "forward", 0, "service-endpoints-check", "cluster-ips-check"),
    "filter-output": _base("filter", "output", 0, "service-endpoints-check", "cluster-ips-check"),
    **_NAT_BASES,
}
_BASES_1_31 = {
    "filter-prerouting": _base("filter", "prerouting", -110, "firewall-check"),
    "filter-input": _base("filter", "input", -110, "nodeport-endpoints-check", "service-endpoints-check"),
    "filter-forward": _base("filter", "forward", -110, "service-endpoints-check", "cluster-ips-check"),
    "filter-output": _base("filter", "output", -110, "service-endpoints-check", "firewall-check"),
    "filter-output-post-dnat": _base("filter", "output", -90, "cluster-ips-check"),
    **_NAT_BASES,
}


def is_flushed(layout: Layout) -> bool:
    """No packet passes a rule."""
    return not any(layout.rules[name] for name in layout.rules if layout.table.chains[name].hook)


def structure_defects(layout: Layout, pods: str | None) -> list[Defect]:
    """What is not as a known release writes it, whatever Services there are.

    :param pods: how pods are told from others; empty: they are not, None: nothing says it
    """
    found = [*_table_defects(layout)]
    current, older = (
        [defect for name, base in bases.items() for defect in _base_defects(layout, name, base)]
        for bases in (_BASES, _BASES_1_31)
    )
    found += older if len(older) < len(current) else current
    for chain, wanted in _stock_rules(layout).items():
        if chain in layout.table.chains:
            found += _rule_defects(layout, chain, wanted, "rule_missing")
        else:
            found.append(_chain_missing(layout, chain))
    return [*found, *_cluster_rule(layout, pods), *_as_configured(layout, pods)]


def _table_defects(layout: Layout) -> t.Iterator[Defect]:
    if layout.table.flags:
        what, actual = f"table {layout.ip} {layout.table.name}", f"flags {', '.join(layout.table.flags)}"
        yield Defect("jump_missing", what, "a table that packets pass", f"{actual}: it is dormant", layout.evidence())


def _base_defects(layout: Layout, name: str, base: _Base) -> t.Iterator[Defect]:
    chain = layout.table.chains.get(name)
    if chain is None:
        yield _chain_missing(layout, name)
        return
    actual = f"type {chain.type} hook {chain.hook} priority {chain.priority}; policy {chain.policy}"
    settings = base.settings(layout.ahead)
    if actual != settings:
        shown = actual if chain.hook else "a chain without a hook"
        yield Defect("rule_wrong", layout.text(name), settings, shown, layout.evidence(name))
    yield from _rule_defects(layout, name, [_Wanted(text) for text in base.rules], "jump_missing")


def _chain_missing(layout: Layout, chain: str) -> Defect:
    return Defect("chain_missing", layout.text(chain), "the chain", "there is no such chain", layout.evidence())


def _stock_rules(layout: Layout) -> dict[str, list[_Wanted]]:
    ip, loopback = layout.ip, "127.0.0.0/8" if layout.family == 4 else "::1"
    ports, addressed = "meta l4proto . th dport", f"{ip} daddr . meta l4proto . th dport"
    elsewhere = "" if layout.loopback else f"{ip} daddr != {loopback} "
    some = elsewhere if layout.all_node_ports else f"{ip} daddr @nodeport-ips "
    whole = f"fib daddr type local {elsewhere}" if layout.all_node_ports else some
    checks = [_Wanted(f"{some}{ports} vmap @no-endpoint-nodeports")]
    if LOCAL_REJECTS in layout.table.maps:
        checks.append(_Wanted(f"{ip} daddr {loopback} {ports} vmap @{LOCAL_REJECTS}"))
    found = {
        "services": [
            _Wanted(f"{addressed} vmap @service-ips"),
            _Wanted(f"{whole}{ports} vmap @service-nodeports"),
        ],
        "firewall-check": [_Wanted(f"{addressed} vmap @firewall-ips")],
        "service-endpoints-check": [_Wanted(f"{addressed} vmap @no-endpoint-services")],
        "nodeport-endpoints-check": checks,
        "cluster-ips-check": [
            _Wanted(f"{ip} daddr @cluster-ips reject"),
            _Wanted(f"{ip} daddr * drop", required=False),
        ],
        "reject-chain": [_Wanted("reject")],
    }
    for chain in LOCAL_REJECT_CHAINS:
        if chain in layout.table.chains:
            found[chain] = [_Wanted("reject")]
    _add_masquerading(layout, found)
    return found


def _add_masquerading(layout: Layout, found: dict[str, list[_Wanted]]) -> None:
    ip, mark = layout.ip, "*" if layout.mark is None else hex(layout.mark)
    xor, masquerade = f"meta mark set meta mark xor {mark}", "masquerade fully-random"
    if layout.marks_by_jump:
        returned = f"meta mark and {mark} == 0 return"
        found["masquerading"] = [_Wanted(text) for text in (returned, xor, masquerade)]
        found[MARK_CHAIN] = [_Wanted(f"meta mark set meta mark or {mark}")]
        return
    looped = f"{ip} saddr . {ip} daddr . meta l4proto . th dport @{HAIRPINS}"
    texts = (f"meta mark and {mark} != 0 {xor} {masquerade}", f"ct status dnat {looped} {masquerade}")
    found["masquerading"] = [_Wanted(text) for text in texts]
    for whose in ("", " * != *"):
        text = f"{ip} daddr @cluster-ips{whose} meta mark set meta mark or {mark}"
        found["services"].insert(0, _Wanted(text, required=False))


def _cluster_rule(layout: Layout, pods: str | None) -> t.Iterator[Defect]:
    """From 1.36 on: the rule that has packets to ClusterIPs masqueraded. It may be meant not to be there."""
    wanted, seen = layout.wanted_masquerade(pods), layout.cluster_masquerade
    others = any("@cluster-ips" in rule.text for rule in layout.rules.get("services", ())) and seen == MASQUERADE_NONE
    if layout.marks_by_jump or not layout.rules.get("services") or others:
        return
    defect = partial(Defect, object=layout.text("services"), evidence=layout.evidence("services"))
    if wanted != seen:
        kind = "rule_missing" if seen == MASQUERADE_NONE else "rule_wrong"
        yield defect(kind, expected=_CLUSTER_RULES[wanted], actual=_CLUSTER_RULES[seen])
    elif layout.cluster_pods and pods != layout.cluster_pods:
        yield defect("rule_wrong", expected=f"pods told by '{pods}'", actual=f"by '{layout.cluster_pods}'")


def _as_configured(layout: Layout, pods: str | None) -> t.Iterator[Defect]:
    """What no rule at all does as the configuration says."""
    defect = partial(Defect, "rule_wrong", f"table {layout.ip} {layout.table.name}", evidence=layout.evidence())
    if layout.pods not in (None, pods):
        expected = f"pods told by '{layout.pods}'" if layout.pods else "pods not told from others"
        yield defect(expected=expected, actual=f"by '{pods}'" if pods else "pods not told from others")
    if layout.wanted_mark not in (None, layout.mark):
        yield defect(expected=f"mark {layout.wanted_mark:#x}", actual=f"mark {layout.mark:#x}")


_CLUSTER_RULES = {
    MASQUERADE_ALL: "packets to ClusterIPs masqueraded, all of them",
    MASQUERADE_OUTSIDE: "packets to ClusterIPs masqueraded unless pods send them",
    MASQUERADE_NONE: "no rule that has packets to ClusterIPs masqueraded",
}


def _rule_defects(layout: Layout, chain: str, wanted: list[_Wanted], missing_kind: str) -> t.Iterator[Defect]:
    defect = partial(Defect, object=layout.text(chain), evidence=layout.evidence(chain))
    required = [one for one in wanted if one.required]
    if not layout.rules[chain] and len(required) > 1:
        yield defect(missing_kind, expected=f"its {len(required)} rules", actual="the chain is empty")
        return
    patterns = [one.pattern for one in wanted]
    order: list[int] = []
    surplus: list[str] = []
    for rule in layout.rules[chain]:
        number = next((n for n, pattern in enumerate(patterns) if pattern.fullmatch(rule.text)), None)
        if number is None:
            surplus.append(rule.text)
        elif number in order:
            twice = "jump_twice" if missing_kind == "jump_missing" else "rule_wrong"
            yield defect(twice, expected=f"'{wanted[number].text}' once", actual="more than once")
        else:
            order.append(number)
    missing = [one.text for number, one in enumerate(wanted) if number not in order and one.required]
    for expected, actual in _paired(missing, surplus):
        yield defect("rule_wrong" if actual else missing_kind, expected=expected, actual=actual or "no such rule")
    for text in surplus:
        yield defect("rule_wrong", expected="kube-proxy's rules only", actual=f"'{text}' too")
    if order != sorted(order):
        shown = ", ".join(f"'{wanted[number].text}'" for number in order)
        yield defect("rule_wrong", expected="kube-proxy's order of rules", actual=shown)


def _paired(missing: t.Sequence[str], surplus: list[str]) -> list[tuple[str, str]]:
    """Each rule that is missing, with the one that stands in its place, if there is one; that is surplus no more."""
    found = {text: next((one for one in surplus if one.split(" ")[-1] == text.split(" ")[-1]), "") for text in missing}
    alone = [text for text, instead in found.items() if not instead]
    left = [one for one in surplus if one not in found.values()]
    if len(alone) == len(left) == 1:
        found[alone[0]] = left[0]
    surplus[:] = [one for one in surplus if one not in found.values()]
    return list(found.items())
