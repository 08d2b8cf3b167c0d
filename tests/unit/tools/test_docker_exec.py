# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection to kind's nodes, through Ansible itself and a docker that runs its commands here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.report import ROOT

# docker exec --interactive NAME /bin/sh -c COMMAND
HERE = """#!/bin/sh
echo "$1 $2 $3" >> "$LOG"
[ "$3" = gone ] && { echo 'Error response from daemon: container 1a is not running' >&2; exit 1; }
shift 3
exec "$@"
"""


def ansible(path: Path, host: str, *arguments: str, script: str | None = HERE) -> subprocess.CompletedProcess[str]:
    """An ad-hoc task on a host that this connection leads to, with a docker that is this script, or without any."""
    (path / "bin").mkdir(exist_ok=True)
    if script is not None:
        (path / "bin" / "docker").write_text(script)
        (path / "bin" / "docker").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(path / "bin"), *([os.environ["PATH"]] if script is not None else [])]),
        "LOG": str(path / "log"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_REMOTE_TEMP": str(path / "remote"),
        "ANSIBLE_NOCOLOR": "1",
    }
    program = str(Path(sys.executable).with_name("ansible"))
    command = [
        program,
        "-i",
        f"{host},",
        host,
        "-c",
        "docker_exec",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
    ]
    return subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_a_module_runs_in_the_container(tmp_path: Path) -> None:
    done = ansible(tmp_path, "node", "-m", "ansible.builtin.command", "-a", "echo a b")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["node | CHANGED | rc=0 >>", "a b"]
    assert set((tmp_path / "log").read_text().splitlines()) == {"exec --interactive node"}


def test_without_python_a_command_runs(tmp_path: Path) -> None:
    done = ansible(tmp_path, "node", "-m", "ansible.builtin.raw", "-a", "echo out; echo err >&2; exit 3")
    assert done.returncode == 2
    assert "rc=3 >>\nout\nerr\n" in done.stdout


def test_files_go_both_ways(tmp_path: Path) -> None:
    content, source, there, back = (
        bytes(range(256)) * 300,
        tmp_path / "from",
        tmp_path / "it's there",
        tmp_path / "back",
    )
    source.write_bytes(content)
    copied = ansible(tmp_path, "node", "-m", "ansible.builtin.copy", "-a", f'src={source} dest="{there}"')
    assert copied.returncode == 0, copied.stdout + copied.stderr
    assert there.read_bytes() == content
    fetched = ansible(tmp_path, "node", "-m", "ansible.builtin.fetch", "-a", f'src="{there}" dest={back} flat=true')
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    assert back.read_bytes() == content


NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.mark.parametrize(
    ("host", "script", "words"),
    [
        ("gone", HERE, "gone cannot be entered: Error response from daemon: container 1a is not running (docker ps"),
        ("node", f"#!/bin/sh\necho '{NO_DAEMON}' >&2; exit 1", f"node cannot be entered: {NO_DAEMON}"),
        ("node", None, "docker could not be run: [Errno 2] No such file or directory: 'docker'"),
    ],
)
def test_a_container_that_cannot_be_entered_is_an_unreachable_host(
    host: str, script: str | None, words: str, tmp_path: Path
) -> None:
    done = ansible(tmp_path, host, "-m", "ansible.builtin.command", "-a", "true", script=script)
    assert done.returncode == 4
    assert words.replace("'", "") in " ".join((done.stdout + done.stderr).replace("'", "").split())
