# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_dataplane_info
short_description: Whether a node's kernel holds exactly what the Kubernetes API asks for
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Works out what kube-proxy should have programmed on this node, reads what the kernel holds, and returns the difference as findings.
  - Knows iptables mode (both backends), ipvs mode and nftables mode (the layouts of kube-proxy 1.31 to 1.37), both IP families.
    A layout that it does not know is said, never guessed.
  - Looks at what surrounds the Services too. That is the running mode against the configured one, what other modes left behind, kernel settings,
    somebody else's virtual servers at risk, the connection tracking table, the release calendar.
  - kube-proxy follows the API with a delay, so that one look proves nothing. Use three steps, see O(step). The role
    P(netops.kube_proxy.check#role) does.
  - Reads only, and loads no kernel module by looking. Needs Python, C(iptables-save) and C(nft) on the node, nothing else.
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
options:
  state:
    type: str
    required: true
    description:
      - What the API asks for, as RV(netops.kube_proxy.cluster_services_info#module:state) returned it.
  step:
    type: str
    choices: [look, look_again, confirm]
    default: look
    description:
      - V(look) reads the kernel and compares it with O(state).
      - V(look_again) waits until kube-proxy has caught up with what the API said at the first look, reads the kernel once more, and keeps what is seen
        both times. Hand over the same O(state), and O(suspects) of the first look.
      - V(confirm) does the same with O(state) gathered anew after the second look, and drops what is about a Service that changed since the first.
        Hand over O(suspects) of the second look.
      - What is left then is wrong.
  suspects:
    type: str
    description:
      - RV(suspects) of the step before. Needed by all steps but the first.
  node:
    type: str
    description:
      - The Node's name in the API. Without it the name in the kubelet's client certificate is taken.
  mode:
    type: str
    choices: [iptables, ipvs, nftables]
    description:
      - The mode whose kernel objects are compared. Without it the mode that kube-proxy says it runs in, and where it does not answer the configured one.
  services:
    type: list
    elements: str
    default: []
    description:
      - Only differences about these Services are returned, written as C(namespace/name). Findings about the whole node always are.
  settle_timeout:
    type: int
    default: 120
    description:
      - How many seconds the steps V(look_again) and V(confirm) wait at most for kube-proxy to catch up.
  metrics_address:
    type: str
    description:
      - Where kube-proxy shows its metrics and its mode. Without it the C(metricsBindAddress) of its configuration. Empty means that they are off.
  healthz_address:
    type: str
    description:
      - Where kube-proxy shows its health. Without it the C(healthzBindAddress) of its configuration. Empty means that it is off.
seealso:
  - module: netops.kube_proxy.cluster_services_info
  - module: netops.kube_proxy.kube_proxy_info
"""

EXAMPLES = r"""
- name: Read what the cluster asks for
  netops.kube_proxy.cluster_services_info:
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  run_once: true
  become: true
  register: cluster

- name: Compare it with the kernel
  netops.kube_proxy.service_dataplane_info:
    state: "{{ cluster.state }}"
  become: true
  register: first

- name: Compare once more what differs
  netops.kube_proxy.service_dataplane_info:
    state: "{{ cluster.state }}"
    step: look_again
    suspects: "{{ first.suspects }}"
  become: true
  register: second
  when: first.findings | length > 0
"""

RETURN = r"""
node:
  description: The Node's name in the API.
  returned: success
  type: str
  sample: worker1
configured_mode:
  description: The mode in kube-proxy's ConfigMap; empty when it is left to the release.
  returned: success
  type: str
  sample: ipvs
running_mode:
  description: What kube-proxy says it runs in; null when it does not answer.
  returned: success
  type: str
  sample: ipvs
kernel_modes:
  description: The modes whose kernel objects are there, as far as they belong to one mode alone.
  returned: success
  type: list
  elements: str
  sample: [ipvs]
checked_mode:
  description: The mode that was compared.
  returned: success
  type: str
  sample: ipvs
release:
  description:
    - The release of kube-proxy whose ways were compared with, since releases see different Services and endpoints.
    - It is what kube-proxy says of itself; of one that does not answer, what the API tells; empty when nothing tells it.
  returned: success
  type: str
  sample: "1.37"
service_ports:
  description: How many Service ports (each family counts) were compared.
  returned: success
  type: int
  sample: 12
addresses:
  description: How many addresses with a port the node should serve.
  returned: success
  type: int
  sample: 31
findings:
  description: What is not as it should be, the worst first. After the steps V(look) and V(look_again) these are suspects still.
  returned: success
  type: list
  elements: dict
  contains:
    severity:
      description: V(error) when traffic is wrong now, V(warning) when something is at risk or will break, V(info) otherwise.
      type: str
      sample: error
    kind:
      description: What kind of finding it is.
      type: str
      sample: destination_missing
    object:
      description: What it is about.
      type: str
      sample: TCP 10.96.0.10:80
    service:
      description: The Service port (C(namespace/name:port name)) that it concerns; empty when it is none, or all.
      type: str
      sample: default/web:http
    expected:
      description: What should be.
      type: str
      sample: 10.244.1.2:8080 gets its share
    actual:
      description: What was seen.
      type: str
      sample: no packet is sent there
    evidence:
      description: The command that shows it.
      type: str
      sample: ipvsadm -Ln -t 10.96.0.10:80
    cause:
      description: Where it likely comes from.
      type: str
      sample: "kube-proxy does not follow the API: it hangs, lost its watch, or fails to write."
    remedy:
      description: The way out.
      type: str
      sample: Delete the node's kube-proxy pod.
counts:
  description: How many findings there are of each severity.
  returned: success
  type: dict
  sample: {"error": 0, "warning": 1, "info": 0}
suspects:
  description: For the next step. Empty when there is none to take.
  returned: success
  type: str
settled:
  description: Whether kube-proxy had caught up before the kernel was read again; null where nobody waited, or its metrics do not tell.
  returned: success
  type: bool
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import command_runner, require_root, run
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_check import answer, question
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._memory import expect_many_values


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Compare, or go on with what was compared before."""
    asked = question(module.params)
    require_root()
    return {"changed": False, **answer(asked, command_runner(module), Files())}


def main() -> None:
    """Entry point of the module."""
    expect_many_values()
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True},
            "step": {"type": "str", "choices": ["look", "look_again", "confirm"], "default": "look"},
            "suspects": {"type": "str"},
            "node": {"type": "str"},
            "mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables"]},
            "services": {"type": "list", "elements": "str", "default": []},
            "settle_timeout": {"type": "int", "default": 120},
            "metrics_address": {"type": "str"},
            "healthz_address": {"type": "str"},
        },
        required_if=[("step", "look_again", ("suspects",)), ("step", "confirm", ("suspects",))],
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
