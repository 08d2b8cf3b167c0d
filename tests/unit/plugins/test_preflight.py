# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The preflight as a whole: overrides, the report in its forms, the plan, and settings that would keep what counts now."""

from __future__ import annotations

import contextlib
import json
import re
import typing as t
from pathlib import Path

import jsonschema
import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.filter.preflight_matrix import OUTPUTS, preflight_matrix
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_config_schema import leaves
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight import (
    CLUSTER_CHECKS,
    IDS,
    NODE_CHECKS,
    judge,
    read_case,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_model import (
    FAIL,
    OK,
    WARN,
    Verdict,
    join,
    merged,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._preflight_plan import plan_of, predicted_gap
from tests.unit.plugins.preflight_cases import (
    ADDRESSES,
    CONFIG,
    DNS,
    Object,
    api_nodes,
    checks,
    facts,
    info,
    look,
    readings,
    state,
    switch,
)

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA = json.loads((DOCS / "preflight.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FOREIGN = {"address": "203.0.113.9", "port": 6443, "protocol": "tcp", "real_servers": []}
BROKEN = [{"severity": "error", "kind": "vip_missing", "object": "TCP 10.96.0.10:53"}]
MODES = ("iptables", "ipvs", "nftables")


def row(kind: str, name: str, owner: str | None, modes: t.Sequence[str] = (), **more: t.Any) -> Object:
    return {"kind": kind, "name": name, "owner": owner, "modes": list(modes), **more}


ARTIFACTS = [
    row("iptables_chain", "KUBE-SERVICES", "kube-proxy", ["iptables", "ipvs"]),
    row("iptables_chain", "KUBE-SVC-NPX46M4PTMTKRN6Y", "kube-proxy", ["iptables"]),
    row("iptables_chain", "KUBE-SEP-SHRHPIF6JJVVZWAJ", "kube-proxy", ["iptables"]),
    row("iptables_chain", "cali-FORWARD", "Calico"),
    row("iptables_chain", "MINE", "foreign"),
    row("ipset", "cali40all", "Calico"),
    row("virtual_server", "203.0.113.9:6443", "foreign", type="tcp"),
    row("nft_set", "blocked", "foreign"),
]
INVENTORY: Object = {"artifacts": ARTIFACTS, "iptables": {"kube_proxy": ["nft"]}, "unread": []}


def test_every_check_is_in_the_documentation_and_the_other_way_round() -> None:
    text = (DOCS / "preflight.md").read_text("utf-8")
    cluster, nodes = text.split("## Checks of a node")
    assert re.findall(r"^\| `(\w+)` \|", cluster, re.MULTILINE) == list(CLUSTER_CHECKS)
    assert re.findall(r"^\| `(\w+)` \|", nodes, re.MULTILINE) == list(NODE_CHECKS)


def test_ids_are_words_that_can_stay() -> None:
    assert len(set(IDS)) == len(IDS)
    assert all(re.fullmatch(r"[a-z][a-z_]*", one) for one in IDS)


def test_an_override_turns_a_failure_into_a_warning_and_says_so() -> None:
    given_ = readings(node__looks=[look(*BROKEN)])
    assert checks("ipvs", given_)["audit"].status == FAIL
    found = checks("ipvs", given_, override=["audit"])["audit"]
    assert (found.status, found.overridden) == (WARN, True)
    assert found.reason.endswith("(overridden by switch_override)")


@pytest.mark.parametrize("status", [OK, WARN])
def test_an_override_leaves_the_rest_alone(status: str) -> None:
    looks = [look(*([{**BROKEN[0], "severity": "warning"}] if status == WARN else []))]
    given_ = readings(node__looks=looks)
    assert checks("ipvs", given_, override=["audit"])["audit"] == checks("ipvs", given_)["audit"]


def test_an_override_of_no_check_is_refused() -> None:
    with pytest.raises(InvalidInput, match="names no check: auditt"):
        judge(read_case(readings(), "ipvs"), ["audit", "auditt"])


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], (OK, "", "")),
        ([(OK, "a", ""), (WARN, "b", "c"), (OK, "d", "")], (WARN, "b", "c")),
        ([(WARN, "b", "c"), (FAIL, "e", "f"), (FAIL, "g", "f")], (FAIL, "e; g", "f")),
        ([(OK, "a", ""), (OK, "a", "")], (OK, "a", "")),
    ],
)
def test_verdicts_of_one_check(verdicts: list[tuple[str, str, str]], expected: tuple[str, str, str]) -> None:
    assert join(Verdict(*one) for one in verdicts) == expected


