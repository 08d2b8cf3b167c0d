# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nftables as C(nft -j) lists them: what they match, what they do, and their text. Pure. Private to this collection.

Source: libnftables-json(5). The text is near to what nft prints without C(-j): it is what rules are compared by, and what
people are shown. What is not known here has its JSON as text, so that it never equals anything.
"""

from __future__ import annotations

import json
import re
import typing as t

NEUTRAL = frozenset({"counter", "log"})
"""Statements that change no packet and end no rule. An operator may have put them anywhere."""

_OPERATORS = {"&": "and", "|": "or", "^": "xor"}


class Action(t.NamedTuple):
    """A statement that does something: its kind in nft's JSON, and the JSON."""

    kind: str
    body: t.Any

    @property
    def text(self) -> str:
        """Near to what nft prints."""
        return statement(self.kind, self.body)

    @property
    def target(self) -> str:
        """The chain that a verdict leads to; empty for everything else."""
        found = self.body.get("target") if self.kind in ("goto", "jump") and isinstance(self.body, dict) else None
        return found if isinstance(found, str) else ""


class Rule(t.NamedTuple):
    """A rule without what is neutral: the text of its matches, and what it does with a packet that passes them."""

    matches: tuple[str, ...]
    actions: tuple[Action, ...]

    @property
    def text(self) -> str:
        """Near to what nft prints; empty for a rule that does nothing."""
        return " ".join((*self.matches, *(one.text for one in self.actions)))

    @property
    def only(self) -> Action:
        """What it does, if that is one thing."""
        return self.actions[0] if len(self.actions) == 1 else _NOTHING


_NOTHING = Action("", None)


def parse_rule(statements: t.Iterable[t.Any]) -> Rule:
    """A rule of C(NftChain.rules)."""
    matches: list[str] = []
    actions: list[Action] = []
    for one in statements:
        kind, body = next(iter(one.items())) if isinstance(one, dict) and len(one) == 1 else ("", one)
        if kind == "match":
            matches.append(_match(body))
        elif kind not in NEUTRAL and not _is_trace(kind, body):
            actions.append(Action(kind, body))
    return Rule(tuple(matches), tuple(actions))


def parse_rules(rules: t.Iterable[t.Iterable[t.Any]]) -> list[Rule]:
    """Those rules of a chain that do something."""
    return [rule for rule in map(parse_rule, rules) if rule.actions]


def _is_trace(kind: str, body: t.Any) -> bool:
    return kind == "mangle" and isinstance(body, dict) and body.get("key") == {"meta": {"key": "nftrace"}}


def _match(body: t.Any) -> str:
    if not isinstance(body, dict):
        return _unknown("match", body)
    operator, left = body.get("op"), body.get("left")
    between = "" if operator == "in" or (operator == "==" and not _is_mask(left)) else f"{operator} "
    return f"{expression(left)} {between}{expression(body.get('right'))}"


def _is_mask(left: t.Any) -> bool:
    return isinstance(left, dict) and "&" in left


