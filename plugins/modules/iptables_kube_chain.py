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
  - Makes chains of kube-proxy present with the jumps that lead to them, or removes them; by name, by Service, or all those of a mode.
  - With O(resync) it is kube-proxy that makes them, and the module that waits until it has.
  - kube-proxy leaves its chains behind when it changes between iptables and ipvs mode. What iptables mode left in table C(filter) rejects
    connections to Services that had no endpoints at that time, for ever. O(state=absent) with O(mode) is the safe form of C(iptables -F).
  - Only chains on the exact list of kube-proxy's names are touched. Those of kubelet (C(KUBE-FIREWALL), C(KUBE-IPTABLES-HINT),
    C(KUBE-KUBELET-CANARY), C(KUBE-MARK-DROP)), of CNI plugins and of everybody else are not, and no built-in chain is ever flushed.
  - A chain to which a rule of somebody else still leads stays, with everything it needs, and is returned in RV(kept) with that rule,
    unless O(on_foreign) says otherwise.
  - Each table changes in one transaction of C(iptables-restore --noflush), all or nothing; where more than some hundred chains go from
    the C(nft) backend, of C(nft), which takes a fraction of the time. When a table was changed by somebody else since it was read, the
    transaction fails, and the table is read and planned anew, at most 5 times.
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
  service:
    description:
      - Ports of Services. Selects, in table C(nat), the chains that kube-proxy in iptables mode has for each port (C(KUBE-SVC-), C(KUBE-SVL-),
        C(KUBE-EXT-), C(KUBE-FW-), C(KUBE-XLB-)) and those of its endpoints (C(KUBE-SEP-)), the first by their computed names, the others by
        the rules that lead to them or say whose they are.
      - Rules in kube-proxy's own chains that lead to them go with them.
      - For O(state=absent) only, with O(running_mode) other than V(iptables). In check mode this shows what the node has for a Service.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the Service, or C(namespace/name:port) in one; C(namespace/name) where the port has no name.
        type: str
        required: true
      namespace:
        description: Namespace of the Service, unless O(service[].name) has it.
        type: str
      port:
        description: Name (not number) of the port; empty for a port without a name.
        type: str
        default: ""
      protocol:
        description: Protocol of the port.
        type: str
        choices: [tcp, udp, sctp]
        default: tcp
  mode:
    description:
      - All chains that kube-proxy has in this mode, in every table; with O(state=absent) also what no release of today makes (C(KUBE-XLB-) of 1.23
        and older, and old jumps to C(KUBE-SERVICES)).
      - With O(state=present) those it always has; the chains of single Services and C(KUBE-PROXY-CANARY) are left to kube-proxy.
    type: str
    choices: [iptables, ipvs]
  running_mode:
    description:
      - The mode in which kube-proxy runs now; V(none) where it does not run.
      - With O(state=absent) everything that this mode needs stays. Required there with O(mode) and with O(service).
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
  on_foreign:
    description:
      - What becomes of a chain that has to go (O(state=absent)) while a foreign rule leads to it. Foreign is every rule outside of the chains
        in question that is not a jump by which kube-proxy hangs them in, and does not stand in a chain of O(running_mode).
      - V(keep) leaves the chain and what it needs, and returns it in RV(kept).
      - V(fail) fails and names the rules, before anything is touched.
      - V(remove_jump) removes exactly those rules too, each named in RV(actions).
    type: str
    choices: [keep, fail, remove_jump]
    default: keep
  resync:
    description:
      - Makes the running kube-proxy write all its chains again, and waits until it has and the chains in question are there with their jumps
        (O(state=present) only). The module makes none itself.
      - In iptables mode by removing its chain C(KUBE-PROXY-CANARY) from table C(mangle), which it looks for every C(syncPeriod)
        (30 seconds unless configured), and makes again when it is done. Every such run is changed.
      - In ipvs mode by waiting for the next periodic sync; changed only where something had been missing.
      - In nftables mode it is an error.
    type: bool
    default: false
  resync_timeout:
    description: How many seconds O(resync) waits.
    type: int
    default: 180
  metrics_address:
    description:
      - Where kube-proxy serves C(/proxyMode) and C(/metrics), as C(metricsBindAddress) in its configuration has it. For O(resync) only.
      - Empty means that metrics are off. Then O(mode) or O(running_mode) says the mode, and ipvs mode cannot be waited for.
    type: str
    default: 127.0.0.1:10249
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
    support: partial
    details:
      - Each run with O(resync=true) asks kube-proxy anew. Everything else is done once.
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

