# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Service a chain of kube-proxy's iptables mode belongs to. Pure; private to this collection.

A chain's name is a hash, so nobody can read the Service from it; but whoever is said to own it can be checked. Names come
from the comments that kube-proxy writes (C(writeServiceToEndpointRules) and C(appendServiceCommentLocked) in
pkg/proxy/iptables/proxier.go: above 1,000 endpoints those of endpoints are left out), and count when the hash agrees.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Table, target_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import shape_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import (
    SERVICE_KINDS,
    endpoint_chain,
    service_chain,
    service_port_name,
)

PROTOCOLS = ("tcp", "udp", "sctp")

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?").fullmatch
_FULL_NAME = re.compile(r"([^/]*)/([^:]*)(?::(.*))?", re.DOTALL).fullmatch

# Quoted by iptables-save when it has spaces or other special characters: a name with its port always has.
_COMMENT = re.compile(r'--comment (?:"([^"]*)"|(\S+))')
_PROTOCOL = re.compile(r"-p ([a-z]+)")
_DESTINATION = re.compile(r"--to-destination (\S+)")
_ENDPOINT = "KUBE-SEP-"


class ServicePort(t.NamedTuple):
    """One port of a Service. C(port) is its name, empty for a port without one. A tuple, as thousands are made in a run."""

    namespace: str
    name: str
    port: str = ""
    protocol: str = "tcp"

    @property
    def full_name(self) -> str:
        return service_port_name(self.namespace, self.name, self.port)

    def chains(self) -> frozenset[str]:
        """The chains that exist once for this port, whichever of them it needs."""
        return frozenset(service_chain(kind, self.full_name, self.protocol) for kind in SERVICE_KINDS)


def parse_service(number: int, item: t.Mapping[str, t.Any]) -> ServicePort:
    """One item of the option C(service): C(namespace), C(name) and C(port), or all three in C(name).

    :raises InvalidInput: naming the item, for what the API would not take as a name
    """
    where = f"service[{number}]"
    text = item["name"]
    parts: tuple[str, ...] = (item["namespace"] or "", text, item["port"] or "")
    found = _FULL_NAME(text)
    if found:
        if item["namespace"] or item["port"]:
            raise InvalidInput(
                f"{where}: namespace and port cannot be had beside the name {text!r}",
                seen="that name has them in it",
                remedy="Write them once: name: namespace/name:port, or namespace, name and port.",
            )
        parts = found.groups("")
    for key, value in zip(("namespace", "name", "port"), parts):
        if not (_LABEL(value) or (key == "port" and not value)):
            raise InvalidInput(
                f"{where}: {value!r} is not a {key} of a Service" if value else f"{where} needs a {key}",
                remedy="Write namespace, name and port as kubectl get service shows them; port is the name of the port, empty where it has none.",
            )
    return ServicePort(parts[0], parts[1], parts[2], item["protocol"])


def service_ports(table: Table) -> dict[str, ServicePort]:
    """The Service port of each chain of table nat that can be told; unreferenced ones without comments cannot."""
    own = [name for name in table.chains if _is_per_service(name)]
    endpoints = dict.fromkeys(name for name in own if is_endpoint(name))
    services = [name for name in own if name not in endpoints]
    found: dict[str, ServicePort] = {}
    for name in services:
        _note(found, name, table.chains[name])
    silent = frozenset(name for name in services if name not in found)
    if silent:
        _note_references(found, table, silent)
    # Whose endpoint it is says the chain that leads there; only where none does is the hash asked again.
    for name, port in list(found.items()):
        for target in map(target_of, table.chains[name]):
            if target in endpoints:
                found.setdefault(target, port)
    for name in endpoints:
        if name not in found:
            _note(found, name, table.chains[name])
    return found


def _note_references(found: dict[str, ServicePort], table: Table, silent: t.Container[str]) -> None:
    """Whose the chains are that say nothing themselves, from the rules that lead there."""
    for rules in table.chains.values():
        for spec in rules:
            target = target_of(spec)
            if target in silent and target not in found:
                _note(found, target, (spec,))


def chains_of(ports: t.Iterable[ServicePort], table: Table) -> frozenset[str]:
    """Every chain of these Service ports in table nat: by computed name, by a rule that leads there, by comment."""
    wanted = frozenset(ports)
    computed = frozenset(name for port in wanted for name in port.chains() if name in table.chains)
    endpoints = {target_of(spec) for name in computed for spec in table.chains[name]}
    told = {name for name, port in service_ports(table).items() if port in wanted and name in table.chains}
    return computed | told | {name for name in endpoints if is_endpoint(name) and _is_per_service(name)}


def is_endpoint(name: str) -> bool:
    """Whether a chain is the one of an endpoint, by its name."""
    return name.startswith(_ENDPOINT)


def _is_per_service(name: str) -> bool:
    shape = shape_of("nat", name)
    return shape is not None and shape.per_service


def _note(found: dict[str, ServicePort], name: str, rules: t.Iterable[str]) -> None:
    """Note whose chain this is, when some rule says so and the hash agrees."""
    kind = name.split("-")[1]
    for spec in rules:
        said = _said(spec)
        if not said:
            continue
        protocol = _PROTOCOL.search(spec)
        destination = _DESTINATION.search(spec) if kind == "SEP" else None
        for one in (protocol.group(1),) if protocol else PROTOCOLS:
            if _computed(kind, said, one, destination.group(1) if destination else "") == name:
                found[name] = _parsed(said, one)
                return


def _said(spec: str) -> str:
    """The name of a Service port in a rule's comment, which is its only word with a slash; empty without one.

    kube-proxy says C(NAME cluster IP), C(masquerade traffic for NAME external destinations), C(NAME -> 10.0.0.1:80), C(NAME).
    """
    comment = _COMMENT.search(spec)
    words = (comment.group(1) or comment.group(2) or "").split(" ") if comment else ()
    return next((word for word in words if "/" in word), "")


def _computed(kind: str, full_name: str, protocol: str, endpoint: str) -> str:
    if kind == "SEP":
        return endpoint_chain(full_name, protocol, endpoint) if endpoint else ""
    return service_chain(kind, full_name, protocol)


def _parsed(full_name: str, protocol: str) -> ServicePort:
    namespace, _slash, rest = full_name.partition("/")
    name, _colon, port = rest.partition(":")
    return ServicePort(namespace, name, port, protocol)
