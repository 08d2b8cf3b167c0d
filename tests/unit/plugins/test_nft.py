# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nftables' JSON. Expected values: libnftables-json(5) and what nft prints."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _nft_parse as parse
from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._inventory_owners import nft_owner
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_read import read_nft_table

META = {"metainfo": {"version": "1.1.3", "release_name": "x", "json_schema_version": 1}}
AT = {"family": "ip", "table": "kube-proxy"}
TABLE: list[dict[str, t.Any]] = [
    META,
    {"table": {"family": "ip", "name": "kube-proxy", "handle": 1, "comment": "rules for kube-proxy"}},
    {"set": {**AT, "name": "cluster-ips", "type": "ipv4_addr", "handle": 2, "elem": ["10.96.0.1", "10.96.0.10"]}},
    {
        "map": {
            **AT,
            "name": "service-ips",
            "type": ["ipv4_addr", "inet_proto", "inet_service"],
            "map": "verdict",
            "elem": [[{"concat": ["10.96.0.1", "tcp", 443]}, {"goto": {"target": "service-x"}}]],
        }
    },
    {"map": {**AT, "name": "firewall-ips", "type": ["ipv4_addr", "inet_proto", "inet_service"], "map": "verdict"}},
    {"counter": {**AT, "name": "localhost-nodeport-rejected-udp", "packets": 0, "bytes": 0}},
    {"chain": {**AT, "name": "nat-output", "type": "nat", "hook": "output", "prio": -100, "policy": "accept"}},
    {"chain": {**AT, "name": "services", "handle": 9}},
    {"rule": {**AT, "chain": "nat-output", "handle": 11, "expr": [{"jump": {"target": "services"}}]}},
]


def text(objects: t.Any) -> str:
    return json.dumps({"nftables": objects})


def test_a_table() -> None:
    found = parse.parse_table(text(TABLE), "ip", "kube-proxy")
    assert found.chains == {
        "nat-output": parse.NftChain("output", ([{"jump": {"target": "services"}}],), "nat", -100, "accept"),
        "services": parse.NftChain(),
    }
    assert found.sets == {"cluster-ips": parse.NftSet("ipv4_addr", "", ("10.96.0.1", "10.96.0.10"))}
    assert found.maps["service-ips"].type == "ipv4_addr . inet_proto . inet_service"
    assert found.maps["service-ips"].data == "verdict"
    assert [len(one.elements) for one in found.maps.values()] == [1, 0]
    assert found.counters == ("localhost-nodeport-rejected-udp",)


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_a_real_kube_proxys_table(family: str) -> None:
    """Names by the text that nft prints; whose they are by the source of kube-proxy: all are its own."""
    folder = Path(__file__).parents[1] / "fixtures" / "nft"
    printed = (folder / f"kube-proxy-1.37.2-{family}.txt").read_text(encoding="utf-8")
    output = (folder / f"kube-proxy-1.37.2-{family}.json").read_text(encoding="utf-8")
    found = parse.parse_table(output, family, "kube-proxy")
    parts = {"chain": list(found.chains), "set": list(found.sets), "map": list(found.maps)}
    assert parts == {kind: re.findall(rf"^\t{kind} (\S+) {{", printed, re.MULTILINE) for kind in parts}
    assert all(nft_owner(f"nft_{kind}", name).owner == "kube-proxy" for kind, names in parts.items() for name in names)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        text([]),
        text([3]),
        text([{"table": 1}]),
        text([{"chain": {**AT}}, *TABLE]),
        text([{"rule": {**AT, "chain": "x", "expr": 1}}, *TABLE]),
        text([{"table": {"family": "ip6", "name": "kube-proxy"}}]),
    ],
)
def test_anything_else_is_our_error(output: str) -> None:
    with pytest.raises(parse.UnreadableNft, match="The output of nft was not understood"):
        parse.parse_table(output, "ip", "kube-proxy")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["table", "chain", "set", "map", "rule", "name", "family", "elem", "expr", "type", "hook"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
MUTATED = st.builds(
    lambda kind, body: text([*TABLE, {kind: {**AT, **body}}]),
    st.sampled_from(["chain", "set", "map", "rule", "counter"]),
    st.dictionaries(st.sampled_from(["name", "chain", "elem", "expr", "type", "map", "hook"]), JSON, max_size=5),
)


@given(st.text() | st.builds(text, JSON) | MUTATED)
def test_any_text_is_a_table_or_our_error(output: str) -> None:
    try:
        parse.parse_table(output, "ip", "kube-proxy")
    except parse.UnreadableNft:
        pass


class Nft:
    """A node's nft: what it answers by its arguments."""

    def __init__(self, **answers: CommandResult) -> None:
        self.answers = answers
        self.calls: list[list[str]] = []

    def __call__(self, argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        assert stdin is None
        self.calls.append(list(argv))
        return self.answers.get(argv[3], CommandResult(127, "", "nft: command not found"))


def test_a_table_that_went_away_is_not_there() -> None:
    gone = CommandResult(1, "", "Error: No such file or directory\nlist table ip kube-proxy\n              ^^^^^^^^^^")
    nft = Nft(table=gone)
    assert read_nft_table(nft, "ip", "kube-proxy") is None
    assert nft.calls == [["nft", "-j", "list", "table", "ip", "kube-proxy"]]


def test_errors_of_nft() -> None:
    with pytest.raises(KubeProxyError, match=r"nft was not found.*Install the distribution's nftables package"):
        read_nft_table(Nft(), "ip", "kube-proxy")
    refused = CommandResult(1, "", "Error: Operation not permitted\n")
    with pytest.raises(KubeProxyError, match="table ip kube-proxy cannot be read: nft ended with 1: Error: Operation"):
        read_nft_table(Nft(table=refused), "ip", "kube-proxy")
