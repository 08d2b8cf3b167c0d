# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check of a switch whether a bridge carries connections meanwhile, and which ones end all the same. Pure. Private to this collection."""

from __future__ import annotations

import typing as t
from collections import Counter

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_kernel import (
    OLDEST_KERNEL,
    OLDEST_NFT,
    nft_versions,
    pair_of,
    reads_what_it_writes,
    version_text,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import (
    ClusterCase,
    NodeCase,
    Verdict,
    fail,
    ok,
    unknown,
    warn,
    why_unread,
)

REQUIRE, OFF = "require", "off"
_EXAMPLES = 3
_WITHOUT = "Do without one: switch_bridge: auto."


def bridge(case: ClusterCase, node: NodeCase) -> t.Iterator[Verdict]:
    """Whether the node can have a bridge, where one is asked for."""
    if case.bridge == OFF:
        yield ok("no bridge is asked for (switch_bridge: off)")
        return
    if case.mode_of(node) == case.target:
        yield ok(f"the node is in {case.target} mode already")
        return
    if not node.bridge:
        yield unknown("nobody asked whether the node can have one")
        return
    why, remedy = _why_not(case, node)
    if why:
        yield (fail if case.bridge == REQUIRE else warn)(
            f"there can be none, and Services are away meanwhile: {why}", remedy
        )
        return
    if node.bridge.get("unread"):
        yield warn(
            f"which connections IPVS carries could not be told: {node.bridge['unread']}",
            "modprobe nf_conntrack_netlink",
        )
    ending = node.bridge.get("ending") or ()
    for reason, count in sorted(Counter(str(one.get("reason")) for one in ending).items()):
        examples = [str(one.get("connection")) for one in ending if one.get("reason") == reason][:_EXAMPLES]
        yield warn(
            f"{count} of {count_of(node) + len(ending)} connections that IPVS carries end: {reason} ({', '.join(examples)})",
            "Have their clients connect again afterwards, or move the node when they are done.",
        )
    yield ok(f"a bridge carries Services meanwhile, and {count_of(node)} connections of IPVS")


def is_bridged(case: ClusterCase, node: NodeCase) -> bool:
    """Whether the node is to have a bridge while it moves."""
    return (
        case.bridge != OFF and case.mode_of(node) != case.target and bool(node.bridge) and not _why_not(case, node)[0]
    )


def count_of(node: NodeCase) -> int:
    """How many connections that IPVS carries a bridge would keep."""
    return int(node.bridge.get("kept") or 0)


def _why_not(case: ClusterCase, node: NodeCase) -> tuple[str, str]:
    """Why there can be none, and the way out; empty where there can."""
    host, image = nft_versions(node)
    if node.is_down:
        return "kube-proxy does not answer, and nobody else says which mode it leaves", _WITHOUT
    if "kept" not in node.bridge:
        return why_unread(node.bridge, "the node does not say why"), _WITHOUT
    if node.kernel is not None and node.kernel < OLDEST_KERNEL:
        return f"kernel {node.facts.get('kernel_release')} is older than 5.13", "Use a newer kernel."
    if host is not None and host < OLDEST_NFT:
        return f"nft {version_text(host)} of the host is older than 1.0.1", "Install a newer nftables."
    if NFTABLES in (case.mode_of(node), case.target) and not reads_what_it_writes(host, image):
        return (
            f"{pair_of(host, image)}: what the bridge writes could crash kube-proxy (kubernetes issue 136786)",
            "Use an image of kube-proxy with nft 1.0.6.1 or 1.1.3 (Kubernetes' own since July 2026).",
        )
    return "", ""
