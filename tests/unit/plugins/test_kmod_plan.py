# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans for kernel modules: what is done, in which order, and what is refused before anything is."""

from __future__ import annotations

import typing as t
from dataclasses import replace

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
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_plan import plan_modules

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
            ("kernel-modules-core-6.1.0-18-amd64 kernel-modules-extra-6.1.0-18-amd64",),
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
        (module(), {"support": False}, ("does not support loadable modules",)),
    ],
)
def test_refused(there: ModuleState, kernel: dict[str, t.Any], words: tuple[str, ...]) -> None:
    with pytest.raises(KubeProxyError) as caught:
        plan_modules(wanted("ip_vs"), state(there, **kernel))
    for word in words:
        assert word in str(caught.value)


def test_an_old_name_is_explained_where_the_kernel_has_its_successor() -> None:
    old = KmodState(KERNEL, (module("nf_conntrack_ipv4", installed=False),), known_names=frozenset({"nf_conntrack"}))
    with pytest.raises(KubeProxyError, match=r"Since kernel 4\.19 it is part of nf_conntrack.*ask for nf_conntrack"):
        plan_modules(wanted("nf_conntrack_ipv4"), old)


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
