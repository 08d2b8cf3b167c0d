# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What playbooks/trace.yml says, held against the node's own tools and the test's own requests."""

from __future__ import annotations

import json
import re
import typing as t
from contextlib import contextmanager
from pathlib import Path

from tests.labkit import Node, as_typed
from tests.labkit.cluster import Cluster
from tests.labkit.dataplane import state
from tests.labkit.witness import OWN, Way, Witness, ends, witness

Object = dict[str, t.Any]
TRACED = "default/traced"
PORT, NODE_PORT, END_PORT = 91, 30191, 10256
# The lab's nodes have no default route of IPv6, without which they cannot send to a ClusterIP.
ROUTE = "ip -6 route replace fd00:10:96::/112 dev vec1"
HELD = {4: ("10.34.0.10", "10.34.0.11"), 6: ("fd00:34::10", "fd00:34::11")}
NEW = {4: ("192.0.2.72", "192.0.2.73"), 6: ("2001:db8::72", "2001:db8::73")}
PODS = {4: "10.244.0.0/16", 6: "fd00:10:244::/56"}
# What a node's packets go through on their way to every Service.
HOOKS = {
    "iptables": ["nat PREROUTING", "nat OUTPUT", "nat KUBE-SERVICES", "nat POSTROUTING", "nat KUBE-POSTROUTING"],
    "ipvs": ["nat PREROUTING", "nat OUTPUT", "nat KUBE-SERVICES", "IPVS", "nat POSTROUTING", "nat KUBE-POSTROUTING"],
    "nftables": [
        "chain nat-prerouting",
        "chain nat-output",
        "chain services",
        "chain nat-postrouting",
        "chain masquerading",
    ],
}
_BOX = re.compile(r'    (\w+)\["([^"]*)"\]$')
_ARROW = re.compile(r'    (\w+) -->(?:\|"[^"]*"\|)? (\w+)$')


def traces_are_true(cluster: Cluster, mode: str, folder: Path) -> None:
    """Two nodes side by side: one whose kube-proxy is held still while the endpoints change, one that follows."""
    still, following = cluster.nodes
    addresses = cluster.service("traced")["spec"]["clusterIPs"]
    still.wait("answers through the Service", _requests(addresses))
    with still.held_still("kube-proxy"):
        before = witness(still, mode)
        still.run(_connections(addresses))
        with _endpoints_changed(cluster, following):
            earlier = witness(still, mode)
            results = _trace(cluster, mode, folder)
            later = {node.name: witness(node, mode) for node in cluster.nodes}
    for node in cluster.nodes:
        node.wait("the former endpoints", _sends_to(HELD, [one for pair in NEW.values() for one in pair]), 60)
    for name, result in results.items():
        assert (result["node"], result["mode"], result["service"], result["problems"]) == (name, mode, TRACED, [])
        sources = {(path["family"], path["source"]) for path in result["paths"]}
        assert sources == {(4, "cluster_ip"), (6, "cluster_ip"), (4, "node_port"), (6, "node_port")}
        for path in result["paths"]:
            path_is_true(path, later[name][path["family"]])
    for path in results[still.name]["paths"]:
        _counters_are_true(path, earlier[path["family"]], later[still.name][path["family"]])
    for family, address in zip((4, 6), addresses, strict=True):
        stood, followed = (_path(results[node.name], address) for node in cluster.nodes)
        _ends_are_told(stood, _still(family))
        _ends_are_told(followed, _followed(family))
        where = f"[{address}]" if family == 6 else address
        for path, words in ((stood, _still_words(family)), (followed, _followed_words(family))):
            assert path["sentence"] == f"A new connection to TCP {where}:{PORT} goes to {words}"
        _connection_is_counted(stood, before[family])
    if mode == "ipvs":
        _sets_are_true(results[still.name], later[still.name])


