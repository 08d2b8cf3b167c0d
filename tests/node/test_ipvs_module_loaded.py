# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ipvs_module_loaded on a real kernel. Witnesses: lsmod, /sys/module, systemd-modules-load and the files themselves."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_probe import (
    is_inside,
    parse_kallsyms,
    starters_of,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_purpose import PURPOSES
from tests.labkit import INVENTORY, Node, run_ansible

OWN = "/etc/modules-load.d/netops-kube-proxy.conf"
NAMES = ["ip_vs", "ip-vs-rr", "nf_conntrack"]
# Everything but our own file, with contents, modes and times.
OTHERS = (
    "cd /etc; ls -la --time-style=full-iso modules-load.d modprobe.d;"
    " cat $(find modules-load.d modprobe.d -type f ! -name netops-kube-proxy.conf) /dev/null"
)
CLEAN = (
    f"rm -f {OWN} /etc/modprobe.d/test-*.conf /etc/modules-load.d/test-*.conf; ipvsadm -C 2>/dev/null;"
    " rmmod xt_ipvs ip_vs_rr ip_vs_wrr ip_vs_sh ip_vs_mh ip_vs_lblc 2>/dev/null; rmmod ip_vs 2>/dev/null; true"
)


@pytest.fixture
def bare(node: Node) -> t.Iterator[Node]:
    node.run(CLEAN)
    yield node
    node.run(CLEAN)


def modules(node: Node) -> set[str]:
    return {line.split()[0] for line in node.run("lsmod").splitlines()[1:]}


def own_lines(node: Node) -> list[str]:
    return [line for line in node.run(f"cat {OWN}").splitlines() if not line.startswith("#")]


def test_check_apply_check_apply(bare: Node) -> None:
    bare.run("rmmod nf_conntrack 2>/dev/null || true")
    others = bare.run(OTHERS)
    predicted = bare.module("ipvs_module_loaded", {"name": NAMES}, check=True)
    assert predicted["changed"]
    assert "ip_vs" not in modules(bare)
    assert bare.attempt(f"test -e {OWN}").rc == 1
    assert bare.run(OTHERS) == others

    done = bare.module("ipvs_module_loaded", {"name": NAMES})
    assert done["changed"]
    assert (done["diff"], done["actions"]) == (predicted["diff"], predicted["actions"])
    assert {"ip_vs", "ip_vs_rr", "nf_conntrack"} <= modules(bare)
    assert own_lines(bare) == ["ip_vs", "ip_vs_rr", "nf_conntrack"]
    assert bare.run(f"stat -c '%a %U' {OWN}").split() == ["644", "root"]

    for check in (True, False):
        again = bare.module("ipvs_module_loaded", {"name": NAMES}, check=check)
        assert not again["changed"]
        assert again["actions"] == []
        assert [module["loaded"] and module["persistent"] for module in again["modules"]] == [True, True, True]


def test_the_boot_loads_what_is_persistent(bare: Node) -> None:
    bare.module("ipvs_module_loaded", {"name": ["ip_vs", "ip_vs_rr"]})
    bare.run("rmmod ip_vs_rr && rmmod ip_vs && systemctl restart systemd-modules-load")
    assert {"ip_vs", "ip_vs_rr"} <= modules(bare)


def test_absent_check_apply_check_apply(bare: Node) -> None:
    bare.module("ipvs_module_loaded", {"name": NAMES})
    gone = {"name": ["ip_vs", "ip_vs_rr"], "state": "absent"}
    predicted = bare.module("ipvs_module_loaded", gone, check=True)
    assert "ip_vs_rr" in modules(bare)
    done = bare.module("ipvs_module_loaded", gone)
    assert predicted["diff"] == done["diff"]
    assert modules(bare) & {"ip_vs", "ip_vs_rr"} == set()
    # What ip_vs depends on was not asked for.
    assert "nf_conntrack" in modules(bare)
    assert own_lines(bare) == ["nf_conntrack"]
    for check in (True, False):
        assert not bare.module("ipvs_module_loaded", gone, check=check)["changed"]


