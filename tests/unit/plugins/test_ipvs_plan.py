# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans: what is done, in which order, and what is left alone."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Plan
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_model import (
    IPV4,
    IPV6,
    Operation,
    RealServer,
    ServerKey,
    Servers,
    Verb,
    VirtualServer,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_plan import draining_in, plan_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import render
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import Wanted

A, B, C = (RealServer(bytes([10, 0, 0, last]), 8080) for last in (1, 2, 3))


def key(last: int = 1, port: int = 80) -> ServerKey:
    return ServerKey(IPV4, 6, bytes([10, 96, 0, last]), port, 0)


def server(*reals: RealServer, last: int = 1, **settings: t.Any) -> VirtualServer:
    return VirtualServer(key(last), **settings)._replace(real_servers=reals)


def table(*servers: VirtualServer) -> dict[ServerKey, VirtualServer]:
    return {one.key: one for one in servers}


def verbs(plan: Plan[Servers, Operation]) -> list[str]:
    return [str(operation) for operation in plan.operations]


def test_nothing_to_do() -> None:
    plan = plan_servers(Wanted(table(server(A, B))), table(server(B._replace(connections=5), A)))
    assert (plan.operations, plan.actions, plan.before, plan.after) == ((), (), {}, {})


def test_additions_first_removals_last() -> None:
    changed = B._replace(weight=7)
    wanted = Wanted(
        table(server(A, changed, scheduler="wrr"), server(A, last=2)), purge=(ipaddress.ip_network("10.96.0.0/24"),)
    )
    plan = plan_servers(wanted, table(server(B, C), server(last=3)))
    assert verbs(plan) == [
        "add TCP 10.96.0.2:80",
        "add real server 10.0.0.1:8080 of TCP 10.96.0.2:80",
        "edit TCP 10.96.0.1:80",
        "add real server 10.0.0.1:8080 of TCP 10.96.0.1:80",
        "edit real server 10.0.0.2:8080 of TCP 10.96.0.1:80",
        "remove real server 10.0.0.3:8080 of TCP 10.96.0.1:80",
        "remove TCP 10.96.0.3:80",
    ]
    assert plan.actions == (
        "edit TCP 10.96.0.1:80: scheduler rr -> wrr",
        "add real server 10.0.0.1:8080 to TCP 10.96.0.1:80 with weight 1",
        "edit real server 10.0.0.2:8080 of TCP 10.96.0.1:80: weight 1 -> 7",
        "remove real server 10.0.0.3:8080 from TCP 10.96.0.1:80",
        "add TCP 10.96.0.2:80 with scheduler rr and 1 real server",
        "remove TCP 10.96.0.3:80",
    )
    assert render(plan.after) == (
        "-A -t 10.96.0.1:80 -s wrr\n-a -t 10.96.0.1:80 -r 10.0.0.1:8080 -m -w 1\n-a -t 10.96.0.1:80 -r 10.0.0.2:8080 -m -w 7\n"
        "-A -t 10.96.0.2:80 -s rr\n-a -t 10.96.0.2:80 -r 10.0.0.1:8080 -m -w 1\n"
    )


def test_every_setting_is_edited_in_place() -> None:
    wanted = server(
        A._replace(forward_method=3, upper_threshold=9), scheduler="sh", flags=0x11, timeout=60, netmask=0xFFFFFF00
    )
    plan = plan_servers(Wanted(table(wanted)), table(server(A)))
    assert [operation.verb for operation in plan.operations] == [Verb.EDIT_SERVER, Verb.EDIT_REAL]
    assert plan.actions == (
        (
            "edit TCP 10.96.0.1:80: scheduler rr -> sh, flags none -> sh-port, persistence_timeout none -> 60,"
            " persistence_netmask none -> 255.255.255.0"
        ),
        "edit real server 10.0.0.1:8080 of TCP 10.96.0.1:80: forward_method masquerade -> direct, upper_threshold 0 -> 9",
    )


def test_timeout_and_mask_mean_nothing_without_persistence() -> None:
    assert not plan_servers(Wanted(table(server())), table(server(timeout=300, netmask=0xFF000000))).operations
    assert plan_servers(Wanted(table(server())), table(server(flags=1, timeout=0))).operations


def test_an_unlisted_destination_that_drains_stays() -> None:
    drains, drained, works = A._replace(weight=0, connections=3), B._replace(weight=0), C._replace(connections=3)
    plan = plan_servers(Wanted(table(server())), table(server(drains, drained, works)))
    assert [operation.real for operation in plan.operations] == [drained, works]
    assert plan.after[key()].real_servers == (drains,)


def test_a_listed_destination_that_drains_gets_its_weight() -> None:
    plan = plan_servers(Wanted(table(server(A))), table(server(A._replace(weight=0, connections=3))))
    assert [(operation.verb, operation.real) for operation in plan.operations] == [(Verb.EDIT_REAL, A)]


def test_what_drained_at_the_first_reading_stays_in_this_run() -> None:
    seen = draining_in(Wanted(table(server())), table(server(A._replace(weight=0, connections=3))))
    after = table(server(A._replace(weight=0)))
    assert plan_servers(Wanted(table(server())), after).operations
    assert not plan_servers(Wanted(table(server())), after, seen).operations
    assert plan_servers(Wanted(table(server())), table(server(A)), seen).operations


def test_keep_leaves_unlisted_destinations() -> None:
    wanted = Wanted(table(server(A)), keep=frozenset([key()]))
    plan = plan_servers(wanted, table(server(B)))
    assert verbs(plan) == ["add real server 10.0.0.1:8080 of TCP 10.96.0.1:80"]
    assert set(plan.after[key()].real_servers) == {A, B}


def test_absent_looks_at_the_key_only() -> None:
    plan = plan_servers(
        Wanted(table(server(A), server(last=2)), present=False), table(server(B, scheduler="lc"), server(last=3))
    )
    assert verbs(plan) == ["remove TCP 10.96.0.1:80"]
    assert (list(plan.before), plan.after) == ([key()], {})


def test_purge_stays_inside_of_its_networks() -> None:
    inside6 = VirtualServer(ServerKey(IPV6, 17, b"\xfd" + bytes(15), 53, 0))
    marked = VirtualServer(ServerKey(IPV4, 0, b"", 0, 7))
    outside = VirtualServer(ServerKey(IPV4, 6, bytes([203, 0, 113, 9]), 6443, 0))
    actual = table(server(A), server(last=2), inside6, marked, outside)
    networks = ("10.96.0.0/12", "fd00::/8")
    plan = plan_servers(Wanted(table(server(A)), purge=tuple(map(ipaddress.ip_network, networks))), actual)
    assert verbs(plan) == ["remove TCP 10.96.0.2:80", "remove UDP [fd00::]:53"]


def test_purge_goes_in_one_order_whatever_order_the_kernel_lists() -> None:
    actual = table(server(last=3), server(last=2), server(last=4))
    wanted = Wanted({}, purge=(ipaddress.ip_network("10.96.0.0/24"),))
    removals = [f"remove TCP 10.96.0.{last}:80" for last in (2, 3, 4)]
    assert verbs(plan_servers(wanted, actual)) == removals
    assert verbs(plan_servers(wanted, dict(reversed(actual.items())))) == removals


REALS = st.builds(
    RealServer,
    st.integers(1, 4).map(lambda last: bytes([10, 0, 0, last])),
    st.just(8080),
    st.integers(0, 2),
    st.sampled_from([0, 2, 3]),
    connections=st.integers(0, 1),
)
TABLES = st.dictionaries(
    st.integers(1, 4),
    st.tuples(st.sampled_from(["rr", "wrr"]), st.lists(REALS, max_size=4, unique_by=lambda one: one.identity)),
).map(lambda drawn: table(*(server(*reals, last=last, scheduler=name) for last, (name, reals) in drawn.items())))


def applied(plan: Plan[Servers, Operation], actual: Servers) -> dict[ServerKey, VirtualServer]:
    """What a kernel holds after the operations, with the preconditions of ip_vs_genl_set_cmd."""
    state = {name: {real.identity: real for real in one.real_servers} for name, one in actual.items()}
    heads = dict(actual)
    for verb, one, real in plan.operations:
        if real is None:
            assert (one.key in heads) == (verb != Verb.ADD_SERVER)
            if verb == Verb.REMOVE_SERVER:
                del heads[one.key], state[one.key]
                continue
            heads[one.key] = one
            state.setdefault(one.key, {})
            continue
        reals = state[one.key]
        assert (real.identity in reals) == (verb != Verb.ADD_REAL)
        if verb == Verb.REMOVE_REAL:
            del reals[real.identity]
        else:
            seen = reals[real.identity].connections if real.identity in reals else 0
            reals[real.identity] = real._replace(connections=seen)
    return {name: one._replace(real_servers=tuple(state[name].values())) for name, one in heads.items()}


@given(TABLES, TABLES, st.booleans(), st.sampled_from(["exact", "keep", "drain", "drain and wait"]), st.booleans())
def test_the_plan_leads_to_what_it_says_and_then_nothing_is_left(
    listed: dict[ServerKey, VirtualServer],
    actual: dict[ServerKey, VirtualServer],
    present: bool,
    unlisted: str,
    purge: bool,
) -> None:
    networks = (ipaddress.ip_network("10.96.0.0/30"),) if purge and present else ()
    kept = frozenset(listed) if unlisted == "keep" else frozenset()
    wanted = Wanted(listed, present, kept, networks, unlisted.startswith("drain"), 60 * unlisted.endswith("wait"))
    plan = plan_servers(wanted, actual)
    after = applied(plan, actual)
    assert render(after) == render(
        {**{name: one for name, one in actual.items() if name not in plan.before}, **plan.after}
    )
    assert not plan_servers(wanted, after, draining_in(wanted, actual)).operations
    assert (render(plan.before) == render(plan.after)) == (not plan.operations)
    assert plan_servers(wanted, dict(reversed(actual.items()))).actions == plan.actions
    reordered = dataclasses.replace(wanted, servers=dict(reversed(listed.items())))
    assert set(plan_servers(reordered, actual).operations) == set(plan.operations)
