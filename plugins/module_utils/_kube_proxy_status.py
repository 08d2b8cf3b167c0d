# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a running kube-proxy says about itself: its metrics and its health. Pure. Private to this collection.

Sources: C(pkg/proxy/metrics/metrics.go), C(pkg/proxy/healthcheck/proxy_health.go) and C(component-base/metrics) of 1.34 to 1.37.
"""

from __future__ import annotations

import json
import math
import re
import typing as t
from dataclasses import dataclass

MODES = ("iptables", "ipvs", "nftables", "kernelspace", "userspace")
FAMILIES = ("ipv4", "ipv6")
# Releases before the label have one gauge for all families.
ALL_FAMILIES = "all"

LAST_SYNC = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
LAST_QUEUED = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds"
_PROCESS_START = "process_start_time_seconds"
_BUILD_INFO = "kubernetes_build_info"
_FAILURES = re.compile(r"kubeproxy_(?:sync_proxy_rules_)?(\w+_failures)_total")
_OF_INTEREST = (
    "kubeproxy_sync_proxy_rules_",
    "kubeproxy_nftables_",
    "kubeproxy_iptables_",
    _PROCESS_START,
    _BUILD_INFO,
)

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?\s*\Z")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Sample:
    """One line of the Prometheus text format."""

    name: str
    labels: t.Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Sync:
    """Whether the rules of this process are in the kernel.

    :param last_sync: seconds since the epoch, by family; None where a family has not been synced yet
    :param synced: None when the metrics do not tell
    """

    version: str | None = None
    process_start_time: float | None = None
    last_sync: t.Mapping[str, float | None] | None = None
    synced: bool | None = None


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found.group(1) == "n" else found.group(1), text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def parse_metrics(text: str) -> tuple[Sample, ...]:
    """The samples that are of interest here. What is not of the format is passed over: somebody else may answer on that port."""
    found = (_SAMPLE.match(line) for line in text.split("\n") if line.startswith(_OF_INTEREST))
    return tuple(
        Sample(
            match.group("name"),
            {key: _unescape(value) for key, value in _LABEL.findall(match.group("labels") or "")},
            _number(match.group("value")),
        )
        for match in found
        if match
    )


def _first(samples: t.Iterable[Sample], name: str) -> Sample | None:
    return next((sample for sample in samples if sample.name == name), None)


def family_of(sample: Sample) -> str:
    """The IP family that a sample is about, or L(ALL_FAMILIES)."""
    return sample.labels.get("ip_family", "").lower() or ALL_FAMILIES


def _is_after(moment: float | None, start: float) -> bool:
    # A gauge that was registered but never set is 0; NaN compares false.
    return moment is not None and moment > start


def read_sync(
    samples: t.Sequence[Sample], health_families: t.Iterable[str] = (), required: t.Sequence[str] = ()
) -> Sync:
    """Whether every family in use has been synced since the process started.

    A family is in use when kube-proxy queued or finished a sync for it (the queued gauge is set for each family before
    its first sync), or when its health lists it. C(required) replaces that by the caller's own list.
    """
    build, start = _first(samples, _BUILD_INFO), _first(samples, _PROCESS_START)
    done = {family_of(sample): sample.value for sample in samples if sample.name == LAST_SYNC}
    seen = {family_of(sample) for sample in samples if sample.name in (LAST_SYNC, LAST_QUEUED)}
    if ALL_FAMILIES in done:
        seen, done = {ALL_FAMILIES}, {ALL_FAMILIES: done[ALL_FAMILIES]}
    elif required:
        seen = set(required)
    else:
        seen |= set(health_families)
    last_sync = {family: done.get(family) or None for family in sorted(seen | done.keys())}
    started = start.value if start and start.value > 0 else None
    is_kube_proxy = any(sample.name.startswith("kubeproxy_") for sample in samples)
    synced = None
    if started is not None and is_kube_proxy:
        synced = bool(seen) and all(_is_after(last_sync[family], started) for family in seen)
    return Sync(build.labels.get("git_version") if build else None, started, last_sync, synced)


def read_failures(samples: t.Iterable[Sample]) -> dict[str, dict[str, int]]:
    """How often kube-proxy failed, by what (such as C(iptables_restore_failures)) and by family.

    A counter with labels shows only once it has counted (C(CounterVec)): what never failed is not there.
    """
    found: dict[str, dict[str, int]] = {}
    for sample in samples:
        counter = _FAILURES.fullmatch(sample.name)
        if counter and math.isfinite(sample.value):
            families = found.setdefault(counter.group(1), {})
            family = family_of(sample)
            families[family] = families.get(family, 0) + int(sample.value)
    return found


def parse_mode(text: str) -> str | None:
    """The answer of C(/proxyMode); None when it is not a mode of kube-proxy."""
    return text.strip() if text.strip() in MODES else None


def parse_mapping(text: str) -> dict[str, t.Any] | None:
    """A JSON object; None when it is anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def health_families(health: t.Mapping[str, t.Any] | None) -> tuple[str, ...]:
    """The families that C(/healthz) or C(/livez) lists; none in releases before it did."""
    status = (health or {}).get("status")
    return (
        tuple(sorted(str(name).lower() for name in status if str(name).lower() in FAMILIES))
        if isinstance(status, dict)
        else ()
    )
