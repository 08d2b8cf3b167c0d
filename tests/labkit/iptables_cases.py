# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random tables for the real kernel, and what has to be true of any run on them; told from iptables-save's lines alone."""

from __future__ import annotations

import json
import random
import typing as t

from tests.labkit import Node
from tests.labkit.kube_rules import PORTALS, hashed
from tests.labkit.on_node import send_code

PROGRAM = "iptables_driver.py"
BUILTIN = ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")
PORTS = (("default", "web", "http", "tcp"), ("default", "dns", "", "udp"))
POSTROUTING = '-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING'
FOREIGN = ("CNI-HOSTPORT-SETMARK", "MY-CHAIN", "KUBE-FIREWALL", "KUBE-KUBELET-CANARY")
SHARED = ("KUBE-SERVICES", "KUBE-POSTROUTING", "KUBE-MARK-MASQ")
IPTABLES_ONLY = ("KUBE-NODEPORTS", "KUBE-PROXY-CANARY")
IPVS_ONLY = ("KUBE-NODE-PORT", "KUBE-LOAD-BALANCER")


def _full_name(port: tuple[str, str, str, str]) -> str:
    return f"{port[0]}/{port[1]}" + (f":{port[2]}" if port[2] else "")


def _service_chains(port: tuple[str, str, str, str]) -> list[str]:
    name = _full_name(port)
    return [hashed(kind, name + port[3]) for kind in ("SVC", "EXT")] + [
        hashed("SEP", f"{name}{port[3]}10.244.0.{last}:8080") for last in (1, 2)
    ]


SERVICE_CHAINS = [name for port in PORTS for name in _service_chains(port)]
OWN = (*SHARED, *IPTABLES_ONLY, *IPVS_ONLY, *SERVICE_CHAINS)
GROUPS: dict[str, t.Any] = {
    "iptables": [*IPTABLES_ONLY, *SERVICE_CHAINS],
    "ipvs": [*IPVS_ONLY],
}


def random_case(chance: random.Random, backend: str) -> dict[str, t.Any]:
    """A table nat of chains of everybody with rules among them (the kernel refuses loops: rules lead forward), and a wish."""
    names = [name for name in (*OWN, *FOREIGN) if chance.random() < 0.7]
    chance.shuffle(names)
    lines = []
    for index, name in enumerate((*BUILTIN, *names)):
        # Every chain may lead to those behind it in this order.
        targets = names[max(0, index - len(BUILTIN) + 1) :]
        lines += [f"-A {name} {_rule(chance, targets)}" for _ in range(chance.randrange(4))]
    for chain, jump, target in (
        ("PREROUTING", PORTALS, "KUBE-SERVICES"),
        ("OUTPUT", PORTALS, "KUBE-SERVICES"),
        ("POSTROUTING", POSTROUTING, "KUBE-POSTROUTING"),
    ):
        if target in names:
            lines += [f"-A {chain} {jump}"] * chance.randrange(3)
    declared = [*(f":{name} ACCEPT [0:0]" for name in BUILTIN), *(f":{name} - [0:0]" for name in names)]
    return {
        "backend": backend,
        "table": "\n".join(("*nat", *declared, *lines, "COMMIT", "")),
        "wanted": _random_wish(chance),
    }


def _rule(chance: random.Random, targets: t.Sequence[str]) -> str:
    match = chance.choice(
        (
            "",
            "-s 10.9.0.0/16 ",
            '-m comment --comment "say -j KUBE-SERVICES" ',
            "-p tcp -m tcp --dport 80 ",
            "-m comment --comment x ",
        )
    )
    target = chance.choice((*targets, "RETURN"))
    return f"{match}-j {target}"


def _random_wish(chance: random.Random) -> dict[str, t.Any]:
    wish = chance.randrange(6)
    policy = chance.choice(("keep", "keep", "remove_jump", "fail"))
    if wish == 0:
        return {"present": True, "mode": chance.choice(("iptables", "ipvs"))}
    if wish == 1:
        return {"present": False, "table": "nat", "names": chance.sample(OWN, 2), "on_foreign": policy}
    if wish == 2:
        return {"present": False, "services": [chance.choice(PORTS)], "running_mode": "nftables", "on_foreign": policy}
    mode, other = chance.choice((("iptables", "ipvs"), ("ipvs", "iptables")))
    running = chance.choice((other, "nftables", "none"))
    return {"present": False, "mode": mode, "running_mode": running, "on_foreign": policy}


