# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ConfigMap's text: what an edit touches, and what it refuses."""

from __future__ import annotations

import difflib
import typing as t

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config import (
    InvalidConfiguration,
    plan_edit,
    read_document,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_checks import seconds
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_effective import effective
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_schema import FIELDS, check_release
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_whole import refusals
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_release import Release, assess
from tests.unit.plugins.kube_api_server import CONFIG_MAP, kubeadm_objects

KUBEADM: str = kubeadm_objects()[CONFIG_MAP]["data"]["config.conf"]
HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), n=0)
    return [line.rstrip("\n") for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def test_kubeadms_text_changes_in_the_lines_asked_for_and_in_no_other() -> None:
    edit = plan_edit(
        KUBEADM, "ipvs", {"ipvs": {"scheduler": "wrr", "excludeCIDRs": ["10.1.0.0/16"]}, "conntrack": {"maxPerCore": 0}}
    )
    assert changed_lines(KUBEADM, edit.after) == [
        "-  maxPerCore: null",
        "+  maxPerCore: 0",
        "-  excludeCIDRs: null",
        '+  excludeCIDRs: ["10.1.0.0/16"]',
        '-  scheduler: ""',
        "+  scheduler: wrr",
        "-mode: iptables",
        "+mode: ipvs",
    ]
    assert edit.mode_before == "iptables"
    assert edit.actions[0] == 'set mode from "iptables" to "ipvs"'
    assert edit.warnings == ()


def test_nothing_is_written_anew_when_nothing_changes() -> None:
    text = "# mine\n" + HEAD + "mode:   'ipvs'\nipvs: {syncPeriod: 1h0m0s, strictARP: yes}\n"
    edit = plan_edit(text, "ipvs", {"ipvs": {"syncPeriod": "1h", "strictARP": True}})
    assert edit.after is text
    assert edit.actions == ()


# Text after the head, settings, text after the head afterwards. The mode is ipvs before and after.
EDITS: dict[str, tuple[str, dict[str, t.Any], str]] = {
    "comments stay": (
        "mode: ipvs # why\nipvs: # section\n  scheduler: rr # old\n# end\n",
        {"ipvs": {"scheduler": "lc"}},
        "mode: ipvs # why\nipvs: # section\n  scheduler: lc # old\n# end\n",
    ),
    "a key is added to its section": (
        "mode: ipvs\nipvs:\n  scheduler: rr # old\n# between\nzzz: 1\n",
        {"ipvs": {"strictARP": True}},
        "mode: ipvs\nipvs:\n  scheduler: rr # old\n  strictARP: true\n# between\nzzz: 1\n",
    ),
    "a section is added": ("mode: ipvs\n", {"ipvs": {"scheduler": "sh"}}, "mode: ipvs\nipvs:\n  scheduler: sh\n"),
    "a text without a last newline": (
        "mode: ipvs",
        {"ipvs": {"scheduler": "sh"}},
        "mode: ipvs\nipvs:\n  scheduler: sh",
    ),
    "an empty section": (
        "mode: ipvs\nipvs: {}\n",
        {"ipvs": {"scheduler": "sh"}},
        "mode: ipvs\nipvs:\n  scheduler: sh\n",
    ),
    "a null section": ("ipvs:\nmode: ipvs\n", {"ipvs": {"scheduler": "sh"}}, "ipvs:\n  scheduler: sh\nmode: ipvs\n"),
    "a value that is missing": (
        "mode: ipvs\nclusterCIDR:\n",
        {"clusterCIDR": "10.0.0.0/8"},
        'mode: ipvs\nclusterCIDR: "10.0.0.0/8"\n',
    ),
    "a flow section": (
        "mode: ipvs\nipvs: {scheduler: rr}\n",
        {"ipvs": {"strictARP": True}},
        'mode: ipvs\nipvs: {scheduler: rr, "strictARP": true}\n',
    ),
    "a block list": (
        "mode: ipvs\nnodePortAddresses:\n- 10.0.0.0/8\n# that was it\n",
        {"nodePortAddresses": ["10.1.0.0/16", "10.2.0.0/16"]},
        'mode: ipvs\nnodePortAddresses:\n- "10.1.0.0/16"\n- "10.2.0.0/16"\n# that was it\n',
    ),
    "a block list to nothing": (
        "mode: ipvs\nnodePortAddresses:\n  - 10.0.0.0/8\n",
        {"nodePortAddresses": []},
        "mode: ipvs\nnodePortAddresses: []\n",
    ),
    "durations without quotes": (
        "mode: ipvs\n",
        {"configSyncPeriod": "1h30m"},
        "mode: ipvs\nconfigSyncPeriod: 1h30m\n",
    ),
    "a text that looks like a boolean": (
        "mode: ipvs\n",
        {"detectLocal": {"bridgeInterface": "on"}},
        'mode: ipvs\ndetectLocal:\n  bridgeInterface: "on"\n',
    ),
    "unknown keys stay": (
        "mode: ipvs\nfuture: {a: [1, 2]}\nipvs: {x: y}\n",
        {"oomScoreAdj": -998},
        "mode: ipvs\nfuture: {a: [1, 2]}\nipvs: {x: y}\noomScoreAdj: -998\n",
    ),
    "another document before and after": (
        "mode: ipvs\n---\nkind: Other\nmode: iptables\n",
        {"oomScoreAdj": 1},
        "mode: ipvs\noomScoreAdj: 1\n---\nkind: Other\nmode: iptables\n",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_edits_in_place(name: str) -> None:
    before, settings, after = EDITS[name]
    edit = plan_edit(HEAD + before, "ipvs", settings)
    assert edit.after == HEAD + after
    assert edit.warnings == ()


@pytest.mark.parametrize("name", EDITS)
def test_line_ends_of_windows_stay(name: str) -> None:
    before, settings, after = EDITS[name]
    edit = plan_edit((HEAD + before).replace("\n", "\r\n"), "ipvs", settings)
    assert edit.after == (HEAD + after).replace("\n", "\r\n")


def test_the_document_is_found_behind_others() -> None:
    text = "---\nkind: ClusterConfiguration\nmode: x\n---\n# here\n" + HEAD + 'mode: ""\n...\n'
    assert plan_edit(text, "nftables", {}).after == text.replace('mode: ""', "mode: nftables")


def test_anchors_are_written_out_with_a_warning() -> None:
    text = (
        "# head\n---\n"
        + HEAD
        + "mode: iptables\niptables: &one\n  syncPeriod: 30s # c\nnftables: *one\n---\nkind: Other # kept\n"
    )
    edit = plan_edit(text, "ipvs", {"nftables": {"syncPeriod": "10s"}})
    written = list(yaml.safe_load_all(edit.after))
    assert written[0]["mode"] == "ipvs"
    assert written[0]["iptables"] == {"syncPeriod": "30s"}
    assert written[0]["nftables"] == {"syncPeriod": "10s"}
    assert edit.after.startswith("# head\n---\n")
    assert edit.after.endswith("---\nkind: Other # kept\n")
    assert "anchors or aliases" in edit.warnings[0]


BAD_TEXTS = {
    "mode: [": "is not YAML: line 1",
    "a: b: c\n": "is not YAML: line 1, column 5",
    "\ttab: 1\n": "is not YAML",
    "": "it holds nothing",
    "just text\n": "it holds nothing",
    "kind: Secret\n": "it holds Secret",
    HEAD + "---\n" + HEAD: "it holds KubeProxyConfiguration, KubeProxyConfiguration",
    "kind: KubeProxyConfiguration\napiVersion: componentconfig/v1alpha1\n": "apiVersion 'componentconfig/v1alpha1'",
    HEAD + "mode: ipvs\nmode: iptables\n": "mode stands twice",
    HEAD
    + "ipvs:\n  scheduler: rr\n  scheduler: lc\n": "ipvs.scheduler stands twice in config.conf of kube-proxy's ConfigMap: again in line 5",
    HEAD + "x: &a [*a]\n": "contains itself",
    HEAD + "ipvs: rr\n": "ipvs in kube-proxy's ConfigMap must be a mapping: it is 'rr'",
}


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_texts_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        plan_edit(text, "ipvs", {"ipvs": {"strictARP": True}})
    assert BAD_TEXTS[text] in str(caught.value)


BAD_SETTINGS: list[tuple[dict[str, t.Any], str]] = [
    (
        {"ipvs": {"schedular": "rr"}},
        "ipvs.schedular is not a field of KubeProxyConfiguration v1alpha1. Did you mean ipvs.scheduler?",
    ),
    ({"ipvs": {"scheduler": "roundrobin"}}, "ipvs.scheduler must be one of rr, wrr, lc"),
    ({"ipvs": {"scheduler": 5}}, "it is 5"),
    ({"ipvs": {"strictARP": "true"}}, "ipvs.strictARP must be true or false"),
    ({"ipvs": {"strictARP": 1}}, "ipvs.strictARP must be true or false"),
    ({"ipvs": "rr"}, "ipvs must be a mapping"),
    ({"ipvs": {"excludeCIDRs": "10.0.0.0/8"}}, "ipvs.excludeCIDRs must be a list of networks"),
    ({"ipvs": {"excludeCIDRs": ["10.0.0.1"]}}, "ipvs.excludeCIDRs must be a list of networks"),
    ({"ipvs": {"excludeCIDRs": [10]}}, "ipvs.excludeCIDRs must be a list of networks"),
    ({"ipvs": {"syncPeriod": 30}}, "ipvs.syncPeriod must be a duration"),
    ({"ipvs": {"syncPeriod": "30"}}, "ipvs.syncPeriod must be a duration"),
    ({"ipvs": {"tcpTimeout": "-1s"}}, "ipvs.tcpTimeout must be a duration"),
    ({"iptables": {"masqueradeBit": 32}}, "iptables.masqueradeBit must be a whole number from 0 to 31"),
    ({"iptables": {"masqueradeBit": True}}, "iptables.masqueradeBit must be a whole number"),
    ({"oomScoreAdj": 1001}, "oomScoreAdj must be a whole number from -1000 to 1000"),
    ({"conntrack": {"maxPerCore": -1}}, "conntrack.maxPerCore must be a whole number from 0"),
    ({"featureGates": {"KubeProxyIPVS": "yes"}}, "featureGates.KubeProxyIPVS must be true or false"),
    ({"metricsBindAddress": "localhost:10249"}, "metricsBindAddress must be an IP address with a port"),
    ({"metricsBindAddress": "0.0.0.0:70000"}, "metricsBindAddress must be an IP address with a port"),
    ({"bindAddress": "nowhere"}, "bindAddress must be an IP address"),
    ({"clusterCIDR": "10.0.0.0/8,10.1.0.0/16"}, "clusterCIDR must be a network, or one of each family"),
    ({"clusterCIDR": "10.0.0.0/8,"}, "clusterCIDR must be a network"),
    ({"nodePortAddresses": ["primary", "primary"]}, "nodePortAddresses must be a list of networks"),
    ({"nodePortAddresses": ["eth0"]}, "or of the keywords primary, localhost, all"),
    ({"detectLocalMode": "clustercidr"}, "detectLocalMode must be one of ClusterCIDR"),
    ({"mode": "ipvs"}, "settings may not hold mode. The option mode sets the mode."),
    ({"kind": "x"}, "settings may not hold kind"),
    ({"1": 2}, "1 is not a field"),
    ({"ipvs": {"scheduler": {"a": 1}}}, "ipvs.scheduler must be one of"),
]


@pytest.mark.parametrize(("settings", "words"), BAD_SETTINGS)
def test_settings_that_are_refused(settings: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        plan_edit(KUBEADM, "ipvs", settings)
    assert words in str(caught.value)


GOOD_SETTINGS: list[dict[str, t.Any]] = [
    {"metricsBindAddress": "[::1]:10249"},
    {"metricsBindAddress": "0.0.0.0"},
    {"healthzBindAddress": ""},
    {"clusterCIDR": "10.0.0.0/8,fd00::/48"},
    {"clusterCIDR": ""},
    {"nodePortAddresses": ["primary"]},
    {"nodePortAddresses": ["localhost", "10.0.0.0/8"]},
    {"logging": {"verbosity": 4, "flushFrequency": "5s"}},
    {"clientConnection": {"qps": 50, "burst": 100}},
    {"ipvs": {"scheduler": ""}},
    {"featureGates": {}},
]


@pytest.mark.parametrize("settings", GOOD_SETTINGS)
def test_settings_that_are_taken(settings: dict[str, t.Any]) -> None:
    after = plan_edit(KUBEADM, "ipvs", settings).after
    assert plan_edit(after, "ipvs", settings).actions == ()


def test_what_older_releases_do_not_know() -> None:
    check_release({"nodePortAddresses": ["primary"]}, [Release(1, 36)])
    check_release({"nodePortAddresses": ["all"]}, [Release(1, 37)])
    check_release({"nftables": {}}, [])
    with pytest.raises(InvalidInput, match=r"1\.36 does not know nodePortAddresses"):
        check_release({"nodePortAddresses": ["all"]}, [Release(1, 37), Release(1, 36)])
    with pytest.raises(InvalidInput, match=r"1\.36 does not know nodePortAddresses"):
        check_release({"nodePortAddresses": ["primary", "10.0.0.0/8"]}, [Release(1, 36)])
    with pytest.raises(InvalidInput, match=r"1\.28 does not know the section nftables"):
        check_release({"nftables": {"masqueradeAll": True}}, [Release(1, 28)])


# Go's time.ParseDuration.
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30s", 30),
        ("1h0m0s", 3600),
        ("1.5h", 5400),
        ("100ms", 0.1),
        ("0", 0),
        ("-1m", -60),
        ("", None),
        ("30", None),
        ("1 h", None),
        ("h", None),
        (30, None),
        ("1h30", None),
    ],
)
def test_durations(text: t.Any, value: float | None) -> None:
    assert seconds(text) == value


def test_defaults_are_those_of_kube_proxy() -> None:
    # pkg/proxy/apis/config/v1alpha1/defaults_test.go of 1.37, and options_test.go.
    config = effective(read_document(KUBEADM).values)
    assert config["metricsBindAddress"] == "127.0.0.1:10249"
    assert config["healthzBindAddress"] == "0.0.0.0:10256"
    assert config["iptables"]["masqueradeBit"] == 14
    assert config["iptables"]["syncPeriod"] == "30s"
    assert config["iptables"]["minSyncPeriod"] == "1s"
    assert config["ipvs"]["minSyncPeriod"] == "0s"
    assert config["conntrack"]["maxPerCore"] == 32768
    assert config["conntrack"]["tcpEstablishedTimeout"] == "24h0m0s"
    assert config["configSyncPeriod"] == "15m0s"
    assert config["oomScoreAdj"] == -999
    assert config["clusterCIDR"] == "10.244.0.0/16,fd00:10:244::/56"
    assert config["clientConnection"]["burst"] == 10
    assert config["mode"] == "iptables"


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        ({"bindAddress": "::"}, "metricsBindAddress", "[::1]:10249"),
        ({"bindAddress": "::"}, "healthzBindAddress", "[::]:10256"),
        ({"metricsBindAddress": "0.0.0.0"}, "metricsBindAddress", "0.0.0.0:10249"),
        ({"metricsBindAddress": "fd00::1"}, "metricsBindAddress", "[fd00::1]:10249"),
        ({"metricsBindAddress": "0.0.0.0:9"}, "metricsBindAddress", "0.0.0.0:9"),
        ({"mode": "nftables"}, "nodePortAddresses", ["primary"]),
        ({"mode": "nftables", "nodePortAddresses": ["10.0.0.0/8"]}, "nodePortAddresses", ["10.0.0.0/8"]),
        ({"mode": ""}, "mode", "iptables"),
        ({"mode": None}, "mode", "iptables"),
        ({"later": [1]}, "later", [1]),
    ],
)
def test_single_defaults(values: dict[str, t.Any], field: str, value: t.Any) -> None:
    assert effective(values)[field] == value


