# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of a cluster: what is kept of its objects, and the text that it travels as."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import typing as t
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _cluster_state as state_of
from ansible_collections.netops.kube_proxy.plugins.module_utils import _packed
from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state_read import gather
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import ApiError, TransportError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names
from tests.unit.plugins.kube_api_server import CONFIG_MAP, DAEMON_SET, FakeServer, node
from tests.unit.plugins.kube_services import endpoint, endpoint_slice, service

NAMES = Names("kube-system", "kube-proxy", "kube-proxy")


def server() -> FakeServer:
    found = FakeServer()
    found.lists["/api/v1/services"] = [service(sessionAffinity="ClientIP")]
    found.lists["/apis/discovery.k8s.io/v1/endpointslices"] = [endpoint_slice(endpoint("10.180.0.1", "cp1", "RSt"))]
    found.lists["/api/v1/namespaces/kube-system/pods"] = [
        proxy_pod("cp1", "uid-1", "kube-proxy"),
        proxy_pod("cp1", "uid-0", "kube-proxy", deletionTimestamp="2026-11-22T19:00:00Z"),
        proxy_pod("w9", "uid-9", "coredns"),
    ]
    return found


def proxy_pod(node: str, uid: str, owner: str, **metadata: str) -> dict[str, t.Any]:
    owners = [{"kind": "DaemonSet", "name": owner}]
    return {"metadata": {"name": uid, "uid": uid, "ownerReferences": owners, **metadata}, "spec": {"nodeName": node}}


def test_each_kind_is_listed_once_and_nothing_is_written() -> None:
    the_server = server()
    before = copy.deepcopy(the_server.objects)
    result = gather(the_server.api, NAMES)
    assert [method for method, _path in the_server.asked] == ["GET"] * 7
    assert len(set(the_server.asked)) == 7
    assert the_server.objects == before
    assert result["counts"] == {"services": 1, "endpoint_slices": 1, "nodes": 1, "kube_proxy_pods": 1}
    assert result["nodes"] == [
        {
            "name": "cp1",
            "ready": True,
            "internal_ips": ["192.168.66.10"],
            "runs_kube_proxy": True,
            "kube_proxy_uid": "uid-1",
            "kubelet_version": "v1.37.2",
        }
    ]
    assert result["kubernetes_service"] == {}
    assert result["config"]["metricsBindAddress"] == "127.0.0.1:10249"
    state = state_of.decode(result["state"])
    assert state["release"] == "1.37"
    assert state["services"][0]["affinity"] == 10800
    assert state["config"]["mode"] == "iptables"
    # An API server of before 1.33 has no ServiceCIDRs.
    assert state["service_cidrs"] == []
    assert state["kube_proxy_pods"] == {"cp1": 1}


def test_the_networks_of_cluster_ips_are_kept() -> None:
    the_server = server()
    the_server.lists["/apis/networking.k8s.io/v1/servicecidrs"] = [
        {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/16"]}},
        {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]}},
    ]
    state = state_of.decode(gather(the_server.api, NAMES)["state"])
    assert state["service_cidrs"] == ["10.96.0.0/16", "10.97.0.0/16", "fd00:10:96::/112"]


def test_service_cidrs_that_may_not_be_read_are_an_error() -> None:
    the_server = server()

    def refuse(_server: FakeServer, _method: str, path: str) -> None:
        if path.endswith("servicecidrs"):
            raise TransportError(403, "forbidden")

    the_server.before = refuse
    with pytest.raises(ApiError, match="Could not read the ServiceCIDRs"):
        gather(the_server.api, NAMES)


def versioned(obj: dict[str, t.Any], version: int) -> dict[str, t.Any]:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}


def test_a_services_version_is_another_one_after_every_change() -> None:
    services = [versioned(service("ns1/a"), 1), versioned(service("ns1/b"), 2)]
    slices = [versioned(endpoint_slice(name="ns1/a"), 3), versioned(endpoint_slice(name="ns1/a"), 4)]

    def versions(*parts: list[dict[str, t.Any]]) -> dict[str, str]:
        return state_of.object_versions(state_of.build(parts[0], parts[1], [], {}, ""))

    before = versions(services, slices)
    assert list(before) == ["ns1/a", "ns1/b"]
    # The order of the API's list is no change.
    assert versions(services, slices[::-1]) == before
    changes = {
        "the Service": ([versioned(services[0], 9), services[1]], slices),
        "a slice": (services, [slices[0], versioned(slices[1], 9)]),
        "one slice more": (services, [*slices, versioned(slices[0], 9)]),
        "one slice less": (services, slices[:1]),
        "no slice": (services, []),
        "a slice of another namespace": (services, [*slices, versioned(endpoint_slice(name="ns2/a"), 9)]),
    }
    changed = {
        what: {name for name, version in versions(*now).items() if version != before[name]}
        for what, now in changes.items()
    }
    assert changed == {what: set() if "another" in what else {"ns1/a"} for what in changes}


