# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_settle import (
    Progress,
    Settling,
    finished,
    read_progress,
    wait,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status import parse_metrics

# As kube-proxy 1.37 writes them.
METRICS = """\
kubeproxy_sync_proxy_rules_duration_seconds_sum{ip_family="IPv4"} 0.61
kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 7
kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv6"} 3
kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1.7e+09
kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 1.600000001e+09
"""


def test_progress_from_metrics() -> None:
    progress = read_progress(parse_metrics(METRICS))
    assert progress == {"ipv4": Progress(7, 1600000001.0, 1.7e9), "ipv6": Progress(3, 0.0, 0.0)}
    assert finished(progress) == {"ipv4": 7, "ipv6": 3}


IDLE, BUSY = {"queued": 10.0, "done": 11.0}, {"queued": 12.0, "done": 11.0}


def settled(*looks: tuple[float, Progress]) -> list[bool]:
    settling = Settling({"ipv4": 7}, 1.0)
    return [settling.is_settled({"ipv4": progress}, now) for now, progress in looks]


def test_two_more_syncs_settle_a_busy_kube_proxy() -> None:
    looks = [(0.0, Progress(7, **BUSY)), (5.0, Progress(8, **BUSY)), (6.0, Progress(9, **BUSY))]
    assert settled(*looks) == [False, False, True]


def test_an_idle_one_is_settled_when_it_stays_so_for_longer_than_it_puts_syncs_off() -> None:
    assert settled((0.0, Progress(7, **IDLE)), (0.9, Progress(7, **IDLE)), (1.1, Progress(7, **IDLE))) == [
        False,
        False,
        True,
    ]
    # What was queued during a sync is older than its end, and runs a moment later.
    assert settled((0.0, Progress(7, **IDLE)), (1.1, Progress(8, **IDLE)), (2.3, Progress(8, **IDLE))) == [
        False,
        False,
        True,
    ]


def test_after_a_restart_one_sync_more_counts() -> None:
    assert settled((0.0, Progress(0, **BUSY)), (9.0, Progress(1, **BUSY))) == [False, True]


def test_every_family_has_to_be_settled() -> None:
    settling = Settling({}, 0.0)
    assert not settling.is_settled({"ipv4": Progress(2, **BUSY), "ipv6": Progress(1, **BUSY)}, 0)


@pytest.mark.parametrize(
    ("progress", "result"),
    [({}, None), ({"ipv4": Progress(7, **BUSY)}, False), ({"ipv4": Progress(9, **BUSY)}, True)],
)
def test_waiting_ends(progress: dict[str, Progress], result: bool | None) -> None:
    clock = iter(range(100))
    paused: list[float] = []
    assert wait(Settling({"ipv4": 7}, 1.0), lambda: progress, 5, lambda: next(clock), paused.append) is result
    assert bool(paused) is (result is False)
