# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TCP connections that are closed as soon as they are there, many at the same time. Nothing is sent. Private to this collection."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination
from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_model import ATTEMPTS, Ask, Outcome

_AT_ONCE = 200
_PAUSE = 0.2
_DIRECT_ATTEMPTS = 2
# Refused before anything was sent.
_UNROUTED = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EACCES)

Attempt = t.Callable[[t.Sequence[Destination], float], t.Dict[Destination, Outcome]]


def longest(asks: t.Sequence[Ask], timeout: float) -> float:
    """How many seconds L(connect_all) takes at most."""
    ends = len({end for ask in asks for end in (ask.end, *ask.through)})
    return ATTEMPTS * (timeout * -(-ends // _AT_ONCE) + _PAUSE)


def connect_all(
    asks: t.Sequence[Ask],
    timeout: float,
    attempt: Attempt | None = None,
    pause: t.Callable[[float], None] = time.sleep,
) -> dict[Destination, Outcome]:
    """Connect to all addresses and endpoints; again to an address that is not answered while one of its endpoints is, and once more
    to an endpoint that is not."""
    once = attempt or attempt_once
    direct = {end for ask in asks for end in ask.through}
    found: dict[Destination, Outcome] = {}
    for number in range(1, ATTEMPTS + 1):
        due = [ask.end for ask in asks if number == 1 or _is_due(ask, found)]
        due += [end for end in direct if number <= _DIRECT_ATTEMPTS and not _is_answered(found, end)]
        due = list(dict.fromkeys(due))
        if not due:
            break
        if number > 1:
            pause(_PAUSE)
        for end, outcome in once(due, timeout).items():
            found[end] = outcome._replace(attempts=found[end].attempts + 1 if end in found else 1)
    return found


def _is_answered(found: t.Mapping[Destination, Outcome], end: Destination) -> bool:
    return end in found and found[end].answered


def _is_due(ask: Ask, found: t.Mapping[Destination, Outcome]) -> bool:
    if found[ask.end].answered or not found[ask.end].is_routed:
        return False
    return any(_is_answered(found, end) for end in ask.through)


def attempt_once(ends: t.Sequence[Destination], timeout: float) -> dict[Destination, Outcome]:
    """One connection to each."""
    found: dict[Destination, Outcome] = {}
    for start in range(0, len(ends), _AT_ONCE):
        found.update(_together(ends[start : start + _AT_ONCE], timeout))
    return found


def _together(ends: t.Sequence[Destination], timeout: float) -> dict[Destination, Outcome]:
    found: dict[Destination, Outcome] = {}
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for end in ends:
            family = socket.AF_INET6 if ":" in end[0] else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            code = sock.connect_ex(end)
            if code == errno.EINPROGRESS:
                selector.register(sock, selectors.EVENT_WRITE, end)
                continue
            sock.close()
            found[end] = _outcome(code, code not in _UNROUTED)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            for key, _events in ready or [(one, 0) for one in tuple(selector.get_map().values())]:
                sock = t.cast(socket.socket, key.fileobj)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if ready else errno.ETIMEDOUT
                selector.unregister(sock)
                sock.close()
                found[key.data] = _outcome(code) if ready else Outcome(False, f"no answer in {timeout:g} s")
    return found


def _outcome(code: int, is_routed: bool = True) -> Outcome:
    return Outcome(not code, os.strerror(code) if code else "", is_routed=is_routed)
