# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipvs_virtual_server
short_description: IPVS virtual servers with their real servers
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Makes any number of IPVS virtual servers, each with its real servers (destinations), present or absent in one call.
  - What differs is edited in place, and only that. Nothing is deleted and made again, so that connections survive. Additions come before removals.
  - It speaks to the kernel directly. Neither C(ipvsadm) nor a Python library is needed on the node.
  - All options are checked before anything is touched. When the kernel refuses a change, all other changes are applied
    nevertheless, and the error names each one refused with the kernel's reason.
  - A real server that is not listed, has weight 0 and still has connections is being drained, by kube-proxy or by an
    operator. It stays, and does not count as a difference.
options:
  virtual_servers:
    description:
      - The virtual servers.
      - For a single one, its keys may be given as options of the task instead.
    type: list
    elements: dict
    suboptions:
      address:
        description:
          - IPv4 or IPv6 address of the virtual server.
          - Either this with a port or O(virtual_servers[].fwmark) has to be given.
        type: str
      port:
        description:
          - Port of the virtual server, from 0 to 65535.
          - V(0) stands for every port and needs O(virtual_servers[].persistence_timeout).
        type: int
      protocol:
        description:
          - "Protocol of the virtual server: V(tcp), V(udp) or V(sctp)."
          - V(tcp) unless given.
        type: str
      fwmark:
        description:
          - Firewall mark of the virtual server, in place of address, port and protocol.
        type: int
      family:
        description:
          - "Address family of a virtual server with O(virtual_servers[].fwmark): V(ipv4) or V(ipv6)."
          - V(ipv4) unless given. With an address it follows from that.
        type: str
      scheduler:
        description:
          - "Scheduler: V(rr), V(wrr), V(lc), V(wlc), V(lblc), V(lblcr), V(dh), V(sh), V(sed), V(nq), V(fo), V(ovf), V(mh), V(twos) or V(none)."
          - V(rr) unless given.
        type: str
      flags:
        description:
          - V(one-packet) for UDP; V(sh-fallback) and V(sh-port) for the scheduler C(sh), V(mh-fallback) and V(mh-port) for C(mh).
          - V(flag-1), V(flag-2) and V(flag-3) for any other scheduler.
          - Flags that are not given are cleared.
        type: list
        elements: str
      persistence_timeout:
        description:
          - For how many seconds a client stays with its real server.
          - V(0), or leaving it out, means no persistence. At most 31 days.
        type: int
      persistence_netmask:
        description:
          - "Clients inside the same network of this size count as one: V(255.255.255.0) or V(24) for IPv4, a length such as V(64) for IPv6."
          - A whole address unless given.
        type: str
      persistence_engine:
        description:
          - Persistence engine, for instance V(sip).
        type: str
      real_servers:
        description:
          - The real servers (destinations).
          - An empty list means none. Left out, the real servers are not looked at; a virtual server that is added has none then.
        type: list
        elements: dict
        suboptions:
          address:
            description:
              - IPv4 or IPv6 address. It has to be of the virtual server's family unless O(virtual_servers[].real_servers[].forward_method) is V(tunnel).
            type: str
            required: true
          port:
            description:
              - Port. Only V(masquerade) can have another one than the virtual server.
              - The virtual server's port unless given. V(0) keeps the port of the connection.
            type: int
          weight:
            description:
              - Weight. With V(0) it gets no new connections.
              - V(1) unless given.
            type: int
          forward_method:
            description:
              - "How packets get there: V(masquerade), V(direct) or V(tunnel)."
              - V(masquerade) unless given.
            type: str
          upper_threshold:
            description:
              - With this many connections it gets no new ones. V(0), or leaving it out, means no limit.
            type: int
          lower_threshold:
            description:
              - Below this many connections it gets new ones again. V(0), or leaving it out, means three quarters of the upper one.
            type: int
          tunnel_type:
            description:
              - "Encapsulation of V(tunnel): V(ipip), V(gue) or V(gre)."
              - V(ipip) unless given.
            type: str
          tunnel_port:
            description:
              - UDP port of a V(gue) tunnel. Required for it.
            type: int
          tunnel_flags:
            description:
              - "Checksums of a V(gue) or V(gre) tunnel: V(nocsum), V(csum) or, V(gue) only, V(remcsum)."
              - V(nocsum) unless given.
            type: str
  address:
    description: The same as O(virtual_servers[].address), for a single virtual server.
    type: str
  port:
    description: The same as O(virtual_servers[].port), for a single virtual server.
    type: int
  protocol:
    description: The same as O(virtual_servers[].protocol), for a single virtual server.
    type: str
  fwmark:
    description: The same as O(virtual_servers[].fwmark), for a single virtual server.
    type: int
  family:
    description: The same as O(virtual_servers[].family), for a single virtual server.
    type: str
  scheduler:
    description: The same as O(virtual_servers[].scheduler), for a single virtual server.
    type: str
  flags:
    description: The same as O(virtual_servers[].flags), for a single virtual server.
    type: list
    elements: str
  persistence_timeout:
    description: The same as O(virtual_servers[].persistence_timeout), for a single virtual server.
    type: int
  persistence_netmask:
    description: The same as O(virtual_servers[].persistence_netmask), for a single virtual server.
    type: str
  persistence_engine:
    description: The same as O(virtual_servers[].persistence_engine), for a single virtual server.
    type: str
  real_servers:
    description: The same as O(virtual_servers[].real_servers), for a single virtual server.
    type: list
    elements: dict
  state:
    description:
      - V(present) makes the virtual servers and their real servers what is listed.
      - V(absent) removes the virtual servers. Of each, only what identifies it is looked at.
    type: str
    choices: [present, absent]
    default: present
  unlisted_real_servers:
    description:
      - What becomes of a real server that a virtual server has and O(virtual_servers[].real_servers) does not list.
      - V(exact) removes it, unless it is draining.
      - V(keep) leaves it.
      - V(drain) sets its weight to 0, so that it gets no new client, and removes it when it has no connection any more. One that has none is removed at once.
      - Connections are those that the kernel counts as active or inactive. What only remembers a client for persistence does not count. A client that
        comes back after the removal gets another real server.
      - A virtual server that is removed as a whole is not drained.
    type: str
    choices: [exact, keep, drain]
    default: exact
  drain_timeout:
    description:
      - For how many seconds to wait until the connections of draining real servers have ended. After that they are removed with those they still have.
      - V(0) does not wait. What still has connections then stays with weight 0, is returned in RV(draining), and is removed by a later run.
      - Only with O(unlisted_real_servers=drain).
    type: int
    default: 0
  purge_cidrs:
    description:
      - Virtual servers with an address inside these networks that are not listed are removed.
      - Those with a firewall mark have no address and are never removed by this.
      - Not together with O(state=absent).
    type: list
    elements: str
  timeouts:
    description:
      - After how many seconds without a packet IPVS forgets a connection, as C(ipvsadm --set) sets it. From 1 to 2678400 (31 days).
      - They are the kernel's, for all virtual servers, whatever O(state) says. Those that are left out stay as they are.
      - kube-proxy sets them when it starts, where C(ipvs.tcpTimeout), C(ipvs.tcpFinTimeout) and C(ipvs.udpTimeout) say so.
    type: dict
    suboptions:
      tcp:
        description: Of TCP connections that are established.
        type: int
      tcp_fin:
        description: Of TCP connections after a FIN.
        type: int
      udp:
        description: Of UDP.
        type: int
  unprotected:
    description:
      - What to do when the node's kube-proxy is going to delete virtual servers listed here.
      - In ipvs mode kube-proxy deletes those that are not its own and that no C(ipvs.excludeCIDRs) covers, at every sync. In nftables mode it deletes
        all of them whenever it starts.
      - V(warn) says so, V(fail) fails before anything is changed, V(ignore) does not ask kube-proxy.
      - Virtual servers with an address of C(kube-ipvs0) are kube-proxy's own. Those of its NodePorts cannot be told from others. A task that lists
        them needs V(ignore).
      - A kube-proxy that does not answer, or does not say how it runs, gives no reason to warn.
    type: str
    choices: [warn, fail, ignore]
    default: warn
  metrics_address:
    description:
      - Where kube-proxy answers, as C(metricsBindAddress) has it. When it is empty, kube-proxy is not asked.
    type: str
    default: 127.0.0.1:10249
