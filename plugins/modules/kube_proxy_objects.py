# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_objects
short_description: Put kube-proxy's ConfigMap and DaemonSet back as they were
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Puts back the data of kube-proxy's ConfigMap and the specification of its DaemonSet, where they differ from a snapshot that
    M(netops.kube_proxy.kube_proxy_objects_info) took. An object that is gone is created.
  - Labels, annotations and everything else of the objects stay as they are. An object that somebody else changes at the same moment is read and planned anew.
  - No pod of kube-proxy is restarted. kube-proxy reads its ConfigMap only when it starts, so RV(next_steps) says what is to be done.
  - Where the pod template differs, C(updateStrategy) is V(OnDelete) until every pod was restarted. A run after that puts it back.
  - The marks of restarts in the pod template (C(netops.kube-proxy/config-version), C(kubectl.kubernetes.io/restartedAt)) stay as they are.
  - Refuses the snapshot of another cluster, and everything while a switch of mode is in progress (M(netops.kube_proxy.kube_proxy_switch)).
options:
  state:
    description:
      - V(restored) is as in O(snapshot).
    type: str
    choices: [restored]
    default: restored
  snapshot:
    description:
      - The snapshot, as V(snapshot) of M(netops.kube_proxy.kube_proxy_objects_info) has it.
    type: dict
    required: true
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
      - Shows the ConfigMap's texts and the DaemonSet's specification.
  idempotent:
    support: full
seealso:
  - module: netops.kube_proxy.kube_proxy_objects_info
  - module: netops.kube_proxy.kube_proxy_restore
  - module: netops.kube_proxy.kube_proxy_pod
"""

EXAMPLES = r"""
- name: Put kube-proxy's objects back as they were
  netops.kube_proxy.kube_proxy_objects:
    state: restored
    kubeconfig: /etc/kubernetes/admin.conf
    snapshot: "{{ lookup('ansible.builtin.file', 'snapshots/cluster.json') | from_json }}"
  register: objects

- name: Show what is to be done now
  ansible.builtin.debug:
    msg: "{{ objects.next_steps }}"
"""

RETURN = r"""
actions:
  description: What was done (in check mode, would be), in sentences.
  returned: success
  type: list
  elements: str
  sample: ["Put back the data of ConfigMap kube-system/kube-proxy"]
next_steps:
  description: What is to be done by whoever runs this, in sentences. Empty when nothing is.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_backup_work import restore
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import OBJECT_ARGUMENTS


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["restored"], "default": "restored"},
            "snapshot": {"type": "dict", "required": True},
            **API_ARGUMENTS,
            **OBJECT_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run(module, restore)


if __name__ == "__main__":
    main()