def test_a_cluster_without_kube_proxy_is_no_failure() -> None:
    the_server = server()
    del the_server.objects[DAEMON_SET], the_server.objects[CONFIG_MAP]
    result = gather(the_server.api, NAMES)
    assert result["config"] == {}
    assert result["config_problem"] == "There is no ConfigMap kube-system/kube-proxy."
    assert result["nodes"][0]["runs_kube_proxy"] is False
    assert state_of.decode(result["state"])["config"] is None


def test_a_broken_configmap_is_a_finding() -> None:
    the_server = server()
    the_server.edit_config("mode: [")
    assert "is not YAML" in gather(the_server.api, NAMES)["config_problem"]


SECOND = CONFIG_MAP + "-switch"
LABEL = "kube-proxy.netops/mode"


def moved(label: str, second: str | None = "mode: ipvs") -> FakeServer:
    """A switch to ipvs under way: two nodes, the second one with that label."""
    found = server()
    labels = {LABEL: label} if label else {}
    found.lists["/api/v1/nodes"] = [node("cp1"), node("w1", **labels)]
    if second is not None:
        found.objects[SECOND] = copy.deepcopy(found.objects[CONFIG_MAP])
        found.objects[SECOND]["data"]["config.conf"] = (
            f"apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n{second}\n"
        )
    return found


def test_a_moved_node_reads_the_second_configuration() -> None:
    the_server = moved("ipvs")
    result = gather(the_server.api, NAMES)
    state = state_of.decode(result["state"])
    configs = {name: state_of.config_of(state, name) for name in ("cp1", "w1", "gone")}
    assert {name: config and config["mode"] for name, config in configs.items()} == {
        "cp1": "iptables",
        "w1": "ipvs",
        "gone": "iptables",
    }
    names = {name: state_of.config_map_of(state, name) for name in configs}
    assert names == {"cp1": "kube-proxy", "w1": "kube-proxy-switch", "gone": "kube-proxy"}
    assert result["config_problem"] == ""
    assert result["config"]["mode"] == "iptables"


@pytest.mark.parametrize("label", ["", "switching"])
def test_the_second_configuration_is_not_asked_for_where_no_node_has_moved(label: str) -> None:
    """Between the two nobody runs, and what the kernel holds may be either's."""
    the_server = moved(label)
    state = state_of.decode(gather(the_server.api, NAMES)["state"])
    assert ("GET", SECOND) not in the_server.asked
    assert state_of.config_of(state, "w1") == state["config"]


@pytest.mark.parametrize(
    ("second", "problem"),
    [(None, "There is no ConfigMap kube-system/kube-proxy-switch."), ("mode: [", "is not YAML")],
)
def test_a_second_configuration_that_cannot_be_read_is_told_and_no_other_takes_its_place(
    second: str | None, problem: str
) -> None:
    result = gather(moved("ipvs", second).api, NAMES)
    assert problem in result["config_problem"]
    assert result["config"]["mode"] == "iptables"
    state = state_of.decode(result["state"])
    assert state_of.config_of(state, "w1") is None
    assert state_of.config_of(state, "cp1") == state["config"]


def test_what_kube_proxy_does_not_read_is_left_out() -> None:
    obj = service(
        labels={"app": "x", state_of.HEADLESS: ""}, selector={"app": "x"}, ingress=[{"hostname": "lb.example"}]
    )
    assert state_of.reduce_service(obj) == {
        "namespace": "ns1",
        "name": "svc1",
        "labels": [state_of.HEADLESS],
        "clusterIP": "10.20.30.41",
        "ports": [{"name": "p80", "port": 80}],
    }


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"], "ipFamilies": ["IPv6"]}, {"clusterIP": "fd00::1"}),
        ({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"], "ipFamilies": ["IPv4"]}, None),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"]}, None),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"], "ipFamilies": ["IPv4"]}, None),
        ({"type": "NodePort", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}, None),
        ({"type": "NodePort", "externalTrafficPolicy": "Cluster"}, {"type": "NodePort"}),
        ({"ports": [{"name": "", "protocol": "UDP", "port": 53}]}, None),
    ],
)
def test_only_what_is_usual_is_left_out(spec: dict[str, t.Any], kept: dict[str, t.Any] | None) -> None:
    """None: all of it is kept."""
    assert state_of.reduce_service({"spec": spec}) == (spec if kept is None else kept)