def test_kinds_zero_survives() -> None:
    assert effective({"conntrack": {"maxPerCore": 0, "min": None}})["conntrack"]["maxPerCore"] == 0


words = st.text(alphabet="abcxyz019.-_: #'\"{}[]é", max_size=8)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "hostnameOverride": words,
        "oomScoreAdj": st.integers(-1000, 1000),
        "enableProfiling": st.booleans(),
        "featureGates": st.dictionaries(words, st.booleans(), max_size=3),
        "clientConnection": st.fixed_dictionaries({}, optional={"kubeconfig": words, "qps": st.integers(0, 100)}),
        "ipvs": st.fixed_dictionaries(
            {},
            optional={
                "scheduler": st.sampled_from(["", "rr", "mh"]),
                "excludeCIDRs": st.lists(st.sampled_from(["10.0.0.0/8", "fd00::/64"]), max_size=2),
                "syncPeriod": st.sampled_from(["30s", "1m", "1h0m0s"]),
            },
        ),
    },
)
LAYOUTS = st.sampled_from(
    [
        KUBEADM,
        HEAD + "mode: ipvs\n",
        HEAD + "ipvs: {scheduler: rr}\nfeatureGates:\n  x: true\n",
        "{apiVersion: kubeproxy.config.k8s.io/v1alpha1, kind: KubeProxyConfiguration}",
        (HEAD + "ipvs:\n    excludeCIDRs:\n    - 10.0.0.0/8\n    # c\nclientConnection:\n").replace("\n", "\r\n"),
    ]
)


