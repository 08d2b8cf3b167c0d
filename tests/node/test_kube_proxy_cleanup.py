# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kube_proxy_cleanup on a real kernel. Witnesses: iptables-save, ipset, ipvsadm, nft and ip, which it does not need itself."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest

from tests.labkit import Node
from tests.labkit.bare import CLEAN
from tests.labkit.state import state_of

FIXTURES = Path(__file__).parents[1] / "unit" / "fixtures" / "iptables"
MODULE = "kube_proxy_cleanup"
# Without any of these the module has to do the same.
OTHER_TOOLS = "ip ipset ipvsadm conntrack modprobe lsmod sysctl jq curl"

HASH_IP_PORT = (
    "CLUSTER-IP LOAD-BALANCER EXTERNAL-IP EXTERNAL-IP-LOCAL LOAD-BALANCER-LOCAL LOAD-BALANCER-FW"
    " NODE-PORT-SCTP-HASH NODE-PORT-LOCAL-SCTP-HASH"
).split()
PORTS = "NODE-PORT-TCP NODE-PORT-LOCAL-TCP NODE-PORT-UDP NODE-PORT-LOCAL-UDP HEALTH-CHECK-NODE-PORT".split()


def sets_of_kube_proxy() -> str:
    """As pkg/proxy/ipvs/ipset.go makes them, and the two of 1.14."""
    lines = [f"create KUBE-{name} bitmap:port range 0-65535" for name in ("NODE-PORT-SCTP", "NODE-PORT-LOCAL-SCTP")]
    kinds = {
        **dict.fromkeys(HASH_IP_PORT, "hash:ip,port"),
        "LOOP-BACK": "hash:ip,port,ip",
        "LOAD-BALANCER-SOURCE-IP": "hash:ip,port,ip",
        "LOAD-BALANCER-SOURCE-CIDR": "hash:ip,port,net",
        "IPVS-IPS": "hash:ip",
    }
    for begin, family in (("KUBE-", "inet"), ("KUBE-6-", "inet6")):
        # The kernel takes 31 characters.
        lines += [f"create {(begin + name)[:31]} {kind} family {family}" for name, kind in kinds.items()]
        lines += [f"create {(begin + name)[:31]} bitmap:port range 0-65535" for name in PORTS]
    return "\n".join([*lines, "add KUBE-CLUSTER-IP 10.96.0.1,tcp:443", "add KUBE-IPVS-IPS 10.96.0.1", ""])