def test_settings_are_merged_as_kube_proxy_mode_does() -> None:
    below = {"mode": "ipvs", "ipvs": {"scheduler": "rr", "excludeCIDRs": ["a", "b"]}}
    above = {"ipvs": {"excludeCIDRs": ["c"]}, "conntrack": {"min": 1}}
    assert merged(below, above) == {
        "mode": "ipvs",
        "ipvs": {"scheduler": "rr", "excludeCIDRs": ["c"]},
        "conntrack": {"min": 1},
    }


def test_lines_for_a_cluster_that_can_go() -> None:
    assert preflight_matrix(readings(), "lines", "ipvs")[:9] == [
        "CLUSTER            iptables->ipvs",
        "configuration      ok",
        "configmap_manager  ok",
        "release_calendar   warn",
        "settings_ignored   ok",
        "strict_arp         ok",
        "node_local_dns     ok",
        "node_count         ok",
        "NODE                     cp1  w1",
    ]
    assert preflight_matrix(readings(), "lines", "ipvs")[-1] == "PASSED for ipvs mode (38 ok, 1 warn, 0 fail)."
    assert preflight_matrix(readings(), "failures", "ipvs") == []


def test_the_verdict_says_how_much_is_not_known() -> None:
    lines = preflight_matrix({"cluster": {}, "nodes": [{"host": "a"}]}, "lines", "nftables")
    assert lines[-1] == "PASSED for nftables mode (2 ok, 21 warn, 0 fail; 21 of these not known)."


def test_lines_tell_each_thing_once_the_worst_first() -> None:
    given_ = readings(node__looks=[look(*BROKEN)])
    found = preflight_matrix(given_, "lines", "ipvs")
    assert "audit                    FAIL  ok" in found
    at = found.index("FAIL audit on cp1")
    assert found[at + 1] == "  reason: in iptables mode it is not in order: vip_missing TCP 10.96.0.10:53"
    assert found[at + 2].startswith("  remedy: ")
    assert found.index("WARN release_calendar on the cluster") > at
    assert found[-1].startswith("FAILED for ipvs mode (37 ok, 1 warn, 1 fail): audit. ")
    assert preflight_matrix(given_, "failures", "ipvs") == [
        "cp1 cannot go to ipvs mode: audit: in iptables mode it is not in order: vip_missing TCP 10.96.0.10:53. "
        + found[at + 2].replace("  remedy: ", "")
    ]


def test_a_table_of_many_nodes_has_a_column_for_those_that_are_alike() -> None:
    given_ = readings()
    template = given_["nodes"][1]
    names = [f"n{number}" for number in range(20)]
    given_["nodes"] = [
        {**template, "host": name, "info": info(name), "looks": [look(*(BROKEN if name == "n7" else ()), node=name)]}
        for name in names
    ]
    given_["cluster"]["services"]["nodes"] = api_nodes(**{name: {} for name in names})
    lines = preflight_matrix(given_, "lines", "ipvs")
    head = next(one for one in lines if one.startswith("NODE"))
    # cp1 and w1 run kube-proxy, and are not in the play.
    assert head.split() == ["NODE", "group-1", "n7", "group-3"]
    assert any(one.startswith("group-1 are n0, n1, n2") and one.endswith("and 9 more") for one in lines)
    assert "group-3 are cp1, w1" in lines
    assert not any("  " not in one and one.startswith("audit") for one in lines)


def test_an_overridden_check_is_marked_in_the_table() -> None:
    lines = preflight_matrix(readings(node__looks=[look(*BROKEN)]), "lines", "ipvs", ["audit"])
    assert "audit                    overridden  ok" in lines
    assert lines[-1].startswith("PASSED for ipvs mode")