def _connection_is_counted(path: Object, before: Witness) -> None:
    """By the rule that takes packets for the address, or for all of its ipset."""
    if before.mode == "nftables":
        return
    ipset = "KUBE-6-CLUSTER-IP" if before.family == 6 else "KUBE-CLUSTER-IP"
    rule = ("nat KUBE-SERVICES", f"-m set --match-set {ipset} dst,dst -j ACCEPT")
    if before.mode == "iptables":
        rule = before.way(path["address"], PORT, node_port=False)[0]
    hop = next(one for one in path["hops"] if (one["place"], one["rule"]) == rule)
    assert hop["packets"] > before.packets[rule]
    assert hop["bytes"] > 0


def _requests(addresses: t.Sequence[str]) -> str:
    """From the node to both ClusterIPs and to a NodePort."""
    urls = (f"{addresses[0]}:{PORT}", f"[{addresses[1]}]:{PORT}", f"{HELD[4][0]}:{NODE_PORT}")
    return " && ".join([ROUTE, *(f"curl -gsf -m 5 http://{one}/healthz" for one in urls)])


def _connections(addresses: t.Sequence[str]) -> str:
    """To both ClusterIPs. The kernel takes them also where nobody is there to answer."""
    return " && ".join(f"bash -c '</dev/tcp/{one}/{PORT}'" for one in addresses)


@contextmanager
def _endpoints_changed(cluster: Cluster, following: Node) -> t.Iterator[None]:
    """The API loses one endpoint, has one that is no longer ready, and two new ones."""
    changed: dict[int, list[Object]] = {}
    for family, (_gone, unready) in HELD.items():
        ends = ((unready, False, "w1"), (NEW[family][0], True, "w1"), (NEW[family][1], True, None))
        changed[family] = [_endpoint(*one) for one in ends]
    former = {
        family: [_endpoint(one, True, name) for one, name in zip(HELD[family], cluster.names, strict=True)]
        for family in HELD
    }
    try:
        _patch(cluster, changed)
        following.wait("the new endpoints", _sends_to(NEW, [gone for gone, _unready in HELD.values()]), 60)
        yield
    finally:
        _patch(cluster, former)


def _endpoint(address: str, ready: bool, node: str | None) -> Object:
    return {"addresses": [address], "conditions": {"ready": ready}, "nodeName": node}


def _patch(cluster: Cluster, ends: t.Mapping[int, t.Sequence[Object]]) -> None:
    for family, name in ((4, "traced-1"), (6, "traced-6")):
        cluster.kubectl("patch", "endpointslice", name, "-p", json.dumps({"endpoints": ends[family]}))


def _sends_to(there: t.Mapping[int, t.Sequence[str]], gone: t.Iterable[str]) -> str:
    """Succeeds in any mode. Only destinations count: kube-proxy removes chains and sets of former endpoints later."""
    tables = "nft list table ip kube-proxy; nft list table ip6 kube-proxy"
    listed = f"(iptables-save; ip6tables-save; ipvsadm -Sn; {tables}) 2>/dev/null"
    wanted = [f"grep -qF '{one[-1]}' /run/ends" for one in there.values()]
    return " && ".join(
        [
            f"{listed} | grep -oE '(DNAT --to-destination|dnat to|-r) [^ ]*:{END_PORT}' > /run/ends",
            *wanted,
            *(f"! grep -F '{one}' /run/ends" for one in gone),
        ]
    )


def _trace(cluster: Cluster, mode: str, folder: Path) -> dict[str, Object]:
    """By node. The files and the screen say the same."""
    kept, drawn = folder / "trace.json", folder / "trace.mmd"
    run = cluster.lab.playbook(
        "playbooks/trace.yml", service=TRACED, trace_json_file=as_typed(kept), trace_mermaid_file=as_typed(drawn)
    )
    assert run.rc == 0, run.output
    results: list[Object] = json.loads(kept.read_text(encoding="utf-8"))
    names = [node.name for node in cluster.nodes]
    assert re.search(rf"{names[0]} \({mode}\) +\| {names[1]} \({mode}\)", run.output), run.output
    for result in results:
        for path in result["paths"]:
            assert path["sentence"] in run.output
    _chart_is_true(drawn.read_text(encoding="utf-8"), results)
    return {result["node"]: result for result in results}


