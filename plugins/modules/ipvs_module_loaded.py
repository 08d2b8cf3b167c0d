# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipvs_module_loaded
short_description: Kernel modules loaded now and at boot
version_added: 1.0.0
author:
  - "netops.kube_proxy authors (@netops)"
description:
  - Makes kernel modules such as C(ip_vs), C(ip_vs_rr) and C(nf_conntrack) present now, and at every boot.
  - A module counts as present when it is in C(/proc/modules) or built into the kernel. C(-) and C(_) in names are one, aliases are resolved.
  - On a kernel without loadable modules it counts as present when what it would do works, or its code is in the kernel. Looking never loads anything.
  - The old names C(nf_conntrack_ipv4) and C(nf_conntrack_ipv6) stand for C(nf_conntrack) where this kernel's own aliases say that it took them over.
  - Loading at boot goes into a file of this collection's own, C(/etc/modules-load.d/netops-kube-proxy.conf); a name that any other
    file of C(modules-load.d) has already is not repeated. Other files are never changed.
  - Before anything is done it refuses what would not work, and names the file and line or the package to install. These are a module that
    this kernel does not have, C(install NAME /bin/true) in C(modprobe.d), and a blacklisted module that is to be loaded at boot
    (C(modprobe NAME) loads it all the same, C(systemd-modules-load) does not).
  - In a container without kernel modules of its own the host decides about boot; the module then says whether the kernel has what is
    asked for, and does not write a file.
options:
  name:
    description:
      - Names of the kernel modules. One of O(name) and O(for) is required; together they add up.
    type: list
    elements: str
  for:
    description:
      - A mode of kube-proxy, which stands for the modules that it needs. Some have other names in other kernels; those that this kernel does
        not know although it has what they are for are left out.
      - V(ipvs) are C(ip_vs) with C(rr), C(wrr), C(sh) (kube-proxy up to 1.26 does not start without these) and O(scheduler), C(dummy), the types of sets
        and the matches and targets of its rules.
      - V(iptables) are the matches and targets of its rules, V(nftables) the expressions of its tables.
      - Only with O(state=present).
    type: str
    choices: [iptables, ipvs, nftables]
  scheduler:
    description:
      - The IPVS scheduler that O(for=ipvs) includes, as C(ipvs.scheduler) of kube-proxy's configuration names it. Empty is V(rr), as there.
    type: str
    default: rr
  state:
    description:
      - V(present) loads what is not loaded.
      - V(absent) unloads, users before what they use. It refuses as long as other modules, or rules, virtual servers and sockets
        use one of them, and names the modules and virtual servers. What the unloaded modules depend on stays loaded.
    type: str
    choices: [present, absent]
    default: present
  persistent:
    description:
      - Whether O(state) holds for the next boot as well.
      - With O(state=absent), a name in a file that is not this collection's own is an error that names the file and line.
      - If V(false), what happens at boot is neither looked at nor changed.
    type: bool
    default: true
extends_documentation_fragment:
  - netops.kube_proxy._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Needs root, and C(modprobe) or C(rmmod) when there is something to load or unload.
seealso:
  - module: netops.kube_proxy.kube_proxy_info
"""

EXAMPLES = r"""
- name: Have what kube-proxy needs in ipvs mode, now and at boot
  netops.kube_proxy.ipvs_module_loaded:
    for: ipvs
    scheduler: wrr

- name: Have modules by their names, as the tutorials do
  netops.kube_proxy.ipvs_module_loaded:
    name: [ip_vs, ip_vs_rr, ip_vs_wrr, ip_vs_sh, nf_conntrack]

- name: Know whether this kernel could run nftables mode, with a module of the network beside it
  netops.kube_proxy.ipvs_module_loaded:
    for: nftables
    name: [br_netfilter]
  check_mode: true

- name: Load a scheduler for this boot only
  netops.kube_proxy.ipvs_module_loaded:
    name: [ip_vs_mh]
    persistent: false

- name: Unload ip_vs with its scheduler
  netops.kube_proxy.ipvs_module_loaded:
    name: [ip_vs_rr, ip_vs]
    state: absent
"""

RETURN = r"""
modules:
  description: The modules after the run (in check mode, as they would be).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The kernel's own name, with underscores.
      type: str
      sample: ip_vs_rr
    requested:
      description: The name that was asked for; differs from RV(modules[].name) when that is an alias.
      type: str
      sample: ip_vs_rr
    loaded:
      description: Whether the kernel offers it, as a loaded module or built in.
      type: bool
    builtin:
      description: Whether it is built into the kernel.
      type: bool
    persistent:
      description: Whether it is there after a reboot. Always true for what is built in.
      type: bool
    persistent_in:
      description: The files of C(modules-load.d) that name it.
      type: list
      elements: str
      sample: [/etc/modules-load.d/netops-kube-proxy.conf]
actions:
  description: What was done (in check mode, would be), as sentences.
  returned: success
  type: list
  elements: str
  sample: [Load ip_vs_rr]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import (
    command_runner,
    require_root,
    run,
    run_converging,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import as_results, render
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_plan import plan_modules
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_purpose import PURPOSES, wanted_modules
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files, read_modules
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_write import KmodWriter


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Turn the options into wanted modules, and the node into them."""
    wanted = wanted_modules(module.params)
    require_root()
    files = Files()
    modprobe = module.get_bin_path("modprobe") is not None
    writer = KmodWriter(files, command_runner(module), lambda path: module.set_default_selinux_context(path, False))
    steps = Steps(
        read=lambda: read_modules(files, wanted.names, modprobe, wanted.where_known),
        plan=lambda state: plan_modules(wanted, state),
        apply=writer.apply,
    )
    return run_converging(module, steps, render, lambda plan: {"modules": as_results(plan.after)})


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str"},
            "for": {"type": "str", "choices": sorted(PURPOSES)},
            "scheduler": {"type": "str", "default": "rr"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "persistent": {"type": "bool", "default": True},
        },
        required_one_of=[["name", "for"]],
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
