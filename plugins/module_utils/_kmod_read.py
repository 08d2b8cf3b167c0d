# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what a node says about kernel modules. Private to this collection.

Only files are read, so that looking never loads a module.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field
from functools import lru_cache

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import (
    OWN_FILE,
    Distribution,
    Kernel,
    KmodState,
    Loaded,
    Location,
    ModuleState,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_parse import (
    ModprobeConfig,
    merge_configs,
    parse_alias,
    parse_builtin,
    parse_builtin_aliases,
    parse_command_line,
    parse_dep,
    parse_modprobe_file,
    parse_modules_load,
    parse_os_release,
    parse_proc_modules,
    resolve_alias,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_probe import is_inside, parse_kallsyms
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_users import parse_ip_vs, users_of

# Both systemd and kmod: a file hides those of the same name in the folders after it.
_CONFIG_ROOTS = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
_MODULE_ROOTS = ("/lib/modules", "/usr/lib/modules")

# Old names, and an alias that says which module does their work in this kernel: nf_conntrack_ipv4 had C(nf_conntrack-2)
# (2 is AF_INET, 10 AF_INET6) until nf_conntrack took both over. Release numbers prove nothing: RHEL's 4.18 has it merged.
_OLD_NAMES = {"nf_conntrack_ipv4": "nf_conntrack_2", "nf_conntrack_ipv6": "nf_conntrack_10"}


class Files:
    """Read access below a root folder, which is C(/) on a node and a folder of the test's in tests."""

    def __init__(self, root: str = "/") -> None:
        self._root = root

    def path(self, path: str) -> str:
        """Where a file of the node is for us."""
        return os.path.join(self._root, path.lstrip("/"))

    def exists(self, path: str) -> bool:
        return os.path.exists(self.path(path))

    def is_link(self, path: str) -> bool:
        return os.path.islink(self.path(path))

    def names(self, path: str) -> list[str]:
        """Names in a folder, sorted; none when there is no such folder."""
        try:
            return sorted(os.listdir(self.path(path)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def text(self, path: str) -> str | None:
        """A file's text, whatever its bytes; None when there is no such file.

        :raises KubeProxyError: when it is there but cannot be read
        """
        try:
            with open(self.path(path), encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise KubeProxyError(f"Cannot read {path}", seen=error.strerror or str(error)) from None


@dataclass(frozen=True)
class _Knowledge:
    """Everything that one look at the node brought, before it is cut down to the names that were asked for."""

    kernel: Kernel
    loaded: t.Mapping[str, Loaded]
    builtin: frozenset[str]
    installed: frozenset[str] | None
    config: ModprobeConfig
    persistent: t.Mapping[str, tuple[Location, ...]]
    builtin_aliases: tuple[tuple[str, str], ...] = ()
    module_aliases: t.Callable[[], tuple[tuple[str, str], ...]] = field(default=tuple)
    has_inside: t.Callable[[str], bool] = field(default=lambda _name: False)
    virtual_servers: tuple[tuple[str, str], ...] = ()


def effective_config_files(files: Files, folder: str) -> list[str]:
    """The C(.conf) files of C(modprobe.d) or C(modules-load.d) that count, in their order by name."""
    chosen: dict[str, str] = {}
    for root in _CONFIG_ROOTS:
        for name in files.names(f"{root}/{folder}"):
            if name.endswith(".conf"):
                chosen.setdefault(name, f"{root}/{folder}/{name}")
    return [chosen[name] for name in sorted(chosen)]


def _persistent(files: Files) -> dict[str, tuple[Location, ...]]:
    found: dict[str, tuple[Location, ...]] = {}
    for path in effective_config_files(files, "modules-load.d"):
        for name, places in parse_modules_load(path, files.text(path) or "").items():
            found[name] = (*found.get(name, ()), *places)
    return found


def _modprobe_config(files: Files) -> ModprobeConfig:
    paths = effective_config_files(files, "modprobe.d")
    parsed = [parse_modprobe_file(path, files.text(path) or "") for path in paths]
    return merge_configs([*parsed, parse_command_line("/proc/cmdline", files.text("/proc/cmdline") or "")])


def _module_folder(files: Files, release: str) -> str | None:
    return next((f"{root}/{release}" for root in _MODULE_ROOTS if files.exists(f"{root}/{release}/modules.dep")), None)


def _distribution(files: Files) -> Distribution:
    text = files.text("/etc/os-release") or files.text("/usr/lib/os-release") or ""
    return parse_os_release(text)


def _kernel(files: Files, modprobe: bool) -> Kernel:
    release = (files.text("/proc/sys/kernel/osrelease") or "").strip()
    return Kernel(
        release=release,
        distribution=_distribution(files),
        module_files=_module_folder(files, release) is not None,
        any_module_files=any(
            files.exists(f"{root}/{name}/modules.dep") for root in _MODULE_ROOTS for name in files.names(root)
        ),
        modprobe=modprobe,
        support=files.exists("/proc/modules"),
        loading_disabled=(files.text("/proc/sys/kernel/modules_disabled") or "0").strip() == "1",
    )


def _look(files: Files, modprobe: bool) -> _Knowledge:
    kernel = _kernel(files, modprobe)
    folder = _module_folder(files, kernel.release)
    # A kernel without loadable modules has these two at most.
    builtin, modinfo = (
        next(filter(None, (files.text(f"{root}/{kernel.release}/{name}") for root in _MODULE_ROOTS)), "")
        for name in ("modules.builtin", "modules.builtin.modinfo")
    )
    return _Knowledge(
        kernel=kernel,
        loaded=parse_proc_modules(files.text("/proc/modules") or ""),
        builtin=parse_builtin(builtin),
        installed=parse_dep(files.text(f"{folder}/modules.dep") or "") if folder else None,
        config=_modprobe_config(files),
        persistent=_persistent(files),
        builtin_aliases=parse_builtin_aliases(modinfo),
        module_aliases=lru_cache(1)(lambda: parse_alias(files.text(f"{folder}/modules.alias") or "") if folder else ()),
        has_inside=_has_inside(files, listed=kernel.support and folder is not None),
        virtual_servers=parse_ip_vs(files.text("/proc/net/ip_vs") or ""),
    )


def _in_sysfs_as_builtin(files: Files, name: str) -> bool:
    # Only a module that was loaded has initstate; a built-in one has a folder only if it has parameters or a version.
    return files.exists(f"/sys/module/{name}") and not files.exists(f"/sys/module/{name}/initstate")


def _has_inside(files: Files, listed: bool) -> t.Callable[[str], bool]:
    if listed:
        return lambda name: _in_sysfs_as_builtin(files, name)
    # No list tells what is built in: no loadable modules, or a container without the kernel's files. What works does.
    symbols = lru_cache(1)(lambda: parse_kallsyms(files.text("/proc/kallsyms") or ""))
    return lambda name: _in_sysfs_as_builtin(files, name) or is_inside(name, files.exists, symbols)


def _real_names(known: _Knowledge, name: str) -> tuple[str, ...]:
    """The modules that a name stands for; none when this kernel does not know it."""
    # kmod's order (libkmod's kmod_module_new_from_lookup): configured aliases, modules, aliases of modules, built-in ones.
    from_config = resolve_alias(name, known.config.aliases)
    if from_config:
        return from_config
    if name in known.loaded or name in known.builtin or name in (known.installed or ()) or known.has_inside(name):
        return (name,)
    by_alias = resolve_alias(name, known.module_aliases()) or resolve_alias(name, known.builtin_aliases)
    if by_alias or name not in _OLD_NAMES:
        return by_alias
    return _real_names(known, _OLD_NAMES[name])


def _module(known: _Knowledge, name: str, requested: str) -> ModuleState:
    loaded = known.loaded.get(name)
    # A line may name the module by its alias, which systemd resolves as we do; it knows nothing of old names.
    by_alias = requested != name and requested not in _OLD_NAMES
    places = known.persistent.get(name, ()) + (known.persistent.get(requested, ()) if by_alias else ())
    return ModuleState(
        name=name,
        requested=requested,
        loaded=loaded,
        builtin=loaded is None and (name in known.builtin or known.has_inside(name)),
        installed=None if known.installed is None else name in known.installed,
        persistent_in=places,
        blacklisted=tuple(rule for rule in known.config.blacklisted if rule.module == name),
        disabled=tuple(rule for rule in known.config.disabled if rule.module in (name, requested)),
        users=users_of(name, known.virtual_servers),
    )


def read_modules(files: Files, names: t.Sequence[str], modprobe: bool, where_known: t.Sequence[str] = ()) -> KmodState:
    """What the node's files say about these names (normalised). C(modprobe): whether the binary is there.

    :param where_known: names that are left out where this kernel does not know them
    :raises KubeProxyError: when our own file is a link: its owner wants it to be something else
    """
    if files.is_link(OWN_FILE):
        raise KubeProxyError(
            f"{OWN_FILE} is a symbolic link",
            seen="somebody masked or moved it",
            remedy="Remove the link, then run again.",
        )
    known = _look(files, modprobe)
    asked = [(name, _real_names(known, name) or (name,)) for name in names]
    asked += [(name, _real_names(known, name)) for name in where_known]
    modules: dict[str, ModuleState] = {}
    for requested, found in asked:
        for name in found:
            modules.setdefault(name, _module(known, name, requested))
    return KmodState(
        kernel=known.kernel,
        modules=tuple(modules.values()),
        own_file=files.text(OWN_FILE),
        known_names=frozenset(known.installed or ()) | known.builtin,
    )
