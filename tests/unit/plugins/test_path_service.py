# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Service is asked for, and what people and machines are given. Expected values: kube-proxy's C(ShouldSkipService) and label
selectors, and the grammar of Mermaid's flowcharts as far as it is used."""

from __future__ import annotations

import json
import re
import time
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.filter.service_path_lines import service_path_lines
from ansible_collections.netops.kube_proxy.plugins.module_utils import _service_path
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult
from ansible_collections.netops.kube_proxy.plugins.module_utils._cluster_state import encode
from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_look import Sight
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput, KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_model import Readings
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_service import find, parse_wish
from ansible_collections.netops.kube_proxy.plugins.module_utils._path_words import share_words
from ansible_collections.netops.kube_proxy.plugins.module_utils._service_model_node import parse_addresses
from tests.unit.plugins.kube_paths import (
    FIXTURES,
    LINKS,
    cluster_of_nft,
    edited,
    ends,
    ipvs_readings,
    nft_readings,
    path_of,
    real,
    state,
    tables,
    trace,
    virtual,
)
from tests.unit.plugins.kube_services import cluster, endpoint, node, service

REAL = tables("iptables")
KERNEL = Readings(tables=REAL)

WRONG = {
    "web": "service: 'web' names no Service",
    "a/b/c": "names no Service",
    "/web": "names no Service",
    "default/web:": "names no Service",
    "default/nothing": "The API has no Service default/nothing: namespace default has default/by-name, default/empty",
    "somewhere/web": "The API has no Service somewhere/web: there is other/web.",
    "nowhere/nothing": "there is default/by-name, default/empty, default/headless, default/httpservice, default/lb, other/web",
    "default/httpservice:https": "Service default/httpservice has no port https: it has TCP 80 (http).",
    "default/lb:80": "Service default/lb has no port 80: it has TCP 443.",
}


@pytest.mark.parametrize("asked", WRONG)
def test_what_the_api_does_not_have(asked: str) -> None:
    with pytest.raises(InvalidInput) as error:
        find(state(), parse_wish(asked, None))
    assert WRONG[asked] in str(error.value)


def test_another_protocol() -> None:
    with pytest.raises(InvalidInput, match="has no UDP port http: it has TCP 80"):
        find(state(), parse_wish("default/httpservice:http", "udp"))


@pytest.mark.parametrize("asked", ["default/httpservice", "default/httpservice:http", "default/httpservice:80"])
def test_ways_to_ask(asked: str) -> None:
    assert find(state(), parse_wish(asked, "tcp")).ports == ("default/httpservice:http",)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("default/headless", "is headless"),
        ("default/by-name", "only a name in DNS"),
        ("other/web", "is another proxy's (label service.kubernetes.io/service-proxy-name)"),
    ],
)
def test_services_that_are_not_kube_proxys(asked: str, why: str) -> None:
    answer = trace(asked, "iptables", KERNEL)
    assert (answer["paths"], answer["mermaid"]) == ([], "")
    assert why in answer["reason"]
    assert answer["reason"] in answer["lines"]


def test_the_headless_label_hides_before_1_36() -> None:
    services = [service("a/b", labels={"service.kubernetes.io/headless": ""})]
    for release, told in (("1.35", True), ("1.36", False)):
        of = cluster(services, [], {}, release, [node("cp1")])
        assert bool(trace("a/b", "iptables", KERNEL, of)["reason"]) is told


def test_an_address_that_two_services_ask_for() -> None:
    """The kernel has the load balancer's address for default/lb; default/httpservice asks for it, too."""
    of = state(externalIPs=["203.0.113.200"])
    of["services"][0]["ports"][0]["port"] = 443
    path = path_of(trace("default/httpservice", "iptables", KERNEL, of), "203.0.113.200")
    assert path["sentence"] == "The kernel has TCP 203.0.113.200:443 for default/lb, which asks for the same address."
    assert {one["state"] for one in path["destinations"]} == {"used"}


def test_a_dead_address_is_shown() -> None:
    """The kernel still has a rule for an address that the Service has no more."""
    extra = (
        '-d 198.51.100.9/32 -p tcp -m comment --comment "default/httpservice:http external IP" -m tcp --dport 80 '
        "-j KUBE-EXT-PZZOH4GMXQXQLAH7"
    )
    answer = trace(
        "default/httpservice", "iptables", edited(REAL, "nat", "KUBE-SERVICES", lambda one: one.insert(0, extra))
    )
    assert ends(path_of(answer, "198.51.100.9"))[0] == "all 192.168.178.7:8080 cp1 0.33 stale"


