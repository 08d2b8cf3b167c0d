# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API server: pages, errors in words, and whose credentials are used."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kube_api as kube
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import (
    find_kubeconfig,
    network_message,
    status_message,
)


def server_of(*answers: bytes | kube.TransportError) -> tuple[kube.KubeApi, list[dict[str, str]]]:
    """An API server that gives these answers in turn, and the queries that it got."""
    left, queries = list(answers), []

    def transport(method: str, path: str, query: kube.Query, body: kube.Object | None) -> bytes:
        del method, path, body
        queries.append(dict(query))
        answer = left.pop(0)
        if isinstance(answer, kube.TransportError):
            raise answer
        return answer

    return kube.KubeApi(transport, "https://10.0.0.1:6443", "/root/admin.conf"), queries


def page(names: t.Sequence[str], token: str = "") -> bytes:
    return json.dumps({"items": [{"n": name} for name in names], "metadata": {"continue": token}}).encode()


def test_a_list_is_read_page_by_page() -> None:
    api, queries = server_of(page(["a", "b"], "next"), page(["c"]))
    found = api.list_all(kube.pods("kube-system"), {"fieldSelector": "spec.nodeName=w1"})
    assert [one["n"] for one in found] == ["a", "b", "c"]
    assert queries == [
        {"fieldSelector": "spec.nodeName=w1", "limit": "500"},
        {"fieldSelector": "spec.nodeName=w1", "limit": "500", "continue": "next"},
    ]


def test_a_list_whose_pages_expire_is_read_whole() -> None:
    api, queries = server_of(page(["a"], "next"), kube.TransportError(410, "too old"), page(["a", "b"]))
    assert [one["n"] for one in api.list_all(kube.SERVICES)] == ["a", "b"]
    assert queries[-1] == {}


def test_null_items_are_an_empty_list() -> None:
    api, _queries = server_of(b'{"items": null, "metadata": {}}')
    assert api.list_all(kube.NODES) == []


ERRORS = [
    (
        0,
        "Connection refused",
        "https://10.0.0.1:6443 does not answer: Connection refused",
        "Check that the API server runs",
    ),
    (401, "Unauthorized", "says 401 Unauthorized", "credentials in /root/admin.conf are not accepted"),
    (403, "forbidden: User x", "says 403 forbidden: User x", "Give this user that right"),
    (404, "not found", "says 404 not found", "option context"),
    (409, "modified", "says 409 modified", "run again"),
    (422, "immutable", "says 422 immutable", "does not accept this object"),
    (500, "etcd", "says 500 etcd", "API server's log"),
    (418, "teapot", "says 418 teapot", "API server's log"),
]


@pytest.mark.parametrize(("status", "message", "seen", "remedy"), ERRORS)
def test_errors_say_what_failed_what_was_seen_and_the_way_out(
    status: int, message: str, seen: str, remedy: str
) -> None:
    api, _queries = server_of(kube.TransportError(status, message))
    with pytest.raises(kube.ApiError) as caught:
        api.get(kube.config_map("kube-system", "kube-proxy"))
    assert str(caught.value).startswith("Could not read ConfigMap kube-system/kube-proxy: ")
    assert seen in str(caught.value)
    assert remedy in str(caught.value)
    assert caught.value.status == status


@pytest.mark.parametrize("answer", [b"<html>proxy</html>", b"\xff\xfe", b"[]"])
def test_an_answer_that_is_no_object_is_an_error(answer: bytes) -> None:
    api, _queries = server_of(answer)
    with pytest.raises(kube.ApiError, match="Could not read Node w1"):
        api.get(kube.node("w1"))


def test_names_cannot_leave_their_place_in_the_path() -> None:
    assert kube.node("../pods?x").path == "/api/v1/nodes/..%2Fpods%3Fx"


# The files that can be read, the environment, the option, and what is used then (None is an error that holds the words).
KUBECONFIGS: list[tuple[set[str], dict[str, str], str | None, str | None, str]] = [
    ({"/a", "/b", "/etc/kubernetes/admin.conf"}, {"KUBECONFIG": "/b"}, "/a", "/a", ""),
    ({"/b", "/c"}, {"K8S_AUTH_KUBECONFIG": "/b", "KUBECONFIG": "/c"}, None, "/b", ""),
    ({"/c", "/etc/kubernetes/admin.conf"}, {"KUBECONFIG": "/x:/c"}, None, "/x:/c", ""),
    ({"/etc/kubernetes/admin.conf", "/root/.kube/config"}, {}, None, "/etc/kubernetes/admin.conf", ""),
    ({"/root/.kube/config"}, {}, None, "/root/.kube/config", ""),
    ({"/root/.kube/config"}, {}, "/a", None, "option kubeconfig names /a"),
    ({"/etc/kubernetes/admin.conf"}, {"KUBECONFIG": "/c"}, None, None, "KUBECONFIG names /c"),
    (set(), {}, None, None, "neither /etc/kubernetes/admin.conf nor ~/.kube/config"),
]


@pytest.mark.parametrize(("files", "environ", "option", "used", "words"), KUBECONFIGS)
def test_the_kubeconfig_is_looked_for_in_order(
    files: set[str],
    environ: dict[str, str],
    option: str | None,
    used: str | None,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/root")
    if used:
        assert find_kubeconfig(option, environ, files.__contains__) == used
        return
    with pytest.raises(InvalidInput, match="There is no kubeconfig to read") as caught:
        find_kubeconfig(option, environ, files.__contains__)
    assert words in str(caught.value)


def test_only_the_servers_own_words_are_repeated() -> None:
    assert status_message('{"kind": "Status", "message": "configmaps is forbidden"}') == "configmaps is forbidden"
    for other in ("<html>Authorization: Bearer abc</html>", "[]", '{"message": 1}', None, b"\xff"):
        assert status_message(other) == ""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError("<urllib3.connection.HTTPSConnection object at 0x7f>: Failed: [Errno 111] refused"),
            "Failed: [Errno 111] refused",
        ),
        (OSError("HTTPSConnection(host='10.0.0.1', port=6443): Failed to resolve"), "Failed to resolve"),
        (OSError(), "OSError"),
    ],
)
def test_network_errors_name_the_reason_alone(error: OSError, words: str) -> None:
    assert network_message(error) == words


def test_an_object_is_made_in_its_collection_and_evictions_at_the_pod() -> None:
    asked: list[tuple[str, str, kube.Object | None]] = []

    def transport(method: str, path: str, query: kube.Query, body: kube.Object | None) -> bytes:
        del query
        asked.append((method, path, body))
        return b'{"kind": "Status", "status": "Success"}'

    api = kube.KubeApi(transport)
    api.create(kube.lease("kube-system", "x"), {"metadata": {"name": "x"}})
    api.evict("shop", "web-1", "uid-1")
    assert asked[0][:2] == ("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases")
    assert asked[1][:2] == ("POST", "/api/v1/namespaces/shop/pods/web-1/eviction")
    assert asked[1][2] == {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"namespace": "shop", "name": "web-1"},
        "deleteOptions": {"preconditions": {"uid": "uid-1"}},
    }


def test_the_servers_clock() -> None:
    api = kube.KubeApi(lambda *_arguments: b"", date=lambda: "Sun, 22 Nov 2026 19:25:08 GMT")
    assert api.now().isoformat() == "2026-11-22T19:25:08+00:00"
