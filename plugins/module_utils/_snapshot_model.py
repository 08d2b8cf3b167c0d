# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot of a node as a value, and as what a file can hold. Pure. Private to this collection.

Sources of the sysctls: C(sysctl...) in pkg/proxy/ipvs/proxier.go and pkg/proxy/iptables/proxier.go, C(setSysctls) in
pkg/proxy/conntrack/sysctls.go of release 1.37; the last line is what the role C(node) sets.
"""

from __future__ import annotations

import base64
import typing as t
import zlib
from dataclasses import dataclass, field

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import BACKENDS, FAMILIES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import MODES

FORMAT = 1

# Writing ip_forward sets others back to their defaults (C(inet_forward_change) in net/ipv4/devinet.c), so it is the first.
SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.vs.conn_reuse_mode",
    "net.ipv4.vs.conntrack",
    "net.ipv4.vs.expire_nodest_conn",
    "net.ipv4.vs.expire_quiescent_template",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_udp_timeout",
    "net.netfilter.nf_conntrack_udp_timeout_stream",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-iptables",
)

#: A text above this many characters is kept compressed: 20,000 chains are 10 MB.
READABLE = 256 << 10
_LARGEST = 256 << 20
_PACKED = "zlib+base64"

Side = t.Tuple[str, str]
"""Backend and family of iptables, or family and name of a table of nftables."""


class Foreign(t.NamedTuple):
    """Something that is neither kube-proxy's nor that of a program that makes it anew by itself.

    :param kind: C(iptables_chain), C(iptables_rule), C(ipset), C(nft_table) or C(virtual_server)
    :param name: of a rule the built-in chain that it stands in; of a virtual server as people write it
    :param owner: None when the node alone does not tell
    :param family: C(ipv4) or C(ipv6), of a table of nftables its own word
    :param definition: a virtual server as C(ipvs_virtual_server) takes it
    """

    kind: str
    name: str
    owner: str | None
    family: str = ""
    backend: str = ""
    table: str = ""
    rule: str = ""
    definition: t.Mapping[str, t.Any] | None = None

    def row(self) -> dict[str, t.Any]:
        """As a return value and in a file: what it does not have is left out."""
        values = self._asdict()
        return {key: value for key, value in values.items() if value or key == "owner"}


@dataclass(frozen=True)
class Snapshot:
    """What one look at a node brought, in the forms of its own tools.

    :param node: the name of the Node object; None on a machine without a kubelet
    :param iptables: by backend and family what iptables-save printed
    :param nft: by family and name each table of nftables, those of iptables-nft left out, as C(nft list table) prints it
    :param ipvs: as C(ipvsadm -Sn) prints it
    :param ipsets: as C(ipset save) prints it
    :param whole_ipsets: whether C(ipset) itself printed them; without it their options are missing
    :param addresses: those of kube-ipvs0
    """

    node: str | None
    taken_at: str
    kernel: str
    running_mode: str | None = None
    iptables: t.Mapping[Side, str] = field(default_factory=dict)
    nft: t.Mapping[Side, str] = field(default_factory=dict)
    ipvs: str = ""
    ipsets: str = ""
    whole_ipsets: bool = True
    addresses: tuple[str, ...] = ()
    sysctls: t.Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    unread: tuple[str, ...] = ()

    def as_value(self) -> dict[str, t.Any]:
        """For a file: mappings, lists and texts."""
        return {
            "format": FORMAT,
            "node": self.node,
            "taken_at": self.taken_at,
            "kernel": self.kernel,
            "running_mode": self.running_mode,
            "iptables": [
                {"backend": side[0], "family": side[1], "text": _held(x)} for side, x in self.iptables.items()
            ],
            "nft": [{"family": side[0], "name": side[1], "text": _held(x)} for side, x in self.nft.items()],
            "ipvs": _held(self.ipvs),
            "ipsets": _held(self.ipsets),
            "whole_ipsets": self.whole_ipsets,
            "addresses": list(self.addresses),
            "sysctls": dict(self.sysctls),
            "modules": list(self.modules),
            "foreign": [one.row() for one in self.foreign],
            "unread": list(self.unread),
        }


def snapshot_of(value: t.Any) -> Snapshot:
    """What C(Snapshot.as_value) made of one.

    :raises InvalidInput: for anything else; nothing in a file is believed to be what it should be
    """
    check_format(value, "a node")
    running_mode = _optional(value, "running_mode")
    if running_mode not in (None, *MODES):
        raise wrong("running_mode", running_mode)
    return Snapshot(
        _optional(value, "node"),
        _word(value, "taken_at"),
        _word(value, "kernel"),
        running_mode,
        dict(_iptables(row) for row in _rows(value, "iptables")),
        {(_word(row, "family"), _word(row, "name")): _text(row, "text") for row in _rows(value, "nft")},
        _text(value, "ipvs"),
        _text(value, "ipsets"),
        value.get("whole_ipsets") is True,
        _words(value, "addresses"),
        _sysctls(value.get("sysctls")),
        _words(value, "modules"),
        tuple(_foreign(row) for row in _rows(value, "foreign")),
        _words(value, "unread"),
    )


def check_format(value: t.Any, what: str) -> None:
    """Whether a value is a snapshot of this release's format at all.

    :raises InvalidInput: when it is not
    """
    if not isinstance(value, dict) or "format" not in value:
        raise InvalidInput(f"This is no snapshot of {what}", remedy="Give what the file of the snapshot holds.")
    if value["format"] != FORMAT:
        raise InvalidInput(
            f"This snapshot of {what} has another format than this release knows",
            seen=f"its format is {value['format']!r}, and {FORMAT} is known",
            remedy="Use the release of this collection that took it.",
        )


def wrong(where: str, seen: t.Any) -> InvalidInput:
    """The error for something in a snapshot that was never written there by this collection."""
    return InvalidInput(
        f"The snapshot was damaged or changed: {where} is not what a snapshot has there",
        seen=ascii(seen)[:200],
        remedy="Use the file as it was written. Nothing was touched.",
    )


def _held(text: str) -> t.Any:
    if len(text) <= READABLE:
        return text
    return {_PACKED: base64.b64encode(zlib.compress(text.encode("utf-8"))).decode("ascii")}


def _text(value: t.Mapping[str, t.Any], key: str) -> str:
    held = value.get(key)
    if isinstance(held, str):
        return held
    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(base64.b64decode(held[_PACKED].encode(), validate=True), _LARGEST)  # type: ignore[index]  # anything may be in a file
        if not unpacking.eof:
            raise ValueError(key)
        return data.decode("utf-8")
    except (AttributeError, KeyError, TypeError, ValueError, zlib.error):
        raise wrong(key, held) from None


def _rows(value: t.Mapping[str, t.Any], key: str) -> list[dict[str, t.Any]]:
    rows = value.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise wrong(key, rows)
    return rows


def _word(row: t.Mapping[str, t.Any], key: str) -> str:
    word = row.get(key, "")
    if not isinstance(word, str) or not word.isprintable():
        raise wrong(key, word)
    return word


def _optional(row: t.Mapping[str, t.Any], key: str) -> str | None:
    return None if row.get(key) is None else _word(row, key)


def _words(value: t.Mapping[str, t.Any], key: str) -> tuple[str, ...]:
    words = value.get(key)
    if not isinstance(words, list) or not all(isinstance(word, str) and word.isprintable() for word in words):
        raise wrong(key, words)
    return tuple(words)


def _iptables(row: t.Mapping[str, t.Any]) -> tuple[Side, str]:
    side = _word(row, "backend"), _word(row, "family")
    if side[0] not in BACKENDS or side[1] not in FAMILIES:
        raise wrong("iptables", side)
    return side, _text(row, "text")


def _sysctls(value: t.Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise wrong("sysctls", value)
    for name, setting in value.items():
        if name not in SYSCTLS or not isinstance(setting, str) or not (setting.isdigit() and setting.isascii()):
            raise wrong("sysctls", (name, setting))
    return dict(value)


def _foreign(row: t.Mapping[str, t.Any]) -> Foreign:
    words = {key: _word(row, key) for key in ("kind", "name", "family", "backend", "table", "rule")}
    definition = row.get("definition")
    if definition is not None and not isinstance(definition, dict):
        raise wrong("definition", definition)
    return Foreign(owner=_optional(row, "owner"), definition=definition, **words)
