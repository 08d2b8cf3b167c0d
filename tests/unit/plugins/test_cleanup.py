# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans of a cleanup, carried out on a kernel that obeys its own rules. What is whose is said by hand, from kube-proxy's source."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import typing as t
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_model import (
    Cleanup,
    DeleteDevice,
    DeleteTable,
    DestroySet,
    Step,
    wanted_cleanup,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_plan import plan_cleanup
from ansible_collections.netops.kube_proxy.plugins.module_utils._cleanup_report import kept_rows, listing, removed_rows
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory import report
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Device, Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipset_parse import IpSetState
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table, Transaction
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_plan import ForeignRules
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    FORWARD_METHODS,
    IPV4,
    Operation,
    RealServer,
    ServerKey,
    Verb,
    VirtualServer,
)
from tests.unit.plugins.iptables_kernel import apply_text
from tests.unit.plugins.test_inventory import server, tables

PORTS = range(30000, 32768)
NODE = frozenset({"192.0.2.10"})
DEVICE = Device("kube-ipvs0", "dummy", ("10.96.0.1", "10.96.0.10"))
POD = RealServer(socket.inet_aton("10.244.0.5"), 8080)
NAT, FILTER = Location("nft", "ipv4", "nat"), Location("nft", "ipv4", "filter")

SVC, XLB = "KUBE-SVC-XPGD46QRK7WJZT7O", "KUBE-XLB-XPGD46QRK7WJZT7O"
# By table and name: the modes that keep it; nothing for what no mode of today makes, None for what is not kube-proxy's.
CHAINS: dict[tuple[str, str], set[str] | None] = {
    ("nat", SVC): {"iptables"},
    ("nat", XLB): set(),
    ("nat", "KUBE-NODEPORTS"): {"iptables"},
    ("nat", "KUBE-SERVICES"): {"iptables", "ipvs"},
    ("nat", "KUBE-MARK-MASQ"): {"iptables", "ipvs"},
    ("nat", "KUBE-POSTROUTING"): {"iptables", "ipvs"},
    ("nat", "KUBE-NODE-PORT"): {"ipvs"},
    ("nat", "KUBE-LOAD-BALANCER"): {"ipvs"},
    ("nat", "CNI-HOSTPORT-SETMARK"): None,
    ("nat", "KUBE-PORTALS-CONTAINER"): None,
    ("nat", "KUBE-MARK-DROP"): None,
    ("filter", "KUBE-SERVICES"): {"iptables"},
    ("filter", "KUBE-FORWARD"): {"iptables", "ipvs"},
    ("filter", "KUBE-IPVS-FILTER"): {"ipvs"},
    ("filter", "KUBE-FIREWALL"): None,
    ("filter", "MINE"): None,
}
SETS: dict[str, tuple[IpSetState, set[str] | None]] = {
    one.name: (one, modes)
    for one, modes in (
        (IpSetState("KUBE-CLUSTER-IP", "hash:ip,port", "ipv4", 2), {"ipvs"}),
        (IpSetState("KUBE-6-CLUSTER-IP", "hash:ip,port", "ipv6", 2), {"ipvs"}),
        (IpSetState("KUBE-NODE-PORT-TCP", "bitmap:port", "", 2), {"ipvs"}),
        (IpSetState("KUBE-NODE-PORT-SCTP", "bitmap:port", "", 0), set()),
        (IpSetState("KUBE-LOOP-BACK", "hash:ip", "ipv4", 0), None),
        (IpSetState("KUBE-MINE", "hash:ip", "ipv4", 0), None),
    )
}
KEEPALIVED = server("203.0.113.9", 6443, POD._replace(forward_method=FORWARD_METHODS["direct"]))
SERVERS: tuple[tuple[VirtualServer, set[str] | None], ...] = (
    (server("10.96.0.1", 443, POD), {"ipvs"}),
    (server("10.96.0.10", 53), {"ipvs"}),
    (server("192.0.2.10", 30080, POD), {"ipvs"}),
    (server("198.51.100.0", 20000), set()),
    (server("192.0.2.10", 6443, POD), None),
    (KEEPALIVED, None),
    (server("", 0, fwmark=7), None),
)
BUILTIN = {"nat": ("PREROUTING", "OUTPUT", "POSTROUTING"), "filter": ("INPUT", "FORWARD", "OUTPUT")}


