# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that are held open for long, each with a way of its own of being used. Runs on a lab node, in a pod's namespace or in a client's.

    python3 held.py serve PORT
    python3 held.py hold FOLDER ADDRESS PORT SECONDS WAY...

Each connection says its way in its first line. After that it is broken when what it waits for has not come for SECONDS:

    idle        nothing, until the node has the file /run/held/go; then a line goes there and back
    asked       the client sends a line every 50 ms, and waits for the same back
    told        the server sends a line every 50 ms; the client says nothing
    told-later  nothing, until the server's node has that file; then the server speaks first
    bulk        the server sends 64 KiB blocks of a known sequence as fast as they are read, the client checks each byte

What holds writes FOLDER/ready when all are open, and, once the file is there and each has been used once more, FOLDER/done with a JSON list:
way, whether it is unbroken, what broke it, and its longest pause in seconds.
"""

from __future__ import annotations

import io
import json
import socket
import sys
import threading
import time
import typing as t
from pathlib import Path

PATTERN = bytes(range(256)) * 256
PAUSE = 0.05
GO = Path("/run/held/go")


def serve(port: int) -> None:
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128) as listening:
        while True:
            threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()


def answer(sock: socket.socket) -> None:
    with sock, sock.makefile("rwb") as file:
        way = file.readline().decode().strip()
        file.write(b"open\n")
        file.flush()
        try:
            _ANSWERS[way](file)
        except OSError:
            return


def echo(file: io.BufferedRWPair) -> None:
    for line in file:
        file.write(line)
        file.flush()


def tell(file: io.BufferedRWPair) -> None:
    while True:
        file.write(f"{time.monotonic()}\n".encode())
        file.flush()
        time.sleep(PAUSE)


def tell_later(file: io.BufferedRWPair) -> None:
    while not GO.exists():
        time.sleep(PAUSE)
    tell(file)


def pour(file: io.BufferedRWPair) -> None:
    while True:
        file.write(PATTERN)


_ANSWERS = {"idle": echo, "asked": echo, "told": tell, "told-later": tell_later, "bulk": pour}


class Held:
    """One connection."""

    def __init__(self, address: str, port: int, seconds: float, way: str) -> None:
        self.way = way
        self.broken = ""
        self.pause = 0.0
        self._sock = socket.create_connection((address, port), timeout=seconds)
        self._file = self._sock.makefile("rwb")
        self._say(way)
        if self._file.readline() != b"open\n":
            raise OSError("it was not opened")

    def use(self) -> None:
        """Until it has been used once after GO."""
        try:
            {"idle": self._wait_then_ask, "asked": self._ask, "bulk": self._drink}.get(self.way, self._listen)()
        except (OSError, ValueError) as error:
            self.broken = f"{type(error).__name__}: {error}"

    def row(self) -> dict[str, t.Any]:
        return {"way": self.way, "unbroken": not self.broken, "why": self.broken, "pause": round(self.pause, 2)}

    def _say(self, line: str) -> None:
        self._file.write(f"{line}\n".encode())
        self._file.flush()

    def _until_used_after_go(self, use: t.Callable[[], None]) -> None:
        while True:
            last, begun = GO.exists(), time.monotonic()
            use()
            self.pause = max(self.pause, time.monotonic() - begun)
            if last:
                return

    def _echo(self) -> None:
        self._say("are you there")
        if self._file.readline() != b"are you there\n":
            raise OSError("it was closed, or answered something else")

    def _wait_then_ask(self) -> None:
        while not GO.exists():
            time.sleep(PAUSE)
        self._until_used_after_go(self._echo)

    def _ask(self) -> None:
        def use() -> None:
            self._echo()
            time.sleep(PAUSE)

        self._until_used_after_go(use)

    def _listen(self) -> None:
        if self.way == "told-later":
            while not GO.exists():
                time.sleep(PAUSE)

        def use() -> None:
            if not self._file.readline().endswith(b"\n"):
                raise OSError("it was closed")

        self._until_used_after_go(use)

    def _drink(self) -> None:
        def use() -> None:
            if self._file.read(len(PATTERN)) != PATTERN:
                raise ValueError("other bytes than were sent")
            time.sleep(PAUSE)

        self._until_used_after_go(use)


def hold(folder: Path, address: str, port: int, seconds: float, ways: t.Sequence[str]) -> None:
    held = [Held(address, port, seconds, way) for way in ways]
    threads = [threading.Thread(target=one.use) for one in held]
    for thread in threads:
        thread.start()
    (folder / "ready").touch()
    for thread in threads:
        thread.join()
    (folder / "done.new").write_text(json.dumps([one.row() for one in held]))
    (folder / "done.new").rename(folder / "done")


def main() -> None:
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        hold(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), sys.argv[6:])


if __name__ == "__main__":
    main()
