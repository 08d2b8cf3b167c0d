# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The network namespaces of a node's pods: finding them by files alone, and work done inside of one by a process of its own.
Private to this collection."""

from __future__ import annotations

import ctypes
import ipaddress
import json
import os
import re
import selectors
import signal
import time
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_model import Destination
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError
from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_model import Outcome, Pod

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._kmod_read import Files

_CLONE_NEWNET = 0x40000000
_LARGEST_READ = 64 << 10
_LOCAL_IPV4 = re.compile(r"\|-- (\S+)\s+/32 host LOCAL")
_IPV6 = re.compile(r"^([0-9a-f]{32}) ", re.MULTILINE)
_PROMISCUOUS = 0x100

Job = t.Callable[[], t.Mapping[Destination, Outcome]]


class Result(t.NamedTuple):
    """What a job brought; C(problem) says why it brought nothing, as a clause."""

    outcomes: dict[Destination, Outcome]
    problem: str = ""


def parse_addresses(fib_trie: str, if_inet6: str) -> frozenset[str]:
    """The addresses of a network namespace by its C(/proc/PID/net/fib_trie) and C(if_inet6), without loopback."""
    found = [ipaddress.ip_address(text) for text in _LOCAL_IPV4.findall(fib_trie)]
    found += [ipaddress.ip_address(int(digits, 16).to_bytes(16, "big")) for digits in _IPV6.findall(if_inet6)]
    return frozenset(str(one) for one in found if not one.is_loopback and not (one.version == 6 and one.is_link_local))


def find_pods(files: Files, addresses: t.Container[str]) -> dict[str, Pod]:
    """Of these addresses those that some process of the node has in a network namespace of its own, with that namespace."""
    found: dict[str, Pod] = {}
    seen = {_namespace(files, "self")}
    for pid in sorted(filter(str.isdigit, files.names("/proc")), key=int):
        namespace = _namespace(files, pid)
        if namespace is None or namespace in seen:
            continue
        seen.add(namespace)
        try:
            texts = [files.text(f"/proc/{pid}/net/{name}") or "" for name in ("fib_trie", "if_inet6")]
        except KubeProxyError:
            continue  # It ended while it was looked at.
        pod = Pod(pid, parse_addresses(*texts))
        found.update((address, pod) for address in pod.addresses if address in addresses)
    return found


def _namespace(files: Files, pid: str) -> str | None:
    try:
        return os.readlink(files.path(f"/proc/{pid}/ns/net"))
    except OSError:
        return None


def sends_nothing_back(files: Files, pod: Pod) -> bool:
    """Whether the pod hangs on a port of a bridge that does not send a frame back to where it came from.

    Where iptables sees bridged packets, one that is rewritten to its own sender leaves by the port that it came in by
    (C(br_nf_pre_routing_finish) in C(net/bridge/br_netfilter_hooks.c)).
    """
    inside = f"/proc/{pod.process}/root/sys/class/net"
    peers = {(files.text(f"{inside}/{name}/iflink") or "").strip() for name in files.names(inside) if name != "lo"}
    for name in files.names("/sys/class/net"):
        device = f"/sys/class/net/{name}"
        if (files.text(f"{device}/ifindex") or "").strip() in peers - {""}:
            flags = int((files.text(f"{device}/brport/bridge/flags") or "0").strip(), 16)
            return (files.text(f"{device}/brport/hairpin_mode") or "").strip() == "0" and not flags & _PROMISCUOUS
    return False


def run_jobs(jobs: t.Sequence[tuple[Pod | None, Job]], seconds: float) -> list[Result]:
    """Do all jobs at the same time, each in a process of its own and in the network namespace of its pod (None: where we are).

    Our own process never changes its namespace. What is not done after so many seconds is ended.
    """
    children = [_start(pod, job) for pod, job in jobs]
    texts = _read_all([pipe for _pid, pipe in children], time.monotonic() + seconds)
    for pid, _pipe in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return [_result(text, seconds) for text in texts]


def _start(pod: Pod | None, job: Job) -> tuple[int, int]:
    """A child's number, and the pipe that it tells what it saw by."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    try:
        told: t.Any = {}
        try:
            if pod:
                _enter(pod)
            told["outcomes"] = list(job().items())
        except OSError as error:
            told["problem"] = error.strerror or str(error)
        with open(writing, "wb") as pipe:
            pipe.write(json.dumps(told).encode())
    finally:
        os._exit(0)


def _enter(pod: Pod) -> None:
    """Python has os.setns from 3.12 on.

    :raises OSError: when the kernel does not let us
    """
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(f"/proc/{pod.process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"setns: {os.strerror(code)}")
    finally:
        os.close(fd)


def _read_all(pipes: t.Sequence[int], deadline: float) -> list[bytes]:
    texts = dict.fromkeys(pipes, b"")
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            for key, _events in ready:
                data = os.read(key.fd, _LARGEST_READ)
                texts[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    for pipe in pipes:
        os.close(pipe)
    return [texts[pipe] for pipe in pipes]


def _result(text: bytes, seconds: float) -> Result:
    try:
        told = json.loads(text)
    except ValueError:
        return Result({}, f"the process that was to do it ended, or was not done after {seconds:.0f} s")
    outcomes = {(end[0], end[1]): Outcome(*outcome) for end, outcome in told.get("outcomes", ())}
    return Result(outcomes, told.get("problem", ""))
