# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs on a node beside a bridge and takes it away when nobody else does. A program of its own: C(_bridge_work) hands it to
systemd. Private to this collection.

It ends when the tables are gone, whoever removed them.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import typing as t
from dataclasses import replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import runner
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_expected import TABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_kernel import Kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_plan import Limits, plan_absent
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status import (
    parse_metrics,
    parse_mode,
    read_sync,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import (
    METRICS_PORT,
    Answer,
    get,
    parse_endpoint,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner

PAUSE = 2.0
GRACE = 60.0
"""How long nothing may be there at the beginning: the watch begins before the bridge."""

Ask = t.Callable[[str], Answer]


def is_ready(limits: Limits, ask: Ask) -> bool:
    """Whether the mode is there that the bridge waits for, and has synced every family once.

    :param ask: kube-proxy's answer to a path
    """
    mode = ask("/proxyMode")
    if not limits.entering or not mode.ok or parse_mode(mode.body) != limits.entering:
        return False
    metrics = ask("/metrics")
    return metrics.ok and read_sync(parse_metrics(metrics.body)).synced is True


def reason_to_end(age: float, ready: t.Callable[[], bool], limits: Limits) -> str:
    """Why the bridge has to go now; empty while it may stay."""
    if age >= limits.hard:
        return f"it was up for {limits.hard} s, its hard limit"
    if age >= limits.soft and ready():
        return f"kube-proxy runs in {limits.entering} mode, and the run that put it up did not take it away"
    return ""


def asker(address: str) -> Ask:
    """What asks kube-proxy there; without an address nobody answers.

    :raises InvalidInput: when it is none
    """
    endpoint = parse_endpoint("metrics_address", address, METRICS_PORT)
    return lambda path: get(endpoint, path) if endpoint else Answer("")


def watch(limits: Limits, run: Runner) -> str:
    """Wait until the bridge has to go, and say why; empty when it has gone without us."""
    ask, begun, seen = asker(limits.metrics), time.monotonic(), False
    while True:
        age = time.monotonic() - begun
        # Names alone cost nothing, however much is in the tables.
        listed = run(["nft", "list", "tables"])
        there = {" ".join(["table", *one]) for one in TABLES} & set(listed.out.splitlines())
        seen = seen or bool(there)
        if listed.rc == 0 and not there and (seen or age > GRACE):
            return ""
        reason = reason_to_end(age, lambda: is_ready(limits, ask), limits)
        if there and reason:
            return reason
        time.sleep(PAUSE)


def take_away(kernel: Kernel) -> None:
    """As the module does it, but for this program itself. Whatever goes wrong, the bridge goes."""
    try:
        plan = plan_absent(replace(kernel.read(), limits=None))
        kernel.apply(plan)
        _say(plan.actions)
    except KubeProxyError as error:
        _say([str(error)])
    finally:
        kernel.remove()


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        limits = Limits(**json.load(file))
    run = runner(shutil.which)
    reason = watch(limits, run)
    if reason:
        _say([f"Taking the bridge away: {reason}."])
    take_away(Kernel(run, Files()))


def _say(lines: t.Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