@dataclass
class Kernel:
    """What a node has; steps change it as the kernel does, or are refused. C(others): uses of sets that iptables does not show."""

    tables: dict[Location, Table] = field(default_factory=dict)
    ipsets: tuple[IpSetState, ...] = ()
    nft_tables: tuple[tuple[str, str], ...] = ()
    servers: tuple[VirtualServer, ...] = ()
    device: Device | None = None
    others: t.Mapping[str, int] = field(default_factory=dict)

    def uses(self, name: str) -> int:
        rules = [spec for table in self.tables.values() for specs in table.chains.values() for spec in specs]
        return sum(len(re.findall(rf"--match-set {name} ", spec)) for spec in rules) + self.others.get(name, 0)

    def read(self) -> Readings:
        sets = tuple(replace(one, references=self.uses(one.name)) for one in self.ipsets)
        return Readings(dict(self.tables), sets, self.nft_tables, (), self.servers, self.device, NODE)

    def do(self, step: Step) -> None:
        if isinstance(step, Transaction):
            table = self.tables[step.location]
            self.tables[step.location] = Table(apply_text(table.chains, step.text), table.builtin)
        elif isinstance(step, DeleteTable):
            self.nft_tables = tuple(key for key in self.nft_tables if key != tuple(step))
        elif isinstance(step, Operation):
            assert step.verb == Verb.REMOVE_SERVER
            assert step.server in self.servers
            self.servers = tuple(one for one in self.servers if one != step.server)
        elif isinstance(step, DeleteDevice):
            assert self.device is not None
            assert self.device.name == step.device
            self.device = None
        else:
            assert self.uses(step.ipset) == 0, f"{step.ipset} is in use"
            self.ipsets = tuple(one for one in self.ipsets if one.name != step.ipset)


@st.composite
def kernels(draw: st.DrawFn) -> Kernel:
    def table(name: str) -> Table:
        chains = [chain for home, chain in CHAINS if home == name and draw(st.booleans())]
        targets = st.sampled_from([*chains, "ACCEPT"])
        words = st.sampled_from(["", "-s 10.0.0.0/8 ", *(f"-m set --match-set {one} dst " for one in SETS)])
        rule = st.builds(lambda match, target: f"{match}-j {target}", words, targets)
        rules = {chain: tuple(draw(st.lists(rule, max_size=3))) for chain in (*BUILTIN[name], *chains)}
        if name == "filter" and "KUBE-SERVICES" in chains and draw(st.booleans()):
            rules["INPUT"] += ('-m comment --comment "kubernetes service portals" -j KUBE-SERVICES',)
        return Table(rules, frozenset(BUILTIN[name]))

    found = {NAT: table("nat"), FILTER: table("filter")}
    rules = [spec for one in found.values() for specs in one.chains.values() for spec in specs]
    used = {name for name in SETS if any(f"set {name} " in spec for spec in rules)}
    return Kernel(
        found,
        tuple(one for name, (one, _modes) in SETS.items() if name in used or draw(st.booleans())),
        tuple(draw(st.sets(st.sampled_from([("ip", "kube-proxy"), ("ip6", "kube-proxy"), ("inet", "kube-proxy")])))),
        tuple(one for one, _modes in SERVERS if draw(st.booleans())),
        draw(st.sampled_from([None, DEVICE, DEVICE._replace(kind="bridge")])),
        draw(st.dictionaries(st.sampled_from(sorted(SETS)), st.just(1), max_size=2)),
    )


@st.composite
def cleanups(draw: st.DrawFn, policies: t.Sequence[str] = ("keep", "remove_jump")) -> Cleanup:
    running = draw(st.sampled_from(["iptables", "ipvs", "nftables", "none"]))
    modes = [mode for mode in ("iptables", "ipvs", "nftables") if mode != running]
    asked = draw(st.lists(st.sampled_from(modes), min_size=1, unique=True))
    return Cleanup(tuple(asked), running, draw(st.sampled_from(policies)), PORTS)


