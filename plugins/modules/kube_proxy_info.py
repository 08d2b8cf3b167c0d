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
    and the sysctls that matter.
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
  returned: success
  type: str
  sample: worker-1
ipvs_devices:
  description: The device C(kube-ipvs0), when it is there.
  returned: success
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
  returned: success
  type: list
  elements: dict
sysctls:
  description: Settings of the kernel that the modes set or depend on, by name, as far as they are there.
  returned: success
  type: dict
  sample: {net.ipv4.ip_forward: "1", net.ipv4.vs.conntrack: "1"}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import require_root, run
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import as_options, read_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_config import checked_settings
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import (
    HEALTHZ_PORT,
    METRICS_PORT,
    get,
    parse_endpoint,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_read import (
    read_ipvs_devices,
    read_node_name,
    read_sysctls,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_report import Wanted, ask, report


def work(module: AnsibleModule) -> dict[str, t.Any]:
    """Ask kube-proxy, read the node."""
    params = module.params
    metrics = parse_endpoint("metrics_address", params["metrics_address"], METRICS_PORT)
    healthz = parse_endpoint("healthz_address", params["healthz_address"], HEALTHZ_PORT)
    wanted = params["wanted"] or {}
    compared = Wanted(wanted.get("mode"), checked_settings(wanted.get("settings")), tuple(params["families"]))
    require_root()
    files = Files()
    return {
        "changed": False,
        **report(ask(metrics, healthz, get), compared),
        "node_name": read_node_name(files),
        "ipvs_devices": read_ipvs_devices(files),
        "virtual_servers": [as_options(server) for server in read_virtual_servers()],
        "sysctls": read_sysctls(files),
    }


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
        },
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
