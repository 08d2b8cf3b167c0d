# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who asks the API server, and for what: the account of roles/check/files/reader.yml, and a record of all requests."""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from tests.labkit import ROOT
from tests.labkit.cluster import Cluster

READER = "roles/check/files/reader.yml"
FOLDER = "/root/check"
_PROXY_PORT = 8009


def reader(cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig of the account, made by the commands of docs/check.md."""
    text = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
    section = text.partition("## An account of its own")[2].partition("\n## ")[0]
    commands = re.findall(r"^    (kubectl .*|umask .*|server=.*)$", section, re.MULTILINE)
    assert commands[0] == f"kubectl apply -f {READER}"
    node = cluster.control_plane
    made = f"rm -rf {FOLDER}; mkdir -p {FOLDER}/{Path(READER).parent}; cat > {FOLDER}/{READER}"
    node.run(made, stdin=(ROOT / READER).read_text(encoding="utf-8"))
    node.run("\n".join(["set -e", f"cd {FOLDER}", "export KUBECONFIG=/etc/kubernetes/admin.conf", *commands]))
    for name in ("check.conf", "check.token"):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(node.run(f"cat {FOLDER}/{name}"), encoding="utf-8")
    return folder / "check.conf"


def may(cluster: Cluster, questions: t.Iterable[str]) -> dict[str, str]:
    """What kubectl auth can-i says to the account itself."""
    asked = list(questions)
    can_i = f"kubectl --kubeconfig {FOLDER}/check.conf auth can-i"
    told = cluster.control_plane.run("; ".join(f"{can_i} {one} 2>/dev/null || true" for one in asked)).split()
    return dict(zip(asked, told, strict=True))


@contextmanager
def requests_counted(cluster: Cluster) -> t.Iterator[tuple[str, t.Callable[..., Counter[str]]]]:
    """A kubeconfig on the control plane whose requests are all written down by kubectl proxy; what was asked since the last time,
    or else sent with one of the verbs in a regular expression."""
    node = cluster.control_plane
    log, config = "/run/kubectl-proxy.log", "/run/counted.conf"
    proxy = f"kubectl --kubeconfig /etc/kubernetes/admin.conf proxy --port={_PROXY_PORT} -v=6"
    node.run(f"systemd-run -q --unit counted-proxy --collect sh -c 'exec {proxy} > {log} 2>&1'")
    try:
        node.run(
            f"kubectl config --kubeconfig={config} set-cluster counted --server=http://127.0.0.1:{_PROXY_PORT} && "
            f"kubectl config --kubeconfig={config} set-context counted --cluster=counted && "
            f"kubectl config --kubeconfig={config} use-context counted"
        )
        node.wait("the proxy", f"curl -sf http://127.0.0.1:{_PROXY_PORT}/readyz")
        seen = len(node.run(f"cat {log}"))

        def asked(verbs: str = "GET") -> Counter[str]:
            nonlocal seen
            text = node.run(f"cat {log}")
            new, seen = text[seen:], len(text)
            return Counter(re.findall(rf'verb="(?:{verbs})" url="https://[^/]+(/[^?"]*)', new))

        yield config, asked
    finally:
        node.run(f"systemctl stop counted-proxy; rm -f {config}")