def merged(old: t.Any, new: t.Any) -> t.Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}
    return new


@given(LAYOUTS, st.sampled_from(["iptables", "ipvs", "nftables"]), SETTINGS)
def test_an_edit_says_what_was_asked_for_and_once_is_enough(text: str, mode: str, settings: dict[str, t.Any]) -> None:
    edit = plan_edit(text, mode, settings)
    values = read_document(edit.after).values
    before = read_document(text).values
    # An empty section asks for nothing, so none is written.
    asked = {key: value for key, value in settings.items() if value != {}}
    assert values == merged(before, {**asked, "mode": mode})
    assert plan_edit(edit.after, mode, settings).actions == ()
    assert "\r\n" not in text or "\n" not in edit.after.replace("\r\n", "")


# Whole configurations that kube-proxy does not start with (Validate in pkg/proxy/apis/config/validation/validation.go).
WHOLE: list[tuple[dict[str, t.Any], str]] = [
    ({"mode": "userspace"}, "There is no mode 'userspace': set the option mode."),
    (
        {"mode": "ipvs", "ipvs": {"syncPeriod": "30s", "minSyncPeriod": "1m"}},
        "ipvs.minSyncPeriod (1m) is longer than ipvs.syncPeriod (30s)",
    ),
    ({"mode": "nftables", "nftables": {"minSyncPeriod": "31s"}}, "nftables.minSyncPeriod (31s) is longer than"),
    ({"detectLocalMode": "BridgeInterface"}, "needs detectLocal.bridgeInterface, which is empty"),
    ({"detectLocalMode": "InterfaceNamePrefix", "detectLocal": {"bridgeInterface": "x"}}, "interfaceNamePrefix"),
    # What encoding/json cannot put into a field of another type.
    ({"bindAddress": True}, "bindAddress must be a text, it is True."),
    ({"mode": True}, "mode must be a text, it is True."),
    ({"clientConnection": ["x"]}, "clientConnection must be a mapping"),
    ({"ipvs": {"syncPeriod": 30}}, "ipvs.syncPeriod must be a text, it is 30."),
    ({"ipvs": {"excludeCIDRs": [10]}}, "ipvs.excludeCIDRs must be a list of texts"),
    ({"featureGates": {"KubeProxyIPVS": "true"}}, "featureGates.KubeProxyIPVS must be true or false"),
    ({"oomScoreAdj": "5"}, "oomScoreAdj must be a whole number"),
    ({"showHiddenMetricsForVersion": "1.37"}, "kube-proxy 1.37 takes only '1.36' or nothing"),
]