# The address that the lab gives to this node comes in for ADDRESS.
OF_IPVS = """
set -e
modprobe dummy numdummies=0
ip link add kube-ipvs0 type dummy
for a in 10.96.0.1/32 10.96.0.10/32 fd00:10:96::a/128; do ip address add $a dev kube-ipvs0; done
ipvsadm -A -t 10.96.0.1:443 -s rr; ipvsadm -a -t 10.96.0.1:443 -r 192.0.2.7:6443 -m -w 1
ipvsadm -A -u 10.96.0.10:53 -s rr -p 10800
ipvsadm -A -t '[fd00:10:96::a]:53' -s wrr
ipvsadm -A -t ADDRESS:30080 -s rr; ipvsadm -a -t ADDRESS:30080 -r 192.0.2.8:80 -m -w 1
ipvsadm -A -t 198.51.100.0:20000 -s rr
"""
OF_NFTABLES = """
set -e
for family in ip ip6; do nft add table $family kube-proxy; nft add chain $family kube-proxy services; done
nft add set ip kube-proxy cluster-ips '{ type ipv4_addr; }'
nft add chain ip kube-proxy 'filter-input' '{ type filter hook input priority -110; }'
nft add rule ip kube-proxy filter-input ct state new jump services
"""
# keepalived's, a mark, one that nobody can tell; and others' chains, sets and tables.
FOREIGN = """
set -e
ipvsadm -A -t 203.0.113.9:6443 -s wlc; ipvsadm -a -t 203.0.113.9:6443 -r 203.0.113.10:6443 -g -w 5
ipvsadm -A -f 7 -s rr
ipvsadm -A -t ADDRESS:6443 -s rr; ipvsadm -a -t ADDRESS:6443 -r 192.0.2.9:6443 -m -w 1
ip link add mine type dummy; ip address add 203.0.113.200/32 dev mine
ipset create KUBE-MINE hash:ip; ipset create cali40masq hash:net; ipset create KUBE-CLUSTER-IPS hash:ip,port
nft add table inet kube-proxy; nft add table ip mine
for backend in nft legacy; do
  iptables-$backend -t nat -N MINE; iptables-$backend -t nat -A OUTPUT -j MINE; iptables-$backend -t nat -A MINE -d 192.0.2.1 -j RETURN
  iptables-$backend -t nat -N KUBE-SVC-FOO; iptables-$backend -N KUBE-ROUTER-INPUT; iptables-$backend -A INPUT -j KUBE-ROUTER-INPUT
  iptables-$backend -A INPUT -m comment --comment 'say -j KUBE-SERVICES' -j ACCEPT
done
iptables-nft -t nat -N KUBE-PORTALS-CONTAINER
"""
NOT_KUBE_PROXYS = {
    "KUBE-FIREWALL",
    "KUBE-KUBELET-CANARY",
    "KUBE-IPTABLES-HINT",
    "KUBE-ROUTER-INPUT",
    "KUBE-SVC-FOO",
    "KUBE-PORTALS-CONTAINER",
}
# The test's own knowledge of what is one mode's only, told from words.
ONLY_IPTABLES = re.compile(
    r"KUBE-(SVC|SVL|SEP|EXT|FW|XLB)-[A-Z2-7]{16}|KUBE-NODEPORTS|KUBE-EXTERNAL-SERVICES|KUBE-PROXY-CANARY"
    r"|kubernetes load balancer firewall|ctstate NEW -m comment --comment \"kubernetes service portals\"|has no endpoints"
    r"|^filter (:|-A )KUBE-SERVICES"
)
ONLY_IPVS = re.compile(
    r"KUBE-NODE-PORT\b|KUBE-LOAD-BALANCER\b|KUBE-SOURCE-RANGES-FIREWALL|KUBE-IPVS-(OUT-)?FILTER|kube-proxy firewall rules"
)


@pytest.fixture
def bare(node: Node) -> t.Iterator[Node]:
    node.attempt(CLEAN)
    yield node
    node.attempt(CLEAN)


@pytest.fixture
def filled(bare: Node) -> Node:
    """What all three modes left in both backends, and others' things."""
    bare.run("ipset restore", stdin=sets_of_kube_proxy())
    bare.run("iptables-nft-restore", stdin=fixture("ipvs-after-iptables-nft.txt"))
    bare.run("iptables-legacy-restore", stdin=fixture("ipvs-after-iptables-legacy.txt"))
    bare.run("ip6tables-nft-restore", stdin=fixture("kube-proxy-1.37.2-ipvs-after-iptables-ipv6.txt"))
    address = bare.run("hostname -I").split()[0]
    for script in (OF_IPVS, OF_NFTABLES, FOREIGN):
        bare.run(script.replace("ADDRESS", address))
    return bare


def fixture(name: str) -> str:
    """A captured output of iptables-save, without the counters that would have to be made first."""
    return re.sub(r"-m nfacct --nfacct-name +\S+ ", "", (FIXTURES / name).read_text(encoding="utf-8"))


def written_again(name: str) -> str:
    """What iptables-restore --noflush is given for what kube-proxy writes in a mode: its chains, not the built-in ones."""
    others = re.compile(r":\S+ ACCEPT|-A (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) |:KUBE-KUBELET")
    return "".join(line + "\n" for line in fixture(name).splitlines() if not others.match(line))


Seen = dict[str, list[str]]


def seen(node: Node) -> Seen:
    """By witness, everything without counters."""
    found: Seen = {}
    for tool, backend in (("iptables", "nft"), ("ip6tables", "nft"), ("iptables", "legacy"), ("ip6tables", "legacy")):
        lines, table = found.setdefault(f"{tool}-{backend}", []), ""
        for line in node.run(f"{tool}-{backend}-save").splitlines():
            table = line[1:] if line.startswith("*") else table
            if line.startswith((":", "-A")):
                lines.append(f"{table} {line.partition(' [')[0]}")
    found["ipset"] = re.findall(r"^create (\S+)", node.run("ipset save"), re.MULTILINE)
    found["ipvsadm"] = node.run("ipvsadm -Sn").splitlines()
    listed = node.run("nft list tables").splitlines()
    found["nft"] = sorted(line for line in listed if line.split()[2] not in ("nat", "filter", "mangle", "raw"))
    found["ip"] = re.findall(r"^\d+: (\S+):", node.run("ip -o link"), re.MULTILINE)
    return found


