# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ConfigMap text that kube-proxy reads: what it says, and the smallest edit that makes it say what is wanted.

Pure work on text. Private to this collection.
"""

from __future__ import annotations

import copy
import json
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_config_yaml as _yaml
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_schema import (
    API_VERSION,
    KIND,
    leaves,
    same,
)

KEY = "config.conf"


class InvalidConfiguration(KubeProxyError):
    """The ConfigMap holds something that kube-proxy cannot read, or that this collection does not know."""


@dataclass(frozen=True)
class Document:
    """The one KubeProxyConfiguration of a text: where it is among the documents, and what it says."""

    number: int
    values: dict[str, t.Any]


@dataclass(frozen=True)
class Edit:
    """A text before and after. C(actions) are sentences; C(warnings) says when the formatting could not be kept."""

    before: str
    after: str
    mode_before: str
    actions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_document(text: str) -> Document:
    """The KubeProxyConfiguration among the documents of a text.

    :raises InvalidConfiguration: when it is not YAML, or there is none, or more than one, or another version of it
    """
    try:
        documents = _yaml.load(text)
    except _yaml.NotYaml as error:
        raise InvalidConfiguration(
            f"{KEY} in kube-proxy's ConfigMap is not YAML", error.seen, "Correct it by hand, then run again."
        ) from error
    mappings = [(number, value) for number, value in enumerate(documents) if isinstance(value, dict)]
    found = [(number, value) for number, value in mappings if value.get("kind") == KIND]
    if len(found) != 1:
        kinds = ", ".join(str(value.get("kind")) for _number, value in mappings) or "nothing"
        raise InvalidConfiguration(
            f"{KEY} in kube-proxy's ConfigMap must hold one {KIND}",
            f"it holds {kinds}",
            "Correct it by hand, then run again.",
        )
    number, values = found[0]
    if values.get("apiVersion") != API_VERSION:
        raise InvalidConfiguration(
            f"The {KIND} has a version that is not known here",
            f"apiVersion {values.get('apiVersion')!r}",
            f"This collection knows {API_VERSION}.",
        )
    return Document(number, values)


def plan_edit(text: str, mode: str | None, settings: t.Mapping[str, t.Any]) -> Edit:
    """The edit that writes a mode (None: the present one stays) and settings. Every character that has nothing to do with them stays.

    :raises InvalidInput: for settings that v1alpha1 does not have
    :raises InvalidConfiguration: as C(read_document), and for a key that stands twice
    """
    wanted = [*([(("mode",), mode)] if mode else []), *leaves(settings)]
    document = read_document(text)
    _refuse_duplicates(_yaml.compose(text)[document.number], ())
    try:
        target = _unshared(document.values)
    except RecursionError as error:
        raise InvalidConfiguration(
            f"{KEY} in kube-proxy's ConfigMap contains itself", remedy="Correct it by hand."
        ) from error
    changes = [(path, value) for path, value in wanted if _put(target, path, value)]
    mode_before = str(document.values.get("mode") or "")
    if not changes:
        return Edit(text, text, mode_before)
    actions = tuple(
        f"set {'.'.join(path)} from {_shown(document.values, path)} to {json.dumps(value)}" for path, value in changes
    )
    try:
        after = _edit_in_place(text, document.number, changes, target)
    except _yaml.CannotEdit as error:
        after = _rewrite(text, document.number, target)
        warning = f"The {KIND} was written anew: its comments and its formatting are lost, because it holds {error}."
        return Edit(text, after, mode_before, actions, (warning,))
    return Edit(text, after, mode_before, actions)


def _unshared(value: t.Any) -> t.Any:
    """A copy in which nothing stands in two places: an edit at one alias must not show at the others."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def _put(values: dict[str, t.Any], path: tuple[str, ...], wanted: t.Any) -> bool:
    """Set a value in a mapping; whether that changed what kube-proxy reads."""
    for depth, key in enumerate(path[:-1], 1):
        inner = values.get(key)
        if inner is None:
            inner = values[key] = {}
        if not isinstance(inner, dict):
            raise InvalidConfiguration(
                f"{'.'.join(path[:depth])} in kube-proxy's ConfigMap must be a mapping",
                f"it is {inner!r}",
                "Correct it by hand, then run again.",
            )
        values = inner
    key = path[-1]
    if key in values and same(path, values[key], wanted):
        return False
    values[key] = copy.deepcopy(wanted)
    return True


def _shown(values: t.Any, path: tuple[str, ...]) -> str:
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return "nothing"
        values = values[key]
    try:
        return json.dumps(values, default=str)
    except TypeError:  # a mapping with keys that JSON does not have
        return repr(values)


def _refuse_duplicates(node: _yaml.Node, path: tuple[str, ...]) -> None:
    if node.id != "mapping":
        return
    seen: set[str] = set()
    for key, value in node.value:
        name = ".".join((*path, str(key.value)))
        if name in seen:
            raise InvalidConfiguration(
                f"{name} stands twice in {KEY} of kube-proxy's ConfigMap",
                f"again in line {key.start_mark.line + 1}",
                "Remove one of them by hand.",
            )
        seen.add(name)
        _refuse_duplicates(value, (*path, str(key.value)))


def _edit_in_place(
    text: str, number: int, changes: t.Sequence[tuple[tuple[str, ...], t.Any]], target: dict[str, t.Any]
) -> str:
    if _yaml.uses_aliases(text):
        raise _yaml.CannotEdit("anchors or aliases")
    before = _yaml.load(text)
    after = text
    for path, value in changes:
        after = _yaml.set_value(after, _yaml.compose(after)[number], path, value)
    before[number] = target
    try:
        faithful = _yaml.load(after) == before
    except _yaml.NotYaml:
        faithful = False
    if not faithful:
        raise _yaml.CannotEdit("a layout that cannot be edited in place")
    return after


def _rewrite(text: str, number: int, target: dict[str, t.Any]) -> str:
    root = _yaml.compose(text)[number]
    newline = _yaml.newline_of(text)
    start, end = root.start_mark.index, root.end_mark.index
    after = text[:start] + _yaml.dump(target, newline) + text[end:]
    expected = _yaml.load(text)
    expected[number] = target
    if _yaml.load(after) != expected:
        raise InvalidConfiguration(
            f"{KEY} in kube-proxy's ConfigMap cannot be edited",
            "its layout is not understood",
            "Write it as plain YAML by hand, then run again.",
        )
    return after
