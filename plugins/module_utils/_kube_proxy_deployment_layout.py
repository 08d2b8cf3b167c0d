# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a pod runs kube-proxy: its container, its arguments, and the ConfigMap behind a path. Pure. Private to this collection."""

from __future__ import annotations

import posixpath
import shlex
import typing as t

Object = t.Mapping[str, t.Any]


def source(pod: Object, path: str) -> tuple[str, str] | None:
    """The ConfigMap and the key behind a path in the container."""
    mounts = [
        mount
        for mount in (container_of(pod) or {}).get("volumeMounts") or []
        if _is_below(path, mount.get("mountPath", ""))
    ]
    if not mounts:
        return None
    mount = max(mounts, key=lambda one: len(one.get("mountPath", "")))
    volume: Object = next((one for one in pod.get("volumes") or [] if one.get("name") == mount.get("name")), {})
    config_map = volume.get("configMap") or {}
    if not config_map.get("name"):
        return None
    inside = mount.get("subPath") or posixpath.relpath(path, mount.get("mountPath"))
    keys = {item.get("path"): item.get("key") for item in config_map.get("items") or []}
    return str(config_map["name"]), str(keys.get(inside, inside))


def _is_below(path: str, folder: str) -> bool:
    return bool(folder) and (path == folder or path.startswith(folder.rstrip("/") + "/"))


def container_of(pod: Object) -> Object | None:
    containers: list[Object] = pod.get("containers") or []
    return next((one for one in containers if _argv(one) is not None), None)


def argv_of(pod: Object) -> list[str] | None:
    container = container_of(pod)
    return _argv(container) if container else None


def _argv(container: Object) -> list[str] | None:
    """The arguments of kube-proxy, also of one that a shell starts; None when the container is not kube-proxy."""
    words: list[str] = []
    for part in [*(container.get("command") or []), *(container.get("args") or [])]:
        words.extend(_split(part) if " " in part else [part])
    for number, word in enumerate(words):
        if posixpath.basename(word) == "kube-proxy":
            return words[number + 1 :]
    return words if container.get("name") == "kube-proxy" else None


def _split(part: str) -> list[str]:
    try:
        return shlex.split(part)
    except ValueError:
        return part.split()


def flag(argv: t.Sequence[str], name: str) -> str:
    for number, word in enumerate(argv):
        if word.startswith(f"--{name}="):
            return word.split("=", 1)[1]
        if word == f"--{name}" and number + 1 < len(argv):
            return argv[number + 1]
    return ""


def pod_spec(daemon_set: Object) -> Object:
    spec: Object = ((daemon_set.get("spec") or {}).get("template") or {}).get("spec") or {}
    return spec


def labels_of(obj: Object) -> t.Mapping[str, t.Any]:
    found: t.Mapping[str, t.Any] = (obj.get("metadata") or {}).get("labels") or {}
    return found


def annotations_of(obj: Object) -> t.Mapping[str, t.Any]:
    found: t.Mapping[str, t.Any] = (obj.get("metadata") or {}).get("annotations") or {}
    return found
