# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How ansible-test is started: with the tests, in the lab's network, as the user that we are. And that every target is complete."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.integration import ADDRESS, TESTS, add_tests, command, inside, make_key
from tools.report import ROOT

TARGETS = ROOT / TESTS / "targets"


def test_only_the_integration_tests_are_added(tmp_path: Path) -> None:
    root, collection = tmp_path / "checkout", tmp_path / "collection"
    for name in ("tests/integration/targets/a/aliases", "tests/unit/test_a.py", "plugins/a.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    subprocess.run(["git", "init", "--quiet", root], check=True)
    add_tests(collection, root)
    assert [path for path in collection.rglob("*") if path.is_file()] == [
        collection / "tests/integration/targets/a/aliases"
    ]


def test_the_key_lies_where_ansible_test_looks_for_it(tmp_path: Path) -> None:
    public = make_key(tmp_path)
    assert public == (tmp_path / ".ansible/test/id_rsa.pub").read_text()
    assert (tmp_path / ".ansible/test/id_rsa").stat().st_mode & 0o077 == 0


def test_whoever_is_not_root_becomes_root_for_the_namespace_only() -> None:
    assert inside("lab", 0, 0) == ["nsenter", "--net=/run/netns/lab"]
    assert inside("lab", 1000, 100)[:3] == ["sudo", "-n", "nsenter"]
    assert inside("lab", 1000, 100)[-2:] == ["--setuid=1000", "--setgid=100"]


def test_ansible_test_gets_its_own_home_and_the_node(tmp_path: Path) -> None:
    words = command(tmp_path / "collection", tmp_path / "home", "3.13", ["ipvs_virtual_server", "-v"])
    shown = subprocess.run(
        [*words[: words.index("integration") - 1], "env"], capture_output=True, text=True, check=True
    )
    values = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    assert values["HOME"] == str(tmp_path / "home")
    assert values["ANSIBLE_TEST_CONTENT_ROOT"] == str(tmp_path / "collection")
    assert values["PATH"].endswith(os.environ["PATH"])
    assert words[words.index("--target") + 1] == f"ssh:root@{ADDRESS},python=3.13@/usr/bin/python3"
    assert words[-2:] == ["ipvs_virtual_server", "-v"]


@pytest.mark.parametrize(
    "module",
    ["ipvs_module_loaded", "ipvs_virtual_server", "iptables_kube_chain", "kube_proxy_cleanup", "kube_proxy_info"],
)
def test_every_module_of_a_node_has_its_target(module: str) -> None:
    assert (TARGETS / module / "tasks" / "main.yml").is_file()
    assert "needs/root" in (TARGETS / module / "aliases").read_text("utf-8").splitlines()
