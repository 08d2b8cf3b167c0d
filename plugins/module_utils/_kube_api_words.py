# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a failed request is called, and what to do about it. Pure. Private to this collection."""

from __future__ import annotations

VERBS = {"GET": "read", "POST": "create", "PUT": "change", "DELETE": "delete"}


def explain(status: int, message: str, server: str, kubeconfig: str) -> tuple[str, str]:
    """What was seen and the way out, by the HTTP status (0: there was no answer) and the server's words."""
    if status == 0:
        return (
            f"{server} does not answer: {message}",
            f"Check that the API server runs, and that {kubeconfig} names its address and certificate authority.",
        )
    seen = f"{server} says {status} {message}".rstrip()
    return seen, _REMEDIES.get(status, "Look at the API server's log.").format(kubeconfig=kubeconfig)


_REMEDIES = {
    401: "The credentials in {kubeconfig} are not accepted (often an expired certificate or token): "
    "name another file with the option kubeconfig.",
    403: "Give this user that right, or name a kubeconfig that has it, such as /etc/kubernetes/admin.conf.",
    404: "Check the names, and that the kubeconfig (option context) is that of the cluster you mean.",
    409: "Something else changed it at the same time: run again.",
    410: "The list grew old while it was read: run again.",
    422: "The API server does not accept this object: see its words.",
    429: "The API server has too much to do: run again later.",
    500: "Look at the API server's log.",
    503: "The API server is not ready: run again when it is.",
    504: "The API server took too long: run again, or set a longer request_timeout.",
}
