# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node has beside kube-proxy's own answers: its name, devices, settings. Private to this collection.

Nothing here changes anything or loads a kernel module.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_cert import (
    client_certificate_in_kubeconfig,
    decode_base64,
    node_name_in_pem,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import Runner
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

CERTIFICATE = "/var/lib/kubelet/pki/kubelet-client-current.pem"
KUBECONFIG = "/etc/kubernetes/kubelet.conf"
DEVICE = "kube-ipvs0"

# What the modes set or depend on; the folder of ip_vs comes whole, because it exists only while ip_vs is in the kernel.
_SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv4.conf.all.route_localnet",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
)
_VS = "net.ipv4.vs"


def read_node_name(files: Files) -> str | None:
    """The name of the Node object; None on a machine without a kubelet's certificate.

    :raises NotACertificate: when there is one that cannot be read
    """
    text = files.text(CERTIFICATE)
    if text is not None:
        return node_name_in_pem(text)
    path, data = client_certificate_in_kubeconfig(files.text(KUBECONFIG) or "")
    if data:
        return node_name_in_pem(decode_base64(data).decode("utf-8", "replace"))
    text = files.text(path) if path else None
    return node_name_in_pem(text) if text is not None else None


def _sysctl_path(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")


def read_sysctls(files: Files) -> dict[str, str]:
    """The settings that are there, as the kernel prints them."""
    names = [*_SYSCTLS, *(f"{_VS}.{name}" for name in files.names(_sysctl_path(_VS)))]
    values = ((name, files.text(_sysctl_path(name))) for name in names)
    return {name: value.strip() for name, value in values if value is not None}


def _device(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "name": entry["ifname"],
        "kind": entry.get("linkinfo", {}).get("info_kind", ""),
        "state": entry.get("operstate", ""),
        "addresses": [address["local"] for address in entry.get("addr_info", []) if address.get("scope") != "link"],
    }


def parse_devices(text: str) -> list[dict[str, t.Any]]:
    """The output of C(ip -j -d address show): name, kind, state and addresses, without those of the link itself.

    :raises KubeProxyError: when it is something else
    """
    try:
        return [_device(entry) for entry in json.loads(text) if "ifname" in entry]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KubeProxyError(
            "Cannot read the addresses of a device", f"ip -j printed {text[:80]!r}", "Update iproute2."
        ) from None


def read_ipvs_devices(files: Files, run: Runner) -> list[dict[str, t.Any]]:
    """kube-proxy's device of ipvs mode with its addresses; none when it is not there.

    :raises KubeProxyError: when C(ip) is missing or fails while the device is there
    """
    if not files.exists(f"/sys/class/net/{DEVICE}"):
        return []
    result = run(["ip", "-j", "-d", "address", "show", "dev", DEVICE])
    if result.rc != 0:
        raise KubeProxyError(
            f"Cannot read the addresses of {DEVICE}", result.err.strip() or f"status {result.rc}", "Install iproute2."
        )
    return parse_devices(result.out)
