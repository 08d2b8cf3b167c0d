# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Having kube-proxy rebuild: what is asked of it, what is waited for, and when that is given up."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table, Tables
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_resync import Clock, KubeProxy, Resync
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_wanted import WantedChains
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_proxy_status_http import Answer, Endpoint
from tests.unit.plugins.iptables_kernel import FakeNode

FIXTURES = Path(__file__).parents[1] / "fixtures" / "iptables"
ENDPOINT = Endpoint("127.0.0.1", 10249)
MANGLE = Location("nft", "ipv4", "mangle")
FILTER = Location("nft", "ipv4", "filter")
CANARY = "KUBE-PROXY-CANARY"
SAVED = {
    "iptables": (FIXTURES / "kube-proxy-1.37.2-iptables-ipv4.txt").read_text("utf-8"),
    "ipvs": (FIXTURES / "kube-proxy-1.37.2-ipvs-after-iptables-ipv4.txt").read_text("utf-8"),
}


@dataclass
class World:
    """A node, its kube-proxy, and time: whatever stands in C(later) happens when somebody sleeps until then."""

    mode: str
    down: bool = False
    node: FakeNode = field(init=False)
    now: float = 0.0
    sync: float = 1000.0
    later: dict[float, t.Callable[[], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.node = FakeNode({("nft", "ipv4"): SAVED.get(self.mode, "")})
        self.whole = dict(self.node.tables)

    def get(self, endpoint: Endpoint, path: str) -> Answer:
        assert endpoint == ENDPOINT
        if self.down:
            return Answer(f"http://{endpoint}{path}", error="Connection refused")
        gauge = f'kubeproxy_sync_proxy_rules_last_timestamp_seconds{{ip_family="IPv4"}} {self.sync}\n'
        return Answer(f"http://{endpoint}{path}", 200, self.mode if path == "/proxyMode" else gauge)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for moment in [moment for moment in self.later if moment <= self.now]:
            self.later.pop(moment)()

    def rebuild(self) -> None:
        """What kube-proxy does in a full sync: all is as it was."""
        self.node.tables.update(self.whole)
        self.sync += 30

    def damage(self) -> None:
        """A firewall manager's reload: the jumps to kube-proxy's filter chains are gone."""
        table = self.node.tables[FILTER]
        self.node.tables[FILTER] = Table({**table.chains, "INPUT": (), "FORWARD": ()}, table.builtin)

    def resync(self, wanted: WantedChains, tmp_path: Path, address: bool = True) -> tuple[Resync, Steps[t.Any, t.Any]]:
        node = NodeTables(self.node, Files(str(tmp_path)))
        made = Resync(
            wanted,
            node,
            self.node,
            KubeProxy(ENDPOINT if address else None, self.get),
            Clock(lambda: self.now, self.sleep),
        )

        def read() -> Tables:
            return node.read(("ipv4",), "nft")

        return made, Steps(read, made.plan, lambda plan: made.apply(plan, read, 60))


IPTABLES = WantedChains(True, modes=("iptables",))
IPVS = WantedChains(True, modes=("ipvs",))


def test_iptables_mode_the_canary_goes_and_is_waited_for(tmp_path: Path) -> None:
    world = World("iptables")
    world.damage()
    world.later = {35.0: world.rebuild}
    resync, steps = world.resync(IPTABLES, tmp_path)
    plan = converge(steps, check_mode=False)
    assert resync.changes(plan)
    assert world.node.tables == world.whole
    assert world.now == 35.0
    assert plan.actions[0] == (
        "Remove chain KUBE-PROXY-CANARY from table mangle (ipv4, nft), so that kube-proxy writes all its chains again"
    )
    assert "Add to INPUT the jump to KUBE-EXTERNAL-SERVICES in table filter (ipv4, nft)" in plan.actions
    written = [call for call in world.node.calls if "restore" in call]
    assert written == ["iptables-nft-restore -w 30 --noflush"]


def test_check_mode_says_it_and_does_nothing(tmp_path: Path) -> None:
    world = World("iptables")
    resync, steps = world.resync(IPTABLES, tmp_path)
    plan = converge(steps, check_mode=True)
    assert resync.changes(plan)
    assert plan.before == plan.after
    assert world.node.tables == world.whole
    assert not [call for call in world.node.calls if "restore" in call]


def test_a_canary_that_is_back_is_not_enough(tmp_path: Path) -> None:
    world = World("iptables")
    world.damage()

    def canary_only() -> None:
        world.node.tables[MANGLE] = world.whole[MANGLE]

    world.later = {10.0: canary_only, 20.0: world.rebuild}
    _, steps = world.resync(IPTABLES, tmp_path)
    converge(steps, check_mode=False)
    assert world.now == 20.0


def test_a_kube_proxy_that_does_not_answer_the_canary_is_named(tmp_path: Path) -> None:
    world = World("iptables")
    _, steps = world.resync(IPTABLES, tmp_path)
    with pytest.raises(KubeProxyError) as raised:
        converge(steps, check_mode=False)
    assert "kube-proxy did not write its chains again within 60 s" in str(raised.value)
    assert raised.value.details["left"] == ["KUBE-PROXY-CANARY is not back in table mangle (ipv4, nft)"]


def test_somebody_else_who_takes_the_canary_is_no_failure(tmp_path: Path) -> None:
    world = World("iptables")

    def taken() -> None:
        table = world.node.tables[MANGLE]
        world.node.tables[MANGLE] = Table({k: v for k, v in table.chains.items() if k != CANARY}, table.builtin)

    world.node.before_restore = [taken]
    world.later = {5.0: world.rebuild}
    _, steps = world.resync(IPTABLES, tmp_path)
    converge(steps, check_mode=False)
    assert world.now == 5.0


def test_ipvs_mode_the_next_periodic_sync_is_waited_for(tmp_path: Path) -> None:
    world = World("ipvs")
    world.damage()

    def too_early() -> None:
        """A sync that had begun before the damage."""
        world.sync += 1

    world.later = {3.0: too_early, 30.0: world.rebuild}
    resync, steps = world.resync(IPVS, tmp_path)
    plan = converge(steps, check_mode=False)
    assert resync.changes(plan)
    assert world.now == 30.0
    assert world.node.tables == world.whole
    assert not [call for call in world.node.calls if "restore" in call]


def test_ipvs_mode_with_nothing_missing_waits_and_changes_nothing(tmp_path: Path) -> None:
    world = World("ipvs")
    world.later = {30.0: world.rebuild}
    resync, steps = world.resync(IPVS, tmp_path)
    plan = converge(steps, check_mode=False)
    assert not resync.changes(plan)
    assert world.now == 30.0
    assert plan.actions == ("Wait for kube-proxy's next periodic sync",)


@pytest.mark.parametrize(
    ("mode", "wanted", "down", "address", "words"),
    [
        ("nftables", WantedChains(True, table="nat", names=("KUBE-SERVICES",)), False, True, "a full sync comes once an hour"),
        ("ipvs", IPTABLES, False, True, "it runs in ipvs mode"),
        ("iptables", WantedChains(True, table="nat", names=("KUBE-SERVICES",)), True, True, "proxyMode: Connection refused"),
        ("iptables", WantedChains(True, table="nat", names=("KUBE-SERVICES",)), False, False, "metrics_address is empty"),
        ("iptables", WantedChains(True, table="nat", names=("KUBE-SERVICES",), running_mode="none"), True, True, "needs a running kube-proxy"),
    ],
)  # fmt: skip  # one line per case
def test_what_cannot_be_had(  # a case and its words
    tmp_path: Path, mode: str, wanted: WantedChains, down: bool, address: bool, words: str
) -> None:
    world = World(mode, down)
    with pytest.raises(KubeProxyError) as raised:
        world.resync(wanted, tmp_path, address)
    assert words in str(raised.value)
    assert world.node.calls == []


def test_without_metrics_iptables_mode_needs_none_and_ipvs_mode_says_so(tmp_path: Path) -> None:
    world = World("iptables", down=True)
    world.later = {5.0: world.rebuild}
    _, steps = world.resync(IPTABLES, tmp_path)
    converge(steps, check_mode=False)
    world = World("ipvs", down=True)
    _, steps = world.resync(IPVS, tmp_path)
    with pytest.raises(
        KubeProxyError, match=r"does not say when it last wrote its rules: GET .*/metrics: Connection refused"
    ):
        converge(steps, check_mode=False)


def test_a_contradiction_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be made to write the chains of iptables mode"):
        World("ipvs").resync(IPTABLES, tmp_path)
