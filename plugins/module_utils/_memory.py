# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The memory of a process that makes some hundred thousand values and then ends. Private to this collection.

Source: C(M_MMAP_THRESHOLD) in mallopt(3).
"""

from __future__ import annotations

import gc

_LARGE = 24 << 20


def expect_many_values() -> None:
    """Have memory managed for one large piece of work; changes nothing but the time that it takes."""
    # None of the values is in a cycle: whoever looks for cycles walks all of them in vain, again and again.
    gc.disable()
    # The C library gives each large block new pages of its own until it has seen one of that size go. A tool's output, read
    # from its pipe piece by piece into ever larger blocks, would touch twenty times as many pages as it has.
    bytes(_LARGE)
