# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random IPVS tables on a node's kernel: how they are drawn, made by ipvsadm, reached by the module, and judged by ipvsadm.

What a table looks like in ipvsadm's words is written here a second time, from its manual page, so that a mistake of the
module's own rendering shows.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import subprocess
import tarfile
import typing as t
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from tests.labkit import ROOT, Node

Item = dict[str, t.Any]
Key = tuple[t.Any, ...]

LIBRARY = "/tmp/netops-ipvs"
CLEAN = "ipvsadm -C 2>/dev/null; for module in $(lsmod | awk '/^ip_vs_/ {print $1}') ip_vs; do rmmod $module 2>/dev/null; done; true"
_DRIVER = Path(__file__).with_name("ipvs_driver.py")
_SWITCHES = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
_METHODS = {"masquerade": "-m", "direct": "-g", "tunnel": "-i"}


def ship(node: Node, *folders: tuple[Path, str]) -> None:
    """Put the collection's code on the node, below L(LIBRARY), with further folders and where they go."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        code = ROOT / "plugins"
        inside = "ansible_collections/netops/kube_proxy/plugins"
        for source, target in ((code / "module_utils", f"{inside}/module_utils"), *folders):
            tar.add(source, target, filter=lambda one: None if "__pycache__" in one.name else one)
    text = base64.b64encode(packed.getvalue()).decode()
    node.run(f"rm -rf {LIBRARY} && mkdir {LIBRARY} && base64 -d | tar -C {LIBRARY} -xzf -", stdin=text)


class Driver:
    """The process on the node that runs cases."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.cases = 0

    def run(self, case: Item) -> Item:
        stdin, stdout = t.cast("t.IO[str]", self._process.stdin), t.cast("t.IO[str]", self._process.stdout)
        stdin.write(json.dumps(case) + "\n")
        stdin.flush()
        self.cases += 1
        return t.cast("Item", json.loads(stdout.readline()))


