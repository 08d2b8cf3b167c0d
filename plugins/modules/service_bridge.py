# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_bridge
short_description: Carry new connections to Services while kube-proxy changes its mode
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - A kube-proxy that enters or leaves nftables mode removes the other mode's rules when it starts, before it has asked the API for Services. Until its
    first sync is over, a new connection to a Service leads nowhere. The bridge holds the node's Services meanwhile, in tables of nftables that no
    kube-proxy knows, just ahead of kube-proxy's own.
  - It treats connections as the mode does that is leaving (endpoints, traffic policies, session affinity, source ranges, masquerading), and refuses what
    that one refuses. The tables have the layout of kube-proxy's nftables mode, so that they are read and compared by what reads kube-proxy's.
  - Connections that were made through the bridge are those of connection tracking, and outlive it.
  - A connection that IPVS carries ends when IPVS goes, and its flow in connection tracking with it. The bridge knows those that there are when it is put up
    or renewed, and gives their packets the same server and the same source afterwards. Once IPVS has gone, the next run of this module hands them to
    connection tracking, idle ones too. Repeat the task right before IPVS goes, and right after.
  - Where connection tracking does not take up connections in their middle (C(net.netfilter.nf_conntrack_tcp_loose=0)), it does as long as the bridge keeps
    any, and not afterwards.
  - What cannot be kept is returned before it ends, in check mode too.
  - A bridge knows what the API said when it was put up. Repeat the task while it is up, with what the API says then.
  - A transient unit of systemd on the node takes the bridge away when nobody else does, and says so in the journal. A reboot leaves nothing of it.
extends_documentation_fragment:
  - netops.kube_proxy._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows what the bridge serves, a line for each address.
  idempotent:
    support: full
options:
  state:
    type: str
    choices: [present, absent]
    default: present
    description:
      - Whether there is a bridge. V(present) brings one that is up to what O(cluster) says, in one transaction.
  cluster:
    type: str
    description:
      - What the API asks for, as RV(netops.kube_proxy.cluster_services_info#module:state) returned it. Needed for O(state=present).
  node:
    type: str
    description:
      - The Node's name in the API. Without it the name in the kubelet's client certificate is taken.
  mode:
    type: str
    choices: [iptables, ipvs, nftables]
    description:
      - The mode that is leaving. Needed for O(state=present).
  entering:
    type: str
    choices: ["", iptables, ipvs, nftables]
    default: ""
    description:
      - The mode that the node goes to. Once it runs and its first sync is over, the bridge is not needed any more. Empty when nobody knows.
  soft_limit:
    type: int
    default: 300
    description:
      - Seconds, counted from when the bridge was put up, after which the node takes it away once the mode in O(entering) is there.
  hard_limit:
    type: int
    default: 3600
    description:
      - Seconds after which the node takes the bridge away in any case.
  metrics_address:
    type: str
    description:
      - Where kube-proxy says its mode and its syncs, as C(address:port). Without it as its configuration says; empty where nobody can ask.
notes:
  - Needs root, C(nft) 1.0.1 or newer, Linux 5.13 or newer, and systemd on the node.
seealso:
  - module: netops.kube_proxy.cluster_services_info
  - module: netops.kube_proxy.service_dataplane_info
"""

EXAMPLES = r"""
- name: Read what the cluster asks for
  netops.kube_proxy.cluster_services_info:
  delegate_to: "{{ groups['kube_control_plane'][0] }}"
  run_once: true
  become: true
  register: cluster

- name: Have a bridge while kube-proxy leaves ipvs mode
  netops.kube_proxy.service_bridge:
    cluster: "{{ cluster.state }}"
    mode: ipvs
    entering: nftables
  become: true

- name: Have none any more
  netops.kube_proxy.service_bridge:
    state: absent
  become: true
"""

RETURN = r"""
node:
  description: The Node's name in the API.
  returned: O(state=present)
  type: str
  sample: worker1
services:
  description: How many Service ports the bridge serves or refuses, each family counted; V(0) without a bridge.
  returned: success
  type: int
  sample: 12
addresses:
  description: How many addresses and ports that makes.
  returned: success
  type: int
  sample: 17
kept:
  description: How many connections that IPVS carries the bridge keeps.
  returned: success
  type: int
  sample: 6
ending:
  description: The connections that IPVS carries and that end with it, whatever is done.
  returned: O(state=present)
  type: list
  elements: dict
  contains:
    connection:
      description: Its protocol and its ends, which are the client, the address that it asked, and the server.
      type: str
      sample: tcp 10.96.0.10:40312 -> 10.96.0.10:443 -> 10.244.1.5:8443
    reason:
      description: Why it cannot be kept.
      type: str
      sample: the client is this node, by an address that goes with kube-ipvs0
unread:
  description: Why the connections that IPVS carries could not be told; empty when they could.
  returned: O(state=present)
  type: str
  sample: ""
actions:
  description: What was done (in check mode, would be), as sentences.
  returned: success
  type: list
  elements: str
  sample: ["Put up the bridge: 17 addresses of 12 Service ports"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import run
from ansible_collections.netops.kube_proxy.plugins.module_utils._bridge_work import work


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "cluster": {"type": "str"},
            "node": {"type": "str"},
            "mode": {"type": "str", "choices": ["iptables", "ipvs", "nftables"]},
            "entering": {"type": "str", "choices": ["", "iptables", "ipvs", "nftables"], "default": ""},
            "soft_limit": {"type": "int", "default": 300},
            "hard_limit": {"type": "int", "default": 3600},
            "metrics_address": {"type": "str"},
        },
        required_if=[("state", "present", ("cluster", "mode"))],
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
