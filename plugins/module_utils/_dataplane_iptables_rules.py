# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rule of kube-proxy's iptables mode taken apart: only what kube-proxy matches by, all else is kept as words. Pure. Private
to this collection.

Sources: C(syncProxyRules) and C(writeServiceToEndpointRules) in C(pkg/proxy/iptables/proxier.go), 1.34 to 1.37, and what
iptables-save 1.8 makes of it. Rules as they are given to iptables-restore are understood, too: only their order differs.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from functools import lru_cache

from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import tokens

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination

SOURCE, DESTINATION, PROTOCOL, PORT, INTERFACE, SOURCE_TYPE, DESTINATION_TYPE, PROBABILITY, RECENT, OTHER = (
    1 << number for number in range(10)
)
"""What a rule matches by, as bits of C(Rule.has)."""

SOCKET = DESTINATION | PROTOCOL | PORT
"""An address, a protocol and a port: how a ClusterIP and its like are matched."""


class Rule(t.NamedTuple):
    """A rule; a table has some ten thousand. A value that the rule negates begins with C(! ).

    :param has: what it matches by
    :param recent: C(--rcheck) or C(--set)
    :param list_name: of the match C(recent)
    :param to: where it sends packets (C(--to-destination))
    :param other: words that kube-proxy does not use
    """

    text: str
    has: int = 0
    target: str = ""
    source: str = ""
    destination: str = ""
    protocol: str = ""
    port: str = ""
    interface: str = ""
    source_type: str = ""
    destination_type: str = ""
    probability: str = ""
    recent: str = ""
    list_name: str = ""
    seconds: str = ""
    to: str = ""
    comment: str = ""
    other: str = ""

    @property
    def named(self) -> str:
        """The Service port that the comment names: its first word with a slash; empty without one."""
        return next((word for word in self.comment.split(" ") if "/" in word), "")


