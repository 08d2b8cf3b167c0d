# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of the kind workflow: what they ask of kind and of Ansible, what counts as a change, and that the workflow is made of them."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

from tools import kind
from tools.kind import IMAGES, MODES, Settings, changes, read_settings, requirements
from tools.kind_inventory import KindError
from tools.report import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "kind.yml").read_text("utf-8"))
JOB = WORKFLOW["jobs"]["switch"]
# Of a run of ansible-core 2.19 on a cluster of kind.
RECAP = """
PLAY RECAP *********************************************************************
hk-control-plane           : ok=16   changed=1    unreachable=0    failed=1    skipped=3    rescued=0    ignored=0
hk-worker                  : ok=12   changed=2    unreachable=0    failed=1    skipped=1    rescued=0    ignored=0

"""
SETTINGS = Settings("kind", "image", "config", "")


@pytest.mark.parametrize(
    ("environment", "image", "core"),
    [
        ({}, IMAGES["1.37"], ""),
        ({"KUBERNETES": "1.34", "ANSIBLE_CORE": "2.18"}, IMAGES["1.34"], "2.18"),
        ({"KUBERNETES": "1.99", "KIND_IMAGE": "mine", "ANSIBLE_CORE": "newest"}, "mine", "newest"),
    ],
)
def test_settings(environment: dict[str, str], image: str, core: str) -> None:
    found = read_settings(environment)
    assert (found.cluster, found.image, found.core) == ("kind", image, core)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (
            {"KUBERNETES": "1.33"},
            r"KUBERNETES is '1.33', and there are node images of 1.34, 1.35, 1.36, 1.37; KIND_IMAGE",
        ),
        ({"ANSIBLE_CORE": "2.18.1"}, "ANSIBLE_CORE is '2.18.1': say a release such as 2.18, or newest"),
        ({"KIND_CLUSTER_NAME": "A"}, "KIND_CLUSTER_NAME"),
    ],
)
def test_settings_that_make_no_sense(environment: dict[str, str], words: str) -> None:
    with pytest.raises(KindError, match=words):
        read_settings(environment)


def test_images_are_pinned_by_their_content() -> None:
    for minor, image in IMAGES.items():
        assert re.fullmatch(rf"kindest/node:v{re.escape(minor)}\.\d+@sha256:[0-9a-f]{{64}}", image)


@pytest.mark.parametrize(("core", "first"), [("2.18", "ansible-core==2.18.*"), ("newest", "ansible-core")])
def test_what_is_installed_beside_ansible(core: str, first: str) -> None:
    found = requirements(core)
    assert found[0] == first
    assert {re.split("[<>=]", one)[0] for one in found[1:]} == {"kubernetes", "pyroute2"}


def test_changes_are_counted_over_all_hosts() -> None:
    assert changes(RECAP) == 3


def test_a_run_without_hosts_proves_nothing() -> None:
    with pytest.raises(KindError, match="no host was in it"):
        changes("PLAY RECAP ****\n\n")


class Controller:
    """In the place of Ansible's commands: gives the answers that it was given, and keeps what was asked."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, _settings: Settings, program: str, *arguments: str) -> tuple[int, str]:
        self.asked.append(" ".join([program, *arguments]))
        return self.answers.pop(0)


def recap(changed: int) -> tuple[int, str]:
    return 0, f"kind-worker : ok=9    changed={changed}    unreachable=0    failed=0\n"


def controller(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, str]) -> Controller:
    made = Controller(*answers)
    monkeypatch.setattr(kind, "ansible", made)
    return made


def test_a_switch_is_checked_and_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = controller(monkeypatch, recap(4), recap(0), recap(0)).asked
    kind.switch(SETTINGS, "nftables")
    assert asked == [
        "ansible-playbook playbooks/switch_to_nftables.yml",
        "ansible-playbook playbooks/check.yml -e check_wanted_mode=nftables",
        "ansible-playbook playbooks/switch_to_nftables.yml",
    ]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(2, "")], "the playbook switch_to_iptables ended with 2"),
        ([recap(4), (2, "")], "the playbook check ended with 2"),
        ([recap(4), recap(0), recap(1)], "the second run of switch_to_iptables counts 1 changes"),
    ],
)
def test_what_fails_a_switch(answers: list[tuple[int, str]], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    controller(monkeypatch, *answers)
    with pytest.raises(KindError, match=words):
        kind.switch(SETTINGS, "iptables")


NO_IPVS = """kind-worker | FAILED! =>
    changed: false
    missing:
    - ip_vs
    msg: Cannot load ip_vs
