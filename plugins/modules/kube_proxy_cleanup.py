# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_cleanup
short_description: Remove from a node what other modes of kube-proxy left
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Removes from a node's kernel everything that one or more modes of kube-proxy left there, while it runs in another mode, or not at all.
  - kube-proxy itself removes nothing when it goes from iptables to ipvs mode or back, and not everything when it goes to nftables mode; its
    C(--cleanup) also removes every virtual server of IPVS, whosever it is.
  - Of iptables and ipvs mode go the chains of iptables with the rules that lead to them, in both backends and both families. Of ipvs mode
    go the virtual servers, the device C(kube-ipvs0) with its addresses, and the ipsets. Of nftables mode go the tables C(ip kube-proxy) and
    C(ip6 kube-proxy).
  - What no release of today makes goes with any mode - chains C(KUBE-XLB-), old jumps to C(KUBE-SERVICES), the ipsets
    C(KUBE-NODE-PORT-SCTP) and C(KUBE-NODE-PORT-LOCAL-SCTP), and the virtual server that kube-proxy tries IPVS out with.
  - Only what M(netops.kube_proxy.kube_proxy_info) shows as kube-proxy's is touched, by exact names, types and shapes; of what iptables and
    ipvs mode share nothing that O(running_mode) keeps. Nothing is flushed.
  - The chains of userspace mode (C(KUBE-PORTALS-CONTAINER) and the like, up to 1.25) stay and are returned in RV(kept). EdgeMesh and
    OpenShift's SDN make chains of these names with the same jumps and use them, and nothing on the node tells one from the other.
  - Kernel modules, sysctls and connections are left alone.
  - A run that was interrupted is finished by the next one. What fails does not keep the rest from being done.
options:
  mode:
    description:
      - The modes whose leftovers go.
    type: list
    elements: str
    choices: [iptables, ipvs, nftables]
    required: true
  running_mode:
    description:
      - The mode in which kube-proxy runs now; V(none) where it does not run. Everything that this mode keeps stays.
      - It must not be in O(mode).
    type: str
    choices: [iptables, ipvs, nftables, none]
    required: true
  on_foreign:
    description:
      - What becomes of a chain that has to go while a foreign rule leads to it, as in M(netops.kube_proxy.iptables_kube_chain), and of an
        ipset that something else uses.
      - V(keep) leaves them, and what they need, and returns them in RV(kept).
      - V(fail) fails and names the rules, before anything is touched.
      - V(remove_jump) removes exactly the rules that lead to such chains, each named in RV(actions). Ipsets that something else uses stay.
    type: str
    choices: [keep, fail, remove_jump]
    default: keep
  node_port_range:
    description:
      - The ports that the API server gives to NodePorts, as its C(--service-node-port-range) has them.
      - A virtual server on an address of the node with such a port is kube-proxy's if it has no firewall mark and only masquerades to real servers
        of weight 1 or 0. Others that are neither on an address of C(kube-ipvs0) stay and are returned in RV(kept).
    type: str
    default: 30000-32767
extends_documentation_fragment:
  - netops.kube_proxy._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows what is kube-proxy's of the modes asked for, chains and rules as C(iptables-save) prints them.
  idempotent:
    support: full
notes:
  - Needs root, the node's own C(iptables) where it has chains, and C(nft) where it has tables of nftables. Neither C(ipset) nor C(ipvsadm) nor C(ip)
    is needed.
  - Reading loads no kernel module and creates no table.
  - When a part of the node that concerns the modes asked for cannot be read, the module fails before anything is touched. Other parts are
    named in a warning.
  - A virtual server of a Service that was left without its device C(kube-ipvs0) (removed by hand) cannot be told from somebody else's, unless it is
    that of a NodePort. It is returned in RV(kept); M(netops.kube_proxy.ipvs_virtual_server) removes it.
seealso:
  - module: netops.kube_proxy.kube_proxy_info
  - module: netops.kube_proxy.iptables_kube_chain
  - module: netops.kube_proxy.ipvs_virtual_server
