# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a node's tables: which backend, which binary, and above all when not to look."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_model import Location, Table
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_read import NodeTables
from ansible_collections.netops.kube_proxy.plugins.module_utils._iptables_report import survey_report
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from tests.unit.plugins.iptables_kernel import FakeNode

LEGACY_IPTABLES = "iptables v1.8.11 (legacy)\n"
NAT = "*nat\n:OUTPUT ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\nCOMMIT\n"
HINT = "*mangle\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n"


def files(root: Path, **contents: str) -> Files:
    """A node with modules, and these files: two underscores stand for a slash."""
    for name, text in {"proc__modules": "", "proc__sys__kernel__osrelease": "6.1\n", **contents}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Files(str(root))


def saves(node: FakeNode) -> list[str]:
    return [call for call in node.calls if "save" in call]


@pytest.mark.parametrize("backend", ["auto", "nft", "legacy", "both"])
def test_looking_at_a_node_without_tables_runs_no_iptables(tmp_path: Path, backend: str) -> None:
    node = FakeNode({})
    tables = NodeTables(node, files(tmp_path, proc__net__ip_tables_names="")).read(["ipv4", "ipv6"], backend)
    assert all(table == Table() for table in tables.values())
    assert saves(node) == []
    assert len(tables) == (12 if backend == "both" else 6)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sys__module__nf_tables__initstate", "live\n"),
        ("lib__modules__6.1__modules.builtin", "kernel/net/netfilter/nf_tables.ko\n"),
        ("proc__kallsyms", "0000000000000000 T nft_do_chain_inet\n0000000000000000 T nft_do_chain\n"),
    ],
)
def test_nft_is_read_where_the_kernel_has_it(tmp_path: Path, name: str, text: str) -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    tables = NodeTables(node, files(tmp_path, **{name: text})).read(["ipv4"], "nft")
    assert tables[Location("nft", "ipv4", "nat")].chains == {"OUTPUT": (), "KUBE-SERVICES": ()}
    assert saves(node) == ["iptables-nft-save"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lib__modules__6.1__modules.builtin", "kernel/net/netfilter/x_tables.ko\n"),
        ("proc__kallsyms", "0000000000000000 t nft_do_chain\t[nf_tables_of_another]\n"),
        ("lib__modules__5.9__modules.builtin", "kernel/net/netfilter/nf_tables.ko\n"),
    ],
)
def test_nft_is_not_read_where_that_would_load_it(tmp_path: Path, name: str, text: str) -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    assert (
        NodeTables(node, files(tmp_path, **{name: text})).read(["ipv4"], "nft")[Location("nft", "ipv4", "nat")]
        == Table()
    )
    assert saves(node) == []


def test_a_kernel_without_modules_can_be_read_at_once(tmp_path: Path) -> None:
    node = FakeNode({("nft", "ipv4"): NAT})
    NodeTables(node, Files(str(tmp_path))).read(["ipv4"], "nft")
    assert saves(node) == ["iptables-nft-save"]


@pytest.mark.parametrize(
    ("version", "nft", "legacy", "chosen"),
    [
        ("iptables v1.8.11 (nf_tables)\n", "", "", "nft"),
        (LEGACY_IPTABLES, "", "", "legacy"),
        ("iptables v1.6.1\n", "", "", "legacy"),
        ("iptables v1.8.11 (nf_tables)\n", NAT, HINT, "legacy"),
        (LEGACY_IPTABLES, HINT, NAT, "nft"),
        ("iptables v1.8.11 (nf_tables)\n", HINT, HINT, "nft"),
        (LEGACY_IPTABLES, HINT, HINT, "legacy"),
    ],
)
def test_auto_follows_kubelet_then_the_nodes_iptables(
    tmp_path: Path, version: str, nft: str, legacy: str, chosen: str
) -> None:
    node = FakeNode({("nft", "ipv4"): nft, ("legacy", "ipv4"): legacy}, version)
    there = files(tmp_path, sys__module__nf_tables__initstate="live", proc__net__ip_tables_names="mangle\nnat\n")
    tables = NodeTables(node, there).read(["ipv4"], "auto")
    assert {at.backend for at in tables} == {chosen}


