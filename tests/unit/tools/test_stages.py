# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stages: what is counted, what fails, and that nothing is left running."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tools import stages
from tools.stages import Background, Check, Count, Job, Stage, count_report, load, run_stages

REPORT = (
    '<testsuites><testsuite tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"/></testsuites>'
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stages run in a folder of the test's own."""
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    monkeypatch.setattr(stages, "REPORTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("numbers", "status", "count"),
    [
        ((5, 0, 0, 0), 0, Count(5, 0, 0)),
        ((5, 1, 1, 1), 1, Count(2, 2, 1)),
        ((0, 0, 0, 0), 5, Count(0, 1, 0)),
        ((0, 0, 0, 0), 0, Count(0, 1, 0)),
        ((5, 0, 0, 0), 3, Count(4, 1, 0)),
    ],
)
def test_a_report_is_counted(tmp_path: Path, numbers: tuple[int, int, int, int], status: int, count: Count) -> None:
    names = ("tests", "failures", "errors", "skipped")
    (tmp_path / "report.xml").write_text(REPORT.format(**dict(zip(names, numbers, strict=True))))
    assert count_report(tmp_path / "report.xml", status) == count


def test_no_report_is_a_failure(tmp_path: Path) -> None:
    assert count_report(tmp_path / "none.xml", 0) == Count(failed=1)


def test_checks_are_counted_and_a_failure_does_not_hide_the_next() -> None:
    stage = Stage("lint", (Check("good", "true"), Check("bad", "exit 3"), Check("good too", "true")))
    assert run_stages(Job(Background("build", "false", ())), [stage]) == Count(2, 1)


def test_pytest_is_counted_by_its_report(tmp_path: Path) -> None:
    report = REPORT.format(tests=7, failures=0, errors=0, skipped=2)
    (tmp_path / "fake").write_text(f"for a; do case $a in --junit-xml=*) echo '{report}' >${{a#*=}};; esac; done\n")
    stage = Stage("unit", (Check("tests", "sh fake", pytest=True),))
    assert run_stages(Job(Background("build", "false", ())), [stage]) == Count(5, 0, 2)


def test_the_background_job_is_waited_for_by_the_stage_that_needs_it() -> None:
    job = Job(Background("build", "sleep 0.3; touch built", ("node",)))
    first = Stage("lint", (Check("not yet", "test ! -e built"),))
    second = Stage("node", (Check("there", "test -e built"),))
    assert run_stages(job, [first, second]) == Count(3, 0)


def test_it_is_not_started_when_no_stage_needs_it(tmp_path: Path) -> None:
    run_stages(Job(Background("build", "touch built", ("node",))), [Stage("lint", (Check("x", "true"),))])
    assert not (tmp_path / "built").exists()


def test_a_stage_whose_job_failed_is_not_run_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = Job(Background("build", "echo no space left; exit 4", ("node", "e2e")))
    needing = [Stage(name, (Check("x", f"touch {name}"),)) for name in ("node", "e2e")]
    assert run_stages(job, needing) == Count(0, 3)
    assert not (tmp_path / "node").exists()
    shown = capsys.readouterr().out
    assert "no space left" in shown
    assert "build: FAILED (exit status 4)" in shown


def test_the_job_and_what_it_started_end_with_us(tmp_path: Path) -> None:
    job = Job(Background("build", "sleep 600 & echo $! >child; wait", ("node",)))
    job.start()
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
        time.sleep(0.01)
    job.stop()
    status = Path("/proc", (tmp_path / "child").read_text().strip(), "status")
    ended = time.monotonic() + 10
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < ended, "the child of the job still runs"
        time.sleep(0.01)


def test_the_real_stages_are_well_formed() -> None:
    background, declared = load(Path(__file__).parents[3] / "tools" / "stages.toml")
    names = [stage.name for stage in declared]
    assert names[0] == "lint"
    assert len(set(names)) == len(names)
    assert set(background.needed_by) <= set(names)
    assert all(stage.checks for stage in declared)


def test_the_last_line_counts_and_nothing_run_is_red(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tools").mkdir()
    text = '[background]\nname = "b"\ncommand = "true"\nneeded_by = []\n[[stage]]\nname = "a"\nchecks = []\n'
    (tmp_path / "tools" / "stages.toml").write_text(text)
    assert stages.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 0 failed"


def test_an_unknown_stage_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tools").mkdir()
    text = '[background]\nname = "b"\ncommand = "true"\nneeded_by = []\n[[stage]]\nname = "a"\nchecks = []\n'
    (tmp_path / "tools" / "stages.toml").write_text(text)
    with pytest.raises(SystemExit):
        stages.main(["lnit"])
    assert "no stage is named lnit; there are a" in capsys.readouterr().err


def test_what_takes_longer_than_ci_has_runs_only_when_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "stages.toml").write_text(
        'background = {name = "build", command = "true", needed_by = []}\n'
        '[[stage]]\nname = "short"\nchecks = [{name = "a", command = "true"}]\n'
        '[[stage]]\nname = "long"\non_request = true\nchecks = [{name = "b", command = "true"}]\n'
    )
    assert stages.main([]) == 0
    assert "stage long" not in capsys.readouterr().out
    assert stages.main(["long"]) == 0
    assert "stage long" in capsys.readouterr().out