def test_only_now(bare: Node) -> None:
    bare.module("ipvs_module_loaded", {"name": ["ip_vs_rr"], "persistent": False})
    assert "ip_vs_rr" in modules(bare)
    assert bare.attempt(f"test -e {OWN}").rc == 1


def test_a_name_in_another_file_counts(bare: Node) -> None:
    bare.run("printf '# by hand\\nip-vs\\n' > /etc/modules-load.d/test-hand.conf")
    others = bare.run(OTHERS)
    done = bare.module("ipvs_module_loaded", {"name": ["ip_vs"]})
    assert done["modules"][0]["persistent_in"] == ["/etc/modules-load.d/test-hand.conf"]
    assert bare.attempt(f"test -e {OWN}").rc == 1
    assert bare.run(OTHERS) == others
    message = bare.module_fails("ipvs_module_loaded", {"name": ["ip_vs"], "state": "absent"})
    assert "/etc/modules-load.d/test-hand.conf line 2" in message
    assert "ip_vs" in modules(bare)


def test_blacklisted(bare: Node) -> None:
    bare.run("printf '# no\\nblacklist ip-vs-wrr\\n' > /etc/modprobe.d/test-no.conf")
    message = bare.module_fails("ipvs_module_loaded", {"name": ["ip_vs_wrr"]})
    assert "/etc/modprobe.d/test-no.conf line 2 says 'blacklist ip-vs-wrr'" in message
    assert "ip_vs_wrr" not in modules(bare)
    assert bare.attempt(f"test -e {OWN}").rc == 1
    # The facts behind the message: systemd skips it, modprobe by name does not.
    bare.run("echo ip_vs_wrr > /etc/modules-load.d/test-wrr.conf; systemctl restart systemd-modules-load; true")
    assert "ip_vs_wrr" not in modules(bare)
    bare.module("ipvs_module_loaded", {"name": ["ip_vs_wrr"], "persistent": False})
    assert "ip_vs_wrr" in modules(bare)


@pytest.mark.parametrize("line", ["install ip_vs_sh /bin/true", "install ip-vs-sh /bin/false"])
def test_disabled_by_an_install_line(bare: Node, line: str) -> None:
    bare.run(f"echo '{line}' > /etc/modprobe.d/test-never.conf")
    message = bare.module_fails("ipvs_module_loaded", {"name": ["ip_vs_sh"], "persistent": False})
    assert f"/etc/modprobe.d/test-never.conf line 1 says '{line}'" in message
    assert "ip_vs_sh" not in modules(bare)


def test_a_module_that_this_kernel_does_not_have(bare: Node) -> None:
    release = bare.run("uname -r").strip()
    message = bare.module_fails("ipvs_module_loaded", {"name": ["ip_vs", "ip_vs_nosuch"]})
    assert f"Kernel {release} has no module ip_vs_nosuch" in message
    assert f"linux-image-{release}" in message
    assert "ip_vs" not in modules(bare)
    assert "ask for nf_nat" in bare.module_fails("ipvs_module_loaded", {"name": ["nf_nat_ipv4"]})


def test_an_old_name_that_this_kernel_merged(bare: Node) -> None:
    bare.run("rmmod nf_conntrack 2>/dev/null || true")
    # The facts behind it: this kernel has no such module, and the alias that was that module's.
    assert bare.attempt("modprobe nf_conntrack_ipv4").rc != 0
    assert bare.run("modprobe --resolve-alias nf_conntrack-2").split() == ["nf_conntrack"]
    done = bare.module("ipvs_module_loaded", {"name": ["nf_conntrack_ipv4"]})
    assert [(one["name"], one["requested"]) for one in done["modules"]] == [("nf_conntrack", "nf_conntrack_ipv4")]
    assert "nf_conntrack" in modules(bare)
    assert own_lines(bare) == ["nf_conntrack"]
    assert not bare.module("ipvs_module_loaded", {"name": ["nf_conntrack_ipv4"]})["changed"]


