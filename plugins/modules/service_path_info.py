# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_path_info
short_description: The way of a connection to one Kubernetes Service through a node's kernel
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Follows packets for one Service through what kube-proxy programmed on this node, hop by hop, as the kernel will treat them.
  - In iptables mode these are the chains C(KUBE-SERVICES), C(KUBE-SVC-...) and C(KUBE-SEP-...) with their probabilities, in ipvs mode C(kube-ipvs0),
    the ipsets and the virtual server with its real servers, in nftables mode the maps and chains of the table C(kube-proxy).
  - Holds each destination against the Kubernetes API. One that the API does not have is dead, one that only the API has is missing.
  - Ends in a sentence for each address of the Service.
  - Reads only, and loads no kernel module by looking. Needs Python, C(iptables-save) and C(nft) on the node, nothing else.
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
options:
  state:
    type: str
    required: true
    description:
      - What the API asks for, as RV(netops.kube_proxy.cluster_services_info#module:state) returned it.
  service:
    type: str
    required: true
    description:
      - The Service, as C(namespace/name), or one port of it, as C(namespace/name:port) with the port's name or number.
  protocol:
    type: str
    choices: [tcp, udp, sctp]
    description:
      - Only ports of this protocol. Without it all.
  node:
    type: str
    description:
      - The Node's name in the API. Without it the name in the kubelet's client certificate is taken.
  mode:
    type: str
    choices: [iptables, ipvs, nftables]
    description:
      - The mode whose kernel objects are followed. Without it the mode that kube-proxy says it runs in, and where it does not answer the configured one.
  metrics_address:
    type: str
    description:
      - Where kube-proxy shows its metrics and its mode. Without it the C(metricsBindAddress) of its configuration. Empty means that they are off.
  healthz_address:
    type: str
    description:
      - Where kube-proxy shows its health. Without it the C(healthzBindAddress) of its configuration. Empty means that it is off.
seealso:
  - module: netops.kube_proxy.cluster_services_info
  - module: netops.kube_proxy.service_dataplane_info
  - plugin: netops.kube_proxy.service_path_lines
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read what the cluster asks for
  netops.kube_proxy.cluster_services_info:
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  run_once: true
  become: true
  register: cluster

- name: Follow connections to the cluster's DNS
  netops.kube_proxy.service_path_info:
    state: "{{ cluster.state }}"
    service: kube-system/kube-dns:dns
  become: true
  register: way

- name: Show the way
  ansible.builtin.debug:
    msg: "{{ way.lines }}"
"""

RETURN = r"""
node:
  description: The Node's name in the API.
  returned: success
  type: str
  sample: worker1
mode:
  description: The mode whose kernel objects were followed.
  returned: success
  type: str
  sample: iptables
service:
  description: The Service, as C(namespace/name).
  returned: success
  type: str
  sample: default/web
reason:
  description: Why kube-proxy makes nothing for the Service, as for a headless one; empty when it does.
  returned: success
  type: str
  sample: ""
counters:
  description: What the mode counts, in words.
  returned: success
  type: str
  sample: packets and bytes that each rule has seen since it was written
problems:
  description: What is wrong with the kernel objects of the Service, or with those that packets for all Services go through, in sentences.
  returned: success
  type: list
  elements: str
  sample: []
paths:
  description: The way to each address and port of the Service, ClusterIPs first.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The address; empty for a NodePort in iptables and nftables mode, see RV(paths[].answers_on).
      type: str
      sample: 10.96.0.10
    port:
      description: The port.
      type: int
      sample: 80
    protocol:
      description: V(tcp), V(udp) or V(sctp).
      type: str
      sample: tcp
    family:
      description: IP version, V(4) or V(6).
      type: int
      sample: 4
    service:
      description: The Service port, as C(namespace/name:port name).
      type: str
      sample: default/web:http
    source:
      description: What the address is - V(cluster_ip), V(external_ip), V(load_balancer_ip) or V(node_port); empty when nothing tells.
      type: str
      sample: cluster_ip
    answers_on:
      description: The addresses that a NodePort without an address of its own answers on. V(local) means all of the node.
      type: list
      elements: str
      sample: []
    verdict:
      description: What a client from elsewhere gets - V(forward), V(reject), V(drop), or V(none) when the kernel has nothing for the address.
      type: str
      sample: forward
    hops:
      description: The rules, elements, virtual servers and destinations on the way, in its order.
      type: list
      elements: dict
      contains:
        depth:
          description: How many hops lead here.
          type: int
          sample: 2
        place:
          description: Where it stands.
          type: str
          sample: nat KUBE-SVC-PZZOH4GMXQXQLAH7
        rule:
          description: As the tool of the mode writes it; empty where something is missing.
          type: str
          sample: -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-SHRHPIF6JJVVZWAJ
        does:
          description:
            - One of V(leads), V(marks) (for a new source), V(rewrites), V(schedules), V(masquerades), V(rejects), V(drops), V(returns), V(accepts),
              V(notes) (the client), V(holds) (an address), V(unmarks), V(nothing).
          type: str
          sample: leads
        target:
          description: The place it leads to.
          type: str
          sample: nat KUBE-SEP-SHRHPIF6JJVVZWAJ
        condition:
          description: Which of the packets that come here it is for, in words; empty for all. What is missing, where the rule is empty.
          type: str
          sample: not from 10.244.0.0/16
        clients:
          description: Whose packets it is for - V(all), V(pods), V(node), or V(outside) for those of neither.
          type: str
          sample: all
        share:
          description: The part of the new connections coming to its place that it takes; null when it depends on something else than chance.
          type: float
          sample: 0.5
        probability:
          description: As the rule has it, of what the rules before it left.
          type: str
          sample: "0.50000000000"
        weight:
          description: Of a destination of IPVS.
          type: int
          sample: 1
        connections:
          description: Those that a destination of IPVS has now, active and inactive ones.
          type: int
          sample: 12
        address:
          description: Address of the endpoint that it leads to; empty when it leads to none.
          type: str
          sample: 10.244.1.2
        port:
          description: Port of the endpoint.
          type: int
          sample: 8080
        packets:
          description: How many packets it has seen; null where nobody counts.
          type: int
          sample: 42
        bytes:
          description: How many bytes it has seen; null where nobody counts.
          type: int
          sample: 2520
    destinations:
      description: Where the way ends, and all other endpoints that the API has for the Service port.
      type: list
      elements: dict
      contains:
        address:
          description: Address of the endpoint.
          type: str
          sample: 10.244.1.2
        port:
          description: Port of the endpoint.
          type: int
          sample: 8080
        node:
          description: The node that it runs on; empty when the API does not tell.
          type: str
          sample: worker2
        ready:
          description: Whether the API says that it is ready; null when the API has no such endpoint.
          type: bool
          sample: true
        serving:
          description: Whether it serves, as RV(paths[].destinations[].ready).
          type: bool
          sample: true
        terminating:
          description: Whether it terminates, as RV(paths[].destinations[].ready).
          type: bool
          sample: false
        clients:
          description: Whose connections go there - V(all), V(inside) for pods and the node itself, V(outside) for others.
          type: str
          sample: all
        share:
          description: The part of their new connections that it gets; null when it depends on something else than chance.
          type: float
          sample: 0.5
        weight:
          description: In ipvs mode.
          type: int
          sample: 1
        connections:
          description: In ipvs mode, those that it has now.
          type: int
          sample: 12
        state:
          description:
            - V(used) when kernel and API agree, V(dead) when the kernel sends there and the API has no such endpoint, V(stale) when the API has it but does
              not mean it to be used now, V(missing) when the kernel does not send there although the API wants it, V(unused) when neither
              does, V(draining) for a destination of IPVS that gets no new connections.
          type: str
          sample: used
    masquerade:
      description: Whose packets get the node's address as source, in words.
      type: str
      sample: packets not from 10.244.0.0/16, packets of an endpoint to itself
    affinity:
      description: Seconds for which a client stays with its endpoint; 0 without session affinity.
      type: int
      sample: 0
    sentence:
      description: What becomes of a new connection.
      type: str
      sample: A new connection to TCP 10.96.0.10:80 goes to 10.244.1.2:8080 on worker2.
mermaid:
  description: The paths as one flowchart in Mermaid; empty without any.
  returned: success
  type: str
lines:
  description: All of it for people, as lines of text.
  returned: success
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import command_runner, require_root, run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_path import answer, question


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Follow the packets."""
    asked = question(module.params)
    require_root()
    return {"changed": False, **answer(asked, command_runner(module), Files())}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True},
            "service": {"type": "str", "required": True},
            "protocol": {"type": "str", "choices": ["tcp", "udp", "sctp"]},
            "node": {"type": "str"},
            "mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables"]},
            "metrics_address": {"type": "str"},
            "healthz_address": {"type": "str"},
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