def test_endpoints_that_are_not_used_are_shown() -> None:
    of = state(endpoint("192.168.178.7", "cp1", "R"), endpoint("192.168.178.200", "w1", "r"))
    path = path_of(trace("default/httpservice", "iptables", KERNEL, of), "10.96.10.10")
    assert ends(path)[-1] == "all 192.168.178.200:8080 w1 - unused"


@pytest.mark.parametrize(
    ("share", "words"),
    [(None, ""), (0.0, "0 %"), (1.0, "all"), (0.33333333349, "1/3"), (0.75, "75.0 %"), (0.01, "1/100")],
)
def test_shares_in_words(share: float | None, words: str) -> None:
    assert share_words(share) == words


BOX = re.compile(r'    \w+_n\d+\["[^"]+"\]')
ARROW = re.compile(r'    \w+_n\d+ -->(\|"[^"]+"\|)? \w+_n\d+')
REST = re.compile(r'flowchart TD|  subgraph \w+\["[^"]+"\]|  end|  classDef marked \S+|  class [\w,]+ marked')


def answers() -> list[dict[str, t.Any]]:
    web = virtual("10.96.10.10", 80, real("192.168.178.7", 8080), real("192.168.178.99", 8080))
    return [
        trace("default/httpservice", "iptables", KERNEL),
        trace("default/lb", "iptables", KERNEL),
        trace("default/httpservice", "ipvs", ipvs_readings(web)),
        trace("default/lb", "nftables", nft_readings(), cluster_of_nft()),
        trace("default/empty", "nftables", nft_readings(), cluster_of_nft()),
    ]


def test_every_answer_is_json_and_its_diagram_mermaid() -> None:
    for answer in answers():
        assert json.loads(json.dumps(answer)) == answer
        lines = answer["mermaid"].splitlines()
        assert lines[0] == "flowchart TD"
        assert [one for one in lines if not (BOX.fullmatch(one) or ARROW.fullmatch(one) or REST.fullmatch(one))] == []
        boxes = {one.split("[")[0].strip() for one in lines if BOX.fullmatch(one)}
        used = {
            name
            for one in lines
            if ARROW.fullmatch(one)
            for name in re.findall(r"\w+_n\d+(?= -->)|(?<= )\w+_n\d+$", one)
        }
        assert used <= boxes
        # What is drawn is drawn for somebody: no box stands alone.
        assert boxes == used


def test_a_dead_destination_is_marked_in_the_diagram() -> None:
    chart = answers()[2]["mermaid"]
    name = re.findall(r'(\w+)\["192\.168\.178\.99:8080"\]', chart)
    marked = re.findall(r"class (\S+) marked", chart)
    assert len(name) == len(marked) == 1
    assert name[0] in marked[0].split(",")


def test_quotes_in_a_diagram() -> None:
    odd = edited(
        REAL, "nat", "KUBE-SVC-PZZOH4GMXQXQLAH7", lambda rules: rules.insert(0, '-m string --string "a\\"|]#" -j LOG')
    )
    chart = trace("default/httpservice", "iptables", odd)["mermaid"]
    assert all(line.count('"') % 2 == 0 for line in chart.splitlines())


def test_nodes_side_by_side() -> None:
    one, other = trace("default/httpservice", "iptables", KERNEL), {**answers()[2], "node": "w1"}
    found = service_path_lines([one, other], 40)
    at = found.index(f"{'cp1 (iptables)'.ljust(40)} | w1 (ipvs)")
    table = found[at:]
    assert all(len(line) <= 83 for line in table)
    assert f"{'- 192.168.178.7:8080 cp1 1/3'.ljust(40)} | - 192.168.178.7:8080 cp1 1/2" in table
    assert any("| - 192.168.178.99:8080 1/2 DEAD" in line for line in table)
    assert any(line.endswith("| not on this node") for line in table)
    assert service_path_lines([one]) == one["lines"]


def test_headless_side_by_side() -> None:
    one = trace("default/headless", "iptables", KERNEL)
    assert any("is headless" in line for line in service_path_lines([one, one], 60)[-4:])


