# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields of KubeProxyConfiguration v1alpha1 and what may stand in them. Pure. Private to this collection.

Sources: C(k8s.io/kube-proxy/config/v1alpha1/types.go) and C(pkg/proxy/apis/config/validation/validation.go), 1.34 to
1.37: the fields are the same in all four, only C(nodePortAddresses) learnt keywords in 1.37.
"""

from __future__ import annotations

import difflib
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_proxy_config_checks as checks
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_checks import (
    KEYWORDS,
    SCHEDULERS,
    Check,
    Wrong,
    seconds,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import NFTABLES_ALPHA, Release

API_VERSION = "kubeproxy.config.k8s.io/v1alpha1"
KIND = "KubeProxyConfiguration"

KEYWORDS_MIXED = Release(1, 37)


@dataclass(frozen=True)
class Field:
    """C(check) returns what a value must be when it is not that, else None. C(kind) is its type in Go, as C(checks.KINDS) has it."""

    check: Check
    is_duration: bool = False
    kind: str = "text"


@dataclass(frozen=True)
class MapOf:
    """A mapping with keys of the user's own."""

    field: Field


Fields = t.Mapping[str, t.Union[Field, MapOf, "Fields"]]


_FLAG, _TEXT, _ANY, _TIME = (
    Field(checks.boolean, kind="flag"),
    Field(checks.text),
    Field(checks.anything, kind="any"),
    Field(checks.duration, is_duration=True),
)
_COUNT, _BIT = Field(checks.between(0, 2**31 - 1), kind="count"), Field(checks.between(0, 31), kind="count")
_ENDPOINT = Field(checks.host_port)

FIELDS: Fields = {
    "featureGates": MapOf(_FLAG),
    "clientConnection": {
        "kubeconfig": _TEXT,
        "acceptContentTypes": _TEXT,
        "contentType": _TEXT,
        "qps": Field(checks.number, kind="number"),
        "burst": _COUNT,
    },
    "logging": {"format": _TEXT, "flushFrequency": _ANY, "verbosity": _COUNT, "vmodule": _ANY, "options": _ANY},
    "hostnameOverride": _TEXT,
    "bindAddress": Field(checks.bind_address),
    "healthzBindAddress": _ENDPOINT,
    "metricsBindAddress": _ENDPOINT,
    "bindAddressHardFail": _FLAG,
    "enableProfiling": _FLAG,
    "showHiddenMetricsForVersion": _TEXT,
    "iptables": {
        "masqueradeBit": _BIT,
        "masqueradeAll": _FLAG,
        "localhostNodePorts": _FLAG,
        "syncPeriod": _TIME,
        "minSyncPeriod": _TIME,
    },
    "ipvs": {
        "syncPeriod": _TIME,
        "minSyncPeriod": _TIME,
        "scheduler": Field(checks.one_of("", *SCHEDULERS)),
        "excludeCIDRs": Field(checks.networks, kind="list"),
        "strictARP": _FLAG,
        "tcpTimeout": _TIME,
        "tcpFinTimeout": _TIME,
        "udpTimeout": _TIME,
    },
    "nftables": {"masqueradeBit": _BIT, "masqueradeAll": _FLAG, "syncPeriod": _TIME, "minSyncPeriod": _TIME},
    "winkernel": {
        "networkName": _TEXT,
        "sourceVip": _TEXT,
        "enableDSR": _FLAG,
        "rootHnsEndpointName": _TEXT,
        "forwardHealthCheckVip": _FLAG,
    },
    "detectLocalMode": Field(checks.one_of("", "ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")),
    "detectLocal": {"bridgeInterface": _TEXT, "interfaceNamePrefix": _TEXT},
    "clusterCIDR": Field(checks.cluster_cidr),
    "nodePortAddresses": Field(checks.node_ports, kind="list"),
    "oomScoreAdj": Field(checks.between(-1000, 1000), kind="count"),
    "conntrack": {
        "maxPerCore": _COUNT,
        "min": _COUNT,
        "tcpEstablishedTimeout": _TIME,
        "tcpCloseWaitTimeout": _TIME,
        "tcpBeLiberal": _FLAG,
        "udpTimeout": _TIME,
        "udpStreamTimeout": _TIME,
    },
    "configSyncPeriod": _TIME,
    "windowsRunAsService": _FLAG,
}


