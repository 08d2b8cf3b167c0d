# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node's own tools list of its kernel, and the way from one address through it: what a trace is held against. Nothing here
is the collection's."""

from __future__ import annotations

import re
import typing as t

from tests.labkit import Node

Place = str
Way = list[tuple[Place, str]]
OWN = re.compile(
    r"(nat KUBE-(SVC|SVL|EXT|FW|SEP)-|filter KUBE-PROXY-FIREWALL$|chain (service|local|external|firewall|endpoint)-[A-Z0-9]{8}-|map |virtual server )"
)
"""Places of which a trace shows all that concerns the address; of others it leaves out what is for other addresses."""

_LED = re.compile(r"(?:-j|goto|jump) ([^\s,}]+)")
_SENT = re.compile(r"(?:--to-destination|dnat to|-r) (\S+)")


class Witness(t.NamedTuple):
    """One family of a node.

    :param rules: what each place holds, in its order
    :param packets: of the rules of iptables
    :param sets: the ipsets that have a member, by its text
    :param connections: that destinations of IPVS have
    """

    family: int
    mode: str
    rules: dict[Place, list[str]]
    packets: dict[tuple[Place, str], int]
    sets: dict[str, set[str]]
    connections: dict[tuple[Place, str], int]

    def way(self, address: str, port: int, node_port: bool) -> Way:
        """Where TCP packets for an address are sent: from the rule that names it, place by place."""
        found = [self._first(address, port, node_port), *self._refused(address, port)]
        for _place, rule in tuple(found):
            self._follow(rule, address, found)
        return found

    def _refused(self, address: str, port: int) -> Way:
        """The rules that lead to the source ranges of a load balancer's address."""
        places = ("filter KUBE-PROXY-FIREWALL", "map firewall-ips") if address else ()
        sign = rf"-d {re.escape(address)}/\d+ -p tcp .*--dport {port} |{re.escape(address)} \. tcp \. {port} :"
        if self.mode == "ipvs":
            sets = self.sets.get(f"{address},tcp:{port}", set())
            sign = rf".*--match-set ({'|'.join(sorted(sets)) or '-'}) "
        return [(place, one) for place in places for one in self.rules.get(place, ()) if re.match(sign, one)]

    def _first(self, address: str, port: int, node_port: bool) -> tuple[Place, str]:
        where = f"[{address}]" if self.family == 6 else address
        bits = 128 if self.family == 6 else 32
        place, sign = {
            ("iptables", False): (
                "nat KUBE-SERVICES",
                rf"-d {re.escape(address)}/{bits} -p tcp .*--dport {port} -j KUBE-(SVC|EXT|FW)-",
            ),
            ("iptables", True): ("nat KUBE-NODEPORTS", rf"-p tcp .*--dport {port} -j KUBE-EXT-"),
            ("nftables", False): ("map service-ips", rf"{re.escape(address)} \. tcp \. {port} : "),
            ("nftables", True): ("map service-nodeports", rf"tcp \. {port} : "),
        }.get((self.mode, node_port), ("IPVS", rf"-A -t {re.escape(where)}:{port} "))
        rules = [one for one in self.rules[place] if re.match(sign, one)]
        if len(rules) != 1:
            raise AssertionError(f"{place} has {rules} for {address}:{port}")
        return place, rules[0]

    def _follow(self, rule: str, address: str, found: Way) -> None:
        for place in self._places(rule):
            if not OWN.match(place) or any(there == place for there, _rule in found):
                continue
            for one in self.rules[place]:
                # A chain for all addresses of a Service has a rule for some of them.
                named = re.search(r" -d ([0-9a-f.:]+)/\d+ ", f" {one}")
                if named is None or named.group(1) == address:
                    found.append((place, one))
                    self._follow(one, address, found)

    def _places(self, rule: str) -> list[Place]:
        if self.mode == "ipvs":
            found = re.match(r"-A -t (\S+)", rule)
            return [f"virtual server TCP {found.group(1)}"] if found else []
        tables = ("nat", "filter") if self.mode == "iptables" else ("chain",)
        places = (f"{table} {name}" for name in _LED.findall(rule) for table in tables)
        return [one for one in places if one in self.rules]


def ends(way: Way) -> list[str]:
    """The destinations of a way."""
    return sorted({end for _place, rule in way for end in _SENT.findall(rule)})