@pytest.mark.parametrize(("given_", "width"), [("text", 40), ([{"node": "x"}], 40), (["x"], 40), ([], 5)])
def test_the_filter_refuses_nonsense(given_: t.Any, width: int) -> None:
    with pytest.raises(AnsibleFilterError):
        service_path_lines(given_, width)


WORDS = [
    "-j",
    "KUBE-SVC-PZZOH4GMXQXQLAH7",
    "DNAT",
    "--to-destination",
    "!",
    "-s",
    "10.0.0.1:x",
    "--probability",
    "2",
    '"',
    "-m",
    "--dport",
]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damaged_rules_never_raise(data: st.DataObject) -> None:
    at = Location("nft", "ipv4", "nat")
    chains = dict(REAL[at].chains)
    for name in data.draw(st.lists(st.sampled_from(sorted(chains)), min_size=1, max_size=6)):
        extra = " ".join(data.draw(st.lists(st.sampled_from(WORDS), max_size=6)))
        keep = data.draw(st.integers(0, len(chains[name])))
        chains[name] = (extra, *chains[name][:keep])
    damaged = Readings(tables={**REAL, at: Table(chains, REAL[at].builtin)})
    for asked in ("default/httpservice", "default/lb"):
        trace(asked, "iptables", damaged)
        trace(asked, "ipvs", Readings(tables=damaged.tables, ipsets=ipvs_readings().ipsets))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["dnat", "goto", "vmap", "addr", "port", "elem", "concat", "10.96.14.237", "target"]),
    st.integers(0, 400),
    st.sampled_from(["x", "numgen", "map", "drop"]),
)
def test_damaged_nftables_never_raise(word: str, skip: int, by: str) -> None:
    def damage(text: str) -> str:
        at = -1
        for _number in range(skip % max(1, text.count(word)) + 1):
            at = text.index(word, at + 1)
        return f"{text[:at]}{by}{text[at + len(word) :]}"

    try:
        trace("default/lb", "nftables", nft_readings(damage), cluster_of_nft())
        trace("default/httpservice", "nftables", nft_readings(damage), cluster_of_nft())
    except KubeProxyError:
        pass


def test_speed_with_many_services() -> None:
    """Ten thousand Services in the kernel: tracing one of them is a matter of reading the rules once."""
    at = Location("nft", "ipv4", "nat")
    many = [
        f'-d 10.97.{one // 250}.{one % 250}/32 -p tcp -m comment --comment "ns/svc{one} cluster IP" -m tcp --dport 80 -j KUBE-SVC-X{one}'
        for one in range(10_000)
    ]
    chains = {**REAL[at].chains, "KUBE-SERVICES": (*many, *REAL[at].chains["KUBE-SERVICES"])}
    busy = Readings(tables={**REAL, at: Table(chains, REAL[at].builtin)})
    trace("default/httpservice", "iptables", KERNEL)
    start = time.perf_counter()
    path = path_of(trace("default/httpservice", "iptables", busy), "10.96.10.10")
    assert path["destinations"]
    assert time.perf_counter() - start < 4


def test_the_module_reads_counters_of_the_chains_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (FIXTURES / "iptables" / "kube-proxy-1.37.2-iptables-ipv4.txt").read_text(encoding="utf-8")
    asked: list[list[str]] = []

    def run(argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        asked.append(list(argv))
        if "-f" in argv:
            Path(argv[argv.index("-f") + 1]).write_text(re.sub("(?m)^-A", "[6:360] -A", text), encoding="utf-8")
        return CommandResult(0, "iptables v1.8.11 (nf_tables)", stdin or "")

    sight = Sight(False, KERNEL, t.cast(t.Any, None), {"running_mode": "iptables"})
    monkeypatch.setattr(_service_path, "look", lambda *_all: sight)
    monkeypatch.setattr(_service_path, "read_node_addresses", lambda _files: parse_addresses(LINKS))
    options = {"state": encode(state()), "service": "default/httpservice", "node": "cp1"}
    absent = dict.fromkeys(("protocol", "mode", "metrics_address", "healthz_address"))
    answer = _service_path.answer(_service_path.question({**absent, **options}), run, Files())
    hops = path_of(answer, "10.96.10.10")["hops"]
    assert {(one["packets"], one["bytes"]) for one in hops} == {(6, 360)}
    assert [one[0] for one in asked if "-c" in one] == ["iptables-nft-save"]
    assert (answer["node"], answer["mode"]) == ("cp1", "iptables")
