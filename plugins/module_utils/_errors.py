# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the domain. Private to this collection.

They are raised low, where the fact is known, and turned into one C(fail_json) by
C(_ansible.run). A message says what failed, what was seen, and the way out.
"""

from __future__ import annotations

import typing as t


class KubeProxyError(Exception):
    """Something that the user has to know.

    :param failed: what could not be done, one clause without a full stop
    :param seen: what was observed (a kernel reason, an HTTP status, a line of output)
    :param remedy: what the user can do now
    :param details: further return values for the module's result
    """

    def __init__(
        self,
        failed: str,
        seen: str = "",
        remedy: str = "",
        details: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        self.failed = failed
        self.seen = seen
        self.remedy = remedy
        self.details: dict[str, t.Any] = dict(details or {})
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.failed}: {self.seen}" if self.seen else self.failed
        sentence = text if text.endswith((".", "!", "?")) else f"{text}."
        return f"{sentence} {self.remedy}" if self.remedy else sentence


class InvalidInput(KubeProxyError):
    """A value from the user that cannot be meant. Raised before anything is read or touched."""


class NotConverged(KubeProxyError):
    """What was asked for was applied, but the state read afterwards still differs."""