def goes(wanted: Cleanup, modes: set[str] | None) -> bool:
    """By the test's own words."""
    return modes is not None and wanted.running_mode not in modes and (not modes or bool(modes & set(wanted.modes)))


def run(wanted: Cleanup, kernel: Kernel) -> Readings:
    """Carry a whole plan out; what was there before."""
    before = kernel.read()
    plan = plan_cleanup(wanted, before)
    for step in plan.operations:
        kernel.do(step)
    now = kernel.read()
    assert plan_cleanup(wanted, now).operations == ()
    assert plan_cleanup(wanted, now).actions == ()
    # What was promised is what is there, as far as it is shown.
    assert listing(wanted, plan.after) == listing(wanted, now)
    assert removed_rows(wanted, before, plan.after) == removed_rows(wanted, before, now)
    return before


@settings(max_examples=50)
@given(cleanups(), kernels())
def test_nothing_of_others_goes_and_all_of_the_old_modes_does_but_what_is_kept(wanted: Cleanup, kernel: Kernel) -> None:
    before = run(wanted, kernel)
    now = kernel.read()
    kept = {(row["kind"], row["table"], row["name"]) for row in kept_rows(wanted, before)}
    for at, table in before.tables.items():
        for chain in (name for name in table.chains if name not in table.builtin):
            left = chain in now.tables[at].chains
            assert left == (not goes(wanted, CHAINS[at.table, chain]) or ("iptables_chain", at.table, chain) in kept)
    for one in before.ipsets:
        assert (one in now.ipsets or one.name in {left.name for left in now.ipsets}) == (
            not goes(wanted, SETS[one.name][1]) or ("ipset", None, one.name) in kept
        )
    for key in before.nft_tables:
        assert (key in now.nft_tables) == (not goes(wanted, {"nftables"} if key[0] != "inet" else None))
    ours = before.device is not None and before.device.kind == "dummy"
    for known, modes in SERVERS:
        # On an address of kube-ipvs0: known only while that is there.
        told = ours or known.key.address not in (socket.inet_aton("10.96.0.1"), socket.inet_aton("10.96.0.10"))
        if known in before.virtual_servers:
            assert (known in now.virtual_servers) == (not goes(wanted, modes) or not told)
    assert (now.device is None) == (before.device is None or (ours and goes(wanted, {"ipvs"})))


@settings(max_examples=30)  # each tries every place where a run can end
@given(cleanups(), kernels())
def test_an_interrupted_run_is_finished_by_the_next(wanted: Cleanup, kernel: Kernel) -> None:
    whole = replace(kernel, tables=dict(kernel.tables))
    run(wanted, whole)
    steps = plan_cleanup(wanted, kernel.read()).operations
    for done in range(len(steps) + 1):
        broken = replace(kernel, tables=dict(kernel.tables))
        for step in steps[:done]:
            broken.do(step)
        run(wanted, broken)
        assert broken == whole


@settings(max_examples=50)
@given(cleanups(["keep"]), kernels())
def test_rules_of_others_stay_as_they_are(wanted: Cleanup, kernel: Kernel) -> None:
    before = run(wanted, kernel)
    for at, table in before.tables.items():
        for chain, rules in table.chains.items():
            foreign = chain not in table.builtin and CHAINS[at.table, chain] is None
            # Of what kube-proxy hangs into a built-in chain nothing is here but the old jump.
            mine = [spec for spec in rules if foreign or (chain in table.builtin and "kubernetes service" not in spec)]
            if foreign or chain in table.builtin:
                assert [spec for spec in kernel.tables[at].chains[chain] if spec in mine] == mine


@settings(max_examples=50)
@given(cleanups(["fail"]), kernels())
def test_fail_touches_nothing_of_others_and_names_what_keep_would_have_kept(wanted: Cleanup, kernel: Kernel) -> None:
    before = kernel.read()
    stays = [row for row in kept_rows(replace(wanted, on_foreign="keep"), before) if row["owner"] == "kube-proxy"]
    with contextlib.suppress(ForeignRules):
        run(wanted, kernel)
        assert not [row for row in stays if "KUBE" not in row["reason"]]
        return
    assert stays
    assert kernel.read() == before


