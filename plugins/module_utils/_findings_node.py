# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a node beside its Services. Pure. Private to this collection.

Sources: C(_kube_release) for the calendar; for what kube-proxy says of itself C(pkg/proxy/metrics/metrics.go) and
C(pkg/proxy/healthcheck) of 1.34 to 1.37. A kube-proxy reads its configuration only when it starts.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import (
    ERROR,
    INFO,
    WARNING,
    Finding,
    worst_first,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_kernel import kernel_findings, unread
from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_leftovers import inventory_findings
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import BRIDGE_TABLE
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import assess

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._findings_node_model import NodeFacts

_METRICS = "127.0.0.1:10249"
_RESTART = "Delete the node's kube-proxy pod (module netops.kube_proxy.kube_proxy_pod)"
# A partial restore that fails is done again in full at once, and a table is cleaned up again at the next sync.
_HARMLESS = ("iptables_partial_restore_failures", "nftables_cleanup_failures")


def node_findings(facts: NodeFacts) -> list[Finding]:
    """Everything that is wrong, at risk or not known, the worst first."""
    return worst_first(
        [
            *_reachable(facts),
            *_synced(facts),
            *_failures(facts),
            *_modes(facts),
            *_settings(facts),
            *_calendar(facts),
            *_pods(facts),
            *inventory_findings(facts),
            *_bridge(facts),
            *kernel_findings(facts),
        ]
    )


def _curl(facts: NodeFacts, path: str) -> str:
    address = str((facts.config or {}).get("metricsBindAddress") or _METRICS)
    for everywhere, here in (("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:")):
        if address.startswith(everywhere):
            address = here + address[len(everywhere) :]
    return f"curl -s http://{address}{path}"


def _reachable(facts: NodeFacts) -> t.Iterator[Finding]:
    evidence = _curl(facts, "/proxyMode")
    if facts.status is None or not facts.asked:
        yield unread("what kube-proxy says of itself", "nobody asked it, or its metrics are off", evidence)
    elif not facts.said("reachable"):
        yield Finding(
            ERROR,
            "kube_proxy_unreachable",
            "kube-proxy",
            expected="it says its mode",
            actual="; ".join(facts.said("problems") or ()) or "no answer",
            evidence=evidence,
            cause="kube-proxy does not run, has just started, or listens elsewhere: the kernel keeps the rules it has, and nobody "
            "changes them.",
            remedy="Look at the kube-proxy pod of this node and its log; if kube-proxy listens elsewhere, set metrics_address.",
        )


def _synced(facts: NodeFacts) -> t.Iterator[Finding]:
    evidence = f"{_curl(facts, '/metrics')} | grep -e last_timestamp -e process_start"
    synced = facts.said("synced")
    if synced is None:
        if facts.said("reachable"):
            yield unread("whether kube-proxy has finished a sync", "its metrics do not tell", evidence)
    elif not synced:
        last = facts.said("last_sync") or {}
        never = ", ".join(sorted(family for family, moment in last.items() if not moment))
        yield Finding(
            ERROR,
            "not_synced",
            "kube-proxy",
            expected="a finished sync of every family since it started",
            actual=f"none of {never}" if never else "none since it started",
            evidence=evidence,
            cause="kube-proxy cannot reach the API, or cannot write its rules.",
            remedy="Look at the log of this node's kube-proxy pod.",
        )


def _failures(facts: NodeFacts) -> t.Iterator[Finding]:
    failures = facts.said("failures")
    if failures is None:
        if facts.said("reachable") and facts.said("synced") is not None:
            yield unread("kube-proxy's failure counters", "its metrics do not tell", _curl(facts, "/metrics"))
        return
    for what, families in sorted(failures.items()):
        counted = ", ".join(f"{count} ({family})" for family, count in sorted(families.items()) if count)
        if counted:
            yield Finding(
                INFO if what in _HARMLESS else WARNING,
                "failures",
                what,
                expected="none",
                actual=f"{counted} since kube-proxy started",
                evidence=f"{_curl(facts, '/metrics')} | grep {what}",
                cause="kube-proxy could not write its rules: somebody changed them meanwhile, held the lock, or the kernel lacks a part.",
                remedy="Look for the reason in the log of this node's kube-proxy pod.",
            )


def _modes(facts: NodeFacts) -> t.Iterator[Finding]:
    if facts.configured_mode is None:
        yield unread("the configured mode", "kube-proxy's configuration was not read")
        return
    running, intended = facts.running_mode, facts.intended_mode
    if running is not None and running != intended:
        meant = "" if facts.configured_mode else " (the mode is empty)"
        yield Finding(
            WARNING,
            "mode_not_configured",
            "kube-proxy",
            expected=f"{intended}{meant}",
            actual=running,
            evidence=_curl(facts, "/proxyMode"),
            cause="The configuration was changed after this kube-proxy started, and a change restarts nothing: it will be in the other "
            "mode after its next start, whenever that is.",
            remedy=f"Run the playbook netops.kube_proxy.switch_to_{intended}.",
        )


def _settings(facts: NodeFacts) -> t.Iterator[Finding]:
    for one in facts.said("differences") or ():
        if one["field"] != "mode":
            yield Finding(
                WARNING,
                "setting_not_loaded",
                str(one["field"]),
                expected=str(one["wanted"]),
                actual=str(one["running"]),
                evidence=_curl(facts, "/configz"),
                cause="The configuration was changed after this kube-proxy started, and a change restarts nothing.",
                remedy=f"{_RESTART}, or run the playbook that switches to the configured mode: it restarts what runs otherwise.",
            )


def _calendar(facts: NodeFacts) -> t.Iterator[Finding]:
    """What this release and the next ones make of the mode that is configured, and of the one that runs."""
    release = facts.kube_proxy
    modes = dict.fromkeys(mode for mode in (facts.configured_mode, facts.running_mode) if mode is not None)
    if release is None:
        if modes:
            yield unread("what kube-proxy's release makes of the mode", "the release is not known")
        return
    gates = (facts.config or {}).get("featureGates")
    for mode in modes:
        for one in assess(mode, [release], gates if isinstance(gates, dict) else {}):
            yield Finding(
                one.severity,
                "release_calendar" if mode else "mode_empty",
                f"{mode} mode" if mode else "the configured mode",
                expected="a mode that this release and the next ones have" if mode else "a mode by its name",
                actual=one.message,
                evidence=f"kubectl -n kube-system get configmap {facts.config_map} -o yaml",
                cause="Kubernetes' plan for the modes of kube-proxy.",
                remedy="Write the mode that you mean: module netops.kube_proxy.kube_proxy_mode."
                if not mode
                else "Plan the move to another mode: playbook netops.kube_proxy.switch_to_nftables, or the one of the mode that you choose.",
            )


def _pods(facts: NodeFacts) -> t.Iterator[Finding]:
    evidence = "kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide"
    if facts.pods is None:
        yield unread("how many kube-proxy pods are on the node", "the API was not asked", evidence)
    elif facts.pods > 1:
        yield Finding(
            ERROR,
            "kube_proxy_twice",
            "kube-proxy",
            expected="one pod on a node",
            actual=f"{facts.pods} pods",
            evidence=evidence,
            cause="Two DaemonSets select the node, or a second kube-proxy was installed: each removes what the other one writes.",
            remedy="Keep one DaemonSet of kube-proxy for this node, and delete the other one.",
        )


def _bridge(facts: NodeFacts) -> t.Iterator[Finding]:
    rows = (facts.inventory or {}).get("artifacts") or ()
    tables = [
        str(row.get("type")) for row in rows if row.get("kind") == "nft_table" and row.get("name") == BRIDGE_TABLE
    ]
    if tables:
        yield Finding(
            INFO,
            "bridge_up",
            f"nftables table {BRIDGE_TABLE}",
            expected="none but while a switch goes on",
            actual=f"there is one ({', '.join(tables)}), which takes connections before kube-proxy's rules do",
            evidence=f"nft list table ip {BRIDGE_TABLE}; systemctl status {BRIDGE_TABLE}",
            cause="A switch to another mode goes on, or was cut off.",
            remedy="Run the switch again. Else the node takes it away by itself: once the new mode is there, at the latest an hour after it was put up. "
            "At once: module netops.kube_proxy.service_bridge with state: absent.",
        )
