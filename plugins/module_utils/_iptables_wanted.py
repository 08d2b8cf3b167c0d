# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user may ask of kube-proxy's chains. Pure; private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import KUBE_PROXY
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import chain_owner, jump_owner
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import target_of
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_services import (
    ServicePort,
    chains_of,
    is_endpoint,
    parse_service,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import (
    CHAINS,
    IPTABLES,
    ChainShape,
    Jump,
    fixed_chains,
    jumps_to,
    owner_of,
    shape_of,
)

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Table

_SERVICES_IN = "nat"


@dataclass(frozen=True)
class WantedChains:
    """Chains by name in one table, those of modes, or those of Services. C(running_mode) is what stays; empty when nothing was said.

    Chains that have to be there are those of one mode; what several modes left can go at once.

    C(on_foreign): what becomes of a chain that has to go while somebody else's rule leads to it; C(keep) keeps it.

    :raises InvalidInput: from :func:`wanted_chains` only
    """

    present: bool
    table: str = ""
    names: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    running_mode: str = ""
    services: tuple[ServicePort, ...] = ()
    on_foreign: str = "keep"

    def chosen(self, table: str, content: Table) -> frozenset[str]:
        """The chains of a table, as it is, that are asked about; never a built-in one."""
        if self.services:
            return chains_of(self.services, content) if table == _SERVICES_IN else frozenset()
        return frozenset(name for name in content.chains if name not in content.builtin and self.selects(table, name))

    def selects(self, table: str, name: str) -> bool:
        """Whether a chain of this name in this table is asked about by name or mode."""
        if self.present:
            return name in self.to_create(table)
        if self.names:
            return table == self.table and name in self.names
        return chain_owner(table, name).is_left_by(self.modes, self.running_mode)

    def takes_rules_of(self, table: str, chain: str) -> bool:
        """Whether every rule in a chain that leads to a chosen one goes with it: kube-proxy's own, for a Service.

        An endpoint's chain is the end of kube-proxy's way: a rule there that leads to a Service is somebody else's.
        """
        return bool(self.services) and shape_of(table, chain) is not None and not is_endpoint(chain)

    def runs(self, table: str, chain: str) -> bool:
        """Whether a chain is one that the running mode writes: what stands in it is no foreign rule."""
        shape = shape_of(table, chain)
        return shape is not None and self.running_mode in shape.modes

    def takes_jump(self, table: str, source: str, spec: str) -> bool:
        """Whether a rule is a jump that kube-proxy made and that has to go, although the chain it leads to may stay."""
        target = target_of(spec)
        if self.services:
            return False
        if self.names:
            return (
                table == self.table
                and target in self.names
                and jump_owner(table, source, target, spec).owner == KUBE_PROXY
            )
        return jump_owner(table, source, target, spec).is_left_by(self.modes, self.running_mode)

    def to_create(self, table: str) -> tuple[str, ...]:
        """Names of the chains that have to exist in a table."""
        if self.names:
            return self.names if table == self.table else ()
        return tuple(name for mode in self.modes for home, name in fixed_chains(mode) if home == table)

    def jumps(self, table: str, name: str) -> tuple[Jump, ...]:
        """The jumps that have to exist to a chain, as today's kube-proxy makes them."""
        shape = shape_of(table, name)
        wanted = "".join(self.modes) or self.running_mode
        modes = shape.modes if shape else ()
        mode = wanted if wanted in modes else "".join(modes[:1])
        return _todays_jumps(table, name, mode)


def wanted_chains(params: t.Mapping[str, t.Any]) -> WantedChains:
    """Turn the options of the module into what is wanted.

    :raises InvalidInput: for chains that are not kube-proxy's and for options that contradict each other
    """
    wanted = WantedChains(
        present=params["state"] == "present",
        table=params["table"] or "",
        names=tuple(dict.fromkeys(params["name"] or ())),
        modes=(params["mode"],) if params["mode"] else (),
        running_mode=params["running_mode"] or "",
        services=tuple(
            dict.fromkeys(parse_service(number, item) for number, item in enumerate(params["service"] or ()))
        ),
        on_foreign=params["on_foreign"],
    )
    _check_state(wanted, params)
    if wanted.modes or wanted.services:
        _check_modes(wanted)
    for name in wanted.names:
        _check_name(wanted, name)
    return wanted


def _check_state(wanted: WantedChains, params: t.Mapping[str, t.Any]) -> None:
    if wanted.present and params["backend"] == "both":
        raise InvalidInput(
            "state=present cannot be had with backend=both",
            seen="kube-proxy uses one backend, and chains in the other would be leftovers",
            remedy="Use backend=auto, or name one.",
        )
    if wanted.present and wanted.services:
        raise InvalidInput(
            "The chains of a Service cannot be made present",
            seen="kube-proxy writes them from the Service and its endpoints",
            remedy="Use state=absent, or mode=iptables with resync=true to have kube-proxy write them again.",
        )
    if params["resync"] and not wanted.present:
        raise InvalidInput(
            "resync=true cannot be had with state=absent",
            seen="kube-proxy would write again what it needs, and only that",
            remedy="Use state=present with resync, or leave resync out.",
        )


def _check_modes(wanted: WantedChains) -> None:
    if wanted.present:
        return
    # The chains of single Services are iptables mode's.
    mode = "".join(wanted.modes) or IPTABLES
    what = "the chains of a Service" if wanted.services else f"the chains of {mode} mode"
    if not wanted.running_mode:
        raise InvalidInput(
            f"Removing {what} needs running_mode",
            remedy="Set running_mode to the mode kube-proxy runs in, or to none where it does not run: what that mode needs stays.",
        )
    if mode == wanted.running_mode:
        raise InvalidInput(
            f"{what[0].upper()}{what[1:]} cannot be removed while {'it' if wanted.modes else 'iptables mode'} is the running mode",
            remedy="Switch kube-proxy first, or set running_mode=none when it does not run any more.",
        )


def _check_name(wanted: WantedChains, name: str) -> None:
    shape = shape_of(wanted.table, name)
    if shape is None:
        raise InvalidInput(
            f"{name!r} in table {wanted.table} is not a chain that this module may touch", _why(wanted, name), _WAY_OUT
        )
    if wanted.present and shape.canary:
        raise InvalidInput(
            f"{name} cannot be made present",
            seen="kube-proxy takes its absence as the sign that the tables were flushed, and writes them again",
            remedy="Leave it to kube-proxy.",
        )
    if wanted.present and shape.per_service:
        raise InvalidInput(
            f"{name} cannot be made present",
            seen="kube-proxy writes the chains of a Service from the Service and its endpoints",
            remedy="Use mode=iptables with resync=true to have kube-proxy write them again.",
        )
    if not wanted.present and wanted.running_mode in shape.modes:
        raise InvalidInput(
            f"{name} in table {wanted.table} cannot be removed",
            seen=f"kube-proxy in {wanted.running_mode} mode, the running mode, needs it",
            remedy="Leave it out, or leave running_mode out when you do mean it.",
        )
    if wanted.present and not wanted.running_mode and _ambiguous(wanted.table, name, shape):
        raise InvalidInput(
            f"The jumps to {name} in table {wanted.table} differ between modes",
            seen=" and ".join(shape.modes) + " mode both use the chain",
            remedy="Set running_mode to say whose jumps are meant.",
        )


_WAY_OUT = "Name a chain that kube-proxy makes in iptables or ipvs mode, in its own table."


def _why(wanted: WantedChains, name: str) -> str:
    homes = sorted({shape.table for shape in CHAINS if shape.matches(shape.table, name)})
    owner = owner_of(wanted.table, name)
    if homes:
        return f"kube-proxy has {name} in table {' and '.join(homes)} only"
    return f"it belongs to {owner}" if owner else "kube-proxy makes no chain of this name"


def _ambiguous(table: str, name: str, shape: ChainShape) -> bool:
    return len({_todays_jumps(table, name, mode) for mode in shape.modes}) > 1


def _todays_jumps(table: str, name: str, mode: str) -> tuple[Jump, ...]:
    return tuple(jump for jump in jumps_to(table, name) if mode in jump.modes and not jump.until)
