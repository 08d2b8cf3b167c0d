# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways to a Service on several nodes, side by side. Pure. Private to this collection.

Takes what C(service_path_info) returned: the nodes have been asked, and nothing but their answers is left.
"""

from __future__ import annotations

import textwrap
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import key_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_words import share_words

Object = t.Mapping[str, t.Any]
_UNLIKE = ("dead", "stale", "missing", "draining")
_GROUPS = {"inside": " (pods, node)", "outside": " (others)"}


def report(results: t.Sequence[Object], width: int) -> list[str]:
    """The lines of each node, and behind those of several a table.

    :param width: of a column
    """
    found: list[str] = []
    for one in results:
        found += [*([""] if found else []), *map(str, one["lines"])]
    return found if len(results) < 2 else [*found, "", *side_by_side(results, width)]


def side_by_side(results: t.Sequence[Object], width: int) -> list[str]:
    """A column for each node, a row for each address."""
    heads = [f"{one['node']} ({one['mode']})" for one in results]
    by_key = [{_key(path): path for path in one["paths"]} for one in results]
    keys = list(dict.fromkeys(key for one in by_key for key in one))
    rule = "-+-".join("-" * width for _one in results)
    found = [_row(heads, width), rule]
    if not keys:
        found += _cells([[str(one["reason"])] for one in results], width)
    for key in keys:
        found += _cells([_cell(key, one.get(key)) for one in by_key], width)
        found.append(rule)
    return found


def _key(path: Object) -> tuple[int, str, str, int]:
    return int(path["family"]), str(path["address"]), str(path["protocol"]), int(path["port"])


def _cell(key: tuple[int, str, str, int], path: Object | None) -> list[str]:
    if path is None:
        return [key_text(key), "not on this node"]
    ends = [one for one in path["destinations"] if one["state"] != "unused"]
    return [key_text(key), *map(_end, ends), str(path["sentence"])]


def _end(one: Object) -> str:
    where = join_host_port(one["address"], one["port"])
    state = f" {one['state'].upper()}" if one["state"] in _UNLIKE else ""
    words = [where, one["node"], share_words(one["share"])]
    return f"- {' '.join(filter(None, words))}{_GROUPS.get(one['clients'], '')}{state}"


def _cells(columns: t.Sequence[t.Sequence[str]], width: int) -> t.Iterator[str]:
    wrapped = [[line for text in one for line in textwrap.wrap(text, width) or [""]] for one in columns]
    for number in range(max(map(len, wrapped), default=0)):
        yield _row([one[number] if number < len(one) else "" for one in wrapped], width)


def _row(cells: t.Iterable[str], width: int) -> str:
    return " | ".join(one[:width].ljust(width) for one in cells).rstrip()
