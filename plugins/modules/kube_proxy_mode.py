# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_mode
short_description: The mode and the settings of kube-proxy in its ConfigMap
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Writes kube-proxy's mode, and any other setting of KubeProxyConfiguration v1alpha1, into key C(config.conf) of its ConfigMap.
  - Edits the text in place. Comments, order, unknown keys, further documents, line ends and the key C(kubeconfig.conf) stay as they are.
    Nothing is written when nothing changes.
  - Writes with the resourceVersion that was read. When somebody else was faster, it reads and plans again, at most five times.
  - Refuses what this cluster's release of kube-proxy would not start with, and says what the release calendar has in store for the mode.
  - Changes only a kube-proxy that a DaemonSet runs with C(--config) naming C(config.conf) of the ConfigMap, as kubeadm makes it. A cluster without
    kube-proxy (Cilium, Calico in eBPF mode, Antrea, kube-router), k3s, RKE2, static pods, kube-proxy configured by flags, and a ConfigMap
    that Argo CD, Flux, Helm or another manager would put back, are recognised and named. Nothing is changed then.
  - kube-proxy does not notice a changed ConfigMap. Restart its pods node by node afterwards, with M(netops.kube_proxy.kube_proxy_pod),
    or let O(rollout) do it.
options:
  mode:
    description:
      - The mode to write.
      - Without it, the mode in the ConfigMap stays as it is.
    type: str
    choices: [iptables, ipvs, nftables]
  settings:
    description:
      - Further fields of KubeProxyConfiguration as a nested mapping. It is merged into what is there; lists are replaced as a whole.
      - Names, types, ranges and IPVS schedulers are checked before anything is read.
    type: dict
    default: {}
  rollout:
    description:
      - Whether kube-proxy is restarted on every node, and waited for, unless it runs with this configuration everywhere.
      - A pod that was made after the ConfigMap's last change has read it. To see that for changes of the same second and after an interruption,
        the pod template gets the annotation C(netops.kube-proxy/config-version), the ConfigMap's C(resourceVersion), beside
        C(kubectl.kubernetes.io/restartedAt). These make the DaemonSet's controller replace the pods as its C(updateStrategy) says.
        A pod for which neither tells is restarted.
      - What an earlier run began is waited for, not begun again.
      - The nodes follow one another without a look at what they serve, and nothing of the old mode is removed. To move a cluster in use to another mode,
        take the role P(netops.kube_proxy.switch#role).
    type: bool
    default: false
  rollout_timeout:
    description:
      - How long O(rollout) may take for all nodes together, in seconds. After that the module fails and names the nodes that are late, with the last lines of
        their pods' logs.
    type: int
    default: 600
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
      - With O(rollout), lines that begin with C(#) behind the text say whether each node's kube-proxy was started with it.
  idempotent:
    support: full
notes:
  - Runs where a kubeconfig is. Delegate it to a control-plane host, as root, or run it on the controller.
  - kubeadm's annotation C(kubeadm.kubernetes.io/component-config.hash) is left as it is. Its hash no longer fits the text then, so that
    C(kubeadm upgrade) takes the text for the user's own and keeps the mode.
  - Needs permission to get ConfigMaps and DaemonSets, to update the ConfigMap and to list nodes; to list DaemonSets and pods
    where kube-proxy's DaemonSet is missing. O(rollout) needs to update the DaemonSet, to list pods and to read their logs.
seealso:
  - module: netops.kube_proxy.kube_proxy_pod
  - module: netops.kube_proxy.kube_proxy_info
"""

EXAMPLES = r"""
- name: Write IPVS mode with the scheduler rr
  netops.kube_proxy.kube_proxy_mode:
    mode: ipvs
    settings:
      ipvs:
        scheduler: rr
  delegate_to: "{{ groups['control_plane'][0] }}"
  run_once: true
  become: true

- name: Write nftables mode, with NodePorts on every address as before
  netops.kube_proxy.kube_proxy_mode:
    mode: nftables
    settings:
      nodePortAddresses: [0.0.0.0/0, "::/0"]
    kubeconfig: ~/.kube/production

- name: Keep keepalived's virtual servers in IPVS mode
  netops.kube_proxy.kube_proxy_mode:
    mode: ipvs
    settings:
      ipvs:
        excludeCIDRs: [203.0.113.0/24]

- name: Set a scheduler, and have every kube-proxy run with it
  netops.kube_proxy.kube_proxy_mode:
    settings:
      ipvs:
        scheduler: lc
    rollout: true
    rollout_timeout: 900
"""

RETURN = r"""
actions:
  description: What was set (or would be in check mode), one sentence each.
  returned: success
  type: list
  elements: str
  sample: ['set mode from "iptables" to "ipvs"']
mode:
  description:
    - The mode that is wanted, and the one in the ConfigMap before and after. Empty is kube-proxy's default.
    - Without O(mode), the one that is there counts as wanted.
  returned: success
  type: dict
  sample: {"wanted": "ipvs", "before": "", "after": "ipvs"}
config:
  description: The configuration after the run as kube-proxy understands it, its defaults filled in.
  returned: success
  type: dict
  sample: {"mode": "ipvs", "metricsBindAddress": "127.0.0.1:10249", "conntrack": {"maxPerCore": 0}}
should_run:
  description:
    - What a kube-proxy that has read this configuration runs, in the form that O(netops.kube_proxy.kube_proxy_info#module:wanted) takes.
    - An empty mode is already what this release makes of it.
  returned: success
  type: dict
  sample: {"mode": "ipvs", "settings": {"ipvs": {"scheduler": "rr", "strictARP": false}}}
deployment:
  description: How kube-proxy is deployed. Also returned when it is one that is left alone.
  returned: when it was recognised
  type: dict
  contains:
    kind:
      description:
        - V(kubeadm), or V(daemonset) for one of the same layout.
        - V(k3s), V(rke2), V(static_pod), V(replaced), V(gitops), V(flags), V(other_config) and V(missing) are left alone.
      type: str
      sample: kubeadm
    supported:
      description: Whether its mode can be set here.
      type: bool
    seen:
      description: What it was recognised by.
      type: str
      sample: DaemonSet kube-system/kube-proxy reads config.conf of its ConfigMap
releases:
  description: What the release calendar says about the wanted mode in this cluster.
  returned: success
  type: list
  elements: dict
  contains:
    severity:
      description: V(warning). What is V(error) fails the module.
      type: str
      sample: warning
    message:
      description: The sentence.
      type: str
versions:
  description: The tag of kube-proxy's image per DaemonSet, and the version of the API server.
  returned: success
  type: dict
  sample: {"daemon_sets": {"kube-proxy": "v1.37.2"}, "api_server": "v1.37.2"}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api_client import API_ARGUMENTS
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_mode import work
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_objects import OBJECT_ARGUMENTS


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables"]},
            "settings": {"type": "dict", "default": {}},
            "rollout": {"type": "bool", "default": False},
            "rollout_timeout": {"type": "int", "default": 600},
            **API_ARGUMENTS,
            **OBJECT_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