@pytest.mark.parametrize("target", MODES)
@pytest.mark.parametrize(
    "given_",
    [
        readings(),
        readings(node__looks=[look(*BROKEN)], node__info=info(inventory=INVENTORY, virtual_servers=[FOREIGN])),
        readings(cluster__services={"state": state(CONFIG), "nodes": api_nodes(w9={})}),
        {"cluster": {}, "nodes": []},
        {"cluster": {"plan": None, "services": None, "switch": None}, "nodes": [{"host": "a"}], "run": {"drain": True}},
    ],
)
def test_json_is_what_its_schema_says(given_: Object, target: str) -> None:
    document = json.loads(preflight_matrix(given_, "json", target))
    VALIDATOR.validate(document)
    assert document["passed"] is (document["counts"]["fail"] == 0)
    assert document["proposed_settings"] == preflight_matrix(given_, "settings", target)


def test_the_schema_is_one_and_holds_something() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    document = json.loads(preflight_matrix(readings(), "json", "ipvs"))
    damages: list[Object] = [{"schema": 2}, {"target": "userspace"}, {"counts": {}}, {"nodes": [{}]}, {"passed": "yes"}]
    for damage in damages:
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate({**document, **damage})


def test_nothing_of_a_node_can_break_a_line() -> None:
    given_ = readings(node__looks=[look({"severity": "error", "kind": "x", "object": "a\nb\x1b[31m"})])
    for output in ("lines", "failures", "plan"):
        assert all(line.isprintable() for line in preflight_matrix(given_, output, "ipvs"))


@pytest.mark.parametrize(
    ("mode", "target", "words"),
    [
        ("iptables", "ipvs", "at most 1 of about 1,000"),
        ("ipvs", "iptables", "at most 1 of about 1,000"),
        ("iptables", "nftables", "5 to 6 s"),
        ("nftables", "iptables", "5 to 6 s"),
        ("nftables", "ipvs", "5 to 6 s"),
        ("ipvs", "nftables", "established connections through IPVS end"),
        ("ipvs", "ipvs", "none"),
        ("", "ipvs", "not known"),
    ],
)
def test_the_predicted_gap(mode: str, target: str, words: str) -> None:
    gap = predicted_gap(mode, target)
    assert words in gap
    assert ("predicted" in gap) is (mode not in ("", target))


def test_a_bridge_changes_the_prediction_and_says_where_it_is() -> None:
    assert "no request fails" in predicted_gap("ipvs", "nftables", bridged=True)
    without = readings(node__bridge={"msg": "nft was not found."})
    assert preflight_matrix(readings(), "bridged", "nftables") == ["host-cp1", "host-w1"]
    assert preflight_matrix(without, "bridged", "nftables") == ["host-w1"]
    assert preflight_matrix(readings(run__bridge="off"), "bridged", "nftables") == []
    assert preflight_matrix(readings(), "bridged", "iptables") == []


def test_a_plan_says_what_goes_and_what_stays() -> None:
    given_ = readings(node__info=info(inventory=INVENTORY, virtual_servers=[FOREIGN]), run__bridge="off")
    assert preflight_matrix(given_, "plan", "nftables")[:8] == [
        "PLAN for cp1: iptables -> nftables",
        "  ~ restart kube-proxy",
        "  - remove 3 iptables chains (KUBE-SERVICES, KUBE-SVC-NPX46M4PTMTKRN6Y, KUBE-SEP-SHRHPIF6JJVVZWAJ)",
        "  ! lose virtual server TCP 203.0.113.9:6443",
        "    keep 1 ipsets of Calico",
        "    keep 1 iptables chains of Calico",
        "    keep 1 iptables chains of others",
        "  gap: predicted from measurements: 5 to 6 s without Services",
    ]
    plan = preflight_matrix(given_, "plan", "ipvs")
    assert "  - remove 2 iptables chains (KUBE-SVC-NPX46M4PTMTKRN6Y, KUBE-SEP-SHRHPIF6JJVVZWAJ)" in plan
    covered = {**given_, "run": {"settings": {"ipvs": {"excludeCIDRs": ["203.0.113.0/24"]}}}}
    assert "    keep 1 virtual servers of others" in preflight_matrix(covered, "plan", "ipvs")


