# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_switch_info
short_description: What decides how a node takes another mode of kube-proxy
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Reads of a node what lies around kube-proxy and matters when its mode changes. The filter P(netops.kube_proxy.preflight_matrix#filter) judges it,
    together with what the other modules of this collection return.
  - Changes nothing, and never loads a kernel module by looking. What cannot be read is null, and RV(unread) says why.
options:
  metrics_address:
    description:
      - Where kube-proxy serves C(/metrics), as C(metricsBindAddress) in its configuration has it. Empty means that metrics are off.
    type: str
    default: 127.0.0.1:10249
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
notes:
  - Needs root, to look into the tables of the node and into kube-proxy's image.
  - The C(nft) of kube-proxy's image is run for its version, in the root folder of the running process.
seealso:
  - module: netops.kube_proxy.cluster_switch_info
  - module: netops.kube_proxy.kube_proxy_info
  - plugin: netops.kube_proxy.preflight_matrix
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read what decides how the node takes another mode
  netops.kube_proxy.node_switch_info:
  become: true
  register: node

- name: Show chains that drop what is forwarded
  ansible.builtin.debug:
    msg: "{{ node.forward_policies | default([], true) | selectattr('policy', 'eq', 'DROP') }}"
"""

RETURN = r"""
kernel_release:
  description: The kernel's release, as C(uname -r) says it.
  returned: success
  type: str
  sample: 6.1.0-18-amd64
nft:
  description: C(nft), and what is in its tables.
  returned: success
  type: dict
  contains:
    host:
      description: The version of the host's C(nft). Null without one, and where asking would load a kernel module.
      type: str
      sample: 1.0.6
    kube_proxy:
      description: The version of the C(nft) in the image of the running kube-proxy. Null when none runs.
      type: str
      sample: 1.0.6.1
    sets:
      description: The C(family), C(table) and C(name) of each named set and map outside kube-proxy's own tables. Null when they cannot be read.
      type: list
      elements: dict
      sample: [{family: inet, table: filter, name: blocked}]
forward_policies:
  description: What happens to a forwarded packet that no rule takes, by base chain. Null when a part of it cannot be read.
  returned: success
  type: list
  elements: dict
  contains:
    backend:
      description: V(nft) or V(legacy) for C(FORWARD) of iptables, V(nftables) for any other chain at that hook.
      type: str
    family:
      description: V(ipv4), V(ipv6) or V(inet), which is both.
      type: str
    table:
      description: The table.
      type: str
    chain:
      description: The chain.
      type: str
    policy:
      description: V(ACCEPT) or V(DROP).
      type: str
firewalls:
  description: Managers of firewalls that are in use on this node.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: V(firewalld) when it runs, V(ufw) when it is on, V(nftables.service) when it is started at boot.
      type: str
    flushes:
      description: Whether it removes rules that it did not make, when it is started, reloaded or stopped.
      type: bool
    seen:
      description: What it was recognised by, and where it says so.
      type: list
      elements: str
      sample: [/etc/systemd/system/sysinit.target.wants/nftables.service, "/etc/nftables.conf:3"]
cni:
  description: The networks in C(/etc/cni/net.d), by the names of their files. The first one is that of the pods.
  returned: success
  type: list
  elements: dict
  contains:
    file:
      description: The file.
      type: str
      sample: /etc/cni/net.d/10-calico.conflist
    name:
      description: The network's name.
      type: str
    plugins:
      description: The types of its plugins.
      type: list
      elements: str
      sample: [calico, bandwidth, portmap]
    mark_chain:
      description: The chain of iptables that a plugin sends packets to for masquerading (C(externalSetMarkChain)). Empty without one.
      type: str
      sample: KUBE-MARK-MASQ
addresses:
  description: The addresses of the node by device, in the form of C(ip -j address show), which the filters of this collection take as C(links).
  returned: success
  type: list
  elements: dict
  sample: [{ifname: eth0, addr_info: [{local: 192.0.2.10}]}]
counters:
  description: What the running kube-proxy has counted. Null where it does not tell, as in any mode but iptables.
  returned: success
  type: dict
  contains:
    localhost_node_ports_accepted:
      description: Packets to NodePorts on C(127.0.0.0/8).
      type: int
    invalid_packets_dropped:
      description: Packets dropped because connection tracking calls them invalid.
      type: int
tcp_be_liberal:
  description: Whether connection tracking takes packets outside the window (C(net.netfilter.nf_conntrack_tcp_be_liberal)).
  returned: success
  type: bool
unread:
  description: Why something could not be read, by its name with dots.
  returned: success
  type: dict
  sample: {nft.kube_proxy: "nft of kube-proxy's image cannot be asked: no kube-proxy runs on this node."}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import command_runner, require_root, run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import (
    METRICS_PORT,
    get,
    parse_endpoint,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_switch_read import SwitchLook


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Look once."""
    metrics = parse_endpoint("metrics_address", module.params["metrics_address"], METRICS_PORT)
    require_root()
    return {"changed": False, **SwitchLook(command_runner(module), Files(), get).facts(metrics)}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={"metrics_address": {"type": "str", "default": "127.0.0.1:10249"}},
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
