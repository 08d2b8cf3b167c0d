# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy_info
short_description: What kube-proxy on a node runs, and whether its rules are in the kernel
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Asks the kube-proxy of a node for its mode, version, configuration and health, and tells whether its first sync has finished.
  - Compares what runs with what is wanted. Editing kube-proxy's ConfigMap does not restart it, so the two can differ for ever.
  - Reads the node's part as well. That is the name of its Node object, the device C(kube-ipvs0) with its addresses, the virtual servers,
    the kernel modules and the sysctls that matter.
  - Lists, when asked to with O(gather), everything of kube-proxy's in the kernel (chains, jumps, ipsets, tables of nftables, virtual servers, the
    device and its addresses) and what lies beside it, whose each is, and whether the running mode keeps it.
  - When kube-proxy is down RV(reachable) is false, RV(problems) says why, and the node's part is there all the same.
  - Changes nothing, and never loads a kernel module by looking.
options:
  metrics_address:
    description:
      - Where kube-proxy serves C(/proxyMode), C(/metrics) and C(/configz), as C(metricsBindAddress) in its configuration has it.
      - Empty means that metrics are off. Then RV(running_mode), RV(synced) and RV(configz) are null, as nothing is assumed.
    type: str
    default: 127.0.0.1:10249
  healthz_address:
    description:
      - Where kube-proxy serves C(/healthz) and C(/livez), as C(healthzBindAddress) in its configuration has it. Empty means that they are off.
    type: str
    default: 127.0.0.1:10256
  wanted:
    description:
      - What RV(differences) compares with.
    type: dict
    suboptions:
      mode:
        description:
          - The mode that kube-proxy should run.
        type: str
        choices: [iptables, ipvs, nftables]
      settings:
        description:
          - Fields of C(KubeProxyConfiguration) v1alpha1 that should be in force, as a nested mapping. Others are not looked at.
        type: dict
  families:
    description:
      - The families that must have been synced for RV(synced) to be true.
      - If empty, these are the families that kube-proxy shows in its metrics and its health. That is both of them wherever the node has IPv6.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: []
  gather:
    description:
      - What to read of the node, beside what kube-proxy itself says.
      - V(node) is RV(node_name), RV(ipvs_devices), RV(modules) and RV(sysctls). V(virtual_servers) is RV(virtual_servers).
      - V(inventory) is RV(inventory). It is not in the default, as it takes one C(iptables-save) for each backend and family in use, and one C(nft) for
        each table of kube-proxy's. On a node with 10,000 Services its list has tens of thousands of entries.
      - An empty list is enough, and the fastest, where a task waits for kube-proxy.
    type: list
    elements: str
    choices: [node, virtual_servers, inventory]
    default: [node, virtual_servers]
  node_port_range:
    description:
      - The ports that the API server gives to NodePorts, as its C(--service-node-port-range) has them (C(30000-32767) unless it was told otherwise).
      - A virtual server on an address of the node with such a port counts as kube-proxy's in RV(inventory). Without this option its owner is null, as the
        node alone does not tell it from one of a user's.
    type: str
extends_documentation_fragment:
  - netops.kube_proxy._attributes
  - netops.kube_proxy._attributes.info
notes:
  - Needs root, to read the kubelet's certificate and the virtual servers.
seealso:
  - module: netops.kube_proxy.ipvs_virtual_server
  - module: netops.kube_proxy.kube_proxy_mode
"""

EXAMPLES = r"""
- name: Wait until kube-proxy runs in ipvs mode and its rules are in the kernel
  netops.kube_proxy.kube_proxy_info:
    wanted:
      mode: ipvs
      settings:
        ipvs:
          scheduler: wrr
  register: info
  until: info.reachable and info.differences | length == 0 and info.synced is sameas true
  retries: 30
  delay: 2

- name: Ask a kube-proxy whose metrics are served on the node's address
  netops.kube_proxy.kube_proxy_info:
    metrics_address: 192.0.2.10:10249

