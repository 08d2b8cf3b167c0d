# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_services_info
short_description: What decides the Service dataplane of every node
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Lists Services, EndpointSlices, nodes and kube-proxy's pods, and reads its ConfigMap, once each.
  - Returns what kube-proxy makes its decisions from as one compressed text. The filter P(netops.kube_proxy.node_virtual_servers#filter)
    turns it into what kube-proxy should have programmed on a node.
  - While a switch lasts (M(netops.kube_proxy.kube_proxy_switch)), a node that it has moved is one with the second ConfigMap's
    configuration in RV(state).
  - Reads only. A missing or broken ConfigMap is returned as RV(config_problem), it is not a failure.
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
  - netops.kube_proxy._kubernetes_api
  - netops.kube_proxy._kubernetes_api.objects
notes:
  - Runs where a kubeconfig is. Delegate it to a control-plane host, as root, or run it on the controller.
seealso:
  - plugin: netops.kube_proxy.node_virtual_servers
    plugin_type: filter
  - module: netops.kube_proxy.kube_proxy_mode
"""

EXAMPLES = r"""
- name: Gather what the cluster asks for
  netops.kube_proxy.cluster_services_info:
  delegate_to: "{{ groups['control_plane'][0] }}"
  run_once: true
  become: true
  register: cluster

- name: Show the nodes that run kube-proxy
  ansible.builtin.debug:
    msg: "{{ cluster.nodes | selectattr('runs_kube_proxy') | map(attribute='name') }}"
"""

RETURN = r"""
state:
  description: The state of the cluster, for this collection's filters. It is JSON, compressed, in Base64.
  returned: success
  type: str
nodes:
  description: The nodes of the cluster.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The Node's name in the API.
      type: str
      sample: worker1
    ready:
      description: Whether its condition Ready is true.
      type: bool
    internal_ips:
      description: Its addresses of type InternalIP.
      type: list
      elements: str
      sample: [192.168.1.11]
    runs_kube_proxy:
      description: Whether a pod of kube-proxy's DaemonSet is on it.
      type: bool
    kube_proxy_uid:
      description: The uid of that pod, empty without one.
      type: str
      sample: 0c8c5a1e-6a0f-4f3a-9b63-1f6f0c2b7d11
    kubelet_version:
      description: The version of its kubelet.
      type: str
      sample: v1.37.2
config:
  description: The configuration in the ConfigMap as kube-proxy understands it, its defaults filled in. Empty when there is none to read.
  returned: success
  type: dict
config_problem:
  description:
    - Why there is no configuration to read. Empty when there is one.
    - Where nodes read a switch's second ConfigMap, also why that one cannot be read.
  returned: success
  type: str
kubernetes_service:
  description: C(address) and C(port) of the Service C(default/kubernetes), the one that every cluster has.
  returned: success
  type: dict
  sample: {"address": "10.96.0.1", "port": 443}
counts:
  description: How many objects there are.
  returned: success
  type: dict
  sample: {"services": 12, "endpoint_slices": 14, "nodes": 3, "kube_proxy_pods": 3}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state_read import work
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import OBJECT_ARGUMENTS


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec={**API_ARGUMENTS, **OBJECT_ARGUMENTS}, supports_check_mode=True)
    run(module, work)


if __name__ == "__main__":
    main()