def test_plain_iptables_serves_its_own_backend(tmp_path: Path) -> None:
    node = FakeNode({("legacy", "ipv6"): NAT}, "iptables v1.6.1\n")
    node.missing = {"ip6tables-legacy-save"}
    there = files(tmp_path, proc__net__ip6_tables_names="nat\n")
    tables = NodeTables(node, there).read(["ipv6"], "legacy")
    assert "KUBE-SERVICES" in tables[Location("legacy", "ipv6", "nat")].chains
    assert saves(node)[-1] == "ip6tables-save"


def test_tables_that_no_binary_can_show_are_an_error(tmp_path: Path) -> None:
    node = FakeNode({})
    node.missing = {"iptables-legacy-save"}
    there = files(tmp_path, proc__net__ip_tables_names="nat\n")
    with pytest.raises(KubeProxyError, match=r"iptables-legacy-save was not found.*Install"):
        NodeTables(node, there).read(["ipv4"], "both")
    assert {at.backend for at in NodeTables(node, there).read(["ipv4"], "auto")} == {"nft"}


def test_a_node_without_any_iptables_but_with_nf_tables_is_an_error(tmp_path: Path) -> None:
    node = FakeNode({})
    node.missing = {"iptables", "iptables-nft-save"}
    with pytest.raises(KubeProxyError, match="iptables-nft-save was not found"):
        NodeTables(node, files(tmp_path, sys__module__nf_tables__initstate="live")).read(["ipv4"], "auto")


def test_a_release_that_cannot_write_files_is_read_through_its_output(tmp_path: Path) -> None:
    node = FakeNode({("legacy", "ipv4"): NAT}, "iptables v1.6.1\n")
    node.without_files = True
    tables = NodeTables(node, files(tmp_path, proc__net__ip_tables_names="nat\n")).read(["ipv4"], "legacy")
    assert "KUBE-SERVICES" in tables[Location("legacy", "ipv4", "nat")].chains


LEFT = "*nat\n:OUTPUT ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:MINE - [0:0]\nCOMMIT\n"
THERE = {"sys__module__nf_tables__initstate": "live", "proc__net__ip_tables_names": "mangle\nnat\n"}


@pytest.mark.parametrize(
    ("nft", "legacy", "backend", "kubelet", "elsewhere"),
    [
        (HINT, LEFT, "auto", "nft", "legacy"),
        (HINT, LEFT, "nft", "nft", "legacy"),
        (LEFT, HINT, "auto", "legacy", "nft"),
        (LEFT, HINT, "nft", "legacy", None),
        (HINT, HINT, "auto", None, None),
        (LEFT, "", "legacy", None, "nft"),
        (HINT, LEFT, "both", "nft", None),
    ],
)
def test_the_other_backend_is_reported(  # a case and what is to be said of it
    tmp_path: Path, nft: str, legacy: str, backend: str, kubelet: str | None, elsewhere: str | None
) -> None:
    node = NodeTables(FakeNode({("nft", "ipv4"): nft, ("legacy", "ipv4"): legacy}), files(tmp_path, **THERE))
    node.read(["ipv4"], backend)
    found = [{"family": "ipv4", "backend": elsewhere, "table": "nat", "names": ["KUBE-SERVICES"]}] if elsewhere else []
    assert survey_report(node.last) == {"kubelet_backend": kubelet, "elsewhere": found}


def test_the_other_backend_fails_only_who_depends_on_it(tmp_path: Path) -> None:
    broken = FakeNode({("nft", "ipv4"): HINT})
    seen = broken.save

    def save(backend: str, family: str) -> str:
        return seen(backend, family) if backend == "nft" else "# Table `nat' is incompatible, use 'nft' tool.\n"

    broken.save = save  # type: ignore[method-assign]  # the one answer that a test replaces
    node = NodeTables(broken, files(tmp_path, **THERE))
    assert {at.backend for at in node.read(["ipv4"], "auto")} == {"nft"}
    assert node.last.elsewhere == {}
    broken.tables.clear()
    with pytest.raises(KubeProxyError, match="cannot be read through iptables"):
        node.read(["ipv4"], "auto")
