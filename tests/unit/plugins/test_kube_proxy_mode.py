# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Setting the mode through the API: what is sent, what is refused, and what happens when somebody else is faster."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import (
    InvalidInput,
    KubeProxyError,
    NotConverged,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_mode import ModePlan, ModeWork, Wanted
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import Names, look_around
from tests.unit.plugins.kube_api_server import CONFIG_MAP, DAEMON_SET, FakeServer, node

NAMES = Names("kube-system", "kube-proxy", "kube-proxy")


def set_mode(
    server: FakeServer, mode: str | None, settings: dict[str, t.Any] | None = None, check: bool = False
) -> tuple[ModePlan, dict[str, t.Any]]:
    surroundings = look_around(server.api, NAMES)
    surroundings.deployment.refuse()
    task = ModeWork(server.api, NAMES, Wanted(mode, settings or {}), surroundings)
    plan = converge(Steps(task.read, task.plan, task.apply), check)
    return plan, task.result(plan)


def test_one_put_with_everything_else_as_it_was() -> None:
    server = FakeServer()
    # kubeadm's own mark stays: its hash no longer fits, so that `kubeadm upgrade` keeps the text as the user's.
    server.objects[CONFIG_MAP]["metadata"]["annotations"] = {"kubeadm.kubernetes.io/component-config.hash": "sha256:0"}
    before = copy.deepcopy(server.objects[CONFIG_MAP])
    _plan, result = set_mode(server, "ipvs", {"ipvs": {"scheduler": "rr"}})
    after = copy.deepcopy(server.objects[CONFIG_MAP])
    assert server.writes == [("PUT", CONFIG_MAP)]
    assert result["mode"] == {"wanted": "ipvs", "before": "iptables", "after": "ipvs"}
    assert result["config"]["ipvs"]["scheduler"] == "rr"
    assert result["deployment"]["kind"] == "kubeadm"
    assert result["versions"] == {"daemon_sets": {"kube-proxy": "v1.37.2"}, "api_server": "v1.37.2"}
    assert [one["severity"] for one in result["releases"]] == ["warning"]
    assert after["metadata"].pop("resourceVersion") == "8"
    del before["metadata"]["resourceVersion"]
    before["data"]["config.conf"] = after["data"]["config.conf"]
    assert after == before


def test_check_mode_plans_the_same_and_sends_nothing() -> None:
    server = FakeServer()
    checked, _result = set_mode(server, "ipvs", check=True)
    assert server.writes == []
    applied, _result = set_mode(server, "ipvs")
    assert (checked.before.render(), checked.after.render()) == (applied.before.render(), applied.after.render())


def test_the_second_run_sends_nothing() -> None:
    server = FakeServer()
    set_mode(server, "ipvs")
    server.asked.clear()
    plan, _result = set_mode(server, "ipvs")
    assert plan.operations == ()
    assert server.writes == []
    assert len(server.asked) == 5


def test_somebody_was_faster_and_both_changes_stay() -> None:
    server = FakeServer()

    def interfere(the_server: FakeServer, method: str, _path: str) -> None:
        if method == "PUT":
            the_server.before = lambda *_args: None
            the_server.edit_config(the_server.config.replace("oomScoreAdj: null", "oomScoreAdj: -5 # theirs"))

    server.before = interfere
    set_mode(server, "ipvs")
    assert "oomScoreAdj: -5 # theirs" in server.config
    assert "mode: ipvs" in server.config
    assert len(server.writes) == 2


def test_somebody_did_the_same() -> None:
    server = FakeServer()

    def interfere(the_server: FakeServer, method: str, _path: str) -> None:
        if method == "PUT":
            the_server.before = lambda *_args: None
            the_server.edit_config(the_server.config.replace("mode: iptables", "mode: ipvs"))

    server.before = interfere
    set_mode(server, "ipvs")
    assert len(server.writes) == 1