def quartet(node: Node, **options: t.Any) -> dict[str, t.Any]:
    """Check, apply, check, apply; what the first run said."""
    before = state_of(node)
    predicted = node.module(MODULE, options, check=True)
    assert state_of(node) == before
    done = node.module(MODULE, options)
    for key in ("changed", "diff", "actions", "removed", "kept"):
        assert done[key] == predicted[key], key
    after = state_of(node)
    for check in (True, False):
        again = node.module(MODULE, options, check=check)
        assert not again["changed"], again["actions"]
        assert again["diff"]["before"] == again["diff"]["after"] == done["diff"]["after"]
        assert (again["removed"], again["actions"]) == ([], [])
    assert state_of(node) == after
    return done


def twice(node: Node, **options: t.Any) -> dict[str, t.Any]:
    """Apply, and apply again; what the first run said."""
    done = node.module(MODULE, options)
    again = node.module(MODULE, options)
    assert (again["changed"], again["removed"], again["actions"]) == (False, [], [])
    assert again["diff"]["before"] == again["diff"]["after"] == done["diff"]["after"]
    return done


def names(rows: t.Iterable[dict[str, t.Any]], kind: str) -> set[str]:
    return {row["name"] for row in rows if row["kind"] == kind}


def not_kube_proxys(line: str) -> bool:
    words = re.findall(r"KUBE-[A-Z0-9-]+", line.replace("say -j KUBE-SERVICES", ""))
    return set(words) <= NOT_KUBE_PROXYS


def foreign_servers(before: Seen) -> list[str]:
    return [line for line in before["ipvsadm"] if re.search(r"203\.0\.113|-f 7|:6443 ", line) and "10.96" not in line]


def test_everything_of_all_modes_goes_where_none_runs(filled: Node) -> None:
    before = seen(filled)
    done = quartet(filled, mode=["iptables", "ipvs", "nftables"], running_mode="none")
    assert seen(filled) == {
        **{
            tool: [line for line in lines if not_kube_proxys(line)]
            for tool, lines in before.items()
            if "tables" in tool
        },
        "ipset": ["KUBE-MINE", "cali40masq", "KUBE-CLUSTER-IPS"],
        "ipvsadm": foreign_servers(before),
        "nft": [line for line in before["nft"] if line in ("table inet kube-proxy", "table ip mine")],
        "ip": [name for name in before["ip"] if name != "kube-ipvs0"],
    }
    assert len(names(done["removed"], "ipset")) == 36
    assert names(done["removed"], "device") == {"kube-ipvs0"}
    assert {(row["type"], row["name"]) for row in done["removed"] if row["kind"] == "nft_table"} == {
        ("ip", "kube-proxy"),
        ("ip6", "kube-proxy"),
    }
    assert len(names(done["removed"], "virtual_server")) == 5
    assert {row["owner"] for row in done["removed"]} == {"kube-proxy"}
    assert {row["belongs"] for row in done["removed"]} == {False}
    address = filled.run("hostname -I").split()[0]
    stays = {row["name"]: row["owner"] for row in done["kept"] if row["kind"] == "virtual_server"}
    assert stays == {"203.0.113.9:6443": "foreign", "fwmark 7": "foreign", f"{address}:6443": None}
    assert names(done["kept"], "iptables_chain") == {"KUBE-PORTALS-CONTAINER"}
    assert "Remove 5 virtual servers (1 IPv6 TCP, 3 TCP, 1 UDP)" in done["actions"]
    assert "Remove device kube-ipvs0 with its 3 address(es)" in done["actions"]


