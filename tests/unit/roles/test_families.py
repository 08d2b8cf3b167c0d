# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles know of distributions, against Ansible's own table of families. (tests/e2e/test_packages.py installs Debian's for real.)"""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible.module_utils.facts.system.distribution import Distribution

from tests.labkit import ROOT

# Those that kubeadm's documentation has instructions for, and the rebuilds.
SUPPORTED = ("Debian", "Ubuntu", "RedHat", "CentOS", "Rocky", "AlmaLinux", "OracleLinux", "Fedora")
NOT_SUPPORTED = ("Alpine", "Archlinux", "SLES", "openSUSE Leap", "Gentoo", "FreeBSD")


def variables(role: str, kind: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = yaml.safe_load((ROOT / "roles" / role / kind / "main.yml").read_text("utf-8"))
    return found


NODE = variables("node", "defaults")["node_packages"]
RUNTIME = variables("cluster", "defaults")["cluster_runtime_packages"]
FAMILIES = variables("cluster", "vars")["__cluster_families"]


@pytest.mark.parametrize("distribution", SUPPORTED)
def test_a_supported_distribution_has_its_packages(distribution: str) -> None:
    family = Distribution.OS_FAMILY[distribution]
    assert family in FAMILIES
    assert NODE[family]
    assert RUNTIME[family]
    assert (ROOT / "roles" / "cluster" / "tasks" / f"packages_{family}.yml").is_file()


@pytest.mark.parametrize("distribution", NOT_SUPPORTED)
def test_another_one_is_refused(distribution: str) -> None:
    assert Distribution.OS_FAMILY.get(distribution, distribution) not in FAMILIES


def test_the_roles_know_the_same_families() -> None:
    assert set(NODE) == set(RUNTIME) == set(FAMILIES)
