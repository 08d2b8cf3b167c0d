# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the stages of tools/stages.toml: those named on the command line, or all that are not on request.

The output of a check is shown as it comes. At the end stands a line 'N passed, N failed'; the exit status is 0 only when
something ran and nothing failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import tomllib
import typing as t
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".cache" / "reports"
TAIL = 60


@dataclass(frozen=True)
class Check:
    """One command that passes or fails."""

    name: str
    command: str
    pytest: bool = False


@dataclass(frozen=True)
class Stage:
    """Checks that are asked for by one name."""

    name: str
    checks: tuple[Check, ...]
    on_request: bool = False


@dataclass(frozen=True)
class Background:
    """A command that runs beside the stages that do not need what it makes."""

    name: str
    command: str
    needed_by: tuple[str, ...]


@dataclass(frozen=True)
class Count:
    """How many checks or tests passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed"


def load(path: Path) -> tuple[Background, tuple[Stage, ...]]:
    """The background job and the stages that a TOML file declares."""
    data = tomllib.loads(path.read_text("utf-8"))
    behind = data["background"]
    stages = tuple(
        Stage(**{**each, "checks": tuple(Check(**check) for check in each["checks"])}) for each in data["stage"]
    )
    return Background(behind["name"], behind["command"], tuple(behind["needed_by"])), stages


def count_report(report: Path, status: int) -> Count:
    """The tests of a JUnit report. A run that failed outside of any test, or collected none, is one failure."""
    if not report.is_file():
        return Count(failed=1)
    suites = list(ET.parse(report).getroot().iter("testsuite"))
    failed = sum(int(suite.get("failures", 0)) + int(suite.get("errors", 0)) for suite in suites)
    skipped = sum(int(suite.get("skipped", 0)) for suite in suites)
    total = sum(int(suite.get("tests", 0)) for suite in suites)
    if status != 0 or total == 0:
        failed = max(failed, 1)
    return Count(max(total - failed - skipped, 0), failed, skipped)


def say(text: str) -> None:
    """One line of our own, in order with what the commands print."""
    print(text, flush=True)


def environment() -> dict[str, str]:
    """What commands see: the checkout's own tools come first."""
    own = ROOT / ".venv" / "bin"
    return {**os.environ, "PATH": f"{own}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def run_check(stage: str, check: Check) -> Count:
    """Run one check and say how it went."""
    started = time.monotonic()
    say(f"--- {stage}: {check.name}")
    command, report = check.command, REPORTS / f"{stage}.xml"
    if check.pytest:
        report.unlink(missing_ok=True)
        command += f" --junit-xml={report.relative_to(ROOT)}"
    status = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment(), check=False).returncode
    count = count_report(report, status) if check.pytest else Count(int(status == 0), int(status != 0))
    verdict = "passed" if count.failed == 0 else f"FAILED (exit status {status})"
    detail = f": {count}, {count.skipped} skipped" if check.pytest else ""
    say(f"--- {stage}: {check.name} {verdict} in {time.monotonic() - started:.0f} s{detail}")
    return count


class Job:
    """The background job: started at most once, waited for by the first stage that needs it, ended with us."""

    def __init__(self, job: Background) -> None:
        self.job = job
        self.log = REPORTS / f"{job.name.replace(' ', '-')}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.count: Count | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, its output in a file."""
        say(f"=== {self.job.name}: started in the background ({self.log.relative_to(ROOT)})")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", self.job.command],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def wait(self) -> Count:
        """Wait for its end; the first time, say how it went and count it."""
        if self.count is not None:
            return Count()
        process = self.process or self.start()
        started = time.monotonic()
        say(f"=== {self.job.name}: waiting for it")
        status = process.wait()
        lines = self.log.read_text("utf-8", "replace").splitlines()
        say("\n".join(lines if status == 0 else lines[-TAIL:]))
        verdict = "passed" if status == 0 else f"FAILED (exit status {status})"
        say(f"=== {self.job.name}: {verdict}, waited {time.monotonic() - started:.0f} s")
        self.count = Count(int(status == 0), int(status != 0))
        return self.count

    def stop(self) -> None:
        """End it with everything it started, when it still runs."""
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def run_stages(job: Job, stages: t.Sequence[Stage]) -> Count:
    """Run the stages one after the other. A stage whose background job failed is one failure."""
    total = Count()
    if any(stage.name in job.job.needed_by for stage in stages):
        job.start()
    for stage in stages:
        started = time.monotonic()
        say(f"=== stage {stage.name}")
        if stage.name in job.job.needed_by:
            total += job.wait()
        if stage.name in job.job.needed_by and job.count != Count(passed=1):
            say(f"=== stage {stage.name}: not run, {job.job.name} failed")
            total += Count(failed=1)
            continue
        count = sum((run_check(stage.name, check) for check in stage.checks), Count())
        say(f"=== stage {stage.name}: {count} in {time.monotonic() - started:.0f} s")
        total += count
    return total


def terminate(number: int, _frame: object) -> None:
    """Turn a signal into an exit, so that the background job is ended too."""
    sys.exit(128 + number)


def main(argv: t.Sequence[str] | None = None) -> int:
    """Parse the command line, run, and count."""
    background, stages = load(ROOT / "tools" / "stages.toml")
    parser = argparse.ArgumentParser(prog="tools/stages", description=__doc__)
    names = [stage.name for stage in stages]
    parser.add_argument("stage", nargs="*", help=f"one of {', '.join(names)}")
    wanted = parser.parse_args(argv).stage or [stage.name for stage in stages if not stage.on_request]
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"no stage is named {', '.join(unknown)}; there are {', '.join(names)}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, terminate)
    started = time.monotonic()
    job = Job(background)
    try:
        total = run_stages(job, [stage for stage in stages if stage.name in wanted])
    finally:
        job.stop()
    say(f"=== {time.monotonic() - started:.0f} s, {total.skipped} tests skipped")
    say(str(total))
    return int(total.failed > 0 or total.passed == 0)


if __name__ == "__main__":
    sys.exit(main())
