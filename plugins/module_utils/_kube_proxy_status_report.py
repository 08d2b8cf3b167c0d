# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From kube-proxy's answers to what the module returns. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status import (
    health_families,
    parse_mapping,
    parse_metrics,
    parse_mode,
    read_failures,
    read_sync,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_config import (
    differences,
    read_configz,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import Answer, Endpoint, Get
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import parse_release

_METRICS_PATHS = ("/proxyMode", "/metrics", "/configz")
_HEALTH_PATHS = ("/healthz", "/livez")
# kube-proxy says with 503 that it is not well: that is an answer, not the absence of one.
_NOT_WELL = 503


@dataclass(frozen=True)
class Wanted:
    """What the caller compares with: C(settings) are checked, C(families) replace those that kube-proxy shows."""

    mode: str | None = None
    settings: t.Mapping[str, t.Any] | None = None
    families: tuple[str, ...] = ()


def _ask_all(endpoint: Endpoint | None, off: str, paths: t.Sequence[str], get: Get) -> list[Answer]:
    first = get(endpoint, paths[0]) if endpoint else Answer("", error=off)
    if endpoint is None or first.status is None:
        # Whoever does not answer at all would cost one time limit for each further path.
        return [first, *(Answer("") for _path in paths[1:])]
    return [first, *(get(endpoint, path) for path in paths[1:])]


def ask(metrics: Endpoint | None, healthz: Endpoint | None, get: Get) -> dict[str, Answer]:
    """All answers, by path."""
    answers = [
        *_ask_all(metrics, "metrics are off (metrics_address is empty)", _METRICS_PATHS, get),
        *_ask_all(healthz, "health checks are off (healthz_address is empty)", _HEALTH_PATHS, get),
    ]
    return dict(zip((*_METRICS_PATHS, *_HEALTH_PATHS), answers))


def _health(answer: Answer) -> dict[str, t.Any]:
    return {"ok": answer.ok, "status": answer.status, "answer": parse_mapping(answer.body) if answer.status else None}


def _problems(answers: t.Mapping[str, Answer], mode: str | None) -> list[str]:
    found = [
        answer.problem for path, answer in answers.items() if not (path in _HEALTH_PATHS and answer.status == _NOT_WELL)
    ]
    answer = answers["/proxyMode"]
    if answer.ok and mode is None:
        found.insert(0, f"GET {answer.url}: {answer.body[:40]!r} is not a mode of kube-proxy")
    return [problem for problem in found if problem]


def report(answers: t.Mapping[str, Answer], wanted: Wanted) -> dict[str, t.Any]:
    """The part of the result that kube-proxy itself gives. What it does not say is null."""
    mode = parse_mode(answers["/proxyMode"].body) if answers["/proxyMode"].ok else None
    metrics = answers["/metrics"]
    samples = parse_metrics(metrics.body) if metrics.ok else ()
    health = {path[1:]: _health(answers[path]) for path in _HEALTH_PATHS}
    families = health_families(health["healthz"]["answer"]) or health_families(health["livez"]["answer"])
    sync = read_sync(samples, families, wanted.families)
    running = read_configz(parse_mapping(answers["/configz"].body)) if answers["/configz"].ok else None
    return {
        "reachable": mode is not None,
        "problems": _problems(answers, mode),
        "running_mode": mode,
        "version": sync.version,
        "process_start_time": sync.process_start_time,
        "synced": sync.synced,
        "last_sync": dict(sync.last_sync or {}),
        "failures": read_failures(samples) if sync.synced is not None else None,
        "configz": running,
        "health": health,
        "differences": differences(
            wanted.mode, wanted.settings or {}, mode, running, parse_release(sync.version or "")
        ),
    }