@settings(max_examples=50)
@given(cleanups(), kernels())
def test_the_inventory_calls_leftover_exactly_what_goes_or_is_kept(wanted: Cleanup, kernel: Kernel) -> None:
    """With all modes but the running one asked about: what check says and what this does are one judgement."""
    everything = tuple(mode for mode in ("iptables", "ipvs", "nftables") if mode != wanted.running_mode)
    wanted = replace(wanted, modes=everything, on_foreign="keep")
    before = kernel.read()
    rows = report(before, wanted.running_mode, PORTS)["artifacts"]

    def key(row: t.Mapping[str, t.Any]) -> tuple[t.Any, ...]:
        return tuple(row[name] for name in ("kind", "family", "table", "type", "name"))

    left = {key(row) for row in rows if row["belongs"] is False and row["kind"] not in ("address", "iptables_jump")}
    gone = {key(row) for row in removed_rows(wanted, before, plan_cleanup(wanted, before).after)}
    kept = {key(row) for row in kept_rows(wanted, before) if row["owner"] == "kube-proxy"}
    assert left == {one for one in gone if one[0] != "iptables_jump"} | kept


ALL = Cleanup(("iptables", "ipvs", "nftables"), "none", node_ports=PORTS)


def test_a_real_node_and_the_order_of_the_steps() -> None:
    kernel = Kernel(
        tables("kube-proxy-1.37.2-ipvs-after-iptables-ipv4.txt"),
        (SETS["KUBE-CLUSTER-IP"][0], SETS["KUBE-MINE"][0]),
        (("ip", "kube-proxy"), ("ip", "nat")),
        tuple(one for one, _modes in SERVERS),
        DEVICE,
    )
    plan = plan_cleanup(ALL, kernel.read())
    kinds = [type(step) for step in plan.operations]
    assert [kind for kind, _ in itertools.groupby(kinds)] == [
        Transaction,
        DeleteTable,
        Operation,
        DeleteDevice,
        DestroySet,
    ]
    assert list(plan.actions[-4:]) == [
        "Remove table ip kube-proxy of nftables",
        "Remove 4 virtual servers (4 TCP)",
        "Remove device kube-ipvs0 with its 2 address(es)",
        "Remove ipset KUBE-CLUSTER-IP",
    ]
    assert any(re.match(r"Remove \d+ chains of single Services", sentence) for sentence in plan.actions)
    shown = listing(ALL, kernel.read())
    run(ALL, kernel)
    assert listing(ALL, kernel.read()) == ""
    assert "ipset KUBE-CLUSTER-IP hash:ip,port 2 members\nnft table ip kube-proxy\n" in shown
    assert "device kube-ipvs0 dummy 2 addresses\n  address 10.96.0.1\n" in shown
    assert "KUBE-MINE" not in shown
    assert "203.0.113.9" not in shown


@pytest.mark.parametrize(
    ("modes", "refused"),
    [(("iptables",), True), (("ipvs",), True), (("nftables",), False), (("nftables", "ipvs"), True)],
)
def test_what_was_not_read_is_no_guess(modes: tuple[str, ...], refused: bool) -> None:
    sentence = "The legacy tables of ipv4 cannot be read: iptables-save ended with 1."
    readings = Readings(unread=(sentence,), unread_modes={sentence: ("iptables", "ipvs")})
    wanted = Cleanup(modes, "none")
    if not refused:
        assert plan_cleanup(wanted, readings).operations == ()
        return
    with pytest.raises(KubeProxyError, match="nothing was touched: The legacy tables") as raised:
        plan_cleanup(wanted, readings)
    assert raised.value.details == {"unread": [sentence]}