def test_iptables_mode_goes_from_a_node_in_ipvs_mode(filled: Node) -> None:
    before = seen(filled)
    done = twice(filled, mode=["iptables"], running_mode="ipvs")
    after = seen(filled)
    for tool in ("iptables-nft", "ip6tables-nft", "iptables-legacy"):
        assert after[tool] == [line for line in before[tool] if not ONLY_IPTABLES.search(line)]
    # What is retired goes with any mode, in ipvs mode too: the old sets, and what kube-proxy tried IPVS out with.
    assert set(before["ipset"]) - set(after["ipset"]) == {"KUBE-NODE-PORT-SCTP", "KUBE-NODE-PORT-LOCAL-SCTP"}
    assert [line for line in before["ipvsadm"] if line not in after["ipvsadm"]] == ["-A -t 198.51.100.0:20000 -s rr"]
    assert (after["nft"], after["ip"]) == (before["nft"], before["ip"])
    assert {row["name"] for row in done["kept"]} == {"KUBE-PORTALS-CONTAINER"}


def test_ipvs_mode_goes_from_a_node_in_iptables_mode(filled: Node) -> None:
    again = {
        "iptables-nft": "iptables-mode-nft.txt",
        "iptables-legacy": "iptables-mode-nft.txt",
        "ip6tables-nft": "kube-proxy-1.37.2-iptables-ipv6.txt",
    }
    # Before the running mode has written its chains, what these lead to and use stays.
    first = filled.module(MODULE, {"mode": ["ipvs"], "running_mode": "iptables"}, check=True)
    assert {"KUBE-LOAD-BALANCER", "KUBE-NODE-PORT"} <= names(first["kept"], "iptables_chain")
    reasons = {row["name"]: row["reason"] for row in first["kept"] if row["kind"] == "ipset"}
    assert reasons["KUBE-CLUSTER-IP"].startswith("rule -A KUBE-SERVICES -m comment")
    assert "KUBE-IPVS-IPS" not in reasons  # only KUBE-IPVS-FILTER used it
    for tool, name in again.items():
        filled.run(f"{tool}-restore --noflush", stdin=written_again(name))
    before = seen(filled)
    done = twice(filled, mode=["ipvs"], running_mode="iptables")
    after = seen(filled)
    for tool in again:
        assert after[tool] == [line for line in before[tool] if not ONLY_IPVS.search(line)]
    assert after["ipset"] == ["KUBE-MINE", "cali40masq", "KUBE-CLUSTER-IPS"]
    assert after["ipvsadm"] == foreign_servers(before)
    assert after["nft"] == before["nft"]
    assert "kube-ipvs0" not in after["ip"]
    assert {row["kind"] for row in done["kept"]} == {"virtual_server"}


def test_both_go_from_a_node_in_nftables_mode_and_nftables_from_one_in_ipvs_mode(filled: Node) -> None:
    before = seen(filled)
    done = twice(filled, mode=["nftables"], running_mode="ipvs")
    assert names(done["removed"], "nft_table") == {"kube-proxy"}
    after = seen(filled)
    assert {tool for tool in before if before[tool] != after[tool]} == {"nft", "ipset", "ipvsadm"}
    filled.run(OF_NFTABLES)
    twice(filled, mode=["iptables", "ipvs"], running_mode="nftables")
    left = seen(filled)
    assert all(not_kube_proxys(line) for tool, lines in left.items() if "tables" in tool for line in lines)
    assert left["ipset"] == ["KUBE-MINE", "cali40masq", "KUBE-CLUSTER-IPS"]
    assert left["nft"] == before["nft"]


USES = """
set -e
iptables-nft -t nat -N CNI-HOSTPORT-SETMARK
iptables-nft -t nat -A CNI-HOSTPORT-SETMARK -m mark --mark 0x2000/0x2000 -j KUBE-MARK-MASQ
iptables-nft -I INPUT -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
iptables-nft -t raw -I PREROUTING -m set --match-set KUBE-EXTERNAL-IP dst,dst -j ACCEPT
ipset create MYLIST list:set; ipset add MYLIST KUBE-6-IPVS-IPS
"""
CNI = "-A CNI-HOSTPORT-SETMARK -m mark --mark 0x2000/0x2000 -j KUBE-MARK-MASQ"


