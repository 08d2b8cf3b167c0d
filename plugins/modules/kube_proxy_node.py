# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_node
short_description: One node's kube-proxy, run by the original DaemonSet or by the second one of a switch
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Moves one node between the two DaemonSets that M(netops.kube_proxy.kube_proxy_switch) has arranged, in three steps. The label
    C(kube-proxy.netops/mode) becomes C(switching), which neither DaemonSet matches, until the old pod is really gone; then it becomes the mode of the
    second pair (or goes, for the original one); and then the new pod is waited for until it is Ready and stays so.
  - So there are never two kube-proxies on a node. Two are an error, as in M(netops.kube_proxy.kube_proxy_pod).
  - At most two writes to the API, both of the Node's label. A run that was interrupted is finished, or undone, by the next one.
  - Ready says that kube-proxy has started, not that it has programmed the kernel. M(netops.kube_proxy.kube_proxy_info) knows about that.
options:
  node:
    description:
      - The name of the Node in the API.
    type: str
    required: true
  run_by:
    description:
      - Whose pod shall run there. V(switch) is the second DaemonSet.
    type: str
    choices: [original, switch]
    required: true
  stage:
    description:
      - V(stopped) only takes the old pod away and leaves the node without kube-proxy. What it has programmed stays in the kernel.
      - Repeat with V(running) to go on.
    type: str
    choices: [running, stopped]
    default: running
  timeout:
    description:
      - How long the old pod may take to be gone, and as long again the new one to be Ready, in seconds.
    type: int
    default: 180
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
      - The name of the next pod cannot be known before.
  idempotent:
    support: full
notes:
  - Runs where a kubeconfig is. Delegate it to a control-plane host, as root, or run it on the controller.
  - O(config_map) is not used. It is there so that the same defaults fit all modules that look at kube-proxy's objects.
  - Needs permission to get DaemonSets, to get and update nodes, to list pods and to read their logs.
seealso:
  - module: netops.kube_proxy.kube_proxy_switch
  - module: netops.kube_proxy.kube_proxy_pod
  - module: netops.kube_proxy.kube_proxy_info
"""

EXAMPLES = r"""
- name: Move a node to the new mode
  netops.kube_proxy.kube_proxy_node:
    node: worker1
    run_by: switch
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  become: true

- name: Hand it back, in whatever mode the original ConfigMap has now
  netops.kube_proxy.kube_proxy_node:
    node: worker1
    run_by: original
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  become: true
"""

RETURN = r"""
actions:
  description: What was done (or would be in check mode), one sentence each.
  returned: success
  type: list
  elements: str
  sample: ["label node worker1 kube-proxy.netops/mode=switching: no kube-proxy starts there"]
label:
  description: The value of C(kube-proxy.netops/mode) C(before) and C(after). Empty is no label.
  returned: success
  type: dict
  sample: {"before": "", "after": "ipvs"}
daemon_set:
  description: The DaemonSet whose pod is there now. Empty when none is.
  returned: success
  type: str
  sample: kube-proxy-switch
uid:
  description: The uid of the pod that is there now. Empty when there is none.
  returned: success, and when a pod does not go or does not become Ready
  type: str
  sample: 0c8c5a1e-6a0f-4f3a-9b63-1f6f0c2b7d11
started_at:
  description: When its container started, by the node's clock.
  returned: success, and when it does not become Ready
  type: str
  sample: "2026-11-22T19:25:08Z"
log_tail:
  description: The last lines of its log.
  returned: success, and when it does not become Ready
  type: list
  elements: str
  sample: ["I1122 19:25:08.123456       1 server_linux.go:190] \"Using ipvs Proxier\""]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_node_work import work
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import OBJECT_ARGUMENTS


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "run_by": {"type": "str", "choices": ["original", "switch"], "required": True},
            "stage": {"type": "str", "choices": ["running", "stopped"], "default": "running"},
            "timeout": {"type": "int", "default": 180},
            **API_ARGUMENTS,
            **OBJECT_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
