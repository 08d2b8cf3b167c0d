# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration a kube-proxy runs with, against the one that is wanted. Pure. Private to this collection.

C(/configz) shows v1alpha1 from 1.36 on. Until 1.35 it shows the internal type, with Go's field names and some fields
elsewhere (C(pkg/proxy/apis/config/types.go)); here both become v1alpha1.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_schema import FIELDS, leaves, same
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import Release

GROUP = "kubeproxy.config.k8s.io"
Settings = t.Mapping[str, t.Any]
Path = t.Tuple[str, ...]

# Flags decide these even beside --config (kubeadm's DaemonSet sets --hostname-override on every node).
_OVERRIDDEN_BY_FLAGS = ("hostnameOverride", "logging")
_PER_MODE = ("syncPeriod", "minSyncPeriod")
_SECTIONS = ("iptables", "ipvs", "nftables")


def _renamed(value: t.Any, fields: t.Any) -> t.Any:
    if not isinstance(value, dict):
        return value
    known = {name.lower(): name for name in fields} if isinstance(fields, dict) else {}
    if not known:
        return value
    result = {}
    for key, inner in value.items():
        name = known.get(key.lower(), key[:1].lower() + key[1:])
        result[name] = _renamed(inner, fields.get(name))
    return result


def _section(config: dict[str, t.Any], name: str) -> dict[str, t.Any]:
    section = config.get(name)
    if not isinstance(section, dict):
        section = config[name] = {}
    return section


def _masquerade_section(mode: str) -> str:
    return "nftables" if mode == "nftables" else "iptables"


def _from_internal(raw: Settings) -> dict[str, t.Any]:
    config: dict[str, t.Any] = _renamed(dict(raw), FIELDS)
    mode = str(config.get("mode") or "")
    linux, windows = config.pop("linux", None), config.pop("windows", None)
    if isinstance(linux, dict):
        inner = _renamed(linux, FIELDS)
        if "masqueradeAll" in inner:
            _section(config, _masquerade_section(mode))["masqueradeAll"] = inner.pop("masqueradeAll")
        config.update(inner)
    if isinstance(windows, dict):
        config["windowsRunAsService"] = bool(windows.get("RunAsService"))
    for key in _PER_MODE:
        if key in config:
            _section(config, mode if mode in _SECTIONS else "iptables")[key] = config.pop(key)
    cidrs = _section(config, "detectLocal").pop("clusterCIDRs", None)
    if isinstance(cidrs, list):
        config["clusterCIDR"] = ",".join(map(str, cidrs))
    return config


def read_configz(configz: Settings | None) -> dict[str, t.Any] | None:
    """The running KubeProxyConfiguration in v1alpha1's names; None when the answer holds none."""
    raw = (configz or {}).get(GROUP)
    if not isinstance(raw, dict):
        return None
    return _from_internal(raw) if "Mode" in raw else dict(raw)


def _without_nulls(value: t.Any) -> t.Any:
    return (
        {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
        if isinstance(value, dict)
        else value
    )


def checked_settings(settings: Settings | None) -> dict[str, t.Any]:
    """Wanted settings without what says nothing: nulls, and the head of a whole KubeProxyConfiguration.

    :raises InvalidInput: for a field or a value that v1alpha1 does not have
    """
    kept = {
        key: value
        for key, value in _without_nulls(dict(settings or {})).items()
        if key not in ("apiVersion", "kind", "mode")
    }
    leaves(kept)
    return kept


def _at(config: t.Any, path: Path) -> t.Any:
    for key in path:
        config = config.get(key) if isinstance(config, dict) else None
    return config


def _is_unused(path: Path, mode: str) -> bool:
    """Whether kube-proxy drops this field in this mode, so that configz cannot show it (C(v1alpha1/conversion.go))."""
    if len(path) != 2 or path[0] not in _SECTIONS:
        return False
    section, key = path
    return (key in _PER_MODE and section != mode) or (key == "masqueradeAll" and section != _masquerade_section(mode))


def _alike(path: Path, wanted: t.Any, running: t.Any) -> bool:
    if path == ("ipvs", "scheduler"):
        return (wanted or "rr") == (running or "rr")
    if not wanted and not running and not isinstance(wanted, (bool, int)):
        return True
    if isinstance(wanted, bool) or isinstance(running, bool):
        return bool(wanted) == bool(running)
    if isinstance(wanted, (int, float)) and isinstance(running, (int, float)):
        return wanted == running
    return same(path, wanted, running)


def differences(
    mode: str | None,
    settings: Settings,
    running_mode: str | None,
    running: Settings | None,
    release: Release | None = None,
) -> list[dict[str, t.Any]]:
    """What differs between wanted and running: C(field) (dotted), C(wanted), C(running), sorted by field.

    C(settings) come from L(checked_settings). What cannot be known (no answer) is not a difference.
    """
    found: list[dict[str, t.Any]] = []
    if mode and running_mode and mode != running_mode:
        found.append({"field": "mode", "wanted": mode, "running": running_mode})
    if running is None:
        return found
    effective_mode = running_mode or str(running.get("mode") or "")
    target = effective({**settings, "mode": mode or effective_mode}, release)
    actual = effective(running, release)
    for path, _value in leaves(settings):
        if path[0] in _OVERRIDDEN_BY_FLAGS or _is_unused(path, effective_mode):
            continue
        wanted, seen = _at(target, path), _at(actual, path)
        if not _alike(path, wanted, seen):
            found.append({"field": ".".join(path), "wanted": wanted, "running": seen})
    return sorted(found, key=lambda item: str(item["field"]))
