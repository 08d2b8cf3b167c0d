# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_pod
short_description: One node's kube-proxy pod, restarted
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Deletes the kube-proxy pod of one node and waits until its DaemonSet's next pod there is Ready and stays so.
  - kube-proxy reads its configuration only when it starts, so this is how a changed ConfigMap comes into force, node by node.
  - Deletes exactly the pod that it looked at, never the one that came after it.
  - Ready says that kube-proxy has started, not that it has programmed the kernel. M(netops.kube_proxy.kube_proxy_info) knows about that.
options:
  node:
    description:
      - The name of the Node in the API.
    type: str
    required: true
  state:
    description:
      - What the pod shall be.
    type: str
    choices: [restarted]
    default: restarted
  unless_uid:
    description:
      - The uid of the pod as it was before. A Ready pod of another uid counts as restarted, and nothing is done.
      - Without it, every run restarts.
    type: str
  timeout:
    description:
      - How long to wait for the next pod, in seconds.
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
      - The name of the next pod cannot be known before.
  idempotent:
    support: partial
    details:
      - With O(unless_uid). Without it a restart is what is asked for each time.
notes:
  - Runs where a kubeconfig is. Delegate it to a control-plane host, as root, or run it on the controller.
seealso:
  - module: netops.kube_proxy.kube_proxy_mode
  - module: netops.kube_proxy.kube_proxy_info
"""

EXAMPLES = r"""
- name: Restart kube-proxy on a node
  netops.kube_proxy.kube_proxy_pod:
    node: worker1
  delegate_to: "{{ groups['control_plane'][0] }}"
  become: true

- name: Restart it once, also when this run is repeated
  netops.kube_proxy.kube_proxy_pod:
    node: worker1
    unless_uid: 0c8c5a1e-6a0f-4f3a-9b63-1f6f0c2b7d11
"""

RETURN = r"""
actions:
  description: What was done (or would be in check mode), one sentence each.
  returned: success
  type: list
  elements: str
  sample: ["delete pod kube-system/kube-proxy-x7k2p on node worker1", "wait until the next one is Ready"]
uid:
  description: The uid of the pod that is there now. Empty when there is none (check mode only).
  returned: success
  type: str
  sample: 0c8c5a1e-6a0f-4f3a-9b63-1f6f0c2b7d11
started_at:
  description: When its container started, by the node's clock.
  returned: success
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
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import OBJECT_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_pod_work import work


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["restarted"], "default": "restarted"},
            "unless_uid": {"type": "str"},
            "timeout": {"type": "int", "default": 120},
            **API_ARGUMENTS,
            **OBJECT_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
