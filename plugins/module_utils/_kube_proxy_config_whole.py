# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy refuses of a configuration as a whole, its fields right one by one. Pure. Private to this collection.

Source: C(Validate) in C(pkg/proxy/apis/config/validation/validation.go) and C(ValidateShowHiddenMetricsVersion) in
C(k8s.io/component-base/metrics/options.go), 1.34 to 1.37.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_checks import seconds
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_schema import ill_typed
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import Release

# kernelspace is that of Windows.
_MODES = ("iptables", "ipvs", "nftables", "kernelspace")
_DETECT_LOCAL = {"BridgeInterface": "bridgeInterface", "InterfaceNamePrefix": "interfaceNamePrefix"}


def refusals(values: t.Mapping[str, t.Any], releases: t.Sequence[Release]) -> list[str]:
    """Why these releases of kube-proxy would not start with a configuration, one sentence each.

    C(effective) may be asked for the defaults of what is not refused here.
    """
    wrong = ill_typed(values)
    if wrong:
        return wrong
    config = effective(values, min(releases, default=None))
    return [*_mode(config), *_periods(config), *_detect_local(config), *_hidden_metrics(config, releases)]


def _mode(config: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    if config["mode"] not in _MODES:
        yield f"There is no mode {config['mode']!r}: set the option mode."


def _periods(config: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    mode = config["mode"]
    if mode not in _MODES[:3]:
        return
    period, least = (seconds(config[mode].get(key)) for key in ("syncPeriod", "minSyncPeriod"))
    if period is not None and least is not None and least > period:
        yield (
            f"{mode}.minSyncPeriod ({config[mode]['minSyncPeriod']}) is longer than {mode}.syncPeriod "
            f"({config[mode]['syncPeriod']}): set both in settings."
        )


def _detect_local(config: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    name = _DETECT_LOCAL.get(str(config["detectLocalMode"]))
    if name and not config["detectLocal"].get(name):
        yield f"detectLocalMode {config['detectLocalMode']} needs detectLocal.{name}, which is empty: set it in settings."


def _hidden_metrics(config: t.Mapping[str, t.Any], releases: t.Sequence[Release]) -> t.Iterator[str]:
    shown = config.get("showHiddenMetricsForVersion")
    for release in releases:
        before = f"{release.major}.{release.minor - 1}"
        if shown and shown != before:
            yield f"showHiddenMetricsForVersion is {shown!r}, and kube-proxy {release} takes only {before!r} or nothing."
