# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values that travel from task to task as one line of text. Pure. Private to this collection."""

from __future__ import annotations

import base64
import json
import typing as t
import zlib

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput


def pack(value: t.Mapping[str, t.Any]) -> str:
    """JSON, compressed, in Base64."""
    return base64.b64encode(zlib.compress(json.dumps(value, separators=(",", ":"), sort_keys=True).encode())).decode()


def unpack(text: str, what: str, version: int, remedy: str) -> dict[str, t.Any]:
    """What C(pack) made of a mapping with the key C(version).

    :param what: what the text should be, with its article
    :raises InvalidInput: for anything else, with C(remedy)
    """
    try:
        value = json.loads(zlib.decompress(base64.b64decode(text.encode(), validate=True)))
    except (AttributeError, ValueError, zlib.error) as error:
        raise InvalidInput(f"This is not {what}", remedy=remedy) from error
    if not isinstance(value, dict) or value.get("version") != version:
        raise InvalidInput(f"This is {what} of another release of this collection", remedy=remedy)
    return value
