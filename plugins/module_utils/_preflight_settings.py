# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings that the target mode does not read, or takes another default for, as settings that it does. Pure. Private to this
collection.

Sources, in 1.31 to 1.37: C(Convert_v1alpha1_KubeProxyConfiguration_To_config_KubeProxyConfiguration) in
C(pkg/proxy/apis/config/v1alpha1/conversion.go) (which section is read in which mode), C(NewProxier) of the three proxiers
(C(masqueradeBit): iptables and ipvs read C(iptables), nftables its own), C(platformApplyDefaults) in
C(cmd/kube-proxy/app/server_linux.go) (nodePortAddresses).
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import IPVS, NFTABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_checks import seconds
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_schema import same
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_foreign import foreign_at_risk, networks_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import (
    ClusterCase,
    NodeCase,
    Object,
    Verdict,
    fail,
    merged,
    ok,
    unknown,
    warn,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_services import invalid_packets

Settings = t.Dict[str, t.Any]

_PERIODS = ("syncPeriod", "minSyncPeriod")
_MASQUERADE = ("masqueradeAll", "masqueradeBit")
_TIMEOUTS = ("tcpTimeout", "tcpFinTimeout", "udpTimeout")


def settings_ignored(case: ClusterCase) -> t.Iterator[Verdict]:
    """The check: what is configured and would be lost."""
    if case.written is None or case.wanted is None:
        yield unknown("nobody read kube-proxy's configuration")
        return
    carried = carried_over(case)
    if carried.get(_masquerade_section(case.target), {}).get("masqueradeAll"):
        section = _masquerade_section(case.present)
        yield fail(
            f"{section}.masqueradeAll does not count in {case.target} mode, and Services' packets change their source",
            _remedy(carried),
        )
    elif carried:
        yield warn(
            f"{', '.join(_named(carried))} would change its value: {case.target} mode reads or defaults it otherwise",
            _remedy(carried),
        )
    for words in without_counterpart(case):
        yield warn(words)
    if not carried:
        yield ok(f"{case.target} mode reads all that is set")


def _remedy(carried: Settings) -> str:
    return f"Set along with the mode, to keep them: switch_settings: {_flow(carried)}."


def _flow(value: t.Any) -> str:
    """As YAML writes it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) and (":" in value or "/" in value) else str(value)


def _named(settings: Settings) -> t.Iterator[str]:
    for key, value in settings.items():
        yield from (f"{key}.{name}" for name in value) if isinstance(value, dict) else (key,)


def proposed(case: ClusterCase) -> Settings:
    """All that could be set along with the mode so that no check that a setting can satisfy has anything to say."""
    if case.written is None or case.wanted is None:
        return {}
    found = carried_over(case)
    if any(_counts_invalid(case, node) for node in case.nodes):
        found = merged(found, {"conntrack": {"tcpBeLiberal": True}})
    if case.target == IPVS:
        found = merged(found, _for_ipvs(case))
    return found


def _counts_invalid(case: ClusterCase, node: NodeCase) -> bool:
    counted = (node.facts.get("counters") or {}).get("invalid_packets_dropped")
    return bool(counted) and any(one.status != "ok" for one in invalid_packets(case, node))


def _for_ipvs(case: ClusterCase) -> Settings:
    wanted = (case.wanted or {})["ipvs"]
    found: Settings = {}
    if case.switch.get("l2_announcers") and not wanted.get("strictARP"):
        found["strictARP"] = True
    networks = {one for node in case.nodes for one in networks_of(foreign_at_risk(case, node)[0])}
    if networks:
        found["excludeCIDRs"] = [*(wanted.get("excludeCIDRs") or ()), *sorted(networks)]
    return {"ipvs": found} if found else {}


def carried_over(case: ClusterCase) -> Settings:
    """What the target's configuration has to say so that what counts now counts then."""
    if case.written is None or case.wanted is None or case.present in ("", case.target):
        return {}
    now = effective({**case.written, "mode": case.present})
    return {
        **_sections(now, case.wanted, case.present, case.target),
        **_node_ports(case),
    }


def _masquerade_section(mode: str) -> str:
    return NFTABLES if mode == NFTABLES else "iptables"


def _sections(now: Object, then: Object, present: str, target: str) -> Settings:
    found: Settings = {}
    source, sink = _masquerade_section(present), _masquerade_section(target)
    for key in _MASQUERADE:
        if source != sink and now[source].get(key) != then[sink].get(key):
            found.setdefault(sink, {})[key] = now[source].get(key)
    usual = effective({})
    for key in _PERIODS:
        value = now[present].get(key)
        is_set = not same((present, key), value, usual[present][key])
        if is_set and not same((target, key), value, then[target].get(key)):
            found.setdefault(target, {})[key] = value
    return found


def _node_ports(case: ClusterCase) -> Settings:
    """Unset is every address in iptables and ipvs mode, and the node's own in nftables mode."""
    if NFTABLES not in (case.present, case.target) or case.has_node_ports is False:
        return {}
    if merged(case.written or {}, case.settings).get("nodePortAddresses"):
        return {}
    return {"nodePortAddresses": ["0.0.0.0/0", "::/0"] if case.target == NFTABLES else ["primary"]}


def without_counterpart(case: ClusterCase) -> list[str]:
    """What is set for ipvs mode and has nothing like it in another one."""
    if case.present != IPVS or case.target == IPVS or case.written is None:
        return []
    ipvs = effective({**case.written, "mode": IPVS})["ipvs"]
    found = []
    if ipvs.get("scheduler") not in ("", "rr", None):
        found.append(
            f"ipvs.scheduler ({ipvs['scheduler']}) has no counterpart: {case.target} mode takes an endpoint at random"
        )
    if ipvs.get("excludeCIDRs"):
        found.append(f"ipvs.excludeCIDRs has no meaning in {case.target} mode")
    if ipvs.get("strictARP"):
        found.append(
            "ipvs.strictARP has set arp_ignore and arp_announce, which stay as they are until somebody sets them back"
        )
    timeouts = [name for name in _TIMEOUTS if (seconds(ipvs.get(name)) or 0) > 0]
    if timeouts:
        names = ", ".join(f"ipvs.{name}" for name in timeouts)
        found.append(f"{names} has no counterpart: connection tracking's own timeouts count (conntrack.*)")
    return found


def left_by_strict_arp(case: ClusterCase) -> Verdict:
    """kube-proxy sets both (C(NewProxier) in C(pkg/proxy/ipvs/proxier.go)) and nowhere keeps what they were."""
    settings = (case.written or {}).get("ipvs")
    if case.present != IPVS or not isinstance(settings, t.Mapping) or not settings.get("strictARP"):
        return ok(f"{case.target} mode puts no address of a Service on the node")
    return warn(
        "ipvs.strictARP has set net.ipv4.conf.all.arp_ignore to 1 and net.ipv4.conf.all.arp_announce to 2 on every node, and they stay so: "
        "nothing there tells what they were",
        "Set them to what a snapshot from before ipvs mode has (module node_restore), or to 0 as the kernel starts with, unless something else "
        "on the nodes wants them, such as direct routing of IPVS.",
    )
