# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes a snapshot of a node. Nothing is changed or loaded. Private to this collection.

What cannot be read is told and left out: a snapshot that lacks a part is better than none, and the caller decides.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace
from functools import partial

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import is_iptables_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_read import Look
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_read import read_ipsets
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import BACKENDS, FAMILIES
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import NOT_FOUND
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import read_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import render
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_parse import parse_proc_modules
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status import parse_mode
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import Endpoint, Get, get
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_read import read_node_name
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_read import read_nft_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_foreign import (
    Present,
    foreign_objects,
    taken_apart,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._snapshot_model import SYSCTLS, Side, Snapshot

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import VirtualServer
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

Value = t.TypeVar("Value")


class Edges(t.NamedTuple):
    """What is asked beside the node's files and commands."""

    ask: Get = get
    servers: t.Callable[[], tuple[VirtualServer, ...]] = read_virtual_servers
    look: t.Callable[[Runner, Files], Look] = Look
    sets: t.Callable[[Files, bool], tuple[IpSetState, ...]] = read_ipsets


class Camera:
    """Looks at the node part by part, and remembers what could not be read."""

    def __init__(self, runner: Runner, files: Files, edges: Edges | None = None) -> None:
        self._runner = runner
        self._files = files
        self._edges = edges or Edges()
        self._unread: dict[str, None] = {}

    def take(self, metrics: Endpoint | None, node_ports: range | None) -> Present:
        """Everything."""
        self._unread.clear()
        servers = self._try(self._edges.servers) or ()
        readings = self._edges.look(self._runner, self._files).outline(servers)
        self._unread.update(dict.fromkeys(map(_line, readings.unread)))
        iptables = dict(self._iptables())
        ipsets, whole = self._try(self._ipsets) or ("", False)
        device = readings.device
        snapshot = Snapshot(
            node=self._try(partial(read_node_name, self._files)),
            taken_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            kernel=(self._files.text("/proc/sys/kernel/osrelease") or "").strip(),
            running_mode=self._running_mode(metrics),
            iptables=iptables,
            nft=dict(self._nft(readings.nft_tables, iptables)),
            ipvs=render({server.key: server for server in servers}),
            ipsets=ipsets,
            whole_ipsets=whole,
            addresses=tuple(sorted(device.addresses)) if device else (),
            sysctls=dict(self._sysctls()),
            modules=tuple(sorted(parse_proc_modules(self._files.text("/proc/modules") or ""))),
        )
        seen = taken_apart(snapshot)
        foreign, odd = foreign_objects(readings, seen, node_ports)
        unread = (*self._unread, *map(_line, seen.broken.values()), *map(_line, odd))
        return Present(
            replace(snapshot, foreign=foreign, unread=tuple(dict.fromkeys(unread))),
            seen,
            frozenset(server.key for server in servers),
            frozenset(one.name for one in readings.ipsets),
            frozenset(readings.nft_tables),
            tuple(self._unread),
        )

    def _try(self, read: t.Callable[[], Value]) -> Value | None:
        try:
            return read()
        except KubeProxyError as error:
            self._unread[_line(str(error))] = None
            return None

    def _running_mode(self, metrics: Endpoint | None) -> str | None:
        answer = self._edges.ask(metrics, "/proxyMode") if metrics else None
        return parse_mode(answer.body) if answer and answer.ok else None

    def _iptables(self) -> t.Iterator[tuple[Side, str]]:
        tables = NodeTables(self._runner, self._files)
        for backend in BACKENDS:
            for family in FAMILIES:
                text = self._try(partial(tables.text, backend, family))
                if text:
                    yield (backend, family), _readable(text)

    def _nft(self, names: t.Iterable[Side], iptables: t.Mapping[Side, str]) -> t.Iterator[tuple[Side, str]]:
        """Tables of nftables, and those of iptables-nft that iptables-nft-save cannot show."""
        families = {"ip": iptables.get(("nft", "ipv4"), ""), "ip6": iptables.get(("nft", "ipv6"), "")}
        for family, name in names:
            hidden = f"# Table `{name}' is incompatible" in families.get(family, "")
            if hidden or not is_iptables_table(family, name):
                text = self._try(partial(read_nft_text, self._runner, family, name))
                if text:
                    yield (family, name), _readable(text)

    def _ipsets(self) -> tuple[str, bool]:
        found = self._edges.sets(self._files, False)
        if not found:
            return "", True
        result = self._runner(["ipset", "save"])
        if result.rc == NOT_FOUND:
            return "".join(map(_set_text, self._edges.sets(self._files, True))), False
        if result.rc != 0:
            raise KubeProxyError(
                "The ipsets cannot be read", f"ipset save ended with {result.rc}: {result.err.strip()}"
            )
        return _readable(result.out), True

    def _sysctls(self) -> t.Iterator[tuple[str, str]]:
        for name in SYSCTLS:
            value = self._try(partial(self._files.text, "/proc/sys/" + name.replace(".", "/")))
            if value is not None and value.strip().isdigit():
                yield name, value.strip()


def _set_text(one: IpSetState) -> str:
    family = {"ipv4": " family inet", "ipv6": " family inet6"}.get(one.family, "")
    return f"create {one.name} {one.type}{family}\n" + "".join(f"add {one.name} {x}\n" for x in one.members or ())


def _readable(text: str) -> str:
    """Bytes that are no UTF-8, which JSON does not carry, as their numbers."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _line(text: str) -> str:
    return " ".join(_readable(text).split())
