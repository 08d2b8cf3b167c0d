# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_node_drain
short_description: One node cordoned, drained, or uncordoned as it was found
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Cordons a node and marks it as cordoned by this collection (annotation C(kube-proxy.netops/cordoned)), so that only a node that was not cordoned before
    takes pods again afterwards. One that was found cordoned stays so.
  - Drains it through the Eviction API. Pods of DaemonSets and mirrors of static pods are left alone, and pods that tolerate the taint
    C(node.kubernetes.io/unschedulable), because what takes their place may come to the same node at once. An eviction that a PodDisruptionBudget does not
    allow is asked for again every 5 seconds until O(timeout); then the module fails and names the pods and their budgets.
  - Waits until the evicted pods are gone.
options:
  node:
    description:
      - The name of the Node in the API.
    type: str
    required: true
  state:
    description:
      - V(cordoned) lets no new pods come. V(drained) cordons, and has the pods gone.
      - V(uncordoned) undoes what this collection has done, and leaves the cordon of somebody else.
    type: str
    choices: [cordoned, drained, uncordoned]
    required: true
  timeout:
    description:
      - How long the pods may take to go, in seconds.
    type: int
    default: 600
  delete_empty_dir_data:
    description:
      - Agree to the loss of data in C(emptyDir) volumes, as C(kubectl drain --delete-emptydir-data). Without it, a node with such pods is
        refused before anything is changed.
    type: bool
    default: false
  force:
    description:
      - Agree to the loss of pods that no controller makes anew, as C(kubectl drain --force). Without it, a node with such pods is
        refused before anything is changed.
    type: bool
    default: false
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._kubernetes_api
attributes:
  check_mode:
    support: full
    details:
      - Whether a PodDisruptionBudget allows an eviction is known only when it is asked for.
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Runs where a kubeconfig is. Delegate it to a control-plane host, as root, or run it on the controller.
  - When it fails, the node stays cordoned. Run it again, or with O(state=uncordoned).
  - Needs permission to get and update nodes, to list pods and PodDisruptionBudgets, and to create evictions (C(pods/eviction)).
seealso:
  - module: netops.kube_proxy.kube_proxy_node
"""

EXAMPLES = r"""
- name: Have a node without pods
  netops.kube_proxy.kube_node_drain:
    node: worker1
    state: drained
    timeout: 900
    delete_empty_dir_data: true
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  become: true

- name: Let pods come again, unless it was cordoned before
  netops.kube_proxy.kube_node_drain:
    node: worker1
    state: uncordoned
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  become: true
"""

RETURN = r"""
actions:
  description: What was done (or would be in check mode), one sentence each.
  returned: success
  type: list
  elements: str
  sample: ["cordon node worker1", "evict pod default/web-7d4b9c-x2x9k"]
cordoned:
  description: Whether the node is cordoned after the run.
  returned: success
  type: bool
cordoned_by_us:
  description: Whether this collection has cordoned it, so that O(state=uncordoned) would let pods come again.
  returned: success
  type: bool
evicted:
  description: The pods that had to go, with O(state=drained).
  returned: success
  type: list
  elements: str
  sample: ["default/web-7d4b9c-x2x9k"]
staying:
  description: The pods that were left alone, with O(state=drained).
  returned: success
  type: list
  elements: str
  sample: ["kube-system/kube-proxy-x7k2p"]
left:
  description: The pods that are still there.
  returned: when they did not go in time
  type: list
  elements: str
  sample: ["shop/db-0"]
budgets:
  description: The PodDisruptionBudgets that these pods come under, with what they allow.
  returned: when pods did not go in time
  type: list
  elements: str
  sample: ["shop/db (allows 0 more)"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_node_drain_work import work


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["cordoned", "drained", "uncordoned"], "required": True},
            "timeout": {"type": "int", "default": 600},
            "delete_empty_dir_data": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            **API_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