- name: List what lies in the kernel, and whose it is
  netops.kube_proxy.kube_proxy_info:
    gather: [inventory]
    node_port_range: 30000-32767
  register: info

- name: Show what other modes left behind
  ansible.builtin.debug:
    msg: "{{ info.inventory.artifacts | selectattr('belongs', 'sameas', false) | map(attribute='name') | list }}"
"""

RETURN = r"""
reachable:
  description: Whether kube-proxy answered on O(metrics_address) with its mode.
  returned: success
  type: bool
problems:
  description: What was not answered and why.
  returned: success
  type: list
  elements: str
  sample: ["GET http://127.0.0.1:10249/proxyMode: Connection refused"]
running_mode:
  description: The mode that kube-proxy runs. Null when it does not say.
  returned: success
  type: str
  sample: ipvs
version:
  description: The version of the running kube-proxy.
  returned: success
  type: str
  sample: v1.37.2
process_start_time:
  description: When the process started, in seconds since the epoch.
  returned: success
  type: float
synced:
  description:
    - Whether every family's last sync is later than the start of the process. Null when metrics do not tell.
    - Releases before the metrics had a label for the family count the last sync of either.
  returned: success
  type: bool
last_sync:
  description: When each family was synced last, in seconds since the epoch. Null for one that was not yet, V(all) in releases that do not tell them apart.
  returned: success
  type: dict
  sample: {ipv4: 1795347000.5, ipv6: 1795347001.1}
failures:
  description:
    - How often kube-proxy failed to write its rules since it started, by what failed and by family. The keys are those of its metrics, without
      C(kubeproxy_sync_proxy_rules_) and C(_total).
    - kube-proxy shows a counter only once it has counted, so this is empty when nothing failed. Null when metrics do not tell.
  returned: success
  type: dict
  sample: {iptables_restore_failures: {ipv4: 2}}
configz:
  description: The configuration in force, as C(KubeProxyConfiguration) v1alpha1 (also for releases that show another form).
  returned: success
  type: dict
health:
  description: The answers of C(/healthz) and C(/livez).
  returned: success
  type: dict
  contains:
    healthz:
      description: V(ok) (answered with 200), V(status) (of HTTP, null without an answer) and V(answer) (as kube-proxy gives it).
      type: dict
    livez:
      description: The same of C(/livez), which does not look at whether the node is about to be removed.
      type: dict
differences:
  description: What differs between O(wanted) and what runs. Durations are compared by their length, and defaults are filled in on both sides.
  returned: success
  type: list
  elements: dict
  contains:
    field:
      description: The field with dots, or V(mode).
      type: str
      sample: ipvs.scheduler
    wanted:
      description: The wanted value.
      type: raw
    running:
      description: The value in force.
      type: raw
node_name:
  description: The name of this node's Node object, from the kubelet's client certificate. Null on a machine without one.
  returned: when O(gather) has V(node)
  type: str
  sample: worker-1
ipvs_devices:
  description: The device C(kube-ipvs0), when it is there.
  returned: when O(gather) has V(node)
  type: list
  elements: dict
  contains:
    name:
      description: The device's name.
      type: str
    kind:
      description: Its kind; V(dummy) when it is kube-proxy's.
      type: str
    state:
      description: Its state, as C(operstate) of sysfs has it. kube-proxy leaves it down.
      type: str
      sample: down
    addresses:
      description: Its addresses.
      type: list
      elements: str
virtual_servers:
  description: The kernel's virtual servers as M(netops.kube_proxy.ipvs_virtual_server) takes them. Empty when C(ip_vs) is not loaded.
  returned: when O(gather) has V(virtual_servers)
  type: list
  elements: dict
modules:
  description:
    - V(loaded), V(builtin) or V(absent) by the name of a kernel module that a mode needs. Schedulers of IPVS are there when they are loaded.
    - Null where the node has no list of what is built into its kernel (a container), and the module is not loaded.
  returned: when O(gather) has V(node)
  type: dict
  sample: {ip_vs: loaded, ip_vs_rr: loaded, nf_tables: builtin}