def _chart_is_true(chart: str, results: t.Sequence[Object]) -> None:
    """One flowchart with a part for each node; arrows between boxes of its own, all places and destinations, the wrong ones marked."""
    first, *parts = re.split(r"^  subgraph ", chart, flags=re.MULTILINE)
    assert first == "flowchart TD\n"
    assert len(parts) == len(results)
    for part, result in zip(parts, results, strict=True):
        head, *lines = part.splitlines()
        assert head == f'{result["node"]}_all["{TRACED} on {result["node"]} in {result["mode"]} mode"]'
        body, tail = lines[: lines.index("  end")], lines[lines.index("  end") + 1 :]
        boxes = {found[1]: found[2] for found in map(_BOX.match, body) if found}
        arrows = [found.groups() for found in map(_ARROW.match, body) if found]
        assert len(boxes) + len(arrows) == len(body), body
        assert {name for arrow in arrows for name in arrow} <= set(boxes)
        texts = set(boxes.values())
        assert len(texts) == len(boxes)
        hops = [hop for path in result["paths"] for hop in path["hops"]]
        assert {hop["place"] for hop in hops} <= texts
        led = {(boxes[one], boxes[other]) for one, other in arrows}
        assert {(hop["place"], hop["target"]) for hop in hops if hop["target"]} <= led
        marked = {
            _where(end)
            for path in result["paths"]
            for end in path["destinations"]
            if end["state"] in ("dead", "stale", "missing")
        }
        assert marked <= texts
        named = re.findall(r"^  class (\S+) marked$", "\n".join(tail), re.MULTILINE)
        assert {boxes[name] for one in named for name in one.split(",")} == marked


def path_is_true(path: Object, seen: Witness) -> None:
    """Each hop is listed by the node's own tools; all that they list on the way is there, and where it ends."""
    hops = path["hops"]
    for hop in hops:
        if hop["rule"] and hop["place"] != "address of the node":
            assert hop["rule"] in seen.rules[hop["place"]], f"{hop['place']} has no {hop['rule']}"
    assert [one for one in HOOKS[seen.mode] if one not in [hop["place"] for hop in hops]] == []
    node_port = path["source"] == "node_port"
    way = seen.way(path["address"], path["port"], node_port)
    told = [(hop["place"], hop["rule"]) for hop in hops]
    assert way[0] in told
    assert _by_place(told) == _by_place(way)
    sent = {_where(end) for end in path["destinations"] if end["share"] is not None or end["weight"] is not None}
    assert sorted(sent) == ends(way)
    for hop in hops:
        written = re.search(r"--probability (\S+)", hop["rule"])
        assert hop["probability"] == (written.group(1) if written else "")
        weight = re.search(r"^-a .* -w (\d+)", hop["rule"])
        assert hop["weight"] == (int(weight.group(1)) if weight else None)


def _by_place(way: Way) -> dict[str, list[str]]:
    return {place: [rule for one, rule in way if one == place] for place, _rule in way if OWN.match(place)}


def _counters_are_true(path: Object, earlier: Witness, later: Witness) -> None:
    for hop in path["hops"]:
        rule = hop["place"], hop["rule"]
        if rule in earlier.packets:
            assert earlier.packets[rule] <= hop["packets"] <= later.packets[rule], rule
        else:
            assert (hop["packets"], hop["bytes"]) == (None, None), rule
        # Nobody connects meanwhile: those that are there end.
        if rule in earlier.connections:
            assert later.connections[rule] <= hop["connections"] <= earlier.connections[rule], rule
        else:
            assert hop["connections"] is None, rule
    if path["source"] == "cluster_ip" and path["hops"] and earlier.mode == "ipvs":
        assert sum(earlier.connections[hop["place"], hop["rule"]] for hop in path["hops"] if hop["does"] == "schedules")