def test_a_plan_says_what_it_does_not_know() -> None:
    given_ = readings(node__info={"node_name": "cp1"})
    case = read_case(given_, "nftables")
    assert plan_of(case, case.nodes[0]).unread == (
        "nobody listed what lies in the kernel",
        "nobody read the virtual servers",
    )
    assert plan_of(case, case.nodes[0]).mode == "iptables"


def test_nodes_with_one_plan_share_it() -> None:
    assert preflight_matrix(readings(), "plan", "ipvs")[0] == "PLAN for cp1, w1: iptables -> ipvs"


def services(config: Object, *listed: Object) -> Object:
    written = {**CONFIG, **config}
    return {"state": state(written, listed) if listed else state(written), "nodes": api_nodes()}


@pytest.mark.parametrize(
    ("target", "changes", "expected"),
    [
        ("ipvs", {}, {}),
        ("nftables", {}, {"nodePortAddresses": ["0.0.0.0/0", "::/0"]}),
        ("nftables", {"cluster__services": services({}, DNS)}, {}),
        (
            "nftables",
            {
                "cluster__services": services(
                    {"iptables": {"masqueradeAll": True, "masqueradeBit": 15, "syncPeriod": "1m"}}, DNS
                )
            },
            {"nftables": {"masqueradeAll": True, "masqueradeBit": 15, "syncPeriod": "1m"}},
        ),
        (
            "nftables",
            {
                "cluster__services": services(
                    {"mode": "ipvs", "iptables": {"masqueradeAll": True}, "ipvs": {"syncPeriod": "1m"}}, DNS
                ),
                "run__settings": {"nftables": {"syncPeriod": "1m"}},
            },
            {"nftables": {"masqueradeAll": True}},
        ),
        ("ipvs", {"cluster__services": services({"iptables": {"masqueradeAll": True}})}, {}),
        (
            "iptables",
            {"cluster__services": services({"mode": "nftables", "nftables": {"masqueradeAll": True}})},
            {"iptables": {"masqueradeAll": True}, "nodePortAddresses": ["primary"]},
        ),
        ("nftables", {"cluster__services": services({"nodePortAddresses": ["192.0.2.0/24"]})}, {}),
        (
            "ipvs",
            {
                "cluster__switch": switch(l2_announcers=[{"name": "MetalLB", "seen": "x"}]),
                "node__info": info(virtual_servers=[FOREIGN]),
                "run__settings": {"ipvs": {"excludeCIDRs": ["198.51.100.0/24"]}},
            },
            {"ipvs": {"strictARP": True, "excludeCIDRs": ["198.51.100.0/24", "203.0.113.9/32"]}},
        ),
        (
            "ipvs",
            {"node__facts": facts(counters={"localhost_node_ports_accepted": 0, "invalid_packets_dropped": 9})},
            {"conntrack": {"tcpBeLiberal": True}},
        ),
        ("ipvs", {"cluster__services": {}}, {}),
    ],
)
def test_settings_that_would_keep_what_counts_now(target: str, changes: Object, expected: Object) -> None:
    given_ = readings(**changes)
    found = preflight_matrix(given_, "settings", target)
    assert found == expected
    leaves(found)  # kube_proxy_mode takes them


@pytest.mark.parametrize(
    ("changes", "mode", "expected"),
    [
        ({}, "nftables", [FOREIGN]),
        ({}, "ipvs", [FOREIGN]),
        ({}, "iptables", []),
        ({"run__settings": {"ipvs": {"excludeCIDRs": ["203.0.113.0/24"]}}}, "ipvs", []),
        # Nobody can tell whose they are.
        ({"cluster__services": {}}, "nftables", []),
        # All that the way back and a restore have read.
        ({"cluster__plan": {}, "cluster__switch": {}, "node__modules": {}, "node__looks": []}, "nftables", [FOREIGN]),
    ],
)
def test_the_virtual_servers_that_somebody_would_lose_by_host(
    changes: Object, mode: str, expected: list[Object]
) -> None:
    web = {"address": "10.96.0.20", "port": 80}
    given_ = readings(**{"node__info": info(virtual_servers=[web, FOREIGN]), **changes})
    host = given_["nodes"][0]["host"]
    assert preflight_matrix(given_, "foreign", mode)[host] == expected


