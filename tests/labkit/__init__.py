# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests need of the lab: start it, run commands and modules on its nodes, run playbooks against it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventory" / "lab"
Seen = t.TypeVar("Seen")
Event = tuple[str, t.Callable[[int], object]]


@dataclass(frozen=True)
class TaskResult:
    """One task on one host, as Ansible ended it."""

    status: str
    ended: float
    host: str
    task: str
    action: str
    result: dict[str, t.Any]

    @property
    def changed(self) -> bool:
        return self.status == "ok" and bool(self.result.get("changed"))


@dataclass(frozen=True)
class Run:
    """One ansible-playbook run: its exit status, what it printed, its task results and how long it took."""

    rc: int
    output: str
    results: tuple[TaskResult, ...]
    seconds: float

    @property
    def changed(self) -> list[str]:
        return [f"{r.host}: {r.task}" for r in self.results if r.changed]

    @property
    def failures(self) -> list[str]:
        return [str(r.result.get("msg", r.result)) for r in self.results if r.status in ("failed", "unreachable")]

    @property
    def tasks(self) -> int:
        return len({r.task for r in self.results})


@dataclass(frozen=True)
class Completed:
    rc: int
    out: str
    err: str


def wait_for(
    what: str, look: t.Callable[[], Seen | None], seconds: float = 300, last: t.Callable[[], str] = str
) -> Seen:
    """Look again and again until there is something to see. C(last) says what was seen instead."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}. {last()}")
        time.sleep(1)


def _ansible_environment(lab: str, results: Path) -> dict[str, str]:
    return {
        **os.environ,
        "LAB_NAME": lab,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "task_results",
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "TASK_RESULTS": str(results),
        # Where a switch keeps its snapshot unless a test says where.
        "XDG_STATE_HOME": str(results.parent),
    }


def _tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


def _read_results(path: Path) -> tuple[TaskResult, ...]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return tuple(TaskResult(**json.loads(line)) for line in lines)


def _stream(
    argv: t.Sequence[str], follow: bool, environment: dict[str, str] | None = None, at: Event | None = None
) -> tuple[int, str]:
    """Run a command in the checkout; its exit status and all it printed, line by line on the screen too if C(follow).

    :param at: words in a line of what it prints, and what is done once when they are read
    """
    lines = []
    with subprocess.Popen(
        argv,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=at is not None,
    ) as process:
        for line in t.cast("t.IO[str]", process.stdout):
            lines.append(line)
            if at is not None and at[0] in line:
                at[1](process.pid)
                at = None
            if follow:
                print(line, end="", flush=True)
        return process.wait(), "".join(lines)


def killed(process: int) -> None:
    """For C(at): the end of a controller and of all that it started, without a word."""
    os.killpg(process, signal.SIGKILL)


def succeeded(run: Run) -> Run:
    assert run.rc == 0, run.output
    return run


def as_typed(path: Path) -> str:
    """A file of the controller as somebody names it who sits in the checkout."""
    return os.path.relpath(path, ROOT)


def within(lab: str) -> list[str]:
    """What runs a command in the lab's own network, where nodes are reached as from outside of the cluster."""
    return [*([] if os.geteuid() == 0 else ["sudo", "-nE"]), "ip", "netns", "exec", lab]


def run_ansible(
    lab: str, command: str, *arguments: str, follow: bool = False, inside: bool = False, at: Event | None = None
) -> Run:
    """Run one of Ansible's commands in the checkout, against the lab of that name.

    :param at: a task, and what is done when it begins for the first time (it is given the controller's process id)
    :param inside: with the controller in the lab's own network, where the API server can be reached without a node
    """
    enter = within(lab) if inside else []
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) / "results"
        started = time.monotonic()
        rc, output = _stream(
            [*enter, _tool(command), *arguments],
            follow,
            _ansible_environment(lab, results),
            (f": {at[0]}]", at[1]) if at else None,
        )
        return Run(rc, output, _read_results(results), time.monotonic() - started)


def _options(variables: t.Mapping[str, t.Any], check: bool, diff: bool) -> list[str]:
    extra = ["-e", json.dumps(variables)] if variables else []
    return [*extra, *(["--check"] if check else []), *(["--diff"] if diff else [])]