def expression(value: t.Any) -> str:
    """The text of an expression."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict) and len(value) == 1:
        kind, body = next(iter(value.items()))
        known = _EXPRESSIONS.get(kind)
        text = known(body) if known else None
        return text if text is not None else _unknown(kind, body)
    return _unknown("", value)


def _payload(body: t.Any) -> str | None:
    if isinstance(body, dict) and body.keys() == {"protocol", "field"}:
        return f"{body['protocol']} {body['field']}"
    return None


def _keyed(word: str) -> t.Callable[[t.Any], str | None]:
    return lambda body: f"{word} {body['key']}" if isinstance(body, dict) and body.keys() == {"key"} else None


def _fib(body: t.Any) -> str | None:
    if not isinstance(body, dict):
        return None
    return f"fib {' . '.join(map(str, _list(body.get('flags'))))} {body.get('result')}"


def _joined(body: t.Any) -> str | None:
    return " . ".join(map(expression, body)) if isinstance(body, list) else None


def _prefix(body: t.Any) -> str | None:
    return f"{body.get('addr')}/{body.get('len')}" if isinstance(body, dict) else None


def _range(body: t.Any) -> str | None:
    return f"{expression(body[0])}-{expression(body[1])}" if isinstance(body, list) and len(body) == 2 else None


def _set(body: t.Any) -> str | None:
    if not isinstance(body, list):
        return None
    parts = [f"{expression(one[0])} : {_value(one[1])}" if _is_pair(one) else expression(one) for one in body]
    return f"{{ {', '.join(parts)} }}"


def _is_pair(value: t.Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def _value(value: t.Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        kind, body = next(iter(value.items()))
        if kind in ("goto", "jump") or body is None:
            return statement(kind, body)
    return expression(value)


def _numgen(body: t.Any) -> str | None:
    if not isinstance(body, dict):
        return None
    offset = f" offset {body['offset']}" if body.get("offset") else ""
    return f"numgen {body.get('mode')} mod {body.get('mod')}{offset}"


def _mapped(body: t.Any) -> str | None:
    if not isinstance(body, dict):
        return None
    return f"{expression(body.get('key'))} map {expression(body.get('data'))}"


def _masked(word: str) -> t.Callable[[t.Any], str | None]:
    def text(body: t.Any) -> str | None:
        if not isinstance(body, list) or len(body) != 2:
            return None
        mask = hex(body[1]) if isinstance(body[1], int) else expression(body[1])
        return f"{expression(body[0])} {word} {mask}"

    return text


_EXPRESSIONS: dict[str, t.Callable[[t.Any], str | None]] = {
    "payload": _payload,
    "meta": _keyed("meta"),
    "ct": _keyed("ct"),
    "fib": _fib,
    "concat": _joined,
    "prefix": _prefix,
    "range": _range,
    "set": _set,
    "numgen": _numgen,
    "map": _mapped,
    **{sign: _masked(word) for sign, word in _OPERATORS.items()},
}


def statement(kind: str, body: t.Any) -> str:
    """The text of a statement."""
    if body is None and kind:
        return kind
    text = _STATEMENTS[kind](body) if kind in _STATEMENTS and isinstance(body, dict) else None
    return text if text is not None else _unknown(kind, body)


def _reject(body: dict[str, t.Any]) -> str:
    # What nft makes of a plain "reject".
    plain = body.get("expr") == "port-unreachable" and body.get("type") in ("icmp", "icmpv6")
    return "reject" if plain else f"reject with {body.get('type')} {body.get('expr', '')}".rstrip()


def _dnat(body: dict[str, t.Any]) -> str | None:
    if not body.keys() <= {"addr", "port", "family"}:
        return None
    address = expression(body.get("addr"))
    if "port" not in body:
        return f"dnat to {address}"
    host = f"[{address}]" if ":" in address else address
    return f"dnat to {host}:{expression(body['port'])}"


def _update(body: dict[str, t.Any]) -> str:
    return f"{body.get('op')} {body.get('set')} {{ {expression(body.get('elem'))} }}"


_STATEMENTS: dict[str, t.Callable[[dict[str, t.Any]], str | None]] = {
    "goto": lambda body: f"goto {body.get('target')}",
    "jump": lambda body: f"jump {body.get('target')}",
    "reject": _reject,
    "masquerade": lambda body: f"masquerade {' '.join(map(str, _list(body.get('flags'))))}".rstrip(),
    "mangle": lambda body: f"{expression(body.get('key'))} set {expression(body.get('value'))}",
    "vmap": lambda body: f"{expression(body.get('key'))} vmap {expression(body.get('data'))}",
    "dnat": _dnat,
    "set": _update,
}


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else [value] if value is not None else []


def _unknown(kind: str, body: t.Any) -> str:
    text = json.dumps({kind: body} if kind else body, sort_keys=True, default=str)
    return text if len(text) <= 200 else f"{text[:200]}..."


_MARKED = re.compile("meta mark set meta mark or 0x([0-9a-f]+)")


def mark_of(action: Action) -> int | None:
    """The bits that a statement adds to the packet's mark; None for any other statement."""
    found = _MARKED.fullmatch(action.text) if action.kind == "mangle" else None
    return int(found.group(1), 16) if found else None
