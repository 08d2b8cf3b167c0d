# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans for kernel modules: what is done, in which order, and what is refused before anything is."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import (
    OWN_FILE,
    Distribution,
    Kernel,
    KmodState,
    Load,
    Loaded,
    Location,
    ModuleState,
    Rule,
    Unload,
    WantedModules,
    WriteOwnFile,
    as_results,
    render,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_parse import parse_os_release
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_plan import plan_modules

FIXTURES = Path(__file__).parents[1] / "fixtures" / "kmod"
KERNEL = Kernel("6.1.0-18-amd64", Distribution(("debian",), "Debian GNU/Linux 12 (bookworm)"))
OTHER = Location("/usr/lib/modules-load.d/lvs.conf", 2)
OWN = Location(OWN_FILE, 2)
BLACKLIST = Rule("ip_vs", "blacklist ip_vs", Location("/etc/modprobe.d/no.conf", 3))
INSTALL = Rule("ip_vs", "install ip_vs /bin/true", Location("/etc/modprobe.d/no.conf", 4))


def module(name: str = "ip_vs", **values: t.Any) -> ModuleState:
    return replace(ModuleState(name, name, installed=True), **values)


def state(*modules: ModuleState, own_file: str | None = None, **kernel: t.Any) -> KmodState:
    return KmodState(replace(KERNEL, **kernel), modules, own_file)


def wanted(*names: str, present: bool = True, persistent: bool = True) -> WantedModules:
    return WantedModules(names, present, persistent)


def loaded(name: str, references: int = 0, *holders: str) -> Loaded:
    return Loaded(name, references, holders)


def test_loads_first_and_writes_last() -> None:
    plan = plan_modules(wanted("ip_vs", "ip_vs_rr"), state(module(), module("ip_vs_rr", persistent_in=(OTHER,))))
    assert plan.operations[:2] == (Load("ip_vs"), Load("ip_vs_rr"))
    assert isinstance(plan.operations[2], WriteOwnFile)
    assert plan.after.own_file is not None
    assert plan.after.own_file.splitlines()[1:] == ["ip_vs"]
    assert plan.actions == ("Load ip_vs", "Load ip_vs_rr", f"Load ip_vs at boot: add it to {OWN_FILE}")
    assert (
        render(plan.before)
        == "ip_vs: not loaded, not at boot\nip_vs_rr: not loaded, at boot (/usr/lib/modules-load.d/lvs.conf)\n"
    )
    assert (
        render(plan.after)
        == f"ip_vs: loaded, at boot ({OWN_FILE})\nip_vs_rr: loaded, at boot (/usr/lib/modules-load.d/lvs.conf)\n"
    )


@pytest.mark.parametrize(
    "there",
    [
        module(loaded=loaded("ip_vs"), persistent_in=(OWN,)),
        module(loaded=loaded("ip_vs"), persistent_in=(OTHER,)),
        module(builtin=True, installed=False),
        module(builtin=True, installed=None, blacklisted=(BLACKLIST,)),
    ],
)
def test_nothing_to_do(there: ModuleState) -> None:
    plan = plan_modules(wanted("ip_vs"), state(there))
    assert plan.operations == ()
    assert plan.actions == ()
    assert plan.before == plan.after


def test_a_container_without_module_files_needs_only_the_kernel() -> None:
    there = module(loaded=loaded("ip_vs"), installed=None)
    plan = plan_modules(wanted("ip_vs"), state(there, module_files=False, any_module_files=False, modprobe=False))
    assert plan.operations == ()


def test_only_now() -> None:
    plan = plan_modules(wanted("ip_vs", persistent=False), state(module(blacklisted=(BLACKLIST,))))
    assert plan.operations == (Load("ip_vs"),)


def test_a_module_that_is_coming_is_waited_for() -> None:
    coming = module(loaded=Loaded("ip_vs", 0, live=False))
    assert plan_modules(wanted("ip_vs", persistent=False), state(coming)).operations == (Load("ip_vs"),)


def test_results_count_built_in_as_persistent() -> None:
    assert as_results(state(module(builtin=True)))[0] == {
        "name": "ip_vs",
        "requested": "ip_vs",
        "loaded": True,
        "builtin": True,
        "persistent": True,
        "persistent_in": [],
    }