def witness(node: Node, mode: str) -> dict[int, Witness]:
    """Read a node with its own tools, by IP version."""
    tools = READ_BY[mode]
    told = node.run(f"; echo {_BETWEEN}; ".join(tools)).split(f"{_BETWEEN}\n")
    both = {family: Witness(family, mode, {}, {}, {}, {}) for family in (4, 6)}
    for tool, text in zip(tools, told, strict=True):
        take, families = tools[tool]
        for family in families:
            take(both[family], text)
    return both


def _take_sets(found: Witness, text: str) -> None:
    for line in text.splitlines():
        if line.startswith("add "):
            _add, name, member = line.split(" ")
            found.sets.setdefault(member, set()).add(name)


def _take_device(found: Witness, text: str) -> None:
    addresses = (line.split()[3].partition("/")[0] for line in text.splitlines())
    found.rules["device kube-ipvs0"] = [f"{one} dev kube-ipvs0" for one in addresses]


def _take_saved(found: Witness, text: str) -> None:
    table = ""
    for line in text.splitlines():
        table = line[1:] if line.startswith("*") else table
        rule = re.match(r"\[(\d+):\d+\] -A (\S+) (.*)$", line)
        if rule:
            place = f"{table} {rule.group(2)}"
            found.rules.setdefault(place, []).append(rule.group(3))
            found.packets[place, rule.group(3)] = int(rule.group(1))


def _take_ipvs(found: Witness, text: str) -> None:
    for line in text.splitlines():
        where = re.match(r"-[Aa] -(t|u|-sctp-service) (\S+)", line)
        if where:
            protocol = {"t": "TCP", "u": "UDP"}.get(where.group(1), "SCTP")
            place = "IPVS" if line.startswith("-A") else f"virtual server {protocol} {where.group(2)}"
            found.rules.setdefault(place, []).append(line)


def _take_connections(found: Witness, text: str) -> None:
    """Active and inactive ones, of the destinations that were listed in this order before."""
    place = ""
    for line in text.splitlines():
        server = re.match(r"(TCP|UDP|SCTP) +(\S+) ", line)
        place = f"virtual server {server.group(1)} {server.group(2)}" if server else place
        end = re.match(r"  -> (\S+) +\S+ +\d+ +(\d+) +(\d+)", line)
        if end and place:
            rule = next(one for one in found.rules[place] if f" -r {end.group(1)} " in one)
            found.connections[place, rule] = int(end.group(2)) + int(end.group(3))


def _take_nft(found: Witness, text: str) -> None:
    for kind, name, body in re.findall(r"^\t(chain|map) (\S+) \{\n(.*?)^\t\}$", text, re.MULTILINE | re.DOTALL):
        place = f"{kind} {name}"
        found.rules[place] = []
        lines = (re.sub(r' comment ".*"$', "", line.strip()) for line in body.splitlines())
        if kind == "map":
            elements = re.search(r"elements = \{(.*)\}", body, re.DOTALL)
            found.rules[place] = re.findall(r"[^,{}\s][^,{}]* : [^,{}]*[^,{}\s]", elements.group(1)) if elements else []
            continue
        for line in lines:
            if not line.startswith(("type ", "comment ")):
                found.rules[place] += _each_share(line)


def _each_share(rule: str) -> list[str]:
    """A rule for each element of a map of random numbers."""
    shares = re.match(r"(.*numgen random mod \d+ v?map) \{ (.*) \}$", rule)
    return [f"{shares.group(1)} {{ {one} }}" for one in shares.group(2).split(", ")] if shares else [rule]


_BETWEEN = "-- and"
Take = t.Callable[[Witness, str], None]
_BOTH = (4, 6)
_SAVES: dict[str, tuple[Take, tuple[int, ...]]] = {
    "iptables-save -c": (_take_saved, (4,)),
    "ip6tables-save -c": (_take_saved, (6,)),
}
READ_BY: dict[str, dict[str, tuple[Take, tuple[int, ...]]]] = {
    "iptables": _SAVES,
    "ipvs": {
        **_SAVES,
        "ipvsadm -Sn": (_take_ipvs, _BOTH),
        "ipvsadm -Ln": (_take_connections, _BOTH),
        "ipset save": (_take_sets, _BOTH),
        "ip -o address show dev kube-ipvs0": (_take_device, _BOTH),
    },
    "nftables": {"nft list table ip kube-proxy": (_take_nft, (4,)), "nft list table ip6 kube-proxy": (_take_nft, (6,))},
}
"""What each tool tells of which families."""
