# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kube-proxy needs of the kernel, by mode, and how it is recognised. Expected values: kube-proxy's and Linux' sources."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import WantedModules
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_probe import parse_kallsyms
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_purpose import PURPOSES, wanted_modules
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_users import parse_ip_vs


def wanted(**params: t.Any) -> WantedModules:
    return wanted_modules(
        {"name": None, "for": None, "scheduler": "rr", "state": "present", "persistent": True, **params}
    )


def test_ipvs_is_what_every_release_asks_for() -> None:
    found = wanted(**{"for": "ipvs", "scheduler": "mh"})
    # GetRequiredIPVSModules of kube-proxy 1.26, and the scheduler.
    assert {"ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack", "ip_vs_mh"} <= set(found.names)
    assert "nf_conntrack_ipv4" in found.where_known
    # The types of pkg/proxy/ipvs/ipset.go.
    types = {"bitmap_port", "hash_ip", "hash_ipport", "hash_ipportip", "hash_ipportnet"}
    assert {f"ip_set_{name}" for name in types} <= set(found.names)
    assert len(set(found.names)) == len(found.names)


@pytest.mark.parametrize("scheduler", ["", None, "rr"])
def test_an_empty_scheduler_is_round_robin(scheduler: str | None) -> None:
    names = wanted(**{"for": "ipvs", "scheduler": scheduler}).names
    assert names.count("ip_vs_rr") == 1
    assert "ip_vs_" not in names


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_the_other_modes_need_nothing_of_ipvs(mode: str) -> None:
    found = wanted(**{"for": mode, "scheduler": "mh"})
    assert not [name for name in (*found.names, *found.where_known) if name.startswith(("ip_vs", "ip_set"))]


def test_a_purpose_and_names_add_up() -> None:
    found = wanted(**{"for": "nftables", "name": ["br-netfilter", "nft_ct"], "persistent": False})
    assert found.names[:2] == ("br_netfilter", "nft_ct")
    assert set(found.names[2:]) == set(PURPOSES["nftables"].needed) - {"nft_ct"}
    assert (found.present, found.persistent) == (True, False)


def test_names_alone() -> None:
    assert wanted(name=["ip-vs"]) == WantedModules(("ip_vs",))
    assert wanted(name=["ip_vs"], state="absent", persistent=False) == WantedModules(("ip_vs",), False, False)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"for": "ipvs", "state": "absent"}, "name those that shall go"),
        ({"for": "ipvs", "scheduler": "../rr"}, "'ip_vs_../rr' cannot be a kernel module"),
        ({"name": []}, "name is empty"),
    ],
)
def test_refused(params: dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        wanted(**params)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    parse_kallsyms(text)
    parse_ip_vs(text)


@given(st.text(alphabet="0123456789ABCDEF:[] x", max_size=30))
def test_any_virtual_server_is_read(place: str) -> None:
    parse_ip_vs(f"TCP  {place} rr\nFWM  {place} rr\n")
