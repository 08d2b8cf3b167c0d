# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netops.kube_proxy.plugins.module_utils._dataplane_rounds import (
    ABOUT_NODE,
    ABOUT_SERVICES,
    Suspect,
    Suspicion,
    decode,
    seen_again,
    suspicion,
    unchanged,
)
from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import InvalidInput
from ansible_collections.netops.kube_proxy.plugins.module_utils._finding_model import ERROR, Finding


def suspect(kind: str, name: str, detail: str = "", service: str = "", concern: str = ABOUT_SERVICES) -> Suspect:
    return Suspect((kind, name, detail), concern, Finding(ERROR, kind, name, service, "this", "that"))


MISSING = suspect("destination_missing", "TCP 10.96.0.10:80", "10.244.1.2:8080", "default/web:http")
DEAD = suspect("vip_dead", "TCP 10.96.0.10:80")
JUMP = suspect("jump_missing", "nat PREROUTING -> KUBE-SERVICES (ipv4)", concern=ABOUT_NODE)
ALL = (MISSING, DEAD, JUMP)
NOW = {"default/web": "7 8", "default/other": "1"}


def before(*suspects: Suspect, versions: dict[str, str] = NOW) -> Suspicion:
    return suspicion(suspects, versions, "node")


def test_what_one_look_brought_travels_as_text() -> None:
    first = before(*ALL)
    assert first.versions == {"default/web": "7 8"}
    assert decode(first.encode()) == first


@pytest.mark.parametrize("text", ["", "c3RhdGU=", "eJyrrgUAAXUA+Q=="])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="suspects"):
        decode(text)


@pytest.mark.parametrize("kind", ["release_calendar", "ipvs_timeout_below_keepalive"])
def test_a_healthy_node_in_ipvs_mode_is_looked_at_once(kind: str) -> None:
    assert not suspect(kind, "ipvs mode", concern=ABOUT_NODE).may_pass
    assert all(one.may_pass for one in ALL)


def test_only_what_is_seen_again_stays_as_it_is_seen_now() -> None:
    later = MISSING._replace(finding=MISSING.finding._replace(actual="that again"))
    other = suspect("destination_missing", "TCP 10.96.0.10:80", "10.244.9.9:8080", "default/web:http")
    assert seen_again(before(MISSING, DEAD), [later, other, JUMP]) == [later]


def test_what_nobody_changed_stands() -> None:
    assert unchanged(before(*ALL), ALL, NOW, "node") == list(ALL)


@pytest.mark.parametrize("versions", [{"default/web": "7 9"}, {}])
def test_a_service_that_changed_meanwhile_says_nothing(versions: dict[str, str]) -> None:
    """One that is gone did, too."""
    assert unchanged(before(MISSING, JUMP), [MISSING, JUMP], versions, "node") == [JUMP]


def test_on_a_node_that_changed_only_what_no_service_explains_stands() -> None:
    assert unchanged(before(*ALL), ALL, NOW, "another zone") == [JUMP]
