# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of one YAML mapping inside a text that leave every other character as it is. Private to this collection.

The positions come from PyYAML's nodes. What cannot be done safely in place raises C(CannotEdit); the caller checks
every result by parsing it again.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError

Path = t.Tuple[str, ...]
Value = t.Any
# A yaml.Node. PyYAML's stubs know neither its id nor its flow_style.
Node = t.Any

# Read alike, without quotes, by YAML 1.1 and 1.2: a letter first, and none of the words that are booleans or null.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_DURATION = re.compile(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


class CannotEdit(Exception):
    """This text does not allow that edit in place (anchors, block scalars, a sequence of compact mappings)."""


class NotYaml(KubeProxyError):
    """The text is not YAML."""


def pyyaml() -> t.Any:
    """PyYAML, which C(kubernetes) depends on."""
    try:
        import yaml
    except ImportError as error:
        raise KubeProxyError(
            "Could not read YAML",
            "the Python library PyYAML is missing",
            "Install python3-yaml on the host of the API side.",
        ) from error
    return yaml


def compose(text: str) -> list[Node]:
    """The documents of a text as nodes with positions. Empty documents are left out."""
    lib = pyyaml()
    try:
        return [node for node in lib.compose_all(text, Loader=lib.SafeLoader) if node is not None]
    except lib.YAMLError as error:
        raise NotYaml("This is not YAML", _where(error)) from error


def load(text: str) -> list[Value]:
    """The documents of a text as values, as many as C(compose) gives."""
    lib = pyyaml()
    loader = lib.SafeLoader("")
    try:
        return [loader.construct_document(node) for node in compose(text)]
    except (lib.YAMLError, ValueError, RecursionError) as error:
        raise NotYaml("This is not YAML", _where(error)) from error


def dump(value: Value, newline: str) -> str:
    """A whole mapping as block YAML, in the order of its keys, ending in a newline."""
    text: str = pyyaml().safe_dump(value, default_flow_style=False, sort_keys=False, allow_unicode=True, width=4096)
    return text.replace("\n", newline)


def uses_aliases(text: str) -> bool:
    """Whether a node may stand in more than one place: an edit at one of them would show at the others."""
    lib = pyyaml()
    return any(
        isinstance(event, lib.AliasEvent) or (isinstance(event, lib.ScalarEvent) and event.value == "<<")
        for event in lib.parse(text, Loader=lib.SafeLoader)
    )


def set_value(text: str, root: Node, path: Path, value: Value) -> str:
    """The text with C(value) at C(path) of the mapping C(root): replaced where it is, else added to its mapping."""
    node, key = root, path[0]
    for depth, key in enumerate(path):
        rest = path[depth + 1 :]
        entry = entry_of(node, key)
        if entry is None:
            return _insert(text, node, key, _nested(rest, value))
        if not rest:
            return _replace(text, node, entry, value)
        if not _is_filled_mapping(entry[1]):
            return _replace(text, node, entry, _nested(rest, value))
        node = entry[1]
    return text


def entry_of(node: Node, key: str) -> tuple[Node, Node] | None:
    """The key node and the value node of a mapping's key."""
    pairs: list[tuple[Node, Node]] = node.value
    return next((pair for pair in pairs if pair[0].value == key), None)


def end_of(node: Node) -> int:
    """Where a node's last character ends. A block collection's own mark is at the next token, comments later."""
    if isinstance(node.value, str):
        if getattr(node, "style", None) in ("|", ">"):
            raise CannotEdit("a block scalar")
        return int(node.end_mark.index)
    if node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return end_of(last[1] if isinstance(last, tuple) else last)


def newline_of(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _replace(text: str, parent: Node, entry: tuple[Node, Node], value: Value) -> str:
    key, node = entry
    end = end_of(node)
    if parent.flow_style:
        return f"{text[: node.start_mark.index]}{json.dumps(value)}{text[end:]}"
    if _is_block_sequence(node) and isinstance(value, list) and value:
        # The user's way of writing lists stays.
        items = (newline_of(text) + " " * node.start_mark.column).join(f"- {_inline(item)}" for item in value)
        return f"{text[: node.start_mark.index]}{items}{text[end:]}"
    nested = isinstance(value, dict) and value
    written = _block(value, parent.start_mark.column + 2, newline_of(text)) if nested else f" {_inline(value)}"
    return f"{text[: _after_colon(text, key)]}{written}{text[end:]}"


def _insert(text: str, parent: Node, key: str, value: Value) -> str:
    if not parent.value:
        raise CannotEdit("an empty mapping has no place of its own")
    end = end_of(parent.value[-1][1])
    if parent.flow_style:
        return f"{text[:end]}, {json.dumps(key)}: {json.dumps(value)}{text[end:]}"
    newline = newline_of(text)
    line_end = re.compile(r"\r?\n|\Z").search(text, end)
    place = line_end.start() if line_end else len(text)
    return text[:place] + _block({key: value}, parent.start_mark.column, newline) + text[place:]


def _block(mapping: t.Mapping[str, Value], column: int, newline: str) -> str:
    lines = []
    for key, value in mapping.items():
        head = f"{newline}{' ' * column}{_inline(key)}:"
        nested = isinstance(value, dict) and value
        lines.append(head + (_block(value, column + 2, newline) if nested else f" {_inline(value)}"))
    return "".join(lines)


def _inline(value: Value) -> str:
    """A value on one line. JSON is YAML; words and durations need no quotes."""
    if (
        isinstance(value, str)
        and value.lower() not in _WORDS
        and (_PLAIN.fullmatch(value) or _DURATION.fullmatch(value))
    ):
        return value
    if isinstance(value, list):
        return "[" + ", ".join(json.dumps(item) for item in value) + "]"
    return json.dumps(value)


def _after_colon(text: str, key: Node) -> int:
    colon = re.compile(r"\s*:").match(text, key.end_mark.index)
    if colon is None:
        raise CannotEdit("a key without a colon beside it")
    return colon.end()


def _is_filled_mapping(node: Node) -> bool:
    return bool(node.value) and node.id == "mapping"


def _is_block_sequence(node: Node) -> bool:
    return bool(node.value) and node.id == "sequence" and not node.flow_style


def _nested(path: Path, value: Value) -> Value:
    for key in reversed(path):
        value = {key: value}
    return value


def _where(error: Exception) -> str:
    """PyYAML's complaint on one line, without the text around it."""
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)
