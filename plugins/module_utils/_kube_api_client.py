# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How requests travel: through the C(kubernetes) client, and with whose credentials. Private to this collection.

C(DynamicClient.request) is the one entry that all releases of the client share (its generated part changed its
signatures in release 36). It gets a discoverer that discovers nothing: that saves some 20 requests a run.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_api import (
    NO_ANSWER,
    KubeApi,
    Object,
    Query,
    Transport,
    TransportError,
)

API_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "request_timeout": {"type": "int", "default": 30},
}

ADMIN_CONF = "/etc/kubernetes/admin.conf"
HOME_CONFIG = "~/.kube/config"


def connect(params: t.Mapping[str, t.Any]) -> KubeApi:
    """The API server that the module's options (C(API_ARGUMENTS)) name. Sends nothing yet."""
    if params["request_timeout"] <= 0:
        raise InvalidInput("request_timeout must be at least 1 second", f"{params['request_timeout']}")
    kubeconfig = find_kubeconfig(params.get("kubeconfig"), os.environ)
    try:
        import kubernetes.client as kube_client
        import kubernetes.config as kube_config
        import kubernetes.dynamic as kube_dynamic
    except ImportError as error:
        raise KubeProxyError(missing_required_lib("kubernetes"), remedy=f"Python says: {error}.") from error
    configuration = kube_client.Configuration()
    # urllib3's own default of 3 would wait four times request_timeout for an address that swallows packets.
    configuration.retries = 1
    client = _client(kube_config, configuration, kubeconfig, params.get("context"))
    dynamic = kube_dynamic.DynamicClient(client, discoverer=_DiscoversNothing)
    return KubeApi(
        transport=_transport(dynamic, params["request_timeout"]),
        server=str(client.configuration.host),
        kubeconfig=kubeconfig,
        date=_clock(dynamic, params["request_timeout"]),
    )


def find_kubeconfig(
    option: str | None,
    environ: t.Mapping[str, str],
    readable: t.Callable[[str], bool] = lambda path: os.access(path, os.R_OK),
) -> str:
    """The kubeconfig to use: the option, C(K8S_AUTH_KUBECONFIG), C(KUBECONFIG), kubeadm's admin.conf, the user's own.

    C(KUBECONFIG) may name several files, separated as in C(PATH): the client merges them.
    """
    named = [
        ("option kubeconfig", option),
        *((name, environ.get(name)) for name in ("K8S_AUTH_KUBECONFIG", "KUBECONFIG")),
    ]
    for source, value in named:
        if value:
            if any(readable(os.path.expanduser(path)) for path in value.split(os.pathsep) if path):
                return value
            raise InvalidInput(
                "There is no kubeconfig to read",
                f"{source} names {value}",
                "Correct it, and check that this user may read it.",
            )
    for path in (ADMIN_CONF, HOME_CONFIG):
        if readable(os.path.expanduser(path)):
            return os.path.expanduser(path)
    raise InvalidInput(
        "There is no kubeconfig to read",
        f"neither {ADMIN_CONF} nor {HOME_CONFIG}, and KUBECONFIG is not set",
        "Run this where a kubeconfig is (delegate it to a control-plane host, as root), or name one with the option kubeconfig.",
    )


class _DiscoversNothing:
    def __init__(self, client: t.Any, cache_file: t.Any) -> None:
        pass


def _client(kube_config: t.Any, configuration: t.Any, kubeconfig: str, context: str | None) -> t.Any:
    try:
        return kube_config.new_client_from_config(
            config_file=kubeconfig,
            context=context,
            client_configuration=configuration,
            persist_config=False,  # a refreshed token would be written into the file otherwise, in check mode too
        )
    except kube_config.ConfigException as error:
        raise KubeProxyError(
            "Could not use the kubeconfig",
            f"{kubeconfig}: {error}",
            "Correct the file, or name another one or another context.",
        ) from error
    except Exception as error:
        # Anything may come out of a file that is not a kubeconfig. The error's own words may hold a secret of the file.
        raise KubeProxyError(
            "Could not use the kubeconfig",
            f"{kubeconfig} is not one ({type(error).__name__})",
            "Correct the file, or name another one.",
        ) from error


def _transport(dynamic: t.Any, timeout: int) -> Transport:
    request = _requester(dynamic, timeout)

    def send(method: str, path: str, query: Query, body: Object | None) -> bytes:
        return request(method, path, query, body)[0]

    return send


def _clock(dynamic: t.Any, timeout: int) -> t.Callable[[], str]:
    """Go's HTTP server puts its time into every answer; C(/version) is the smallest one that everybody may read."""
    request = _requester(dynamic, timeout)

    def date() -> str:
        return request("GET", "/version", {}, None)[1]

    return date


def _requester(dynamic: t.Any, timeout: int) -> t.Callable[[str, str, Query, Object | None], tuple[bytes, str]]:
    """Sends a request; the body of the answer and its header C(Date)."""
    import urllib3
    from kubernetes.client.exceptions import ApiException

    def request(method: str, path: str, query: Query, body: Object | None) -> tuple[bytes, str]:
        try:
            answer = dynamic.request(
                method.lower(),
                path,
                body=body,
                query_params=list(query.items()),
                content_type="application/json",
                serialize=False,
                _request_timeout=timeout,
            )
            return bytes(answer.data), str(answer.headers.get("Date") or "")
        except ApiException as error:
            raise TransportError(
                error.status or NO_ANSWER, status_message(error.body) or str(error.reason or "")
            ) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransportError(NO_ANSWER, network_message(error)) from error

    return request


def status_message(body: t.Any) -> str:
    """The C(message) of the API server's Status object. Other text is not repeated: a proxy may echo the request."""
    try:
        status = json.loads(body)
    except (TypeError, ValueError):
        return ""
    message = status.get("message") if isinstance(status, dict) else None
    return message if isinstance(message, str) else ""


def network_message(error: BaseException) -> str:
    """The reason inside urllib3's nested errors."""
    reason = getattr(error, "reason", None)
    inner = reason if isinstance(reason, BaseException) else error
    return re.sub(r"^(<[^>]*>|\w+\(.*?\)): ", "", str(inner)) or type(inner).__name__
