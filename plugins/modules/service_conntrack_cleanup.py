# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_conntrack_cleanup
short_description: Remove UDP flows to Services that lead nowhere from a node's connection tracking
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Connection tracking remembers where a UDP flow goes, and asks no rule again while packets keep coming. A flow to a Service that began while
    the node had no rules for it, or that went through IPVS before the node left ipvs mode, leads nowhere for as long as its client sends; one to an endpoint
    that has gone, too.
  - kube-proxy from 1.32 on removes most of them at its first sync, and when endpoints of a UDP Service change; older ones look for less. None sees those that
    IPVS carried, as who is to answer them is right. Kernels before 5.9 keep them for minutes after the virtual server has gone, later ones end them.
  - Only UDP flows whose original destination is an address and port of a Service on this node are looked at (ClusterIP, external IP, address of a
    load balancer; NodePorts on the node's own addresses), and only those in the zone that rules leave everything in. Other flows stay, and nothing is flushed.
  - A flow stays while who is to answer it is a serving endpoint of the Service, whatever traffic policies and hints say.
extends_documentation_fragment:
  - netops.kube_proxy._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows the flows that lead nowhere.
  idempotent:
    support: full
    details:
      - Flows begin and end by themselves.
options:
  state:
    type: str
    required: true
    description:
      - What the API asks for, as RV(netops.kube_proxy.cluster_services_info#module:state) returned it.
  node:
    type: str
    description:
      - The Node's name in the API. Without it the name in the kubelet's client certificate is taken.
  mode:
    type: str
    choices: [iptables, ipvs, nftables]
    description:
      - The mode that kube-proxy runs in on this node, its first sync being over. Without it the configured one.
notes:
  - Needs root. C(conntrack) is not needed.
  - Loads no kernel module by looking. Where C(nf_conntrack) is not in the kernel there are no flows; where C(nf_conntrack_netlink) is not, they cannot be
    read, see RV(unread).
seealso:
  - module: netops.kube_proxy.cluster_services_info
  - module: netops.kube_proxy.kube_proxy_cleanup
"""

EXAMPLES = r"""
- name: Read what the cluster asks for
  netops.kube_proxy.cluster_services_info:
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  run_once: true
  become: true
  register: cluster

- name: Show UDP flows that lead nowhere
  netops.kube_proxy.service_conntrack_cleanup:
    state: "{{ cluster.state }}"
    mode: nftables
  become: true
  check_mode: true
  diff: true

- name: Have none of them
  netops.kube_proxy.service_conntrack_cleanup:
    state: "{{ cluster.state }}"
    mode: nftables
  become: true
"""

RETURN = r"""
node:
  description: The Node's name in the API.
  returned: success
  type: str
  sample: worker1
mode:
  description: The mode that the flows were judged by.
  returned: success
  type: str
  sample: nftables
removed:
  description: The flows that were removed (in check mode, would be).
  returned: success
  type: list
  elements: dict
  contains:
    family:
      description: IP version, V(4) or V(6).
      type: int
      sample: 4
    service:
      description: The Service port, as C(namespace/name:port name).
      type: str
      sample: kube-system/kube-dns:dns
    source:
      description: Address of the client.
      type: str
      sample: 10.244.1.7
    source_port:
      description: Port of the client.
      type: int
      sample: 40112
    address:
      description: Address that the client sends to.
      type: str
      sample: 10.96.0.10
    port:
      description: Port that the client sends to.
      type: int
      sample: 53
    answers:
      description: Address that is to answer, by connection tracking.
      type: str
      sample: 10.96.0.10
    answers_port:
      description: Its port.
      type: int
      sample: 53
    reason:
      description: Why the flow leads nowhere.
      type: str
      sample: nothing rewrites it
unread:
  description: Why the flows were not read; empty when they were.
  returned: success
  type: str
  sample: ""
actions:
  description: What was done (in check mode, would be), as sentences.
  returned: success
  type: list
  elements: str
  sample: ["Remove the UDP flow 10.244.1.7:40112 -> 10.96.0.10:53 (kube-system/kube-dns:dns): nothing rewrites it"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._conntrack_work import work


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True},
            "node": {"type": "str"},
            "mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables"]},
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
