# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What connections say about a node's Services. Pure. Private to this collection.

A Service's address fails only where an endpoint of it answers from the same place, and chance does not explain the rest. Where packets of a
pod get the node's address on the way, the endpoint must answer the node too: a NetworkPolicy may let one of them in and not the
other.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._kube_names import join_host_port
from ansible_collections.netops.kube_proxy.plugins.module_utils._probe_model import (
    FAILED,
    HAIRPIN,
    NODE,
    OK,
    POD,
    UNKNOWN,
    Outcome,
    Outcomes,
    Probe,
    Target,
    Vantage,
)

# That so many connections all came to endpoints that do not answer.
_CHANCE = 0.001
_FROM = {NODE: "From the node", POD: "From a pod on it", HAIRPIN: "From its own endpoint"}


class Seen(t.NamedTuple):
    """What was seen from one place.

    :param problem: why nothing was, as a clause
    :param no_hairpin: whether the pod's network sends nothing back to where it came from
    """

    vantage: Vantage
    outcomes: Outcomes
    problem: str = ""
    no_hairpin: bool = False


def judge(seen: t.Sequence[Seen]) -> list[Probe]:
    """All probes. The node's own come first in C(seen)."""
    from_node = seen[0].outcomes if seen else {}
    return [_probe(one, target, from_node) for one in seen for target in one.vantage.targets]


def _probe(seen: Seen, target: Target, from_node: Outcomes) -> Probe:
    outcome = seen.outcomes.get(target.end)
    answering = [end for end in target.asked if _answers(seen, target, end, from_node)]
    verdict, reason = _verdict(seen, target, outcome, len(answering))
    direct = bool(answering) if target.destinations and outcome else None
    if verdict == FAILED and outcome:
        end = join_host_port(*answering[0])
        reason = (
            f"{_FROM[seen.vantage.name]}: TCP {join_host_port(*target.end)} ({target.service}) was not answered in "
            f"{outcome.attempts} attempts ({outcome.reason}), while its endpoint {end} answers directly."
        )
    return Probe(seen.vantage, target, bool(outcome and outcome.answered), direct, verdict, reason)


def _answers(seen: Seen, target: Target, end: tuple[str, int], from_node: Outcomes) -> bool:
    here = seen.outcomes.get(end)
    there = from_node.get(end) if target.is_masqueraded or seen.vantage.name == HAIRPIN else here
    return bool(here and here.answered and there and there.answered)


def _verdict(seen: Seen, target: Target, outcome: Outcome | None, answering: int) -> tuple[str, str]:
    if outcome is None:
        return UNKNOWN, f"Nobody could look: {seen.problem}."
    if outcome.answered or not target.destinations:
        stray = outcome.answered and not target.destinations
        return (UNKNOWN, "It answers, although the API has no endpoint for it.") if stray else (OK, "")
    excuse = _excuse(seen, target, outcome, answering)
    return (UNKNOWN, excuse) if excuse else (FAILED, "")


def _excuse(seen: Seen, target: Target, outcome: Outcome, answering: int) -> str:
    """What else than the Service's own rules explains that it was not answered, as a sentence; empty: nothing does."""
    if not outcome.is_routed:
        return f"Nothing can be sent there: {outcome.reason}."
    if not answering:
        return "None of its endpoints answers directly either: a NetworkPolicy, or nothing listens."
    # Whoever comes to the same endpoint every time may have come to one that was not connected to.
    known = target.destinations if target.is_sticky else target.asked
    if (1 - answering / len(known)) ** (1 if target.is_sticky else outcome.attempts) > _CHANCE:
        return f"Only {answering} of {len(known)} endpoints are known to answer directly: it may be chance."
    return (
        "The bridge sends nothing back to the pod that it came from (hairpin mode is off)." if seen.no_hairpin else ""
    )


def row(probe: Probe) -> dict[str, t.Any]:
    """A probe, as the module returns it."""
    return {
        "from": probe.vantage.name,
        "service": probe.target.service,
        "source": probe.target.source,
        "family": probe.target.family,
        "address": probe.target.address,
        "port": probe.target.port,
        "answered": probe.answered,
        "direct": probe.direct,
        "verdict": probe.verdict,
        "reason": probe.reason,
    }