# What kube-proxy's rules, sets and tables of that mode are made of, as lsmod names it.
IN_LSMOD = {
    "iptables": {"nf_conntrack", "xt_comment", "xt_conntrack", "xt_statistic", "xt_recent", "xt_nat", "xt_MASQUERADE"},
    "ipvs": {"ip_vs", "ip_vs_mh", "ip_set_hash_ipport", "ip_set_bitmap_port", "xt_set", "xt_ipvs", "xt_comment"},
    "nftables": {"nf_tables", "nft_chain_nat", "nft_ct", "nft_fib_ipv4", "nft_fib_ipv6", "nft_masq", "nft_numgen"},
}


@pytest.mark.parametrize("mode", IN_LSMOD)
def test_what_a_mode_needs_check_apply_check_apply(bare: Node, mode: str) -> None:
    wanted = {"for": mode, "scheduler": "mh", "persistent": False}
    before = modules(bare)
    predicted = bare.module("ipvs_module_loaded", wanted, check=True)
    assert modules(bare) == before
    done = bare.module("ipvs_module_loaded", wanted)
    assert (done["diff"], done["actions"]) == (predicted["diff"], predicted["actions"])
    assert modules(bare) >= IN_LSMOD[mode]
    assert "nf_conntrack_ipv4" not in {one["name"] for one in done["modules"]}
    for check in (True, False):
        assert not bare.module("ipvs_module_loaded", wanted, check=check)["changed"]


def test_a_reboot_loads_what_is_persistent(bare: Node) -> None:
    wanted = {"for": "ipvs", "scheduler": "mh"}
    bare.module("ipvs_module_loaded", wanted)
    lines = own_lines(bare)
    boot = bare.run("cat /proc/sys/kernel/random/boot_id").strip()
    # The connection ends with the node.
    bare.attempt("systemctl reboot")
    bare.wait("the node after its reboot", f'test "$(cat /proc/sys/kernel/random/boot_id)" != {boot}')
    bare.wait("its boot to end", "systemctl is-active systemd-modules-load")
    assert bare.run("systemctl show -P Result systemd-modules-load").strip() == "success"
    assert modules(bare) >= IN_LSMOD["ipvs"]
    assert own_lines(bare) == lines
    assert not bare.module("ipvs_module_loaded", wanted)["changed"]


def test_the_functions_by_which_a_kernel_without_module_support_is_judged(bare: Node) -> None:
    folder = "/lib/modules/$(uname -r)"
    names = {name for purpose in PURPOSES.values() for name in (*purpose.needed, *purpose.where_known)}
    names |= {"br_netfilter", "ip_vs_lc", "ip_vs_mh", "ip_vs_sed"}
    files = {path.rpartition("/")[2]: path for path in bare.run(f"find {folder}/ -name '*.ko'").split()}
    seen = {name for name in names if f"{name}.ko" in files}
    # Those that this kernel has under another name only.
    assert names - seen == {"nf_conntrack_ipv4", "ipt_MASQUERADE"}
    # In a table of names, one may be the end of another: only where it ends can be told.
    looks = [
        f"grep -qaE '({'|'.join(starters_of(name))})([^a-z0-9_]|$)' {files[f'{name}.ko']} || echo {name}"
        for name in seen
    ]
    assert bare.run("; ".join(looks)) == ""
    # One that is built in here, and one that can only be loaded.
    bare.run("modprobe ip_vs_rr")
    symbols = parse_kallsyms(bare.run("cat /proc/kallsyms"))
    assert not starters_of("overlay").isdisjoint(symbols)
    assert starters_of("ip_vs_rr").isdisjoint(symbols)


def test_the_trace_of_ip_vs_is_there_exactly_when_it_is(bare: Node) -> None:
    for argv in ("modprobe ip_vs", "rmmod ip_vs"):
        bare.run(argv)
        loaded = "ip_vs" in modules(bare)
        assert is_inside("ip_vs", lambda path: bare.attempt(f"test -e {path}").rc == 0, frozenset) == loaded


