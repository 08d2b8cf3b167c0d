# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be removed of what modes of kube-proxy left on a node, as values. Private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import Operation
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_artifacts import CHAIN_MODES
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_gather import parse_port_range

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Artifact, Ownership


@dataclass(frozen=True)
class Cleanup:
    """The modes whose leftovers go, and the one that runs.

    :param node_ports: the API server's range of NodePorts
    """

    modes: tuple[str, ...]
    running_mode: str
    on_foreign: str = "keep"
    node_ports: range | None = None

    @property
    def chains(self) -> WantedChains:
        """The same, asked of iptables."""
        modes = tuple(mode for mode in CHAIN_MODES if mode in self.modes)
        return WantedChains(False, modes=modes, running_mode=self.running_mode, on_foreign=self.on_foreign)

    def takes(self, ownership: Ownership) -> bool:
        """Whether something of this owner is to go."""
        return ownership.is_left_by(self.modes, self.running_mode)


class DeleteTable(t.NamedTuple):
    """Delete a table of nftables."""

    family: str
    name: str

    def __str__(self) -> str:
        return f"table {self.family} {self.name} of nftables"


class DeleteDevice(t.NamedTuple):
    """Delete a device with its addresses."""

    device: str

    def __str__(self) -> str:
        return f"device {self.device}"


class DestroySet(t.NamedTuple):
    """Destroy an ipset."""

    ipset: str

    def __str__(self) -> str:
        return f"ipset {self.ipset}"


Step = t.Union[Transaction, DeleteTable, Operation, DeleteDevice, DestroySet]


class Kept(t.NamedTuple):
    """Something that stays although it looks like what was asked for, or is in its way; and why."""

    artifact: Artifact
    reason: str


def wanted_cleanup(params: t.Mapping[str, t.Any]) -> Cleanup:
    """The module's options as values.

    :raises InvalidInput: naming the option
    """
    modes = tuple(dict.fromkeys(params["mode"]))
    if not modes:
        raise InvalidInput("mode is an empty list", remedy="Name the modes whose leftovers are to go.")
    if params["running_mode"] in modes:
        raise InvalidInput(
            f"What {params['running_mode']} mode made cannot be removed while it is the running mode",
            remedy="Leave it out of mode, switch kube-proxy first, or set running_mode=none where it does not run any more.",
        )
    return Cleanup(modes, params["running_mode"], params["on_foreign"], parse_port_range(params["node_port_range"]))
