# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes API as this collection uses it: a few plain requests, errors in words. Private to this collection.

Nothing here knows how a request travels: that is C(_kube_api_client), or a test's own transport.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError

Object = t.Dict[str, t.Any]
Query = t.Mapping[str, str]

# client-go's page size. The API server answers pages of this size from its cache.
PAGE = 500

# Who is to blame, in the object's managedFields.
FIELD_MANAGER = "netops.kube_proxy"

NO_ANSWER = 0


class TransportError(Exception):
    """A request that did not end well: the HTTP status (C(NO_ANSWER) when there was none) and the server's words."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(f"{status}: {message}")


class Transport(t.Protocol):
    """Sends one request and returns the body of the answer. Raises C(TransportError) for anything but a 2xx."""

    def __call__(self, method: str, path: str, query: Query, body: Object | None) -> bytes: ...


class ApiError(KubeProxyError):
    """The API server refused, or did not answer. C(status) is the HTTP status, C(NO_ANSWER) without an answer."""

    status = NO_ANSWER


class NotFound(ApiError):
    """404: there is no such object."""


class Conflict(ApiError):
    """409: the object is not the one that was read (resourceVersion or uid differ)."""


@dataclass(frozen=True)
class Ref:
    """Where an object (or a list) is, and what people call it."""

    path: str
    words: str


def config_map(namespace: str, name: str) -> Ref:
    return _namespaced("/api/v1", "configmaps", namespace, name, "ConfigMap")


def daemon_set(namespace: str, name: str) -> Ref:
    return _namespaced("/apis/apps/v1", "daemonsets", namespace, name, "DaemonSet")


def pod(namespace: str, name: str) -> Ref:
    return _namespaced("/api/v1", "pods", namespace, name, "Pod")


def pods(namespace: str) -> Ref:
    return Ref(f"/api/v1/namespaces/{quote(namespace, safe='')}/pods", f"the pods of namespace {namespace}")


def node(name: str) -> Ref:
    return Ref(f"/api/v1/nodes/{quote(name, safe='')}", f"Node {name}")


NODES = Ref("/api/v1/nodes", "the nodes")
SERVICES = Ref("/api/v1/services", "the Services")
ENDPOINT_SLICES = Ref("/apis/discovery.k8s.io/v1/endpointslices", "the EndpointSlices")
SERVICE_CIDRS = Ref("/apis/networking.k8s.io/v1/servicecidrs", "the ServiceCIDRs")
DAEMON_SETS = Ref("/apis/apps/v1/daemonsets", "the DaemonSets")
VERSION = Ref("/version", "the API server's version")


def _namespaced(group: str, plural: str, namespace: str, name: str, kind: str) -> Ref:
    path = f"{group}/namespaces/{quote(namespace, safe='')}/{plural}/{quote(name, safe='')}"
    return Ref(path, f"{kind} {namespace}/{name}")


@dataclass(frozen=True)
class KubeApi:
    """The API server.

    :param transport: sends the requests
    :param server: its address, for messages
    :param kubeconfig: where its address and the credentials came from, for messages
    """

    transport: Transport
    server: str = "the API server"
    kubeconfig: str = "the kubeconfig"

    def get(self, ref: Ref) -> Object:
        """One object. Raises C(NotFound) when there is none."""
        return self._object("GET", ref, {}, None)

    def find(self, ref: Ref) -> Object | None:
        """One object, or None when there is none."""
        try:
            return self.get(ref)
        except NotFound:
            return None

    def list_all(self, ref: Ref, query: Query | None = None) -> list[Object]:
        """All objects of a list, page by page."""
        wanted = dict(query or {})
        items: list[Object] = []
        token = ""
        while True:
            paging = {"limit": str(PAGE), **({"continue": token} if token else {})}
            try:
                page = self._object("GET", ref, {**wanted, **paging}, None)
            except ApiError as error:
                if error.status != 410 or not token:
                    raise
                # The server has compacted the snapshot that the pages came from: only one whole answer is consistent.
                return list(self._object("GET", ref, wanted, None).get("items") or [])
            items.extend(page.get("items") or [])
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return items

    def replace(self, ref: Ref, body: Object) -> Object:
        """PUT an object. Its C(metadata.resourceVersion) makes the server refuse (C(Conflict)) when it has changed."""
        return self._object("PUT", ref, {"fieldManager": FIELD_MANAGER}, body)

    def delete(self, ref: Ref, uid: str) -> None:
        """Delete an object, but only the one with this uid (else C(Conflict))."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        self._send("DELETE", ref, {}, options)

    def log(self, ref: Ref, container: str, lines: int, previous: bool = False) -> list[str]:
        """The last lines of a container's log."""
        query = {"container": container, "tailLines": str(lines), "previous": "true" if previous else "false"}
        answer = self._send("GET", Ref(f"{ref.path}/log", f"the log of {ref.words}"), query, None)
        return answer.decode("utf-8", "replace").splitlines()[-lines:]

    def _object(self, method: str, ref: Ref, query: Query, body: Object | None) -> Object:
        answer = self._send(method, ref, query, body)
        try:
            value = json.loads(answer.decode("utf-8"))
        except ValueError as error:
            raise ApiError(
                f"Could not {_VERBS[method]} {ref.words}",
                f"{self.server} did not answer in JSON",
                f"Check that {self.kubeconfig} names an API server and nothing in front of it.",
            ) from error
        if not isinstance(value, dict):
            raise ApiError(f"Could not {_VERBS[method]} {ref.words}", f"{self.server} answered something else")
        return value

    def _send(self, method: str, ref: Ref, query: Query, body: Object | None) -> bytes:
        try:
            return self.transport(method, ref.path, query, body)
        except TransportError as error:
            raise self._in_words(f"Could not {_VERBS[method]} {ref.words}", error) from error

    def _in_words(self, failed: str, error: TransportError) -> ApiError:
        kind = {404: NotFound, 409: Conflict}.get(error.status, ApiError)
        seen, remedy = _explain(error, self.server, self.kubeconfig)
        problem = kind(failed, seen, remedy)
        problem.status = error.status
        return problem


_VERBS = {"GET": "read", "PUT": "change", "DELETE": "delete"}


def _explain(error: TransportError, server: str, kubeconfig: str) -> tuple[str, str]:
    if error.status == NO_ANSWER:
        return (
            f"{server} does not answer: {error.message}",
            f"Check that the API server runs, and that {kubeconfig} names its address and certificate authority.",
        )
    seen = f"{server} says {error.status} {error.message}".rstrip()
    return seen, _REMEDIES.get(error.status, "Look at the API server's log.").format(kubeconfig=kubeconfig)


_REMEDIES = {
    401: "The credentials in {kubeconfig} are not accepted (often an expired certificate or token): "
    "name another file with the option kubeconfig.",
    403: "Give this user that right, or name a kubeconfig that has it, such as /etc/kubernetes/admin.conf.",
    404: "Check the names, and that the kubeconfig (option context) is that of the cluster you mean.",
    409: "Something else changed it at the same time: run again.",
    410: "The list grew old while it was read: run again.",
    422: "The API server does not accept this object: see its words.",
    429: "The API server has too much to do: run again later.",
    500: "Look at the API server's log.",
    503: "The API server is not ready: run again when it is.",
    504: "The API server took too long: run again, or set a longer request_timeout.",
}
