# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import typing as t
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from kubelab import host, maintain, options, releases, ssh
from kubelab.build import Builder
from kubelab.cache import open_store
from kubelab.errors import LabError
from kubelab.inventory import inventory
from kubelab.lab import Lab, choose
from kubelab.options import Options
from kubelab.recipes import disk, golang, kernel
from kubelab.state import every, folder
from kubelab.steps import complain, duration, say

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHECKOUT = Path(__file__).resolve().parents[2]
INTERRUPTED = 130


@dataclass(frozen=True)
class Command:
    """A sub-command: what it does, and whether that takes root."""

    run: Callable[[argparse.Namespace, Lab], int | None]
    as_root: bool = True


def _build(arguments: argparse.Namespace, lab: Lab) -> None:
    for version in releases.OFFERED if arguments.all else [arguments.kubernetes]:
        Options(kubernetes=version).check()
        lab.builder.build(kernel.recipe(), disk.for_release(version))
        say(f"the kernel and the disk for Kubernetes {version} are built")


def _kube_proxy(arguments: argparse.Namespace, lab: Lab) -> None:
    Options(kubernetes=arguments.version).check()
    recipe = golang.kube_proxy(arguments.version)
    # Nothing but the path is printed, so that a script can take it.
    with redirect_stdout(sys.stderr):
        lab.builder.build(recipe)
    say(str(lab.builder.path(recipe) / "bin" / "kube-proxy"))


def _prune(_arguments: argparse.Namespace, lab: Lab) -> None:
    store = lab.builder.store
    used = [Path(path).parent for state in every(store.root) for path in (state.kernel, state.disk)]
    programs = map(golang.kube_proxy, releases.OFFERED)
    lab.builder.prune([kernel.recipe(), *map(disk.for_release, releases.OFFERED), *programs], used)


def _up(arguments: argparse.Namespace, lab: Lab) -> None:
    wanted = Options(arguments.kubernetes, arguments.workers, arguments.memory_control_plane, arguments.memory_worker)
    wanted.check()
    started = time.monotonic()
    lab.up(wanted)
    say(f"up took {duration(time.monotonic() - started)}")


def _ssh(arguments: argparse.Namespace, lab: Lab) -> None:
    (node,) = choose(lab.state(), [arguments.node])
    argv = ssh.command(lab.folder, node.name, arguments.words)
    os.execvp(argv[0], argv)


def _inventory(_arguments: argparse.Namespace, lab: Lab) -> None:
    state = lab.state()
    if not lab.namespace.exists():
        raise LabError(f"the lab {lab.folder.name} is gone (was this machine restarted?)", "Run `lab/lab up`.")
    print(json.dumps(inventory(lab.folder, state), indent=1))


COMMANDS = {
    "build": Command(_build),
    "kube-proxy": Command(_kube_proxy),
    "prune": Command(_prune),
    "up": Command(_up),
    "down": Command(lambda _, lab: lab.down()),
    "status": Command(lambda _, lab: lab.status()),
    "ssh": Command(_ssh, as_root=False),
    "reset": Command(lambda arguments, lab: lab.reset(arguments.nodes)),
    "kill": Command(lambda arguments, lab: lab.kill(arguments.nodes)),
    "start": Command(lambda arguments, lab: lab.start(arguments.nodes)),
    "inventory": Command(_inventory, as_root=False),
    "pin": Command(lambda arguments, lab: maintain.pin(arguments.version, lab.builder.store), as_root=False),
}


def parser() -> argparse.ArgumentParser:
    """The options of each sub-command."""
    top = argparse.ArgumentParser(prog="lab", description="Real Kubernetes nodes on one Debian machine.")
    top.add_argument(
        "--name",
        default=os.environ.get("LAB_NAME") or options.DEFAULT_NAME,
        help="which lab; several can be up at once (default: $LAB_NAME or %(default)s)",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_build_and_up(commands)
    program = commands.add_parser("kube-proxy", help="build only the kube-proxy of a release; print its path")
    program.add_argument("version", metavar="X.Y.Z")
    commands.add_parser("prune", help="free the disk space of downloads and of what older recipes built")
    commands.add_parser("down", help="leave nothing of the lab")
    commands.add_parser("status", help="say what is there")
    shell = commands.add_parser("ssh", help="open a shell on a node, or run a command there")
    shell.add_argument("node", metavar="NODE")
    shell.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER)
    for name, nargs, text in (
        ("reset", "*", "make nodes bare again: a fresh disk, booted (default: all nodes)"),
        ("kill", "+", "pull the plug of nodes"),
        ("start", "*", "boot nodes that do not run, from the disks they have (default: all nodes)"),
    ):
        commands.add_parser(name, help=text).add_argument("nodes", metavar="NODE", nargs=nargs)
    commands.add_parser("inventory", help="print the lab as an Ansible inventory").add_argument(
        "--list", action="store_true", help="ignored: Ansible gives it"
    )
    pin = commands.add_parser("pin", help="for maintainers: write go.mod and go.sum of a Kubernetes release")
    pin.add_argument("version", metavar="X.Y.Z")
    return top


def _add_build_and_up(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = commands.add_parser("build", help="build whatever is missing for a lab")
    up = commands.add_parser("up", help="boot bare nodes (builds first what is missing)")
    for command in (build, up):
        command.add_argument("--kubernetes", metavar="X.Y.Z", default=releases.DEFAULT, help="default: %(default)s")
    build.add_argument("--all", action="store_true", help="every release on offer")
    for flag, default, text in (
        ("--workers", Options.workers, "how many workers beside the control plane"),
        ("--memory-control-plane", Options.memory_control_plane, "MiB"),
        ("--memory-worker", Options.memory_worker, "MiB each"),
    ):
        up.add_argument(flag, type=int, default=default, metavar="N", help=f"{text} (default: %(default)s)")


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; the exit status."""
    arguments = parser().parse_args(argv)
    command = COMMANDS[arguments.command]
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        host.require_linux()
        options.check_name(arguments.name)
        if command.as_root:
            host.require_root(sys.argv)
        store = open_store(os.environ, CHECKOUT)
        return command.run(arguments, Lab(folder(store.root, arguments.name), Builder(store))) or 0
    except LabError as error:
        complain(error)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough of it (`lab status | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        complain(LabError("interrupted", "Run the command again: it goes on from here."))
        return INTERRUPTED
