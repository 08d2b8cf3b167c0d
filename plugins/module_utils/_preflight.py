# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All checks of a switch, over all nodes: the one place where they are decided. Pure. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _preflight_cluster as cluster
from ansible_collections.netops.kube_proxy.plugins.module_utils import _preflight_firewall as firewall
from ansible_collections.netops.kube_proxy.plugins.module_utils import _preflight_kernel as kernel
from ansible_collections.netops.kube_proxy.plugins.module_utils import _preflight_services as services
from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import decode
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import MODES
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_bridge import bridge
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_foreign import foreign_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import (
    FAIL,
    OK,
    STATUSES,
    WARN,
    Check,
    ClusterCase,
    NodeCase,
    Object,
    Verdict,
    join,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_settings import settings_ignored

CLUSTER_CHECKS: dict[str, t.Callable[[ClusterCase], t.Iterable[Verdict]]] = {
    "configuration": cluster.configuration,
    "configmap_manager": cluster.configmap_manager,
    "release_calendar": cluster.release_calendar,
    "settings_ignored": settings_ignored,
    "strict_arp": cluster.strict_arp,
    "node_local_dns": cluster.node_local_dns,
    "node_count": cluster.node_count,
}
# Those of a node that no host of the play is.
_OF_ANY_NODE: dict[str, t.Callable[[ClusterCase, NodeCase], t.Iterable[Verdict]]] = {
    "node_in_play": cluster.node_in_play,
    "node_ready": cluster.node_ready,
}
NODE_CHECKS: dict[str, t.Callable[[ClusterCase, NodeCase], t.Iterable[Verdict]]] = {
    **_OF_ANY_NODE,
    "audit": kernel.audit,
    "kernel_modules": kernel.kernel_modules,
    "kernel_version": kernel.kernel_version,
    "nft_version": kernel.nft_version,
    "nft_pair": kernel.nft_pair,
    "bridge": bridge,
    "foreign_virtual_servers": foreign_virtual_servers,
    "forward_policy": firewall.forward_policy,
    "firewall_manager": firewall.firewall_manager,
    "cni": firewall.cni,
    "node_ports": services.node_ports,
    "localhost_node_ports": services.localhost_node_ports,
    "invalid_packets": services.invalid_packets,
    "disruption_budgets": cluster.disruption_budgets,
}
IDS = (*CLUSTER_CHECKS, *NODE_CHECKS)

NOT_READINGS = "These are not the readings of a preflight"
REMEDY = "Hand over a mapping with 'cluster', 'nodes' and 'run', as the documentation of preflight_matrix says."


class Row(t.NamedTuple):
    """A node and what the checks say of it."""

    node: NodeCase
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Matrix:
    """What all checks say.

    :param override: the checks that may fail
    """

    case: ClusterCase
    cluster: tuple[Check, ...]
    rows: tuple[Row, ...]
    override: tuple[str, ...] = ()

    @property
    def all_checks(self) -> t.Iterator[Check]:
        yield from self.cluster
        for row in self.rows:
            yield from row.checks

    @property
    def counts(self) -> dict[str, int]:
        """How many say what."""
        return {status: sum(one.status == status for one in self.all_checks) for status in reversed(STATUSES)}

    @property
    def passed(self) -> bool:
        """Whether the switch may begin."""
        return all(one.status != FAIL for one in self.all_checks)


def judge(case: ClusterCase, override: t.Sequence[str] = ()) -> Matrix:
    """Every check, over the cluster and all nodes.

    :param override: ids of checks whose failure is a warning
    :raises InvalidInput: for an id that no check has
    """
    unknown = [one for one in override if one not in IDS]
    if unknown:
        raise InvalidInput(
            f"switch_override names no check: {', '.join(unknown)}", remedy=f"The checks are {', '.join(sorted(IDS))}."
        )
    return Matrix(
        case,
        tuple(_check(name, check(case), override) for name, check in CLUSTER_CHECKS.items()),
        tuple(Row(node, tuple(_of_node(case, node, override))) for node in case.nodes),
        tuple(override),
    )


def _of_node(case: ClusterCase, node: NodeCase, override: t.Sequence[str]) -> t.Iterator[Check]:
    checks = NODE_CHECKS if node.host else _OF_ANY_NODE
    for name, check in checks.items():
        yield _check(name, check(case, node), override)


def _check(name: str, verdicts: t.Iterable[Verdict], override: t.Sequence[str]) -> Check:
    status, reason, remedy = join(verdicts)
    if status == FAIL and name in override:
        return Check(name, WARN, f"{reason} (overridden by switch_override)", remedy, True)
    return Check(name, status, reason, remedy if status != OK else "")


def read_case(results: t.Any, target: str) -> ClusterCase:
    """What the role hands over, as values.

    :raises InvalidInput: when it is something else
    """
    if target not in MODES:
        raise InvalidInput(f"mode must be one of {', '.join(MODES)}: it is {target!r}")
    try:
        return _case(results, target)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(NOT_READINGS, repr(error), REMEDY) from error


def _case(results: Object, target: str) -> ClusterCase:
    found, run = results["cluster"], results.get("run") or {}
    plan, services_, switch = (found.get(key) or {} for key in ("plan", "services", "switch"))
    nodes = [_node(one, services_) for one in results["nodes"]]
    names = {one.name for one in nodes}
    missing = [
        NodeCase("", str(one["name"]), one)
        for one in services_.get("nodes") or ()
        if one.get("runs_kube_proxy") and one["name"] not in names
    ]
    return ClusterCase(
        target=target,
        settings=dict(run.get("settings") or {}),
        absent=frozenset(map(str, run.get("absent_nodes") or ())),
        drain=bool(run.get("drain")),
        bridge=str(run.get("bridge") or "auto"),
        plan=plan,
        services=services_,
        switch=switch,
        state=decode(str(services_["state"])) if services_.get("state") else None,
        nodes=(*nodes, *missing),
    )


def _node(given: Object, services_: Object) -> NodeCase:
    info, looks = given.get("info") or {}, tuple(one for one in given.get("looks") or () if isinstance(one, t.Mapping))
    name = str(info.get("node_name") or next((one["node"] for one in looks if one.get("node")), ""))
    api = next((one for one in services_.get("nodes") or () if one.get("name") == name), None)
    return NodeCase(
        host=str(given["host"]),
        name=name,
        api=api,
        info=info,
        looks=looks,
        modules=given.get("modules") or {},
        facts=given.get("facts") or {},
        bridge=given.get("bridge") or {},
    )
