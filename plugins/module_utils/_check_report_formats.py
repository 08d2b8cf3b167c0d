# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a check as JSON, for JUnit's readers and for Prometheus. Pure. Private to this collection.

Sources: C(docs/check-report.schema.json); the JUnit XML that pytest writes (C(_pytest/junitxml.py)) and Jenkins reads
(C(jenkins-junit.xsd) of its xUnit plugin); Prometheus' text format 0.0.4 (its page "Exposition formats").
None of them carries the time, so that the same findings make the same file.
"""

from __future__ import annotations

import json
import typing as t
import xml.etree.ElementTree as ET
from collections import Counter

from ansible_collections.netops.kube_proxy.plugins.module_utils._check_report_model import (
    Modes,
    Node,
    Options,
    groups,
    plain,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import SEVERITIES, Finding

SCHEMA = 1

Samples = t.List[t.Tuple[t.Dict[str, str], int]]
Reader = t.Callable[[Node], Samples]


def as_json(nodes: t.Sequence[Node], options: Options) -> str:
    """Everything, for programs."""
    document = {
        "schema": SCHEMA,
        "fail_on": options.fail_on,
        "services": list(options.services),
        "passed": all(node.passed(options.fail_on) for node in nodes),
        "counts": {severity: sum(node.counts[severity] for node in nodes) for severity in SEVERITIES},
        "groups": [{**_modes(modes), "hosts": [node.host for node in members]} for modes, members in groups(nodes)],
        "nodes": [_json_node(node, options) for node in nodes],
    }
    return json.dumps(document, indent=2) + "\n"


def _modes(modes: Modes | None) -> dict[str, t.Any]:
    names = ("configured_mode", "running_mode", "kernel_modes")
    return dict(zip(names, (modes.configured, modes.running, list(modes.kernel)) if modes else (None, None, None)))


def _json_node(node: Node, options: Options) -> dict[str, t.Any]:
    known, made = node.looked_at, node.connection
    return {
        "host": node.host,
        "node": node.name if known else None,
        "looked_at": known,
        "passed": node.passed(options.fail_on),
        **_modes(node.modes if known else None),
        "checked_mode": node.checked_mode if known else None,
        "service_ports": node.service_ports if known else None,
        "addresses": node.addresses if known else None,
        "settled": node.settled,
        "connection": {**made._asdict(), "answers": not made.problem} if made else None,
        "counts": node.counts,
        "findings": [one._asdict() for one in node.findings],
    }


def as_junit(nodes: t.Sequence[Node], options: Options) -> str:
    """A suite for each node: a test for each finding, and one for the whole comparison and the connection each, which pass
    when nothing is wrong with them."""
    root = ET.Element("testsuites", {"name": "netops.kube_proxy.check"})
    for node in nodes:
        _suite(root, node, options)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    for element in root.iter():
        element.tail = "\n"
        if len(element):
            element.text = "\n"
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode")


def _suite(root: ET.Element, node: Node, options: Options) -> None:
    host = plain(node.host)
    suite = ET.SubElement(root, "testsuite", {"name": host, "hostname": host})
    _properties(suite, node)
    grave = node.grave(options.fail_on)
    seen: Counter[str] = Counter()
    for one in node.findings:
        name = f"{plain(one.kind)} {plain(one.object)}"
        seen[name] += 1
        _case(suite, host, name if seen[name] == 1 else f"{name} #{seen[name]}", one, one in grave)
    if not node.looked_at:
        case = _case(suite, host, "dataplane")
        ET.SubElement(case, "error", {"type": "not_looked_at", "message": "The node could not be looked at."})
    elif not grave:
        _case(suite, host, "dataplane")
    if node.connection and not node.connection.problem:
        _case(suite, host, f"connection TCP {plain(node.connection.where)}")
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for plural, name in (("failures", "failure"), ("errors", "error")):
        suite.set(plural, str(sum(case.find(name) is not None for case in cases)))
    suite.set("skipped", "0")
    suite.set("time", "0")


def _properties(suite: ET.Element, node: Node) -> None:
    if not node.looked_at:
        return
    found = {**_modes(node.modes), "node": node.name, "service_ports": node.service_ports, "addresses": node.addresses}
    properties = ET.SubElement(suite, "properties")
    for name, value in found.items():
        text = " ".join(value) if isinstance(value, list) else "" if value is None else str(value)
        ET.SubElement(properties, "property", {"name": name, "value": plain(text)})


def _case(suite: ET.Element, host: str, name: str, finding: Finding | None = None, failed: bool = False) -> ET.Element:
    # Readers take what stands behind the last dot for the class.
    owner = f"netops.kube_proxy.check.{host.replace('.', '_')}"
    case = ET.SubElement(suite, "testcase", {"classname": owner, "name": name, "time": "0"})
    if finding is None:
        return case
    values = finding._asdict().items()
    told = "\n".join(f"{key}: {plain(value)}" for key, value in values if value)
    if failed:
        message = f"expected {plain(finding.expected)}, seen {plain(finding.actual)}"
        ET.SubElement(case, "failure", {"type": plain(finding.kind), "message": message}).text = told
    else:
        ET.SubElement(case, "system-out").text = told
    return case


def as_prometheus(nodes: t.Sequence[Node], _options: Options) -> str:
    """Gauges, for the textfile collector of node_exporter. A node that nobody could look at has none."""
    known = [node for node in nodes if node.looked_at]
    families: tuple[tuple[str, str, Reader], ...] = (
        ("findings", "Findings of the last check by severity.", _by_severity),
        ("findings_of_kind", "Findings of the last check by kind; what was not found is not there.", _by_kind),
        ("mode_info", "The modes in the ConfigMap, of the running kube-proxy and in the kernel.", _mode_info),
        (
            "service_ports",
            "Service ports that were compared; each family counts.",
            lambda node: [({}, node.service_ports)],
        ),
        ("addresses", "Addresses with a port that the node should serve.", lambda node: [({}, node.addresses)]),
        ("connection_ok", "Whether a connection through a Service was answered.", _connection_ok),
    )
    return "".join(_family(known, *family) for family in families)


def _family(nodes: t.Iterable[Node], name: str, words: str, read: Reader) -> str:
    full = f"netops_kube_proxy_{name}"
    samples = [f"{full}{_labels({'node': node.name, **more})} {value}" for node in nodes for more, value in read(node)]
    return "\n".join([f"# HELP {full} {words}", f"# TYPE {full} gauge", *samples, ""])


def _labels(labels: t.Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return plain(value).replace("\\", "\\\\").replace('"', '\\"')


def _by_severity(node: Node) -> Samples:
    return [({"severity": severity}, count) for severity, count in node.counts.items()]


def _by_kind(node: Node) -> Samples:
    found = Counter((one.severity, one.kind) for one in node.findings)
    return [({"severity": severity, "kind": kind}, count) for (severity, kind), count in found.items()]


def _mode_info(node: Node) -> Samples:
    modes = node.modes
    kernel = "+".join(modes.kernel) or "none"
    return [({"configured": modes.configured or "empty", "running": modes.running or "unknown", "kernel": kernel}, 1)]


def _connection_ok(node: Node) -> Samples:
    return [({}, int(not node.connection.problem))] if node.connection else []
