# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bridge in the kernel, and the unit that watches over it: reading and changing both. Private to this collection."""

from __future__ import annotations

import inspect
import json
import os
import sys
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _bridge_watch
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_expected import (
    AHEAD,
    TABLE,
    TABLES,
    Bridge,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_plan import (
    LOAD,
    UNLOAD,
    UNWATCH,
    WATCH,
    BridgePlan,
    BridgeState,
    Limits,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_render import render, render_removal
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Dataplane
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables import read_nftables
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import Settings
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_read import read_nft_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_tables import has_nf_tables

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult, Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

UNIT = f"{TABLE}.service"
FOLDER = "/run/netops-kube-proxy"
_ANY = Settings(ahead=AHEAD)
_PROGRAM, _LIMITS = f"{FOLDER}/bridge_watch.py", f"{FOLDER}/bridge.json"


@dataclass(frozen=True)
class Kernel:
    """One node's bridge. C(bridge) is what is wanted; None: none is."""

    runner: Runner
    files: Files
    bridge: Bridge | None = None

    def read(self) -> BridgeState:
        """What there is. Loads nothing.

        :raises KubeProxyError: when it cannot be read
        """
        if not has_nf_tables(self.files):
            return BridgeState(limits=self._limits())
        found = [table for name in TABLES for table in [read_nft_table(self.runner, *name)] if table]
        families = frozenset(6 if table.family == "ip6" else 4 for table in found)
        settings = self.bridge.settings if self.bridge else _ANY
        plane = read_nftables(found, sorted(families), settings, TABLES) if found else Dataplane(NFTABLES)
        return BridgeState(families, plane, self._limits())

    def apply(self, plan: BridgePlan, limits: Limits | None = None) -> None:
        """Carry out a plan."""
        for step in plan.operations:
            if step == WATCH and limits:
                self._unwatch()
                self._watch(limits)
            elif step == LOAD and self.bridge:
                self._nft(render(self.bridge), "The bridge could not be put up")
            elif step == UNLOAD:
                self._nft(render_removal(sorted(plan.before.families)), "The bridge could not be taken away")
            elif step == UNWATCH:
                self._unwatch()

    def _nft(self, text: str, failed: str) -> None:
        result = self.runner(["nft", "-f", "-"], text)
        if result.rc != 0:
            raise KubeProxyError(failed, _said(result), "Nothing of it was done: nft -f is one transaction.")

    def _limits(self) -> Limits | None:
        if self.runner(["systemctl", "is-active", "--quiet", UNIT]).rc != 0:
            return None
        kept = json.loads(self.files.text(_LIMITS) or "{}")
        return Limits(**{name: kept[name] for name in Limits._fields}) if kept.keys() >= set(Limits._fields) else None

    def _watch(self, limits: Limits) -> None:
        os.makedirs(self.files.path(FOLDER), mode=0o700, exist_ok=True)
        self._write(_PROGRAM, inspect.getsource(_bridge_watch))
        self._write(_LIMITS, json.dumps({**limits._asdict(), "tables": TABLES}))
        unit = [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={UNIT}",
            "--description=Takes the bridge of netops.kube_proxy away",
        ]
        result = self.runner([*unit, sys.executable, self.files.path(_PROGRAM), self.files.path(_LIMITS)])
        if result.rc != 0:
            raise KubeProxyError(
                "What takes the bridge away by itself could not be started",
                _said(result),
                "It is a transient unit of systemd: a node without systemd cannot have a bridge.",
            )

    def _unwatch(self) -> None:
        self.runner(["systemctl", "stop", UNIT])

    def _write(self, path: str, text: str) -> None:
        opened = os.open(self.files.path(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(text)


def _said(result: CommandResult) -> str:
    return result.err.strip()[:500] or f"it ended with {result.rc}"
