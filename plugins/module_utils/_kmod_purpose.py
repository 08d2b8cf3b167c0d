# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy needs of the kernel, by mode. Pure. Private to this collection.

Sources: the rules, sets and tables that C(pkg/proxy/{iptables,ipvs,nftables}/proxier.go) of 1.34 to 1.37 write, and
C(GetRequiredIPVSModules) of the releases up to 1.26, which do not start in ipvs mode without its list.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import WantedModules
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_parse import checked_names


@dataclass(frozen=True)
class Purpose:
    """Modules to ask for.

    :param needed: without one of them it does not work
    :param where_known: wanted of a kernel that has them. Others have the same under another name (xt_MASQUERADE was
        ipt_MASQUERADE before 5.2, nf_conntrack_ipv4 is part of nf_conntrack since 4.19), or are built without IPv6.
    """

    needed: tuple[str, ...]
    where_known: tuple[str, ...] = ()


_RULES = ("nf_conntrack", "nf_nat", "xt_addrtype", "xt_comment", "xt_conntrack", "xt_mark", "ipt_REJECT")
_RULES_WHERE_KNOWN = ("nf_conntrack_ipv4", "xt_MASQUERADE", "ipt_MASQUERADE", "ip6t_REJECT")

PURPOSES: dict[str, Purpose] = {
    "iptables": Purpose((*_RULES, "xt_nat", "xt_recent", "xt_statistic"), _RULES_WHERE_KNOWN),
    # Not xt_physdev, though a rule for external addresses uses it: it loads br_netfilter, which changes what a bridge does.
    "ipvs": Purpose(
        (
            *("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "dummy"),
            *("ip_set", "ip_set_bitmap_port", "ip_set_hash_ip", "ip_set_hash_ipport"),
            *("ip_set_hash_ipportip", "ip_set_hash_ipportnet", "xt_set", "xt_ipvs"),
            *_RULES,
        ),
        _RULES_WHERE_KNOWN,
    ),
    "nftables": Purpose(
        (
            *("nf_conntrack", "nf_nat", "nf_tables", "nft_chain_nat", "nft_ct", "nft_fib", "nft_fib_ipv4"),
            *("nft_masq", "nft_nat", "nft_numgen", "nft_reject", "nft_reject_ipv4"),
        ),
        ("nft_fib_ipv6", "nft_reject_ipv6"),
    ),
}


def wanted_modules(params: t.Mapping[str, t.Any]) -> WantedModules:
    """The module's options as wanted modules.

    :raises InvalidInput: for names that no module can have, and for a purpose that is to be absent
    """
    purpose = params["for"]
    names = list(params["name"] or [])
    where_known: tuple[str, ...] = ()
    if purpose is not None:
        if params["state"] != "present":
            raise InvalidInput(
                "for says what kube-proxy needs, and that cannot be unloaded as a whole",
                seen=f"state is {params['state']}",
                remedy="Others use some of these modules too: name those that shall go.",
            )
        names += PURPOSES[purpose].needed
        where_known = PURPOSES[purpose].where_known
        if purpose == "ipvs":
            names.append(f"ip_vs_{params['scheduler'] or 'rr'}")
    return WantedModules(checked_names(names), params["state"] == "present", params["persistent"], where_known)