@pytest.mark.parametrize("target", ["ipvs", "nftables"])
def test_what_is_proposed_is_enough(target: str) -> None:
    config = {"iptables": {"masqueradeAll": True, "minSyncPeriod": "5s"}}
    counters = {"localhost_node_ports_accepted": 0, "invalid_packets_dropped": 9}
    given_ = readings(
        cluster__services=services(config),
        cluster__switch=switch(l2_announcers=[{"name": "MetalLB", "seen": "x"}]),
        node__facts=facts(counters=counters, kernel_release="5.15.0"),
    )
    given_["run"]["settings"] = preflight_matrix(given_, "settings", target)
    assert preflight_matrix(given_, "settings", target) == {}
    found = checks(target, given_)
    decided = ("settings_ignored", "strict_arp", "invalid_packets", "node_ports")
    assert [found[name].status for name in decided] == [OK] * len(decided)


def test_a_rescue_is_no_failure() -> None:
    """A cluster upgraded to 1.40 in ipvs mode: no kube-proxy runs, and the way to nftables mode is open."""
    given_ = readings(cluster__services=services({"mode": "ipvs"}, DNS), node__looks=[look(*BROKEN)])
    for one in given_["nodes"]:
        one["info"] = info(one["info"]["node_name"], reachable=False, running_mode=None)
        one["facts"] = facts(
            nft={"host": "1.0.6", "kube_proxy": None, "sets": []}, unread={"nft.kube_proxy": "none runs"}
        )
    assert preflight_matrix(given_, "failures", "nftables") == []
    found = checks("nftables", given_)
    assert "rescue" in found["audit"].reason
    assert found["nft_version"].reason == "unknown because none runs"


def test_a_node_is_found_by_its_certificate_not_by_its_host() -> None:
    given_ = readings()
    given_["nodes"][0]["host"] = "w1"
    case = read_case(given_, "ipvs")
    assert [(one.host, one.name) for one in case.nodes] == [("w1", "cp1"), ("host-w1", "w1")]


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ([], "not the readings"),
        ({}, "not the readings"),
        ({"cluster": {}, "nodes": [{}]}, "not the readings"),
        ({"cluster": {"services": {"state": "x"}}, "nodes": []}, "state of a cluster"),
    ],
)
def test_other_input_is_refused(results: t.Any, words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        preflight_matrix(results, "lines", "ipvs")


def test_other_options_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="output must be one of"):
        preflight_matrix(readings(), "yaml", "ipvs")
    with pytest.raises(AnsibleFilterError, match="mode must be one of"):
        preflight_matrix(readings(), "lines", "userspace")
    with pytest.raises(AnsibleFilterError, match="names no check"):
        preflight_matrix(readings(), "lines", "ipvs", ["x"])


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
PATHS = [
    *(("cluster", part) for part in ("plan", "services", "switch")),
    *(("cluster", "switch", part) for part in switch()),
    *(("nodes", 0, part) for part in ("info", "looks", "modules", "facts")),
    *(("nodes", 0, "facts", part) for part in facts()),
    *(("nodes", 0, "info", part) for part in info()),
]


@given(st.sampled_from(PATHS), VALUES, st.sampled_from(MODES), st.sampled_from(sorted(OUTPUTS)))
def test_damaged_readings_are_judged_or_refused(
    path: tuple[t.Any, ...], value: t.Any, target: str, output: str
) -> None:
    damaged = readings()
    place: t.Any = damaged
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with contextlib.suppress(AnsibleFilterError):
        preflight_matrix(damaged, output, target)


def test_ten_thousand_services_take_no_time() -> None:
    many = [
        {
            **DNS,
            "metadata": {"namespace": "a", "name": f"s{number}", "labels": {}},
            "spec": {**DNS["spec"], "clusterIP": "10.96.1.1"},
        }
        for number in range(10_000)
    ]
    given_ = readings(cluster__services={"state": state(CONFIG, many), "nodes": api_nodes()})
    assert preflight_matrix(given_, "failures", "nftables") == []
    assert ADDRESSES["cp1"] in json.dumps(given_["nodes"][0]["facts"])
