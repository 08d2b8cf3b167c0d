# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loads and unloads kernel modules, and writes our own file. Private to this collection."""

from __future__ import annotations

import os
import tempfile
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import OWN_FILE, Load, Unload
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_plan import KmodPlan

# What modprobe prints from errno, and what to do then.
_REMEDIES = (
    ("Operation not permitted", "Become root; in a container that may not load modules, load them on the host."),
    (
        "Key was rejected by service",
        "Secure Boot accepts signed modules only: install the distribution's own kernel modules, or enrol the key.",
    ),
    (
        "Exec format error",
        "The files belong to another kernel: reboot into the one that is installed, or reinstall the running one's modules.",
    ),
    (
        "Unknown symbol",
        "The files belong to another kernel: reboot into the one that is installed, or reinstall the running one's modules.",
    ),
    ("not found in directory", "Run depmod -a, or reinstall the running kernel's modules."),
)


class KmodWriter:
    """Carries out a plan.

    :param files: where the node's files are
    :param run: runs modprobe and rmmod
    :param label: gives a file its SELinux context (does nothing where there is none)
    """

    def __init__(self, files: Files, run: Runner, label: t.Callable[[str], object]) -> None:
        self._files = files
        self._run = run
        self._label = label

    def apply(self, plan: KmodPlan) -> None:
        """Stop at the first failure; our file is written last, so that then it is as it was.

        :raises KubeProxyError: with what modprobe, rmmod or the file system said, and what was done before
        """
        done: list[str] = []
        for operation in plan.operations:
            if isinstance(operation, Load):
                self._command(["modprobe", operation.name], f"Cannot load {operation.name}", done)
                done.append(f"loaded {operation.name}")
            elif isinstance(operation, Unload):
                # Not modprobe -r: it would unload what the module depends on as well.
                self._command(["rmmod", operation.name], f"Cannot unload {operation.name}", done)
                done.append(f"unloaded {operation.name}")
            else:
                self._write(operation.text)

    def _command(self, argv: t.Sequence[str], failed: str, done: t.Sequence[str]) -> None:
        result = self._run(argv)
        if result.rc == 0:
            return
        seen = " ".join((result.err or result.out).split()) or f"{argv[0]} ended with status {result.rc}"
        before = f" Before that: {', '.join(done)}." if done else ""
        remedy = next((advice for sign, advice in _REMEDIES if sign in seen), "dmesg may say more.")
        raise KubeProxyError(failed, seen=seen, remedy=f"{remedy}{before}", details={"done": list(done)})

    def _write(self, text: str | None) -> None:
        path = self._files.path(OWN_FILE)
        try:
            if text is None:
                os.unlink(path)
            else:
                self._replace(path, text)
        except OSError as error:
            raise KubeProxyError(
                f"Cannot write {OWN_FILE}",
                seen=error.strerror or str(error),
                remedy="The modules' state in the kernel is as wanted; make /etc/modules-load.d writable, or set persistent to false.",
            ) from None

    def _replace(self, path: str, text: str) -> None:
        folder = os.path.dirname(path)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        # systemd reads *.conf only: a half-written file of ours is never taken for configuration.
        handle, temporary = tempfile.mkstemp(prefix=".netops-kube-proxy.", suffix=".tmp", dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        self._label(path)
