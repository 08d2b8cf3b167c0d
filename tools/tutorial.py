# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A page whose commands are played: what they print replaces what the page shows, or is compared with it.

In a C(console) block each line with a prompt is a command, and what follows is what it printed: C(w2# command) on that node, C($ command) in
the checkout. A comment C(<!-- w2# command -->) of one line is played too, unseen; a C(mermaid) block right behind it is its output.

C(make tutorial) writes what is printed now into docs/tutorial.md, on a lab of its own.
"""

from __future__ import annotations

import re
import sys
import typing as t
from collections import Counter

from tests.labkit import Lab
from tests.labkit.cluster import Cluster
from tests.labkit.tutorial import Tutorial
from tools.report import ROOT

PAGE = ROOT / "docs" / "tutorial.md"
LAB = Lab("kubelab-tutorial", ("--workers", "2"))
Player = t.Callable[[str, str], str]
PROMPT = r"(?P<where>[a-z]+[0-9]+#|\$) (?P<command>[^\n]+)"
LINE = re.compile(PROMPT)
PLAYED = re.compile(
    rf"^```console\n(?P<console>.*?)^```$|^<!-- {PROMPT} -->$(?:\n```mermaid\n(?P<drawn>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
# What is another one each time, and what stands for it in a comparison.
VARIES = [
    (re.compile(pattern), put)
    for pattern, put in (
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*", "TIME"),
        (r"\b\d+\.\d+\.\d+\.\d+\b", "ADDRESS"),
        (r"\bKUBE-SEP-[A-Z2-7]{16}\b", "KUBE-SEP"),
        (r"\bendpoint-[A-Z2-7]{8}-", "endpoint-"),
        (r"\b(http|client|coredns|kube-proxy)(-[0-9a-f]{7,10})?-[a-z0-9]{5}\b", r"\1"),
        (r"\b(\d+(\.\d+)?(ms|s|m|h|d))+\b", "AGE"),
        (r"\b(packets|bytes|connections) \d+|\b\d+ (packets|bytes|connections|times)\b", "COUNT"),
        (r"\[\d+:\d+\]", "[COUNT]"),
        (r"[-=*]{4,}|\s+", " "),
    )
]


def replay(page: str, play: Player) -> str:
    """The page with what its commands print now, played in their order."""

    def again(block: re.Match[str]) -> str:
        if block["console"] is not None:
            lines = (
                _played(command, play) for line in block["console"].splitlines() if (command := LINE.fullmatch(line))
            )
            return f"```console\n{''.join(lines)}```"
        printed = play(block["where"], block["command"])
        kept = f"<!-- {block['where']} {block['command']} -->"
        return kept if block["drawn"] is None else f"{kept}\n```mermaid\n{printed}```"

    return PLAYED.sub(again, page)


def _played(command: re.Match[str], play: Player) -> str:
    printed = play(command["where"], command["command"])
    return f"{command[0]}\n{_whole_lines(printed)}"


def _whole_lines(printed: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


def substance(page: str) -> list[str]:
    """What two plays of a page have in common: its lines without addresses, ages, counters and names that are made up each time."""
    found = []
    for line in page.splitlines():
        text = line
        for pattern, put in VARIES:
            text = pattern.sub(put, text)
        found.append(text.strip())
    return found


def differences(page: str, again: str) -> list[str]:
    """The lines that only one of two plays has, as a diff says it. Their order may be another: endpoints have none."""
    old, new = Counter(substance(page)), Counter(substance(again))
    return [f"-{line}" for line in (old - new).elements()] + [f"+{line}" for line in (new - old).elements()]


def player(cluster: Cluster, say: t.Callable[[str], object] = str) -> Player:
    """Play commands on a cluster; failures print what they print."""

    def play(where: str, command: str) -> str:
        say(f"{where} {command}")
        if where == "$":
            return cluster.lab.shell(command)
        done = cluster.lab.node(where.rstrip("#")).attempt(
            f"exec 2>&1; export KUBECONFIG=/etc/kubernetes/admin.conf; {command}"
        )
        return done.out + done.err

    return play


def main() -> int:
    """Make the cluster that the page begins with, play the page, write it; 1 when the cluster cannot be made."""
    LAB.bare(follow=True)
    made = LAB.playbook("playbooks/create_cluster.yml", follow=True)
    if made.rc:
        return 1
    cluster = Cluster(LAB, ("cp1", "w1", "w2"))
    Tutorial(cluster, print).start()
    old = PAGE.read_text("utf-8")
    new = replay(old, player(cluster, print))
    PAGE.write_text(new, "utf-8")
    print("\n".join(differences(old, new)) or "The page says what was printed.")
    LAB.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
