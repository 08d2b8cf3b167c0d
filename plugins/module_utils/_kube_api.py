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
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_words import VERBS, explain

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


def namespace(name: str) -> Ref:
    return Ref(f"/api/v1/namespaces/{quote(name, safe='')}", f"Namespace {name}")


def lease(namespace: str, name: str) -> Ref:
    return _namespaced("/apis/coordination.k8s.io/v1", "leases", namespace, name, "Lease")


def controller_revisions(namespace: str) -> Ref:
    path = f"/apis/apps/v1/namespaces/{quote(namespace, safe='')}/controllerrevisions"
    return Ref(path, f"the ControllerRevisions of namespace {namespace}")


PODS = Ref("/api/v1/pods", "the pods")
DISRUPTION_BUDGETS = Ref("/apis/policy/v1/poddisruptionbudgets", "the PodDisruptionBudgets")
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
    :param date: the header C(Date) of an answer; raises C(TransportError)
    """

    transport: Transport
    server: str = "the API server"
    kubeconfig: str = "the kubeconfig"
    date: t.Callable[[], str] = str

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

    def create(self, ref: Ref, body: Object) -> Object:
        """POST an object. Raises C(Conflict) when there is one of its name."""
        collection = Ref(ref.path.rpartition("/")[0], ref.words)
        return self._object("POST", collection, {"fieldManager": FIELD_MANAGER}, body)

    def evict(self, namespace: str, name: str, uid: str) -> None:
        """Ask for a pod's eviction, but only of the one with this uid (else C(Conflict)).

        Status 429: a PodDisruptionBudget does not allow it now (or the server has too much to do).
        """
        target = pod(namespace, name)
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": namespace, "name": name},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        ref = Ref(f"{target.path}/eviction", f"the eviction of {target.words}")
        answer = self._object("POST", ref, {}, body)
        # What the server cannot do (a pod with two budgets) comes as a failure inside of an answer of 201.
        if answer.get("kind") == "Status" and answer.get("status") == "Failure":
            problem = TransportError(int(answer.get("code") or 500), str(answer.get("message") or ""))
            raise self._in_words(f"Could not create {ref.words}", problem)

    def now(self) -> datetime:
        """The API server's clock, in whole seconds: the one clock that all its users share."""
        try:
            header = self.date()
        except TransportError as error:
            raise self._in_words("Could not read the API server's clock", error) from error
        try:
            return parsedate_to_datetime(header)
        except (TypeError, ValueError) as error:
            raise ApiError(
                "Could not read the API server's clock",
                f"the header Date of its answer is {header!r}",
                f"Check that {self.kubeconfig} names an API server and nothing in front of it.",
            ) from error

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
                f"Could not {VERBS[method]} {ref.words}",
                f"{self.server} did not answer in JSON",
                f"Check that {self.kubeconfig} names an API server and nothing in front of it.",
            ) from error
        if not isinstance(value, dict):
            raise ApiError(f"Could not {VERBS[method]} {ref.words}", f"{self.server} answered something else")
        return value

    def _send(self, method: str, ref: Ref, query: Query, body: Object | None) -> bytes:
        try:
            return self.transport(method, ref.path, query, body)
        except TransportError as error:
            raise self._in_words(f"Could not {VERBS[method]} {ref.words}", error) from error

    def _in_words(self, failed: str, error: TransportError) -> ApiError:
        kind = {404: NotFound, 409: Conflict}.get(error.status, ApiError)
        seen, remedy = explain(error.status, error.message, self.server, self.kubeconfig)
        problem = kind(failed, seen, remedy)
        problem.status = error.status
        return problem
