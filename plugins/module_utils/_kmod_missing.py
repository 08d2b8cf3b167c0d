# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a kernel module cannot be had, and which package has it. Private to this collection."""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import Distribution, Kernel, KmodState

# First match of ID, then of ID_LIKE; of several rows for one ID, the first whose mark is in the kernel's release. RHEL's
# families split the modules of one kernel over packages (ip_set and xt_* are in kernel-modules-extra since RHEL 10).
_PACKAGES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("ubuntu",), "", "apt install linux-modules-extra-{release}"),
    (("debian",), "-cloud-", "apt install linux-image-{arch}, whose kernel has all modules, and a reboot into it"),
    (("debian",), "", "apt install --reinstall linux-image-{release}"),
    (("amzn",), "", "dnf install kernel-modules-extra-{release}"),
    (("ol",), "uek", "dnf install kernel-uek-modules-{release} kernel-uek-modules-extra-{release}"),
    (
        ("rhel", "centos", "fedora", "rocky", "almalinux", "ol"),
        "",
        "dnf install kernel-modules-{release} kernel-modules-extra-{release}",
    ),
    (("sles", "opensuse", "suse"), "", "zypper install kernel-{flavour}, and a reboot if that brings a newer kernel"),
    (("alpine",), "-virt", "apk add linux-lts, whose kernel has all modules, and a reboot into it"),
    (("alpine",), "", "apk add linux-{flavour}, and a reboot if that brings a newer kernel"),
)

# Merged into another module by the kernel: the old name, the new one, and the release.
_SUCCESSORS = {
    "nf_conntrack_ipv4": ("nf_conntrack", "4.19"),
    "nf_conntrack_ipv6": ("nf_conntrack", "4.19"),
    "nf_nat_ipv4": ("nf_nat", "5.1"),
    "nf_nat_ipv6": ("nf_nat", "5.1"),
}


def package_advice(kernel: Kernel) -> str:
    """How to install the modules of the running kernel on this distribution."""
    # 6.1.0-18-cloud-amd64 of Debian, 6.4.0-150600.23-default of SUSE, 6.6.14-0-virt of Alpine.
    last = kernel.release.rpartition("-")[2]
    for name in kernel.distribution.ids:
        for ids, mark, command in _PACKAGES:
            if name in ids and mark in kernel.release:
                words = command.format(release=kernel.release, arch=last, flavour=last)
                return f"On {_title(kernel.distribution)} they come with: {words}."
    return f"This distribution ({_title(kernel.distribution)}) is not known to us: install the package that holds all modules of kernel {kernel.release}."


def _title(distribution: Distribution) -> str:
    return distribution.title or (distribution.ids[0] if distribution.ids else "without os-release")


def _successor(state: KmodState, name: str) -> str:
    new, release = _SUCCESSORS.get(name, ("", ""))
    return (
        f" Since kernel {release} it is part of {new}, which this kernel has: ask for {new}."
        if new in state.known_names
        else ""
    )


def missing_module(state: KmodState, names: t.Sequence[str]) -> KubeProxyError:
    """None of the running kernel's files has these modules."""
    hints = "".join(_successor(state, name) for name in names)
    return KubeProxyError(
        f"Kernel {state.kernel.release} has no module {', '.join(names)}",
        remedy=hints.strip()
        or f"Check the spelling, or install more of this kernel's modules. {package_advice(state.kernel)}",
        details={"missing": list(names)},
    )


def cannot_load_here(kernel: Kernel, names: t.Sequence[str]) -> KubeProxyError:
    """modprobe cannot work on this machine."""
    if not kernel.support:
        seen = (
            f"kernel {kernel.release} does not support loadable modules (there is no /proc/modules), and nothing in "
            "modules.builtin, /sys/module, /proc/net or /proc/kallsyms shows that it has them built in"
        )
        remedy = "Use a kernel that has them built in, or one with modules."
    elif kernel.loading_disabled:
        seen, remedy = "kernel.modules_disabled is 1", "Load them before that is set at boot, and reboot."
    elif not kernel.modprobe:
        seen, remedy = "there is no modprobe here", "Install kmod; in a container, load them on the host."
    else:
        seen = f"there is no /lib/modules/{kernel.release}/modules.dep"
        remedy = (
            "This looks like a container: load them on the host."
            if kernel.boot_is_elsewhere
            else f"Reboot into the kernel that is installed, or reinstall the files of the running one. {package_advice(kernel)}"
        )
    return KubeProxyError(f"Cannot load {', '.join(names)}", seen=seen, remedy=remedy, details={"missing": list(names)})