def _sets_are_true(result: Object, seen: t.Mapping[int, Witness]) -> None:
    """kube-ipvs0 has the ClusterIPs, and a rule is on the way when its ipset has the address."""
    for path in result["paths"]:
        member = f"{path['address']},tcp:{path['port']}" if path["source"] == "cluster_ip" else str(path["port"])
        chains = ("nat KUBE-SERVICES", "nat KUBE-NODE-PORT")
        rules = [hop["rule"] for hop in path["hops"] if hop["place"] in chains]
        named = set(re.findall(r"--match-set (\S+) ", " ".join(rules)))
        assert named == {
            one for one in seen[path["family"]].sets[member] if one.startswith(("KUBE-6-",)) == (path["family"] == 6)
        }
        if path["source"] == "cluster_ip":
            assert ("device kube-ipvs0", "holds") in [(hop["place"], hop["does"]) for hop in path["hops"]]


def _path(result: Object, address: str) -> Object:
    found: Object = next(one for one in result["paths"] if one["address"] == address)
    return found


def _where(end: Object) -> str:
    address = f"[{end['address']}]" if ":" in end["address"] else end["address"]
    return f"{address}:{end['port']}"


def _ends_are_told(path: Object, expected: t.Sequence[tuple[t.Any, ...]]) -> None:
    told = [(end["address"], end["node"], end["ready"], end["share"], end["state"]) for end in path["destinations"]]
    assert told == list(expected)
    assert path["masquerade"] == f"packets not from {PODS[path['family']]}, packets of an endpoint to itself"
    assert (path["affinity"], path["verdict"]) == (10800, "forward")


def _still(family: int) -> list[tuple[t.Any, ...]]:
    gone, unready = HELD[family]
    return [
        (gone, "", None, 0.5, "dead"),
        (unready, "w1", False, 0.5, "stale"),
        (NEW[family][0], "w1", True, None, "missing"),
        (NEW[family][1], "", True, None, "missing"),
    ]


def _followed(family: int) -> list[tuple[t.Any, ...]]:
    return [
        (NEW[family][0], "w1", True, 0.5, "used"),
        (NEW[family][1], "", True, 0.5, "used"),
        (HELD[family][1], "w1", False, None, "unused"),
    ]


def _named(address: str, node: str = "") -> str:
    where = f"[{address}]:{END_PORT}" if ":" in address else f"{address}:{END_PORT}"
    return f"{where} on {node}" if node else where


def _to(family: int, *names: str) -> str:
    return (
        f"one of 2 endpoints, 1/2 each: {', '.join(names)}. The node's address becomes the source of packets not from "
        f"{PODS[family]}, packets of an endpoint to itself. A client stays with its endpoint for 10800 s."
    )


def _followed_words(family: int) -> str:
    return _to(family, _named(NEW[family][0], "w1"), _named(NEW[family][1]))


def _still_words(family: int) -> str:
    gone, unready = _named(HELD[family][0]), _named(HELD[family][1], "w1")
    lacking = f"{_named(NEW[family][0], 'w1')}, {_named(NEW[family][1])}"
    return (
        f"{_to(family, gone, unready)} {gone}: the API has no such endpoint (dead). {unready}: the API does not mean it to be "
        f"used now (stale). {lacking}: the API has it, the kernel does not send there (missing)."
    )


def balanced_is_true(cluster: Cluster, mode: str) -> None:
    """Source ranges, affinity, and traffic from elsewhere only to the node's own endpoints, which w1 has."""
    node = cluster.nodes[1]
    found = node.module("service_path_info", {"state": state(cluster), "service": "default/balanced"}, diff=False)
    seen = witness(node, mode)
    for path in found["paths"]:
        path_is_true(path, seen[path["family"]])
    path = next(one for one in found["paths"] if one["address"] == "203.0.113.20")
    # kube-proxy adds the address itself where a range holds the node, so that the node reaches it.
    assert re.search(
        r"Only 10\.34\.0\.0/24, 198\.51\.100\.0/24(, 203\.0\.113\.20(/32)?)? may connect\.", path["sentence"]
    )
    assert "A client stays with its endpoint for 600 s." in path["sentence"]
