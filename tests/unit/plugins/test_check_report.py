# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of the role check: what people read, and that others' parsers read the rest, whatever is in it.

JSON is held against C(docs/check-report.schema.json), metrics against Prometheus' own parser, JUnit XML against the elements and
attributes of C(jenkins-junit.xsd), which Jenkins' xUnit plugin validates with.
"""

from __future__ import annotations

import json
import re
import typing as t
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from ansible_collections.netops.kube_proxy.plugins.filter.dataplane_report import FilterModule, dataplane_report
from ansible_collections.netops.kube_proxy.plugins.module_utils._check_report_model import plain, read_nodes
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import SEVERITIES, Finding

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "check-report.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

VIP = {
    "severity": "error",
    "kind": "vip_missing",
    "object": "TCP 10.96.0.10:80",
    "service": "default/web:http",
    "expected": "sent to 10.244.1.2:8080",
    "actual": "nothing is programmed for it",
    "evidence": "ipvsadm -Ln -t 10.96.0.10:80",
    "cause": "Something removed it.",
    "remedy": "Delete the node's kube-proxy pod.",
}
CALENDAR = {
    "severity": "warning",
    "kind": "release_calendar",
    "object": "ipvs mode",
    "service": "",
    "expected": "a mode that stays",
    "actual": "it goes",
    "evidence": "",
    "cause": "",
    "remedy": "",
}
UNREAD = {**CALENDAR, "severity": "info", "kind": "unread", "object": "ipsets"}
SKIPPED = {"changed": False, "skipped": True, "skip_reason": "Conditional result was False"}
ANSWERED = {"address": "10.96.0.1", "port": 443, "problem": ""}
Result = dict[str, t.Any]


def look(node: str, *findings: t.Mapping[str, str], running: str | None = "ipvs", **more: t.Any) -> Result:
    """What the module returns for a look, or a second one."""
    return {
        "changed": False,
        "node": node,
        "configured_mode": "ipvs",
        "running_mode": running,
        "kernel_modes": ["ipvs"],
        "checked_mode": "ipvs",
        "service_ports": 12,
        "addresses": 31,
        "findings": list(findings),
        "counts": {},
        "suspects": "x" if findings else "",
        "settled": None,
        **more,
    }


def result(host: str, *looks: Result, **more: t.Any) -> Result:
    """What the role keeps of a host."""
    return {"host": host, "looks": list(looks), "connection": ANSWERED, **more}


def healthy(host: str) -> Result:
    return result(host, look(host), SKIPPED, SKIPPED)


def lines(*results: Result, **options: t.Any) -> list[str]:
    return t.cast("list[str]", dataplane_report(list(results), "lines", **options))


def parsed(*results: Result, **options: t.Any) -> dict[str, t.Any]:
    document = json.loads(t.cast("str", dataplane_report(list(results), "json", **options)))
    VALIDATOR.validate(document)
    return t.cast("dict[str, t.Any]", document)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_healthy_nodes_are_a_table_and_a_sentence() -> None:
    assert lines(healthy("cp1"), healthy("worker1")) == [
        "NODE     CONFIGURED  RUNNING  KERNEL  SERVICE-PORTS  CONNECTION  ERRORS  WARNINGS  INFOS",
        "cp1      ipvs        ipvs     ipvs    12             answers     0       0         0",
        "worker1  ipvs        ipvs     ipvs    12             answers     0       0         0",
        "PASSED on 2 nodes: no findings.",
    ]


def test_a_finding_is_told_once_with_all_nodes_that_have_it() -> None:
    told = lines(result("cp1", look("cp1", CALENDAR)), result("w1", look("w1.example.org", VIP, CALENDAR)))
    assert told[3:] == [
        "ERROR vip_missing TCP 10.96.0.10:80 (default/web:http) on w1 (node w1.example.org)",
        "  expected: sent to 10.244.1.2:8080",
        "  actual: nothing is programmed for it",
        "  evidence: ipvsadm -Ln -t 10.96.0.10:80",
        "  cause: Something removed it.",
        "  remedy: Delete the node's kube-proxy pod.",
        "WARNING release_calendar ipvs mode on cp1, w1 (node w1.example.org)",
        "  expected: a mode that stays",
        "  actual: it goes",
        "FAILED on 1 of 2 nodes (findings of severity error): w1 (node w1.example.org)",
    ]


def test_nodes_that_differ_are_grouped_the_most_first() -> None:
    odd = result("cp1", look("cp1", running="iptables", configured_mode="", kernel_modes=["iptables", "ipvs"]))
    silent = result("w3", look("w3", running=None, kernel_modes=[]))
    told = lines(odd, healthy("w1"), healthy("w2"), silent)
    assert [line.split()[0] for line in told[1:5]] == ["w1", "w2", "cp1", "w3"]
    assert told[3].split() == ["cp1", "(empty)", "iptables", "iptables+ipvs", "12", "answers", "0", "0", "0"]
    assert told[4].split()[1:4] == ["ipvs", "silent", "none"]
    assert told[5].startswith("Mixed modes: ")
    assert told[6:9] == [
        "2 nodes with ipvs configured, ipvs running, ipvs in the kernel: w1, w2",
        "1 node with (empty) configured, iptables running, iptables+ipvs in the kernel: cp1",
        "1 node with ipvs configured, kube-proxy silent, none in the kernel: w3",
    ]


def test_a_row_of_the_table_has_no_place_where_ansible_would_break_it() -> None:
    """PyYAML folds long lines at single blanks."""
    far = result("w" * 60, look("w" * 60, running=None), connection=None)
    assert [row for row in lines(far)[:2] if re.search(r"\S \S", row)] == []


def test_a_node_that_nobody_could_look_at_never_passes() -> None:
    gone = {"host": "worker-that-is-gone", "looks": []}
    told = lines(healthy("cp1"), gone)
    assert told[2] == "worker-that-is-gone  not looked at (its error stands above)"
    assert told[-1] == "FAILED on 1 of 2 nodes (findings of severity error, or not looked at): worker-that-is-gone"
    assert dataplane_report([gone], "failures") == ["worker-that-is-gone was not looked at."]
    document = parsed(healthy("cp1"), gone)
    assert document["passed"] is False
    assert [node["looked_at"] for node in document["nodes"]] == [True, False]


def test_only_so_many_findings_of_a_node_are_shown() -> None:
    many = [{**VIP, "object": f"TCP 10.96.0.{number}:80"} for number in range(25)]
    shown = lines(result("w1", look("w1", *many)), limit=20)
    assert sum(line.startswith("ERROR") for line in shown) == 20
    assert "and 5 more on w1: set check_json_file to have the full list" in shown
    shown = lines(result("w1", look("w1", *many)), limit=20, full_list="/srv/check.json")
    assert "and 5 more on w1: the full list is in /srv/check.json" in shown
    assert len(parsed(result("w1", look("w1", *many)))["nodes"][0]["findings"]) == 25


def test_the_last_step_that_was_taken_decides() -> None:
    """A later step leaves out what was a delay."""
    second = look("w1", VIP, CALENDAR, settled=False)
    third = look("w1", CALENDAR, settled=True, service_ports=13)
    (node,) = parsed(result("w1", look("w1", VIP, UNREAD, CALENDAR), second, third))["nodes"]
    assert [one["kind"] for one in node["findings"]] == ["release_calendar"]
    assert (node["running_mode"], node["service_ports"], node["settled"]) == ("ipvs", 13, True)
    (node,) = parsed(result("w1", look("w1", VIP), look("w1", running=None), SKIPPED))["nodes"]
    assert (node["findings"], node["running_mode"]) == ([], None)


def test_findings_of_a_kube_proxy_that_had_not_caught_up_may_be_a_delay() -> None:
    late = result("w1", look("w1", VIP), look("w1", VIP, settled=False))
    assert any("had not caught up" in line and "w1 may be a delay" in line for line in lines(late))
    assert not any("caught up" in line for line in lines(result("w1", look("w1", VIP), look("w1", settled=False))))


@pytest.mark.parametrize(
    ("fail_on", "failing", "words"),
    [
        ("error", ["w2"], "w2 has 1 finding of severity error: 1 vip_missing. vip_missing TCP 10.96.0.10:80 "),
        (
            "warning",
            ["w1", "w2"],
            "w2 has 2 findings of severity warning or worse: 1 vip_missing, 1 release_calendar. ",
        ),
        ("info", ["cp1", "w1", "w2"], "w2 has 3 findings: 1 vip_missing, 1 release_calendar, 1 unread. "),
    ],
)
def test_what_fails(fail_on: str, failing: list[str], words: str) -> None:
    results = [
        result("cp1", look("cp1", UNREAD)),
        result("w1", look("w1", CALENDAR)),
        result("w2", look("w2", UNREAD, CALENDAR, VIP)),
        healthy("w3"),
    ]
    told = dataplane_report(results, "failures", fail_on)
    assert [one.split()[0] for one in told] == failing
    assert told[-1].startswith(words)
    document = parsed(*results, fail_on=fail_on)
    assert [node["host"] for node in document["nodes"] if not node["passed"]] == failing
    assert document["passed"] is False
    assert ("FAILED on" in lines(*results, fail_on=fail_on)[-1]) is bool(failing)


def test_the_first_of_each_kind_is_in_the_failure() -> None:
    many = [{**VIP, "object": f"TCP 10.96.0.{number}:80"} for number in range(3)]
    found = dataplane_report([result("w1", look("w1", *many, {**VIP, "kind": "zone_wrong"}))], "failures")
    (told,) = t.cast("list[str]", found)
    assert "3 vip_missing, 1 zone_wrong. " in told
    assert "TCP 10.96.0.0:80" in told
    assert "TCP 10.96.0.1:80" not in told
    assert "zone_wrong TCP 10.96.0.10:80 (default/web:http): expected sent to 10.244.1.2:8080, seen nothing is" in told


def test_a_connection_that_fails_is_a_finding() -> None:
    broken = result("w1", look("w1"), connection={**ANSWERED, "address": "fd00::1", "problem": "Timeout"})
    (node,) = parsed(broken)["nodes"]
    assert [(one["severity"], one["kind"], one["object"]) for one in node["findings"]] == [
        ("error", "connection", "TCP [fd00::1]:443")
    ]
    assert node["connection"] == {"address": "fd00::1", "port": 443, "problem": "Timeout", "answers": False}
    assert lines(broken)[1].split()[5] == "fails"


@pytest.mark.parametrize(
    ("configured", "running", "wanted", "unwanted", "calendar"),
    [
        ("ipvs", "ipvs", "", [], False),
        ("ipvs", "ipvs", "ipvs", [], False),
        ("iptables", "iptables", "ipvs", [("kube-proxy", "iptables"), ("the configured mode", "iptables")], True),
        ("", "iptables", "iptables", [("the configured mode", "empty")], True),
        ("ipvs", "iptables", "ipvs", [("kube-proxy", "iptables")], False),
        # That it does not answer is a finding of the module.
        ("ipvs", None, "ipvs", [], False),
    ],
)
def test_the_wanted_mode(
    configured: str, running: str | None, wanted: str, unwanted: list[tuple[str, str]], calendar: bool
) -> None:
    asked = {"mode": wanted, "releases": [{"severity": "warning", "message": "gone in 1.43"}]}
    seen = result("w1", look("w1", running=running, configured_mode=configured), wanted=asked)
    found = parsed(seen)["nodes"][0]["findings"]
    errors = [one for one in found if one["severity"] == "error"]
    assert {one["kind"] for one in errors} <= {"mode_not_wanted"}
    assert [(one["object"], one["actual"]) for one in errors] == unwanted
    assert [one["actual"] for one in found if one["kind"] == "release_calendar"] == ["gone in 1.43"] * calendar


def test_only_some_services_are_named() -> None:
    assert "Only these Services were compared: default/web." in lines(healthy("w1"), services=["default/web"])
    assert parsed(healthy("w1"), services=["default/web"])["services"] == ["default/web"]


def test_groups_in_json() -> None:
    odd = result("w2", look("w2", running=None, kernel_modes=[]))
    assert parsed(odd, healthy("cp1"), healthy("w1"))["groups"] == [
        {"configured_mode": "ipvs", "running_mode": "ipvs", "kernel_modes": ["ipvs"], "hosts": ["cp1", "w1"]},
        {"configured_mode": "ipvs", "running_mode": None, "kernel_modes": [], "hosts": ["w2"]},
    ]


# jenkins-junit.xsd: which attributes an element needs and may have, and which elements may be inside.
JUNIT: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name"},
        set("tests failures errors time disabled skipped timestamp hostname id package".split()),
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": (
        {"name", "classname"},
        {"assertions", "time", "status"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"message", "type"}, set()),
    "error": (set(), {"message", "type"}, set()),
    "system-out": (set(), set(), set()),
}


def junit(*results: Result, **options: t.Any) -> ET.Element:
    text = t.cast("str", dataplane_report(list(results), "junit", **options))
    root = ET.fromstring(text.encode("utf-8"))
    for element in root.iter():
        needed, allowed, inside = JUNIT[element.tag]
        assert needed <= set(element.keys()) <= needed | allowed
        assert {child.tag for child in element} <= inside
        if element.tag == "testsuite":
            cases = element.findall("testcase")
            assert int(element.get("tests", "")) == len(cases)
            assert int(element.get("failures", "")) == sum(case.find("failure") is not None for case in cases)
            assert int(element.get("errors", "")) == sum(case.find("error") is not None for case in cases)
            assert len({case.get("name") for case in cases}) == len(cases)
    return root


def test_junit() -> None:
    twice = {**VIP, "expected": "sent to 10.244.1.3:8080"}
    root = junit(
        healthy("cp1"), result("w1.example.org", look("w1", VIP, twice, CALENDAR)), {"host": "w2", "looks": []}
    )
    assert [suite.get("name") for suite in root] == ["cp1", "w1.example.org", "w2"]
    names = [[case.get("name") for case in suite.iter("testcase")] for suite in root]
    assert names == [
        ["dataplane", "connection TCP 10.96.0.1:443"],
        [
            "vip_missing TCP 10.96.0.10:80",
            "vip_missing TCP 10.96.0.10:80 #2",
            "release_calendar ipvs mode",
            "connection TCP 10.96.0.1:443",
        ],
        ["dataplane"],
    ]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("7", "2", "1")
    failure = root[1].find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "expected sent to 10.244.1.2:8080, seen nothing is programmed for it"
    assert "evidence: ipvsadm -Ln -t 10.96.0.10:80\n" in str(failure.text)
    assert root[1][1].get("classname") == "netops.kube_proxy.check.w1_example_org"


def test_junit_fails_from_the_severity_that_was_asked_for() -> None:
    assert junit(result("w1", look("w1", CALENDAR))).get("failures") == "0"
    assert junit(result("w1", look("w1", CALENDAR)), fail_on="warning").get("failures") == "1"


NAME = r"netops_kube_proxy_[a-z_]+"
LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
METRIC_LINE = re.compile(rf"# HELP {NAME} [^\n]+|# TYPE {NAME} gauge|{NAME}\{{{LABEL}(?:,{LABEL})*\}} [0-9]+")


def metrics(*results: Result) -> dict[str, list[tuple[dict[str, str], float]]]:
    text = t.cast("str", dataplane_report(list(results), "prometheus"))
    assert text.endswith("\n")
    assert [line for line in text[:-1].split("\n") if not METRIC_LINE.fullmatch(line)] == []
    families = list(text_string_to_metric_families(text))
    assert {family.type for family in families} == {"gauge"}
    assert all(family.documentation for family in families)
    return {family.name: [(one.labels, one.value) for one in family.samples] for family in families}


def test_metrics() -> None:
    found = metrics(result("cp1", look("node1", VIP, VIP | {"object": "x"}, CALENDAR)))
    node = {"node": "node1"}
    assert found == {
        "netops_kube_proxy_findings": [
            ({**node, "severity": "error"}, 2),
            ({**node, "severity": "warning"}, 1),
            ({**node, "severity": "info"}, 0),
        ],
        "netops_kube_proxy_findings_of_kind": [
            ({**node, "severity": "error", "kind": "vip_missing"}, 2),
            ({**node, "severity": "warning", "kind": "release_calendar"}, 1),
        ],
        "netops_kube_proxy_mode_info": [({**node, "configured": "ipvs", "running": "ipvs", "kernel": "ipvs"}, 1)],
        "netops_kube_proxy_service_ports": [(node, 12)],
        "netops_kube_proxy_addresses": [(node, 31)],
        "netops_kube_proxy_connection_ok": [(node, 1)],
    }


def test_metrics_of_what_is_not_known() -> None:
    silent = result("w1", look("w1", running=None, configured_mode="", kernel_modes=[]), connection=None)
    found = metrics(silent, {"host": "w2", "looks": []})
    assert found["netops_kube_proxy_mode_info"] == [
        ({"node": "w1", "configured": "empty", "running": "unknown", "kernel": "none"}, 1)
    ]
    assert found["netops_kube_proxy_connection_ok"] == []
    assert {labels["node"] for samples in found.values() for labels, _value in samples} == {"w1"}


ANY_TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(
    ['"', "\\", "\\n", "\n", "]]>", "&<>'", "{}", "\x1b[2J", "\r"]
)
ANY_FINDING = st.fixed_dictionaries(
    {**dict.fromkeys(Finding._fields, ANY_TEXT), "severity": st.sampled_from(SEVERITIES), "kind": ANY_TEXT.filter(bool)}
)


@given(host=ANY_TEXT, name=ANY_TEXT, mode=ANY_TEXT, problem=ANY_TEXT, findings=st.lists(ANY_FINDING, max_size=4))
def test_whatever_is_in_a_finding_every_form_can_be_read(
    host: str, name: str, mode: str, problem: str, findings: list[dict[str, str]]
) -> None:
    seen = look(name, *findings, configured_mode=mode, running=mode, kernel_modes=[mode])
    one = result(host, seen, connection={**ANSWERED, "problem": problem})
    (node,) = parsed(one)["nodes"]
    told = [finding for finding in node["findings"] if finding["kind"] != "connection"]
    assert {tuple(finding.values()) for finding in told} == {
        tuple(finding[field] for field in Finding._fields) for finding in findings if finding["kind"] != "connection"
    }
    (suite,) = junit(one)
    assert suite.get("name") == plain(host)
    assert {case.get("name", "").split(" #")[0] for case in suite.iter("testcase")} >= {
        f"{plain(finding['kind'])} {plain(finding['object'])}".split(" #", maxsplit=1)[0] for finding in findings
    }
    found = metrics(one)
    assert found["netops_kube_proxy_mode_info"][0][0]["configured"] == (plain(mode) if mode else "empty")
    assert {labels["node"] for labels, _value in found["netops_kube_proxy_findings"]} == {plain(name)}
    shown = [*lines(one), *t.cast("list[str]", dataplane_report([one], "failures", "info"))]
    assert [line for line in shown if not line.isprintable()] == []
    for text in (*shown, dataplane_report([one], "json"), dataplane_report([one], "junit")):
        str(text).encode("utf-8")


@pytest.mark.parametrize(
    ("results", "options", "words"),
    [
        ({}, {}, "These are not the results of a check: dict is no list"),
        ([{"looks": []}], {}, "These are not the results of a check: KeyError.*'host' and 'looks'"),
        (["w1"], {}, "These are not the results of a check"),
        ([{"host": "w1", "looks": [{"findings": []}]}], {}, r"KeyError\('node'\)"),
        ([result("w1", look("w1", {**VIP, "severity": "bad"}))], {}, "'bad' is no severity"),
        ([result("w1", look("w1", service_ports="many"))], {}, "many"),
        ([], {"output": "yaml"}, "output must be one of lines, failures, json, junit, prometheus: it is 'yaml'"),
        ([], {"fail_on": "fatal"}, "fail_on must be one of error, warning, info: it is 'fatal'"),
    ],
)
def test_bad_input(results: t.Any, options: dict[str, t.Any], words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        dataplane_report(results, **options)


ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["host", "looks", "connection", "wanted", "findings", "mode", "node"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@given(results=ANY_VALUE, damage=st.dictionaries(st.sampled_from(list(look("w1"))), ANY_VALUE, max_size=2))
def test_whatever_comes_in_is_read_or_refused(results: t.Any, damage: dict[str, t.Any]) -> None:
    for one in (results, [result("w1", {**look("w1", VIP), **damage})]):
        try:
            dataplane_report(one, "lines")
        except AnsibleFilterError:
            continue


def test_a_hundred_nodes_with_many_findings_are_no_work() -> None:
    many = [{**VIP, "object": f"TCP 10.96.{number // 200}.{number % 200}:80"} for number in range(1000)]
    nodes = read_nodes([result(f"w{number}", look(f"w{number}", *many[number:])) for number in range(100)])
    assert sum(node.counts["error"] for node in nodes) == 100 * 1000 - 4950


def test_the_filter_is_found() -> None:
    assert FilterModule().filters() == {"dataplane_report": dataplane_report}
