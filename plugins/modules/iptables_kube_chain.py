# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: iptables_kube_chain
short_description: The iptables chains of kube-proxy
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Makes chains of kube-proxy present with the jumps that lead to them, or removes them, by name or all those of a mode.
  - kube-proxy leaves its chains behind when it changes between iptables and ipvs mode. What iptables mode left in table C(filter) rejects
    connections to Services that had no endpoints at that time, for ever. O(state=absent) with O(mode) is the safe form of C(iptables -F).
  - Only chains on the exact list of kube-proxy's names are touched. Those of kubelet (C(KUBE-FIREWALL), C(KUBE-IPTABLES-HINT),
    C(KUBE-KUBELET-CANARY), C(KUBE-MARK-DROP)), of CNI plugins and of everybody else are not, and no built-in chain is ever flushed.
  - A chain to which a rule of somebody else still leads stays, with everything it needs, and is returned in RV(kept) with that rule.
  - Each table changes in one transaction of C(iptables-restore --noflush), all or nothing. When a table was changed by somebody else since it
    was read, the transaction fails, and the table is read and planned anew, at most 5 times.
  - Reading loads no kernel module and creates no table.
options:
  name:
    description:
      - Names of the chains, all in O(table).
      - Built-in chains and chains that are not kube-proxy's are refused.
    type: list
    elements: str
  table:
    description:
      - Table of the chains in O(name).
    type: str
    choices: [filter, nat, mangle]
  mode:
    description:
      - All chains that kube-proxy has in this mode, in every table.
      - With O(state=present) those it always has; the chains of single Services and C(KUBE-PROXY-CANARY) are left to kube-proxy.
    type: str
    choices: [iptables, ipvs]
  running_mode:
    description:
      - The mode in which kube-proxy runs now; V(none) where it does not run.
      - With O(state=absent) everything that this mode needs stays. Required there with O(mode).
      - Rules in a chain of both modes that still lead to a chain of O(mode) go when kube-proxy has written that chain in O(running_mode);
        before that they and all they lead to stay, and are returned in RV(kept).
      - With O(state=present) and O(name) it says which mode's jumps are meant where the modes differ.
    type: str
    choices: [iptables, ipvs, nftables, none]
  state:
    description:
      - V(present) makes each chain exist, and each of its jumps exist exactly once. The rules in it are left to kube-proxy.
      - V(absent) removes the jumps, then empties the chains, then deletes them.
    type: str
    choices: [present, absent]
    default: present
  families:
    description:
      - Address families.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  backend:
    description:
      - The kernel has two separate sets of tables, one for C(iptables-nft) and one for C(iptables-legacy).
      - V(auto) is the one in which kubelet made its chain C(KUBE-IPTABLES-HINT), as kube-proxy's image decides too. Without that chain,
        or with it in both, it is the one that the node's C(iptables) uses.
      - V(both) is for O(state=absent) only.
    type: str
    choices: [auto, nft, legacy, both]
    default: auto
extends_documentation_fragment:
  - netops.kube_proxy._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows the chains in question and the rules that lead to them, as C(iptables-save) prints them.
  idempotent:
    support: full
notes:
  - Needs root and the node's own C(iptables). With the legacy backend C(/run/xtables.lock) is waited for, at most 30 seconds.
seealso:
  - module: netops.kube_proxy.kube_proxy_mode
  - module: netops.kube_proxy.kube_proxy_info
"""

EXAMPLES = r"""
- name: Remove what iptables mode left behind on a node that runs in ipvs mode
  netops.kube_proxy.iptables_kube_chain:
    mode: iptables
    running_mode: ipvs
    state: absent

- name: Remove the chains of a Service that is gone
  netops.kube_proxy.iptables_kube_chain:
    name: [KUBE-SVC-PZZOH4GMXQXQLAH7, KUBE-SEP-SHRHPIF6JJVVZWAJ]
    table: nat
    state: absent

- name: Put the jumps to kube-proxy's Services back in place
  netops.kube_proxy.iptables_kube_chain:
    name: [KUBE-SERVICES, KUBE-POSTROUTING]
    table: nat
    state: present
"""

RETURN = r"""
chains:
  description:
    - The chains in question, as they were found; with O(state=present) also those that were made (in check mode, would be).
  returned: success
  type: list
  elements: dict
  contains:
    family:
      description: Address family.
      type: str
      sample: ipv4
    backend:
      description: V(nft) or V(legacy).
      type: str
      sample: nft
    table:
      description: Table of the chain.
      type: str
      sample: nat
    name:
      description: Name of the chain.
      type: str
      sample: KUBE-NODEPORTS
    rule_count:
      description: Number of rules in it.
      type: int
      sample: 3
    references:
      description: Number of rules that lead to it.
      type: int
      sample: 1
kept:
  description: The chains that O(state=absent) could not remove.
  returned: success
  type: list
  elements: dict
  contains:
    family:
      description: Address family.
      type: str
      sample: ipv4
    backend:
      description: V(nft) or V(legacy).
      type: str
      sample: nft
    table:
      description: Table of the chain.
      type: str
      sample: nat
    name:
      description: Name of the chain.
      type: str
      sample: KUBE-MARK-MASQ
    reason:
      description: The rule that leads to it, or the chain that needs it.
      type: str
      sample: rule -A CNI-HOSTPORT-SETMARK -m mark --mark 0x2000/0x2000 -j KUBE-MARK-MASQ
actions:
  description: What was done (in check mode, would be), as sentences.
  returned: success
  type: list
  elements: str
  sample: ["Remove chain KUBE-NODEPORTS from table nat (ipv4, nft)"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import (
    command_runner,
    require_root,
    run,
    run_converging,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import FAMILIES
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import plan_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_report import chain_report, save_text
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import wanted_chains
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_write import apply_plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Turn the options into wanted chains, and the node's tables into them."""
    wanted = wanted_chains(module.params)
    require_root()
    runner = command_runner(module)
    node = NodeTables(runner, Files())
    families = tuple(dict.fromkeys(module.params["families"]))
    steps = Steps(
        read=lambda: node.read(families, module.params["backend"]),
        plan=lambda tables: plan_chains(wanted, tables),
        apply=lambda plan: apply_plan(runner, plan, lambda: steps.plan(steps.read())),
    )
    return run_converging(
        module, steps, lambda tables: save_text(wanted, tables), lambda plan: chain_report(wanted, plan)
    )


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str"},
            "table": {"type": "str", "choices": ["filter", "nat", "mangle"]},
            "mode": {"type": "str", "choices": ["iptables", "ipvs"]},
            "running_mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables", "none"]},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "families": {"type": "list", "elements": "str", "choices": list(FAMILIES), "default": list(FAMILIES)},
            "backend": {"type": "str", "choices": ["auto", "nft", "legacy", "both"], "default": "auto"},
        },
        required_one_of=[("name", "mode")],
        mutually_exclusive=[("name", "mode")],
        required_by={"name": ("table",)},
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
