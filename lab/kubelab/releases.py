# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes releases on offer: for each one there is a folder `recipes/data/go/kubernetes-VERSION`."""

from __future__ import annotations

OFFERED = ("1.34.4", "1.35.4", "1.36.3", "1.37.2")
DEFAULT = "1.37.2"
