# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of C(service_probe_info): its options, what is connected to from where, and what it shows. Private to this collection."""

from __future__ import annotations

import typing as t
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import own_name, read_node_addresses
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_choose import (
    Choice,
    Wish,
    choose,
    local_pods,
    skipped_rows,
    vantages,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_connect import connect_all, longest
from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_judge import Seen, judge, row
from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_model import FAILED, HAIRPIN, POD
from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_namespace import (
    find_pods,
    run_jobs,
    sends_nothing_back,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import node_with

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
    from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_model import Vantage
    from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node

# For starting processes and reading pipes on a busy node.
_SLACK = 20.0


class Question(t.NamedTuple):
    """The module's options, checked."""

    state: t.Mapping[str, t.Any]
    node: str | None
    mode: str | None
    wish: Wish
    timeout: float


def question(params: t.Mapping[str, t.Any]) -> Question:
    """The module's options as values.

    :raises InvalidInput: naming the option
    """
    for name in params["services"]:
        if name.count("/") != 1 or not all(name.split("/")):
            raise InvalidInput(f"services: {name!r} names no Service", remedy="Write it as namespace/name.")
    if params["limit"] < 0:
        raise InvalidInput("limit must be 0 (all) or more", f"it is {params['limit']}")
    if params["timeout"] <= 0:
        raise InvalidInput("timeout must be more than 0 seconds", f"it is {params['timeout']}")
    return Question(
        state_of.decode(params["state"]),
        params["node"],
        params["mode"],
        Wish(frozenset(params["services"]), params["limit"]),
        params["timeout"],
    )


def answer(asked: Question, files: Files) -> dict[str, t.Any]:
    """Connect, and say what it shows.

    :raises KubeProxyError: when the node cannot be told or read
    """
    node = node_with(asked.state, asked.node or own_name(files), read_node_addresses(files))
    mode = asked.mode or node.config["mode"]
    pods = find_pods(files, local_pods(asked.state, node))
    choice = choose(asked.state, node, mode, asked.wish, pods)
    found = vantages(choice.targets, pods)
    probes = judge(_look(found, asked.timeout, files))
    return {
        "node": node.view.name,
        "mode": mode,
        "probes": [row(one) for one in probes],
        "failures": [one.reason for one in probes if one.verdict == FAILED],
        "failed_services": sorted({one.target.service.partition(":")[0] for one in probes if one.verdict == FAILED}),
        "left_out": choice.left_out,
        "not_probed": _not_probed(choice, found, node),
    }


def _look(found: t.Sequence[Vantage], timeout: float, files: Files) -> list[Seen]:
    jobs = [(one.pod, partial(connect_all, one.asks, timeout)) for one in found]
    seconds = max((longest(one.asks, timeout) for one in found), default=0.0) + _SLACK
    seen = []
    for one, result in zip(found, run_jobs(jobs, seconds)):
        no_hairpin = one.name == HAIRPIN and one.pod is not None and sends_nothing_back(files, one.pod)
        seen.append(Seen(one, result.outcomes, result.problem, no_hairpin))
    return seen


def _not_probed(choice: Choice, found: t.Sequence[Vantage], node: Node) -> list[dict[str, t.Any]]:
    rows = skipped_rows(choice.skipped)
    if all(one.name != POD for one in found):
        reason = f"No running pod of {node.view.name} with a network of its own is an endpoint of a Service: nothing was probed from a pod."
        rows.append({"reason": reason, "count": len(choice.targets), "example": ""})
    return rows
