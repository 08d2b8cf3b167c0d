# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts about kernel modules. Expected values: proc(5), modprobe.d(5), modules-load.d(5), and hand-derivation."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netops.kube_proxy.plugins.module_utils import _kmod_parse as parse
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import Loaded, Location

NAMES = st.from_regex(r"[a-z0-9_]{1,20}", fullmatch=True)

PROC_MODULES = """\
ip_vs_rr 12288 1 - Live 0x0000000000000000
ip_vs 225280 3 ip_vs_rr,ip_vs_sh, Live 0xffffffffc0a3c000
nf_conntrack 196608 2 ip_vs,nf_nat, Live 0x0000000000000000
sit 32768 0 - Loading 0x0000000000000000 (+)
vboxguest 450560 5 - Live 0x0000000000000000 (OE)
lapb 28672 1 x25,[permanent], Live 0x0
builtin_only 4096 - - Live 0x0
nonsense
"""


def test_proc_modules() -> None:
    modules = parse.parse_proc_modules(PROC_MODULES)
    assert modules["ip_vs"] == Loaded("ip_vs", 3, ("ip_vs_rr", "ip_vs_sh"))
    assert modules["ip_vs_rr"] == Loaded("ip_vs_rr", 1)
    assert modules["sit"].live is False
    assert modules["vboxguest"].references == 5
    assert (modules["lapb"].permanent, modules["lapb"].holders) == (True, ("x25",))
    assert modules["builtin_only"].references is None
    assert "nonsense" not in modules


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("kernel/net/netfilter/ipvs/ip_vs.ko", "ip_vs"),
        ("kernel/net/netfilter/ipvs/ip_vs_rr.ko.xz", "ip_vs_rr"),
        ("kernel/net/netfilter/xt_set.ko.zst", "xt_set"),
        ("kernel/drivers/net/dummy.ko.gz", "dummy"),
        ("kernel/crypto/sha256-arm64.ko", "sha256_arm64"),
        ("extra/some.kotlin.ko.bz2", "some.kotlin"),
    ],
)
def test_names_of_files(path: str, name: str) -> None:
    assert parse.name_of_path(path) == name
    assert parse.parse_builtin(f"{path}\n\n") == {name}
    assert parse.parse_dep(f"{path}: kernel/lib/libcrc32c.ko.xz\n") == {name}


def test_builtin_aliases_are_zero_terminated() -> None:
    text = "nf_conntrack.license=GPL\0nf_conntrack.alias=ip_conntrack\0nf_conntrack.alias=nf_conntrack-2\0"
    aliases = parse.parse_builtin_aliases(text)
    assert aliases == (("ip_conntrack", "nf_conntrack"), ("nf_conntrack_2", "nf_conntrack"))
    assert parse.resolve_alias("nf_conntrack_2", aliases) == ("nf_conntrack",)


def test_aliases_with_wildcards() -> None:
    text = "# Aliases extracted\nalias nf_conntrack-10 nf_conntrack\nalias pci:v8086d* e1000\nalias rtnl-link-dumm? dummy\n"
    aliases = parse.parse_alias(text)
    assert parse.resolve_alias("nf_conntrack_10", aliases) == ("nf_conntrack",)
    assert parse.resolve_alias("rtnl_link_dummy", aliases) == ("dummy",)
    assert parse.resolve_alias("ip_vs", aliases) == ()


def test_thousands_of_patterns_cost_little() -> None:
    aliases = tuple((f"pci:v0000{number:04X}d*sv*", "x") for number in range(20000))
    start = time.process_time()
    assert parse.resolve_alias("ip_vs", aliases) == ()
    assert time.process_time() - start < 1


MODPROBE_CONF = """\
# blacklist commented
blacklist ip-vs-rr
install ip_vs /bin/true
install nf_conntrack /sbin/modprobe --ignore-install nf_conntrack
alias lvs ip-vs
alias net-pf-10 off
   install   dummy \\
   /usr/bin/false
blacklist
options ip_vs conn_tab_bits=15
"""


