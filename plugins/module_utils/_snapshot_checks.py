# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a name or a line may stand in what a node's tool is given. Pure. Private to this collection.

A snapshot is a file: whoever can write to it must not be able to say more than one object of the kind that he says it is.
Sources: C(add_param_to_argv) in iptables/xshared.c (a quote that closes ends an argument), C(do_command4) in
iptables/iptables.c (C(-M) names a program that is run), C(build_argv) in lib/ipset.c of ipset, C(src/scanner.l) of nftables.
"""

from __future__ import annotations

import re
import typing as t

# The kernel takes 28 characters for a chain of iptables and 31 for a set.
_CHAIN = re.compile(r"""[^\s"'\\!:#*-][^\s"'\\]{0,30}""")
_SET = re.compile(r"""[^\s"'\\#-][^\s"'\\]{0,30}""")
_QUOTED = r'"(?:[^"\\]|\\["\\\'])*"'
_ARGUMENT = rf"(?:{_QUOTED}|[^\s\"\\]+)"
_RULE = re.compile(rf"{_ARGUMENT}(?: +{_ARGUMENT})* *")
_WORD = re.compile(rf"{_QUOTED}|\S+")
_SHORT = frozenset(("-p", "-s", "-d", "-i", "-o", "-f", "-m", "-j", "-g"))
_NUMBER = re.compile(r"-\d+")
# getopt takes any beginning of a long option that is not another one's name: those that do more than describe a rule.
_COMMANDS = (
    "append", "check", "delete", "delete-chain", "flush", "help", "insert", "list", "list-rules", "modprobe", "new-chain",
    "policy", "rename-chain", "replace", "table", "version", "zero",
)  # fmt: skip  # a list of words
# What follows these is the user's, and getopt takes it for nothing else.
_FREE = ("--comment", "--log-prefix", "--nflog-prefix")
# The match policy has an option of this name.
_NOT_COMMANDS = frozenset(("pol",))

_SET_TYPE = re.compile(r"[a-z]+:[a-z]+(?:,[a-z]+)*(?: |$)")
_SET_LINE = re.compile(r'(?:"[^"\\]*"|[^\s"\\\'-][^\s"\\\']*)(?: (?:"[^"\\]*"|[^\s"\\\'-][^\s"\\\']*))*')

_NFT_FAMILIES = "ip|ip6|inet|arp|bridge|netdev"
_NFT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,127}", re.ASCII)
_NFT_TOKEN = re.compile(r'"[^"\\]*"|[{}]|[^\s"{};#$\\\'`]+|[\s;]+')
# They reach beyond the table, or read other files (common_block in src/parser_bison.y).
_NFT_REFUSED = frozenset(("include", "define", "redefine", "undefine", "owner"))


def is_chain(name: str) -> bool:
    """Whether this is one name of a chain."""
    return _is_ascii(name) and _CHAIN.fullmatch(name) is not None


def is_set(name: str) -> bool:
    """Whether this is one name of an ipset."""
    return _is_ascii(name) and _SET.fullmatch(name) is not None


def is_rule(spec: str) -> bool:
    """Whether this describes one rule, as iptables-save prints it behind C(-A CHAIN), and tells iptables nothing else."""
    if not spec.isprintable() or (spec and _RULE.fullmatch(spec) is None):
        return False
    words = _WORD.findall(spec)
    return all(before in _FREE or _is_harmless(word) for before, word in zip(["", *words], words))


def _is_harmless(word: str) -> bool:
    # Within quotes a word is an option all the same.
    bare = word.strip('"')
    if not bare.startswith("-") or _NUMBER.fullmatch(bare):
        return True
    if not bare.startswith("--"):
        return bare in _SHORT
    name = bare[2:].partition("=")[0]
    return name in _NOT_COMMANDS or not any(command.startswith(name) for command in _COMMANDS)


def are_set_lines(name: str, lines: t.Sequence[str]) -> bool:
    """Whether these make one set of that name with its members, as C(ipset save) prints them."""
    if not is_set(name) or not lines:
        return False
    begins = [f"create {name} ", *[f"add {name} "] * (len(lines) - 1)]
    if not all(line.startswith(begin) for begin, line in zip(begins, lines)):
        return False
    rests = [line[len(begin) :] for begin, line in zip(begins, lines)]
    return _SET_TYPE.match(rests[0]) is not None and all(
        rest.isprintable() and _SET_LINE.fullmatch(rest) is not None for rest in rests
    )


def is_nft_table(family: str, name: str) -> bool:
    """Whether these are a family and one name of a table of nftables."""
    return re.fullmatch(_NFT_FAMILIES, family) is not None and _NFT_NAME.fullmatch(name) is not None


def is_nft_text(family: str, name: str, text: str) -> bool:
    """Whether this is one table and nothing beside it, as C(nft list table) prints it."""
    text = text.rstrip("\n")
    if not is_nft_table(family, name) or not text.startswith(f"table {family} {name} {{\n"):
        return False
    at = depth = 0
    while at < len(text):
        found = _NFT_TOKEN.match(text, at)
        token = found.group() if found else "include"
        if token in _NFT_REFUSED or not token.replace("\n", "").replace("\t", "").isprintable():
            return False
        depth += (token == "{") - (token == "}")
        at += len(token)
        if token == "}" and depth == 0:
            return at == len(text)
    return False


def _is_ascii(name: str) -> bool:
    return name.isprintable() and name.isascii()
