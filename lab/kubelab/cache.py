# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store of built things: a folder per recipe and hash of its declared inputs, published whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import typing as t
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from kubelab import host
from kubelab.steps import Log

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FOLDER = "netops-kube-proxy-lab"
ABOUT = "recipe.json"


def declared(text: str) -> str:
    """What of a file's text counts for a hash: neither blank lines nor comment lines (a `#!` line is no comment)."""
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(
        line for line in lines if line and (line.startswith("#!") or not line.lstrip().startswith(("#", "//")))
    )


@dataclass(frozen=True)
class Recipe:
    """How one thing is built, and everything that decides what comes out.

    `inputs` are declarations (versions, options, package lists, file contents), never program text, so that a changed
    comment or a renamed function rebuilds nothing. Whoever changes what `build` does raises `revision`.
    """

    name: str
    build: Callable[[Bench], None] = field(compare=False, repr=False)
    inputs: Mapping[str, str]
    needs: tuple[Recipe, ...] = ()
    revision: int = 1
    advice: str = "Run the command again; when it fails at the same place, read the log named above."

    @cached_property
    def digest(self) -> str:
        """Hash over the declarations and those of everything needed."""
        return hashlib.sha256(json.dumps(self.about(), sort_keys=True).encode()).hexdigest()

    @property
    def entry(self) -> str:
        """Name of this recipe's folder in a store."""
        return f"{self.name}-{self.digest[:16]}"

    def about(self) -> dict[str, t.Any]:
        """The declarations as stored beside the result."""
        return {
            "name": self.name,
            "revision": self.revision,
            "inputs": dict(self.inputs),
            "needs": [recipe.entry for recipe in self.needs],
        }


@dataclass(frozen=True)
class Bench:
    """The workplace of one build: fill `out`; `work` is thrown away."""

    out: Path
    work: Path
    downloads: Path
    log: Log
    need: Callable[[Recipe], Path]

    def run(self, argv: Sequence[str | Path], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        """Run a command of this build; its output goes to the log."""
        # Temporary files would outlive an interruption anywhere else.
        environment = {**(os.environ if env is None else env), "TMPDIR": str(self.work)}
        self.log.run(argv, cwd=cwd or self.work, env=environment)


@dataclass(frozen=True)
class Store:
    """Built things under `root` (ours, writable) and in `extra` folders (read only)."""

    root: Path
    extra: tuple[Path, ...] = ()

    @property
    def downloads(self) -> Path:
        """What may be fetched or compiled again at any time; kept between builds to save that."""
        return self.root / "downloads"

    @property
    def lock(self) -> Path:
        """The lock that a build holds."""
        return self.root / "build.lock"

    def find(self, recipe: Recipe) -> Path | None:
        """The folder that holds this recipe's result, if there is one."""
        candidates = (place / recipe.entry for place in (self.root, *self.extra))
        return next((path for path in candidates if (path / ABOUT).is_file()), None)

    def sweep(self) -> None:
        """Remove what interrupted builds left. Only for the holder of the lock."""
        host.remove_tree(self.root / "tmp")
        for path in self._unfinished():
            host.remove_tree(path)

    def prune(self, keep: Callable[[str], bool]) -> int:
        """Remove what is not to be kept, and all downloads; the bytes that are free again."""
        before = shutil.disk_usage(self.root).free
        entries = [about.parent for about in self.root.glob(f"*/{ABOUT}")]
        for path in (self.downloads, self.root / "logs", *(path for path in entries if not keep(path.name))):
            host.remove_tree(path)
        return shutil.disk_usage(self.root).free - before

    def _unfinished(self) -> Iterator[Path]:
        return (path for path in self.root.glob("*-*") if path.is_dir() and not (path / ABOUT).is_file())

    def make(self, recipe: Recipe, need: Callable[[Recipe], Path]) -> Path:
        """Build a recipe and publish the result. Only for the holder of the lock."""
        bench = self._bench(recipe, need)
        started = time.monotonic()
        recipe.build(bench)
        about = {**recipe.about(), "seconds": round(time.monotonic() - started)}
        (bench.out / ABOUT).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return self._publish(bench.out, self.root / recipe.entry)

    def _bench(self, recipe: Recipe, need: Callable[[Recipe], Path]) -> Bench:
        logs = self.root / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        log = Log(logs / f"{recipe.name}.log", recipe.advice)
        log.path.write_text("", encoding="utf-8")
        temporary = self.root / "tmp" / recipe.entry
        host.remove_tree(temporary)
        bench = Bench(temporary / "out", temporary / "work", self.downloads, log, need)
        for path in (bench.out, bench.work, self.downloads):
            path.mkdir(parents=True, exist_ok=True)
        return bench

    def _publish(self, built: Path, final: Path) -> Path:
        # The rename is atomic, but after a power cut a renamed file may be empty unless its data was written first.
        os.sync()
        host.give_to_caller(built)
        built.rename(final)
        host.remove_tree(built.parent)
        return final


def default_root(environment: Mapping[str, str]) -> Path:
    """The user's cache folder for the lab."""
    base = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/root")) / ".cache")
    return Path(base) / FOLDER


def open_store(environment: Mapping[str, str], checkout: Path) -> Store:
    """The store of this user, with the read-only ones that LAB_CACHE names and the shared one beside the checkout."""
    named = [Path(word) for word in environment.get("LAB_CACHE", "").split(":") if word]
    beside = checkout.parent / "shared" / "lab-cache"
    return Store(default_root(environment), tuple(path.resolve() for path in (*named, beside) if os.path.isdir(path)))
