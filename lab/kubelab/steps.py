# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps: one printed line each with its time; what a step runs writes to a log whose end is shown when it fails."""

from __future__ import annotations

import subprocess
import sys
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubelab.errors import LabError

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TAIL_LINES = 15

# A killed tool takes everything it started with it, mounts included: otherwise an orphaned `make` would go on writing
# into a folder that the next command sweeps away. Linux kills the namespace with its first process.
CONTAINED = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"),
)


def say(line: str) -> None:
    """Print one line at once, also into a pipe and from several threads."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def duration(seconds: float) -> str:
    """Seconds as people say them: 0.4 s, 12 s, 3 min 5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print `title`, then its outcome and the time it took, on one line."""
    started = time.monotonic()
    print(f"{title} ... ", end="", flush=True)
    try:
        yield
    except BaseException:
        say(f"failed after {duration(time.monotonic() - started)}")
        raise
    say(f"done in {duration(time.monotonic() - started)}")


@dataclass(frozen=True)
class Log:
    """Where the commands of one step write, and what to tell the user when one of them fails."""

    path: Path
    advice: str = ""

    def note(self, line: str) -> None:
        """Add a line of our own."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def run(
        self,
        argv: Sequence[str | Path],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        contained: bool = True,
    ) -> None:
        """Run a command to its end; LabError with the log's last lines when it fails."""
        command = [str(word) for word in argv]
        self.note("$ " + " ".join(command))
        with self.path.open("ab") as stream:
            try:
                status = subprocess.run(
                    [*(CONTAINED if contained else ()), *command],
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    check=False,
                ).returncode
            except OSError as error:
                raise LabError(f"`{command[0]}` could not be run: {error}", self.advice) from error
        if status != 0:
            raise self.failure(f"{command[0]} ended with status {status}")

    def failure(self, message: str) -> LabError:
        """The error of this step: what happened, the end of its log, what to do."""
        lines = [f"{message}. The last lines of {self.path}:", *("  | " + line for line in self.tail())]
        return LabError("\n".join(lines), self.advice)

    def tail(self) -> list[str]:
        """The log's last lines."""
        if not self.path.exists():
            return []
        return self.path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]


def output(argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> str:
    """Standard output of a quick command; LabError with what it said when it fails."""
    command = [str(word) for word in argv]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=env)
    except OSError as error:
        raise LabError(f"`{command[0]}` could not be run: {error}") from error
    if done.returncode != 0:
        raise LabError(f"`{' '.join(command)}` ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def complain(error: LabError) -> None:
    """Print an error and its way out where errors belong."""
    print(f"lab: {error}", file=sys.stderr)
    if error.advice:
        print(f"lab: {error.advice}", file=sys.stderr)