extends_documentation_fragment:
  - netops.kube_proxy._attributes
attributes:
  check_mode:
    support: full
    details:
      - On a node without the kernel module C(ip_vs) it predicts what would be added, and does not load the module.
  diff_mode:
    support: full
    details:
      - Shows the virtual servers that differ, in lines like those of C(ipvsadm -Sn).
  idempotent:
    support: full
notes:
  - Needs root.
  - The kernel loads C(ip_vs) and the scheduler's module when a virtual server is added. M(netops.kube_proxy.ipvs_module_loaded) has them at boot, too.
seealso:
  - module: netops.kube_proxy.ipvs_module_loaded
  - module: netops.kube_proxy.kube_proxy_info
"""

EXAMPLES = r"""
- name: Have one virtual server for the API servers
  netops.kube_proxy.ipvs_virtual_server:
    address: 203.0.113.9
    port: 6443
    scheduler: lc
    real_servers:
      - address: 10.0.0.11
      - address: 10.0.0.12
      - address: 10.0.0.13

- name: Have two virtual servers, and no other ones inside of a network
  netops.kube_proxy.ipvs_virtual_server:
    virtual_servers:
      - address: 203.0.113.10
        port: 80
        scheduler: wrr
        persistence_timeout: 600
        real_servers:
          - {address: 10.0.0.11, port: 8080, weight: 3}
          - {address: 10.0.0.12, port: 8080}
      - address: 2001:db8::10
        port: 53
        protocol: udp
        flags: [one-packet]
        real_servers:
          - {address: "fd00::11"}
    purge_cidrs: [203.0.113.0/24]

