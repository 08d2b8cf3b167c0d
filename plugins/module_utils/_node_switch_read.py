# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at what decides how a node takes another mode. Nothing is changed or loaded. Private to this collection.

What cannot be read is null, and C(unread) says why. C(nft --version) opens a socket of nfnetlink before it answers
(C(nft_ctx_new) in its C(src/libnftables.c)), which would load that module: it is only run where the kernel has it already.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import BACKENDS, FAMILIES, Location
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_tool import NOT_FOUND, MissingTool
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import NFT_TABLES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status import parse_metrics
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import Endpoint, Get
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_link import (
    read_addresses,
    read_links,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_read import (
    read_nft_base_chains,
    read_nft_sets,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_switch import (
    flushing_places,
    has_nfnetlink,
    parse_cni,
    parse_nft_version,
    parse_settings,
    read_counters,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

CNI = "/etc/cni/net.d"
LIBERAL = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal"
_FAMILIES = {"ip": "ipv4", "ip6": "ipv6", "inet": "inet"}
_WANTS = "/etc/systemd/system"
_UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")

Row = t.Dict[str, t.Any]
Value = t.TypeVar("Value")


class SwitchLook:
    """Reads part by part, and remembers what could not be read.

    :param addresses: reads the index of the device and the address of each
    """

    def __init__(
        self,
        runner: Runner,
        files: Files,
        get: Get,
        addresses: t.Callable[[], list[tuple[int, str]]] = read_addresses,
    ) -> None:
        self._runner = runner
        self._files = files
        self._get = get
        self._addresses = addresses
        self._unread: dict[str, str] = {}

    def facts(self, metrics: Endpoint | None) -> Row:
        """Everything, as the module returns it."""
        processes = dict(self._processes())
        found = {
            "kernel_release": (self._files.text("/proc/sys/kernel/osrelease") or "").strip(),
            "nft": {
                "host": self._try("nft.host", self._host_nft),
                "kube_proxy": self._try("nft.kube_proxy", lambda: self._image_nft(processes)),
                "sets": self._try("nft.sets", self._sets),
            },
            "forward_policies": self._try("forward_policies", self._policies),
            "firewalls": self._try("firewalls", lambda: self._firewalls(processes)),
            "cni": self._try("cni", self._cni),
            "addresses": self._try("addresses", self._links),
            "counters": self._counters(metrics),
            "tcp_be_liberal": self._try("tcp_be_liberal", self._liberal),
        }
        return {**found, "unread": self._unread}

    def _try(self, name: str, read: t.Callable[[], Value]) -> Value | None:
        try:
            return read()
        except KubeProxyError as error:
            self._unread[name] = str(error)
            return None

    def _processes(self) -> t.Iterator[tuple[str, str]]:
        """A process of each name in this network namespace. A node may hold others with nodes of their own in them."""
        own = self._namespace("self")
        for pid in self._files.names("/proc"):
            if pid.isdigit() and self._namespace(pid) == own:
                try:
                    yield (self._files.text(f"/proc/{pid}/comm") or "").strip(), pid
                except KubeProxyError:
                    continue  # It ended while it was looked at.

    def _namespace(self, pid: str) -> str | None:
        try:
            return os.readlink(self._files.path(f"/proc/{pid}/ns/net"))
        except OSError:
            return None

    def _nft_version(self, prefix: t.Sequence[str], whose: str) -> str:
        if not has_nfnetlink(self._files.text("/proc/net/netlink") or ""):
            raise KubeProxyError(f"{whose} was not asked for its version", "that would load the module nfnetlink")
        result = self._runner([*prefix, "nft", "--version"])
        if result.rc == NOT_FOUND:
            raise KubeProxyError(f"{whose} was not found")
        version = parse_nft_version(result.out)
        if result.rc != 0 or version is None:
            raise KubeProxyError(f"{whose} does not tell its version", (result.err or result.out).strip()[:200])
        return version

    def _host_nft(self) -> str:
        return self._nft_version([], "nft of the host")

    def _image_nft(self, processes: t.Mapping[str, str]) -> str:
        pid = processes.get("kube-proxy")
        if pid is None:
            raise KubeProxyError("nft of kube-proxy's image cannot be asked", "no kube-proxy runs on this node")
        return self._nft_version(["chroot", f"/proc/{pid}/root"], "nft of kube-proxy's image")

    def _sets(self) -> list[Row]:
        found = read_nft_sets(self._runner, self._files)
        others = (one for one in found if one[:2] not in NFT_TABLES)
        return [dict(zip(("family", "table", "name"), one)) for one in others]

    def _policies(self) -> list[Row]:
        names = ("backend", "family", "table", "chain", "policy")
        try:
            found = [*self._saved_policies("legacy"), *self._nft_policies()]
        except MissingTool:
            found = [row for backend in BACKENDS for row in self._saved_policies(backend)]
        return [dict(zip(names, row)) for row in found]

    def _saved_policies(self, backend: str) -> t.Iterator[tuple[str, ...]]:
        tables = NodeTables(self._runner, self._files)
        for family in FAMILIES:
            policy = tables.policy(Location(backend, family, "filter"), "FORWARD")
            if policy:
                yield backend, family, "filter", "FORWARD", policy

    def _nft_policies(self) -> t.Iterator[tuple[str, ...]]:
        for family, table, name, chain in read_nft_base_chains(self._runner, self._files):
            if chain.hook == "forward" and family in _FAMILIES:
                # The nft backend of iptables keeps its chains in tables of these names.
                of_iptables = family != "inet" and (table, name) == ("filter", "FORWARD")
                backend = "nft" if of_iptables else "nftables"
                yield backend, _FAMILIES[family], table, name, (chain.policy or "accept").upper()

    def _firewalls(self, processes: t.Mapping[str, str]) -> list[Row]:
        found = (self._firewalld(processes), self._ufw(), self._nftables_service())
        return [one for one in found if one is not None]

    def _firewalld(self, processes: t.Mapping[str, str]) -> Row | None:
        if "firewalld" not in processes:
            return None
        settings = parse_settings(self._files.text("/etc/firewalld/firewalld.conf") or "")
        backend = settings.get("FirewallBackend", "nftables")
        return _firewall(
            "firewalld", backend == "iptables", [f"process {processes['firewalld']}", f"backend {backend}"]
        )

    def _ufw(self) -> Row | None:
        if parse_settings(self._files.text("/etc/ufw/ufw.conf") or "").get("ENABLED", "").lower() != "yes":
            return None
        builtins = parse_settings(self._files.text("/etc/default/ufw") or "").get("MANAGE_BUILTINS", "no").lower()
        return _firewall("ufw", builtins == "yes", ["/etc/ufw/ufw.conf: ENABLED=yes", f"MANAGE_BUILTINS={builtins}"])

    def _nftables_service(self) -> Row | None:
        wanted = [f"{_WANTS}/{name}/nftables.service" for name in self._files.names(_WANTS) if name.endswith(".wants")]
        links = [path for path in wanted if self._files.is_link(path) or self._files.exists(path)]
        if not links:
            return None
        for folder in _UNITS:
            path = f"{folder}/nftables.service"
            unit = self._files.text(path)
            if unit is not None:
                places = flushing_places(path, unit, self._files.text, self._files.names)
                return _firewall("nftables.service", bool(places), [links[0], *places])
        return None

    def _cni(self) -> list[Row]:
        paths = [f"{CNI}/{name}" for name in self._files.names(CNI) if name.endswith((".conf", ".conflist", ".json"))]
        found = {path: parse_cni(path, self._files.text(path) or "") for path in paths}
        wrong = [path for path, network in found.items() if network is None]
        if wrong:
            self._unread["cni"] = f"{', '.join(wrong)} cannot be read as a CNI configuration."
        return [network for network in found.values() if network is not None]

    def _links(self) -> list[Row]:
        return read_links(self._files, self._addresses)

    def _counters(self, metrics: Endpoint | None) -> Row:
        answer = self._get(metrics, "/metrics") if metrics else None
        if answer is None or not answer.ok:
            self._unread["counters"] = f"{answer.problem}." if answer else "kube-proxy's metrics are off."
        return read_counters(parse_metrics(answer.body) if answer and answer.ok else ())

    def _liberal(self) -> bool:
        value = self._files.text(LIBERAL)
        if value is None:
            raise KubeProxyError(f"There is no {LIBERAL}", "nf_conntrack is not in the kernel")
        return value.strip() != "0"


def _firewall(name: str, flushes: bool, seen: t.Sequence[str]) -> Row:
    return {"name": name, "flushes": flushes, "seen": list(seen)}
