# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What decides, beside kube-proxy itself, how a node takes another mode: texts of the node, read. Pure. Private to this
collection.

Sources: nft's C(src/main.c) (C(--version)), C(netlink_seq_ops) in Linux' C(net/netlink/af_netlink.c), the CNI
specification 1.1 ("Configuration format") and C(portmap) of its plugins (C(externalSetMarkChain)); C(FirewallBackend)
in firewalld.conf(5), C(ENABLED) and C(MANAGE_BUILTINS) of ufw(8), the unit C(nftables.service) of Debian 12 and RHEL
9, C(include) in nft(8); C(pkg/proxy/metrics/metrics.go) of 1.31 to 1.37 (kube-proxy registers the two counters only
in iptables mode, and only where the kernel has nfacct).
"""

from __future__ import annotations

import fnmatch
import json
import math
import posixpath
import re
import shlex
import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status import Sample

LOCALHOST_COUNTER = "kubeproxy_iptables_localhost_nodeports_accepted_packets_total"
INVALID_COUNTER = "kubeproxy_iptables_ct_state_invalid_dropped_packets_total"

# The protocol's number in C(include/uapi/linux/netlink.h).
_NETLINK_NETFILTER = "12"
_NFT_VERSION = re.compile(r"^nftables v(\d+(?:\.\d+)*)", re.MULTILINE)
_SETTING = re.compile(r"^[ \t]*([A-Za-z_]+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"#[^\n]*")
_FLUSH = re.compile(r"\bflush\s+ruleset\b")
_INCLUDE = re.compile(r"^[ \t]*include[ \t]+[\"']([^\"'\n]+)[\"']", re.MULTILINE)
_EXEC = re.compile(r"^(Exec(?:Start|Reload|Stop)(?:Pre|Post)?)=[-@:+!]*(.+)$", re.MULTILINE)
# A file that includes itself would be read for ever.
_DEEPEST_INCLUDE = 4

Text = t.Callable[[str], t.Optional[str]]
Names = t.Callable[[str], t.Sequence[str]]


def parse_nft_version(text: str) -> str | None:
    """The number in C(nft --version); None when it is something else."""
    found = _NFT_VERSION.search(text)
    return found.group(1) if found else None


def has_nfnetlink(text: str) -> bool:
    """Whether C(/proc/net/netlink) shows the kernel's own socket of the protocol. Where it is built in, nothing else does:
    Linux 7.2 makes it a part of another built-in module."""
    rows = (line.split() for line in text.splitlines())
    return any(row[1:3] == [_NETLINK_NETFILTER, "0"] for row in rows)


def parse_settings(text: str) -> dict[str, str]:
    """C(NAME=value) lines, as shells and firewalld write them; the last of a name counts."""
    return {name: value.strip("\"'") for name, value in _SETTING.findall(_COMMENT.sub("", text))}


def read_counters(samples: t.Iterable[Sample]) -> dict[str, int | None]:
    """What kube-proxy counted since its counters were made; None where it does not tell."""
    seen = {sample.name: int(sample.value) for sample in samples if math.isfinite(sample.value)}
    return {
        "localhost_node_ports_accepted": seen.get(LOCALHOST_COUNTER),
        "invalid_packets_dropped": seen.get(INVALID_COUNTER),
    }


def parse_cni(path: str, text: str) -> dict[str, t.Any] | None:
    """A network's name and its plugins' types; None when it is no configuration. Nothing else of it is handed on: it may
    hold secrets."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    listed = value.get("plugins") if path.endswith(".conflist") else [value]
    plugins = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    chains = [one["externalSetMarkChain"] for one in plugins if isinstance(one.get("externalSetMarkChain"), str)]
    return {
        "file": path,
        "name": str(value.get("name") or ""),
        "plugins": [str(one.get("type") or "") for one in plugins],
        "mark_chain": chains[0] if chains else "",
    }


def flushing_places(unit_path: str, unit: str, text: Text, names: Names) -> list[str]:
    """Where the unit C(nftables.service), or a file that it loads, says C(flush ruleset)."""
    found: list[str] = []
    for key, command in _EXEC.findall(unit):
        if _FLUSH.search(command):
            found.append(f"{key} of {unit_path}")
        for path in _loaded_files(command):
            found.extend(_flushing_files(path, text, names, _DEEPEST_INCLUDE))
    return list(dict.fromkeys(found))


def _loaded_files(command: str) -> t.Iterator[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    for flag, path in zip(words, words[1:]):
        if flag in ("-f", "--file"):
            yield path
    for word in words:
        yield from _INCLUDE.findall(word.replace(";", "\n"))


def _flushing_files(path: str, text: Text, names: Names, depth: int) -> t.Iterator[str]:
    content = _COMMENT.sub("", text(path) or "")
    found = _FLUSH.search(content)
    if found:
        yield f"{path}:{content.count(chr(10), 0, found.start()) + 1}"
    for included in _INCLUDE.findall(content) if depth else ():
        folder, pattern = posixpath.split(posixpath.join(posixpath.dirname(path), included))
        for name in fnmatch.filter(names(folder), pattern):
            yield from _flushing_files(f"{folder}/{name}", text, names, depth - 1)