@dataclass(frozen=True)
class Node:
    """One node of a lab, reached as a user would reach it."""

    lab: str
    name: str

    def argv(self, command: str | t.Sequence[str]) -> list[str]:
        """What runs a command on the node, for who handles the process himself."""
        text = command if isinstance(command, str) else shlex.join(command)
        return [str(ROOT / "lab" / "lab"), "--name", self.lab, "ssh", self.name, text]

    def attempt(self, command: str | t.Sequence[str], stdin: str | None = None) -> Completed:
        done = subprocess.run(
            self.argv(command),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            check=False,
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    def run(self, command: str | t.Sequence[str], stdin: str | None = None) -> str:
        """What the command prints; a failure of the command is a failure of the test."""
        done = self.attempt(command, stdin)
        if done.rc != 0:
            raise AssertionError(f"{self.name}: {command!r} ended with {done.rc}: {done.err}{done.out}")
        return done.out

    def wait(self, what: str, command: str, seconds: float = 300) -> str:
        """Repeat the command until it succeeds; what it printed then."""
        tries: list[Completed] = []

        def succeeded() -> Completed | None:
            tries.append(self.attempt(command))
            return tries[-1] if tries[-1].rc == 0 else None

        return wait_for(f"{what} on {self.name}", succeeded, seconds, lambda: tries[-1].out + tries[-1].err).out

    @contextmanager
    def held_still(self, name: str) -> t.Iterator[str]:
        """The command of a running process by its name, which does nothing meanwhile; yields its process id.

        It is the oldest of that name: what it has just forked carries its name until it executes another program."""
        process = self.run(["pgrep", "-ox", name]).strip()
        self.run(["kill", "-STOP", process])
        try:
            yield process
        finally:
            self.run(["kill", "-CONT", process])

    def call(self, module: str, arguments: t.Mapping[str, t.Any], check: bool = False, diff: bool = True) -> TaskResult:
        run = run_ansible(
            self.lab,
            "ansible",
            self.name,
            "-i",
            str(INVENTORY),
            "-m",
            f"netops.kube_proxy.{module}",
            *(["-a", json.dumps(arguments)] if arguments else []),
            *_options({}, check, diff),
        )
        if len(run.results) != 1:
            raise AssertionError(f"{module} on {self.name} gave no result: {run.output}")
        return run.results[0]

    def module(
        self, name: str, arguments: t.Mapping[str, t.Any], check: bool = False, diff: bool = True
    ) -> dict[str, t.Any]:
        """The result of a module of this collection; a failure of the module is a failure of the test."""
        done = self.call(name, arguments, check, diff)
        if done.status != "ok":
            raise AssertionError(f"{name} on {self.name} {done.status}: {done.result}")
        return done.result

    def module_fails(self, name: str, arguments: t.Mapping[str, t.Any], check: bool = False) -> str:
        """The message with which a module of this collection fails."""
        done = self.call(name, arguments, check, diff=False)
        if done.status != "failed":
            raise AssertionError(f"{name} on {self.name} should have failed: {done.result}")
        return str(done.result["msg"])


@dataclass(frozen=True)
class Lab:
    """A lab by its name. C(workers) and further options are those of C(lab/lab up)."""

    name: str
    options: tuple[str, ...] = field(default=())

    def of_this_process(self) -> Lab:
        """Tests that run in several processes have a lab in each."""
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        return replace(self, name=f"{self.name}-{worker}") if worker else self

    def command(self, *arguments: str, follow: bool = False) -> str:
        argv = [str(ROOT / "lab" / "lab"), "--name", self.name, *arguments]
        rc, output = _stream(argv, follow)
        if rc != 0:
            raise AssertionError(f"lab {arguments[0]} ended with {rc}:\n{output}")
        return output

    def up(self, follow: bool = False) -> None:
        """Nodes as described, whatever state their cluster is in."""
        self.command("up", *self.options, follow=follow)

    def bare(self, follow: bool = False) -> None:
        """Nodes as described, and nothing on them."""
        self.up(follow)
        names = json.loads(self.command("inventory"))["_meta"]["hostvars"]
        if any(self.node(name).attempt("ls /etc/kubernetes/*.conf").rc == 0 for name in names):
            self.command("reset", follow=follow)

    def down(self) -> None:
        self.command("down")

    def shell(self, command: str) -> str:
        """What a shell command prints that is typed in the checkout, its errors too."""
        with tempfile.TemporaryDirectory() as scratch:
            environment = _ansible_environment(self.name, Path(scratch) / "results")
            beside = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
            return _stream(["bash", "-c", command], False, {**environment, "PATH": beside})[1]

    def node(self, name: str) -> Node:
        return Node(self.name, name)

    def playbook(
        self,
        playbook: str,
        check: bool = False,
        diff: bool = False,
        arguments: t.Sequence[str] = (),
        *,
        follow: bool = False,
        inside: bool = False,
        at: Event | None = None,
        **variables: t.Any,
    ) -> Run:
        """Run a playbook of the checkout as a user would; extra variables by keyword. The rest as C(run_ansible)."""
        return run_ansible(
            self.name,
            "ansible-playbook",
            "-i",
            str(INVENTORY),
            playbook,
            *arguments,
            *_options(variables, check, diff),
            follow=follow,
            inside=inside,
            at=at,
        )