def same(path: tuple[str, ...], left: t.Any, right: t.Any) -> bool:
    """Whether kube-proxy reads two values of a field alike: C(1h) is C(1h0m0s), but 1 is not true."""
    if _is_duration(path) and seconds(left) is not None:
        return seconds(left) == seconds(right)
    return type(left) is type(right) and bool(left == right)


def leaves(settings: t.Mapping[str, t.Any]) -> list[tuple[tuple[str, ...], t.Any]]:
    """The settings as paths and values, in their order. Raises C(InvalidInput) for what v1alpha1 does not have."""
    return list(_walk(settings, FIELDS, ()))


def ill_typed(values: t.Mapping[str, t.Any]) -> list[str]:
    """What in a configuration has not the type that kube-proxy can decode, one sentence each. Null fits everywhere."""
    return list(_ill_typed(values, {**FIELDS, "mode": _TEXT}, ()))


def _ill_typed(values: t.Mapping[t.Any, t.Any], fields: Fields, above: tuple[t.Any, ...]) -> t.Iterator[str]:
    for key in fields.keys() & values.keys():
        path, field, value = (*above, key), fields[key], values[key]
        kind = field.kind if isinstance(field, Field) else "mapping"
        wanted, fits = checks.KINDS[kind]
        if value is None:
            continue
        if not fits(value):
            yield f"{'.'.join(map(str, path))} must be {wanted}, it is {value!r}."
        elif not isinstance(field, Field):
            inner = dict.fromkeys(value, field.field) if isinstance(field, MapOf) else field
            yield from _ill_typed(value, inner, path)


def check_release(settings: t.Mapping[str, t.Any], releases: t.Sequence[Release]) -> None:
    """Raise C(InvalidInput) for what the oldest of these releases does not know."""
    if not releases:
        return
    oldest = min(releases)
    if "nftables" in settings and oldest < NFTABLES_ALPHA:
        raise InvalidInput(
            f"kube-proxy {oldest} does not know the section nftables",
            remedy="It came with 1.29: leave it out of settings.",
        )
    addresses = settings.get("nodePortAddresses") or []
    new = [item for item in addresses if item in KEYWORDS[1:] or (item in KEYWORDS and len(addresses) > 1)]
    if new and oldest < KEYWORDS_MIXED:
        raise InvalidInput(
            f"kube-proxy {oldest} does not know nodePortAddresses {addresses}",
            remedy="Before 1.37 it takes networks, or the single keyword primary.",
        )


def _walk(
    settings: t.Mapping[str, t.Any], fields: Fields, above: tuple[str, ...]
) -> t.Iterator[tuple[tuple[str, ...], t.Any]]:
    for key, value in settings.items():
        path = (*above, str(key))
        field = fields.get(str(key))
        if field is None:
            raise _unknown(path, fields)
        if isinstance(field, Field):
            _must_be(path, value, field.check(value))
            yield path, value
            continue
        _must_be(path, value, None if isinstance(value, dict) else "a mapping")
        inner = dict.fromkeys(map(str, value), field.field) if isinstance(field, MapOf) else field
        yield from _walk(value, inner, path)


def _must_be(path: tuple[str, ...], value: t.Any, wanted: Wrong) -> None:
    if wanted is not None:
        raise InvalidInput(f"settings: {'.'.join(path)} must be {wanted}", f"it is {value!r}")


def _unknown(path: tuple[str, ...], fields: Fields) -> InvalidInput:
    name = ".".join(path)
    if name in ("mode", "apiVersion", "kind"):
        return InvalidInput(
            f"settings may not hold {name}", remedy="The option mode sets the mode." if name == "mode" else ""
        )
    near = difflib.get_close_matches(path[-1], fields, 1)
    guess = f"Did you mean {'.'.join((*path[:-1], near[0]))}?" if near else f"Known here: {', '.join(sorted(fields))}."
    return InvalidInput(f"settings: {name} is not a field of {KIND} v1alpha1", remedy=guess)


def _is_duration(path: tuple[str, ...]) -> bool:
    field: t.Any = FIELDS
    for key in path:
        field = field.get(key) if isinstance(field, dict) else None
    return isinstance(field, Field) and field.is_duration
