# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release of kube-proxy does with a mode: the calendar of facts 5.1. Pure. Private to this collection.

Sources: C(pkg/features/kube_features.go) and C(pkg/proxy/apis/config/validation/validation.go) of 1.34 to 1.37, and
KEP-5495 for what is planned after 1.37. Release months after 1.37 follow the project's three releases a year.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

IPVS_GATE = "KubeProxyIPVS"
NFTABLES_GATE = "NFTablesProxyMode"

_CALENDAR = (
    "IPVS mode is deprecated since 1.35 (December 2025), needs the feature gate KubeProxyIPVS from 1.40 "
    "(planned for August 2027) and is gone from 1.43 (planned for August 2028)"
)


@dataclass(frozen=True, order=True)
class Release:
    """A Kubernetes minor release."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True)
class Finding:
    """What the calendar says about a mode: C(severity) is C(warning) or C(error)."""

    severity: str
    message: str


NFTABLES_ALPHA = Release(1, 29)
NFTABLES_BETA = Release(1, 31)
NFTABLES_GA = Release(1, 33)
IPVS_DEPRECATED = Release(1, 35)
IPVS_GATE_KNOWN = Release(1, 37)
IPVS_GATE_NEEDED = Release(1, 40)
IPVS_GONE = Release(1, 43)
EMPTY_IS_NFTABLES = Release(1, 40)


def parse_release(text: str) -> Release | None:
    """The release in a version such as C(v1.37.2), C(1.29.0-eksbuild.1) or C(v1.30.4+k3s1); None if there is none."""
    found = re.match(r"v?(\d+)\.(\d+)(?=$|[.+_-])", text.strip())
    return Release(int(found.group(1)), int(found.group(2))) if found else None


def tag_of(image: str) -> str:
    """The tag of an image reference, empty when there is none: C(registry:5000/kube-proxy:v1.37.2@sha256:...) has one."""
    name = image.split("@", 1)[0].rsplit("/", 1)[-1]
    return name.split(":", 1)[1] if ":" in name else ""


def release_of_image(image: str) -> Release | None:
    """The release that an image's tag names. A digest or a name of one's own names none."""
    return parse_release(tag_of(image))


def effective_mode(mode: str, release: Release | None) -> str:
    """What kube-proxy makes of the C(mode) field: empty is iptables through 1.39 and nftables from 1.40 (planned)."""
    if mode:
        return mode
    return "nftables" if release and release >= EMPTY_IS_NFTABLES else "iptables"


def assess(mode: str, releases: t.Sequence[Release], gates: t.Mapping[str, t.Any]) -> list[Finding]:
    """What these releases of kube-proxy make of a mode. No releases means that they are not known."""
    if not releases:
        return [
            Finding(
                "warning",
                f"The release of kube-proxy is not known, so nothing can be said about {mode or 'its'} mode in it. {_CALENDAR}.",
            )
        ]
    rules = {"ipvs": _ipvs, "nftables": _nftables, "": _empty}
    rule = rules.get(mode, _always)
    found = [
        finding for release in sorted(set(releases)) for finding in (*_gates(release, gates), *rule(release, gates))
    ]
    return list(dict.fromkeys(found))


def _always(_release: Release, _gates: t.Mapping[str, t.Any]) -> list[Finding]:
    return []


def _gates(release: Release, gates: t.Mapping[str, t.Any]) -> list[Finding]:
    if IPVS_GATE in gates and release < IPVS_GATE_KNOWN:
        return [
            Finding(
                "error",
                f"kube-proxy {release} does not know the feature gate {IPVS_GATE} and would not start: remove it from featureGates until 1.37.",
            )
        ]
    return []


def _ipvs(release: Release, gates: t.Mapping[str, t.Any]) -> list[Finding]:
    if release < IPVS_DEPRECATED:
        return []
    if release >= IPVS_GONE:
        return [
            Finding(
                "error", f"kube-proxy {release} has no ipvs mode: it was removed in 1.43. Use nftables or iptables."
            )
        ]
    gate = gates.get(IPVS_GATE)
    if gate is False and release >= IPVS_GATE_KNOWN:
        return [
            Finding(
                "error",
                f"The feature gate {IPVS_GATE} is off in featureGates, so kube-proxy {release} refuses ipvs mode: set it to true.",
            )
        ]
    if release >= IPVS_GATE_NEEDED and gate is not True:
        return [
            Finding(
                "error",
                f"kube-proxy {release} refuses ipvs mode unless the feature gate {IPVS_GATE} is true "
                f"(settings: {{featureGates: {{{IPVS_GATE}: true}}}}), and 1.43 removes it. Better use nftables or iptables.",
            )
        ]
    return [Finding("warning", f"{_CALENDAR}. This kube-proxy is {release}: plan the move to nftables or iptables.")]


def _nftables(release: Release, gates: t.Mapping[str, t.Any]) -> list[Finding]:
    if release >= NFTABLES_GA:
        return []
    if release < NFTABLES_ALPHA:
        return [
            Finding("error", f"kube-proxy {release} has no nftables mode: it came with 1.29. Use iptables or ipvs.")
        ]
    gate = gates.get(NFTABLES_GATE)
    if release < NFTABLES_BETA and gate is not True:
        return [
            Finding(
                "error",
                f"nftables mode is alpha in kube-proxy {release} and off: it needs the feature gate {NFTABLES_GATE} "
                f"(settings: {{featureGates: {{{NFTABLES_GATE}: true}}}}), or 1.31 and later, where it is on.",
            )
        ]
    if gate is False:
        return [Finding("error", f"The feature gate {NFTABLES_GATE} is off in featureGates: set it to true.")]
    stage = "alpha" if release < NFTABLES_BETA else "beta"
    return [Finding("warning", f"nftables mode is {stage} in kube-proxy {release}; it is stable from 1.33.")]


def _empty(release: Release, _gates: t.Mapping[str, t.Any]) -> list[Finding]:
    if release >= EMPTY_IS_NFTABLES:
        return [
            Finding(
                "warning",
                f"The mode is empty, which means nftables in kube-proxy {release}: write the mode that you mean.",
            )
        ]
    return [
        Finding(
            "warning",
            f"The mode is empty: that means iptables in kube-proxy {release}, and nftables from 1.40 (planned for August 2027). Write the mode that you mean.",
        )
    ]
