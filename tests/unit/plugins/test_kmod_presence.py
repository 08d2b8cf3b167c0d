# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which parts the kernel has. Expected values: what /proc, /sys and /lib/modules mean (proc(5), modules.builtin of kbuild)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_presence import is_in_kernel, read_states
from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

BUILTIN = "lib__modules__6.1__modules.builtin"
KALLSYMS = "proc__kallsyms"


def files(root: Path, **contents: str) -> Files:
    """A node with these files: two underscores stand for a slash."""
    for name, text in {"proc__sys__kernel__osrelease": "6.1\n", **contents}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Files(str(root))


@pytest.mark.parametrize(
    ("contents", "there"),
    [
        ({}, True),
        ({"proc__modules": ""}, False),
        ({"proc__modules": "", "sys__module__ip_set__initstate": "live"}, True),
        ({"proc__modules": "", BUILTIN: "kernel/net/netfilter/ipset/ip_set.ko\n"}, True),
        ({"proc__modules": "", BUILTIN: "kernel/net/dummy.ko\n", KALLSYMS: "0 T ip_set_type_register\n"}, False),
        ({"proc__modules": "", KALLSYMS: "0 T ip_set_type_register\n"}, True),
        ({"proc__modules": "", KALLSYMS: "0 T ip_set_type_register\t[of_another]\n"}, False),
    ],
)
def test_is_in_kernel(tmp_path: Path, contents: dict[str, str], there: bool) -> None:
    assert is_in_kernel(files(tmp_path, **contents), "ip_set", "ip_set_type_register") is there


MODULES = "ip_vs_wrr 16384 1 - Live 0x0\nip_vs 200704 3 ip_vs_wrr, Live 0x0\nip_vsx 1 0 - Live 0x0\n"


def test_states(tmp_path: Path) -> None:
    node = files(
        tmp_path,
        proc__modules=MODULES,
        sys__module__nf_conntrack__parameters__x="",
        **{BUILTIN: "kernel/net/netfilter/nf-tables.ko\n"},
    )
    assert read_states(node, ("ip_vs", "nf_tables", "dummy", "nf_conntrack"), "ip_vs_") == {
        "dummy": "absent",
        "ip_vs": "loaded",
        "ip_vs_wrr": "loaded",
        "nf_conntrack": "builtin",
        "nf_tables": "builtin",
    }


def test_what_is_built_in_is_unknown_without_a_list(tmp_path: Path) -> None:
    assert read_states(files(tmp_path, proc__modules=MODULES), ("ip_vs", "dummy"), "ip_vs_w") == {
        "dummy": None,
        "ip_vs": "loaded",
        "ip_vs_wrr": "loaded",
    }
