# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_restore
short_description: Put back on a node what a snapshot has and is missing since
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Brings a node towards a snapshot that M(netops.kube_proxy.kube_proxy_snapshot_info) took.
  - Puts back sysctls that differ, and foreign objects that are missing as a whole - virtual servers with their real servers, ipsets with their
    members, a user's chains of iptables, a user's rules in built-in chains, and tables of nftables.
  - A rule comes back where it was - behind the nearest rule before it that is there, else before the nearest one after it, else at the end.
  - Never loads a saved ruleset. What is kube-proxy's, and what has changed but is there, is only shown in RV(different). Nothing is removed, and no object
    that is there is changed.
  - What a program that is known makes anew by itself (kubelet, CNI plugins, Docker, firewalld) is not put back either.
  - Everything that becomes a line for one of the node's tools is checked before anything is touched. A snapshot that was changed, so that
    it says more than one object in a place, is refused.
options:
  snapshot:
    description:
      - The snapshot, as V(snapshot) of M(netops.kube_proxy.kube_proxy_snapshot_info) has it.
      - It has to be of this node and in the format of this release.
    type: dict
    required: true
  metrics_address:
    description:
      - Where kube-proxy serves C(/proxyMode), as C(metricsBindAddress) in its configuration has it. Empty means that metrics are off.
      - Sysctls that the running mode needs stay as they are while it is another mode than that of the snapshot.
    type: str
    default: 127.0.0.1:10249
  restore_unknown:
    description:
      - Whether virtual servers come back of which the node alone did not tell whose they were. Without C(kube-ipvs0), a virtual server of a
        Service looks like one of a user's.
      - V(false) names them in RV(not_restored).
    type: bool
    default: false
  lines:
    description:
      - How many lines of each part RV(different) gives.
    type: int
    default: 200
extends_documentation_fragment:
  - netops.kube_proxy._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows what is put back, in the forms of the node's tools.
  idempotent:
    support: full
notes:
  - Needs root, and the tools whose objects are put back - C(iptables), C(nft), C(ipset). C(ipvsadm) is not needed.
  - Reading loads no kernel module and creates no table. Putting back loads what the objects need.
  - When a part of the node cannot be read, the module fails before anything is touched. What fails later does not keep the rest from being done.
  - The snapshot is an argument of the module, and Ansible logs those on the node. Set E(ANSIBLE_NO_TARGET_SYSLOG) where that is too much.
  - kube-proxy in ipvs mode deletes virtual servers of others unless C(ipvs.excludeCIDRs) covers them, and in nftables mode at each of its starts. A
    warning says so.
seealso:
  - module: netops.kube_proxy.kube_proxy_snapshot_info
  - module: netops.kube_proxy.kube_proxy_objects
"""

EXAMPLES = r"""
- name: Show what would be put back, and what else is different
  netops.kube_proxy.kube_proxy_restore:
    snapshot: "{{ lookup('ansible.builtin.file', 'snapshots/' ~ inventory_hostname ~ '.json') | from_json }}"
  become: true
  check_mode: true
  diff: true
  register: restore

- name: Show what stays missing, and why
  ansible.builtin.debug:
    msg: "{{ item.object }}: {{ item.reason }}"
  loop: "{{ restore.not_restored }}"
"""

RETURN = r"""
restored:
  description: What was put back (in check mode, would be). Sysctls are in RV(actions).
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(iptables_chain), V(iptables_rule), V(ipset), V(nft_table) or V(virtual_server).
      type: str
      sample: iptables_rule
    name:
      description: Its name; of a rule the built-in chain that it stands in, of a virtual server its address and port.
      type: str
      sample: FORWARD
    owner:
      description: V(foreign), or null for a virtual server of which the node alone does not tell whose it is.
      type: str
      sample: foreign
    family:
      description: V(ipv4) or V(ipv6); of a table of nftables its own word.
      type: str
      sample: ipv4
    backend:
      description: Of a chain or rule, V(nft) or V(legacy).
      type: str
      sample: nft
    table:
      description: Of a chain or rule, its table.
      type: str
      sample: filter
    rule:
      description: Of a rule, what C(iptables-save) prints behind C(-A) and the chain.
      type: str
      sample: -s 192.0.2.0/24 -j ACCEPT
    definition:
      description: Of a virtual server, itself as M(netops.kube_proxy.ipvs_virtual_server) takes it.
      type: dict
not_restored:
  description: What is missing and was not put back.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: What it is.
      type: str
      sample: chain MINE in table nat (ipv4, nft)
    reason:
      description: Why it stays missing.
      type: str
      sample: its rule '-j KUBE-MARK-MASQ' leads to chain KUBE-MARK-MASQ, which is not there
different:
  description: What remains different between the snapshot and the node, part by part.
  returned: success
  type: list
  elements: dict
  contains:
    part:
      description: The part, such as one table of iptables.
      type: str
      sample: iptables nft ipv4 nat
    count:
      description: How many lines differ.
      type: int
      sample: 2
    lines:
      description: C(-) is in the snapshot and not there now, C(+) is there now and was not then.
      type: list
      elements: str
      sample: [":KUBE-NODE-PORT -"]
taken_at:
  description: When the snapshot was taken.
  returned: success
  type: str
  sample: "2026-11-25T18:04:05Z"
unread:
  description: What the snapshot does not have, because it could not be read when it was taken.
  returned: success
  type: list
  elements: str
actions:
  description: What was done (in check mode, would be), in sentences.
  returned: success
  type: list
  elements: str
  sample: ["Add rule -A FORWARD -s 192.0.2.0/24 -j ACCEPT in table filter (ipv4, nft)"]
failed:
  description: What could not be done, while the rest was.
  returned: when a step failed
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_work import restore


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "snapshot": {"type": "dict", "required": True},
            "metrics_address": {"type": "str", "default": "127.0.0.1:10249"},
            "restore_unknown": {"type": "bool", "default": False},
            "lines": {"type": "int", "default": 200},
        },
        supports_check_mode=True,
    )
    run(module, restore)


if __name__ == "__main__":
    main()
