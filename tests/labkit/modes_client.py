# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be measured on a node of a cluster with many Services. Runs there, with the node's own Python; each action prints one line of JSON.

C(create KUBECONFIG FIRST END ADDRESS...) makes Services C(bench-FIRST) to the one before C(bench-END), each with an EndpointSlice
that holds the addresses; C(fill KUBECONFIG FIRST END COUNT) the same with as many addresses of its own for each. C(connect COUNT HOST:PORT...)
sets up connections, one after the other. C(follow KUBECONFIG SERVICE HOST:PORT REPETITIONS NAME=ADDRESS NAME=ADDRESS) replaces the Service's
only endpoint and waits until the other one answers. C(churn KUBECONFIG COUNT STOP) makes, changes and removes that many Services
C(churn-NUMBER) over and over, ten changes a second, until the file STOP is there.
"""

from __future__ import annotations

import base64
import gc
import http.client
import ipaddress
import json
import math
import os
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
import typing as t
from urllib.parse import urlsplit

import yaml

WARM_UP = 50
THREADS = 4
SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
# Twice kube-proxy's minSyncPeriod: a change in a quiet moment, not one that waits for the sync of the one before.
QUIET_SECONDS = 2.0
GIVE_UP_SECONDS = 600.0
CHURN_PAUSE_SECONDS = 0.1
FIRST_ADDRESS = ipaddress.IPv4Address("10.128.0.1")


class Api:
    """The API server over one connection that stays open."""

    def __init__(self, kubeconfig: str) -> None:
        with open(kubeconfig, encoding="utf-8") as file:
            config = yaml.safe_load(file)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        place = urlsplit(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode("ascii")
        context = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile("wb") as pem:
            pem.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            pem.flush()
            context.load_cert_chain(pem.name)
        self.connection = http.client.HTTPSConnection(place.hostname or "", place.port, context=context, timeout=60)

    def send(self, method: str, path: str, body: t.Any, kind: str = "application/json") -> None:
        self.connection.request(method, path, json.dumps(body), {"Content-Type": kind})
        answer = self.connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        if answer.status >= 300:
            raise OSError(f"{method} {path}: {answer.status} {text}")


def endpoints(addresses: t.Sequence[str]) -> list[dict[str, t.Any]]:
    return [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]


def make_service(api: Api, name: str, addresses: t.Sequence[str]) -> None:
    service = {"metadata": {"name": name}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}
    api.send("POST", SERVICES, {"apiVersion": "v1", "kind": "Service", **service})
    labels = {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "bench"}
    part = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints(addresses),
    }
    api.send("POST", SLICES, part)


def own_addresses(number: int, count: int) -> list[str]:
    """Addresses that no other Service has, and no pod either: in 10.128.0.0/9."""
    return [str(FIRST_ADDRESS + number * count + turn) for turn in range(count)]


def create(kubeconfig: str, first: int, end: int, addresses_of: t.Callable[[int], t.Sequence[str]]) -> dict[str, t.Any]:
    """Several connections at a time: each request mostly waits for etcd."""
    failures: list[str] = []

    def work(start: int) -> None:
        api = Api(kubeconfig)
        try:
            for number in range(start, end, THREADS):
                make_service(api, f"bench-{number}", addresses_of(number))
        except OSError as error:
            failures.append(str(error))

    started = time.monotonic()
    threads = [threading.Thread(target=work, args=(first + number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(failures[0])
    return {"seconds": time.monotonic() - started}


def set_up(host: str, port: int) -> int:
    """Nanoseconds of one connect(). Closed by a reset, so that no port and no TIME_WAIT entry is left behind."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.settimeout(30)
        begun = time.perf_counter_ns()
        client.connect((host, port))
        return time.perf_counter_ns() - begun


