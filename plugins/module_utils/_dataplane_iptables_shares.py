# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the endpoints of a Service port get equal shares in kube-proxy's iptables mode. Pure. Private to this collection.

Source: C(writeServiceToEndpointRules) and C(probability) in C(pkg/proxy/iptables/proxier.go), 1.34 to 1.37.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from functools import lru_cache

if t.TYPE_CHECKING:
    from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_iptables_balance import End

# The kernel keeps 31 bits of a probability, kube-proxy gives ten decimals of it.
_SAME_SHARE = 1e-9

Flaw = t.Tuple[str, str]
"""What is expected, and what is there."""


def unfair(shares: t.Sequence[tuple[str, str]]) -> list[Flaw]:
    """What is wrong with the shares of endpoints' chains: rule i of n (from 0) must take one packet of n - i, and the last all
    that are left.

    :param shares: each rule's chain and its probability, empty without one
    """
    names, probabilities = zip(*shares)
    if len(set(names)) == len(names) and are_even(probabilities):
        return []
    return list(_unfair(shares))


@lru_cache(maxsize=None)
def are_even(probabilities: tuple[str, ...]) -> bool:
    """Whether each of so many endpoints gets the same share. Remembered: there are as few of these as numbers of endpoints."""
    return not list(_unfair([(str(index), share) for index, share in enumerate(probabilities)]))


def _unfair(shares: t.Sequence[tuple[str, str]]) -> t.Iterator[Flaw]:
    count = len(shares)
    expected = f"each of {count} endpoints gets one connection of {count}"
    names = [name for name, _share in shares]
    certain = next((index for index, (_name, share) in enumerate(shares) if not share), count)
    if len(set(names)) < count:
        twice = [name for name, times in Counter(names).items() if times > 1]
        yield expected, f"{twice[0]} has several shares"
    elif certain == count:
        yield expected, f"some find no rule: the last one, to {names[-1]}, does not take all that are left"
    elif certain < count - 1:
        yield expected, f"{', '.join(names[certain + 1 :][:5])} can never be reached behind {names[certain]}"
    else:
        for index, (name, share) in enumerate(shares[:-1]):
            if not _is_share(share, count - index):
                yield expected, f"{name} gets {share} of what reaches it, not 1/{count - index}"
                return


def _is_share(text: str, of: int) -> bool:
    try:
        return abs(float(text) - 1 / of) < _SAME_SHARE
    except ValueError:
        return False


def forgetful(sticky: t.Mapping[str, str], ends: t.Mapping[str, End | None]) -> t.Iterator[Flaw]:
    """Session affinity needs a rule for each endpoint that finds its clients again, and one that notes them."""
    expected = "clients find the same endpoint again for as long"
    alone = sorted(sticky.keys() ^ ends.keys())
    careless = [name for name, end in ends.items() if name in sticky and end and not end.remembers]
    if alone:
        yield expected, f"{alone[0]} has a rule for old clients or for new ones, not both"
    elif len(set(sticky.values())) > 1:
        yield expected, f"for {' or '.join(sorted(set(sticky.values())))} seconds"
    elif careless:
        yield expected, f"{careless[0]} does not note its clients"