@contextmanager
def driver(node: Node) -> t.Iterator[Driver]:
    """A driver on the node, with an empty table before and no ip_vs after it."""
    ship(node)
    node.run(f"{CLEAN}; modprobe ip_vs; cat >{LIBRARY}/driver.py", stdin=_DRIVER.read_text("utf-8"))
    command = f"PYTHONPATH={LIBRARY} exec python3 {LIBRARY}/driver.py"
    process = subprocess.Popen(
        node.argv(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Driver(process)
    finally:
        process.communicate(timeout=60)
        node.run(CLEAN)


def key_of(item: Item) -> Key:
    """What identifies a virtual server."""
    if "fwmark" in item:
        return (item["fwmark"], item.get("family", "ipv4"))
    return (item.get("protocol", "tcp"), item["address"], item["port"])


def real_key(item: Item, real: Item) -> Key:
    return (real["address"], real.get("port", item.get("port", 0)))


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _service(item: Item) -> str:
    if "fwmark" in item:
        return f"-f {item['fwmark']}" + (" -6" if item.get("family") == "ipv6" else "")
    return f"{_SWITCHES[item.get('protocol', 'tcp')]} {_endpoint(item['address'], item['port'])}"


def _server_line(item: Item) -> str:
    line = f"-A {_service(item)} -s {item.get('scheduler', 'rr')}"
    if item.get("persistence_timeout"):
        line += f" -p {item['persistence_timeout']}"
        mask = item.get("persistence_netmask")
        if mask not in (None, "255.255.255.255", "128"):
            line += f" -M {mask}"
    if item.get("persistence_engine"):
        line += f" --pe {item['persistence_engine']}"
    flags = sorted(item.get("flags") or ())
    if "one-packet" in flags:
        flags.remove("one-packet")
        line += " -o"
    return f"{line} -b {','.join(flags)}" if flags else line


def _real_line(item: Item, real: Item, thresholds: bool) -> str:
    method = real.get("forward_method", "masquerade")
    line = f"-a {_service(item)} -r {_endpoint(*real_key(item, real))} {_METHODS[method]} -w {real.get('weight', 1)}"
    if thresholds and real.get("upper_threshold"):
        line += f" -x {real['upper_threshold']} -y {real.get('lower_threshold', 0)}"
    if method == "tunnel":
        kind = real.get("tunnel_type", "ipip")
        line += f" --tun-type {kind}"
        if kind == "gue":
            line += f" --tun-port {real['tunnel_port']}"
        if kind != "ipip":
            line += f" --tun-{real.get('tunnel_flags', 'nocsum')}"
    return line


def lines(items: t.Iterable[Item], thresholds: bool = False) -> list[str]:
    """A table as C(ipvsadm -Sn) has it; with thresholds as C(ipvsadm -R) takes it."""
    found = []
    for item in items:
        found.append(_server_line(item))
        found += [_real_line(item, real, thresholds) for real in item.get("real_servers") or ()]
    return found


def thresholds_of(items: t.Iterable[Item]) -> list[tuple[str, int, int]]:
    """Every destination's thresholds."""
    return sorted(
        (
            _endpoint(*real_key(item, real)),
            int(real.get("upper_threshold") or 0),
            int(real.get("lower_threshold") or 0),
        )
        for item in items
        for real in item.get("real_servers") or ()
    )


def parse_thresholds(text: str) -> list[tuple[str, int, int]]:
    """The same from C(ipvsadm -Ln --thresholds)."""
    rows = [line.split() for line in text.splitlines() if line.lstrip().startswith("->")]
    return sorted((row[1], int(row[2]), int(row[3])) for row in rows if row[1] != "RemoteAddress:Port")


def expected(before: t.Iterable[Item], params: Item) -> list[Item]:
    """The table that a run has to leave, said once more and as simply as possible. No destination has connections here."""
    table = {key_of(item): item for item in before}
    listed = {key_of(item): item for item in params["virtual_servers"]}
    if params.get("state") == "absent":
        return [item for key, item in table.items() if key not in listed]
    for key, item in listed.items():
        reals = {real_key(item, real): real for real in item.get("real_servers") or ()}
        stay = params.get("unlisted_real_servers") == "keep" or item.get("real_servers") is None
        if key in table and stay:
            old = table[key]
            reals = {**{real_key(old, real): real for real in old["real_servers"]}, **reals}
        table[key] = {**item, "real_servers": list(reals.values())}
    networks = [ipaddress.ip_network(text) for text in params.get("purge_cidrs") or ()]
    return [
        item
        for key, item in table.items()
        if key in listed
        or "address" not in item
        or not any(ipaddress.ip_address(item["address"]) in network for network in networks)
    ]


_SCHEDULERS = {
    "rr": ["flag-1", "flag-2", "flag-3"],
    "wrr": ["flag-2"],
    "lc": [],
    "sh": ["sh-fallback", "sh-port"],
    "mh": ["mh-fallback", "mh-port"],
}
_WEIGHTS = st.one_of(st.integers(0, 3), st.just(2**31 - 1))


@st.composite
def _real(draw: st.DrawFn, family: int, port: int | None) -> Item:
    method = draw(st.sampled_from(["masquerade", "masquerade", "direct", "tunnel"]))
    mixed = method == "tunnel" and draw(st.booleans())
    prefix = "10.0.0." if (family == 4) != mixed else "fd00::"
    real: Item = {"address": f"{prefix}{draw(st.integers(1, 4))}", "forward_method": method, "weight": draw(_WEIGHTS)}
    if method == "masquerade" and port != 0:
        real["port"] = draw(st.sampled_from([port, 8080]) if port else st.just(8080))
    if draw(st.booleans()):
        real["upper_threshold"] = draw(st.integers(1, 9))
        real["lower_threshold"] = draw(st.integers(0, real["upper_threshold"]))
    if method == "tunnel":
        kind = real["tunnel_type"] = draw(st.sampled_from(["ipip", "gue", "gre"]))
        if kind == "gue":
            real["tunnel_port"] = draw(st.sampled_from([1, 6080, 65535]))
        if kind != "ipip":
            flags = ["nocsum", "csum", "remcsum"] if kind == "gue" else ["nocsum", "csum"]
            real["tunnel_flags"] = draw(st.sampled_from(flags))
    return real


@st.composite
def item(draw: st.DrawFn) -> Item:
    """A virtual server out of few, so that tables meet."""
    family = draw(st.sampled_from([4, 6]))
    found: Item = {"scheduler": draw(st.sampled_from(sorted(_SCHEDULERS)))}
    port: int | None = None
    if draw(st.integers(0, 4)) == 0:
        found.update(fwmark=draw(st.sampled_from([1, 2, 2**31 - 1])), family=f"ipv{family}")
    else:
        port = draw(st.sampled_from([80, 443, 0]))
        address = draw(st.sampled_from(["10.99.0.1", "10.99.1.1"] if family == 4 else ["fd00:99::1", "fd00:98::1"]))
        found.update(address=address, port=port, protocol=draw(st.sampled_from(["tcp", "udp", "sctp"])))
    found["flags"] = (
        draw(st.lists(st.sampled_from(_SCHEDULERS[found["scheduler"]]), unique=True))
        if draw(st.booleans()) and _SCHEDULERS[found["scheduler"]]
        else []
    )
    if found.get("protocol") == "udp" and draw(st.booleans()):
        found["flags"] = [*found["flags"], "one-packet"]
    if port == 0 or draw(st.booleans()):
        found["persistence_timeout"] = draw(st.sampled_from([1, 60, 10800]))
        masks = ["255.255.255.255", "255.255.255.0", "255.0.0.0"] if family == 4 else ["128", "64", "1"]
        found["persistence_netmask"] = draw(st.sampled_from(masks))
        if found.get("protocol") == "udp" and draw(st.booleans()):
            found["persistence_engine"] = "sip"
    found["real_servers"] = draw(st.lists(_real(family, port), max_size=4, unique_by=lambda one: real_key(found, one)))
    return found


TABLES = st.lists(item(), max_size=5, unique_by=key_of)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Item], Item, Item]:
    """A table that is there, the options of a run, and the same options in another order."""
    before = draw(TABLES)
    listed = draw(TABLES)
    overlap = draw(st.booleans())
    if before and overlap:
        # Some of what is there is wanted as it is.
        known = {key_of(one) for one in listed}
        listed = [
            *listed,
            *(one for one in draw(st.lists(st.sampled_from(before), unique_by=key_of)) if key_of(one) not in known),
        ]
    if draw(st.integers(0, 4)) == 0:
        listed = [{key: value for key, value in one.items() if key != "real_servers"} for one in listed]
    params: Item = {"virtual_servers": listed, "state": draw(st.sampled_from(["present"] * 4 + ["absent"]))}
    params["unlisted_real_servers"] = draw(st.sampled_from(["exact", "exact", "keep", "drain"]))
    if params["state"] == "present" and draw(st.booleans()):
        params["purge_cidrs"] = draw(st.sampled_from([["10.99.0.0/24"], ["10.0.0.0/8", "fd00:99::/32"]]))
    shuffled = [
        {**one, "real_servers": draw(st.permutations(one["real_servers"]))} if "real_servers" in one else one
        for one in draw(st.permutations(listed))
    ]
    return before, params, {**params, "virtual_servers": shuffled}


def judge(on: Driver, case: tuple[list[Item], Item, Item]) -> None:
    """Run a case on the node and compare with what ipvsadm says."""
    before, first, second = case
    answer = on.run(
        {"before": "".join(f"{line}\n" for line in lines(before, thresholds=True)), "first": first, "second": second}
    )
    assert "error" not in answer, answer
    wanted = expected(before, first)
    assert sorted(line.strip() for line in answer["table"].splitlines()) == sorted(lines(wanted))
    assert parse_thresholds(answer["thresholds"]) == thresholds_of(wanted)
    assert answer["foreseen"] == answer["done"]
    differs = sorted(lines(before, thresholds=True)) != sorted(lines(wanted, thresholds=True))
    assert bool(answer["done"]) == differs
    assert answer["again"] == []
