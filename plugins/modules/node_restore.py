# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_restore
short_description: Give a node back what a change of kube-proxy's mode took
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Makes virtual servers of IPVS that are missing, with their real servers. One that is there is left as it is, whatever its settings, since whoever owns it
    may have changed it in the meantime. (M(netops.kube_proxy.ipvs_virtual_server) makes them equal to what is listed.)
  - Sets sysctls that differ. Only those that kube-proxy sets itself are taken, and they last until the next boot, as when kube-proxy sets them.
  - Removes nothing. Rules, chains, sets and kernel modules are not touched.
options:
  virtual_servers:
    description:
      - The virtual servers that shall be there, as M(netops.kube_proxy.ipvs_virtual_server) takes them.
    type: list
    elements: dict
    default: []
  sysctls:
    description:
      - The sysctls by name, as C(sysctls) of a snapshot has them. One that the kernel does not have is left out and returned in RV(unknown_sysctls).
    type: dict
    default: {}
extends_documentation_fragment:
  - netops.kube_proxy._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows sysctls as C(sysctl) prints them, and the virtual servers that are made as C(ipvsadm -Sn) does.
  idempotent:
    support: full
notes:
  - Needs root.
  - kube-proxy in nftables mode removes all of IPVS at each start, and in ipvs mode at each sync what no C(ipvs.excludeCIDRs) covers. What is put back does
    not last there.
seealso:
  - module: netops.kube_proxy.node_snapshot_info
  - module: netops.kube_proxy.ipvs_virtual_server
"""

EXAMPLES = r"""
- name: Put back what kube-proxy's start in nftables mode has removed
  netops.kube_proxy.node_restore:
    virtual_servers:
      - address: 203.0.113.9
        port: 6443
        scheduler: wlc
        real_servers:
          - address: 203.0.113.10
            forward_method: direct
  become: true

- name: Undo what strictARP has set, as a snapshot from before ipvs mode has it
  netops.kube_proxy.node_restore:
    sysctls:
      net.ipv4.conf.all.arp_ignore: "{{ saved.sysctls['net.ipv4.conf.all.arp_ignore'] }}"
      net.ipv4.conf.all.arp_announce: "{{ saved.sysctls['net.ipv4.conf.all.arp_announce'] }}"
  vars:
    saved: "{{ lookup('ansible.builtin.file', 'snapshots/20261126T073512Z-1f0c2a9b/worker1.json') | from_json }}"
  become: true
"""

RETURN = r"""
actions:
  description: What was done (in check mode, would be), as sentences.
  returned: success
  type: list
  elements: str
  sample: ["set net.ipv4.conf.all.arp_ignore: 1 -> 0"]
made:
  description: The virtual servers that were made (in check mode, would be).
  returned: success
  type: list
  elements: str
  sample: ["TCP 203.0.113.9:6443"]
unknown_sysctls:
  description: Sysctls that were asked for and that this kernel does not have now, such as those of C(ip_vs) while it is not loaded.
  returned: success
  type: list
  elements: str
  sample: [net.ipv4.vs.conntrack]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import require_root, run, run_converging
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_restore import render, restore_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._node_restore_work import NodeWork


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Turn the options into what shall be there, and the node into that."""
    wanted = restore_of(module.params)
    require_root()
    task = NodeWork(wanted, Files())
    return run_converging(module, Steps(task.read, wanted.plan, task.apply), render, task.result)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "virtual_servers": {"type": "list", "elements": "dict", "default": []},
            "sysctls": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