def test_after_five_conflicts_it_gives_up() -> None:
    server = FakeServer()

    def interfere(the_server: FakeServer, method: str, _path: str) -> None:
        if method == "PUT":
            the_server.edit_config(the_server.config + "\n# again")

    server.before = interfere
    with pytest.raises(KubeProxyError, match="changed it 5 times at the same moment"):
        set_mode(server, "ipvs")
    assert len(server.writes) == 5
    assert "mode: iptables" in server.config


def test_a_manager_that_puts_it_back_at_once_is_reported() -> None:
    server = FakeServer()
    old = server.config

    def put_back(the_server: FakeServer, method: str, path: str) -> None:
        if method == "GET" and path == CONFIG_MAP and the_server.writes:
            the_server.edit_config(old)

    server.before = put_back
    with pytest.raises(NotConverged, match="did not last"):
        set_mode(server, "ipvs")


def _forget_config_map(server: FakeServer) -> None:
    del server.objects[CONFIG_MAP]


def _forget_key(server: FakeServer) -> None:
    server.objects[CONFIG_MAP]["data"] = {"kubeconfig.conf": "x"}


def _forget_data(server: FakeServer) -> None:
    del server.objects[CONFIG_MAP]["data"]


def _break_yaml(server: FakeServer) -> None:
    server.objects[CONFIG_MAP]["data"]["config.conf"] = "mode: [ipvs\n"


def _freeze(server: FakeServer) -> None:
    server.objects[CONFIG_MAP]["immutable"] = True


def _age(server: FakeServer) -> None:
    server.objects[DAEMON_SET]["spec"]["template"]["spec"]["containers"][0]["image"] = "kube-proxy:v1.43.0"


def _hide_age(server: FakeServer) -> None:
    server.objects[DAEMON_SET]["spec"]["template"]["spec"]["containers"][0]["image"] = "kube-proxy@sha256:0"
    server.lists["/api/v1/nodes"] = [node("a", "v1.41.0"), node("b", "v1.42.1")]


def _replace_kube_proxy(server: FakeServer) -> None:
    del server.objects[DAEMON_SET]
    server.lists["/apis/apps/v1/daemonsets"] = [{"metadata": {"name": "cilium", "namespace": "kube-system"}}]
    server.lists["/api/v1/namespaces/kube-system/pods"] = []


def _break_types(server: FakeServer) -> None:
    server.edit_config(server.config.replace("oomScoreAdj: null", "oomScoreAdj: much"))


def _break_detection(server: FakeServer) -> None:
    server.edit_config(server.config.replace('detectLocalMode: ""', "detectLocalMode: BridgeInterface"))


REFUSED: list[tuple[t.Callable[[FakeServer], None], str]] = [
    (_forget_config_map, "There is no ConfigMap kube-system/kube-proxy. Name kube-proxy's with the options"),
    (_forget_key, "ConfigMap kube-system/kube-proxy has no key config.conf: its keys are kubeconfig.conf."),
    (_forget_data, "its keys are none"),
    (_break_yaml, "config.conf in kube-proxy's ConfigMap is not YAML: line 2, column 1"),
    (
        _break_types,
        "kube-proxy would not start with this configuration. oomScoreAdj must be a whole number, it is 'much'.",
    ),
    (_break_detection, "detectLocalMode BridgeInterface needs detectLocal.bridgeInterface, which is empty"),
    (_freeze, "ConfigMap kube-system/kube-proxy is immutable"),
    (_age, "Mode ipvs is not possible in this cluster. kube-proxy 1.43 has no ipvs mode"),
    (_hide_age, "kube-proxy 1.41 refuses ipvs mode unless the feature gate KubeProxyIPVS is true"),
    (_replace_kube_proxy, "Cilium is there"),
]


