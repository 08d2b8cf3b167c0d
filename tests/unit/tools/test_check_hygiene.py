# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must stand in no file is found, and what looks like it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_hygiene import check, check_end


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cache: /home/jane/.cache", "a path of one machine: /home/jane"),
        ("x = '/root/.pyenv/versions'", "a path of one machine: /root/.pyenv"),
        ("cd /workspace/project", "a path of one machine: /workspace/project"),
        ("url: https://mirror.example.internal/pypi", "a host of a private network: https://mirror.example.internal"),
        ("x = 1  # noqa", "a silenced check without its reason: # noqa"),
        ("x = 1  # noqa: E501", "a silenced check without its reason: # noqa"),
        ("x = 1  # type: ignore[no-any-return]", "a silenced check without its reason: # type: ignore"),
        ("x: 1  # yamllint disable-line", "a silenced check without its reason: # yamllint disable-line"),
        ("@pytest.mark.xfail", "a test or task that may fail in silence: mark.xfail"),
        ("  ignore_errors: true", "a test or task that may fail in silence: ignore_errors: true"),
    ],
)
def test_a_bad_line_is_found(line: str, words: str) -> None:
    assert [finding.what for finding in check(Path("some"), f"first\n{line}\n")] == [words]


@pytest.mark.parametrize(
    "line",
    [
        "kubeconfig: /root/.kube/config",
        "user: /home/vagrant",
        "http://httpservice.default.svc.cluster.local:80",
        "x = f(y)  # type: ignore[no-any-return]  # the library has no types",
        "path: /var/home/x/../etc",
        "https://kubernetes.io/docs/home/",
        "dest: $HOME/root/x",
    ],
)
def test_a_good_line_is_not(line: str) -> None:
    assert not list(check(Path("some"), line))


@pytest.mark.parametrize(
    ("path", "text", "findings"),
    [
        ("a.py", "x\n", 0),
        ("a.py", "", 0),
        ("a.py", "x", 1),
        ("a.py", "x\n\n", 1),
        ("a.py", "x \ny\n", 1),
        ("tests/unit/fixtures/a/b.txt", "x \r\ny", 0),
    ],
)
def test_ends_of_lines_and_files(path: str, text: str, findings: int) -> None:
    assert len(list(check_end(Path(path), text))) == findings
