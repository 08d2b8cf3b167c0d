# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of kernel modules on a node. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

# Nobody else writes this file, so that adding and removing a name never meets somebody else's lines.
OWN_FILE = "/etc/modules-load.d/netops-kube-proxy.conf"


@dataclass(frozen=True)
class Location:
    """A line of a file, as people look it up."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path} line {self.line}"


@dataclass(frozen=True)
class Rule:
    """A line of modprobe's configuration (or of the kernel's command line) that keeps a module out."""

    module: str
    text: str
    location: Location

    def __str__(self) -> str:
        return f"{self.location} says {self.text!r}"


@dataclass(frozen=True)
class Loaded:
    """One line of C(/proc/modules).

    C(references) is None on kernels that cannot unload modules. C(live) is false while a module is coming or going.
    C(permanent) modules have no exit function.
    """

    name: str
    references: int | None
    holders: tuple[str, ...] = ()
    permanent: bool = False
    live: bool = True


@dataclass(frozen=True)
class ModuleState:
    """One kernel module of a node, under the kernel's own name (with underscores).

    :param requested: the name that was asked for, where it is an alias of this module
    :param installed: whether C(modules.dep) knows it; None where there is no such list for the running kernel
    :param persistent_in: lines of C(modules-load.d) that name it and are not overridden
    :param blacklisted: rules that systemd-modules-load obeys, and modprobe by name does not
    :param disabled: rules that modprobe obeys
    :param users: what else than modules is known to use it, for messages
    """

    name: str
    requested: str
    loaded: Loaded | None = None
    builtin: bool = False
    installed: bool | None = None
    persistent_in: tuple[Location, ...] = ()
    blacklisted: tuple[Rule, ...] = ()
    disabled: tuple[Rule, ...] = ()
    users: tuple[str, ...] = ()

    @property
    def present(self) -> bool:
        """Whether the kernel offers it now."""
        return self.builtin or (self.loaded is not None and self.loaded.live)


@dataclass(frozen=True)
class Distribution:
    """From C(os-release): C(ids) are C(ID) and then C(ID_LIKE)."""

    ids: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Kernel:
    """What the node's kernel and its files allow.

    :param release: as C(uname -r) prints it
    :param module_files: whether there is a folder of modules for this release
    :param any_module_files: whether there is one for any release: false inside a container that has none of its own
    :param modprobe: whether the binary is there
    :param support: whether the kernel knows loadable modules at all
    :param loading_disabled: C(kernel.modules_disabled), which only a reboot takes back
    """

    release: str
    distribution: Distribution = Distribution()
    module_files: bool = True
    any_module_files: bool = True
    modprobe: bool = True
    support: bool = True
    loading_disabled: bool = False

    @property
    def boot_is_elsewhere(self) -> bool:
        """Whether the host, not this machine, decides which modules the kernel has at boot."""
        return not self.any_module_files


@dataclass(frozen=True)
class KmodState:
    """The modules that were asked about, and our own file (None: there is none)."""

    kernel: Kernel
    modules: tuple[ModuleState, ...]
    own_file: str | None = None
    known_names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Load:
    """Load one module by name."""

    name: str


@dataclass(frozen=True)
class Unload:
    """Unload one module, and nothing it depends on."""

    name: str


@dataclass(frozen=True)
class WriteOwnFile:
    """Give our own file this text; None removes it."""

    text: str | None


Operation = t.Union[Load, Unload, WriteOwnFile]


@dataclass(frozen=True)
class WantedModules:
    """What the user asked for; C(names) are normalised and without doubles.

    :param where_known: wanted too, but only of a kernel that has them
    """

    names: tuple[str, ...]
    present: bool = True
    persistent: bool = True
    where_known: tuple[str, ...] = ()


def _line(kernel: Kernel, module: ModuleState) -> str:
    if module.builtin:
        return f"{module.name}: built in"
    words = "loaded" if module.present else "not loaded"
    places = sorted({location.path for location in module.persistent_in})
    if kernel.boot_is_elsewhere:
        return f"{module.name}: {words}"
    return f"{module.name}: {words}, " + (f"at boot ({', '.join(places)})" if places else "not at boot")


def render(state: KmodState) -> str:
    """One line for each module, for the diff."""
    return "".join(_line(state.kernel, module) + "\n" for module in state.modules)


def as_results(state: KmodState) -> list[dict[str, t.Any]]:
    """The module's return value C(modules)."""
    return [
        {
            "name": module.name,
            "requested": module.requested,
            "loaded": module.present,
            "builtin": module.builtin,
            "persistent": module.builtin or bool(module.persistent_in),
            "persistent_in": sorted({location.path for location in module.persistent_in}),
        }
        for module in state.modules
    ]
