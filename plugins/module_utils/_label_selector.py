# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which objects a label selector takes. Pure. Private to this collection.

Source: C(LabelSelectorAsSelector) in C(k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go) and C(Requirement.Matches) in
C(pkg/labels/selector.go) beside it, 1.31 to 1.37: no selector takes nothing, an empty one takes everything.
"""

from __future__ import annotations

import typing as t

Object = t.Mapping[str, t.Any]


def selects(selector: Object | None, labels: t.Mapping[str, str]) -> bool | None:
    """Whether a selector takes an object with these labels; None for an operator that is not known."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    answers = [_meets(one, labels) for one in selector.get("matchExpressions") or ()]
    if False in answers:
        return False
    return None if None in answers else True


def _meets(expression: Object, labels: t.Mapping[str, str]) -> bool | None:
    key, values = expression.get("key"), expression.get("values") or ()
    rules: dict[str, bool] = {
        "In": key in labels and labels[str(key)] in values,
        "NotIn": key not in labels or labels[str(key)] not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return rules.get(str(expression.get("operator")))
