# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of nftables: bytes written by hand after include/uapi/linux/netfilter/nf_tables.h, and bytes of no sense."""

from __future__ import annotations

import struct
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files
from ansible_collections.netops.kube_proxy.plugins.module_utils._nft_tables import read_nft_tables
from tests.unit.plugins.test_nft_handles import DONE, Kernel, attribute


def node(root: Path, module: bool = True) -> Files:
    (root / "proc").mkdir()
    (root / "proc/modules").write_text("")
    if module:
        (root / "sys/module/nf_tables").mkdir(parents=True)
    return Files(str(root))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return node(tmp_path_factory.mktemp("node"))


def table(family: int, *attributes: tuple[int, bytes]) -> bytes:
    body = bytes([family, 0, 0, 0]) + b"".join(attribute(*one) for one in attributes)
    return struct.pack("=IHHII", 16 + len(body), 0x0A00, 2, 1, 0) + body


def test_every_family_has_nfts_name(files: Files) -> None:
    """The numbers are NFPROTO_ of include/uapi/linux/netfilter.h."""
    numbers = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}
    flags_use_handle = ((2, bytes(4)), (3, bytes([0, 0, 0, 9])), (4, bytes(8)))
    kernel = Kernel(b"".join(table(n, (1, b"kube-proxy\0"), *flags_use_handle) for n in numbers.values()) + DONE)
    assert read_nft_tables(files, lambda: kernel) == tuple((name, "kube-proxy") for name in numbers)
    assert kernel.asked == [struct.pack("=IHHII", 20, 0x0A01, 0x301, 1, 0) + bytes(4)]


def test_no_table(files: Files) -> None:
    assert read_nft_tables(files, lambda: Kernel(DONE)) == ()


def test_the_kernel_is_not_asked_where_that_would_load_nf_tables(tmp_path: Path) -> None:
    kernel = Kernel(DONE)
    assert read_nft_tables(node(tmp_path, module=False), lambda: kernel) == ()
    assert kernel.asked == []


@pytest.mark.parametrize("odd", [table(2), table(2, (1, b"")), table(99, (1, b"nat\0"))])
def test_a_table_without_a_family_or_a_name_is_an_error(files: Files, odd: bytes) -> None:
    with pytest.raises(KubeProxyError, match=r"tables of nftables cannot be read: a table .* without"):
        read_nft_tables(files, lambda: Kernel(odd + DONE))


def test_the_kernels_no_is_an_error(files: Files) -> None:
    refused = struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -1) + bytes(16)
    with pytest.raises(KubeProxyError, match="tables of nftables cannot be read: Operation not permitted"):
        read_nft_tables(files, lambda: Kernel(refused))


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(files: t.Any, noise: bytes) -> None:
    try:
        read_nft_tables(files, lambda: Kernel(noise + DONE))
    except KubeProxyError:
        pass
