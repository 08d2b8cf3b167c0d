# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_objects_info
short_description: kube-proxy's ConfigMap and DaemonSet in one value, to be kept
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Reads kube-proxy's ConfigMap and DaemonSet as they are, before something about them is changed. M(netops.kube_proxy.kube_proxy_objects) puts them back.
  - Fails when one of them is not there. Changes nothing.
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
  - netops.kube_proxy._kubernetes_api
  - netops.kube_proxy._kubernetes_api.objects
notes:
  - What the DaemonSet has in its environment is in it, so keep it as you keep that.
seealso:
  - module: netops.kube_proxy.kube_proxy_objects
  - module: netops.kube_proxy.kube_proxy_snapshot_info
"""

EXAMPLES = r"""
- name: Read kube-proxy's objects
  netops.kube_proxy.kube_proxy_objects_info:
    kubeconfig: /etc/kubernetes/admin.conf
  register: cluster

- name: Keep them on the controller
  ansible.builtin.copy:
    content: "{{ cluster.snapshot | to_json | string }}"
    dest: "{{ inventory_dir }}/cluster.json"
    mode: "0600"
  delegate_to: localhost
"""

RETURN = r"""
snapshot:
  description: The snapshot, as M(netops.kube_proxy.kube_proxy_objects) takes it.
  returned: success
  type: dict
  contains:
    format:
      description: The version of this form.
      type: int
      sample: 1
    taken_at:
      description: When, by the API server's clock, in UTC.
      type: str
      sample: "2026-11-25T18:04:05Z"
    cluster:
      description: The uid of the namespace C(kube-system), by which clusters are told apart.
      type: str
      sample: 5b0c7a52-5f43-4a35-9d0b-1f3f6f0f8a11
    config_map:
      description: The ConfigMap.
      type: dict
    daemon_set:
      description: The DaemonSet.
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_backup_work import take
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import OBJECT_ARGUMENTS


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={**API_ARGUMENTS, **OBJECT_ARGUMENTS},
        supports_check_mode=True,
    )
    run(module, take)


if __name__ == "__main__":
    main()
