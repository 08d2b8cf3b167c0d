# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks that die with their holder and say who that is."""

from __future__ import annotations

import fcntl
import os
import sys
import typing as t
from contextlib import contextmanager

from kubelab import host
from kubelab.steps import say

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def held(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock at `path`; wait for another holder and name it.

    The kernel drops a flock with its process, so an interrupted command never leaves one behind. The file stays: removing
    it would let two commands lock two different files of the same name.
    """
    host.make_folder(path.parent)
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            say(f"waiting for {purpose}: held by {stream.read().strip() or 'another command'}")
            fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        stream.truncate()
        stream.write(f"process {os.getpid()}: {' '.join(sys.argv)}\n")
        stream.flush()
        yield
