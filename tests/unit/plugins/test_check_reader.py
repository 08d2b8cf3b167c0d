# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The account that roles/check/files/reader.yml makes: it may do what the role's modules ask the API for, and nothing else.

An API server in memory refuses what the manifest's rules do not allow, as Kubernetes' own authorizer does
(C(RuleAllows) in plugin/pkg/auth/authorizer/rbac/rbac.go).
"""

from __future__ import annotations

import copy
import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state_read import gather
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import ApiError, TransportError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names, look_around
from tests.unit.plugins.kube_api_server import CONFIG_MAP, DAEMON_SET, FakeServer, node

NAMES = Names("kube-system", "kube-proxy", "kube-proxy")
MANIFEST = Path(__file__).parents[3] / "roles" / "check" / "files" / "reader.yml"
Object = dict[str, t.Any]
Right = tuple[str, str, str, str, str]
PATH = re.compile(
    r"(?:/api|/apis/(?P<group>[^/]+))/v1(?:/namespaces/(?P<space>[^/]+))?/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?$"
)


def manifest() -> list[Object]:
    return list(yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["items"])


def rights() -> set[Right]:
    """Verb, group, resource, namespace and name; empty means all of them."""
    return {
        (verb, group, resource, one["metadata"].get("namespace", ""), name)
        for one in manifest()
        for rule in one.get("rules", ())
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def needed(method: str, path: str) -> Right | None:
    """The right that a request needs; None: one that everybody has (system:public-info-viewer)."""
    if path == "/version":
        return None
    found = PATH.match(path)
    assert found, path
    assert method == "GET"
    group, space, kind, name = (found[one] or "" for one in ("group", "space", "kind", "name"))
    return ("get" if name else "list", group, kind, space, name)


def guarded(allowed: t.Collection[Right], *, with_daemon_set: bool = True) -> FakeServer:
    server = FakeServer()
    for path in (
        "/api/v1/services",
        "/apis/discovery.k8s.io/v1/endpointslices",
        "/apis/networking.k8s.io/v1/servicecidrs",
    ):
        server.lists[path] = []
    server.lists["/api/v1/namespaces/kube-system/pods"] = []
    server.lists["/apis/apps/v1/daemonsets"] = []
    # A node that a switch has moved: its kube-proxy reads the second ConfigMap.
    server.lists["/api/v1/nodes"] = [node("cp1", **{"kube-proxy.netops/mode": "iptables"})]
    server.objects[CONFIG_MAP + "-switch"] = copy.deepcopy(server.objects[CONFIG_MAP])
    if not with_daemon_set:
        del server.objects[DAEMON_SET]

    def refuse(_server: FakeServer, method: str, path: str) -> None:
        right = needed(method, path)
        if right is not None and right not in allowed:
            raise TransportError(403, f"may not {right[0]} {right[2]}")

    server.before = refuse
    return server


def ask(server: FakeServer) -> None:
    """What the role's tasks ask for: cluster_services_info and kube_proxy_mode in check mode."""
    gather(server.api, NAMES)
    look_around(server.api, NAMES)


def test_it_may_do_all_that_is_needed_and_nothing_else() -> None:
    asked: set[Right] = set()
    for with_daemon_set in (True, False):
        server = guarded(rights(), with_daemon_set=with_daemon_set)
        ask(server)
        asked |= {right for right in (needed(*one) for one in server.asked) if right}
    assert asked == rights()
    assert {right[0] for right in rights()} == {"get", "list"}


@pytest.mark.parametrize("right", sorted(rights()), ids=" ".join)
def test_without_one_right_the_error_names_it(right: Right) -> None:
    verb, _group, kind, _space, _name = right
    with pytest.raises(ApiError) as caught:
        ask(guarded(rights() - {right}, with_daemon_set=right != ("list", "apps", "daemonsets", "", "")))
    words = {"configmaps": "ConfigMap", "daemonsets": "DaemonSet", "endpointslices": "EndpointSlices"}
    named = {**words, "servicecidrs": "ServiceCIDRs", "services": "Services", "nodes": "nodes", "pods": "pods"}[kind]
    message = str(caught.value)
    assert named in message
    assert f"403 may not {verb} {kind}" in message
    assert "Give this user that right" in message


def test_roles_are_bound_to_the_account() -> None:
    found: dict[str, list[Object]] = {}
    for one in manifest():
        found.setdefault(one["kind"], []).append(copy.deepcopy(one))
    account = found["ServiceAccount"][0]["metadata"]
    for role, binding in (("ClusterRole", "ClusterRoleBinding"), ("Role", "RoleBinding")):
        (bound,), (meant,) = found[binding], found[role]
        assert bound["roleRef"] == {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": role,
            "name": meant["metadata"]["name"],
        }
        assert bound["subjects"] == [{"kind": "ServiceAccount", **account}]
        assert bound["metadata"].get("namespace") == meant["metadata"].get("namespace")