@pytest.mark.parametrize(("values", "words"), WHOLE)
def test_what_does_not_fit_together(values: dict[str, t.Any], words: str) -> None:
    (found,) = refusals(values, [Release(1, 37)])
    assert words in found


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"mode": "kernelspace"},
        {"mode": "iptables", "ipvs": {"syncPeriod": "30s", "minSyncPeriod": "1m"}},
        {"mode": "ipvs", "ipvs": {"syncPeriod": "0s", "minSyncPeriod": "30s"}},
        {"detectLocalMode": "BridgeInterface", "detectLocal": {"bridgeInterface": "cni0"}},
        {"detectLocalMode": "NodeCIDR", "showHiddenMetricsForVersion": "1.36"},
    ],
)
def test_what_fits_together(values: dict[str, t.Any]) -> None:
    assert refusals(values, [Release(1, 37)]) == []


def judged(text: str) -> str:
    """Everything that is done with a text on the way to a plan; the refusal, if it is one."""
    wanted = {"ipvs": {"scheduler": "rr"}, "nodePortAddresses": ["primary"], "configSyncPeriod": "1m"}
    try:
        values = read_document(plan_edit(text, "ipvs", wanted).after).values
    except KubeProxyError as error:
        return str(error)
    if refusals(values, [Release(1, 37)]):
        return "refused"
    effective(values, Release(1, 37))
    gates = values.get("featureGates")
    assess(str(values["mode"]), [Release(1, 37)], gates if isinstance(gates, dict) else {})
    return "taken"


