# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's state as one text, to show that a run changed nothing. Read with the node's own tools, never with ours."""

from __future__ import annotations

from tests.labkit import Node

# Counters, timeouts and handles move by themselves; what Ansible copies to run a module is its own.
_SCRIPT = r"""
exec 2>/dev/null
for backend in nft legacy; do for family in iptables ip6tables; do
  echo "== $family $backend"
  "$family-$backend-save" | sed -e '/^#/d' -e 's/\[[0-9]*:[0-9]*\]//'
done; done
echo '== nft'; nft -s list ruleset | sed -e 's/ expires [0-9a-z]*//'
echo '== ipvs'; ipvsadm -Sn; ipvsadm -L --timeout
echo '== ipsets'; ipset save | sort
echo '== links'; ip -o link | sed -e 's/ state [A-Z]*//' | sort; ip -o address | sed -e 's/valid_lft.*//' | sort; ip route; ip -6 route
echo '== modules'; cut -d' ' -f1 /proc/modules | sort
echo '== sysctls'; sysctl -a --pattern '^net\.(ipv4\.(ip_forward|vs\.)|ipv4\.conf\.all\.|bridge\.|netfilter\.nf_conntrack_tcp_be)' | sort
echo '== files'; find /etc /usr/lib/modules-load.d /usr/lib/sysctl.d /var/lib/kubelet/config.yaml -xdev -type f -exec sha256sum {} + | sort -k2
"""


def state_of(node: Node) -> str:
    """Everything that a check mode run must leave as it is.

    Read twice: the tools themselves load modules the first time they look.
    """
    node.run(["sh", "-c", _SCRIPT])
    return node.run(["sh", "-c", _SCRIPT])
