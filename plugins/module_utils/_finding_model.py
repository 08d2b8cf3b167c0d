# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a check tells: one thing that is not as it should be. Private to this collection."""

from __future__ import annotations

import typing as t

ERROR, WARNING, INFO = "error", "warning", "info"
SEVERITIES = (ERROR, WARNING, INFO)
"""Worst first: traffic is wrong now; it will be, or is at risk; good to know."""

UNREAD = "unread"
"""The kind of a finding about what could not be read: it is never taken for good."""


class Finding(t.NamedTuple):
    """One thing that is not as it should be. All texts are for people, but for the first two.

    :param severity: one of L(SEVERITIES)
    :param kind: what is wrong, in a word that does not change (C(vip_missing))
    :param object: what it is about
    :param service: the Service port that it concerns; empty when it concerns none, or all
    :param evidence: the command that shows it
    :param cause: where it likely comes from
    :param remedy: what to do about it
    """

    severity: str
    kind: str
    object: str
    service: str = ""
    expected: str = ""
    actual: str = ""
    evidence: str = ""
    cause: str = ""
    remedy: str = ""


def worst_first(findings: t.Iterable[Finding]) -> list[Finding]:
    """Each finding once, in an order that does not change from run to run."""
    return sorted(dict.fromkeys(findings), key=lambda one: (SEVERITIES.index(one.severity), one[1:]))
