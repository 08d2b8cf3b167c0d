# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of C(service_dataplane_info): its options, and the three steps from a difference to a finding. Private to this
collection."""

from __future__ import annotations

import json
import typing as t
from collections import Counter

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of
from ansible_collections.netops.kube_proxy.plugins.module_utils import _dataplane_rounds as rounds
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_judge import Judge
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import (
    KubeProxy,
    kube_proxy_at,
    look,
    own_name,
    read_node_addresses,
    read_objects,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import SEVERITIES, worst_first
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_checks import seconds
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_settle import Settling, finished, wait
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_report import Wanted
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import Node, node_with

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

LOOK, LOOK_AGAIN, CONFIRM = "look", "look_again", "confirm"


class Question(t.NamedTuple):
    """The module's options, checked. C(state) is packed still; C(before) is what the step before brought."""

    state: str
    step: str
    before: rounds.Suspicion | None
    node: str | None
    mode: str | None
    services: frozenset[str]
    settle_timeout: int
    addresses: tuple[str | None, str | None]


def question(params: t.Mapping[str, t.Any]) -> Question:
    """The module's options as values.

    :raises InvalidInput: naming the option
    """
    step, text = params["step"], params["suspects"]
    if step != LOOK and not text:
        raise InvalidInput(f"suspects is needed for the step {step}", remedy="Hand over what the step before returned.")
    for name in params["services"]:
        if name.count("/") != 1 or not all(name.split("/")):
            raise InvalidInput(f"services: {name!r} names no Service", remedy="Write it as namespace/name.")
    return Question(
        params["state"],
        step,
        rounds.decode(text) if step != LOOK else None,
        params["node"],
        params["mode"],
        frozenset(params["services"]),
        params["settle_timeout"],
        (params["metrics_address"], params["healthz_address"]),
    )


class _Seen(t.NamedTuple):
    """What one look is about, and what it leaves for the report."""

    suspects: list[rounds.Suspect]
    versions: dict[str, str]
    around: str
    summary: dict[str, t.Any]
    settled: bool | None


def answer(asked: Question, runner: Runner, files: Files) -> dict[str, t.Any]:
    """Go one step.

    :raises InvalidInput: when the state is none
    :raises KubeProxyError: when the node cannot be told or read
    """
    seen = _look(asked, runner, files)
    suspects = seen.suspects
    if asked.before:
        suspects = rounds.seen_again(asked.before, suspects)
    if asked.before and asked.step == CONFIRM:
        suspects = rounds.unchanged(asked.before, suspects, seen.versions, seen.around)
    text = ""
    if asked.step != CONFIRM and any(one.may_pass for one in suspects):
        text = rounds.suspicion(suspects, seen.versions, seen.around).encode()
    return {**seen.summary, **_told(suspects), "suspects": text, "settled": seen.settled}


def _look(asked: Question, runner: Runner, files: Files) -> _Seen:
    """All that is read of the kernel and worked out from the API ends here: the report of a whole cluster is as large again."""
    # A program starts the faster the less this process holds: the kernel first, unless kube-proxy has to be waited for.
    readings = None if asked.before else read_objects(runner, files)
    state = state_of.decode(asked.state)
    node = node_with(state, asked.node or own_name(files), read_node_addresses(files))
    kube_proxy = kube_proxy_at(*asked.addresses, node.config)
    settled = _settle(asked, kube_proxy, node) if asked.before else None
    wanted = Wanted(node.config["mode"], {"ipvs": node.config["ipvs"]})
    judge = Judge(state, node, look(kube_proxy, wanted, files, readings or read_objects(runner, files)), asked.mode)
    suspects = [one for one in judge.suspects() if _is_asked_for(asked, one)]
    return _Seen(suspects, state_of.object_versions(state), _fingerprint(judge), judge.summary(), settled)


def _settle(asked: Question, kube_proxy: KubeProxy, node: Node) -> bool | None:
    """Wait until what the API said before this call must be in the kernel."""
    delays = (seconds(node.config[mode]["minSyncPeriod"]) or 0.0 for mode in ("iptables", "ipvs", "nftables"))
    settling = Settling(finished(kube_proxy.progress()), max(delays) + 1)
    return wait(settling, kube_proxy.progress, asked.settle_timeout)


def _is_asked_for(asked: Question, suspect: rounds.Suspect) -> bool:
    return not asked.services or not suspect.service or suspect.service in asked.services


def _fingerprint(judge: Judge) -> str:
    """What else than Services and their endpoints decides what a node should have."""
    state = judge.state
    raw = [one for one in state["nodes"] if one["name"] == judge.node.view.name]
    return json.dumps([raw, judge.node.written, state["release"]], sort_keys=True)


def _told(suspects: t.Iterable[rounds.Suspect]) -> dict[str, t.Any]:
    findings = worst_first(one.finding for one in suspects)
    counts = Counter(one.severity for one in findings)
    return {
        "findings": [one._asdict() for one in findings],
        "counts": {severity: counts[severity] for severity in SEVERITIES},
    }
