# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chains of single endpoints in nftables mode, and the rules that rewrite to one or to one of several. Pure. Private to
this collection.

Source: C(syncProxyRules), C(writeServiceToEndpointRules) (until 1.35), C(writeServiceToEndpointDNATs) and
C(writeServiceToEndpointJumps) (from 1.36 on) in C(pkg/proxy/nftables/proxier.go), 1.31 to 1.37.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_rules import (
    Rule,
    expression,
    parse_rules,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import Layout


class Problem(t.NamedTuple):
    """What is wrong with a chain, beside what entries tell. C(explains): what else the entry lacks follows from it."""

    chain: str
    expected: str
    actual: str
    explains: bool = False


class Endpoint(t.NamedTuple):
    """A chain C(endpoint-...).

    :param protocol: that its rule is for
    :param affinity: the set in which it notes clients; empty without session affinity
    :param marks: until 1.35: whether it has a packet of the endpoint itself masqueraded
    """

    destination: Destination | None = None
    protocol: str = ""
    affinity: str = ""
    marks: bool = False
    problems: tuple[Problem, ...] = ()
    strange: bool = False


def rules_of(layout: Layout, chain: str) -> tuple[list[Rule], list[Problem]]:
    """The rules of a chain that has to have some."""
    found = layout.table.chains.get(chain)
    if found is None:
        return [], [Problem(chain, "the chain that leads to endpoints", "there is no such chain", True)]
    rules = parse_rules(found.rules)
    return rules, [] if rules else [Problem(chain, "rules that lead to endpoints", "the chain is empty", True)]


def strange_rule(chain: str, rule: Rule) -> Problem:
    """A rule of no known shape."""
    return Problem(chain, "kube-proxy's rules only", f"'{rule.text}'", True)


def late_rules(chain: str, rules: t.Sequence[Rule]) -> list[Problem]:
    """Rules behind one that ends."""
    shown = ", ".join(f"'{rule.text}'" for rule in rules)
    return [Problem(chain, shown, "behind a rule that no packet passes", True)] if rules else []


def protocol_of(rule: Rule) -> str:
    """Of a rule that is for one protocol only; else empty."""
    word, _space, protocol = rule.matches[0].rpartition(" ") if len(rule.matches) == 1 else ("", "", "")
    return protocol if word == "meta l4proto" else ""


def plain_dnat(rule: Rule) -> Destination | None:
    """The destination of C(dnat to ADDRESS:PORT)."""
    action = rule.only
    body = action.body if action.kind == "dnat" and isinstance(action.body, dict) else {}
    address, port = body.get("addr"), body.get("port")
    return (address, port) if isinstance(address, str) and isinstance(port, int) else None


def read_endpoint(layout: Layout, name: str) -> Endpoint:
    """A chain C(endpoint-...)."""
    rules, problems = rules_of(layout, name)
    late: list[Rule] = []
    found = Endpoint()
    for rule in rules:
        destination = plain_dnat(rule)
        if found.destination is not None:
            late.append(rule)
        elif destination is not None and protocol_of(rule):
            found = found._replace(destination=destination, protocol=protocol_of(rule))
        elif rule.only.kind == "set" and not rule.matches and _noted_in(layout, rule):
            found = found._replace(affinity=_noted_in(layout, rule))
        elif layout.marks_by_jump and layout.marks(rule) and len(rule.matches) == 1:
            # For whom it is, is seen once the destination is known.
            found = found._replace(marks=rule.matches[0] == f"{layout.ip} saddr {_address_of(rules)}")
        else:
            problems.append(strange_rule(name, rule))
            found = found._replace(strange=True)
    if rules and found.destination is None and not found.strange:
        problems.append(Problem(name, "a rule that rewrites to the endpoint", "no such rule", True))
    return found._replace(problems=(*problems, *late_rules(name, late)))


def _address_of(rules: t.Iterable[Rule]) -> str:
    return next((found[0] for found in map(plain_dnat, rules) if found), "")


def _noted_in(layout: Layout, rule: Rule) -> str:
    """The set in which a rule notes the client."""
    body = rule.only.body
    name = body.get("set") if isinstance(body, dict) else None
    known = isinstance(name, str) and rule.text == f"update {name} {{ {layout.ip} saddr }}"
    return str(name)[1:] if known else ""


class Shares(t.NamedTuple):
    """What a map from random numbers leads to, and what is wrong with the shares (what should be, what is)."""

    values: list[t.Any]
    wrong: tuple[str, str] | None = None


def shares_of(body: t.Any) -> Shares | None:
    """C(numgen random mod N) with a map or verdict map; None for anything else."""
    numgen, elements = _numgen_map(body)
    if numgen is None or not elements:
        return None
    count, keys, values = len(elements), [one[0] for one in elements], [one[1] for one in elements]
    settings = (numgen.get("mode"), numgen.get("mod"), numgen.get("offset", 0))
    in_order = keys == list(range(count))
    if settings != ("random", count, 0) or not (in_order or sorted(map(str, keys)) == sorted(map(str, range(count)))):
        shown = ", ".join(map(expression, keys[:20]))
        actual = f"{expression({'numgen': numgen})} for {shown}"
        return Shares(values, (f"numgen random mod {count}, one number for each", actual))
    if len({pair_of(one) or expression(one) for one in values}) < count:
        return Shares(values, ("one share for each endpoint", "one has several"))
    return Shares(values)


def _numgen_map(body: t.Any) -> tuple[dict[str, t.Any] | None, list[t.Any]]:
    if not isinstance(body, dict) or not isinstance(body.get("key"), dict) or not isinstance(body.get("data"), dict):
        return None, []
    numgen, elements = body["key"].get("numgen"), body["data"].get("set")
    whole = isinstance(elements, list) and all(isinstance(one, list) and len(one) == 2 for one in elements)
    return (numgen, elements) if isinstance(numgen, dict) and whole else (None, [])


def pair_of(value: t.Any) -> Destination | None:
    """Address and port as they stand in a map."""
    parts = value.get("concat") if isinstance(value, dict) else None
    if isinstance(parts, list) and len(parts) == 2 and isinstance(parts[0], str) and isinstance(parts[1], int):
        return parts[0], parts[1]
    return None


def goto_of(value: t.Any) -> str:
    """The chain that a verdict leads to for good; empty for any other."""
    body = value.get("goto") if isinstance(value, dict) else None
    target = body.get("target") if isinstance(body, dict) else None
    return target if isinstance(target, str) else ""