@pytest.mark.parametrize(
    ("there", "kernel", "words"),
    [
        (
            module(blacklisted=(BLACKLIST,)),
            {},
            (
                "cannot be loaded at boot",
                "/etc/modprobe.d/no.conf line 3 says 'blacklist ip_vs'",
                "persistent to false",
            ),
        ),
        (module(disabled=(INSTALL,)), {}, ("disabled", "line 4 says 'install ip_vs /bin/true'", "Remove that line")),
        (module(disabled=(INSTALL,), loaded=loaded("ip_vs")), {}, ("cannot be loaded at boot", "line 4")),
        (
            module(installed=False),
            {},
            ("Kernel 6.1.0-18-amd64 has no module ip_vs", "apt install --reinstall linux-image-6.1.0-18-amd64"),
        ),
        (
            module(installed=False),
            {"distribution": Distribution(("ubuntu", "debian"), "Ubuntu 24.04")},
            ("On Ubuntu 24.04", "linux-modules-extra-6.1.0-18-amd64"),
        ),
        (
            module(installed=False),
            {"distribution": Distribution(("rocky", "rhel", "centos", "fedora"))},
            ("dnf install kernel-modules-6.1.0-18-amd64 kernel-modules-extra-6.1.0-18-amd64",),
        ),
        (module(installed=False), {"distribution": Distribution(("nixos",))}, ("(nixos) is not known to us",)),
        (module(installed=None), {"module_files": False}, ("no /lib/modules/6.1.0-18-amd64", "Reboot into")),
        (
            module(installed=None),
            {"module_files": False, "any_module_files": False},
            ("Cannot load ip_vs", "load them on the host"),
        ),
        (module(), {"modprobe": False}, ("no modprobe", "Install kmod", "load them on the host")),
        (module(), {"loading_disabled": True}, ("kernel.modules_disabled is 1",)),
        (
            module(),
            {"support": False},
            ("does not support loadable modules", "nothing in modules.builtin", "shows that"),
        ),
    ],
)
def test_refused(there: ModuleState, kernel: dict[str, t.Any], words: tuple[str, ...]) -> None:
    with pytest.raises(KubeProxyError) as caught:
        plan_modules(wanted("ip_vs"), state(there, **kernel))
    for word in words:
        assert word in str(caught.value)


def test_an_old_name_is_explained_where_the_kernel_has_its_successor() -> None:
    old = KmodState(KERNEL, (module("nf_nat_ipv4", installed=False),), known_names=frozenset({"nf_nat"}))
    with pytest.raises(KubeProxyError, match=r"Since kernel 5\.1 it is part of nf_nat.*ask for nf_nat\."):
        plan_modules(wanted("nf_nat_ipv4"), old)


# The package that the distribution itself names for modules of that kernel; os-release as fixtures/kmod/README.md says.
PACKAGES = [
    ("debian-12", "6.1.0-18-amd64", "Debian GNU/Linux 12", "apt install --reinstall linux-image-6.1.0-18-amd64."),
    ("debian-12", "6.1.0-18-cloud-amd64", "Debian", "apt install linux-image-amd64, whose kernel has all modules"),
    ("ubuntu-24.04", "6.8.0-31-generic", "Ubuntu 24.04.2 LTS", "apt install linux-modules-extra-6.8.0-31-generic."),
    (
        "rhel-9.3",
        "5.14.0-362.8.1.el9_3.x86_64",
        "Red Hat Enterprise Linux 9.3 (Plow)",
        "dnf install kernel-modules-5.14.0-362.8.1.el9_3.x86_64 kernel-modules-extra-5.14.0-362.8.1.el9_3.x86_64.",
    ),
    ("rocky-9.5", "5.14.0-503.el9.x86_64", "Rocky Linux 9.5", "kernel-modules-extra-5.14.0-503.el9.x86_64."),
    ("almalinux-9.2", "5.14.0-284.el9.x86_64", "AlmaLinux 9.2", "kernel-modules-extra-5.14.0-284.el9.x86_64."),
    (
        "ol-9.2",
        "5.15.0-101.103.2.1.el9uek.x86_64",
        "Oracle Linux Server 9.2",
        "dnf install kernel-uek-modules-5.15.0-101.103.2.1.el9uek.x86_64 kernel-uek-modules-extra-5.15.0-101.103.2.1.el9uek.x86_64.",
    ),
    (
        "ol-9.2",
        "5.14.0-284.el9.x86_64",
        "Oracle Linux",
        "dnf install kernel-modules-5.14.0-284.el9.x86_64 kernel-modules",
    ),
    ("amzn-2023", "6.1.161-183.298.amzn2023.x86_64", "Amazon Linux 2023", "dnf install kernel-modules-extra-6.1.161"),
    ("opensuse-15.5", "5.14.21-150500.55-default", "openSUSE Leap 15.5", "zypper install kernel-default, and a reboot"),
    ("alpine-3.19", "6.6.14-0-virt", "Alpine Linux v3.19", "apk add linux-lts, whose kernel has all modules"),
    ("alpine-3.19", "6.6.14-0-lts", "Alpine Linux v3.19", "apk add linux-lts, and a reboot"),
]