- name: Add a real server and leave the others alone
  netops.kube_proxy.ipvs_virtual_server:
    address: 203.0.113.10
    port: 80
    scheduler: wrr
    persistence_timeout: 600
    real_servers:
      - {address: 10.0.0.13, port: 8080}
    unlisted_real_servers: keep

- name: Take a real server out of service, and give its connections five minutes to end
  netops.kube_proxy.ipvs_virtual_server:
    address: 203.0.113.10
    port: 80
    scheduler: wrr
    persistence_timeout: 600
    real_servers:
      - {address: 10.0.0.12, port: 8080}
    unlisted_real_servers: drain
    drain_timeout: 300

- name: Forget idle TCP connections after an hour
  netops.kube_proxy.ipvs_virtual_server:
    timeouts:
      tcp: 3600

- name: Remove a virtual server with a firewall mark
  netops.kube_proxy.ipvs_virtual_server:
    fwmark: 7
    family: ipv6
    state: absent
"""

RETURN = r"""
virtual_servers:
  description:
    - The listed virtual servers as the kernel has them after the run (in check mode, as it would), in the form that the option takes.
    - When the kernel refused changes, the failed task returns this as well.
  returned: success
  type: list
  elements: dict
  sample:
    - address: 203.0.113.9
      port: 6443
      protocol: tcp
      scheduler: lc
      flags: []
      persistence_timeout: 0
      real_servers:
        - address: 10.0.0.11
          port: 6443
          weight: 1
          forward_method: masquerade
          upper_threshold: 0
          lower_threshold: 0
actions:
  description: What was done (in check mode, would be), as sentences.
  returned: success
  type: list
  elements: str
  sample: ["edit real server 10.0.0.11:6443 of TCP 203.0.113.9:6443: weight 1 -> 3"]
draining:
  description:
    - Real servers that are not listed, have weight 0 and still have connections.
    - Those that were removed with their connections at the end of O(drain_timeout), too.
    - When the kernel refused changes, the failed task returns this as well.
  returned: success
  type: list
  elements: dict
  contains:
    virtual_server:
      description: The virtual server it belongs to.
      type: str
      sample: TCP 203.0.113.10:80
    real_server:
      description: Its address and port.
      type: str
      sample: 10.0.0.11:8080
    connections:
      description: How many connections it had when it was last looked at.
      type: int
      sample: 3
    removed:
      description: Whether it was removed with these connections.
      type: bool
      sample: false
timeouts:
  description: The timeouts as the kernel has them after the run (in check mode, as it would), in seconds.
  returned: when O(timeouts) is given
  type: dict
  sample: {tcp: 3600, tcp_fin: 120, udp: 300}
failures:
  description: What the kernel refused.
  returned: when the kernel refused changes
  type: list
  elements: dict
  contains:
    operation:
      description: What was to be done.
      type: str
      sample: add TCP 203.0.113.9:6443
    reason:
      description: The kernel's reason.
      type: str
      sample: the kernel has no module ip_vs_twos for the scheduler twos
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import require_root, run, run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import Timeouts
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_options import SERVER_KEYS
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_protection import heed
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import render_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_session import Session
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import wanted_from_options


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Turn the options into wanted virtual servers, and the kernel's into them."""
    wanted = wanted_from_options(module.params)
    require_root()
    heed(module.params, wanted, module.warn)
    session = Session(wanted)
    return run_converging(module, session.steps(), render_table, session.result)


def main() -> None:
    """Entry point of the module. What is inside of the lists is checked by C(_ipvs_options), which says why."""
    module = AnsibleModule(
        argument_spec={
            "virtual_servers": {"type": "list", "elements": "dict"},
            "address": {"type": "str"},
            "port": {"type": "int"},
            "protocol": {"type": "str"},
            "fwmark": {"type": "int"},
            "family": {"type": "str"},
            "scheduler": {"type": "str"},
            "flags": {"type": "list", "elements": "str"},
            "persistence_timeout": {"type": "int"},
            "persistence_netmask": {"type": "str"},
            "persistence_engine": {"type": "str"},
            "real_servers": {"type": "list", "elements": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "unlisted_real_servers": {"type": "str", "choices": ["exact", "keep", "drain"], "default": "exact"},
            "drain_timeout": {"type": "int", "default": 0},
            "purge_cidrs": {"type": "list", "elements": "str"},
            "timeouts": {"type": "dict", "options": {key: {"type": "int"} for key in Timeouts._fields}},
            "unprotected": {"type": "str", "choices": ["warn", "fail", "ignore"], "default": "warn"},
            "metrics_address": {"type": "str", "default": "127.0.0.1:10249"},
        },
        mutually_exclusive=[["virtual_servers", key] for key in SERVER_KEYS],
        required_one_of=[["virtual_servers", "address", "fwmark", "timeouts"]],
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
