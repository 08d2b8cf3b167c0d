# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts about kernel modules: pure parsers and editors. Private to this collection.

Sources: proc(5), modules-load.d(5), modprobe.d(5), Documentation/kbuild/kbuild.rst (modules.builtin, modules.builtin.modinfo).
"""

from __future__ import annotations

import fnmatch
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import Distribution, Loaded, Location, Rule

_HEADER = "# Written by the Ansible collection netops.kube_proxy: kernel modules to load at boot.\n"
# MODULE_NAME_LEN in include/linux/module.h: 64 - sizeof(unsigned long), with the terminating zero.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,54}\Z")
_SUFFIX = re.compile(r"\.ko(\.(gz|xz|zst|bz2))?\Z")
_WILDCARD = re.compile(r"[*?\[]")
_NOTHING = frozenset({"true", "false", ":"})


@dataclass(frozen=True)
class ModprobeConfig:
    """The parts of modprobe's configuration that decide about presence."""

    blacklisted: tuple[Rule, ...] = ()
    disabled: tuple[Rule, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()


def normalise(name: str) -> str:
    """The kernel's own spelling: C(-) and C(_) are one to every tool, and the kernel uses C(_)."""
    return name.replace("-", "_")


def checked_names(names: t.Sequence[str]) -> tuple[str, ...]:
    """The user's names, normalised, each once, in order.

    :raises InvalidInput: for an empty list or a name that no kernel module can have
    """
    if not names:
        raise InvalidInput("name is empty", remedy="Give the names of one or more kernel modules.")
    for name in names:
        if _SUFFIX.search(name):
            raise InvalidInput(
                f"name: {name!r} is a file name", remedy=f"Give the module's name: {_SUFFIX.sub('', name)}."
            )
        if not _NAME.match(name):
            raise InvalidInput(
                f"name: {name!r} cannot be a kernel module",
                remedy="A name has up to 55 letters, digits, '_', '-', '+' and '.', and no path and no parameters.",
            )
    return tuple(dict.fromkeys(normalise(name) for name in names))


def name_of_path(path: str) -> str:
    """C(kernel/net/netfilter/ipvs/ip_vs-rr.ko.xz) is C(ip_vs_rr)."""
    return normalise(_SUFFIX.sub("", path.strip().rpartition("/")[2]))


def _loaded(fields: t.Sequence[str]) -> Loaded:
    users = [user for user in fields[3].split(",") if user not in ("", "-")]
    return Loaded(
        name=normalise(fields[0]),
        references=int(fields[2]) if fields[2].isdigit() else None,
        holders=tuple(sorted(normalise(user) for user in users if not user.startswith("["))),
        permanent="[permanent]" in users,
        live=fields[4] == "Live",
    )


def parse_proc_modules(text: str) -> dict[str, Loaded]:
    """C(/proc/modules) by name. Lines that are not of its format are passed over."""
    lines = (line.split() for line in text.splitlines())
    modules = (_loaded(fields) for fields in lines if len(fields) >= 5)
    return {module.name: module for module in modules}


def parse_builtin(text: str) -> frozenset[str]:
    """Names in C(modules.builtin)."""
    return frozenset(name_of_path(line) for line in text.splitlines() if line.strip())


def parse_builtin_aliases(text: str) -> tuple[tuple[str, str], ...]:
    """(pattern, module) pairs in C(modules.builtin.modinfo): zero-terminated C(module.alias=pattern)."""
    entries = (entry.partition(".alias=") for entry in text.split("\0"))
    return tuple((normalise(alias), normalise(name)) for name, found, alias in entries if found and alias)


def parse_dep(text: str) -> frozenset[str]:
    """Names in C(modules.dep): the modules that are installed for this kernel."""
    return frozenset(name_of_path(line.partition(":")[0]) for line in text.splitlines() if ":" in line)


def parse_alias(text: str) -> tuple[tuple[str, str], ...]:
    """(pattern, module) pairs in C(modules.alias)."""
    rows = (line.split() for line in text.splitlines())
    return tuple((normalise(row[1]), normalise(row[2])) for row in rows if len(row) == 3 and row[0] == "alias")


def _matches(name: str, pattern: str) -> bool:
    # modules.alias has tens of thousands of patterns: compiling each of them would take seconds.
    literal = _WILDCARD.split(pattern, 1)[0]
    if literal == pattern:
        return name == pattern
    return name.startswith(literal) and fnmatch.fnmatchcase(name, pattern)


def resolve_alias(name: str, aliases: t.Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The modules that a name stands for, in order and each once; patterns are shell wildcards."""
    return tuple(dict.fromkeys(module for pattern, module in aliases if _matches(name, pattern)))


def _lines(text: str) -> list[str]:
    # str.splitlines would also cut at form feeds and other characters that may stand in a comment.
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _logical_lines(text: str) -> t.Iterator[tuple[int, str]]:
    start = 1
    parts: list[str] = []
    for number, line in enumerate(_lines(text), 1):
        if not parts:
            start = number
        if line.endswith("\\"):
            parts.append(line[:-1])
            continue
        yield start, " ".join([*parts, line]).strip()
        parts = []
    if parts:
        yield start, " ".join(parts).strip()


def _does_nothing(words: t.Sequence[str]) -> bool:
    return bool(words) and words[0].rpartition("/")[2] in _NOTHING


def parse_modprobe_file(path: str, text: str) -> ModprobeConfig:
    """One file of C(modprobe.d): C(blacklist X), C(alias A X), and what disables X: C(install X /bin/true), C(alias X off)."""
    blacklisted, disabled, aliases = [], [], []
    for number, line in _logical_lines(text):
        words = line.split()
        if len(words) < 2 or words[0].startswith("#"):
            continue
        keyword, name, rest = words[0], normalise(words[1]), words[2:]
        rule = Rule(name, " ".join(words), Location(path, number))
        if keyword == "blacklist":
            blacklisted.append(rule)
        elif (keyword == "install" and _does_nothing(rest)) or (keyword == "alias" and rest == ["off"]):
            disabled.append(rule)
        elif keyword == "alias" and len(rest) == 1:
            aliases.append((name, normalise(rest[0])))
    return ModprobeConfig(tuple(blacklisted), tuple(disabled), tuple(aliases))


def parse_command_line(path: str, text: str) -> ModprobeConfig:
    """The kernel's command line: C(modprobe.blacklist=) works as in modprobe.d, C(module_blacklist=) makes the kernel itself refuse."""
    blacklisted, disabled = [], []
    for word in text.split():
        key, _equals, value = word.partition("=")
        rules = [Rule(normalise(name), word, Location(path, 1)) for name in value.split(",") if name]
        if key == "modprobe.blacklist":
            blacklisted += rules
        elif key == "module_blacklist":
            disabled += rules
    return ModprobeConfig(tuple(blacklisted), tuple(disabled))


def merge_configs(configs: t.Iterable[ModprobeConfig]) -> ModprobeConfig:
    """All files together."""
    kept = tuple(configs)
    return ModprobeConfig(
        tuple(rule for config in kept for rule in config.blacklisted),
        tuple(rule for config in kept for rule in config.disabled),
        tuple(alias for config in kept for alias in config.aliases),
    )


def _is_name(line: str) -> bool:
    stripped = line.strip()
    return bool(stripped) and stripped[0] not in "#;"


def parse_modules_load(path: str, text: str) -> dict[str, tuple[Location, ...]]:
    """One file of C(modules-load.d): where each name stands."""
    found: dict[str, tuple[Location, ...]] = {}
    for number, line in enumerate(_lines(text), 1):
        if _is_name(line):
            name = normalise(line.strip())
            found[name] = (*found.get(name, ()), Location(path, number))
    return found


def with_names(text: str | None, names: t.Sequence[str]) -> str:
    """Our own file with these names in it; lines that are there stay as they are."""
    lines = _lines(text or _HEADER)
    there = {normalise(line.strip()) for line in lines if _is_name(line)}
    return "".join(f"{line}\n" for line in [*lines, *(name for name in names if name not in there)])


def without_names(text: str, names: t.Collection[str]) -> str | None:
    """Our own file without these names; None when nothing but our header is left."""
    lines = [line for line in _lines(text) if not (_is_name(line) and normalise(line.strip()) in names)]
    kept = "".join(f"{line}\n" for line in lines)
    return None if kept.strip() in ("", _HEADER.strip()) else kept


def parse_os_release(text: str) -> Distribution:
    """C(ID), C(ID_LIKE) and C(PRETTY_NAME) of os-release(5)."""
    pairs = (line.partition("=") for line in text.splitlines())
    values = {key.strip(): value.strip().strip("\"'") for key, equals, value in pairs if equals}
    ids = [values.get("ID", ""), *values.get("ID_LIKE", "").split()]
    return Distribution(tuple(name for name in ids if name), values.get("PRETTY_NAME") or values.get("NAME", ""))
