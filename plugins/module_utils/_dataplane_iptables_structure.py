# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jumps, fixed chains and their rules in iptables mode: what is there against what must be. Pure. Private to this collection.

Sources, in 1.34 to 1.37: C(iptablesJumpChains), C(iptablesKubeletJumpChains) and C(syncProxyRules) in
C(pkg/proxy/iptables/proxier.go), C(Monitor) in C(pkg/util/iptables/iptables.go): kube-proxy takes its canary in table mangle alone
for the sign that nobody flushed. Old releases of iptables have no C(--random-fully), with which 1.37 always writes.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_rules import (
    Place,
    Rule,
    RuleSettings,
    expected_rules,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_ipvs_structure import (
    Scene,
    chain_missing,
    is_flushed,
    jump_defects,
    mark_seen,
    rule_defects,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Defect
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Table, same_rule
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import (
    IPTABLES,
    JUMPS,
    fixed_chains,
)

_CANARY = "KUBE-PROXY-CANARY"
_SERVICES = "KUBE-SERVICES"
_SERVED = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-")
_INVALID = "-m conntrack --ctstate INVALID"
# Also kubelet's, which made both first.
_LOOPBACK_GUARD = (
    '! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" '
    "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
)
_GUARD_CHAIN = "KUBE-FIREWALL"


class Structure(t.NamedTuple):
    """:param nothing_in: tables of which a defect says that they were flushed, or that nobody read them"""

    defects: list[Defect]
    nothing_in: frozenset[str]


def structure(scene: Scene, serves: bool | None) -> Structure:
    """All that is wrong whatever Services there are, nat first. What only follows from something told is not told again.

    :param serves: whether table nat should lead to any endpoint; None where nobody knows
    """
    found: list[Defect] = []
    nothing_in = set()
    for name in ("nat", "filter"):
        table = scene.table(name)
        if table is None:
            what = scene.label(name, "table")
            found.append(
                Defect("table_unread", what, "its chains and rules", "nobody could read them", scene.evidence(name))
            )
            nothing_in.add(name)
            continue
        gone, defects = _table(scene, name, table, serves)
        found += defects
        if gone:
            nothing_in.add(name)
    return Structure(found, frozenset(nothing_in))


def _table(scene: Scene, name: str, table: Table, serves: bool | None) -> tuple[bool, list[Defect]]:
    chains = [chain for where, chain in fixed_chains(IPTABLES) if where == name]
    jumps = [jump for jump in JUMPS if jump.table == name and IPTABLES in jump.modes and not jump.until]
    if is_flushed(table, chains, jumps):
        return True, [_flushed(scene, name, "no jump, and no rule in a chain")]
    empty = name == "nat" and not table.chains.get(_SERVICES) and _serves(table, serves)
    found = [_flushed(scene, name, f"{_SERVICES} is empty")] if empty else []
    missing = frozenset(chain for chain in chains if chain not in table.chains)
    found += [chain_missing(scene, name, chain) for chain in chains if chain in missing and not _is_told(chain, empty)]
    for jump in jumps:
        if jump.chain not in missing:
            found += jump_defects(scene, jump, table.chains.get(jump.source, ()))
    for (where, chain), rules in _fixed_rules(scene).items():
        if where == name and chain not in missing:
            found += rule_defects(scene, (name, chain), rules, table.chains[chain])
    return empty, found


def _is_told(chain: str, empty: bool) -> bool:
    return empty and chain == _SERVICES


def _serves(table: Table, serves: bool | None) -> bool:
    """Without any Service, and with NodePorts on no address, KUBE-SERVICES is empty in a healthy dataplane, too."""
    if serves is not None:
        return serves
    return _SERVICES not in table.chains or any(chain.startswith(_SERVED) for chain in table.chains)


def _flushed(scene: Scene, name: str, actual: str) -> Defect:
    mangle = scene.table("mangle")
    if mangle is not None:
        alive = _CANARY in mangle.chains
        actual += (
            f"; {_CANARY} in table mangle is still there, so that kube-proxy does not notice"
            if alive
            else f"; {_CANARY} in table mangle is gone, too"
        )
    expected = "kube-proxy's jumps and rules"
    return Defect("flushed", scene.label(name, "table"), expected, actual, scene.evidence(name))


def _fixed_rules(scene: Scene) -> dict[Place, tuple[Rule, ...]]:
    """Those that both modes have, without what only ipvs mode adds."""
    settings = scene.settings or RuleSettings(mark_seen(scene.table("nat") or Table()))
    both = expected_rules(scene.family, {}, settings)
    masquerade = tuple(rule for rule in both["nat", "KUBE-POSTROUTING"] if not rule.uses)
    # Without it where the kernel was told to be liberal (nf_conntrack_tcp_be_liberal), with a counter where it has one.
    counted = f"{_INVALID} -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP"
    invalid = Rule(f"{_INVALID} -j DROP", also=(counted,), required=False)
    return {
        ("nat", "KUBE-MARK-MASQ"): both["nat", "KUBE-MARK-MASQ"],
        ("nat", "KUBE-POSTROUTING"): masquerade,
        ("filter", "KUBE-FORWARD"): (invalid, *both["filter", "KUBE-FORWARD"]),
    }


def guard_defects(scene: Scene) -> t.Iterator[Defect]:
    """What is wrong with the guard that keeps others away from the node's loopback addresses, which kube-proxy opens to
    NodePorts (C(route_localnet))."""
    table = scene.table("filter")
    if table is None:
        return
    if not any(same_rule(spec, _LOOPBACK_GUARD) for spec in table.chains.get(_GUARD_CHAIN, ())):
        what, evidence = scene.label("filter", _GUARD_CHAIN), scene.evidence("filter", _GUARD_CHAIN)
        yield Defect("rule_missing", what, _LOOPBACK_GUARD, "no such rule", evidence)
        return
    for source in ("INPUT", "OUTPUT"):
        # The one jump without a comment.
        if not any(same_rule(spec, f"-j {_GUARD_CHAIN}") for spec in table.chains.get(source, ())):
            what = scene.label("filter", f"{source} -> {_GUARD_CHAIN}")
            evidence = scene.evidence("filter", _GUARD_CHAIN)
            yield Defect("jump_missing", what, f"-j {_GUARD_CHAIN}", "no such rule", evidence)
