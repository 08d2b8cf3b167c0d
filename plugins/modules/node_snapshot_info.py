# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_snapshot_info
short_description: A node's kernel as it is now, to be kept
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Reads of a node everything that a change of kube-proxy's mode may touch, as one mapping that can be kept in a file. The role
    P(netops.kube_proxy.switch#role) keeps it before it changes anything.
  - M(netops.kube_proxy.node_restore) puts sysctls and virtual servers back, and P(netops.kube_proxy.snapshot_differences#filter) shows what else differs.
    Rulesets are kept to be compared. Nothing ever loads them.
  - Changes nothing, and never loads a kernel module by looking. What cannot be read is left out, and C(unread) in the snapshot says why.
  - Two snapshots of an unchanged node are equal. Counters, dates and the age of elements are not kept.
options: {}
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
notes:
  - Needs root.
  - A node with thousands of Services in iptables mode has megabytes of rules. Use C(no_log) to keep them out of the output.
  - Rules and sets may hold what their owner wrote into them, such as comments. There is nothing else in a snapshot that only root of the node may know.
seealso:
  - module: netops.kube_proxy.node_restore
  - module: netops.kube_proxy.kube_proxy_snapshot_info
  - plugin: netops.kube_proxy.snapshot_differences
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read the node
  netops.kube_proxy.node_snapshot_info:
  become: true
  register: node
  no_log: true

- name: Keep it on the controller
  ansible.builtin.copy:
    content: "{{ node.snapshot | to_nice_json }}"
    dest: "snapshots/{{ inventory_hostname }}.json"
    mode: "0600"
  delegate_to: localhost
  diff: false
"""

RETURN = r"""
snapshot:
  description: The node.
  returned: success
  type: dict
  contains:
    format:
      description: The number of this form.
      type: int
      sample: 1
    kind:
      description: V(node).
      type: str
    node_name:
      description: The Node's name in the API, from the kubelet's certificate. Null without one.
      type: str
      sample: worker1
    kernel_release:
      description: The kernel's release.
      type: str
      sample: 6.1.0-18-amd64
    iptables:
      description:
        - The C(text) of C(iptables-save) by C(backend) (V(nft), V(legacy)) and C(family) (V(ipv4), V(ipv6)), all tables, without counters. One that is not in
          the kernel is not in the list.
      type: list
      elements: dict
    nft:
      description: The C(text) of each table of nftables that is none of iptables', by C(family) and C(name), without the state of counters.
      type: list
      elements: dict
    virtual_servers:
      description: All virtual servers of IPVS, as M(netops.kube_proxy.ipvs_virtual_server) takes them.
      type: list
      elements: dict
    ipsets:
      description: All ipsets by C(name), with C(type), C(family), C(size) and C(members), as C(ipset save) prints addresses, networks and ports.
      type: list
      elements: dict
    addresses:
      description: The addresses of the node by device, in the form of C(ip -j address show).
      type: list
      elements: dict
    sysctls:
      description: What kube-proxy sets in any of its modes, by name. One that the kernel does not have (now) is missing.
      type: dict
      sample: {net.ipv4.ip_forward: "1"}
    modules:
      description: The names of all loaded kernel modules.
      type: list
      elements: str
    unread:
      description: What could not be read, and why.
      type: list
      elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import command_runner, require_root, run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_snapshot_read import SnapshotLook


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Look once."""
    require_root()
    return {"changed": False, "snapshot": SnapshotLook(command_runner(module), Files()).snapshot()}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    run(module, work)


if __name__ == "__main__":
    main()
