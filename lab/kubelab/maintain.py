# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For maintainers: pin a Kubernetes release."""

from __future__ import annotations

import json
import re
import typing as t

from kubelab import golang
from kubelab.errors import LabError
from kubelab.recipes import data
from kubelab.steps import Log, output, say, step

if t.TYPE_CHECKING:
    from pathlib import Path

    from kubelab.cache import Store

PROGRAMS = (
    *(f"cmd/{name}" for name in "kube-apiserver kube-controller-manager kube-proxy kube-scheduler".split()),
    *(f"cmd/{name}" for name in "kubeadm kubectl kubelet".split()),
    "test/images/agnhost",
)


def go_mod(version: str, upstream: str) -> str:
    """The go.mod of a module that builds Kubernetes `version`, from that release's own go.mod.

    Kubernetes keeps its libraries in its own tree and refers to them by path; published, they are modules of version
    v0.MINOR.PATCH, and without the replacements their version would be v0.0.0.
    """
    go = re.search(r"^go (\S+)", upstream, flags=re.MULTILINE)
    if go is None:
        raise LabError(f"the go.mod of Kubernetes {version} has no `go` line")
    debug = re.search(r"^godebug (\S+)", upstream, flags=re.MULTILINE)
    staging = re.findall(r"^\s*(?:replace )?(k8s\.io/\S+) => \./staging/", upstream, flags=re.MULTILINE)
    published = "v0." + version.split(".", 1)[1]
    blocks = [
        "module lab/kubernetes",
        f"go {go[1]}",
        *([f"godebug {debug[1]}"] if debug else []),
        f"require k8s.io/kubernetes v{version}",
        _block("replace", [f"{module} => {module} {published}" for module in staging]),
        _block("tool", [f"k8s.io/kubernetes/{program}" for program in PROGRAMS]),
    ]
    return "\n\n".join(blocks) + "\n"


def _block(word: str, lines: list[str]) -> str:
    return "\n".join([f"{word} (", *(f"\t{line}" for line in lines), ")"])


def pin(version: str, store: Store) -> None:
    """Write go.mod and go.sum for a release into the recipes' data."""
    if not re.fullmatch(r"1\.\d+\.\d+", version):
        raise LabError(f"{version!r} is not a Kubernetes release (1.MINOR.PATCH)")
    store.downloads.mkdir(parents=True, exist_ok=True)
    log = Log(store.downloads / "pin.log")
    go = golang.toolchain(store.downloads, log)
    environment = golang.environment(store.downloads)
    target = data.ROOT / "go" / f"kubernetes-{version}"
    with step(f"pin Kubernetes {version}"):
        found = json.loads(output([go, "mod", "download", "-json", f"k8s.io/kubernetes@v{version}"], environment))
        target.mkdir(parents=True, exist_ok=True)
        _tidy(go, target, go_mod(version, _text(found["GoMod"])), environment, log)
    say(f"written: {target}. Add {version} to OFFERED in releases.py, then `lab/lab build --kubernetes {version}`.")


def _tidy(go: Path, target: Path, text: str, environment: dict[str, str], log: Log) -> None:
    (target / "go.mod").write_text(text, encoding="utf-8")
    (target / "go.sum").unlink(missing_ok=True)
    relaxed = {**environment, "GOFLAGS": environment["GOFLAGS"].replace("-mod=readonly", "-mod=mod")}
    log.run([go, "mod", "tidy"], cwd=target, env=relaxed, contained=False)


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()
