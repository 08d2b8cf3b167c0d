# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How programs are run on a node."""

from __future__ import annotations

import shutil
import typing as t
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult, Runner, command_runner


class Module:
    """What is asked of an AnsibleModule."""

    def get_bin_path(self, name: str) -> str | None:
        return shutil.which(name)


@pytest.fixture
def run() -> Runner:
    return command_runner(t.cast("t.Any", Module()))


def test_both_streams_and_the_exit_status(run: Runner) -> None:
    assert run(["sh", "-c", "echo said; echo warned >&2; exit 3"]) == CommandResult(3, "said\n", "warned\n")


def test_what_is_handed_over_is_read_and_nothing_else_is_waited_for(run: Runner) -> None:
    assert run(["cat"], "one\ntwo\n").out == "one\ntwo\n"
    assert run(["cat"]).out == ""


def test_the_locale_is_c_whatever_the_users_is(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("KEPT", "yes")
    assert run(["sh", "-c", "echo $LC_ALL $LANGUAGE $KEPT"]).out == "C C yes\n"


def test_bytes_that_are_no_text_come_and_go_as_they_are(run: Runner) -> None:
    seen = run(["printf", r"\377\n"]).out
    assert run(["od", "-An", "-tx1"], seen).out.split() == ["ff", "0a"]


def test_a_missing_program_is_127(run: Runner) -> None:
    assert run(["no-such-program"]) == CommandResult(127, "", "no-such-program: command not found")


def test_a_program_that_cannot_be_run_is_126(run: Runner, tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_bytes(b"\0")
    program.chmod(0o755)
    assert run([str(program)]) == CommandResult(126, "", f"{program}: Exec format error")


def test_a_broken_pipe_ends_a_child_as_in_a_shell(run: Runner) -> None:
    """Python ignores SIGPIPE, and a child that did as well would write into the void for ever."""
    assert run(["sh", "-c", "yes | head -1"]).out == "y\n"
