# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values that travel from task to task as one line of text. Pure. Private to this collection."""

from __future__ import annotations

import base64
import gzip
import io
import json
import typing as t
import zlib

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput

# A node holds the text of that many items of a list at once, never that of all: it would be as large as their values.
_ITEMS = 200


def pack(value: t.Mapping[str, t.Any]) -> str:
    """JSON, a line for each part of it, compressed, in Base64."""
    lines = (json.dumps(part, separators=(",", ":"), sort_keys=True).encode() for part in _parts(value))
    return base64.b64encode(gzip.compress(b"\n".join(lines), mtime=0)).decode()


def unpack(text: str, what: str, version: int, remedy: str) -> dict[str, t.Any]:
    """What C(pack) made of a mapping with the key C(version).

    :param what: what the text should be, with its article
    :raises InvalidInput: for anything else, with C(remedy)
    """
    try:
        lines = gzip.GzipFile(fileobj=io.BytesIO(base64.b64decode(text.encode(), validate=True)))
        value = _whole(map(json.loads, lines))
    except (AttributeError, EOFError, LookupError, OSError, StopIteration, TypeError, ValueError, zlib.error) as error:
        raise InvalidInput(f"This is not {what}", remedy=remedy) from error
    if value.get("version") != version:
        raise InvalidInput(f"This is {what} of another release of this collection", remedy=remedy)
    return value


def _parts(value: t.Mapping[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    """All of it with the first items of its lists; then the others, some at a time."""
    lists = {key: found for key, found in value.items() if isinstance(found, list)}
    yield {**value, **{key: found[:_ITEMS] for key, found in lists.items()}}
    for key, found in lists.items():
        for start in range(_ITEMS, len(found), _ITEMS):
            yield {key: found[start : start + _ITEMS]}


def _whole(parts: t.Iterator[t.Any]) -> dict[str, t.Any]:
    value: dict[str, t.Any] = {**next(parts)}
    for part in parts:
        for key, found in part.items():
            value[key].extend(found)
    return value
