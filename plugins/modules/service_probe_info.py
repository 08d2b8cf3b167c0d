# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_probe_info
short_description: Whether a node's Services answer, by connections
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Connects over TCP to addresses of Services from this node, and to their endpoints directly. A connection is closed as soon as it is there, and nothing is
    sent. What the node should have is worked out as in M(netops.kube_proxy.service_dataplane_info).
  - Connects from the node's own network namespace, from that of a pod on it, and from that of a pod to a Service whose only endpoint it is (hairpin).
  - A Service's address has failed when several connections to it were not answered, an endpoint of it answers from the same place, and chance does not explain
    it. Where no endpoint answers directly (a NetworkPolicy, an application that does not listen) nothing is known.
  - All connections of a place are made at the same time. On a node where everything answers that takes less than a second.
  - Changes nothing, but that the node remembers connections as those of any client (connection tracking, session affinity).
  - Enters a pod's network namespace with a process of its own.
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
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
      - The mode that kube-proxy runs in on this node. Without it the configured one.
  services:
    type: list
    elements: str
    default: []
    description:
      - Only these Services, written as C(namespace/name). Without it all.
  limit:
    type: int
    default: 40
    description:
      - How many addresses of Services are connected to at most; V(0) means all.
      - They are chosen so that each kind is there - ClusterIPs, NodePorts (on the node's main address, on another one), external IPs and addresses of
        load balancers; IPv4 and IPv6; with several endpoints, with one, with one that is a pod of this node, with none.
  timeout:
    type: float
    default: 3
    description:
      - How many seconds a connection may take. An address that is not answered while an endpoint of it is gets four connections.
notes:
  - Needs root.
  - NodePorts on loopback are left out. kube-proxy counts who uses them, and the preflight of the role P(netops.kube_proxy.switch#role) goes by its counter.
seealso:
  - module: netops.kube_proxy.cluster_services_info
  - module: netops.kube_proxy.service_dataplane_info
"""

EXAMPLES = r"""
- name: Read what the cluster asks for
  netops.kube_proxy.cluster_services_info:
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  run_once: true
  become: true
  register: cluster

- name: Connect to Services
  netops.kube_proxy.service_probe_info:
    state: "{{ cluster.state }}"
  become: true
  register: probe

- name: Stop where a Service does not answer
  ansible.builtin.fail:
    msg: "{{ probe.failures | join(' ') }}"
  when: probe.failures | length > 0
"""

RETURN = r"""
node:
  description: The Node's name in the API.
  returned: success
  type: str
  sample: worker1
mode:
  description: The mode that it was asked by.
  returned: success
  type: str
  sample: nftables
probes:
  description: What was seen of each address, from each place.
  returned: success
  type: list
  elements: dict
  contains:
    from:
      description: V(node), V(pod), or V(hairpin) for the Service's own endpoint.
      type: str
      sample: pod
    service:
      description: The Service port, as C(namespace/name:port name).
      type: str
      sample: default/web:http
    source:
      description: What the address is - V(cluster_ip), V(external_ip), V(load_balancer_ip) or V(node_port).
      type: str
      sample: cluster_ip
    family:
      description: IP version, V(4) or V(6).
      type: int
      sample: 4
    address:
      description: The address.
      type: str
      sample: 10.96.0.10
    port:
      description: The port.
      type: int
      sample: 80
    answered:
      description: Whether a connection was answered.
      type: bool
      sample: true
    direct:
      description:
        - Whether an endpoint was answered directly, from the same place, and from the node as well where packets of pods get its address.
        - Null where there is no endpoint, and where nobody could look.
      type: bool
      sample: true
    verdict:
      description: V(ok), V(failed), or V(unknown). That nothing answers for a Service without endpoints is V(ok).
      type: str
      sample: ok
    reason:
      description: Why the verdict is not V(ok), as a sentence; empty where it is.
      type: str
      sample: ""
failures:
  description: What has failed, as sentences. Empty when nothing has.
  returned: success
  type: list
  elements: str
  sample:
    - "From the node: TCP 10.96.0.1:80 (default/web:http) was not answered in 4 attempts (no answer in 3 s), while its endpoint 10.244.1.2:80 answers directly."
failed_services:
  description: The Services that have failed, as C(namespace/name), for O(services) of another look.
  returned: success
  type: list
  elements: str
  sample: [default/web]
left_out:
  description: How many addresses more there are than O(limit) lets in.
  returned: success
  type: int
  sample: 0
not_probed:
  description: Addresses that no connection can say anything about.
  returned: success
  type: list
  elements: dict
  contains:
    reason:
      description: Why, as a sentence.
      type: str
      sample: Whether UDP or SCTP is answered only a client of the Service can tell.
    count:
      description: How many there are.
      type: int
      sample: 2
    example:
      description: One of them.
      type: str
      sample: kube-system/kube-dns:dns UDP 10.96.0.10 53
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import require_root, run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_probe import answer, question


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Connect."""
    asked = question(module.params)
    require_root()
    return {"changed": False, **answer(asked, Files())}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True},
            "node": {"type": "str"},
            "mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables"]},
            "services": {"type": "list", "elements": "str", "default": []},
            "limit": {"type": "int", "default": 40},
            "timeout": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
