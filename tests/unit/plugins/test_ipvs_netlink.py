# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The socket edge and a whole run, on a kernel's table that was written from the kernel's source."""

from __future__ import annotations

import errno
import typing as t
from functools import partial
from pathlib import Path

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._converge import converge
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_netlink import Ipvs
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_read import as_options, read_virtual_servers
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_render import render, render_table
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_session import Session
from ansible_collections.netops.kube_proxy.plugins.module_utils._ipvs_wanted import wanted_from_options
from tests.unit.plugins.ipvs_kernel import FakeKernel

FIXTURES = Path(__file__).parents[1] / "fixtures" / "ipvs"
WEB = {"address": "10.96.0.1", "port": 80, "real_servers": [{"address": "10.0.0.1"}, {"address": "10.0.0.2"}]}


@pytest.fixture
def loaded(tmp_path: Path) -> str:
    path = tmp_path / "ip_vs"
    path.touch()
    return str(path)


class Recording:
    """A socket that answers as a kernel did once, as long as it is asked the same."""

    def __init__(self, path: Path) -> None:
        self.lines = path.read_text("utf-8").splitlines()

    def send(self, data: bytes) -> int:
        assert self.lines.pop(0) == f"send {data.hex()}"
        return len(data)

    def recv_into(self, buffer: bytearray, _size: int, _flags: int) -> int:
        kind, _space, text = self.lines.pop(0).partition(" ")
        assert kind == "recv"
        buffer[: len(text) // 2] = bytes.fromhex(text)
        return len(text) // 2

    def close(self) -> None:
        assert not self.lines


def test_a_real_kernels_table_is_what_ipvsadm_says() -> None:
    with Ipvs(lambda: Recording(FIXTURES / "everything.netlink")) as connection:
        text = render(connection.read())
        assert connection.timeouts() == (900, 120, 300)
    said = (FIXTURES / "everything.ipvsadm").read_text("utf-8")
    assert sorted(text.replace(" -x 100 -y 50", "").splitlines()) == sorted(said.splitlines())


def ipvs(kernel: FakeKernel) -> t.Callable[[], Ipvs]:
    return partial(Ipvs, lambda: kernel)


def run(kernel: FakeKernel, loaded: str, *items: t.Any, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
    session = Session(wanted_from_options({"virtual_servers": list(items), **params}), ipvs(kernel), loaded)
    plan = converge(session.steps(), check)
    texts = {"before": render_table(plan.before), "after": render_table(plan.after)}
    return {"actions": plan.actions, **texts, **session.result(plan)}


def lines(kernel: FakeKernel, loaded: str) -> list[str]:
    return render({one.key: one for one in read_virtual_servers(ipvs(kernel), loaded)}).splitlines()


def test_the_quartet(loaded: str) -> None:
    kernel = FakeKernel()
    items = (WEB, {"fwmark": 7, "family": "ipv6", "real_servers": [{"address": "fd00::9", "weight": 3}]})
    foreseen = run(kernel, loaded, *items, check=True)
    assert not kernel.services
    done = run(kernel, loaded, *items)
    assert foreseen == done
    assert lines(kernel, loaded) == [
        "-A -t 10.96.0.1:80 -s rr",
        "-a -t 10.96.0.1:80 -r 10.0.0.1:80 -m -w 1",
        "-a -t 10.96.0.1:80 -r 10.0.0.2:80 -m -w 1",
        "-A -f 7 -6 -s rr",
        "-a -f 7 -6 -r [fd00::9]:0 -m -w 3",
    ]
    again = run(kernel, loaded, *items)
    assert (again["actions"], again["before"], again["after"]) == ((), "", "")
    assert again["virtual_servers"] == done["virtual_servers"]
    assert run(kernel, loaded, *done["virtual_servers"], check=True)["actions"] == ()


def test_without_ip_vs_check_mode_predicts_and_asks_the_kernel_nothing(tmp_path: Path) -> None:
    def connect() -> Ipvs:
        raise AssertionError("a socket was opened, which loads ip_vs")

    missing = str(tmp_path / "ip_vs")
    assert read_virtual_servers(connect, missing) == ()
    session = Session(wanted_from_options({"virtual_servers": [WEB]}), connect, missing)
    plan = converge(session.steps(), True)
    assert plan.actions == ("add TCP 10.96.0.1:80 with scheduler rr and 2 real servers",)
    gone = Session(wanted_from_options({"virtual_servers": [WEB], "state": "absent"}), connect, missing)
    assert converge(gone.steps(), False).actions == ()


def test_operations_go_out_in_batches(loaded: str) -> None:
    kernel = FakeKernel()
    items = [{**WEB, "port": port} for port in range(1, 101)]
    run(kernel, loaded, *items)
    assert [count for count in kernel.sends if count > 1] == [128, 128, 44]
    assert len(kernel.services) == 100


def test_the_rest_is_applied_and_the_error_names_what_was_refused(loaded: str) -> None:
    kernel = FakeKernel()
    with pytest.raises(KubeProxyError) as error:
        run(kernel, loaded, {**WEB, "scheduler": "twos"}, {**WEB, "port": 81})
    assert str(error.value) == (
        "The kernel refused 1 of 6 changes to its virtual servers: add TCP 10.96.0.1:80: the kernel has no module ip_vs_twos for the"
        " scheduler twos. Load ip_vs_twos with netops.kube_proxy.ipvs_module_loaded, which names the package that has it,"
        " or choose another scheduler. Everything else was applied."
    )
    assert error.value.details["changed"] is True
    assert error.value.details["failures"] == [
        {"operation": "add TCP 10.96.0.1:80", "reason": "the kernel has no module ip_vs_twos for the scheduler twos"}
    ]
    assert [server["port"] for server in error.value.details["virtual_servers"]] == [81]
    assert len(lines(kernel, loaded)) == 3


def test_what_somebody_else_did_meanwhile_is_already_so(loaded: str) -> None:
    kernel = FakeKernel()
    session = Session(wanted_from_options({"virtual_servers": [WEB]}), ipvs(kernel), loaded)
    steps = session.steps()
    plan = steps.plan(steps.read())
    run(kernel, loaded, {**WEB, "real_servers": [{"address": "10.0.0.2"}]})
    steps.apply(plan)
    assert not steps.plan(steps.read()).operations
    run(kernel, loaded, {**WEB, "scheduler": "wrr"})
    with pytest.raises(
        KubeProxyError, match=r"refused 1 of 3 changes.*: it exists already\. Something else changes the same"
    ):
        steps.apply(plan)


def test_an_interrupted_dump_is_read_again_within_limits(loaded: str) -> None:
    kernel = FakeKernel()
    run(kernel, loaded, WEB)
    kernel.interrupt_dumps = 3
    assert len(lines(kernel, loaded)) == 3
    kernel.interrupt_dumps = 99
    with pytest.raises(KubeProxyError, match="they changed during each of 5 attempts"):
        lines(kernel, loaded)


def test_a_list_that_the_kernel_tells_from_two_tables_is_read_again(loaded: str) -> None:
    """One virtual server is told twice then, and another one not at all."""
    kernel = FakeKernel()
    run(kernel, loaded, *({**WEB, "port": port} for port in range(1, 11)))
    whole = lines(kernel, loaded)
    assert len(whole) == 30
    kernel.resize_lists = 3
    assert lines(kernel, loaded) == whole
    kernel.resize_lists = 1
    run(kernel, loaded, *({**WEB, "port": port, "scheduler": "wrr"} for port in range(1, 11)))
    kernel.resize_lists = 999
    with pytest.raises(KubeProxyError, match="they changed during each of 5 attempts"):
        lines(kernel, loaded)


def test_lost_answers_are_settled_by_reading_again(loaded: str) -> None:
    kernel = FakeKernel()
    session = Session(wanted_from_options({"virtual_servers": [WEB]}), ipvs(kernel), loaded)
    steps = session.steps()
    plan = steps.plan(steps.read())

    def lose() -> Ipvs:
        connection = Ipvs(lambda: kernel)
        kernel.lose_answers = 1
        session._connect = ipvs(kernel)
        return connection

    session._connect = lose
    steps.apply(plan)
    assert len(lines(kernel, loaded)) == 3


def test_without_root(loaded: str) -> None:
    with pytest.raises(
        KubeProxyError, match=r"Cannot read the virtual servers: Operation not permitted. This needs root"
    ):
        lines(FakeKernel(permitted=False), loaded)


def test_a_kernel_without_ipvs(tmp_path: Path) -> None:
    kernel = FakeKernel()
    kernel.missing = True
    with pytest.raises(
        KubeProxyError, match=r"Cannot find IPVS.*not loaded and could not be. Load the module ip_vs first"
    ):
        run(kernel, str(tmp_path / "ip_vs"), WEB)


def test_no_socket_and_a_silent_kernel(loaded: str) -> None:
    def refuse() -> t.Any:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    with pytest.raises(KubeProxyError, match=r"Cannot open a netlink socket: .*Protocol not supported"):
        Ipvs(refuse)
    kernel = FakeKernel()
    kernel.lose_answers = 1
    with pytest.raises(KubeProxyError, match="No buffer space available"):
        lines(kernel, loaded)


def test_as_options_of_what_kube_proxy_makes(loaded: str) -> None:
    kernel = FakeKernel()
    run(kernel, loaded, {**WEB, "scheduler": "mh", "flags": ["mh-port"], "persistence_timeout": 10800})
    (server,) = read_virtual_servers(ipvs(kernel), loaded)
    real = {"port": 80, "weight": 1, "forward_method": "masquerade", "upper_threshold": 0, "lower_threshold": 0}
    assert as_options(server) == {
        "address": "10.96.0.1",
        "port": 80,
        "protocol": "tcp",
        "scheduler": "mh",
        "flags": ["mh-port"],
        "persistence_timeout": 10800,
        "persistence_netmask": "255.255.255.255",
        "real_servers": [{"address": "10.0.0.1", **real}, {"address": "10.0.0.2", **real}],
    }