def test_why_sets_and_others_virtual_servers_stay() -> None:
    rule = "-m set --match-set KUBE-CLUSTER-IP dst -j ACCEPT"
    kernel = Kernel(
        {FILTER: Table({"INPUT": (rule, rule)}, frozenset({"INPUT"}))},
        (SETS["KUBE-CLUSTER-IP"][0], SETS["KUBE-NODE-PORT-TCP"][0]),
        servers=(KEEPALIVED, server("10.96.0.1", 443)),
        others={"KUBE-NODE-PORT-TCP": 2},
    )
    rows = {row["name"]: (row["owner"], row["reason"]) for row in kept_rows(ALL, kernel.read())}
    assert rows["KUBE-CLUSTER-IP"] == ("kube-proxy", f"rule -A INPUT {rule} in table filter (ipv4, nft), and 1 more")
    assert rows["KUBE-NODE-PORT-TCP"][1].startswith(
        "2 use(s) that no rule in the tables filter, nat and mangle explains"
    )
    assert rows["203.0.113.9:6443"][0] == "foreign"
    assert rows["10.96.0.1:443"][0] is None
    assert rows["10.96.0.1:443"][1].startswith("the node alone does not tell whose it is")
    with pytest.raises(ForeignRules) as raised:
        plan_cleanup(replace(ALL, on_foreign="fail"), kernel.read())
    assert raised.value.details["foreign"] == [
        f"rule -A INPUT {rule} in table filter (ipv4, nft) (ipset KUBE-CLUSTER-IP)",
        f"rule -A INPUT {rule} in table filter (ipv4, nft) (ipset KUBE-CLUSTER-IP)",
        "2 use(s) of ipset KUBE-NODE-PORT-TCP by another set, or by a rule in another table",
    ]


def test_a_comment_that_looks_like_a_use_is_none() -> None:
    said = '-m comment --comment "say --match-set KUBE-CLUSTER-IP dst" -j ACCEPT'
    kernel = Kernel({FILTER: Table({"INPUT": (said,)}, frozenset({"INPUT"}))}, (SETS["KUBE-CLUSTER-IP"][0],))
    readings = replace(kernel.read(), ipsets=(SETS["KUBE-CLUSTER-IP"][0],))
    assert plan_cleanup(ALL, readings).operations == (DestroySet("KUBE-CLUSTER-IP"),)


def test_userspace_chains_stay_and_are_named_with_iptables_mode_only() -> None:
    readings = Readings(tables={NAT: Table({"KUBE-PORTALS-HOST": ()})})
    found = kept_rows(ALL, readings)
    assert [row["name"] for row in found] == ["KUBE-PORTALS-HOST"]
    assert "EdgeMesh" in found[0]["reason"]
    assert kept_rows(replace(ALL, modes=("ipvs",)), readings) == []
    assert plan_cleanup(ALL, readings).operations == ()


def test_thousands_of_services_take_a_second() -> None:
    addresses = [f"10.{96 + n // 62500}.{n // 250 % 250}.{n % 250}" for n in range(10000)]
    servers = tuple(VirtualServer(ServerKey(IPV4, 6, socket.inet_aton(one), 80, 0)) for one in addresses)
    readings = Readings(virtual_servers=servers, device=Device("kube-ipvs0", "dummy", tuple(addresses)))
    plan = plan_cleanup(ALL, readings)
    assert plan.actions == (
        "Remove 10000 virtual servers (10000 TCP)",
        "Remove device kube-ipvs0 with its 10000 address(es)",
    )
    assert len(removed_rows(ALL, readings, plan.after)) == 10001


PARAMS = {
    "mode": ["iptables", "ipvs", "iptables"],
    "running_mode": "none",
    "on_foreign": "keep",
    "node_port_range": "1-2",
}


def test_options() -> None:
    assert wanted_cleanup(PARAMS) == Cleanup(("iptables", "ipvs"), "none", "keep", range(1, 3))
    for wrong, words in (
        ({"running_mode": "ipvs"}, "What ipvs mode made cannot be removed while it is the running mode"),
        ({"mode": []}, "mode is an empty list"),
        ({"node_port_range": "all"}, "'all' is not a range of ports"),
    ):
        with pytest.raises(InvalidInput, match=words):
            wanted_cleanup({**PARAMS, **wrong})
