# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""New requests at a steady rate from inside a pod's network, and what became of them.

Runs on a node, in the pod's network namespace: C(nsenter -t PID -n python3 load_client.py URL RATE STOP_FILE). Ends when the stop file
appears and prints one line of JSON. Every request is a connection of its own; one without an answer within five seconds has failed.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import sys
import threading
import time

# A lost packet of the handshake is sent again after one second: that is a slow request, not a failed one.
TIMEOUT_SECONDS = 5.0
SLOW_SECONDS = 0.9


class Load:
    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
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

    def outcome(self) -> str:
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
    host, port = sys.argv[1].rsplit(":", 1)
    load = Load(host, int(port))
    load.run(float(sys.argv[2]), sys.argv[3])
    print(load.report())


if __name__ == "__main__":
    main()
