# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The release calendar, from Kubernetes' feature gates and KEP-5495."""

from __future__ import annotations

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import (
    Release,
    assess,
    effective_mode,
    parse_release,
    release_of_image,
    tag_of,
)

ON, OFF = {"KubeProxyIPVS": True}, {"KubeProxyIPVS": False}
NFT_ON, NFT_OFF = {"NFTablesProxyMode": True}, {"NFTablesProxyMode": False}

# Mode, minor release, featureGates, severity (None: nothing to say), words.
CALENDAR: list[tuple[str, int, dict[str, bool], str | None, str]] = [
    ("ipvs", 24, {}, None, ""),
    ("ipvs", 34, {}, None, ""),
    ("ipvs", 35, {}, "warning", "gone from 1.43"),
    ("ipvs", 37, {}, "warning", "1.40 (planned for August 2027)"),
    ("ipvs", 39, ON, "warning", "deprecated since 1.35 (December 2025)"),
    ("iptables", 36, ON, "error", "does not know the feature gate KubeProxyIPVS"),
    ("ipvs", 37, OFF, "error", "feature gate KubeProxyIPVS is off"),
    ("ipvs", 40, {}, "error", "featureGates: {KubeProxyIPVS: true}"),
    ("ipvs", 42, OFF, "error", "feature gate KubeProxyIPVS is off"),
    ("ipvs", 40, ON, "warning", "This kube-proxy is 1.40"),
    ("ipvs", 42, ON, "warning", "This kube-proxy is 1.42"),
    ("ipvs", 43, ON, "error", "removed in 1.43"),
    ("ipvs", 44, {}, "error", "removed in 1.43"),
    ("nftables", 28, {}, "error", "came with 1.29"),
    ("nftables", 29, {}, "error", "NFTablesProxyMode"),
    ("nftables", 30, {}, "error", "1.31 and later"),
    ("nftables", 30, NFT_ON, "warning", "alpha in kube-proxy 1.30"),
    ("nftables", 31, {}, "warning", "beta in kube-proxy 1.31"),
    ("nftables", 32, NFT_OFF, "error", "feature gate NFTablesProxyMode is off"),
    ("nftables", 33, {}, None, ""),
    ("nftables", 43, {}, None, ""),
    ("iptables", 20, {}, None, ""),
    ("iptables", 45, {}, None, ""),
    ("", 37, {}, "warning", "means iptables in kube-proxy 1.37, and nftables from 1.40"),
    ("", 40, {}, "warning", "means nftables in kube-proxy 1.40"),
]


@pytest.mark.parametrize(("mode", "minor", "gates", "severity", "words"), CALENDAR)
def test_the_calendar(mode: str, minor: int, gates: dict[str, bool], severity: str | None, words: str) -> None:
    findings = assess(mode, [Release(1, minor)], gates)
    assert [one.severity for one in findings] == ([severity] if severity else [])
    assert all(words in one.message for one in findings)


def test_several_releases_are_judged_each() -> None:
    found = assess("ipvs", [Release(1, 43), Release(1, 39), Release(1, 39)], {})
    assert [one.severity for one in found] == ["warning", "error"]


def test_an_unknown_release_is_a_warning_with_the_calendar() -> None:
    (finding,) = assess("ipvs", [], {})
    assert finding.severity == "warning"
    assert "not known" in finding.message
    assert "1.43" in finding.message


@pytest.mark.parametrize(
    ("image", "tag", "release"),
    [
        ("registry.k8s.io/kube-proxy:v1.37.2", "v1.37.2", Release(1, 37)),
        ("registry:5000/kube-proxy:v1.37.2@sha256:0123", "v1.37.2", Release(1, 37)),
        ("registry:5000/kube-proxy", "", None),
        ("kube-proxy@sha256:0123", "", None),
        (
            "602401143452.dkr.ecr.eu-west-1.amazonaws.com/eks/kube-proxy:v1.29.0-minimal-eksbuild.1",
            "v1.29.0-minimal-eksbuild.1",
            Release(1, 29),
        ),
        ("example.org/kube-proxy:latest", "latest", None),
        ("example.org/kube-proxy:1.40", "1.40", Release(1, 40)),
        ("example.org/kube-proxy:20260101", "20260101", None),
    ],
)
def test_the_release_of_an_image(image: str, tag: str, release: Release | None) -> None:
    assert tag_of(image) == tag
    assert release_of_image(image) == release


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("v1.30.4+k3s1", Release(1, 30)),
        ("1.9", Release(1, 9)),
        ("v1.x", None),
        ("", None),
        ("v1.10.0-rc.1", Release(1, 10)),
    ],
)
def test_versions(text: str, release: Release | None) -> None:
    assert parse_release(text) == release


def test_releases_are_ordered_as_numbers() -> None:
    assert Release(1, 9) < Release(1, 10)


def test_what_an_empty_mode_means() -> None:
    assert effective_mode("", Release(1, 39)) == "iptables"
    assert effective_mode("", Release(1, 40)) == "nftables"
    assert effective_mode("", None) == "iptables"
    assert effective_mode("ipvs", Release(1, 40)) == "ipvs"
