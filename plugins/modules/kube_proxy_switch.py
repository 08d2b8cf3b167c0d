# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_switch
short_description: A second pair of ConfigMap and DaemonSet for a switch of kube-proxy's mode node by node
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - One ConfigMap serves the kube-proxy of all nodes, so its mode cannot be changed on one node alone. This module makes a second pair beside it, a ConfigMap
    and a DaemonSet with the suffix C(-switch), in another mode, for the nodes that have the label C(kube-proxy.netops/mode) with that mode.
    M(netops.kube_proxy.kube_proxy_node) moves the nodes.
  - Nothing restarts, neither when the pair is made nor when it goes.
  - Everything that it needs to know later is in the cluster. A run that was interrupted is finished, or undone, by the next one from anywhere.
options:
  state:
    description:
      - >-
        V(present) first lets the original DaemonSet restart nothing by itself (C(updateStrategy) C(OnDelete)) and notes in its annotation
        C(kube-proxy.netops/switch) how it was; only then gives its pods a required node affinity that keeps them off nodes with the label (it joins one
        that is there); then makes the second ConfigMap, a copy of the original with O(mode) and O(settings), edited and refused as
        M(netops.kube_proxy.kube_proxy_mode) does it; and then the second DaemonSet, with a selector of its own.
      - >-
        V(absent) deletes the second pair and gives the original its pod template and its C(updateStrategy) back, as they were. Pods that were
        made in between get the mark (C(controller-revision-hash)) of that template, from which they differ in nothing, and the DaemonSet
        controller has to know that before C(RollingUpdate) returns, so that no pod restarts. Refused while a node has the label or a pod of the second
        DaemonSet is there.
    type: str
    choices: [present, absent]
    default: present
  mode:
    description:
      - The mode of the second pair.
      - Needed to begin. Without it, the switch that is in progress is meant. One to another mode is refused.
    type: str
    choices: [iptables, ipvs, nftables]
  settings:
    description:
      - Further fields of KubeProxyConfiguration for the second pair, as in M(netops.kube_proxy.kube_proxy_mode).
      - A kube-proxy that runs already does not see what is changed here later. Nothing restarts it.
    type: dict
    default: {}
  timeout:
    description:
      - How long to wait each time for the DaemonSet controller to look at the original DaemonSet, in seconds. Only V(absent) waits.
    type: int
    default: 120
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._kubernetes_api
  - netops.kube_proxy._kubernetes_api.objects
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows the parts of the objects that this module changes, and the text of the second ConfigMap.
  idempotent:
    support: full
notes:
  - Runs where a kubeconfig is. Delegate it to a control-plane host, as root, or run it on the controller.
  - An edit of the original ConfigMap while a switch lasts does not reach the second one. The module warns and says what differs.
  - A pod template that somebody changes while a switch lasts (another image, say) stays changed. Pods of the older one are restarted by
    C(RollingUpdate) when it returns, as they would have been, and their nodes are named in RV(restarted).
  - C(kubeadm upgrade) writes the original DaemonSet as a whole and so takes the note and the affinity away. Finish or undo a switch before. If it has
    happened, O(state=present) puts both back.
  - Needs permission to get, create, update and delete ConfigMaps and DaemonSets, to update pods, and to list nodes, pods and ControllerRevisions.
seealso:
  - module: netops.kube_proxy.kube_proxy_node
  - module: netops.kube_proxy.kube_proxy_mode
  - module: netops.kube_proxy.kube_lease
"""

EXAMPLES = r"""
- name: Have a second pair in IPVS mode
  netops.kube_proxy.kube_proxy_switch:
    mode: ipvs
    settings:
      ipvs:
        scheduler: rr
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  run_once: true
  become: true

- name: Have it gone, when every node has been handed back
  netops.kube_proxy.kube_proxy_switch:
    state: absent
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  run_once: true
  become: true
"""

RETURN = r"""
actions:
  description: What was done (or would be in check mode), one sentence each.
  returned: success
  type: list
  elements: str
  sample: ["keep DaemonSet kube-system/kube-proxy off nodes with the label kube-proxy.netops/mode"]
phase:
  description:
    - Where the switch stands after the run. V(none), V(ready) (nodes can be moved), or V(begun) (something of it is there, or still there).
    - When the module refuses, where it stands now.
  returned: success, and when it is refused
  type: str
  sample: ready
mode:
  description:
    - Mode C(before) the switch (where the ConfigMap named none, the release's default), the one that it leads to (C(after)), and the one C(configured) in
      the original ConfigMap now. Without a switch all three are what the original ConfigMap says; empty is kube-proxy's default.
  returned: success, and when it is refused
  type: dict
  sample: {"before": "iptables", "after": "ipvs", "configured": "iptables"}
nodes:
  description: Every node, with its label and the kube-proxy pod that is there.
  returned: success, and when it is refused
  type: list
  elements: dict
  contains:
    name:
      description: The Node's name.
      type: str
      sample: worker1
    label:
      description: The value of C(kube-proxy.netops/mode). Empty when the original DaemonSet runs the node.
      type: str
      sample: ipvs
    daemon_set:
      description: The DaemonSet whose pod is there. Empty when none is.
      type: str
      sample: kube-proxy-switch
    uid:
      description: That pod's uid.
      type: str
    ready:
      description: Whether that pod is Ready and stays.
      type: bool
should_run:
  description: What a kube-proxy of the second pair runs, in the form that O(netops.kube_proxy.kube_proxy_info#module:wanted) takes. Null with O(state=absent).
  returned: success
  type: dict
  sample: {"mode": "ipvs", "settings": {"ipvs": {"scheduler": "rr", "strictARP": false}}}
releases:
  description: What the release calendar says about the mode, as M(netops.kube_proxy.kube_proxy_mode) returns it.
  returned: success
  type: list
  elements: dict
  contains:
    severity:
      description: V(warning). What is V(error) fails the module.
      type: str
    message:
      description: The sentence.
      type: str
restarted:
  description: Nodes whose kube-proxy restarted when C(RollingUpdate) returned, because somebody has changed the pod template meanwhile.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import OBJECT_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_switch_work import work


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables"]},
            "settings": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 120},
            **API_ARGUMENTS,
            **OBJECT_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
