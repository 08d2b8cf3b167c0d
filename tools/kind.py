# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kind cluster, moved between the modes by the collection's own playbooks: what the workflow `kind` does, step by step, and every machine with Docker can.

The environment says which one: KIND_CLUSTER_NAME, KUBERNETES (a release for which there is a node image), ANSIBLE_CORE (a release such as 2.18, or
newest; without it the one in .venv). KIND_IMAGE and KIND_CONFIG name another node image, another configuration of the cluster.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

from tools.golang import install
from tools.kind_inventory import CACHE, KindError, cluster_name
from tools.report import ROOT

PACKAGE, VERSION = "sigs.k8s.io/kind", "v0.33.0"
# Those that the release notes of this version of kind name.
IMAGES = {
    "1.34": "kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d",
    "1.35": "kindest/node:v1.35.8@sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0",
    "1.36": "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed",
    "1.37": "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
}
NEWEST = "newest"
MODES = ("iptables", "ipvs", "nftables")
FIRST = "iptables"
INVENTORY = "inventory/kind"
CHANGED = re.compile(r"^\S+ +: ok=\d+ +changed=(\d+) ", flags=re.MULTILINE)
MISSING = re.compile(r"""^\s*"?missing"?:""", flags=re.MULTILINE)
WAIT = "5m"


@dataclass(frozen=True)
class Settings:
    """What the environment asks for."""

    cluster: str
    image: str
    config: str
    core: str

    @property
    def folder(self) -> Path:
        """What is kept of the cluster on this machine."""
        return CACHE / self.cluster

    @property
    def kubeconfig(self) -> Path:
        """kind's own: the user's stays as it is."""
        return self.folder / "kind.kubeconfig"


def read_settings(environment: t.Mapping[str, str]) -> Settings:
    """What the environment asks for, checked.

    :raises KindError: when there is no such thing
    """
    kubernetes = environment.get("KUBERNETES") or max(IMAGES)
    image = environment.get("KIND_IMAGE") or IMAGES.get(kubernetes, "")
    if not image:
        raise KindError(
            f"KUBERNETES is {kubernetes!r}, and there are node images of {', '.join(IMAGES)}; KIND_IMAGE names any other"
        )
    core = environment.get("ANSIBLE_CORE") or ""
    if core and core != NEWEST and not re.fullmatch(r"2\.\d+", core):
        raise KindError(f"ANSIBLE_CORE is {core!r}: say a release such as 2.18, or {NEWEST}")
    config = environment.get("KIND_CONFIG") or str(ROOT / "tools" / "kind-cluster.yaml")
    return Settings(cluster_name(environment), image, config, core)


def say(text: str) -> None:
    """A line of our own, in order with what the commands print."""
    print(f"=== kind: {text}", flush=True)


def run(command: t.Sequence[str | Path], environment: t.Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command; its exit status, and what it printed, which is shown as it comes.

    :raises KindError: when it cannot be run
    """
    words = [str(word) for word in command]
    say(" ".join(words))
    lines = []
    pipes: t.Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    try:
        with subprocess.Popen(words, cwd=ROOT, env={**os.environ, **(environment or {})}, **pipes) as process:
            for line in process.stdout or ():
                lines.append(line)
                print(line, end="", flush=True)
        return process.returncode, "".join(lines)
    except OSError as error:
        raise KindError(f"{words[0]} could not be run: {error.strerror}") from error


def must(what: str, command: t.Sequence[str | Path], environment: t.Mapping[str, str] | None = None) -> str:
    """What a command prints.

    :raises KindError: when it fails
    """
    status, output = run(command, environment)
    if status:
        raise KindError(f"{what} ended with {status}: see above")
    return output


def requirements(core: str) -> list[str]:
    """What pip is asked for: a release of ansible-core, and what the collection needs beside it."""
    wanted = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    others = [line for line in wanted if line and not line.startswith(("#", "ansible-core"))]
    return ["ansible-core" if core == NEWEST else f"ansible-core=={core}.*", *others]


def programs(settings: Settings) -> Path:
    """The folder of the Ansible that is asked for, installed if need be.

    :raises KindError: when it cannot be had, for this Python for instance
    """
    if not settings.core:
        return Path(sys.executable).parent
    venv = CACHE / f"ansible-core-{settings.core}"
    if not (venv / "bin" / "ansible-playbook").is_file():
        must("Python's venv", [sys.executable, "-m", "venv", "--clear", venv])
        pip: list[str | Path] = [venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        must(
            f"pip with {sys.version.split()[0]} (another Python: make setup PYTHON=...)",
            [*pip, *requirements(settings.core)],
        )
    return venv / "bin"


def ansible(settings: Settings, program: str, *arguments: str) -> tuple[int, str]:
    """Run one of Ansible's commands against the cluster."""
    environment = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "KIND_CLUSTER_NAME": settings.cluster,
        # Where a switch keeps its snapshots.
        "XDG_STATE_HOME": str(settings.folder),
    }
    return run([programs(settings) / program, "-i", INVENTORY, *arguments], environment)


