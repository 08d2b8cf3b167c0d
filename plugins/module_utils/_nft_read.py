# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading nftables' own tables with the node's C(nft). Nothing is changed or loaded. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import NOT_FOUND, MissingTool
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_parse import (
    NftChain,
    NftTable,
    parse_base_chains,
    parse_sets,
    parse_table,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_tables import has_nf_tables

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult, Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files


def read_nft_table(runner: Runner, family: str, name: str) -> NftTable | None:
    """One table with all that is in it; None when it is not there (any more).

    :raises KubeProxyError: when it cannot be read
    """
    result = _nft(runner, ["list", "table", family, name])
    if result.rc != 0 and "No such file or directory" in result.err:
        return None
    if result.rc != 0:
        raise _refused(result, f"The nftables table {family} {name} cannot be read")
    return parse_table(result.out, family, name)


def read_nft_text(runner: Runner, family: str, name: str) -> str | None:
    """One table as nft writes it, without the state of counters and quotas; None when it is not there (any more).

    :raises KubeProxyError: when it cannot be read
    """
    result = runner(["nft", "-s", "list", "table", family, name])
    if result.rc != 0 and "No such file or directory" in result.err:
        return None
    if result.rc != 0:
        raise _refused(result, f"The nftables table {family} {name} cannot be read")
    return result.out


def read_nft_base_chains(runner: Runner, files: Files) -> tuple[tuple[str, str, str, NftChain], ...]:
    """Family, table and name of every base chain, whoever made it, and the chain without its rules.

    :raises KubeProxyError: when there may be some and they cannot be read
    """
    if not has_nf_tables(files):
        return ()
    result = _nft(runner, ["list", "chains"])
    if result.rc != 0:
        raise _refused(result, "The chains of nftables cannot be read")
    return parse_base_chains(result.out)


def read_nft_sets(runner: Runner, files: Files) -> tuple[tuple[str, str, str], ...]:
    """Family, table and name of every named set and map, without their elements.

    :raises KubeProxyError: when there may be some and they cannot be read
    """
    if not has_nf_tables(files):
        return ()
    found: list[tuple[str, str, str]] = []
    for kind in ("sets", "maps"):
        result = _nft(runner, ["-t", "list", kind])
        if result.rc != 0:
            raise _refused(result, f"The {kind} of nftables cannot be read")
        found.extend(parse_sets(result.out))
    return tuple(found)


def _nft(runner: Runner, arguments: t.Sequence[str]) -> CommandResult:
    result = runner(["nft", "-j", *arguments])
    if result.rc == NOT_FOUND:
        raise MissingTool(
            "nft was not found",
            seen="the kernel has nf_tables, and only nft can show what is in its tables",
            remedy="Install the distribution's nftables package.",
        )
    return result


def _refused(result: CommandResult, failed: str) -> KubeProxyError:
    return KubeProxyError(failed, seen=f"nft ended with {result.rc}: {result.err.strip()[:500]}")
