# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Service and its endpoints in the state of a cluster: which one is asked for, and what the API says of it. Pure. Private to
this collection.

Sources: C(ShouldSkipService) in C(pkg/proxy/util/utils.go), the label selectors in C(cmd/kube-proxy/app/server.go).
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import (
    HEADLESS,
    PROXY_NAME,
    read_endpoint,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import service_port_name
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_endpoints import parse_ip

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination

Object = t.Mapping[str, t.Any]
_FEW = 20


class Wish(t.NamedTuple):
    """What is asked for. C(port) is a name or a number; empty: all ports."""

    name: str
    port: str = ""
    protocol: str = ""


def parse_wish(text: str, protocol: str | None) -> Wish:
    """C(namespace/name) or C(namespace/name:port).

    :raises InvalidInput: for anything else
    """
    name, colon, port = text.partition(":")
    if name.count("/") != 1 or not all(name.split("/")) or (colon and not port):
        raise InvalidInput(
            f"service: {text!r} names no Service",
            remedy="Write it as namespace/name or namespace/name:port, such as default/web:http.",
        )
    return Wish(name, port, protocol or "")


class Service(t.NamedTuple):
    """A Service of the API.

    :param ports: the names (C(namespace/name:port name)) of the ports that are asked for
    """

    name: str
    raw: Object
    ports: tuple[str, ...]


def find(state: Object, wish: Wish) -> Service:
    """The Service that is asked for.

    :raises InvalidInput: when the API does not have it, or no such port; says what there is
    """
    raw = next((one for one in state["services"] if _name(one) == wish.name), None)
    if raw is None:
        raise InvalidInput(f"The API has no Service {wish.name}", _others(state, wish.name))
    ports = [one for one in raw.get("ports") or () if _is_meant(one, wish)]
    if not ports and (wish.port or wish.protocol):
        asked = " ".join(filter(None, (wish.protocol.upper(), "port", wish.port)))
        raise InvalidInput(f"Service {wish.name} has no {asked}", f"it has {_port_words(raw) or 'no port'}")
    names = (service_port_name(raw["namespace"], raw["name"], one.get("name") or "") for one in ports)
    return Service(wish.name, raw, tuple(names))


def _name(one: Object) -> str:
    return f"{one.get('namespace')}/{one.get('name')}"


def _is_meant(port: Object, wish: Wish) -> bool:
    named = wish.port in ("", port.get("name"), str(port.get("port")))
    return named and wish.protocol.upper() in ("", port.get("protocol") or "TCP")


def _others(state: Object, name: str) -> str:
    namespace, _slash, own = name.partition("/")
    names = sorted(_name(one) for one in state["services"])
    like = [one for one in names if one.endswith(f"/{own}")]
    near = [one for one in names if one.startswith(f"{namespace}/")]
    for found, words in ((like, "there is"), (near, f"namespace {namespace} has"), (names, "there is")):
        if found:
            more = f" and {len(found) - _FEW} more" if len(found) > _FEW else ""
            return f"{words} {', '.join(found[:_FEW])}{more}"
    return "it has no Service at all"


def _port_words(raw: Object) -> str:
    words = []
    for one in raw.get("ports") or ():
        named = f" ({one['name']})" if one.get("name") else ""
        words.append(f"{one.get('protocol') or 'TCP'} {one.get('port')}{named}")
    return ", ".join(words)


def why_not_served(service: Service) -> str:
    """Why kube-proxy makes nothing for a Service, as a sentence; empty where nothing says that it should not."""
    raw, labels = service.raw, service.raw.get("labels") or ()
    if raw.get("type") == "ExternalName":
        return f"Service {service.name} is only a name in DNS (type ExternalName): kube-proxy makes nothing for it."
    if PROXY_NAME in labels:
        return f"Service {service.name} is another proxy's (label {PROXY_NAME}): kube-proxy makes nothing for it."
    if (raw.get("clusterIP") or "None") == "None":
        return (
            f"Service {service.name} is headless: DNS gives the addresses of its endpoints, and kube-proxy makes "
            "nothing for it."
        )
    if HEADLESS in labels:
        return f"Service {service.name} has the label {HEADLESS}: kube-proxy before 1.36 makes nothing for it."
    return ""


def alone(state: Object, service: Service) -> dict[str, t.Any]:
    """The state with this Service only."""
    slices = [one for one in state["slices"] if f"{one['namespace']}/{one.get('service')}" == service.name]
    return {**state, "services": [service.raw], "slices": slices}


def endpoints_of(state: Object) -> dict[str, dict[Destination, Object]]:
    """What L(alone) kept says of each endpoint, by the Service port's name."""
    found: dict[str, dict[Destination, Object]] = {}
    for one in state["slices"]:
        for port in one.get("ports") or ():
            if not port.get("port"):
                continue
            name = service_port_name(one["namespace"], one["service"], port.get("name") or "")
            known = found.setdefault(name, {})
            for raw in map(read_endpoint, one.get("endpoints") or ()):
                where = (str(parse_ip(raw["address"]) or raw["address"]), int(port["port"]))
                # A terminating pod must not hide the running one that got its address.
                if where not in known or not raw.get("terminating"):
                    known[where] = raw
    return found