_FIELD = {name: number for number, name in enumerate(Rule._fields)}
# Option: the number of its field and its bit. What changes nothing about who is matched goes where it is forgotten.
_FORGOTTEN = len(_FIELD)
_OPTIONS = {
    "-j": (_FIELD["target"], 0),
    "-s": (_FIELD["source"], SOURCE),
    "-d": (_FIELD["destination"], DESTINATION),
    "-p": (_FIELD["protocol"], PROTOCOL),
    "--dport": (_FIELD["port"], PORT),
    "-i": (_FIELD["interface"], INTERFACE),
    "--src-type": (_FIELD["source_type"], SOURCE_TYPE),
    "--dst-type": (_FIELD["destination_type"], DESTINATION_TYPE),
    "--probability": (_FIELD["probability"], PROBABILITY),
    "--name": (_FIELD["list_name"], 0),
    "--seconds": (_FIELD["seconds"], 0),
    "--to-destination": (_FIELD["to"], 0),
    "--nfacct-name": (_FORGOTTEN, 0),
    "--reject-with": (_FORGOTTEN, 0),
    "--comment": (_FORGOTTEN, 0),
}
# Matches without any option of their own, or whose options are known.
_MODULES = frozenset("tcp udp sctp comment addrtype statistic recent nfacct".split())
_NOTHING_NEW = frozenset(("--reap", "--rsource"))
_FIXED = {"--mode": ("random",), "--mask": ("255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}


_COMMENTED = r'-m comment --comment "([^"\\\n]*)" '
_UNNAMED = r'(?:-m comment --comment "[^"\\\n]*" )?'
_WORD, _PROTOCOL, _ADDRESS = r'[^\s"]+', "tcp|udp|sctp", r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
# Most rules of a large table are of these shapes, and seen at one glance. What is not goes the long way.
_TO_SERVICE = re.compile(
    rf"(?:! -s ({_WORD}) )?-d ({_WORD}) -p ({_PROTOCOL}) {_COMMENTED}-m \3 --dport ({_WORD}) -j ({_WORD})"
).fullmatch
_SHARE = re.compile(
    rf"{_UNNAMED}(?:-m statistic --mode random --probability ([0-9.]+) )?-j (KUBE-SEP-[A-Z0-9]+)"
).fullmatch
_END = re.compile(
    rf"-s ({_ADDRESS})/32 {_UNNAMED}-j KUBE-MARK-MASQ\n"
    rf"-p ({_PROTOCOL}) {_UNNAMED}-m \2 -j DNAT --to-destination \1:([0-9]{{1,5}})"
).fullmatch


def share_of(text: str) -> tuple[str, str] | None:
    """The endpoint's chain and the probability in a rule that leads there; None for a rule that has to be taken apart."""
    found = _SHARE(text)
    return (found[2], found[1] or "") if found else None


def end_of(rules: t.Sequence[str]) -> tuple[Destination, str] | None:
    """Where an endpoint's chain of two rules leads (its own packets masqueraded, no client noted), and the protocol that it
    is for; None for a chain that has to be taken apart."""
    found = _END("\n".join(rules))
    return ((found[1], int(found[3])), found[2]) if found else None


def parse_rule(text: str) -> Rule:
    """A rule from the text behind C(-A CHAIN)."""
    found = _TO_SERVICE(text)
    if found is None:
        return _taken_apart(text)
    source, destination, protocol, comment, port, target = found.groups()
    has, outside = (SOCKET | SOURCE, f"! {source}") if source else (SOCKET, "")
    return Rule(text, has, target, outside, destination, protocol, port, comment=comment)


def _taken_apart(text: str) -> Rule:
    comment, rest = _apart(text)
    values: list[t.Any] = [""] * (_FORGOTTEN + 1)
    has = 0
    negation = ""
    other = []
    words = iter(tokens(rest) if '"' in rest else rest.split())
    for word in words:
        option = _OPTIONS.get(word)
        if option is not None:
            values[option[0]] = negation + next(words, "")
            has |= option[1]
            negation = ""
        elif word == "-m":
            module = next(words, "")
            if module not in _MODULES:
                other += [word, module]
        elif word == "!":
            negation = "! "
        elif word in ("--rcheck", "--set") and not negation:
            values[_FIELD["recent"]] = word
            has |= RECENT
        elif word not in _NOTHING_NEW and not (word in _FIXED and next(words, "") in _FIXED[word]):
            other += [negation + word]
            negation = ""
    if other or negation:
        has |= OTHER
    values[0], values[1] = text, has
    values[_FIELD["comment"]], values[_FIELD["other"]] = comment, " ".join(other)
    return Rule(*values[:_FORGOTTEN])


_COMMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


def _apart(text: str) -> tuple[str, str]:
    """The comment, and the rule without it."""
    at = text.find("--comment ")
    if at < 0:
        return "", text
    found = _COMMENT.match(text, at + 10)
    if found is None:
        return "", text
    quoted, bare = found.groups()
    return bare if quoted is None else quoted, text[:at] + text[found.end() :]


_IPV4 = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}").fullmatch


def host(text: str) -> str:
    """The one address that a match is for; empty for a network, a negation, or nonsense."""
    address, _slash, length = text.partition("/")
    if ":" in address:
        return _ipv6(address) if length in ("", "128") else ""
    return address if length in ("", "32") and _IPV4(address) else ""


@lru_cache(maxsize=None)
def _ipv6(text: str) -> str:
    # iptables writes some addresses partly in dots, the API does not.
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        return ""


def endpoint(text: str) -> Destination | None:
    """C(10.1.2.3:80) or C([fd00::1]:80); None for all else, such as a range."""
    address, _colon, port = text.rpartition(":")
    if address[:1] == "[" and address[-1:] == "]":
        address = address[1:-1]
    elif ":" in address:
        return None
    found = host(address)
    return (found, int(port)) if found and "/" not in address and _PORT(port) else None


_PORT = re.compile(r"[0-9]{1,5}").fullmatch


def number(text: str) -> int | None:
    """A port or a number of seconds; None for a range, a negation, or nonsense."""
    return int(text) if _NUMBER(text) else None


_NUMBER = re.compile(r"[0-9]{1,10}").fullmatch