ODD = "abk:-{}[]&*!|>'\"# \n\r\t%@`,?~\\\x85\ufeff\u2028é0"


@given(st.text(alphabet=ODD, max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    assert judged(text)
    assert judged(HEAD + text)


@given(st.integers(0, len(KUBEADM)), st.integers(0, 60), st.text(alphabet=ODD, max_size=12))
def test_a_damaged_text_is_read_or_refused_in_words(at: int, cut: int, insert: str) -> None:
    assert judged(KUBEADM[:at] + insert + KUBEADM[at + cut :])


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=6), st.dates(), st.binary()
)
garbage = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(scalars, inner, max_size=3)),
    max_leaves=6,
)
inner_names = st.sampled_from(
    ["scheduler", "syncPeriod", "minSyncPeriod", "excludeCIDRs", "kubeconfig", "bridgeInterface"]
)
sections = st.one_of(garbage, st.dictionaries(inner_names, garbage, max_size=3))


@given(
    st.dictionaries(st.sampled_from([*FIELDS, "mode", "future"]), sections, max_size=5),
    st.sampled_from([None, True, False]),
)
@example({"featureGates": {None: 0}}, None)
def test_any_values_are_read_or_refused_in_words(values: dict[str, t.Any], style: bool | None) -> None:
    document = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", **values}
    assert judged(yaml.safe_dump(document, default_flow_style=style, allow_unicode=True))
