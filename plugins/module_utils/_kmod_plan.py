# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done so that kernel modules are as wanted. Pure. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_missing import cannot_load_here, missing_module
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import (
    OWN_FILE,
    KmodState,
    Load,
    Loaded,
    Location,
    ModuleState,
    Operation,
    Rule,
    Unload,
    WantedModules,
    WriteOwnFile,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_parse import with_names, without_names

KmodPlan = Plan[KmodState, Operation]

# How many users a message names.
_NAMED = 10


def plan_modules(wanted: WantedModules, state: KmodState) -> KmodPlan:
    """The operations, in the order in which a failure leaves least behind: the kernel first, our file last.

    :raises KubeProxyError: when it cannot be done, before anything is
    """
    return _plan_present(wanted, state) if wanted.present else _plan_absent(wanted, state)


def _rules(rules: t.Iterable[Rule]) -> str:
    return "; ".join(str(rule) for rule in rules)


def _refuse_unloadable(state: KmodState, to_load: t.Sequence[ModuleState]) -> None:
    names = [module.name for module in to_load]
    kernel = state.kernel
    if not to_load:
        return
    if not (kernel.support and kernel.modprobe and kernel.module_files) or kernel.loading_disabled:
        raise cannot_load_here(kernel, names)
    missing = [module.name for module in to_load if module.installed is False]
    if missing:
        raise missing_module(state, missing)
    disabled = [rule for module in to_load for rule in module.disabled]
    if disabled:
        raise KubeProxyError(
            f"Loading {', '.join(names)} is disabled", seen=_rules(disabled), remedy="Remove that line, then run again."
        )


def _refuse_unpersistable(modules: t.Sequence[ModuleState]) -> None:
    for module in modules:
        rules = (*module.disabled, *module.blacklisted)
        if rules:
            raise KubeProxyError(
                f"{module.name} cannot be loaded at boot",
                seen=f"{_rules(rules)}, and systemd-modules-load obeys that",
                remedy="Remove that line, or set persistent to false to load it only now.",
            )


def _plan_present(wanted: WantedModules, state: KmodState) -> KmodPlan:
    to_load = [module for module in state.modules if not module.present]
    _refuse_unloadable(state, to_load)
    at_boot = (
        [module for module in state.modules if not module.builtin]
        if wanted.persistent and not state.kernel.boot_is_elsewhere
        else []
    )
    _refuse_unpersistable(at_boot)
    to_persist = [module.name for module in at_boot if not module.persistent_in]
    operations: list[Operation] = [Load(module.name) for module in to_load]
    actions = [f"Load {module.name}" for module in to_load]
    own_file = state.own_file
    if to_persist:
        own_file = with_names(state.own_file, to_persist)
        operations.append(WriteOwnFile(own_file))
        actions += [f"Load {name} at boot: add it to {OWN_FILE}" for name in to_persist]
    modules = tuple(_as_present(module, module.name in to_persist) for module in state.modules)
    return Plan(state, replace(state, modules=modules, own_file=own_file), tuple(operations), tuple(actions))


def _as_present(module: ModuleState, persist: bool) -> ModuleState:
    places = (*module.persistent_in, Location(OWN_FILE, 0)) if persist else module.persistent_in
    return replace(module, loaded=module.loaded if module.present else Loaded(module.name, 0), persistent_in=places)


def _refuse_removal(module: ModuleState, going: t.Collection[str]) -> None:
    loaded = module.loaded
    if module.builtin:
        raise KubeProxyError(f"{module.name} cannot be unloaded", seen="it is built into the kernel")
    if loaded is None:
        return
    if loaded.permanent or loaded.references is None:
        raise KubeProxyError(
            f"{module.name} cannot be unloaded",
            seen="the kernel marks it as permanent",
            remedy="Set it absent at boot, and reboot.",
        )
    strangers = [name for name in loaded.holders if name not in going]
    if strangers:
        raise KubeProxyError(
            f"{module.name} is in use",
            seen=f"by {', '.join(strangers)}",
            remedy="Unload these too: add them to name.",
            details={"users": strangers},
        )
    # A holder may have more than one reference (each scheduler has two of ip_vs: register_ip_vs_scheduler takes one as
    # well), so the number tells about other users only where there are no holders.
    if loaded.references and not loaded.holders:
        raise KubeProxyError(
            f"{module.name} is in use",
            seen=_other_users(module, loaded.references),
            remedy="Remove what uses it first.",
            details={"users": list(module.users)},
        )


def _other_users(module: ModuleState, references: int) -> str:
    if not module.users:
        return f"{references} references that are not modules (rules, sets, virtual servers, devices or sockets)"
    more = f" and {len(module.users) - _NAMED} more" if len(module.users) > _NAMED else ""
    return f"by the virtual servers {', '.join(module.users[:_NAMED])}{more}"


def _refuse_others_lines(module: ModuleState) -> None:
    others = [location for location in module.persistent_in if location.path != OWN_FILE]
    if others:
        raise KubeProxyError(
            f"{module.name} is loaded at boot by a file that is not ours",
            seen=", ".join(str(location) for location in others),
            remedy="Remove that line, or set persistent to false to unload it only now.",
        )


def _unload_order(modules: t.Sequence[ModuleState]) -> list[str]:
    """Holders before what they hold."""
    left = {module.name: set(module.loaded.holders) for module in modules if module.loaded is not None}
    order: list[str] = []
    while left:
        # The kernel's dependencies have no cycles; should a text claim one, any of them is as good as another.
        free = next((name for name, holders in left.items() if not holders & left.keys()), next(iter(left)))
        order.append(free)
        del left[free]
    return order


def _plan_absent(wanted: WantedModules, state: KmodState) -> KmodPlan:
    going = {module.name for module in state.modules}
    for module in state.modules:
        _refuse_removal(module, going)
        if wanted.persistent:
            _refuse_others_lines(module)
    order = _unload_order(state.modules)
    operations: list[Operation] = [Unload(name) for name in order]
    actions = [f"Unload {name}" for name in order]
    own_file = state.own_file
    ours = [module.name for module in state.modules if module.persistent_in] if wanted.persistent else []
    if ours and own_file is not None:
        own_file = without_names(own_file, ours)
        operations.append(WriteOwnFile(own_file))
        actions += [f"Do not load {name} at boot: remove it from {OWN_FILE}" for name in ours]
    modules = tuple(
        replace(module, loaded=None, persistent_in=() if wanted.persistent else module.persistent_in)
        for module in state.modules
    )
    return Plan(state, replace(state, modules=modules, own_file=own_file), tuple(operations), tuple(actions))
