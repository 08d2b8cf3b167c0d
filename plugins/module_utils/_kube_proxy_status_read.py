# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node has beside kube-proxy's own answers: its name, devices, settings. Private to this collection.

Nothing here changes anything or loads a kernel module.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_cert import (
    client_certificate_in_kubeconfig,
    decode_base64,
    node_name_in_pem,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_link import read_link

if t.TYPE_CHECKING:
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
    "net.ipv4.tcp_keepalive_time",
    "net.netfilter.nf_conntrack_count",
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


def read_ipvs_devices(
    files: Files, read: t.Callable[[str, int], tuple[str, list[str]]] = read_link
) -> list[dict[str, t.Any]]:
    """kube-proxy's device of ipvs mode: name, kind, state and addresses; none when it is not there.

    :raises KubeProxyError: when it is there and the kernel does not tell
    """
    folder = f"/sys/class/net/{DEVICE}"
    index = files.text(f"{folder}/ifindex")
    if index is None:
        return []
    kind, addresses = read(DEVICE, int(index))
    state = (files.text(f"{folder}/operstate") or "").strip()
    return [{"name": DEVICE, "kind": kind, "state": state, "addresses": addresses}]
