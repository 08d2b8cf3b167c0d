# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trees of Debian packages, made by mmdebstrap as tar files."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from kubelab.apt import SUITE, PrivateApt, host_mirror
from kubelab.cache import Recipe

if t.TYPE_CHECKING:
    from kubelab.cache import Bench

# A node has no way out of the lab: what roles would install on a real machine is here from the start.
NODE = (
    "ca-certificates conntrack containernetworking-plugins curl dbus ethtool ipset iptables iproute2 iputils-ping ipvsadm jq "
    "kmod less netcat-openbsd nftables openssh-server procps python3 python3-apt python3-iptables python3-kubernetes "
    "python3-pyroute2 python3-yaml runc socat systemd systemd-sysv udev xz-utils"
).split()
PROXY = "conntrack ipset iptables kmod nftables".split()
WORKLOAD = "busybox curl".split()

UNUSED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
# What mmdebstrap takes over from the host, and what must not be the same on two nodes.
FOREIGN = (
    *("etc/apt/sources.list", "etc/apt/sources.list.d/*", "etc/resolv.conf", "etc/hostname", "etc/machine-id"),
    *("etc/ssh/ssh_host_*", "var/lib/dbus/machine-id", "var/lib/apt/lists/*", "var/log/*.log", "var/log/apt"),
)


@dataclass(frozen=True)
class Tree:
    """Packages to unpack: a bootable tree (`minbase`), or bare files for a container image (`extract`)."""

    name: str
    variant: t.Literal["minbase", "extract"]
    packages: tuple[str, ...]

    def recipe(self) -> Recipe:
        """`tree.tar`."""
        return Recipe(
            name=f"debian-{self.name}",
            build=self.build,
            inputs={
                "suite": SUITE,
                "variant": self.variant,
                "packages": " ".join(sorted(self.packages)),
                "without": " ".join((*UNUSED, *FOREIGN)),
            },
        )

    def build(self, bench: Bench) -> None:
        """Run mmdebstrap on the host's own mirror."""
        apt = PrivateApt(bench.work, bench.log)
        apt.sources.write_text(host_mirror().sources(), encoding="utf-8")
        removal = 'cd "$1" && rm -rf ' + " ".join(FOREIGN)
        bench.run(
            [
                *("mmdebstrap", "--mode=root", f"--variant={self.variant}", f"--include={','.join(self.packages)}"),
                *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNUSED),
                *('--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Retries "3"'),
                f"--customize-hook={removal}",
                *(SUITE, bench.out / "tree.tar", apt.sources),
            ]
        )


def node() -> Recipe:
    """The operating system of a node."""
    return Tree("node", "minbase", tuple(NODE)).recipe()


def proxy() -> Recipe:
    """What kube-proxy calls inside its image."""
    return Tree("proxy", "extract", tuple(PROXY)).recipe()


def workload() -> Recipe:
    """A shell and curl beside agnhost in the test workload's image."""
    return Tree("workload", "extract", tuple(WORKLOAD)).recipe()
