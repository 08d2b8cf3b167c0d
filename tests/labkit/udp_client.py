# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node: one UDP socket that sends for a given time, as a client that never closes its own does. Prints what was answered.

C(python3 udp_client.py ADDRESS PORT SOURCE_PORT SECONDS)
"""

from __future__ import annotations

import json
import socket
import sys
import time


def main() -> None:
    address, port, source_port, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", source_port))
    sock.settimeout(0.5)
    sent, answered = 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sent += 1
        try:
            sock.sendto(b"hostname", (address, port))
            sock.recvfrom(1000)
            answered += 1
            time.sleep(0.1)
        except OSError:
            time.sleep(0.1)
    print(json.dumps({"sent": sent, "answered": answered}))


if __name__ == "__main__":
    main()
