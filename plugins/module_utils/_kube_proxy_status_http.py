# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking kube-proxy over HTTP. Private to this collection."""

from __future__ import annotations

import http.client
import ipaddress
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput

METRICS_PORT = 10249
HEALTHZ_PORT = 10256

# kube-proxy's metrics are some 100 KB; whoever answers more is somebody else.
_LARGEST_ANSWER = 16 << 20
_SECONDS = 5
_HOST_PORT = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:\[\]/\s]+)):(?P<port>\d{1,5})\Z")
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True)
class Endpoint:
    """Where to ask."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    """C(status) is None when nobody answered; then C(error) says why, or is empty when nobody was asked."""

    url: str
    status: int | None = None
    body: str = ""
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.status == http.client.OK

    @property
    def problem(self) -> str:
        """Why this answer says nothing, as a sentence without a full stop; empty when it is fine."""
        if self.status is not None:
            return "" if self.ok else f"GET {self.url}: status {self.status}"
        return f"GET {self.url}: {self.error}" if self.url else self.error


class Get(t.Protocol):
    """Asks one path of an endpoint."""

    def __call__(self, endpoint: Endpoint, path: str) -> Answer: ...


def _as_ip(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def parse_endpoint(option: str, text: str, default_port: int) -> Endpoint | None:
    """An address as KubeProxyConfiguration has it (a bare IP gets the default port); None for an empty one: it is off.

    All addresses (C(0.0.0.0), C([::])) become the loopback of that family.

    :raises InvalidInput: naming the option
    """
    text = text.strip()
    if not text:
        return None
    address = _as_ip(text.strip("[]"))
    if address is not None:
        return Endpoint(_ANY_ADDRESS.get(address, address), default_port)
    found = _HOST_PORT.match(text)
    host = (_as_ip(found.group("ipv6")) if found.group("ipv6") else found.group("host")) if found else None
    if found is None or host is None or not 1 <= int(found.group("port")) <= 65535:
        raise InvalidInput(
            f"{option}: {text!r} is not an address with a port", remedy="Write it as 127.0.0.1:10249 or [::1]:10249."
        )
    return Endpoint(_ANY_ADDRESS.get(host, host), int(found.group("port")))


def get(endpoint: Endpoint, path: str) -> Answer:
    """GET without proxies, redirects or credentials. Errors are part of the answer."""
    url = f"http://{endpoint}{path}"
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=_SECONDS)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read(_LARGEST_ANSWER)
        return Answer(url, response.status, body.decode("utf-8", "replace"))
    except http.client.HTTPException as error:
        return Answer(url, error=f"the answer is not HTTP ({type(error).__name__})")
    except OSError as error:
        return Answer(url, error=error.strerror or str(error) or type(error).__name__)
    finally:
        connection.close()
