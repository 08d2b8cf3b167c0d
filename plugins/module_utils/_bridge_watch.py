# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs on a node beside a bridge and takes it away when nobody else does. A program of its own: C(_bridge_work) hands its source to
systemd. Private to this collection.

    python3 bridge_watch.py LIMITS.json

It ends when the tables are gone, whoever removed them.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
import typing as t
from contextlib import closing

PAUSE = 2.0
GRACE = 60.0
"""How long nothing may be there at the beginning: the watch begins before the bridge."""

_SYNC = re.compile(r"^kubeproxy_sync_proxy_rules_last_timestamp_seconds(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
_START = re.compile(r"^process_start_time_seconds (\S+)$", re.MULTILINE)


def is_ready(limits: t.Mapping[str, t.Any], get: t.Callable[[str], str]) -> bool:
    """Whether the mode is there that the bridge waits for, and has synced every family once.

    :param get: what kube-proxy answers to a path; empty when it does not
    """
    if not limits["metrics"] or not limits["entering"] or get("/proxyMode").strip() != limits["entering"]:
        return False
    metrics = get("/metrics")
    syncs, start = [float(one) for one in _SYNC.findall(metrics)], _START.search(metrics)
    return bool(syncs) and start is not None and min(syncs) > float(start.group(1))


def reason_to_end(age: float, ready: t.Callable[[], bool], limits: t.Mapping[str, t.Any]) -> str:
    """Why the bridge has to go now; empty while it may stay."""
    if age >= limits["hard"]:
        return f"it was up for {limits['hard']} s, its hard limit"
    if age >= limits["soft"] and ready():
        return f"kube-proxy runs in {limits['entering']} mode, and the run that put it up did not take it away"
    return ""


def fetch(address: str) -> t.Callable[[str], str]:
    """What asks kube-proxy there."""

    def get(path: str) -> str:
        try:
            with closing(http.client.HTTPConnection(address, timeout=5)) as connection:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.read().decode("utf-8", "replace") if answer.status == http.client.OK else ""
        except (OSError, ValueError, http.client.HTTPException):
            return ""

    return get


def put_back(path: str) -> None:
    """Have settings of the kernel as they were before the bridge. The file names them with the values that they had, and goes; there is none when
    nothing was set."""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
        for setting, value in before.items():
            with open(setting, "w", encoding="utf-8") as file:
                file.write(value)
        os.unlink(path)


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        limits = json.load(file)
    watch(limits)
    put_back(limits["settings"])


def watch(limits: t.Mapping[str, t.Any]) -> None:
    """Take the bridge away in time, unless somebody else does."""
    begun, seen = time.monotonic(), False
    get = fetch(limits["metrics"])
    while True:
        age = time.monotonic() - begun
        # Names alone cost nothing, however much is in the tables.
        listed = _nft("list", "tables")
        names = listed.stdout.decode("utf-8", "replace").splitlines()
        there = [one for one in limits["tables"] if " ".join(["table", *one]) in names]
        seen = seen or bool(there)
        if listed.returncode == 0 and not there and (seen or age > GRACE):
            return
        reason = reason_to_end(age, lambda: is_ready(limits, get), limits)
        if there and reason:
            sys.stdout.write(f"Taking the bridge away: {reason}.\n")
            sys.stdout.flush()
            for table in there:
                _nft("delete", "table", *table)
        time.sleep(PAUSE)


def _nft(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["nft", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