def test_what_others_use_stays_and_is_named(filled: Node) -> None:
    filled.run(USES)
    options: dict[str, t.Any] = {"mode": ["iptables", "ipvs"], "running_mode": "none"}
    before = state_of(filled)
    refused = filled.module_fails(MODULE, {**options, "on_foreign": "fail"})
    assert CNI in refused
    assert state_of(filled) == before
    done = quartet(filled, **options)
    reasons = {row["name"]: row["reason"] for row in done["kept"] if row["owner"] == "kube-proxy"}
    assert reasons.pop("KUBE-LOOP-BACK").startswith("rule -A KUBE-POSTROUTING -m comment")
    other = (
        "1 use(s) that no rule in the tables filter, nat and mangle explains: by another set, or by a rule elsewhere"
    )
    assert reasons == {
        "KUBE-MARK-MASQ": f"rule {CNI}",
        "KUBE-POSTROUTING": "KUBE-MARK-MASQ, which stays, needs it",
        "KUBE-CLUSTER-IP": "rule -A INPUT -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT in table filter (ipv4, nft)",
        "KUBE-EXTERNAL-IP": other,
        "KUBE-6-IPVS-IPS": other,
    }
    assert {name for name in seen(filled)["ipset"] if re.match("KUBE-(?!MINE|CLUSTER-IPS)", name)} == {
        "KUBE-LOOP-BACK", "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-6-IPVS-IPS",
    }  # fmt: skip  # one line of names
    # On demand the rule goes, and what it held; sets in use stay.
    more = twice(filled, **options, on_foreign="remove_jump")
    assert f"Remove the foreign rule {CNI} from table nat (ipv4, nft)" in more["actions"]
    assert names(more["removed"], "iptables_chain") == {"KUBE-MARK-MASQ", "KUBE-POSTROUTING"}
    assert names(more["removed"], "ipset") == {"KUBE-LOOP-BACK"}
    assert names(more["kept"], "ipset") == {"KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-6-IPVS-IPS"}
    assert "nat :CNI-HOSTPORT-SETMARK -" in seen(filled)["iptables-nft"]
    filled.run(
        "iptables-nft -D INPUT -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT; iptables-nft -t raw -F; ipset destroy MYLIST"
    )


# Where a run was cut off; every other place is in the unit tests.
@pytest.mark.parametrize(
    "step",
    [
        "iptables-nft -t nat -F KUBE-SERVICES; nft delete table ip kube-proxy; ipvsadm -D -t 10.96.0.1:443",
        "ipvsadm -D -t 10.96.0.1:443; ipvsadm -D -u 10.96.0.10:53; ipvsadm -D -t '[fd00:10:96::a]:53'; ip link del kube-ipvs0",
    ],
)
def test_what_was_begun_is_finished(filled: Node, step: str) -> None:
    filled.run(step)
    filled.module(MODULE, {"mode": ["iptables", "ipvs", "nftables"], "running_mode": "none"})
    left = seen(filled)
    assert all(not_kube_proxys(line) for tool, lines in left.items() if "tables" in tool for line in lines)
    assert left["ipset"] == ["KUBE-MINE", "cali40masq", "KUBE-CLUSTER-IPS"]
    assert left["ipvsadm"] == foreign_servers(left)
    assert left["nft"] == ["table inet kube-proxy", "table ip mine"]
    assert "kube-ipvs0" not in left["ip"]


def test_it_needs_none_of_the_other_tools(filled: Node) -> None:
    hide = f"cd /usr; for tool in {OTHER_TOOLS}; do for dir in sbin bin; do mv $dir/$tool $dir/$tool.hidden 2>/dev/null; done; done; ! command -v ip ipset"
    show = "cd /usr; for path in sbin/*.hidden bin/*.hidden; do test ! -e $path || mv $path ${path%.hidden}; done"
    try:
        filled.run(hide)
        filled.module(MODULE, {"mode": ["iptables", "ipvs", "nftables"], "running_mode": "none"})
    finally:
        filled.run(show)
    left = seen(filled)
    assert left["ipset"] == ["KUBE-MINE", "cali40masq", "KUBE-CLUSTER-IPS"]
    assert left["ipvsadm"] == foreign_servers(left)
    assert "kube-ipvs0" not in left["ip"]


def test_what_cannot_be_read_is_no_guess(filled: Node) -> None:
    before = state_of(filled)
    try:
        filled.run("mv /usr/sbin/nft /usr/sbin/nft.hidden")
        refused = filled.module_fails(MODULE, {"mode": ["iptables", "nftables"], "running_mode": "none"})
        other = filled.module(MODULE, {"mode": ["ipvs"], "running_mode": "none"}, check=True)
    finally:
        filled.run("mv /usr/sbin/nft.hidden /usr/sbin/nft")
    assert refused.startswith(
        "What iptables and nftables mode left cannot be told from what was read, and nothing was touched: nft was not found"
    )
    assert other["changed"]
    assert state_of(filled) == before