def test_modprobe_file() -> None:
    config = parse.parse_modprobe_file("/etc/modprobe.d/x.conf", MODPROBE_CONF)
    assert [(rule.module, rule.location.line) for rule in config.blacklisted] == [("ip_vs_rr", 2)]
    assert [(rule.module, rule.location.line) for rule in config.disabled] == [
        ("ip_vs", 3),
        ("net_pf_10", 6),
        ("dummy", 7),
    ]
    assert config.aliases == (("lvs", "ip_vs"),)
    assert str(config.disabled[0]) == "/etc/modprobe.d/x.conf line 3 says 'install ip_vs /bin/true'"


def test_command_line() -> None:
    config = parse.parse_command_line(
        "/proc/cmdline", "quiet modprobe.blacklist=ip_vs,dummy module_blacklist=ip-vs-rr\n"
    )
    assert [rule.module for rule in config.blacklisted] == ["ip_vs", "dummy"]
    assert [rule.module for rule in config.disabled] == ["ip_vs_rr"]


def test_modules_load_file() -> None:
    text = "# one\n; two\n\n  ip-vs \nip_vs\nnf_conntrack\r\n"
    found = parse.parse_modules_load("/etc/modules-load.d/a.conf", text)
    assert found["ip_vs"] == (Location("/etc/modules-load.d/a.conf", 4), Location("/etc/modules-load.d/a.conf", 5))
    assert set(found) == {"ip_vs", "nf_conntrack"}


def test_own_file_keeps_comments_and_never_doubles_newlines() -> None:
    text = "# mine\nip_vs"
    added = parse.with_names(text, ["ip_vs", "ip_vs_rr"])
    assert added == "# mine\nip_vs\nip_vs_rr\n"
    assert parse.with_names(added, ["ip_vs_rr"]) == added
    assert parse.without_names(added, ["ip_vs"]) == "# mine\nip_vs_rr\n"
    assert parse.without_names(added, ["ip_vs", "ip_vs_rr"]) == "# mine\n"


def test_own_file_with_other_spelling_is_not_repeated() -> None:
    assert parse.with_names("ip-vs-rr\n", ["ip_vs_rr"]) == "ip-vs-rr\n"
    assert parse.without_names("ip-vs-rr\n", ["ip_vs_rr"]) is None


@given(st.lists(NAMES, unique=True, min_size=1))
def test_added_and_removed_is_as_before(names: list[str]) -> None:
    text = parse.with_names(None, names)
    assert set(parse.parse_modules_load("f", text)) == set(names)
    assert "\n\n" not in text
    assert parse.without_names(text, names) is None


@given(st.text(), st.lists(NAMES, unique=True))
def test_any_own_file_survives(text: str, names: list[str]) -> None:
    added = parse.with_names(text, names)
    assert parse.with_names(added, names) == added
    assert set(names) <= set(parse.parse_modules_load("f", added))


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    parse.parse_proc_modules(text)
    parse.parse_modprobe_file("f", text)
    parse.parse_modules_load("f", text)
    parse.parse_alias(text)
    parse.parse_builtin_aliases(text)
    parse.parse_os_release(text)
    parse.parse_command_line("f", text)


def test_names_become_one_spelling() -> None:
    assert parse.checked_names(["ip-vs", "ip_vs", "nf_conntrack"]) == ("ip_vs", "nf_conntrack")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "name is empty"),
        ([""], "cannot be a kernel module"),
        (["ip_vs; reboot"], "cannot be a kernel module"),
        (["-r"], "cannot be a kernel module"),
        (["../ip_vs"], "cannot be a kernel module"),
        (["ip_vs\n"], "cannot be a kernel module"),
        (["a" * 56], "cannot be a kernel module"),
        (["ip_vs.ko.xz"], "Give the module's name: ip_vs."),
    ],
)
def test_bad_names(names: list[str], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parse.checked_names(names)


def test_os_release() -> None:
    found = parse.parse_os_release('PRETTY_NAME="Rocky Linux 9.4"\nID="rocky"\nID_LIKE="rhel centos fedora"\n')
    assert found.ids == ("rocky", "rhel", "centos", "fedora")
    assert found.title == "Rocky Linux 9.4"