@pytest.mark.parametrize(("spoil", "words"), REFUSED)
def test_refusals_change_nothing(spoil: t.Callable[[FakeServer], None], words: str) -> None:
    server = FakeServer()
    spoil(server)
    before = copy.deepcopy(server.objects)
    with pytest.raises(KubeProxyError) as caught:
        set_mode(server, "ipvs")
    assert words in str(caught.value)
    assert server.writes == []
    assert server.objects == before


def test_what_kube_proxy_cannot_read_is_repaired_by_the_settings() -> None:
    server = FakeServer()
    _break_types(server)
    _plan, result = set_mode(server, "ipvs", {"oomScoreAdj": -5})
    assert result["config"]["oomScoreAdj"] == -5


def test_a_mode_of_old_is_no_mode() -> None:
    server = FakeServer()
    server.edit_config(server.config.replace("mode: iptables", "mode: userspace"))
    with pytest.raises(InvalidInput, match="There is no mode 'userspace': set the option mode"):
        set_mode(server, None, {"oomScoreAdj": -5})
    assert server.writes == []
    set_mode(server, "iptables")
    assert "mode: iptables" in server.config


def test_the_gate_among_the_settings_counts() -> None:
    server = FakeServer()
    server.objects[DAEMON_SET]["spec"]["template"]["spec"]["containers"][0]["image"] = "kube-proxy:v1.40.0"
    with pytest.raises(InvalidInput, match="KubeProxyIPVS"):
        set_mode(server, "ipvs")
    _plan, result = set_mode(server, "ipvs", {"featureGates": {"KubeProxyIPVS": True}})
    assert result["config"]["featureGates"] == {"KubeProxyIPVS": True}
    assert [one["severity"] for one in result["releases"]] == ["warning"]


@pytest.mark.parametrize(("spoil", "severities"), [(_age, ["error"]), (_break_types, ["warning"])])
def test_what_kube_proxy_does_not_start_with_is_read_all_the_same(
    spoil: t.Callable[[FakeServer], None], severities: list[str]
) -> None:
    """Otherwise there would be no way out of it."""
    server = FakeServer()
    set_mode(server, "ipvs")
    spoil(server)
    plan, result = set_mode(server, None)
    assert plan.operations == ()
    assert result["mode"]["before"] == "ipvs"
    assert [one["severity"] for one in result["releases"]] == severities


def test_a_frozen_configmap_that_is_right_already_is_no_error() -> None:
    server = FakeServer()
    _freeze(server)
    plan, _result = set_mode(server, "iptables")
    assert plan.operations == ()


def test_without_a_mode_the_present_one_stays() -> None:
    server = FakeServer()
    plan, result = set_mode(server, None)
    assert plan.operations == ()
    assert result["mode"] == {"wanted": "iptables", "before": "iptables", "after": "iptables"}
    plan, result = set_mode(server, None, {"oomScoreAdj": -500})
    assert plan.actions == ("set oomScoreAdj from null to -500",)


@pytest.mark.parametrize(("tag", "mode"), [("v1.37.2", "iptables"), ("v1.39.0", "iptables"), ("v1.40.0", "nftables")])
def test_what_should_run_knows_what_an_empty_mode_means_in_this_release(tag: str, mode: str) -> None:
    server = FakeServer()
    server.objects[DAEMON_SET]["spec"]["template"]["spec"]["containers"][0]["image"] = f"kube-proxy:{tag}"
    server.edit_config(server.config.replace("mode: iptables", 'mode: ""'))
    _plan, result = set_mode(server, None, {"ipvs": {"scheduler": "sh"}})
    assert result["should_run"]["mode"] == mode
    assert result["should_run"]["settings"]["ipvs"]["scheduler"] == "sh"
    assert result["mode"]["after"] == ""


def test_an_empty_mode_is_reported() -> None:
    server = FakeServer()
    server.edit_config(server.config.replace("mode: iptables", 'mode: ""'))
    _plan, result = set_mode(server, None)
    assert result["mode"]["wanted"] == ""
    assert "nftables from 1.40" in result["releases"][0]["message"]
