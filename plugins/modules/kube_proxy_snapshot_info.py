# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_snapshot_info
short_description: kube-proxy's ConfigMap and DaemonSet as they are now, to be kept
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Reads kube-proxy's ConfigMap and DaemonSet as one mapping that can be kept in a file, without what the API server keeps in them (status, uid,
    C(resourceVersion), C(managedFields), owners). M(netops.kube_proxy.kube_proxy_restore) puts them back.
  - kubeadm's C(kubeconfig.conf) in the ConfigMap holds no secret, since it names the file of the pod's token. A ConfigMap that is not kubeadm's may hold one.
    Keep the snapshot as you keep such a ConfigMap, and use C(no_log).
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
  - netops.kube_proxy._kubernetes_api
  - netops.kube_proxy._kubernetes_api.objects
notes:
  - Runs where a kubeconfig is. Delegate it to a control-plane host, as root, or run it on the controller.
  - Needs permission to get ConfigMaps and DaemonSets in kube-proxy's namespace and the Namespace C(kube-system), and to list nodes.
seealso:
  - module: netops.kube_proxy.kube_proxy_restore
  - module: netops.kube_proxy.node_snapshot_info
"""

EXAMPLES = r"""
- name: Read how kube-proxy is configured and run
  netops.kube_proxy.kube_proxy_snapshot_info:
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  run_once: true
  become: true
  register: cluster
  no_log: true
"""

RETURN = r"""
snapshot:
  description: Both objects.
  returned: success
  type: dict
  contains:
    format:
      description: The number of this form.
      type: int
      sample: 1
    kind:
      description: V(cluster).
      type: str
    cluster:
      description: The uid of the Namespace C(kube-system), by which one cluster is told from another.
      type: str
      sample: 1f0c2a9b-7d52-4a0e-9d52-0a2f5c3f6f10
    config_map:
      description: The ConfigMap.
      type: dict
    daemon_set:
      description: The DaemonSet.
      type: dict
switch:
  description: What there is of a switch node by node, in words. Empty when none is under way.
  returned: success
  type: list
  elements: str
  sample: ["DaemonSet kube-system/kube-proxy-switch", "label kube-proxy.netops/mode of node worker1"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import OBJECT_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_restore_work import gather


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec={**API_ARGUMENTS, **OBJECT_ARGUMENTS}, supports_check_mode=True)
    run(module, gather)


if __name__ == "__main__":
    main()
