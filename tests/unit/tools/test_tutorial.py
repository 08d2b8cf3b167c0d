# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A page is played, and compared with what it says."""

from __future__ import annotations

import pytest

from tools.report import ROOT
from tools.tutorial import LINE, PLAYED, differences, replay

PAGE = """\
# Title

## 1. One

```console
w1# cat /etc/hostname
old
cp1# true
$ ls
```

Words, and a block that is not played:

```sh
$ rm -rf /
```

<!-- w1# wait -->

## 2. Two

<!-- $ draw -->
```mermaid
flowchart TD
```
"""


def printed(where: str, command: str) -> str:
    if where == "w1#":
        return {"cat /etc/hostname": "w1  \nlines", "wait": "unseen\n"}[command]
    return {"true": "", "ls": "a\n", "draw": "flowchart LR\n"}[command]


def test_what_is_printed_replaces_what_the_page_shows() -> None:
    again = replay(PAGE, printed)
    assert again == PAGE.replace("old\n", "w1\nlines\n").replace("$ ls\n", "$ ls\na\n").replace("TD", "LR")
    assert replay(again, printed) == again


def test_commands_are_played_in_their_order() -> None:
    seen = []

    def play(where: str, command: str) -> str:
        seen.append((where, command))
        return ""

    replay(PAGE, play)
    assert seen == [("w1#", "cat /etc/hostname"), ("cp1#", "true"), ("$", "ls"), ("w1#", "wait"), ("$", "draw")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-A KUBE-SEP-AAAAAAAAAAAAAAAA -s 10.244.1.2/32", "-A KUBE-SEP-BBBBBBBBBBBBBBBB -s 10.244.2.13/32"),
        (
            "httpservice  ClusterIP  10.96.1.2  <none>  80/TCP  3m5s",
            "httpservice ClusterIP 10.96.100.200 <none> 80/TCP 17s",
        ),
        ("http-6d5f7c9b8-abcde", "http-7f9c6b5d84-x2z9q"),
        ("first\nsecond", "second\nfirst"),
        ("[0:0] -A PREROUTING", "[12:345] -A PREROUTING"),
        ("Nov 1 2026-11-27T10:00:00Z", "Nov 1 2026-11-28T11:00:00Z"),
    ],
)
def test_what_varies_is_no_difference(old: str, new: str) -> None:
    assert differences(old, new) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--probability 0.33333333349", "--probability 0.50000000000"),
        ("TCP  10.96.1.2:80 rr", "TCP  10.96.1.2:80 wrr"),
        ("KUBE-SVC-PZZOH4GMXQXQLAH7", "KUBE-SVC-PZZOH4GMXQXQLAH6"),
        ("one\none", "one"),
    ],
)
def test_what_matters_is_a_difference(old: str, new: str) -> None:
    assert differences(old, new) != []


def tutorial() -> str:
    return (ROOT / "docs" / "tutorial.md").read_text("utf-8")


def test_every_command_of_the_tutorial_is_played() -> None:
    page = tutorial()
    consoles = [block["console"] for block in PLAYED.finditer(page) if block["console"] is not None]
    assert len(consoles) == page.count("```console\n")
    assert all(LINE.match(console) for console in consoles)
    assert page.count("<!-- ") == sum(block["console"] is None for block in PLAYED.finditer(page))


def test_every_picture_of_the_tutorial_is_drawn() -> None:
    drawn = [block["drawn"] for block in PLAYED.finditer(tutorial()) if block["drawn"] is not None]
    assert [one.startswith("flowchart") for one in drawn] == [True] * 3
