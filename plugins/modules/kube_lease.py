# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_lease
short_description: A Lease in the API that keeps a second operator out
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Takes, renews and releases a Lease of C(coordination.k8s.io/v1), so that two operators do not change the same cluster at
    the same time. It locks nothing by itself.
  - A Lease that somebody else holds is an error that says who, since when, until when, and the way out.
  - No operator's own clock counts. C(renewTime) is written by the API server's time (the C(Date) of its answers), and a Lease ends its duration after the
    API server last took a change of it, by the server's own record (C(managedFields)). Only where there is no such record, C(renewTime) counts.
    A cluster with several API servers needs them to agree on the time to within a fraction of O(duration), as etcd and certificates do.
options:
  name:
    description:
      - The name of the Lease.
    type: str
    default: netops-kube-proxy-switch
  namespace:
    description:
      - Its namespace.
    type: str
    default: kube-system
  state:
    description:
      - V(held) takes the Lease when it is free or over, and renews ours when less than half of O(duration) is left of it, so more than half is left after each
        run. Run it again often enough while the work goes on.
      - V(released) frees it for everybody when it is ours. Another's is left alone.
    type: str
    choices: [held, released]
    default: held
  holder:
    description:
      - Who holds it. Everybody who gives the same name holds the same Lease, so choose one that tells operators apart, such as user and host.
    type: str
    required: true
  duration:
    description:
      - How long it is held without being renewed, in seconds. At least 15. Not used with O(state=released).
    type: int
    default: 3600
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._kubernetes_api
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A renewal, due when half of O(duration) is over, is a change.
notes:
  - Runs where a kubeconfig is. Delegate it to a control-plane host, as root, or run it on the controller.
  - Two that try at the same moment are told apart by the API server (C(resourceVersion)). One gets it, the other one fails.
  - A released Lease stays in the cluster with an empty holder and the number of its transitions, as client-go leaves it.
  - Needs permission to get, create and update Leases.
seealso:
  - module: netops.kube_proxy.kube_proxy_switch
"""

EXAMPLES = r"""
- name: Keep others out
  netops.kube_proxy.kube_lease:
    holder: "{{ lookup('ansible.builtin.env', 'USER') }}@{{ lookup('ansible.builtin.pipe', 'hostname') }}"
    duration: 1800
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  run_once: true
  become: true

- name: Let others in again
  netops.kube_proxy.kube_lease:
    holder: "{{ lookup('ansible.builtin.env', 'USER') }}@{{ lookup('ansible.builtin.pipe', 'hostname') }}"
    state: released
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
  sample: ["take Lease kube-system/netops-kube-proxy-switch for ann@laptop, for 1800 s"]
held_by:
  description: Who holds it after the run. Empty is nobody.
  returned: success, and when another one holds it
  type: str
  sample: ann@laptop
acquired_at:
  description: Since when. Empty when nobody holds it.
  returned: success, and when another one holds it
  type: str
  sample: "2026-11-22T19:25:08.000000Z"
expires_at:
  description: Until when, by the API server's clock, unless it is renewed. Empty when nobody holds it, or when it names no time.
  returned: success, and when another one holds it
  type: str
  sample: "2026-11-22T19:55:08Z"
transitions:
  description: How often it has changed hands.
  returned: success, and when another one holds it
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_lease_work import work


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "netops-kube-proxy-switch"},
            "namespace": {"type": "str", "default": "kube-system"},
            "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
            "holder": {"type": "str", "required": True},
            "duration": {"type": "int", "default": 3600},
            **API_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
