# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""New requests at a steady rate from inside a pod's network, and what became of them.

Runs on a node, in the pod's network namespace: C(nsenter -t PID -n python3 load_client.py tcp|udp HOST:PORT RATE STOP_FILE). Ends when the stop file
appears and prints one line of JSON. Every request is a connection, or a datagram and its socket, of its own; one without an answer within five
seconds has failed.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import sys
import threading
import time

# A lost packet of the handshake is sent again after one second: that is a slow request, not a failed one.
TIMEOUT_SECONDS = 5.0
SLOW_SECONDS = 0.9


class Load:
    def __init__(self, protocol: str, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.outcome = self.by_udp if protocol == "udp" else self.by_http
        self.lock = threading.Lock()
        self.failed: list[tuple[float, str]] = []
        self.answered: list[float] = []
        self.slow: list[float] = []
        self.sent = 0
        self.started = time.monotonic()

    def request(self) -> None:
        begun = time.monotonic()
        outcome = self.outcome()
        with self.lock:
            if outcome == "200":
                self.answered.append(time.monotonic())
                if self.answered[-1] - begun > SLOW_SECONDS:
                    self.slow.append(self.answered[-1])
            else:
                self.failed.append((time.monotonic(), outcome))

    def by_udp(self) -> str:
        """An answer counts as C(200)."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT_SECONDS)
            try:
                sock.connect((self.host, self.port))
                sock.send(b"hostname")
                return "200" if sock.recv(1000) else "an empty answer"
            except OSError as error:
                return repr(error)

    def by_http(self) -> str:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", "/hostname")
            return str(connection.getresponse().status)
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()

    def run(self, rate: float, stop_file: str) -> None:
        threads: list[threading.Thread] = []
        while not os.path.exists(stop_file):
            due = self.started + self.sent / rate
            time.sleep(max(0.0, due - time.monotonic()))
            thread = threading.Thread(target=self.request)
            thread.start()
            self.sent += 1
            threads = [t for t in threads if t.is_alive()] + [thread]
        for thread in threads:
            thread.join()

    def report(self) -> str:
        times = sorted(self.answered)
        gaps = [b - a for a, b in itertools.pairwise(times)]
        return json.dumps(
            {
                "sent": self.sent,
                "answered": len(times),
                "failed": len(self.failed),
                "reasons": sorted({reason for _, reason in self.failed}),
                "failed_at_seconds": sorted({round(when - self.started) for when, _ in self.failed}),
                "slower_than_0.9_seconds": len(self.slow),
                "worst_gap_seconds": round(max(gaps, default=0.0), 3),
                "seconds": round(times[-1] - times[0], 1) if times else 0.0,
            }
        )


def main() -> None:
    host, port = sys.argv[2].rsplit(":", 1)
    load = Load(sys.argv[1], host.strip("[]"), int(port))
    load.run(float(sys.argv[3]), sys.argv[4])
    print(load.report())


if __name__ == "__main__":
    main()