- name: Show what iptables mode left of one Service on a node that runs in nftables mode
  netops.kube_proxy.iptables_kube_chain:
    service:
      - name: default/httpservice:http
      - namespace: kube-system
        name: kube-dns
        port: dns
        protocol: udp
    running_mode: nftables
    state: absent
  check_mode: true

- name: Remove the chains of both modes, and with them the rules that a removed CNI plugin left behind
  netops.kube_proxy.iptables_kube_chain:
    mode: "{{ item }}"
    running_mode: none
    state: absent
    backend: both
    on_foreign: remove_jump
  loop: [iptables, ipvs]

- name: Have kube-proxy write its rules again after somebody flushed them
  netops.kube_proxy.iptables_kube_chain:
    mode: iptables
    state: present
    resync: true

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
      sample: 1
    rules:
      description: The rules in it, as C(iptables-save) prints them behind C(-A) and the name.
      type: list
      elements: str
      sample: ['-p tcp -m comment --comment "default/httpservice:http" -m tcp --dport 31808 -j KUBE-EXT-PZZOH4GMXQXQLAH7']
    references:
      description: Number of rules that lead to it.
      type: int
      sample: 1
    referenced_by:
      description: The chains in which these rules stand.
      type: list
      elements: str
      sample: [KUBE-SERVICES]
    service:
      description:
        - The port of a Service that it belongs to, as O(service) takes it. Null for chains of no single Service.
        - Null also where nothing says it. From 1,000 endpoints on, kube-proxy leaves comments out, and a chain of an endpoint to which no rule
          leads any more has none.
      type: dict
      sample: {namespace: default, name: httpservice, port: http, protocol: tcp}
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
kubelet_backend:
  description: The backend, V(nft) or V(legacy), in which kubelet made its chain C(KUBE-IPTABLES-HINT); null when in neither, or in both.
  returned: success
  type: str
  sample: nft
elsewhere:
  description:
    - kube-proxy's chains in the backend that was not asked about; leftovers, as kube-proxy uses one.
    - It is not looked at where that would load a module or make a table, nor where the node has no C(iptables) for it.
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
      sample: legacy
    table:
      description: Table of the chains.
      type: str
      sample: nat
    names:
      description: Names of the chains.
      type: list
      elements: str
      sample: [KUBE-SERVICES, KUBE-POSTROUTING]
actions:
  description: What was done (in check mode, would be), as sentences.
  returned: success
  type: list
  elements: str
  sample: ["Remove chain KUBE-NODEPORTS from table nat (ipv4, nft)"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import FAMILIES
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_services import PROTOCOLS
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_work import work

SERVICE = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "port": {"type": "str", "default": ""},
    "protocol": {"type": "str", "choices": list(PROTOCOLS), "default": "tcp"},
}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str"},
            "table": {"type": "str", "choices": ["filter", "nat", "mangle"]},
            "service": {"type": "list", "elements": "dict", "options": SERVICE},
            "mode": {"type": "str", "choices": ["iptables", "ipvs"]},
            "running_mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables", "none"]},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "on_foreign": {"type": "str", "choices": ["keep", "fail", "remove_jump"], "default": "keep"},
            "resync": {"type": "bool", "default": False},
            "resync_timeout": {"type": "int", "default": 180},
            "metrics_address": {"type": "str", "default": "127.0.0.1:10249"},
            "families": {"type": "list", "elements": "str", "choices": list(FAMILIES), "default": list(FAMILIES)},
            "backend": {"type": "str", "choices": ["auto", "nft", "legacy", "both"], "default": "auto"},
        },
        required_one_of=[("name", "service", "mode")],
        mutually_exclusive=[("name", "service", "mode")],
        required_by={"name": ("table",)},
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
