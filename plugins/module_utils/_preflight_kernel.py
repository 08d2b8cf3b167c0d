# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of a switch that are about a node's kernel and tools. Pure. Private to this collection.

Sources: C(getNFTablesInterface) in C(pkg/proxy/nftables) of 1.31 to 1.37 (kernel 5.13, nft 1.0.1 in the image and by its comment on
the host, too; the environment that skips the kernel's part), kubernetes issue 136786 of February 2026 with PR 137501 (March) and
PR 140405 (July: an image with nft 1.0.6.1), and issue 140898 of July (1.36 with the former, still affected);
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import (
    ClusterCase,
    NodeCase,
    Object,
    Verdict,
    fail,
    ok,
    unknown,
    warn,
    why_unread,
)

Verdicts = t.Iterator[Verdict]
Version = t.Tuple[int, ...]

_NOBODY = "nobody looked at the node"
OLDEST_KERNEL = (5, 13)
OLDEST_NFT: Version = (1, 0, 1)
# From here on, nft writes into its sets what older ones cannot read; who can, of the older ones, is from a branch of its own.
_NFT_WRITES_MORE: Version = (1, 1, 3)
_NFT_READS_MORE: Version = (1, 0, 6, 1)
_NFT_NEXT_BRANCH: Version = (1, 0, 7)

# What the role judges from elsewhere, or by a check of its own.
_OTHER_CHECKS = ("release_calendar", "mode_empty", "foreign_virtual_server", "kube_proxy_unreachable")
_NAMED = 5


def audit(case: ClusterCase, node: NodeCase) -> Verdicts:
    """Whether the node is in order in the mode that it is in."""
    looks = [one for one in node.looks if "findings" in one]
    if node.is_down:
        yield warn(
            "kube-proxy does not answer: this is a rescue, in which only what the target needs is asked for",
            "Its log says why: kubectl -n kube-system logs --previous.",
        )
        return
    if not looks:
        last: Object = next((one for one in reversed(node.looks) if one.get("msg")), {})
        yield unknown(why_unread(last, "nobody compared its kernel with the API"))
        return
    found = [one for one in looks[-1]["findings"] if one.get("kind") not in _OTHER_CHECKS]
    errors, warnings = ([one for one in found if one.get("severity") == severity] for severity in ("error", "warning"))
    remedy = "The role netops.kube_proxy.check says what each one is, and the way out."
    if errors and case.is_on_the_way(node):
        yield warn(f"this run has to put it in order, and says at its end whether it is: {_kinds(errors)}", remedy)
    elif errors:
        yield fail(f"in {case.mode_of(node) or 'its present'} mode it is not in order: {_kinds(errors)}", remedy)
    elif warnings:
        yield warn(f"in {case.mode_of(node) or 'its present'} mode something is at risk: {_kinds(warnings)}", remedy)
    elif any(one.get("kind") == "unread" for one in found):
        yield unknown(f"a part of it could not be read: {_kinds(found)}", remedy)
    else:
        yield ok(f"kernel and API agree in {case.mode_of(node)} mode")


def _kinds(findings: t.Sequence[Object]) -> str:
    names = list(dict.fromkeys(f"{one.get('kind')} {one.get('object')}" for one in findings))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def kernel_modules(case: ClusterCase, node: NodeCase) -> Verdicts:
    """C(ipvs_module_loaded) has decided: it names what is missing, and the package."""
    modules = node.modules.get("modules")
    if modules is not None:
        actions = [str(one) for one in node.modules.get("actions") or ()]
        more = f" and {len(actions) - _NAMED} more" if len(actions) > _NAMED else ""
        todo = f"; to be done: {', '.join(actions[:_NAMED])}{more}" if actions else ""
        yield ok(f"the kernel has the {len(modules)} modules of {case.target} mode{todo}")
    elif node.modules.get("msg"):
        reason, _dot, remedy = str(node.modules["msg"]).partition(". ")
        yield fail(reason.rstrip("."), remedy)
    else:
        yield unknown("nobody asked for the kernel modules")


def kernel_version(case: ClusterCase, node: NodeCase) -> Verdicts:
    release = str(node.facts.get("kernel_release") or "")
    if case.target != NFTABLES:
        yield ok(f"{case.target} mode asks for no release of the kernel")
    elif node.kernel is None:
        yield unknown(why_unread(node.facts, _NOBODY), "kube-proxy asks for kernel 5.13 in nftables mode (uname -r).")
    elif node.kernel >= OLDEST_KERNEL:
        yield ok(f"kernel {release}")
    elif (case.switch.get("kube_proxy") or {}).get("skips_kernel_check"):
        yield warn(f"kernel {release} is older than 5.13, which kube-proxy is told to overlook", "Use a newer kernel.")
    else:
        yield fail(
            f"kernel {release}: kube-proxy in nftables mode does not start on one older than 5.13",
            "Use a newer kernel, or iptables mode.",
        )


def _version(text: t.Any) -> Version | None:
    parts = str(text or "").split(".")
    return tuple(map(int, parts)) if all(map(str.isdecimal, parts)) else None


def nft_versions(node: NodeCase) -> tuple[Version | None, Version | None]:
    """Of the host and of kube-proxy's image; None where one is not known."""
    found = node.facts.get("nft") or {}
    return _version(found.get("host")), _version(found.get("kube_proxy"))


def nft_version(case: ClusterCase, node: NodeCase) -> Verdicts:
    if case.target != NFTABLES:
        yield ok(f"{case.target} mode needs no nft")
        return
    host, image = nft_versions(node)
    if image is None:
        yield unknown(
            why_unread(node.facts, _NOBODY, "nft.kube_proxy"), "Kubernetes' own images of 1.31 and later have one."
        )
    elif image < OLDEST_NFT:
        yield fail(f"nft {version_text(image)} of kube-proxy's image is older than 1.0.1", "Use Kubernetes' own image.")
    if host is None:
        why = why_unread(node.facts, _NOBODY, "nft.host")
        if "not found" in why:
            yield fail(
                "the host has no nft, without which nobody can see what nftables mode does, this collection neither",
                "Install the distribution's package nftables.",
            )
        else:
            yield unknown(why)
    elif host < OLDEST_NFT:
        yield fail(
            f"nft {version_text(host)} of the host is older than 1.0.1, and what kube-proxy writes can make it unusable",
            "Install a newer nftables.",
        )
    if host and image:
        yield ok(f"nft {version_text(host)} on the host, {version_text(image)} in kube-proxy's image")


def version_text(version: Version) -> str:
    """As nft writes it."""
    return ".".join(map(str, version))


def nft_pair(case: ClusterCase, node: NodeCase) -> Verdicts:
    """An nft in kube-proxy's image that crashes on what a newer one has written."""
    sets = (node.facts.get("nft") or {}).get("sets")
    host, image = nft_versions(node)
    if case.target != NFTABLES:
        yield ok(f"{case.target} mode does not run nft")
    elif host is not None and host < _NFT_WRITES_MORE:
        yield ok(f"nft {version_text(host)} of the host writes nothing that the image's cannot read")
    elif image is not None and _reads(image):
        yield ok(f"nft {version_text(image)} of kube-proxy's image reads what newer ones write")
    elif sets is None:
        yield unknown(why_unread(node.facts, _NOBODY, "nft.sets"))
    elif host is None and sets:
        yield unknown(why_unread(node.facts, _NOBODY, "nft.host"))
    elif image is None:
        yield unknown(why_unread(node.facts, _NOBODY, "nft.kube_proxy"))
    else:
        yield _judge_pair(host, image, sets)


def _reads(image: Version) -> bool:
    return image >= _NFT_WRITES_MORE or _NFT_READS_MORE <= image < _NFT_NEXT_BRANCH


def reads_what_it_writes(host: Version | None, image: Version | None) -> bool:
    """Whether it is certain that kube-proxy's nft reads what the host's writes."""
    return (host is not None and host < _NFT_WRITES_MORE) or (image is not None and _reads(image))


def pair_of(host: Version | None, image: Version | None) -> str:
    """Both, in words."""
    texts = [version_text(one) if one else "(none)" for one in (host, image)]
    return f"nft {texts[0]} of the host, {texts[1]} in kube-proxy's image"


def _judge_pair(host: Version | None, image: Version, sets: t.Sequence[Object]) -> Verdict:
    pair = pair_of(host, image)
    remedy = "Use an image of kube-proxy with nft 1.0.6.1 or 1.1.3 (Kubernetes' own since July 2026)."
    if image >= _NFT_NEXT_BRANCH:
        return warn(
            f"{pair}: nobody has said whether this one reads what newer ones write (kubernetes issue 136786)", remedy
        )
    if not sets:
        return warn(
            f"{pair}: there is no set or map that it could crash on now, but the first one would do (issue 136786)",
            remedy,
        )
    names = ", ".join(f"{one.get('family')} {one.get('table')} {one.get('name')}" for one in sets[:_NAMED])
    return fail(f"{pair}: it crashes on the sets and maps there are ({names}; kubernetes issue 136786)", remedy)