@pytest.mark.parametrize(("file", "release", "title", "words"), PACKAGES)
def test_the_package_is_that_of_the_distribution_and_the_kernel(
    file: str, release: str, title: str, words: str
) -> None:
    distribution = parse_os_release((FIXTURES / f"os-release.{file}").read_text(encoding="utf-8"))
    with pytest.raises(KubeProxyError) as caught:
        plan_modules(wanted("ip_vs"), state(module(installed=False), release=release, distribution=distribution))
    assert f"Kernel {release} has no module ip_vs. Check the spelling, or install more of" in str(caught.value)
    assert f"On {title}" in str(caught.value)
    assert words in str(caught.value)


def test_unloads_holders_first_and_cleans_only_our_file() -> None:
    there = state(
        module(loaded=loaded("ip_vs", 2, "ip_vs_rr"), persistent_in=(OWN,)),
        module("ip_vs_rr", loaded=loaded("ip_vs_rr")),
        own_file="# mine\nip_vs\n",
    )
    plan = plan_modules(wanted("ip_vs", "ip_vs_rr", present=False), there)
    assert plan.operations == (Unload("ip_vs_rr"), Unload("ip_vs"), WriteOwnFile("# mine\n"))
    assert render(plan.after) == "ip_vs: not loaded, not at boot\nip_vs_rr: not loaded, not at boot\n"


def test_absent_again_does_nothing() -> None:
    assert plan_modules(wanted("ip_vs", present=False), state(module(installed=False))).operations == ()


def test_absent_now_leaves_boot_alone() -> None:
    there = state(module(loaded=loaded("ip_vs"), persistent_in=(OTHER,)))
    plan = plan_modules(wanted("ip_vs", present=False, persistent=False), there)
    assert plan.operations == (Unload("ip_vs"),)
    assert "at boot (/usr/lib" in render(plan.after)


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (module(builtin=True), ("cannot be unloaded", "built into the kernel")),
        (
            module(loaded=loaded("ip_vs", 2, "ip_vs_rr", "ip_vs_sh")),
            ("in use: by ip_vs_rr, ip_vs_sh", "add them to name"),
        ),
        (module(loaded=loaded("ip_vs", 2)), ("2 references that are not modules", "virtual servers")),
        (
            module(loaded=loaded("ip_vs", 2), users=("tcp 192.0.2.1:80", "fwm 7")),
            ("ip_vs is in use: by the virtual servers tcp 192.0.2.1:80, fwm 7. Remove what uses it first.",),
        ),
        (
            module(loaded=loaded("ip_vs", 12), users=tuple(f"fwm {number}" for number in range(1, 13))),
            ("fwm 9, fwm 10 and 2 more.",),
        ),
        (module(loaded=Loaded("ip_vs", 0, permanent=True)), ("marks it as permanent",)),
        (module(loaded=Loaded("ip_vs", None)), ("cannot be unloaded",)),
        (
            module(persistent_in=(OWN, OTHER)),
            ("a file that is not ours: /usr/lib/modules-load.d/lvs.conf line 2", "Remove that line"),
        ),
    ],
)
def test_removal_refused(there: ModuleState, words: tuple[str, ...]) -> None:
    with pytest.raises(KubeProxyError) as caught:
        plan_modules(wanted("ip_vs", present=False), state(there))
    for word in words:
        assert word in str(caught.value)