"""

EXAMPLES = r"""
- name: Show what ipvs mode left on a node that runs in iptables mode
  netops.kube_proxy.kube_proxy_cleanup:
    mode: [ipvs]
    running_mode: iptables
  check_mode: true
  diff: true

- name: Remove what iptables and ipvs mode left on a node that runs in nftables mode
  netops.kube_proxy.kube_proxy_cleanup:
    mode: [iptables, ipvs]
    running_mode: nftables
  register: cleanup

- name: Show what stayed, and why
  ansible.builtin.debug:
    msg: "{{ item.kind }} {{ item.name }}: {{ item.reason }}"
  loop: "{{ cleanup.kept }}"

- name: Leave nothing of kube-proxy on a node that it is gone from, but stop where somebody else's rules need it
  netops.kube_proxy.kube_proxy_cleanup:
    mode: [iptables, ipvs, nftables]
    running_mode: none
    on_foreign: fail
    node_port_range: 20000-22767
"""

RETURN = r"""
removed:
  description:
    - What was removed (in check mode, would be), as M(netops.kube_proxy.kube_proxy_info) lists it. What is in a table of nftables or on a device goes with it
      and is not listed.
    - Also returned when the module fails half-way.
  returned: always
  type: list
  elements: dict
  contains: &row
    kind:
      description: V(iptables_chain), V(iptables_jump), V(ipset), V(nft_table), V(device) or V(virtual_server).
      type: str
      sample: ipset
    name:
      description: Its name; of a jump the rule as C(iptables-save) prints it, of a virtual server its address and port.
      type: str
      sample: KUBE-CLUSTER-IP
    family:
      description: V(ipv4) or V(ipv6). Null for what has none.
      type: str
      sample: ipv4
    backend:
      description: Of a chain or jump, V(nft) or V(legacy). Null for the rest.
      type: str
    table:
      description: The table that it is in. Null for the rest.
      type: str
    type:
      description: Of a set its type, of a table of nftables its family, of a virtual server its protocol, of a device its kind.
      type: str
      sample: hash:ip,port
    size:
      description: Rules of a chain, members of a set, addresses of the device, real servers of a virtual server. Null for the rest.
      type: int
      sample: 12
    owner:
      description: Whose it is, by the rules of M(netops.kube_proxy.kube_proxy_info). Null when the node alone does not tell.
      type: str
      sample: kube-proxy
    modes:
      description: The modes in which kube-proxy makes it.
      type: list
      elements: str
      sample: [ipvs]
    belongs:
      description: Whether O(running_mode) keeps it. Null when it is not kube-proxy's.
      type: bool
      sample: false
kept:
  description:
    - What stays of what was asked for, such as a chain to which a rule of somebody else leads; and what could be taken for it and is not kube-proxy's, such as
      another program's virtual server.
    - A caller that wants the old mode gone looks at those whose RV(kept[].owner) is V(kube-proxy).
  returned: always
  type: list
  elements: dict
  contains:
    <<: *row
    reason:
      description: Why it stays.
      type: str
      sample: rule -A CNI-HOSTPORT-SETMARK -m mark --mark 0x2000/0x2000 -j KUBE-MARK-MASQ
failed:
  description: What could not be removed, each with the kernel's reason.
  returned: when something could not be removed
  type: list
  elements: str
  sample: ["ipset KUBE-CLUSTER-IP: a rule or another set still uses it"]
actions:
  description: What was done (in check mode, would be), as sentences. Of chains and virtual servers of single Services, only how many.
  returned: success
  type: list
  elements: str
  sample: ["Remove device kube-ipvs0 with its 12 address(es)"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_work import work


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "mode": {
                "type": "list",
                "elements": "str",
                "choices": ["iptables", "ipvs", "nftables"],
                "required": True,
            },
            "running_mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables", "none"], "required": True},
            "on_foreign": {"type": "str", "choices": ["keep", "fail", "remove_jump"], "default": "keep"},
            "node_port_range": {"type": "str", "default": "30000-32767"},
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
