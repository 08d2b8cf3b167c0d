# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of playbooks/check.yml with all its files, read by others than the collection: JSON by its schema, JUnit XML by Python's
parser, metrics by Prometheus' own."""

from __future__ import annotations

import json
import typing as t
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import jsonschema
from prometheus_client.parser import text_string_to_metric_families

from tests.labkit import ROOT, Run, as_typed
from tests.labkit.cluster import Cluster

Object = dict[str, t.Any]
Sample = tuple[str, tuple[tuple[str, str], ...]]
CHECK = "playbooks/check.yml"
METRICS = "/run/check.prom"
ORDER = ("info", "warning", "error")
_VALIDATOR = jsonschema.Draft202012Validator(
    json.loads((ROOT / "docs" / "check-report.schema.json").read_text("utf-8"))
)


@dataclass(frozen=True)
class Reports:
    run: Run
    report: Object

    def node(self, host: str) -> Object:
        """What the JSON file says of a host."""
        found: Object = next(one for one in self.report["nodes"] if one["host"] == host)
        return found

    def kinds(self, host: str) -> set[str]:
        return {one["kind"] for one in self.node(host)["findings"]}

    @property
    def groups(self) -> list[tuple[t.Any, ...]]:
        """Modes and hosts of each group."""
        keys = ("configured_mode", "running_mode", "kernel_modes", "hosts")
        return [tuple(one[key] for key in keys) for one in self.report["groups"]]


def check(cluster: Cluster, folder: Path, limit: t.Sequence[str] = (), **variables: t.Any) -> Reports:
    """Run the check and hold its files against each other: all say the same of the same findings."""
    kept, suites = folder / "report.json", folder / "report.xml"
    arguments = ["--limit", ",".join(limit)] if limit else []
    files: Object = {
        "check_json_file": as_typed(kept),
        "check_junit_file": as_typed(suites),
        "check_prometheus_file": METRICS,
    }
    run = cluster.lab.playbook(CHECK, arguments=arguments, **files, **variables)
    report: Object = json.loads(kept.read_text(encoding="utf-8"))
    _VALIDATOR.validate(report)
    hosts = list(limit or cluster.names)
    assert [one["host"] for one in report["nodes"]] == hosts
    assert report["counts"] == {
        severity: sum(one["counts"][severity] for one in report["nodes"]) for severity in report["counts"]
    }
    failed = [one["host"] for one in report["nodes"] if not one["passed"]]
    assert (run.rc == 0, report["passed"]) == (not failed, not failed), run.output
    assert sorted(one.host for one in run.results if one.status == "failed") == sorted(failed)
    _suites_agree(ET.parse(suites).getroot(), report)
    for name in hosts:
        _metrics_agree(
            cluster.lab.node(name).run(f"cat {METRICS}"), next(n for n in report["nodes"] if n["host"] == name)
        )
    return Reports(run, report)


def _suites_agree(root: ET.Element, report: Object) -> None:
    """A test for each finding; one more for the comparison where nothing failed, and one for a connection that was made."""
    grave = set(ORDER[ORDER.index(report["fail_on"]) :])
    assert (root.tag, [suite.get("name") for suite in root]) == ("testsuites", [n["host"] for n in report["nodes"]])
    for suite, node in zip(root, report["nodes"], strict=True):
        cases = suite.findall("testcase")
        failures = suite.findall("testcase/failure")
        severe = [one for one in node["findings"] if one["severity"] in grave]
        assert [one.get("type") for one in failures] == [one["kind"] for one in severe]
        assert len(cases) == len(node["findings"]) + (not severe) + node["connection"]["answers"]
        assert (suite.get("tests"), suite.get("failures")) == (str(len(cases)), str(len(failures)))
        assert len({case.get("name") for case in cases}) == len(cases)
    assert root.get("tests") == str(len(root.findall("testsuite/testcase")))
    assert root.get("failures") == str(len(root.findall("testsuite/testcase/failure")))


def _metrics_agree(text: str, node: Object) -> None:
    told = {
        (sample.name.removeprefix("netops_kube_proxy_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    expected: dict[Sample, float] = {
        _sample("findings", node, severity=severity): count for severity, count in node["counts"].items()
    }
    for (severity, kind), count in Counter((one["severity"], one["kind"]) for one in node["findings"]).items():
        expected[_sample("findings_of_kind", node, severity=severity, kind=kind)] = count
    modes = {"configured": node["configured_mode"] or "empty", "running": node["running_mode"] or "unknown"}
    expected[_sample("mode_info", node, **modes, kernel="+".join(node["kernel_modes"]) or "none")] = 1
    expected[_sample("service_ports", node)] = node["service_ports"]
    expected[_sample("addresses", node)] = node["addresses"]
    expected[_sample("connection_ok", node)] = node["connection"]["answers"]
    assert told == expected


def _sample(name: str, node: Object, **labels: str) -> Sample:
    return name, tuple(sorted({"node": node["node"], **labels}.items()))