def test_in_use(bare: Node) -> None:
    bare.module("ipvs_module_loaded", {"name": ["ip_vs_rr"], "persistent": False})
    assert "by ip_vs_rr" in bare.module_fails("ipvs_module_loaded", {"name": ["ip_vs"], "state": "absent"})
    bare.run("ipvsadm -A -t 192.0.2.1:80 -s rr")
    message = bare.module_fails("ipvs_module_loaded", {"name": ["ip_vs_rr", "ip_vs"], "state": "absent"})
    assert "ip_vs_rr is in use: by the virtual servers tcp 192.0.2.1:80." in message
    assert {"ip_vs", "ip_vs_rr"} <= modules(bare)


def test_built_in(bare: Node) -> None:
    path = bare.run("head -n 1 /lib/modules/$(uname -r)/modules.builtin").strip()
    name = path.rpartition("/")[2].partition(".")[0]
    done = bare.module("ipvs_module_loaded", {"name": [name]})
    assert not done["changed"]
    assert (done["modules"][0]["builtin"], done["modules"][0]["persistent"]) == (True, True)
    assert bare.attempt(f"test -e {OWN}").rc == 1
    assert "built into the kernel" in bare.module_fails("ipvs_module_loaded", {"name": [name], "state": "absent"})


def test_an_alias(bare: Node) -> None:
    done = bare.module("ipvs_module_loaded", {"name": ["ip_conntrack"]})
    assert [(module["name"], module["requested"]) for module in done["modules"]] == [("nf_conntrack", "ip_conntrack")]
    assert own_lines(bare) == ["nf_conntrack"]


def test_our_file_keeps_comments(bare: Node) -> None:
    bare.run(f"printf '# keep me\\n\\nip_vs' > {OWN}")
    bare.module("ipvs_module_loaded", {"name": ["ip_vs", "ip_vs_rr"]})
    assert bare.run(f"cat {OWN}") == "# keep me\n\nip_vs\nip_vs_rr\n"


def test_without_modprobe_and_without_files_only_the_kernel_counts(bare: Node) -> None:
    bare.run("modprobe ip_vs")
    # As in a container: an empty /lib/modules. A mount of its own for the module's process would need another way in.
    bare.run("mount -t tmpfs none /usr/lib/modules")
    try:
        done = bare.module("ipvs_module_loaded", {"name": ["ip_vs"]})
        message = bare.module_fails("ipvs_module_loaded", {"name": ["ip_vs_rr"]})
    finally:
        bare.run("umount /usr/lib/modules")
    assert not done["changed"]
    assert done["modules"][0]["loaded"]
    assert "load them on the host" in message
    assert bare.attempt(f"test -e {OWN}").rc == 1


def test_a_read_only_folder(bare: Node) -> None:
    bare.run("mount --bind /etc/modules-load.d /etc/modules-load.d && mount -o remount,bind,ro /etc/modules-load.d")
    try:
        message = bare.module_fails("ipvs_module_loaded", {"name": ["ip_vs"]})
    finally:
        bare.run("umount /etc/modules-load.d")
    assert f"Cannot write {OWN}: Read-only file system" in message


def test_not_root(bare: Node) -> None:
    become = {"ansible_become": True, "ansible_become_user": "nobody", "ansible_become_method": "su"}
    become["ansible_become_flags"] = "-s /bin/sh"
    target = [bare.name, "-i", str(INVENTORY), "-e", json.dumps(become)]
    arguments = json.dumps({"name": ["ip_vs"]})
    done = run_ansible(bare.lab, "ansible", *target, "-m", "netops.kube_proxy.ipvs_module_loaded", "-a", arguments)
    assert "This module needs root on the node: it runs as uid 65534. Set become: true." in done.failures
    assert "ip_vs" not in modules(bare)
