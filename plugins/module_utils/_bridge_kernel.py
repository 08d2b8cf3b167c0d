# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bridge in the kernel, and the unit that watches over it: reading and changing both. Private to this collection."""

from __future__ import annotations

import json
import os
import sys
import typing as t
from dataclasses import dataclass, field

from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_carried import (
    LOOSE,
    hand_over,
    is_loose,
    read_carried,
    read_served,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_expected import (
    AHEAD,
    TABLES,
    Bridge,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_kept import (
    Carried,
    Kept,
    Place,
    read_kept,
    why_ending,
    without_kept,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_plan import (
    HAND_OVER,
    KEEP,
    LOAD,
    LOOSEN,
    PUT_BACK,
    UNLOAD,
    UNWATCH,
    WATCH,
    BridgePlan,
    BridgeState,
    Limits,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_render import (
    render,
    render_kept,
    render_removal,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Dataplane
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables import read_nftables
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_nftables_layout import Settings
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import BRIDGE_TABLE, NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_read import read_nft_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_tables import has_nf_tables

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult, Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

UNIT = f"{BRIDGE_TABLE}.service"
FOLDER = "/run/netops-kube-proxy"
_ANY = Settings(ahead=AHEAD)
_PROGRAM, _LIMITS = f"{FOLDER}/bridge_watch.zip", f"{FOLDER}/bridge.json"
_SETTINGS = f"{FOLDER}/settings.json"


@dataclass
class Kernel:
    """One node's bridge. C(bridge) is what is wanted; None: none is.

    :param places: whose connections are to be kept while IPVS carries them
    :param bound: the addresses of kube-ipvs0
    :param program: what watches over it, as C(python3) runs it
    """

    runner: Runner
    files: Files
    bridge: Bridge | None = None
    places: frozenset[Place] = frozenset()
    bound: frozenset[str] = frozenset()
    program: t.Callable[[], bytes] = bytes
    _ipvs: tuple[Kept, dict[Carried, str], frozenset[Place]] | None = field(default=None, init=False)

    def read(self) -> BridgeState:
        """What there is. Loads nothing. Connections are those of the first look: they come and go meanwhile.

        :raises KubeProxyError: when it cannot be read
        """
        names = TABLES if has_nf_tables(self.files) else ()
        found = [table for name in names for table in [read_nft_table(self.runner, *name)] if table]
        families = frozenset(6 if table.family == "ip6" else 4 for table in found)
        settings = self.bridge.settings if self.bridge else _ANY
        bare = [without_kept(table) for table in found]
        plane = read_nftables(bare, sorted(families), settings, TABLES) if found else Dataplane(NFTABLES)
        kept = read_kept(found)
        if self._ipvs is None:
            self._ipvs = self._look_at_ipvs(kept)
        loosened = self.files.exists(_SETTINGS)
        return BridgeState(families, plane, self._limits(), kept, *self._ipvs, is_loose(self.files), loosened)

    def _look_at_ipvs(self, kept: Kept) -> tuple[Kept, dict[Carried, str], frozenset[Place]]:
        served = read_served()
        if not served and not kept:
            return frozenset(), {}, served
        carried = read_carried(self.files, self.places | {(one.protocol, one.address) for one in kept})
        reasons = {one: why_ending(one, self.bound) for one in carried}
        ending = {one: reason for one, reason in reasons.items() if reason}
        return carried - ending.keys(), ending, served

    def apply(self, plan: BridgePlan, limits: Limits | None = None) -> None:
        """Carry out a plan."""
        for step in plan.operations:
            if step == WATCH and limits:
                self._unwatch()
                self._watch(limits)
            elif step == HAND_OVER:
                hand_over(self.files, plan.before.lost)
            elif step == LOOSEN:
                self._loosen()
            elif step == LOAD and self.bridge:
                self._nft(render(self.bridge, plan.after.kept), "The bridge could not be put up")
            elif step == KEEP and LOAD not in plan.operations:
                families = sorted(plan.after.families)
                self._nft(render_kept(families, plan.after.kept), "The bridge could not keep connections")
            elif step == UNLOAD:
                self._nft(render_removal(sorted(plan.before.families)), "The bridge could not be taken away")
            elif step == PUT_BACK:
                self._put_back()
            elif step == UNWATCH:
                self._unwatch()

    def remove(self) -> None:
        """Have no tables and no changed settings, whatever there is. No connection is handed over."""
        self._nft(render_removal((4, 6)), "The bridge could not be taken away")
        self._put_back()

    def _nft(self, text: str, failed: str) -> None:
        result = self.runner(["nft", "-f", "-"], text)
        if result.rc != 0:
            raise KubeProxyError(failed, _said(result), "Nothing of it was done: nft -f is one transaction.")

    def _limits(self) -> Limits | None:
        if self.runner(["systemctl", "is-active", "--quiet", UNIT]).rc != 0:
            return None
        given = self.files.text(_LIMITS)
        return Limits(**json.loads(given)) if given else None

    def _loosen(self) -> None:
        self._write(_SETTINGS, json.dumps({LOOSE: self.files.text(LOOSE)}))
        self._write(LOOSE, "1")

    def _put_back(self) -> None:
        for setting, value in json.loads(self.files.text(_SETTINGS) or "{}").items():
            self._write(setting, value)
        if self.files.exists(_SETTINGS):
            os.unlink(self.files.path(_SETTINGS))

    def _watch(self, limits: Limits) -> None:
        os.makedirs(self.files.path(FOLDER), mode=0o700, exist_ok=True)
        self._write(_PROGRAM, self.program())
        self._write(_LIMITS, json.dumps(limits._asdict()))
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

    def _write(self, path: str, content: bytes | str) -> None:
        opened = os.open(self.files.path(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)


def _said(result: CommandResult) -> str:
    return result.err.strip()[:500] or f"it ended with {result.rc}"