def percentile(values: t.Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def connect(count: int, targets: t.Sequence[str]) -> dict[str, t.Any]:
    """The targets in turn, so that whatever else the machine does meets all of them. Microseconds."""
    gc.disable()
    places = [(host, int(port)) for host, _, port in (target.rpartition(":") for target in targets)]
    taken: list[list[float]] = [[] for _ in targets]
    for number in range(count + WARM_UP):
        for values, place in zip(taken, places, strict=True):
            nanoseconds = set_up(*place)
            if number >= WARM_UP:
                values.append(nanoseconds / 1000)
    return {
        target: {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "count": len(values)}
        for target, values in zip(targets, taken, strict=True)
    }


def who_answers(host: str, port: int) -> str:
    """The name of the pod that a new connection reaches; empty when none does."""
    answer = b""
    try:
        with socket.create_connection((host, port), timeout=1) as client:
            client.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
            while part := client.recv(4096):
                answer += part
    except OSError:
        return ""
    return answer.rpartition(b"\r\n\r\n")[2].decode("ascii", "replace").strip()


def wait_for_answer(host: str, port: int, name: str) -> float:
    """Seconds until a new connection reaches the pod of that name: new ones, as fast as they go."""
    begun = time.monotonic()
    while who_answers(host, port) != name:
        if time.monotonic() - begun > GIVE_UP_SECONDS:
            sys.exit(f"{host}:{port}: after {GIVE_UP_SECONDS:.0f} s {name} does not answer yet")
    return time.monotonic() - begun


def follow(kubeconfig: str, service: str, place: str, repetitions: int, pods: t.Mapping[str, str]) -> dict[str, t.Any]:
    """Seconds from the API's answer to a changed EndpointSlice until the pod that is in it now answers through the Service."""
    os.nice(19)  # what is measured has this one CPU first
    api = Api(kubeconfig)
    host, _, port = place.rpartition(":")
    names = list(pods)
    taken = []
    for number in range(repetitions + 1):
        name = names[number % len(names)]
        time.sleep(QUIET_SECONDS)
        change = {"endpoints": endpoints([pods[name]])}
        api.send("PATCH", f"{SLICES}/{service}", change, "application/merge-patch+json")
        taken.append(wait_for_answer(host, int(port), name))
    api.send(
        "PATCH", f"{SLICES}/{service}", {"endpoints": endpoints(list(pods.values()))}, "application/merge-patch+json"
    )
    # The first change took one of two endpoints away: the other one may have answered before.
    return {"p50": percentile(taken[1:], 0.5), "max": max(taken[1:]), "count": len(taken) - 1}


MERGE = "application/merge-patch+json"


def change_endpoints(api: Api, name: str, turn: int) -> None:
    addresses = [f"198.51.100.{turn % 7 + 1}", "198.51.100.9"]
    api.send("PATCH", f"{SLICES}/{name}", {"endpoints": endpoints(addresses)}, MERGE)


def change_service(api: Api, name: str, _turn: int) -> None:
    api.send("PATCH", f"{SERVICES}/{name}", {"spec": {"type": "NodePort", "sessionAffinity": "ClientIP"}}, MERGE)


def come(api: Api, name: str, turn: int) -> None:
    make_service(api, name, [f"198.51.100.{turn % 200 + 1}"])


def go(api: Api, name: str, _turn: int = 0) -> None:
    api.send("DELETE", f"{SERVICES}/{name}", {})
    api.send("DELETE", f"{SLICES}/{name}", {})


# What happens to a Service each time that it is its turn.
TURNS: tuple[t.Callable[[Api, str, int], None], ...] = (come, change_endpoints, change_service, go)


def churn(kubeconfig: str, count: int, stop: str) -> dict[str, t.Any]:
    """Neighbours are in different states; what is left is removed at the end."""
    api = Api(kubeconfig)
    states = dict.fromkeys(range(count), 0)
    turn = 0
    while not os.path.exists(stop):
        number = turn * 7 % count
        TURNS[states[number]](api, f"churn-{number}", turn)
        states[number] = (states[number] + 1) % len(TURNS)
        turn += 1
        time.sleep(CHURN_PAUSE_SECONDS)
    for number, state in states.items():
        if state:
            go(api, f"churn-{number}")
    return {"changes": turn}


def main() -> None:
    action, *rest = sys.argv[1:]
    result: dict[str, t.Any]
    if action == "create":
        result = create(rest[0], int(rest[1]), int(rest[2]), lambda _number: rest[3:])
    elif action == "fill":
        result = create(rest[0], int(rest[1]), int(rest[2]), lambda number: own_addresses(number, int(rest[3])))
    elif action == "connect":
        result = connect(int(rest[0]), rest[1:])
    elif action == "churn":
        result = churn(rest[0], int(rest[1]), rest[2])
    else:
        pods = dict(pair.split("=", 1) for pair in rest[4:])
        result = follow(rest[0], rest[1], rest[2], int(rest[3]), pods)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