def test_a_slice_keeps_its_endpoints_first_addresses() -> None:
    obj = endpoint_slice(
        {"addresses": ["10.0.0.1", "10.0.0.2"], "conditions": {"ready": None}, "targetRef": {"name": "pod"}},
        {"addresses": []},
        endpoint("10.0.0.3", "w1", "rST", zones=["a"], nodes=["w1"]),
        endpoint("10.0.0.4", "w1", "RSt"),
        endpoint("10.0.0.5", "w1", "Rst"),
    )
    assert state_of.reduce_slice(obj)["endpoints"] == [
        "10.0.0.1",
        {
            "address": "10.0.0.3",
            "node": "w1",
            "ready": False,
            "terminating": True,
            "zones": ["a"],
            "nodes": ["w1"],
        },
        "10.0.0.4 w1",
        {"address": "10.0.0.5", "node": "w1", "serving": False},
    ]


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        ("10.0.0.1", {"address": "10.0.0.1"}),
        ("fd00::4 w1", {"address": "fd00::4", "node": "w1"}),
        ({"address": "10.0.0.5", "ready": False}, {"address": "10.0.0.5", "ready": False}),
    ],
)
def test_an_endpoint_is_read_in_each_of_its_ways(kept: str | dict[str, t.Any], read: dict[str, t.Any]) -> None:
    assert state_of.read_endpoint(kept) == read


def test_the_api_servers_own_service_is_named() -> None:
    services = [service("ns1/kubernetes"), service("default/kubernetes", clusterIP="10.96.0.1", ports=[{"port": 443}])]
    assert state_of.kubernetes_service(services) == {"address": "10.96.0.1", "port": 443}


@pytest.mark.parametrize("half", [{}, {"metadata": None, "spec": None, "status": None}])
def test_half_an_object_is_reduced(half: dict[str, t.Any]) -> None:
    assert state_of.reduce_service(half) == {}
    assert state_of.reduce_slice(half) == {}
    assert state_of.reduce_node(half)["name"] is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=3))
def test_a_state_survives_its_text(values: dict[str, t.Any]) -> None:
    state = {**values, "version": state_of.VERSION}
    for items in (1, 2, 200):
        with mock.patch.object(_packed, "_ITEMS", items):
            text = state_of.encode(state)
        assert "\n" not in text
        assert state_of.decode(text) == state


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()) | st.none() | st.integers())
def test_any_other_text_is_refused_in_words(text: t.Any) -> None:
    with pytest.raises(InvalidInput, match="cluster_services_info"):
        state_of.decode(text)


@pytest.mark.parametrize("value", [{}, {"version": 99}])
def test_another_release_is_refused_in_words(value: t.Any) -> None:
    with pytest.raises(InvalidInput, match="another release"):
        state_of.decode(packed_lines(value))


@pytest.mark.parametrize(
    "values", [(), ([],), ("x",), (1,), ({"a": 1}, {"a": [1]}), ({"a": [1]}, {"a": 1}), ({}, {"a": []}), ({}, 1)]
)
def test_other_json_is_refused_in_words(values: tuple[t.Any, ...]) -> None:
    with pytest.raises(InvalidInput, match="not the state of a cluster"):
        state_of.decode(packed_lines(*values))


def test_a_text_that_is_cut_off_is_refused_in_words() -> None:
    raw = base64.b64decode(packed_lines({"version": state_of.VERSION}, {}))
    for cut in (raw[:-9], raw[:12], raw[:-1] + b"x"):
        with pytest.raises(InvalidInput, match="not the state of a cluster"):
            state_of.decode(base64.b64encode(cut).decode())


def packed_lines(*values: t.Any) -> str:
    return base64.b64encode(gzip.compress("\n".join(map(json.dumps, values)).encode())).decode()


def test_the_text_is_small() -> None:
    services = [
        service(f"ns/svc-{number}", clusterIP=f"10.96.{number // 250}.{number % 250 + 1}") for number in range(5000)
    ]
    slices = [
        endpoint_slice(
            *(endpoint(f"10.244.{number % 200}.{last}", "w1", "RSt") for last in range(4)), name=f"ns/svc-{number}"
        )
        for number in range(5000)
    ]
    # Versions as in a cluster that lives: neighbours in a list were written at quite different times.
    for number, one in enumerate([*services, *slices]):
        one["metadata"]["resourceVersion"] = str(1_000_000 + number * 7919 % 900_001)
    # A task's argument of 1 MiB and more is what Ansible becomes slow with.
    assert len(state_of.encode(state_of.build(services, slices, [], {}, ""))) < 500_000