def _may_go(wanted: dict[str, t.Any], before: t.Sequence[str]) -> set[str]:
    """Names of the chains that this wish may remove at most. An endpoint is the Service's whose chain leads to it."""
    if wanted["present"]:
        return set()
    if "names" in wanted:
        return set(wanted["names"])
    if "services" in wanted:
        own = {name for port in wanted["services"] for name in _service_chains(tuple(port))}
        rules = [line.split() for line in before if line.startswith("-A KUBE-")]
        return own | {words[-1] for words in rules if words[1] in own and words[-1].startswith("KUBE-SEP-")}
    other = "ipvs" if wanted["mode"] == "iptables" else "iptables"
    return {*GROUPS[wanted["mode"]], *(() if wanted["running_mode"] == other else SHARED)}


def judge(case: dict[str, t.Any], seen: dict[str, t.Any]) -> None:
    """What holds for every table and every wish."""
    wanted = case["wanted"]
    before, after = seen["before"], seen["after"]
    if seen["error"]:
        # The only reason to refuse a table that nobody else changes.
        assert wanted.get("on_foreign") == "fail", seen["error"]
        assert "nothing was touched" in seen["error"]
        assert after == before
        return
    assert seen["again"] == []
    chains = {line.split()[0][1:] for line in before if line.startswith(":")}
    left = {line.split()[0][1:] for line in after if line.startswith(":")}
    gone = chains - left
    assert gone <= _may_go(wanted, before)
    rules = [line for line in before if line.startswith("-A")]
    kept = [line for line in after if line.startswith("-A")]
    if wanted["present"]:
        _judge_present(wanted["mode"], rules, kept, left - chains)
        return
    assert left <= chains
    # Nothing that stays has lost a rule, but for rules that lead to what may go; nothing has got one, and the order is as it was.
    remaining = iter(rules)
    assert all(any(line == other for other in remaining) for line in kept)
    lost = list(rules)
    for line in kept:
        lost.remove(line)
    for line in lost:
        chain, target = line.split()[1], line.rsplit(" ", 1)[1]
        assert chain in gone or target in _may_go(wanted, before), line
        if chain in FOREIGN or (chain in BUILTIN and line.split(" ", 2)[2] not in (PORTALS, POSTROUTING)):
            assert wanted.get("on_foreign") == "remove_jump", line


def _judge_present(mode: str, rules: list[str], kept: list[str], made: set[str]) -> None:
    fixed = {*SHARED, *({"KUBE-NODEPORTS"} if mode == "iptables" else IPVS_ONLY)}
    assert made <= fixed
    jumps = [f"-A PREROUTING {PORTALS}", f"-A OUTPUT {PORTALS}", f"-A POSTROUTING {POSTROUTING}"]
    assert [kept.count(jump) for jump in jumps] == [1, 1, 1]
    assert [line for line in kept if line not in jumps] == [line for line in rules if line not in jumps]


def run_cases(node: Node, seed: int, count: int, backend: str, by_nft: bool) -> int:
    """Run and judge that many random cases; how many of them changed something."""
    chance = random.Random(seed)
    cases = [random_case(chance, backend) for _ in range(count)]
    folder = send_code(node, PROGRAM)
    results = json.loads(node.run(f"cd {folder} && python3 {PROGRAM}", json.dumps({"cases": cases, "by_nft": by_nft})))
    assert len(results) == count
    for number, (case, seen) in enumerate(zip(cases, results, strict=True)):
        try:
            judge(case, seen)
        except AssertionError as error:
            raise AssertionError(
                f"seed {seed}, case {number}: {error}\n{case['wanted']}\n{case['table']}\n{seen}"
            ) from error
    return sum(bool(seen["actions"]) for seen in results)
