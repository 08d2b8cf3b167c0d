# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_snapshot_info
short_description: A node's packet rules, virtual servers, ipsets and sysctls in one value, to be kept
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Takes a snapshot of a node before something about kube-proxy is changed. M(netops.kube_proxy.kube_proxy_restore) puts back of it what is missing later.
  - The parts are texts in the forms of the node's own tools, so that people can read them, and so can the tools.
  - Judges besides which objects are foreign, that is neither kube-proxy's nor of a program that makes them anew by itself (kubelet, CNI plugins, Docker and
    the like), as RV(snapshot.foreign).
  - Changes nothing, never loads a kernel module and creates no table by looking.
options:
  metrics_address:
    description:
      - Where kube-proxy serves C(/proxyMode), as C(metricsBindAddress) in its configuration has it. Empty means that metrics are off, and then
        the running mode is null.
    type: str
    default: 127.0.0.1:10249
  node_port_range:
    description:
      - The ports that the API server gives to NodePorts, as its C(--service-node-port-range) has them.
      - A virtual server on an address of the node with such a port is kube-proxy's, as in M(netops.kube_proxy.kube_proxy_cleanup).
    type: str
    default: 30000-32767
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
notes:
  - Needs root, the node's own C(iptables) where it has chains, and C(nft) where it has tables of nftables.
  - Without C(ipset) the ipsets are read all the same, without their options. Such sets are not put back.
  - A text of more than 256 KiB is a mapping with the key C(zlib+base64) instead. C(base64 -d | zlib-flate -uncompress) makes it readable.
  - It holds no secrets of Kubernetes, but everything about the node's firewall. The role P(netops.kube_proxy.switch#role) keeps it with mode 0600.
seealso:
  - module: netops.kube_proxy.kube_proxy_restore
  - module: netops.kube_proxy.kube_proxy_objects_info
  - module: netops.kube_proxy.kube_proxy_info
"""

EXAMPLES = r"""
- name: Take a snapshot of the node
  netops.kube_proxy.kube_proxy_snapshot_info:
  become: true
  register: node

- name: Keep it on the controller
  ansible.builtin.copy:
    content: "{{ node.snapshot | to_json | string }}"
    dest: "{{ inventory_dir }}/{{ inventory_hostname }}.json"
    mode: "0600"
  delegate_to: localhost
"""

RETURN = r"""
snapshot:
  description: The snapshot, as M(netops.kube_proxy.kube_proxy_restore) takes it.
  returned: success
  type: dict
  contains:
    format:
      description: The version of this form.
      type: int
      sample: 1
    node:
      description: The name of the Node object, from the kubelet's client certificate. Null on a machine without one.
      type: str
      sample: worker-1
    taken_at:
      description: When, by the node's clock, in UTC.
      type: str
      sample: "2026-11-25T18:04:05Z"
    kernel:
      description: The kernel's release.
      type: str
      sample: 6.1.0-18-amd64
    running_mode:
      description: The mode that kube-proxy ran. Null when it did not say.
      type: str
      sample: iptables
    iptables:
      description: What C(iptables-save) prints for each V(backend) and V(family) that has tables, as V(text), the tables raw and security among them.
      type: list
      elements: dict
    nft:
      description: Each table of nftables by V(family) and V(name) as C(nft list table) prints it, as V(text). Those of iptables-nft are left out.
      type: list
      elements: dict
    ipvs:
      description: The virtual servers as C(ipvsadm -Sn) prints them.
      type: str
    ipsets:
      description: The ipsets as C(ipset save) prints them.
      type: str
    whole_ipsets:
      description: Whether C(ipset) printed them. Without it their options are missing.
      type: bool
    addresses:
      description: The addresses of C(kube-ipvs0).
      type: list
      elements: str
    sysctls:
      description: The sysctls that kube-proxy or this collection sets, as far as the kernel has them.
      type: dict
      sample: {net.ipv4.ip_forward: "1"}
    modules:
      description: The kernel modules that are loaded.
      type: list
      elements: str
    foreign:
      description: The foreign objects. What an object does not have is left out.
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
    unread:
      description: What could not be read, or can be seen in this snapshot and not be put back from it, and why.
      type: list
      elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._restore_work import take


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "metrics_address": {"type": "str", "default": "127.0.0.1:10249"},
            "node_port_range": {"type": "str", "default": "30000-32767"},
        },
        supports_check_mode=True,
    )
    run(module, take)


if __name__ == "__main__":
    main()