def play(settings: Settings, playbook: str, *arguments: str) -> int:
    """Run a playbook; how many changes it counts.

    :raises KindError: when it fails
    """
    status, output = ansible(settings, "ansible-playbook", f"playbooks/{playbook}.yml", *arguments)
    if status:
        raise KindError(f"the playbook {playbook} ended with {status}: see above")
    return changes(output)


def changes(output: str) -> int:
    """The changes that the recap of a run counts, of all hosts.

    :raises KindError: when there is none
    """
    counts = CHANGED.findall(output)
    if not counts:
        raise KindError("the run has no recap: no host was in it")
    return sum(map(int, counts))


def check(settings: Settings, mode: str) -> None:
    """Every node runs in the mode, and holds what the API asks for."""
    changed = play(settings, "check", "-e", f"check_wanted_mode={mode}")
    say(f"{mode} mode is in order ({changed} changes on the way, where Python was missing)")


def make_cluster(settings: Settings) -> None:
    """The cluster, if it is not there, and a check of it in the mode in which it was made."""
    kind = install(PACKAGE, VERSION)
    if settings.cluster in must("kind", [kind, "get", "clusters"]).splitlines():
        raise KindError(
            f"there is a cluster {settings.cluster} already: make kind-down removes it, KIND_CLUSTER_NAME names another"
        )
    options = ["--name", settings.cluster, "--image", settings.image, "--config", settings.config, "--wait", WAIT]
    settings.folder.mkdir(parents=True, exist_ok=True)
    must("kind", [kind, "create", "cluster", *options, "--kubeconfig", settings.kubeconfig, "--retain"])
    check(settings, FIRST)


def lacking(settings: Settings, mode: str) -> bool:
    """Whether the kernel lacks what the mode needs, as the collection's own module says. Nothing is loaded.

    :raises KindError: when that cannot be told
    """
    module = ["-m", "netops.kube_proxy.ipvs_module_loaded", "-a", f"for={mode}", "--check"]
    status, output = ansible(settings, "ansible", "kube_cluster", *module)
    if status and not MISSING.search(output):
        raise KindError(f"whether the kernel can run {mode} mode could not be told: see above")
    return status != 0


def switch(settings: Settings, mode: str) -> None:
    """The cluster in the mode, checked, and a second run that changes nothing. IPVS where the kernel has it."""
    if mode == "ipvs" and lacking(settings, mode):
        note = "::notice title=kind::" if os.environ.get("GITHUB_ACTIONS") == "true" else "=== kind: "
        print(f"{note}ipvs mode is left out, as this machine's kernel has no IPVS: see above", flush=True)
        return
    playbook = f"switch_to_{mode}"
    say(f"{play(settings, playbook)} changes")
    check(settings, mode)
    again = play(settings, playbook)
    if again:
        raise KindError(f"the second run of {playbook} counts {again} changes, and should have none")
    say(f"every node is in {mode} mode, kernel and API agree, and a second run changes nothing")


def collect_logs(settings: Settings) -> None:
    """Everything that kind can collect of the nodes, in a folder."""
    must("kind", [install(PACKAGE, VERSION), "export", "logs", "--name", settings.cluster, settings.folder / "logs"])


def remove_cluster(settings: Settings) -> None:
    """Nothing left of the cluster in Docker."""
    kind = install(PACKAGE, VERSION)
    must("kind", [kind, "delete", "cluster", "--name", settings.cluster, "--kubeconfig", settings.kubeconfig])


def main(argv: t.Sequence[str] | None = None) -> int:
    """Run one step."""
    parser = argparse.ArgumentParser(prog="tools.kind", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for name, does in (("cluster", make_cluster), ("logs", collect_logs), ("down", remove_cluster)):
        steps.add_parser(name, help=does.__doc__).set_defaults(does=does)
    mode = steps.add_parser("switch", help=switch.__doc__)
    mode.add_argument("mode", choices=MODES)
    mode.set_defaults(does=switch)
    arguments = vars(parser.parse_args(argv))
    arguments.pop("step")
    does = arguments.pop("does")
    try:
        does(read_settings(os.environ), **arguments)
    except KindError as error:
        print(f"kind: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
