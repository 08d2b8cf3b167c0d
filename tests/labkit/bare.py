# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab node's kernel as it was when the node came up: no rules, sets, virtual servers or devices of a test, none of their modules."""

from __future__ import annotations

CLEAN = """
ipvsadm -C
ip link del kube-ipvs0
ip link del mine
nft flush ruleset
for tool in iptables-legacy ip6tables-legacy; do
  $tool -P FORWARD ACCEPT
  for table in nat filter mangle raw; do $tool -t $table -F; $tool -t $table -X; done
done
# What iptables-nft deleted is let go of a moment later.
for _ in $(seq 100); do ipset flush; ipset destroy && break; sleep 0.1; done
# Until nothing goes any more: a module is in use until those that use it are gone.
for round in 1 2 3 4 5 6; do
  for module in $(lsmod | awk '$3 == 0 {print $1}' | grep -E '^(ip_?6?_?tables?|ip6?table_|ipt_|ip6t_|x_?t|nf_|nft_|nfnetlink|ip_set|ip_vs|dummy)'); do
    rmmod $module
  done
done
true
"""