def test_the_rest_is_done_when_one_thing_cannot_be(filled: Node) -> None:
    """nft lets nobody but its owner delete a table that has one."""
    filled.run("nft delete table ip kube-proxy; mkfifo /run/owner")
    try:
        filled.run("(sleep 600 > /run/owner & echo $! > /run/owner.pid; exec nft -i < /run/owner) > /dev/null 2>&1 &")
        filled.run("echo 'add table ip kube-proxy { flags owner; }' > /run/owner")
        filled.wait("a table with an owner", "nft list tables | grep -qx 'table ip kube-proxy'", 60)
        options = {"mode": ["iptables", "ipvs", "nftables"], "running_mode": "none"}
        message = filled.module_fails(MODULE, options)
        assert re.match(
            r"1 of \d+ steps failed, the others were carried out: table ip kube-proxy of nftables:", message
        )
        assert "nft ended with 1: " in message
        assert "Operation not permitted" in message
        left = seen(filled)
        assert left["ipset"] == ["KUBE-MINE", "cali40masq", "KUBE-CLUSTER-IPS"]
        assert "kube-ipvs0" not in left["ip"]
        assert "table ip6 kube-proxy" not in left["nft"]
    finally:
        filled.attempt("kill $(cat /run/owner.pid); rm /run/owner /run/owner.pid")
    filled.wait("its end", "! nft list tables | grep -qx 'table ip kube-proxy'", 60)
    assert not filled.module(MODULE, options)["changed"]


def test_a_device_that_only_has_the_name_stays(bare: Node) -> None:
    bare.run(
        "ip link add kube-ipvs0 type bridge; ip address add 10.96.0.1/32 dev kube-ipvs0; ipvsadm -A -t 10.96.0.1:443 -s rr"
    )
    done = bare.module(MODULE, {"mode": ["ipvs"], "running_mode": "none"})
    assert not done["changed"]
    assert {row["name"]: row["reason"] for row in done["kept"] if row["kind"] == "device"} == {
        "kube-ipvs0": "it is bridge, and kube-proxy's is a dummy device"
    }
    assert names(done["kept"], "virtual_server") == {"10.96.0.1:443"}


def test_thousands(bare: Node) -> None:
    bare.run("modprobe dummy numdummies=0; ip link add kube-ipvs0 type dummy; modprobe ip_vs")
    addresses = [f"10.97.{third}.{last}" for third in range(10) for last in range(1, 201)]
    bare.run("ip -batch -", stdin="".join(f"address add {one}/32 dev kube-ipvs0\n" for one in addresses))
    bare.run(
        "ipvsadm -R",
        stdin="".join(f"-A -t {one}:80 -s rr\n-a -t {one}:80 -r 192.0.2.7:80 -m -w 1\n" for one in addresses),
    )
    done = bare.module(MODULE, {"mode": ["ipvs"], "running_mode": "iptables"})
    assert done["actions"] == [
        "Remove 2000 virtual servers (2000 TCP)",
        "Remove device kube-ipvs0 with its 2000 address(es)",
    ]
    assert len(done["removed"]) == 2001
    assert (bare.run("ipvsadm -Sn"), "kube-ipvs0" in bare.run("ip -o link")) == ("", False)


def test_nothing_is_loaded_where_there_is_nothing(bare: Node) -> None:
    before = state_of(bare)
    done = bare.module(MODULE, {"mode": ["iptables", "ipvs"], "running_mode": "nftables"})
    assert (done["changed"], done["removed"], done["kept"]) == (False, [], [])
    assert state_of(bare) == before


def test_bad_input(bare: Node) -> None:
    message = bare.module_fails(MODULE, {"mode": ["iptables", "ipvs"], "running_mode": "ipvs"})
    assert message.startswith(
        "What ipvs mode made cannot be removed while it is the running mode. Leave it out of mode"
    )
    message = bare.module_fails(MODULE, {"mode": ["ipvs"], "running_mode": "none", "node_port_range": "all"})
    assert message.startswith("node_port_range: 'all' is not a range of ports")
