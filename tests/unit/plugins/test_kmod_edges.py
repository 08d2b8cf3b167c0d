# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading and writing on a made-up root folder with a made-up modprobe."""

from __future__ import annotations

import stat
import typing as t
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._ansible import CommandResult
from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import Steps, converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError, NotConverged
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_model import (
    OWN_FILE,
    KmodState,
    Operation,
    WantedModules,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_plan import KmodPlan, plan_modules
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import (
    Files,
    effective_config_files,
    read_modules,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_write import KmodWriter

RELEASE = "6.1.0-18-amd64"


class FakeNode:
    """A root folder, and a modprobe that edits its /proc/modules."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands: list[list[str]] = []
        self.refuses: dict[str, str] = {}
        self.idle = False
        self.files = Files(str(root))
        self.put("/proc/modules", "")
        self.put("/proc/sys/kernel/osrelease", f"{RELEASE}\n")
        self.put(
            f"/lib/modules/{RELEASE}/modules.dep",
            "kernel/ipvs/ip_vs.ko:\nkernel/ipvs/ip_vs_rr.ko.xz:\nkernel/nf_conntrack.ko:\n",
        )
        self.put(f"/lib/modules/{RELEASE}/modules.builtin", "kernel/drivers/net/dummy.ko\n")
        self.put(f"/lib/modules/{RELEASE}/modules.alias", "alias nf_conntrack-2 nf_conntrack\n")

    def put(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def get(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def run(self, argv: t.Sequence[str], stdin: str | None = None) -> CommandResult:
        assert stdin is None
        self.commands.append(list(argv))
        tool, name = argv
        if name in self.refuses:
            return CommandResult(1, "", self.refuses[name])
        if self.idle:
            return CommandResult(0, "", "")
        lines = [line for line in self.get("/proc/modules").splitlines(keepends=True) if line.split()[0] != name]
        self.put("/proc/modules", "".join(lines) + (f"{name} 4096 0 - Live 0x0\n" if tool == "modprobe" else ""))
        return CommandResult(0, "", "")

    def read(self, *names: str, modprobe: bool = True) -> KmodState:
        return read_modules(self.files, names, modprobe)

    def converge(self, wanted: WantedModules, check_mode: bool = False) -> KmodPlan:
        writer = KmodWriter(self.files, self.run, str)
        steps: Steps[KmodState, Operation] = Steps(
            read=lambda: read_modules(self.files, wanted.names, True, wanted.where_known),
            plan=lambda state: plan_modules(wanted, state),
            apply=writer.apply,
        )
        return converge(steps, check_mode)


@pytest.fixture
def fake(tmp_path: Path) -> FakeNode:
    return FakeNode(tmp_path)


def test_check_apply_check_apply(fake: FakeNode) -> None:
    wanted = WantedModules(("ip_vs", "ip_vs_rr"))
    predicted = fake.converge(wanted, check_mode=True)
    assert fake.commands == []
    assert not (fake.root / OWN_FILE.lstrip("/")).exists()
    done = fake.converge(wanted)
    assert predicted == done
    assert fake.commands == [["modprobe", "ip_vs"], ["modprobe", "ip_vs_rr"]]
    assert fake.get(OWN_FILE).splitlines()[1:] == ["ip_vs", "ip_vs_rr"]
    assert stat.S_IMODE((fake.root / OWN_FILE.lstrip("/")).stat().st_mode) == 0o644
    assert fake.converge(wanted).operations == ()
    gone = fake.converge(WantedModules(("ip_vs_rr", "ip_vs"), present=False))
    assert fake.commands[2:] == [["rmmod", "ip_vs_rr"], ["rmmod", "ip_vs"]]
    assert gone.after.own_file is None
    assert list((fake.root / "etc/modules-load.d").iterdir()) == []


def test_names_elsewhere_count_and_other_files_stay(fake: FakeNode) -> None:
    fake.put("/etc/modules-load.d/lvs.conf", "# ours by hand\nip-vs\n\n")
    fake.put("/usr/lib/modules-load.d/rr.conf", "ip_vs_rr\n")
    fake.converge(WantedModules(("ip_vs", "ip_vs_rr", "nf_conntrack")))
    assert fake.get(OWN_FILE).splitlines()[1:] == ["nf_conntrack"]
    assert fake.get("/etc/modules-load.d/lvs.conf") == "# ours by hand\nip-vs\n\n"


def test_a_file_hides_those_of_its_name_in_later_folders(fake: FakeNode) -> None:
    fake.put("/usr/lib/modules-load.d/rr.conf", "ip_vs_rr\n")
    fake.put("/run/modules-load.d/rr.conf", "ip_vs\n")
    (fake.root / "etc/modules-load.d").mkdir(parents=True)
    (fake.root / "etc/modules-load.d/rr.conf").symlink_to("/dev/null")
    fake.put("/etc/modules-load.d/README", "ip_vs\n")
    assert effective_config_files(fake.files, "modules-load.d") == ["/etc/modules-load.d/rr.conf"]
    assert all(not module.persistent_in for module in fake.read("ip_vs", "ip_vs_rr").modules)


def test_blacklist_and_install_are_named_with_their_lines(fake: FakeNode) -> None:
    fake.put("/etc/modprobe.d/no.conf", "# no\nblacklist ip-vs\n")
    fake.put("/lib/modprobe.d/never.conf", "install ip_vs_rr /bin/false\n")
    fake.put("/proc/cmdline", "quiet modprobe.blacklist=nf_conntrack")
    ip_vs, ip_vs_rr, conntrack = fake.read("ip_vs", "ip_vs_rr", "nf_conntrack").modules
    assert str(ip_vs.blacklisted[0]) == "/etc/modprobe.d/no.conf line 2 says 'blacklist ip-vs'"
    assert str(ip_vs_rr.disabled[0].location) == "/lib/modprobe.d/never.conf line 1"
    assert str(conntrack.blacklisted[0].location) == "/proc/cmdline line 1"


def test_built_in_by_list_or_by_sysfs(fake: FakeNode) -> None:
    fake.put("/sys/module/ip_vs/parameters/conn_tab_bits", "12\n")
    fake.put("/sys/module/nf_conntrack/initstate", "live\n")
    dummy, ip_vs, conntrack = fake.read("dummy", "ip_vs", "nf_conntrack").modules
    assert (dummy.builtin, ip_vs.builtin, conntrack.builtin) == (True, True, False)


def test_aliases_of_modules_and_of_the_configuration(fake: FakeNode) -> None:
    fake.put("/etc/modprobe.d/lvs.conf", "alias lvs ip-vs\n")
    found = fake.read("nf_conntrack_2", "lvs", "nf_conntrack").modules
    assert [(module.name, module.requested) for module in found] == [
        ("nf_conntrack", "nf_conntrack_2"),
        ("ip_vs", "lvs"),
    ]


def test_a_failing_modprobe_leaves_our_file_as_it_was(fake: FakeNode) -> None:
    fake.put(OWN_FILE, "# mine\n")
    fake.refuses["ip_vs_rr"] = "modprobe: ERROR: could not insert 'ip_vs_rr': Operation not permitted\n"
    with pytest.raises(KubeProxyError) as caught:
        fake.converge(WantedModules(("ip_vs", "ip_vs_rr")))
    assert "Cannot load ip_vs_rr: modprobe: ERROR: could not insert 'ip_vs_rr': Operation not permitted." in str(
        caught.value
    )
    assert "Before that: loaded ip_vs." in str(caught.value)
    assert fake.get(OWN_FILE) == "# mine\n"


def test_a_modprobe_that_only_says_it_did(fake: FakeNode) -> None:
    fake.idle = True
    with pytest.raises(NotConverged, match="Load ip_vs"):
        fake.converge(WantedModules(("ip_vs",)))


def test_our_file_as_a_link_is_refused(fake: FakeNode) -> None:
    own = fake.root / OWN_FILE.lstrip("/")
    own.parent.mkdir(parents=True)
    own.symlink_to("/dev/null")
    with pytest.raises(KubeProxyError, match="symbolic link"):
        fake.read("ip_vs")


def test_an_unwritable_folder_is_one_clear_error(fake: FakeNode) -> None:
    fake.put("/etc/modules-load.d", "a file where the folder should be")
    with pytest.raises(
        KubeProxyError,
        match=r"Cannot write /etc/modules-load\.d/netops-kube-proxy\.conf: (File exists|Not a directory)",
    ):
        fake.converge(WantedModules(("ip_vs",)))


def test_no_files_for_this_kernel(fake: FakeNode) -> None:
    fake.put("/proc/sys/kernel/osrelease", "6.9.9-other\n")
    state = fake.read("ip_vs")
    assert (state.kernel.module_files, state.kernel.any_module_files) == (False, True)
    assert state.modules[0].installed is None


CONNTRACK = "alias nf_conntrack-10 nf_conntrack\nalias nf_conntrack-2 nf_conntrack\n"


def test_an_old_name_stands_for_its_successor_where_the_kernel_proves_it(fake: FakeNode) -> None:
    # Linux 4.18 of RHEL 8 and all later ones: the aliases of both families are nf_conntrack's.
    fake.put(f"/lib/modules/{RELEASE}/modules.alias", CONNTRACK)
    found = fake.read("nf_conntrack_ipv4", "nf_conntrack_ipv6").modules
    assert [(module.name, module.requested, module.installed) for module in found] == [
        ("nf_conntrack", "nf_conntrack_ipv4", True)
    ]


def test_an_old_name_stands_for_its_successor_that_is_built_in(fake: FakeNode) -> None:
    fake.put(f"/lib/modules/{RELEASE}/modules.alias", "")
    fake.put(f"/lib/modules/{RELEASE}/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n")
    fake.put(f"/lib/modules/{RELEASE}/modules.builtin.modinfo", "nf_conntrack.alias=nf_conntrack-2\0")
    (conntrack,) = fake.read("nf_conntrack_ipv4").modules
    assert (conntrack.name, conntrack.builtin) == ("nf_conntrack", True)


def test_an_old_name_is_its_own_module_where_the_kernel_has_it(fake: FakeNode) -> None:
    # Linux 4.14: nf_conntrack_ipv4 has the alias itself.
    fake.put(f"/lib/modules/{RELEASE}/modules.dep", "kernel/nf_conntrack.ko:\nkernel/nf_conntrack_ipv4.ko:\n")
    fake.put(f"/lib/modules/{RELEASE}/modules.alias", "alias nf_conntrack-2 nf_conntrack_ipv4\n")
    assert [module.name for module in fake.read("nf_conntrack_ipv4").modules] == ["nf_conntrack_ipv4"]


def test_an_old_name_without_proof_is_missing(fake: FakeNode) -> None:
    fake.put(f"/lib/modules/{RELEASE}/modules.alias", "")
    (conntrack,) = fake.read("nf_conntrack_ipv4").modules
    assert (conntrack.name, conntrack.installed) == ("nf_conntrack_ipv4", False)


def test_a_line_with_an_old_name_loads_nothing_at_boot(fake: FakeNode) -> None:
    # systemd-modules-load knows aliases, and this is none.
    fake.put(f"/lib/modules/{RELEASE}/modules.alias", CONNTRACK)
    fake.put("/etc/modules-load.d/old.conf", "nf_conntrack_ipv4\n")
    fake.converge(WantedModules(("nf_conntrack_ipv4",)))
    assert fake.get(OWN_FILE).splitlines()[1:] == ["nf_conntrack"]


def test_what_is_wanted_where_known_is_left_out_elsewhere(fake: FakeNode) -> None:
    fake.put(f"/lib/modules/{RELEASE}/modules.alias", "alias ipt_MASQUERADE xt_MASQUERADE\n" + CONNTRACK)
    fake.put(f"/lib/modules/{RELEASE}/modules.dep", "kernel/xt_MASQUERADE.ko:\nkernel/nf_conntrack.ko:\n")
    optional = ("nf_conntrack_ipv4", "xt_MASQUERADE", "ipt_MASQUERADE", "ip6t_REJECT")
    plan = fake.converge(WantedModules(("nf_conntrack",), where_known=optional))
    assert [module.name for module in plan.after.modules] == ["nf_conntrack", "xt_MASQUERADE"]
    assert fake.commands == [["modprobe", "nf_conntrack"], ["modprobe", "xt_MASQUERADE"]]
    assert fake.converge(WantedModules(("nf_conntrack",), where_known=optional)).operations == ()


def without_module_support(fake: FakeNode) -> None:
    (fake.root / "proc/modules").unlink()
    for name in ("dep", "builtin", "alias"):
        (fake.root / f"lib/modules/{RELEASE}/modules.{name}").unlink()


KALLSYMS = """\
0000000000000000 T _stext
0000000000000000 t ip_vs_rr_init
0000000000000000 t hash_ipport_init
0000000000000000 t masquerade_tg_init
0000000000000000 t addrtype_mt_init
0000000000000000 t nft_fib4_module_init
0000000000000000 t ip_vs_wrr_init\t[ip_vs_wrr]
"""


def test_a_kernel_without_module_support_is_judged_by_what_works(fake: FakeNode) -> None:
    without_module_support(fake)
    fake.put("/proc/net/ip_vs", "IP Virtual Server version 1.2.1 (size=4096)\n")
    fake.put("/proc/kallsyms", KALLSYMS)
    names = ("ip_vs", "ip_vs_rr", "ip_set_hash_ipport", "xt_MASQUERADE", "xt_addrtype", "nft_fib_ipv4")
    state = fake.read(*names, modprobe=False)
    assert not state.kernel.support
    assert [module.name for module in state.modules if module.builtin] == list(names)
    assert fake.converge(WantedModules(names)).operations == ()
    assert not (fake.root / OWN_FILE.lstrip("/")).exists()
    with pytest.raises(KubeProxyError, match=r"Cannot load ip_vs_sh: kernel .* does not support loadable modules"):
        fake.converge(WantedModules(("ip_vs_sh",)))
    assert fake.commands == []


def test_a_list_counts_without_module_support(fake: FakeNode) -> None:
    without_module_support(fake)
    fake.put(f"/lib/modules/{RELEASE}/modules.builtin", "kernel/net/netfilter/ipvs/ip_vs.ko\n")
    assert fake.read("ip_vs").modules[0].builtin


def test_a_container_sees_what_the_hosts_kernel_has_inside(fake: FakeNode) -> None:
    fake.put("/proc/sys/kernel/osrelease", "6.9.9-other\n")
    fake.put("/proc/kallsyms", KALLSYMS)
    rr, wrr = fake.read("ip_vs_rr", "ip_vs_wrr").modules
    assert (rr.builtin, wrr.builtin) == (True, False)


def test_virtual_servers_are_named_as_users(fake: FakeNode) -> None:
    fake.put("/proc/modules", "ip_vs_rr 12288 2 - Live 0x0\nip_vs 225280 4 ip_vs_rr, Live 0x0\n")
    # As Linux 7.2 prints it.
    fake.put(
        "/proc/net/ip_vs",
        "IP Virtual Server version 1.2.1 (size=4096)\n"
        "Prot LocalAddress:Port Scheduler Flags\n"
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
        "TCP  C0000201:0050 rr  \n"
        "  -> C6336401:0050      Masq    1      0          0         \n"
        "UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 wlc  \n"
        "FWM  0000000A rr  \n",
    )
    with pytest.raises(KubeProxyError) as caught:
        fake.converge(WantedModules(("ip_vs_rr", "ip_vs"), present=False))
    assert str(caught.value).startswith("ip_vs_rr is in use: by the virtual servers tcp 192.0.2.1:80, fwm 10.")
    ip_vs = fake.read("ip_vs").modules[0]
    assert ip_vs.users == ("tcp 192.0.2.1:80", "udp [2001:db8::1]:53", "fwm 10")
    assert fake.commands == []