sysctls:
  description: Settings of the kernel that the modes set or depend on, by name, as far as they are there.
  returned: when O(gather) has V(node)
  type: dict
  sample: {net.ipv4.ip_forward: "1", net.ipv4.vs.conntrack: "1"}
inventory:
  description: What lies in the node's kernel, and whose it is.
  returned: when O(gather) has V(inventory)
  type: dict
  contains:
    artifacts:
      description:
        - Every chain of iptables' tables filter, nat and mangle, every jump from a built-in chain to one of kube-proxy's, every ipset, every table
          of nftables and what is in kube-proxy's, the device C(kube-ipvs0), its addresses, and every virtual server.
        - Leftovers of another mode are those whose RV(inventory.artifacts[].belongs) is false.
      type: list
      elements: dict
      contains:
        kind:
          description:
            - V(iptables_chain), V(iptables_jump), V(ipset), V(nft_table), V(nft_chain), V(nft_set), V(nft_map), V(nft_counter), V(device), V(address)
              or V(virtual_server).
          type: str
        name:
          description: Its name; of a jump the rule as C(iptables-save) prints it, of a virtual server its address and port.
          type: str
          sample: KUBE-SVC-NPX46M4PTMTKRN6Y
        family:
          description: V(ipv4) or V(ipv6). Null for what has none.
          type: str
        backend:
          description: Of a chain or jump, V(nft) or V(legacy). Null for the rest.
          type: str
        table:
          description: The table that it is in. Null for the rest.
          type: str
        type:
          description: Of a set or map its type, of a base chain of nftables its hook, of a table of nftables its family, of a virtual server its protocol.
          type: str
          sample: hash:ip,port
        size:
          description: Rules of a chain, members of a set or map, addresses of the device, real servers of a virtual server. Null for the rest.
          type: int
        owner:
          description:
            - V(kube-proxy), V(kubelet), the name of another program whose names are known (such as V(Calico)), or V(foreign), which is everybody else.
            - Names and types have to fit exactly, or in the shape of kube-proxy's hashes. A user's C(KUBE-SVC-FOO) is V(foreign).
            - Null when the node alone does not tell, for instance a virtual server on the node's own address without O(node_port_range).
          type: str
        modes:
          description: The modes in which kube-proxy makes it.
          type: list
          elements: str
        belongs:
          description:
            - Whether the running mode of kube-proxy keeps it.
            - Null when it is not kube-proxy's, and when kube-proxy does not say which mode it runs.
          type: bool
    counts:
      description: The same, counted by V(kind), V(owner) and V(belongs).
      type: list
      elements: dict
      sample: [{kind: iptables_chain, owner: kube-proxy, belongs: true, count: 52}]
    iptables:
      description:
        - Which of the backends V(nft) and V(legacy) is whose. V(default) is that of the node's C(iptables) (null without one), V(kubelet) are those with
          kubelet's hint, V(kube_proxy) are those with chains of kube-proxy.
      type: dict
      sample: {default: nft, kubelet: [nft], kube_proxy: [nft]}
    unread:
      description: What could not be read and is missing in the list, and why.
      type: list
      elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import command_runner, require_root, run
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_gather import answer, question


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Ask kube-proxy, read the node."""
    asked = question(module.params)
    require_root()
    return {"changed": False, **answer(asked, command_runner(module), Files())}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "metrics_address": {"type": "str", "default": "127.0.0.1:10249"},
            "healthz_address": {"type": "str", "default": "127.0.0.1:10256"},
            "wanted": {
                "type": "dict",
                "options": {
                    "mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables"]},
                    "settings": {"type": "dict"},
                },
            },
            "families": {"type": "list", "elements": "str", "choices": ["ipv4", "ipv6"], "default": []},
            "gather": {
                "type": "list",
                "elements": "str",
                "choices": ["node", "virtual_servers", "inventory"],
                "default": ["node", "virtual_servers"],
            },
            "node_port_range": {"type": "str"},
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
