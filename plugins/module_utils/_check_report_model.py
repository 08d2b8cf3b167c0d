# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a check of several nodes found, as one value: the input of every form of its report. Pure. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import (
    ERROR,
    SEVERITIES,
    Finding,
    worst_first,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port

Object = t.Mapping[str, t.Any]

_REMEDY = "Hand over a list of mappings with 'host' and 'looks', the results of service_dataplane_info for that host."


class Modes(t.NamedTuple):
    """What nodes are alike in, or not: the mode in the ConfigMap, the one that runs, those that the kernel has objects of."""

    configured: str
    running: str | None
    kernel: tuple[str, ...]


class Connection(t.NamedTuple):
    """One real connection through a Service. C(problem) is empty when it was answered."""

    address: str
    port: int
    problem: str

    @property
    def where(self) -> str:
        """Address and port."""
        return join_host_port(self.address, self.port)


_UNKNOWN = Modes("", None, ())


@dataclass(frozen=True)
class Node:
    """One node.

    :param host: its name in the inventory
    :param name: its name in the API; empty where nobody could look
    :param looked_at: whether there is a result at all: without one nothing is known, which is no pass
    :param settled: whether kube-proxy had caught up; None where nobody waited, or it does not tell
    """

    host: str
    looked_at: bool = False
    name: str = ""
    modes: Modes = _UNKNOWN
    checked_mode: str = ""
    service_ports: int = 0
    addresses: int = 0
    settled: bool | None = None
    connection: Connection | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def shown(self) -> str:
        """The host, and its name in the API where that is another one."""
        return self.host if self.name in ("", self.host) else f"{self.host} (node {self.name})"

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each severity."""
        return {severity: sum(one.severity == severity for one in self.findings) for severity in SEVERITIES}

    def grave(self, fail_on: str) -> tuple[Finding, ...]:
        """The findings that are at least as bad as C(fail_on)."""
        limit = SEVERITIES.index(fail_on)
        return tuple(one for one in self.findings if SEVERITIES.index(one.severity) <= limit)

    def passed(self, fail_on: str) -> bool:
        """Whether somebody looked, and found nothing as bad as C(fail_on)."""
        return self.looked_at and not self.grave(fail_on)


@dataclass(frozen=True)
class Options:
    """How the report is made.

    :param fail_on: the severity from which on a finding is a failure
    :param services: the only Services that were compared; empty: all
    :param limit: how many findings of a node are shown in words
    :param full_list: where all of them are
    """

    fail_on: str = ERROR
    services: tuple[str, ...] = ()
    limit: int = 20
    full_list: str = ""


def read_nodes(results: t.Any) -> list[Node]:
    """What the role hands over, as values.

    :raises InvalidInput: when it is something else
    """
    if not isinstance(results, (list, tuple)):
        raise InvalidInput("These are not the results of a check", f"{type(results).__name__} is no list", _REMEDY)
    try:
        return [_node(one) for one in results]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput("These are not the results of a check", repr(error), _REMEDY) from error


def groups(nodes: t.Iterable[Node]) -> list[tuple[Modes, list[Node]]]:
    """The nodes that were looked at by what they are alike in, the most first."""
    found: dict[Modes, list[Node]] = {}
    for node in nodes:
        if node.looked_at:
            found.setdefault(node.modes, []).append(node)
    return sorted(found.items(), key=lambda item: -len(item[1]))


def plain(text: str) -> str:
    """A text on one line, without what a terminal or a parser would take for something else."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in " ".join(text.split()))


def named(names: t.Sequence[str], limit: int = 10) -> str:
    """Names in a row, not too many."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def _node(result: Object) -> Node:
    host = str(result["host"])
    looks = [one for one in result["looks"] if "findings" in one]
    if not looks:
        return Node(host)
    last = looks[-1]
    running = last.get("running_mode")
    node = Node(
        host=host,
        looked_at=True,
        name=str(last["node"]),
        modes=Modes(
            str(last["configured_mode"]),
            None if running is None else str(running),
            tuple(map(str, last["kernel_modes"])),
        ),
        checked_mode=str(last["checked_mode"]),
        service_ports=int(last["service_ports"]),
        addresses=int(last["addresses"]),
        settled=last.get("settled"),
        connection=_connection(result.get("connection")),
    )
    found = [_finding(one) for one in last["findings"]]
    return _with_findings(node, [*found, *_unwanted(node, result.get("wanted") or {}), *_unanswered(node)])


def _with_findings(node: Node, findings: t.Iterable[Finding]) -> Node:
    return Node(**{**vars(node), "findings": tuple(worst_first(findings))})


def _finding(row: Object) -> Finding:
    finding = Finding(*(str(row.get(name) or "") for name in Finding._fields))
    if finding.severity not in SEVERITIES:
        raise ValueError(f"{finding.severity!r} is no severity")
    return finding


def _connection(made: Object | None) -> Connection | None:
    return Connection(str(made["address"]), int(made["port"]), str(made.get("problem") or "")) if made else None


def _unwanted(node: Node, wanted: Object) -> t.Iterator[Finding]:
    """What separates the node from the mode that the caller wants it to be in, and what the calendar says about that mode."""
    mode = str(wanted.get("mode") or "")
    if not mode:
        return
    remedy = f"Run the playbook netops.kube_proxy.switch_to_{mode}."
    seen = {"the configured mode": node.modes.configured, "kube-proxy": node.modes.running}
    commands = {
        "the configured mode": "kubectl -n kube-system get configmap kube-proxy -o yaml",
        "kube-proxy": "curl -s http://127.0.0.1:10249/proxyMode",
    }
    for what, actual in seen.items():
        if actual not in (mode, None):
            shown = actual or "empty"
            cause = "The mode that was asked for (check_wanted_mode) is another one."
            yield Finding(ERROR, "mode_not_wanted", what, "", mode, shown, commands[what], cause, remedy)
    if node.modes.configured != mode:
        for one in wanted.get("releases") or ():
            expected = "a mode that this release and the next ones have"
            cause = "Kubernetes' plan for the modes of kube-proxy."
            kind, about = "release_calendar", f"{mode} mode"
            yield Finding(str(one["severity"]), kind, about, "", expected, str(one["message"]), "", cause)


def _unanswered(node: Node) -> t.Iterator[Finding]:
    made = node.connection
    if made and made.problem:
        yield Finding(
            ERROR,
            "connection",
            f"TCP {made.where}",
            service="default/kubernetes:https",
            expected="a connection through the Service is answered",
            actual=made.problem,
            evidence=f"curl -k https://{made.where}/livez",
            cause="Something that the other findings name; without any, what lies between this node and the API server, or the API "
            "server itself.",
            remedy="See to the other findings of this node first, then connect to the API server's own address from there.",
        )
