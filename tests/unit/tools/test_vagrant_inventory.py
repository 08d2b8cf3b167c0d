# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of Vagrant's machines, from what vagrant prints (website/content/docs/cli/machine-readable.mdx of Vagrant)."""

from __future__ import annotations

import json
import stat
import typing as t
from pathlib import Path

import pytest

from tools import vagrant_inventory
from tools.vagrant_inventory import inventory, main, running

STATUS = """1764230000,cp1,metadata,provider,libvirt
1764230000,cp1,provider-name,libvirt
1764230000,cp1,state,running
1764230000,cp1,state-human-short,running
1764230000,w1,state,shutoff
1764230000,w2,state,running
1764230000,,ui,info,Current machine states:%!(VAGRANT_COMMA) running
"""
SSH_CONFIG = """Host cp1
  HostName 10.33.0.12
  User vagrant
  Port 22
  IdentityFile "/srv/some lab/.vagrant/machines/cp1/libvirt/private_key"
  IdentitiesOnly yes

"""
VAGRANT = """#!/bin/sh
case "$1" in
status) printf '%s' "$STATUS" ;;
ssh-config) shift; [ "$*" = "cp1 w2" ] && printf '%s' "$SSH_CONFIG" ;;
esac
"""


@pytest.fixture
def vagrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name, which says what the environment holds."""
    program = tmp_path / "bin" / "vagrant"
    program.parent.mkdir()
    program.write_text(VAGRANT, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("STATUS", STATUS)
    monkeypatch.setenv("SSH_CONFIG", SSH_CONFIG)
    monkeypatch.setattr(vagrant_inventory, "SSH_CONFIG", tmp_path / "kept" / "ssh_config")
    return program


def test_only_what_runs_counts() -> None:
    assert running(STATUS) == ["cp1", "w2"]


def test_groups_follow_the_names_of_the_vagrantfile() -> None:
    found = inventory(["cp1", "w1", "w2"], Path("/kept/config"))
    assert found["kube_control_plane"] == {"hosts": ["cp1"]}
    assert found["kube_worker"] == {"hosts": ["w1", "w2"]}
    assert found["kube_cluster"] == {"children": ["kube_control_plane", "kube_worker"]}
    assert found["_meta"]["hostvars"]["w2"] == {"ansible_ssh_common_args": "-F /kept/config"}


@pytest.mark.usefixtures("vagrant")
def test_what_vagrant_says_is_kept_for_ssh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    printed: dict[str, t.Any] = json.loads(capsys.readouterr().out)
    kept = vagrant_inventory.SSH_CONFIG
    assert set(printed["_meta"]["hostvars"]) == {"cp1", "w2"}
    assert kept.read_text("utf-8") == SSH_CONFIG
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("#!/bin/sh\nexit 0\n", "No machine of the Vagrantfile runs. Start them: vagrant up"),
        (
            "#!/bin/sh\necho 'The provider could not be found' >&2\nexit 1\n",
            "vagrant status ended with 1: The provider could not",
        ),
        ("", "There is no vagrant here. Install it"),
    ],
)
def test_what_is_missing_is_one_sentence(
    vagrant: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    if script:
        vagrant.write_text(script, encoding="utf-8")
    else:
        monkeypatch.setenv("PATH", str(vagrant.parent / "empty"))
    assert main() == 1
    said = capsys.readouterr()
    assert (said.out, said.err.startswith(words)) == ("", True), said.err
