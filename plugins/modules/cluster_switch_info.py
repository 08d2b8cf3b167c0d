# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_switch_info
short_description: What in the API decides how a cluster takes another mode of kube-proxy
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Reads what lies around kube-proxy in the API and matters when its mode changes. The filter P(netops.kube_proxy.preflight_matrix#filter) judges it,
    together with what the other modules of this collection return.
  - Lists each kind at most once, and only kinds that are needed. Nodes and DaemonSets always, the rest where these show that it is there.
  - A custom resource that the cluster does not have is not there. What this user may not read is null, and RV(unread) says so.
options:
  drain:
    description:
      - Whether nodes will be drained. Then the pods of all namespaces are listed, and the PodDisruptionBudgets.
    type: bool
    default: false
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
  - netops.kube_proxy._kubernetes_api
  - netops.kube_proxy._kubernetes_api.objects
notes:
  - Runs where a kubeconfig is. Delegate it to a control-plane host, as root, or run it on the controller.
seealso:
  - module: netops.kube_proxy.cluster_services_info
  - module: netops.kube_proxy.node_switch_info
  - plugin: netops.kube_proxy.preflight_matrix
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read what the API says about the cluster's network
  netops.kube_proxy.cluster_switch_info:
    drain: true
  delegate_to: "{{ groups['control_plane'][0] }}"
  run_once: true
  become: true
  register: cluster

- name: Show the nodes whose drain would wait
  ansible.builtin.debug:
    msg: "{{ cluster.blocking_budgets | default([], true) | map(attribute='nodes') | flatten | unique }}"
"""

RETURN = r"""
config_map:
  description: kube-proxy's ConfigMap. Null when there is none.
  returned: success
  type: dict
  contains:
    managers:
      description: Who has written it, by the names in its C(managedFields).
      type: list
      elements: str
      sample: [kubeadm, kubectl-edit]
    owner:
      description: Who of them would put it back, such as V(Argo CD), V(Flux) or V(Helm). Empty for nobody.
      type: str
    mark:
      description: The label, annotation or manager that says so.
      type: str
    feature_gates:
      description: The feature gates that it sets. Null when it cannot be understood.
      type: dict
      sample: {KubeProxyIPVS: true}
kube_proxy:
  description: kube-proxy's DaemonSet. Null when there is none.
  returned: success
  type: dict
  contains:
    image:
      description: The image.
      type: str
    releases:
      description: The release that the image's tag names. Where it names none, those that the nodes report.
      type: list
      elements: str
      sample: ["1.37"]
    update_strategy:
      description: The type of its C(updateStrategy).
      type: str
      sample: RollingUpdate
    skips_kernel_check:
      description: Whether it is told to start in nftables mode on any kernel (C(KUBE_PROXY_NFTABLES_SKIP_KERNEL_VERSION_CHECK)).
      type: bool
    owner:
      description: Who would put it back when it is changed, as RV(config_map.owner).
      type: str
    mark:
      description: The label, annotation or manager that says so.
      type: str
nodes:
  description: The nodes.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The Node's name in the API.
      type: str
    ready:
      description: Whether its condition Ready is true.
      type: bool
    unschedulable:
      description: Whether it is cordoned.
      type: bool
    control_plane:
      description: Whether it has the label of the control plane.
      type: bool
    mode_label:
      description: The value of its label C(kube-proxy.netops/mode), with which a switch that is under way marks it. Empty without one.
      type: str
    kubelet_version:
      description: The version of its kubelet.
      type: str
    pod_cidrs:
      description: The networks of its pods.
      type: list
      elements: str
calico:
  description: Calico. Null when its DaemonSet is not there, or its configuration may not be read.
  returned: success
  type: dict
  contains:
    daemon_set:
      description: Its DaemonSet.
      type: str
    nftables_mode:
      description: C(nftablesMode) of Felix, V(Disabled), V(Enabled) or V(Auto). Empty when nothing sets it, which is Disabled.
      type: str
    nftables_mode_by_node:
      description: The same of nodes that have one of their own.
      type: dict
    bpf_enabled:
      description: Whether Felix is in eBPF mode.
      type: bool
flannel:
  description: Flannel. Null when its DaemonSet is not there.
  returned: success
  type: dict
  contains:
    daemon_set:
      description: Its DaemonSet.
      type: str
    enable_nftables:
      description: C(EnableNFTables) of its C(net-conf.json). Null when that cannot be read.
      type: bool
node_local_dns:
  description: NodeLocal DNSCache. Null when its DaemonSet is not there.
  returned: success
  type: dict
  contains:
    daemon_set:
      description: Its DaemonSet.
      type: str
    local_ips:
      description: The addresses that it takes.
      type: list
      elements: str
      sample: [169.254.20.10, 10.96.0.10]
    setup_iptables:
      description: Whether it makes rules that keep its packets out of connection tracking.
      type: bool
l2_announcers:
  description: The C(name) of what announces addresses of Services by ARP or neighbour discovery, and where that was C(seen). Null when not known.
  returned: success
  type: list
  elements: dict
  sample: [{name: MetalLB, seen: L2Advertisement metallb-system/default}]
blocking_budgets:
  description: PodDisruptionBudgets that allow no disruption now. Null without O(drain).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its namespace and name.
      type: str
    nodes:
      description: The nodes with pods of it that a drain would evict.
      type: list
      elements: str
    pods:
      description: How many pods these are.
      type: int
unread:
  description: Why something could not be read, by its name.
  returned: success
  type: dict
  sample: {calico: "Could not read the FelixConfigurations of Calico: the API server says 403."}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_switch_read import work
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import OBJECT_ARGUMENTS


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={"drain": {"type": "bool", "default": False}, **API_ARGUMENTS, **OBJECT_ARGUMENTS},
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
