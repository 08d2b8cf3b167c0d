# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may stand in a field of KubeProxyConfiguration. Pure. Private to this collection.

Every check returns what the value must be when it is not that, else None.
Source: C(pkg/proxy/apis/config/validation/validation.go), 1.34 to 1.37.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

# Linux's net/netfilter/ipvs: ip_vs_<name>.
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "twos")
KEYWORDS = ("primary", "localhost", "all")

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")

# Types of Go's fields: in words, and whether a YAML value can be decoded into one.
KINDS: dict[str, tuple[str, t.Callable[[t.Any], bool]]] = {
    "any": ("anything", lambda _value: True),
    "text": ("a text", lambda value: isinstance(value, str)),
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "count": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "number": ("a number", lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)),
    "list": ("a list of texts", lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value)),
    "mapping": ("a mapping", lambda value: isinstance(value, dict)),
}

Wrong = t.Optional[str]
Check = t.Callable[[t.Any], Wrong]


def seconds(duration: t.Any) -> float | None:
    """A Go duration (C(1h0m0s), C(30s), C(0)) in seconds; None when it is not one."""
    if not isinstance(duration, str) or not duration:
        return None
    text, sign = (duration[1:], -1.0) if duration[0] == "-" else (duration, 1.0)
    if text == "0":
        return 0.0
    parts = list(_PART.finditer(text))
    if not parts or "".join(part.group(0) for part in parts) != text:
        return None
    return sign * sum(float(part.group(1)) * _UNITS[part.group(2)] for part in parts)


def boolean(value: t.Any) -> Wrong:
    return None if isinstance(value, bool) else "true or false (a boolean, not a text)"


def text(value: t.Any) -> Wrong:
    return None if isinstance(value, str) else "a text"


def anything(_value: t.Any) -> Wrong:
    return None


def number(value: t.Any) -> Wrong:
    return None if isinstance(value, (int, float)) and not isinstance(value, bool) else "a number"


def between(low: int, high: int) -> Check:
    def check(value: t.Any) -> Wrong:
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"a whole number from {low} to {high}"

    return check


def duration(value: t.Any) -> Wrong:
    length = seconds(value)
    return "a duration such as 30s, 15m or 1h30m" if length is None or length < 0 else None


def one_of(*names: str) -> Check:
    def check(value: t.Any) -> Wrong:
        return None if value in names else f"one of {', '.join(name for name in names if name)}"

    return check


def _network(value: t.Any) -> bool:
    if not isinstance(value, str) or "/" not in value:
        return False
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return True


def networks(value: t.Any) -> Wrong:
    return None if isinstance(value, list) and all(map(_network, value)) else "a list of networks such as 10.0.0.0/8"


def node_ports(value: t.Any) -> Wrong:
    fits = (
        isinstance(value, list)
        and all(_network(item) or item in KEYWORDS for item in value)
        and len(set(value)) == len(value)
    )
    return None if fits else f"a list of networks such as 10.0.0.0/8, or of the keywords {', '.join(KEYWORDS)}"


def cluster_cidr(value: t.Any) -> Wrong:
    parts = value.split(",") if isinstance(value, str) else []
    families = [ipaddress.ip_network(part, strict=False).version for part in parts if _network(part)]
    fits = value == "" or (len(families) == len(parts) and 1 <= len(parts) == len(set(families)))
    return None if fits else "a network, or one of each family with a comma between them"


def _address(value: t.Any) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return isinstance(value, str)


def bind_address(value: t.Any) -> Wrong:
    return None if value == "" or _address(value) else "an IP address"


def host_port(value: t.Any) -> Wrong:
    wanted = "an IP address with a port, such as 127.0.0.1:10249 or [::1]:10249"
    if not isinstance(value, str):
        return wanted
    if value == "" or _address(value):
        return None
    host, _colon, port = value.rpartition(":")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    return None if _address(inner) and port.isdigit() and 1 <= int(port) <= 65535 else wanted
