# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_restore
short_description: kube-proxy's ConfigMap and DaemonSet as a snapshot has them
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Puts kube-proxy's ConfigMap and DaemonSet back to what M(netops.kube_proxy.kube_proxy_snapshot_info) returned at some time, labels and annotations among
    it. What was added since goes. One that is not there any more is made anew.
  - What the API server keeps in an object stays, and so do the annotations of the pod template that say when pods were restarted
    (C(kubectl.kubernetes.io/restartedAt), C(netops.kube-proxy/config-version)).
  - Restarts nothing itself, and kube-proxy reads its ConfigMap only when it starts. RV(restart) names the nodes whose kube-proxy has not read it. A
    pod template that changes makes the DaemonSet's controller restart every pod, unless its C(updateStrategy) is C(OnDelete).
  - Changes nothing while a switch node by node is under way, in another cluster, and where something else (such as Argo CD) would undo it.
options:
  snapshot:
    description:
      - What M(netops.kube_proxy.kube_proxy_snapshot_info) returned. It says which objects are meant.
    type: dict
    required: true
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._kubernetes_api
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Of the ConfigMap's texts other than C(config.conf) only a checksum is shown.
  idempotent:
    support: full
notes:
  - Runs where a kubeconfig is. Delegate it to a control-plane host, as root, or run it on the controller.
  - An older snapshot has the image of its time. After an upgrade of the cluster, look at RV(actions) in check mode first.
  - Needs permission to get, create and update ConfigMaps and DaemonSets and to list pods in kube-proxy's namespace, to get the Namespace C(kube-system), and
    to list nodes.
seealso:
  - module: netops.kube_proxy.kube_proxy_snapshot_info
  - module: netops.kube_proxy.kube_proxy_pod
  - module: netops.kube_proxy.node_restore
"""

EXAMPLES = r"""
- name: Show what would change
  netops.kube_proxy.kube_proxy_restore:
    snapshot: "{{ lookup('ansible.builtin.file', 'snapshots/20261126T073512Z-1f0c2a9b/cluster.json') | from_json }}"
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  run_once: true
  become: true
  check_mode: true
  diff: true
"""

RETURN = r"""
actions:
  description: What was done (in check mode, would be), as sentences.
  returned: success
  type: list
  elements: str
  sample: ["put back ConfigMap kube-system/kube-proxy: data.config.conf"]
mode:
  description: The mode in the ConfigMap, as it is written there. Empty is kube-proxy's default.
  returned: success
  type: dict
  contains:
    before:
      description: As found.
      type: str
      sample: nftables
    after:
      description: As in the snapshot.
      type: str
      sample: iptables
config:
  description: The effective KubeProxyConfiguration of the snapshot, defaults filled in.
  returned: success
  type: dict
should_run:
  description: What kube-proxy runs by it, as O(netops.kube_proxy.kube_proxy_info#module:wanted) takes it.
  returned: success
  type: dict
restart:
  description: The nodes whose kube-proxy was started before the ConfigMap (or the pod template) was what it is after this run.
  returned: success
  type: list
  elements: str
  sample: [worker1, worker2]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_restore_work import work


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={"snapshot": {"type": "dict", "required": True}, **API_ARGUMENTS}, supports_check_mode=True
    )
    run(module, work)


if __name__ == "__main__":
    main()
