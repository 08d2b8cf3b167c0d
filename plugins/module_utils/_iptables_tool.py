# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's iptables binaries: which one serves a backend and a family. Private to this collection."""

from __future__ import annotations

import os
import tempfile
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult, Runner

NOT_FOUND = 127
Taken = t.TypeVar("Taken")
_BASE = {"ipv4": "iptables", "ipv6": "ip6tables"}


class MissingTool(KubeProxyError):
    """The node has tables that no binary on it can show."""


def run_tool(  # one call, one command line: the parts of its name, its arguments and its input
    runner: Runner, backend: str, family: str, verb: str, args: t.Sequence[str] = (), stdin: str | None = None
) -> CommandResult:
    """Run C(iptables-BACKEND-VERB) of a family, or C(iptables-VERB) where that is of this backend.

    :raises MissingTool: when the node has neither
    """
    base = _BASE[family]
    result = runner([f"{base}-{backend}-{verb}", *args], stdin)
    if result.rc == NOT_FOUND:
        if default_backend(runner) != backend:
            raise MissingTool(
                f"{base}-{backend}-{verb} was not found",
                seen=f"the node needs it for its {backend} tables",
                remedy="Install the distribution's iptables package (on RHEL and its relatives: iptables-nft or iptables-legacy).",
            )
        result = runner([f"{base}-{verb}", *args], stdin)
    return result


def save_tables(
    runner: Runner, backend: str, family: str, take: t.Callable[[t.Iterable[str]], Taken], args: t.Sequence[str] = ()
) -> Taken:
    """Run C(iptables-save) and let C(take) have its lines.

    They come from a file: megabytes through Ansible's pipe, and held as one text, cost nearly as much as making them.

    :raises KubeProxyError: when iptables-save fails
    """
    with tempfile.TemporaryDirectory(prefix="iptables-save-") as folder:
        path = os.path.join(folder, "tables")
        if run_tool(runner, backend, family, "save", ("-f", path, *args)).rc == 0:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                return take(file)
    # Releases before 1.8 do not know -f.
    result = run_tool(runner, backend, family, "save", args)
    if result.rc != 0:
        raise KubeProxyError(
            f"The {backend} tables of {family} cannot be read",
            seen=f"iptables-save ended with {result.rc}: {result.err.strip()}",
        )
    return take(result.out.split("\n"))


def default_backend(runner: Runner) -> str:
    """The backend of the plain C(iptables): C(nft), C(legacy), or empty without iptables.

    Releases before 1.8 know only the kernel's older interface and name no backend.
    """
    result = runner(["iptables", "--version"])
    if result.rc == NOT_FOUND:
        return ""
    return "nft" if "nf_tables" in result.out else "legacy"
