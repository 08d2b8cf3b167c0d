# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of modules that speak with the Kubernetes API. Private to this collection."""

from __future__ import annotations


class ModuleDocFragment:
    """Equal to C(_kube_api_client.API_ARGUMENTS) and, for kube-proxy's objects, C(_kube_proxy_objects.OBJECT_ARGUMENTS)."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - The kubeconfig with the API server's address and the credentials.
      - Without it, the environment variables E(K8S_AUTH_KUBECONFIG) and E(KUBECONFIG) are used, then
        C(/etc/kubernetes/admin.conf), then C(~/.kube/config), whichever can be read first.
    type: path
  context:
    description:
      - The context of the kubeconfig. Without it, its current context.
    type: str
  request_timeout:
    description:
      - How long one request to the API server may take, in seconds.
    type: int
    default: 30
requirements:
  - The Python library C(kubernetes), 22.6 or later, on the host that the module runs on
"""

    # Extend C(netops.kube_proxy._kubernetes_api.objects) as well where kube-proxy's objects are looked up.
    OBJECTS = r"""
options:
  namespace:
    description:
      - The namespace of kube-proxy's ConfigMap and DaemonSet.
    type: str
    default: kube-system
  config_map:
    description:
      - The name of kube-proxy's ConfigMap.
    type: str
    default: kube-proxy
  daemon_set:
    description:
      - The name of kube-proxy's DaemonSet.
    type: str
    default: kube-proxy
"""