"""


@pytest.mark.parametrize(("runner", "note"), [("true", "::notice title=kind::ipvs"), ("", "=== kind: ipvs")])
def test_ipvs_is_left_out_aloud_where_the_kernel_has_none(
    runner: str, note: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", runner)
    asked = controller(monkeypatch, (2, NO_IPVS)).asked
    kind.switch(SETTINGS, "ipvs")
    assert asked == ["ansible kube_cluster -m netops.kube_proxy.ipvs_module_loaded -a for=ipvs --check"]
    assert capsys.readouterr().out.startswith(f"{note} mode is left out")


def test_ipvs_where_the_kernel_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = controller(monkeypatch, (0, ""), recap(4), recap(0), recap(0)).asked
    kind.switch(SETTINGS, "ipvs")
    assert len(asked) == 4


def test_a_node_that_cannot_be_asked_is_none_without_ipvs(monkeypatch: pytest.MonkeyPatch) -> None:
    controller(monkeypatch, (4, "kind-worker | UNREACHABLE!"))
    with pytest.raises(KindError, match="could not be told"):
        kind.switch(SETTINGS, "ipvs")


class Kind:
    """In the place of kind and of what installs it."""

    def __init__(self, clusters: str) -> None:
        self.clusters = clusters
        self.asked: list[str] = []

    def run(self, command: t.Sequence[t.Any], _environment: t.Any = None) -> tuple[int, str]:
        self.asked.append(" ".join(map(str, command)))
        return 0, self.clusters


def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clusters: str) -> Kind:
    made = Kind(clusters)
    monkeypatch.setattr(kind, "CACHE", tmp_path)
    monkeypatch.setattr(kind, "install", lambda *_pinned: "kind")
    monkeypatch.setattr(kind, "run", made.run)
    return made


@pytest.mark.parametrize("clusters", ["other\nkind-2\n", "No kind clusters found.\n"])
def test_a_cluster_is_made_and_checked(clusters: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = installed(monkeypatch, tmp_path, clusters).asked
    checked = controller(monkeypatch, recap(2)).asked
    kind.make_cluster(SETTINGS)
    kubeconfig = tmp_path / "kind" / "kind.kubeconfig"
    create = (
        f"kind create cluster --name kind --image image --config config --wait 5m --kubeconfig {kubeconfig} --retain"
    )
    assert asked == ["kind get clusters", create]
    assert checked == ["ansible-playbook playbooks/check.yml -e check_wanted_mode=iptables"]


def test_a_cluster_that_is_there_is_not_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, tmp_path, "kind\nother\n")
    with pytest.raises(KindError, match="make kind-down removes it"):
        kind.make_cluster(SETTINGS)


def test_one_line_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ANSIBLE_CORE", "old")
    assert kind.main(["switch", "ipvs"]) == 1
    assert capsys.readouterr().err == "kind: ANSIBLE_CORE is 'old': say a release such as 2.18, or newest\n"


def test_the_workflow_is_made_of_targets() -> None:
    """Whatever it does, a checkout can do, too."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    commands = [step["run"].split() for step in JOB["steps"] if "run" in step]
    assert all(words[0] == "make" and words[1] in targets for words in commands)
    assert [words[2] for words in commands if words[1] == "kind-switch"] == [
        "MODE=nftables",
        "MODE=iptables",
        "MODE=ipvs",
    ]
    assert set(MODES) == {"iptables", "ipvs", "nftables"}


def test_the_matrix_is_what_there_is() -> None:
    matrix = JOB["strategy"]["matrix"]
    assert matrix["kubernetes"] == list(IMAGES)
    assert matrix["core"][0] == "2.18"
    assert matrix["core"][-1] == "newest"
    for core in matrix["core"]:
        assert read_settings({"ANSIBLE_CORE": core}).core == core
